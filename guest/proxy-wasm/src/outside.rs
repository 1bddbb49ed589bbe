//! What the driver finds around it: the proxy. Exchanges, files and callables are HTTP calls of the root context through clusters;
//! the store is the proxy's shared data.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use wif_engine::Secret;
use wif_engine::contract::{
    AssertionRequest, FileRequest, Header, HttpRequest, Note, NoteLevel, Outcome, Purpose, Response, Task,
};
use wif_recipes::percent_encoded;

use crate::driver::Host;
use crate::fields::Fields;
use crate::hostcalls::{self, BufferType, LogLevel, MapType};
use crate::metrics::Metrics;
use crate::reply::name;
use crate::settings::{Resource, Settings};
use crate::shared;

/// How long reading a file or a metadata service may take.
const READ_TIMEOUT: Duration = Duration::from_secs(4);

/// An identity token is at most this long, in bytes; a longer answer is none.
const MAX_ANSWER: usize = 64 * 1024;

thread_local! {
    /// The request that is being sent has come back to this filter.
    static CAME_BACK: Cell<bool> = const { Cell::new(false) };
}

/// The request that is being sent has come back to this filter, by a cluster in whose chain it stands: it would wait for the token that
/// it is to bring. With names in `clusters` that is refused from the start; where they are all, the filter does not know its own.
pub(crate) fn note_own_request() {
    CAME_BACK.set(true);
}

/// The proxy, as the driver needs it.
pub(crate) struct Outside {
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    calls: BTreeMap<u32, Call>,
    /// The number of the entry's last write that the session knows of.
    seen: Option<u32>,
}

/// An HTTP call that is under way.
pub(crate) struct Call {
    /// The task.
    pub(crate) number: u32,
    kind: Kind,
}

enum Kind {
    Exchange { max_bytes: usize },
    Source { max_bytes: usize },
    File { max_bytes: usize },
    Callable { member: Option<String> },
}

/// An answer that the proxy itself made because there was none.
#[derive(PartialEq)]
enum Origin {
    Upstream,
    Proxy,
}

impl Outside {
    pub(crate) fn new(settings: Settings, metrics: Metrics) -> Self {
        Self { settings, metrics, calls: BTreeMap::new(), seen: None }
    }

    /// Whether an exchange is out.
    pub(crate) fn exchanges(&self) -> bool {
        self.calls.values().any(|call| matches!(call.kind, Kind::Exchange { .. }))
    }

    /// Whether the entry was written since the session last saw it.
    pub(crate) fn store_has_moved(&mut self, key: Option<String>) -> bool {
        let Some(Ok(Some((_, number)))) = key.map(|key| shared::load(&key)) else { return false };
        self.seen.replace(number) != Some(number)
    }

    /// Whether this context made the call with this id.
    pub(crate) fn made(&self, id: u32) -> bool {
        self.calls.contains_key(&id)
    }

    /// Takes the call with this id, if it is one of this context's.
    pub(crate) fn take_call(&mut self, id: u32) -> Option<Call> {
        self.calls.remove(&id)
    }

    fn call(&mut self, number: u32, kind: Kind, request: Sending<'_>) -> Option<Outcome> {
        let Sending { cluster, method, scheme, authority, path, headers, body, timeout } = request;
        let mut fields = vec![(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)];
        fields.extend(headers);
        CAME_BACK.set(false);
        match hostcalls::dispatch_http_call(cluster, &fields, body, timeout) {
            // It goes no further, and its answer will be that its time was over.
            _ if CAME_BACK.take() => Some(Outcome::Denied(format!(
                "the filter's own request by the cluster {cluster} comes back to the filter, which stands in that cluster's chain: name \
                 another cluster in the plugin's configuration"
            ))),
            Ok(id) => {
                self.calls.insert(id, Call { number, kind });
                None
            }
            Err(_) => Some(Outcome::Unsent(format!("the proxy knows no cluster {cluster}, or it cannot be used now"))),
        }
    }

    fn send(&mut self, number: u32, request: &HttpRequest) -> Option<Outcome> {
        match &request.purpose {
            Purpose::Source(name) => match self.settings.origins.get(&request.origin) {
                Some(cluster) => {
                    let cluster = cluster.clone();
                    self.request(number, request, &cluster)
                }
                None => Some(Outcome::Denied(format!(
                    "the plugin's configuration does not say which cluster leads to {}, where the source {name} sends a request: \
                     add it to `origins`",
                    request.origin
                ))),
            },
            Purpose::Exchange | Purpose::Refresh => self.exchange(number, request),
        }
    }

    fn exchange(&mut self, number: u32, request: &HttpRequest) -> Option<Outcome> {
        let origin = &self.settings.origin;
        if request.origin != *origin || request.method != "POST" {
            return Some(Outcome::Denied(format!(
                "the clusters of the plugin's configuration lead to {origin}, and the exchange goes to {}: make `origin` and base_url \
                 agree",
                request.origin
            )));
        }
        let cluster = self.settings.token_endpoint.clone();
        self.request(number, request, &cluster)
    }

    /// Sends a request as it is, through a cluster.
    fn request(&mut self, number: u32, request: &HttpRequest, cluster: &str) -> Option<Outcome> {
        let (scheme, authority) = request.origin.split_once("://").unwrap_or(("https", &request.origin));
        let Some(path) = request.url.strip_prefix(&*request.origin) else {
            return Some(Outcome::Denied("the request's URL and its origin do not agree".to_owned()));
        };
        let path = Secret::from(wif_rules::path_and_query(path));
        let headers = request.headers.iter().map(|header| (&*header.name, header.value.reveal())).collect();
        let sending = Sending {
            cluster,
            method: &request.method,
            scheme,
            authority,
            path: path.reveal(),
            headers,
            body: request.body.reveal().as_bytes(),
            timeout: Duration::from_millis(request.timeout_ms.into()),
        };
        let kind = match request.purpose {
            Purpose::Exchange | Purpose::Refresh => Kind::Exchange { max_bytes: request.max_response_bytes as usize },
            Purpose::Source(_) => Kind::Source { max_bytes: request.max_response_bytes as usize },
        };
        self.call(number, kind, sending)
    }

    fn file(&mut self, number: u32, request: &FileRequest) -> Option<Outcome> {
        let Some(resource) = self.settings.files.remove(&request.path) else {
            return Some(Outcome::Denied(format!(
                "the plugin's configuration does not say by which cluster {} is read: add it to `files`",
                request.path
            )));
        };
        let max_bytes = request.max_bytes as usize;
        let outcome = self.get(number, Kind::File { max_bytes }, &resource, &resource.path);
        self.settings.files.insert(request.path.clone(), resource);
        outcome
    }

    fn callable(&mut self, number: u32, request: &AssertionRequest) -> Option<Outcome> {
        let Some(resource) = self.settings.callables.remove(&request.name) else {
            return Some(Outcome::Denied(format!(
                "the plugin's configuration has no callable {}: add it to `callables`",
                request.name
            )));
        };
        let path = resource.path.replace("{audience}", &percent_encoded(&request.audience));
        let outcome = self.get(number, Kind::Callable { member: resource.member.clone() }, &resource, &path);
        self.settings.callables.insert(request.name.clone(), resource);
        outcome
    }

    fn get(&mut self, number: u32, kind: Kind, resource: &Resource, path: &str) -> Option<Outcome> {
        let headers = resource.headers.iter().map(|(name, value)| (&**name, value.reveal())).collect();
        let sending = Sending {
            cluster: &resource.cluster,
            method: "GET",
            scheme: resource.scheme,
            authority: &resource.authority,
            path,
            headers,
            body: &[],
            timeout: READ_TIMEOUT,
        };
        match self.call(number, kind, sending) {
            Some(Outcome::Unsent(why)) => Some(Outcome::Failed(why)),
            outcome => outcome,
        }
    }
}

impl Host for Outside {
    fn wall_ms(&self) -> u64 {
        wall_nanos() / 1_000_000
    }

    fn start(&mut self, number: u32, task: Task) -> Option<Outcome> {
        match task {
            Task::SendRequest(request) => self.send(number, &request),
            Task::ReadFile(request) => self.file(number, &request),
            Task::ReadVariable(name) => Some(match self.settings.variables.get(&name) {
                Some(value) => Outcome::Content(value.clone()),
                None => Outcome::Absent,
            }),
            Task::SupplyAssertion(request) => self.callable(number, &request),
            Task::LoadEntry(key) => Some(match shared::load(&key) {
                Ok(Some((entry, number))) => {
                    self.seen = Some(number);
                    Outcome::Entry(entry)
                }
                Ok(None) => Outcome::Absent,
                Err(status) => shared::failed("proxy_get_shared_data", status),
            }),
            Task::SwapEntry(swap) => {
                let (outcome, number) = shared::swap(&swap);
                if number.is_some() {
                    self.seen = number;
                }
                Some(outcome)
            }
            Task::SupplyToken(_) | Task::Sign(_) => Some(Outcome::Unsupported),
        }
    }

    fn note(&mut self, note: &Note) {
        let code = name(&note.code);
        self.metrics.note(&code);
        let level = match note.level {
            NoteLevel::Info => LogLevel::Info,
            NoteLevel::Warning => LogLevel::Warn,
            NoteLevel::Error => LogLevel::Error,
        };
        let mut text = format!("wif: {code}: {}", note.message);
        for field in &note.fields {
            text.push_str(&format!(" {}={}", field.name, field.value));
        }
        log(level, &text);
    }
}

/// A request of the root context.
struct Sending<'a> {
    cluster: &'a str,
    method: &'a str,
    scheme: &'a str,
    authority: &'a str,
    path: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a [u8],
    timeout: Duration,
}

impl Call {
    /// What came of the call, within the callback for its answer. Without headers there was none.
    pub(crate) fn outcome(self, headers: usize, body_bytes: usize) -> Outcome {
        let answer = if headers == 0 { None } else { CompleteAnswer::read(body_bytes) };
        match self.kind {
            Kind::Exchange { max_bytes } | Kind::Source { max_bytes } => exchanged(answer, body_bytes, max_bytes),
            Kind::File { max_bytes } => content(answer, body_bytes, max_bytes).unwrap_or_else(|outcome| outcome),
            Kind::Callable { member } => match content(answer, body_bytes, MAX_ANSWER) {
                Ok(Outcome::Content(body)) => match &member {
                    Some(member) => member_of(&body, member),
                    None => Outcome::Content(body),
                },
                // A callable has to have something.
                Ok(other) => other,
                Err(Outcome::Absent) => Outcome::Failed("the service answered 404".to_owned()),
                Err(other) => other,
            },
        }
    }
}

/// A complete answer.
struct CompleteAnswer {
    status: u16,
    origin: Origin,
    headers: Vec<Header>,
    /// How long it is, the callback said.
    body_bytes: usize,
}

impl CompleteAnswer {
    fn read(body_bytes: usize) -> Option<Self> {
        let fields = Fields::read(MapType::HttpCallResponseHeaders).ok()?;
        let value = |name: &str| fields.iter().find(|(field, _)| *field == name.as_bytes()).map(|(_, value)| value);
        let status = std::str::from_utf8(value(":status")?).ok()?.parse().ok()?;
        // Envoy marks what an upstream answered. An answer of its own in place of one is 503 or 504, and plain text.
        let made = value("x-envoy-upstream-service-time").is_none()
            && matches!(status, 503 | 504)
            && value("content-type").is_some_and(|kind| kind == b"text/plain");
        let headers = fields
            .iter()
            .filter(|(name, _)| !name.starts_with(b":"))
            .map(|(name, value)| Header { name: String::from_utf8_lossy(name).into_owned(), value: text(value.to_vec()) })
            .collect();
        Some(Self { status, origin: if made { Origin::Proxy } else { Origin::Upstream }, headers, body_bytes })
    }

    fn body(&self) -> Secret {
        match self.body_bytes {
            0 => Secret::default(),
            bytes => text(hostcalls::get_buffer(BufferType::HttpCallResponseBody, bytes).ok().flatten().unwrap_or_default()),
        }
    }
}

/// What the proxy says where no connection came about, in both of its spellings. Its timeout for a connection is one of them; the
/// one for an answer has other words.
const UNSENT: [&str; 7] = [
    "connection failure",
    "connection_failure",
    "connection timeout",
    "connection_timeout",
    "no healthy upstream",
    "no_healthy_upstream",
    "overflow",
];

fn exchanged(answer: Option<CompleteAnswer>, body_bytes: usize, max_bytes: usize) -> Outcome {
    let Some(answer) = answer else {
        return Outcome::MaybeSent("the connection ended before the answer did".to_owned());
    };
    if body_bytes > max_bytes {
        return Outcome::MaybeSent(format!("the answer is longer than {max_bytes} bytes"));
    }
    let body = answer.body();
    if answer.origin == Origin::Upstream {
        return Outcome::Response(Response { status: answer.status, headers: answer.headers, body });
    }
    // The proxy's own words, which hold nothing of the exchange.
    let why = body.reveal().to_owned();
    if UNSENT.iter().any(|reason| why.contains(reason)) { Outcome::Unsent(why) } else { Outcome::MaybeSent(why) }
}

fn content(answer: Option<CompleteAnswer>, body_bytes: usize, max_bytes: usize) -> Result<Outcome, Outcome> {
    let Some(answer) = answer else { return Err(Outcome::Failed("the connection ended before the answer did".to_owned())) };
    match answer.status {
        200 if body_bytes > max_bytes => Err(Outcome::Failed(format!("it is longer than {max_bytes} bytes"))),
        200 => Ok(Outcome::Content(answer.body())),
        404 => Err(Outcome::Absent),
        status @ (401 | 403) => Err(Outcome::Denied(format!("the answer is {status}"))),
        status => Err(Outcome::Failed(format!("the answer is {status}"))),
    }
}

fn member_of(body: &Secret, member: &str) -> Outcome {
    // What does not parse is not quoted: it may hold a token.
    match serde_json::from_str::<Value>(body.reveal()).ok().as_mut().and_then(|answer| answer.get_mut(member)).map(Value::take) {
        Some(Value::String(content)) => Outcome::Content(Secret::from(content)),
        _ => Outcome::Failed(format!("the answer is no JSON object with a string {member}")),
    }
}

fn text(bytes: Vec<u8>) -> Secret {
    Secret::from(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// The wall clock, in nanoseconds of Unix time.
pub(crate) fn wall_nanos() -> u64 {
    hostcalls::get_current_time().unwrap_or_default()
}

pub(crate) fn log(level: LogLevel, text: &str) {
    let _ = hostcalls::log(level, text);
}
