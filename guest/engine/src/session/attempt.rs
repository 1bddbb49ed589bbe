//! The attempt to get a token: what is under way, when the next step may be, what went wrong last, and what is waited for.

use super::source::Asked;
use crate::answer::Pause;
use crate::contract::{Disposition, Failure, FailureCode};
use crate::identity_token::IdentityToken;
use crate::schedule::{MIN_INTERVAL_MS, Pace, Random};
use crate::timeline::Moment;

/// More requests than can be out without an answer within the life of one.
const MAX_LATE: usize = 8;

/// Nothing else changes what is under way, the pace, the failure or the wait.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    work: Work,
    /// Requests whose time is over, and whose answers are still welcome.
    late: Vec<Sent>,
    pace: Pace,
    failure: Option<Trouble>,
    /// The spent identity token whose rotation is awaited, by id.
    waiting: Option<String>,
}

/// What is under way to get a token.
#[derive(Debug, Default)]
pub(super) enum Work {
    #[default]
    Resting,
    /// The store is asked, with an identity token in hand or before the source is read.
    Loading(Option<Box<IdentityToken>>),
    /// The source of the identity token is asked.
    Reading(Asked),
    /// The lease on this identity token is being taken.
    Leasing(Box<IdentityToken>),
    /// Another session has the lease.
    Following { poll_at: Moment },
    /// The endpoint is asked.
    Sending(Box<Sent>),
    /// The embedding program is asked for the token itself.
    Asking,
}

/// A request to the endpoint.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) number: u32,
    pub(super) identity: IdentityToken,
    /// What was known of the identity token before.
    pub(super) prior: Disposition,
    pub(super) at: Moment,
}

/// The last failure, and when the session tries again.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) failure: Failure,
    /// When it is tried again.
    pub(super) until: Option<Moment>,
    /// When the source is expected to rotate the identity token, where that is awaited.
    pub(super) rotation: Option<Moment>,
}

impl Trouble {
    pub(super) fn new(code: FailureCode, message: String, action: &str, until: Option<Moment>) -> Self {
        let failure = Failure {
            code,
            message,
            action: action.to_owned(),
            retry_in_ms: None,
            rotation_in_ms: None,
            status: None,
            request_id: None,
        };
        Self { failure, until, rotation: None }
    }

    /// What stands in a document.
    pub(super) fn kept(failure: Failure, until: Moment) -> Self {
        Self { failure, until: Some(until), rotation: None }
    }
}

/// What is under way.
impl Attempt {
    pub(super) fn work(&self) -> &Work {
        &self.work
    }

    pub(super) fn resting(&self) -> bool {
        matches!(self.work, Work::Resting)
    }

    pub(super) fn begin(&mut self, work: Work) {
        self.work = work;
    }

    /// Whatever is under way is over; what it was.
    pub(super) fn stop(&mut self) -> Work {
        core::mem::take(&mut self.work)
    }

    /// Nothing is under way until then.
    pub(super) fn rest_until(&mut self, look_at: Moment) {
        self.work = Work::Resting;
        self.pace.look_at = look_at;
    }

    /// The session is closing: no answer is of use any more.
    pub(super) fn close(&mut self) {
        self.work = Work::Resting;
        self.late.clear();
    }

    /// Its answer may still come.
    pub(super) fn expect_late(&mut self, sent: Sent) {
        if self.late.len() == MAX_LATE {
            self.late.remove(0);
        }
        self.late.push(sent);
    }

    /// The request with this number, of which the time was over.
    pub(super) fn take_late(&mut self, number: u32) -> Option<Sent> {
        let position = self.late.iter().position(|sent| sent.number == number)?;
        Some(self.late.remove(position))
    }

    /// The values that nobody may read in a text.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.late.iter().map(|sent| sent.identity.value.reveal())
    }
}

/// When.
impl Attempt {
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// The identity token that was tried last is not sent before.
    pub(super) fn retry_at(&self) -> Moment {
        self.pace.retry_at.max(self.pace.floor)
    }

    pub(super) fn look_at(&mut self, at: Moment) {
        self.pace.look_at = at;
    }

    /// Another look would be of use now: a place may show something else.
    pub(super) fn look_soon(&mut self, now: Moment, cheap: bool) {
        if let Work::Following { poll_at } = &mut self.work {
            *poll_at = now;
        }
        if cheap {
            self.pace.look_at = self.pace.look_at.min(now.max(self.pace.floor));
        }
    }

    /// A request with this identity token is sent now.
    pub(super) fn sending(&mut self, id: &str, now: Moment) {
        self.pace.tried = Some(id.to_owned());
        self.pace.floor = now + MIN_INTERVAL_MS;
    }

    /// Waits before the next try, as long as this kind of failure asks for.
    pub(super) fn pause(&mut self, pause: Pause, now: Moment, random: &mut Random) {
        match pause {
            Pause::Transient => self.pace.transient(now, random),
            Pause::Refusal => self.pace.refused(now),
            Pause::Terminal => self.pace.terminal(now, random),
        }
    }

    /// Nothing is sent before `until`, whatever changes.
    pub(super) fn not_before(&mut self, until: Moment) {
        self.pace.not_before(until);
    }

    /// Nothing left, so nothing can have been spent: once, it is repeated at once. Whether this is that once.
    pub(super) fn repeats_unsent(&mut self, now: Moment) -> bool {
        if self.pace.repeated_unsent {
            return false;
        }
        self.pace.repeated_unsent = true;
        self.pace.floor = now;
        self.pace.retry_at = now;
        self.pace.look_at = now;
        true
    }

    /// The situation has changed: what slept out a backoff is woken.
    pub(super) fn wake(&mut self, now: Moment) {
        self.pace.retry_at = self.pace.retry_at.min(now);
        self.pace.look_at = self.pace.floor;
    }

    /// Whoever was asked has vanished, and nothing is wrong with what it was asked for: it is asked anew, at once.
    pub(super) fn ask_anew(&mut self, now: Moment) {
        self.failure = None;
        self.pace.retry_at = now;
        self.pace.look_at = self.pace.floor;
    }

    /// Another input: what was wrong with the last one says nothing about this one.
    pub(super) fn forgive(&mut self, now: Moment) {
        self.pace.refusals = 0;
        self.pace.retry_at = now;
        if self.pace.floor - now <= MIN_INTERVAL_MS {
            self.recovered();
        }
    }
}

/// How it went.
impl Attempt {
    pub(super) fn failure(&self) -> Option<&Trouble> {
        self.failure.as_ref()
    }

    pub(super) fn failed_with(&self, code: FailureCode) -> bool {
        self.failure.as_ref().is_some_and(|trouble| trouble.failure.code == code)
    }

    pub(super) fn fail(&mut self, trouble: Trouble) {
        self.failure = Some(trouble);
    }

    /// Whether the rotation of a spent identity token is awaited.
    pub(super) fn waits(&self) -> bool {
        self.waiting.is_some()
    }

    /// The rotation of this identity token is awaited from here on; whether that is news.
    pub(super) fn wait_for(&mut self, id: &str) -> bool {
        let news = self.waiting.as_deref() != Some(id);
        self.waiting = Some(id.to_owned());
        news
    }

    /// There is an identity token that can be exchanged.
    pub(super) fn wait_no_more(&mut self) {
        self.waiting = None;
    }

    /// There is a token: nothing is wrong any more.
    pub(super) fn succeeded(&mut self) {
        self.recovered();
        self.pace.succeeded();
    }

    /// What failed fails no more.
    pub(super) fn recovered(&mut self) {
        self.failure = None;
        self.waiting = None;
    }

    /// Goes on where an earlier session was. Callers are answered at once during a pause that it began, and told why.
    pub(super) fn resume(&mut self, pace: Pace, failure: Option<Failure>, now: Moment) {
        self.pace = pace;
        let until = self.retry_at();
        self.failure = failure.filter(|_| until > now).map(|failure| Trouble::kept(failure, until));
    }

    /// Takes over the pause of another session, if it is the longer one.
    pub(super) fn join(&mut self, theirs: Pace, failure: Option<Failure>) {
        if theirs.retry_at <= self.pace.retry_at {
            return;
        }
        let until = theirs.retry_at.max(theirs.floor);
        if let Some(failure) = failure {
            self.failure = Some(Trouble::kept(failure, until));
        }
        self.pace = Pace { look_at: self.pace.look_at, floor: self.pace.floor.max(theirs.floor), ..theirs };
    }
}
