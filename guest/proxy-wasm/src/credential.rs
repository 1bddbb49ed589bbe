//! One identity's filter in one VM: the driver, the requests that wait, and the pace of the ticks.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use wif_document::Clusters;
use wif_engine::contract::{ConfigurationError, Event, Start, Usable};
use wif_engine::{Secret, id_of};
use wif_rules::{Reply, Waiter, merge};

use crate::callbacks;
use crate::driver::{Advice, Driver, Host, Turn};
use crate::fields::Fields;
use crate::hostcalls::{self, LogLevel, MapType, Refused};
use crate::metrics::Metrics;
use crate::outside::{Outside, log, wall_nanos};
use crate::reply;
use crate::settings::{Position, Settings};
use crate::shared;

/// How often the store is looked at, in milliseconds: after so long at most a rejection is known to all.
const TICK_MS: u64 = 250;

/// How often while requests wait.
const WAITING_TICK_MS: u64 = 10;

/// As soon as the proxy can.
const NOW_MS: u64 = 1;

/// So many tokens are known for ours, after they were replaced too.
const OURS: usize = 4;

/// So many clusters that do not lead to the API are named in the log.
const CLUSTERS: usize = 16;

/// The id of a token: 16 hexadecimal digits.
pub(crate) type TokenId = [u8; 16];

/// What all requests of a configuration share in one VM.
pub(crate) struct Credential {
    driver: Driver,
    outside: Outside,
    /// The root context, which performs all tasks.
    root: u32,
    waiting: Vec<Paused>,
    /// What requests that waited were given, until they ask.
    given: HashMap<u32, TokenId>,
    /// The ids of the last tokens.
    ours: VecDeque<String>,
    /// The clusters that do not lead to the API, as far as requests have gone there.
    elsewhere: BTreeSet<Vec<u8>>,
    /// The first request had an upstream: this is an upstream filter.
    has_upstream: bool,
    /// Whether the store was written since the last tick, as far as a request has looked.
    has_moved: bool,
    tick_ms: u64,
}

/// A request that is paused.
struct Paused {
    context: u32,
    waiter: Waiter,
    /// Until then it waits, in the driver's time.
    until_ms: u64,
}

/// What becomes of a request.
pub(crate) enum Fate {
    /// It carries this token.
    Carries(TokenId),
    /// It is paused; the filter goes on with it.
    Waits,
    /// It was answered.
    Answered,
}

impl Credential {
    /// *Secret*: `journal`, of an earlier filter of this VM, whose ledger is taken over.
    pub(crate) fn open(root: u32, settings: Settings, journal: Option<Secret>) -> Result<Self, ConfigurationError> {
        let from = journal.map_or(Start::Fresh, Start::Resumed);
        let can = settings.capabilities();
        let seed = shared::seed(wall_nanos())
            .map_err(|message| ConfigurationError { field: "the proxy's shared data".to_owned(), message })?;
        let session = callbacks::open(settings.credential.reveal(), seed, &can, from);
        let session = session.map_err(|error| ConfigurationError {
            field: if error.field.is_empty() { "credential".to_owned() } else { format!("credential.{}", error.field) },
            ..error
        })?;
        let outside = Outside::new(settings, Metrics::define());
        Ok(Self {
            driver: Driver::new(session),
            outside,
            root,
            waiting: Vec::new(),
            given: HashMap::new(),
            ours: VecDeque::new(),
            elsewhere: BTreeSet::new(),
            has_upstream: false,
            has_moved: false,
            tick_ms: 0,
        })
    }

    fn clusters(&self) -> &Clusters {
        &self.outside.settings.clusters
    }

    /// Whether the request of the effective context goes to one of them. It is asked where it goes, unless all go to the API.
    pub(crate) fn is_for_api(&mut self) -> Result<bool, Refused> {
        if *self.clusters() == Clusters::All {
            return self.stands_where_it_says().map(|()| true);
        }
        // The route's cluster, or, as an upstream filter, the one that the request has reached. Without a route there is none, and
        // the proxy answers.
        let cluster = hostcalls::get_property("xds\0cluster_name")?.unwrap_or_default();
        if self.clusters().lead_to_api(&cluster) {
            return Ok(true);
        }
        self.pass_by(&cluster)?;
        Ok(false)
    }

    /// Looks once, at the first request, whether the filter stands among a cluster's filters, where its configuration says so: there a
    /// request has an upstream. In a listener's chain the filter would put the credential on whatever passes, and lets nothing pass.
    fn stands_where_it_says(&mut self) -> Result<(), Refused> {
        if self.stands_upstream() && !self.has_upstream {
            self.has_upstream = hostcalls::has_property("upstream\0address");
            if !self.has_upstream {
                let message = "wif: configuration-failed: position is `upstream`, and the filter stands in a listener's chain: with \
                               `clusters` \"all\" it would put the credential on every request that passes there";
                log(LogLevel::Error, message);
                return Err(hostcalls::NOT_FOUND);
            }
        }
        Ok(())
    }

    /// A request of the effective context goes to another cluster. It may have been at the API before, and been redirected by the
    /// proxy: our credential does not go with it.
    fn pass_by(&mut self, cluster: &[u8]) -> Result<(), Refused> {
        self.outside.metrics.elsewhere();
        if self.elsewhere.len() < CLUSTERS && self.elsewhere.insert(cluster.to_vec()) {
            let name = String::from_utf8_lossy(cluster);
            log(LogLevel::Info, &format!("wif: requests to the cluster {name} are not touched: it is not in `clusters`"));
        }
        let authorization = hostcalls::get_map_value(MapType::HttpRequestHeaders, "authorization")?;
        let token = authorization.as_deref().and_then(|value| std::str::from_utf8(value.strip_prefix(b"Bearer ")?).ok());
        if token.is_some_and(|token| self.ours.contains(&id_of(token))) {
            hostcalls::remove_map_value(MapType::HttpRequestHeaders, b"authorization")?;
        }
        Ok(())
    }

    /// Whether this is an upstream filter.
    pub(crate) fn stands_upstream(&self) -> bool {
        self.outside.settings.position == Position::Upstream
    }

    /// Whether the root context made this call.
    pub(crate) fn made(&self, call: u32) -> bool {
        self.outside.made(call)
    }

    /// Whether an exchange is out.
    pub(crate) fn exchanges(&self) -> bool {
        self.outside.exchanges()
    }

    /// The authority of the API's origin.
    pub(crate) fn authority(&self) -> &str {
        self.outside.settings.origin.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// A request of the effective context, which had these fields and was stripped, is to carry the credential.
    pub(crate) fn arrive(&mut self, context: u32, fields: &Fields) -> Fate {
        let wall_ms = self.outside.wall_ms();
        let fate = match self.driver.advice(wall_ms) {
            Advice::Serve => self.put(fields),
            advice if self.may_wait_for(&advice) => {
                let waiting_at_most_ms = self.outside.settings.waiting_at_most_ms;
                let until_ms = self.driver.elapsed_ms(wall_ms).saturating_add(waiting_at_most_ms);
                let generation = self.driver.published().generation;
                let waiter = match self.rejected_with(fields) {
                    // With the same token it would be refused again.
                    Some(id) => Waiter::for_other_than(id, Some(waiting_at_most_ms), generation),
                    None => Waiter::new(generation),
                };
                self.waiting.push(Paused { context, waiter, until_ms });
                self.outside.metrics.begins_to_wait();
                self.pace(WAITING_TICK_MS);
                Fate::Waits
            }
            Advice::Hold(_) => self.put(fields),
            Advice::Wait => self.refuse(&Reply::overloaded()),
            Advice::Fail(failure) => self.refuse(&reply::failed(&failure)),
            Advice::Closed => self.refuse(&Reply::closed()),
        };
        if self.driver.is_needed() || self.has_moved {
            self.pace(NOW_MS);
        }
        fate
    }

    /// Whether a request waits for what may come. Where there is a failure, another VM may have written of a token since.
    fn may_wait_for(&mut self, advice: &Advice) -> bool {
        let may_come = match advice {
            Advice::Hold(_) | Advice::Wait => true,
            Advice::Fail(_) => {
                self.has_moved |= self.outside.store_has_moved(self.driver.entry_key());
                self.has_moved
            }
            Advice::Serve | Advice::Closed => false,
        };
        may_come && self.waiting.len() < self.outside.settings.waiting_requests
    }

    /// The id of the token that is held, if the API has rejected it and a request has it on it: what an upstream filter sets stays
    /// there when the router retries.
    fn rejected_with(&self, fields: &Fields) -> Option<String> {
        let usable = self.driver.usable().filter(|_| self.stands_upstream() && self.driver.holds_a_rejected_token())?;
        let ours = |(name, value): (&[u8], &[u8])| {
            let set = usable.set.iter().find(|header| header.name.as_bytes() == name);
            set.is_some_and(|header| header.value.reveal().as_bytes() == value)
        };
        fields.iter().any(ours).then(|| usable.id.clone())
    }

    /// What a request that waited was given.
    pub(crate) fn given(&mut self, context: u32) -> Option<TokenId> {
        self.given.remove(&context)
    }

    /// A request is over, however it ended.
    pub(crate) fn depart(&mut self, context: u32) {
        if let Some(position) = self.waiting.iter().position(|paused| paused.context == context) {
            self.waiting.remove(position);
            self.outside.metrics.ends_to_wait();
        }
        self.given.remove(&context);
    }

    /// The API answered 401 to the token with this id.
    pub(crate) fn report_rejection(&mut self, id: &TokenId) {
        if let Ok(id) = std::str::from_utf8(id) {
            self.driver.report_rejection(id);
        }
        if self.driver.is_needed() {
            self.pace(NOW_MS);
        }
    }

    /// A tick of the root context.
    pub(crate) fn tick(&mut self) {
        let moved = self.outside.store_has_moved(self.driver.entry_key()) | std::mem::take(&mut self.has_moved);
        self.driver.tick(&mut self.outside, moved);
        self.settle();
    }

    /// The answer to a call of the root context.
    pub(crate) fn answered(&mut self, call: u32, headers: usize, body_bytes: usize) {
        if let Some(call) = self.outside.take_call(call) {
            let number = call.number;
            self.driver.finished(&mut self.outside, number, call.outcome(headers, body_bytes));
            self.settle();
        }
    }

    /// The filter is being taken away. *Secret*: what the next one goes on from.
    pub(crate) fn close(&mut self) -> Option<Secret> {
        self.driver.happened(&mut self.outside, Event::Closing);
        self.settle();
        self.driver.take_journal()
    }

    /// *Secret.* What another filter of this VM goes on from.
    pub(crate) fn take_journal(&mut self) -> Option<Secret> {
        self.driver.take_journal()
    }

    /// After the session was entered: goes on with the requests that waited for this, and sets the pace.
    fn settle(&mut self) {
        let wall_ms = self.outside.wall_ms();
        let mut waiting = std::mem::take(&mut self.waiting);
        let any = !waiting.is_empty();
        waiting.retain_mut(|paused| {
            let Some(answer) = self.answer_to(paused, wall_ms) else { return true };
            self.outside.metrics.ends_to_wait();
            // A request that is gone has left already; where the proxy thinks otherwise, there is nothing to go on with.
            if hostcalls::set_effective_context(paused.context).is_ok() {
                self.go_on(paused.context, answer);
            }
            false
        });
        if any {
            let _ = hostcalls::set_effective_context(self.root);
        }
        self.waiting = waiting;
        let usable = self.driver.usable();
        if let Some(usable) = usable.filter(|usable| self.ours.back() != Some(&usable.id)) {
            self.ours.push_back(usable.id.clone());
            if self.ours.len() > OURS {
                self.ours.pop_front();
            }
        }
        let unusable_at_ms =
            usable.map_or(0, |usable| usable.unusable_in_ms.map_or(u64::MAX, |time| wall_ms.saturating_add(time)));
        self.outside.metrics.token_unusable_at(unusable_at_ms / 1_000);
        let own_ms = self.driver.next_tick_in_ms().unwrap_or(TICK_MS);
        let usual_ms = if self.waiting.is_empty() { TICK_MS } else { WAITING_TICK_MS };
        self.tick_every(if self.driver.is_needed() { NOW_MS } else { own_ms.clamp(NOW_MS, usual_ms) });
    }

    /// What a request is told that waits: a token, or that there is none. `None`: it waits on.
    fn answer_to(&mut self, paused: &mut Paused, wall_ms: u64) -> Option<Result<Usable, Reply>> {
        let turn = self.driver.look(&mut paused.waiter, wall_ms);
        let is_over = self.driver.elapsed_ms(wall_ms) >= paused.until_ms;
        match turn {
            Turn::Takes(usable) => Some(Ok(usable)),
            Turn::Fails(failure) => Some(Err(reply::failed(&failure))),
            Turn::Closed => Some(Err(Reply::closed())),
            Turn::Waits if !is_over => None,
            // One goes with what is at hand, however little it may be worth.
            Turn::Waits | Turn::HasNoOther => Some(match self.driver.advice(wall_ms) {
                Advice::Serve | Advice::Hold(_) => self.driver.usable().cloned().ok_or_else(Reply::timed_out),
                Advice::Wait => Err(Reply::timed_out()),
                Advice::Fail(failure) => Err(reply::failed(&failure)),
                Advice::Closed => Err(Reply::closed()),
            }),
        }
    }

    /// Goes on with the request of the effective context, which was paused.
    fn go_on(&mut self, context: u32, answer: Result<Usable, Reply>) {
        let fate = match answer.map(|usable| Fields::read(MapType::HttpRequestHeaders).map(|fields| (usable, fields))) {
            Ok(Ok((usable, fields))) => self.put_this(Some(&usable), &fields),
            Ok(Err(_)) => self.refuse(&reply::denied_by_proxy()),
            Err(reply) => self.refuse(&reply),
        };
        if let Fate::Carries(id) = fate {
            self.given.insert(context, id);
            let _ = hostcalls::resume_http_request();
        }
    }

    /// Puts the credential that is held on the request of the effective context, which had these fields and was stripped.
    fn put(&self, fields: &Fields) -> Fate {
        self.put_this(self.driver.usable(), fields)
    }

    fn put_this(&self, usable: Option<&Usable>, fields: &Fields) -> Fate {
        match usable.filter(|usable| usable.origin == self.outside.settings.origin) {
            // Ids have 16 digits.
            Some(usable) if put(usable, fields).is_ok() => Fate::Carries(usable.id.as_bytes().try_into().unwrap_or_default()),
            Some(_) => self.refuse(&reply::denied_by_proxy()),
            // A token for another origin than the clusters lead to; the exchange was denied, but a token may come from elsewhere.
            None => self.refuse(&Reply::other_origin()),
        }
    }

    /// Answers the request of the effective context.
    pub(crate) fn refuse(&self, reply: &Reply) -> Fate {
        self.outside.metrics.refused();
        reply::send(reply);
        Fate::Answered
    }

    /// Ticks at least this often.
    fn pace(&mut self, at_least_ms: u64) {
        if self.tick_ms > at_least_ms {
            self.tick_every(at_least_ms);
        }
    }

    fn tick_every(&mut self, period_ms: u64) {
        if self.tick_ms != period_ms {
            self.tick_ms = period_ms;
            let _ = hostcalls::set_tick_period(Duration::from_millis(period_ms));
        }
    }
}

/// Sets ours, in the effective context.
fn put(usable: &Usable, fields: &Fields) -> Result<(), Refused> {
    for header in &usable.set {
        hostcalls::set_map_value(MapType::HttpRequestHeaders, &header.name, header.value.reveal().as_bytes())?;
    }
    for header in &usable.merge {
        let theirs = fields.iter().values(&header.name);
        let merged = merge(theirs.chain([header.value.reveal().as_bytes()]));
        hostcalls::set_map_value(MapType::HttpRequestHeaders, &header.name, &merged)?;
    }
    Ok(())
}
