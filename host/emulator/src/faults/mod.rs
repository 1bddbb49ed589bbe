//! What can be made to go wrong, with exchanges and with the API.

mod form;
mod named;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

pub use self::form::FaultError;

/// Something that goes wrong with one exchange.
///
/// The faults fall in two groups, and the difference is whether the identity token is spent: those that strike
/// *before* the exchange is looked at leave it as it was; those that strike *after* spend its `jti` and mint an access
/// token, which the sender may never see. A refusal is sent as it is by the second group, but for
/// [`DropBeforeAnswer`](Self::DropBeforeAnswer) and [`Delay`](Self::Delay), which do not look at the decision.
///
/// [`from_json`](Self::from_json) has the names under which they can be turned on by people.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Before: answer with this status.
    Status {
        /// The status, 200 to 599; less becomes 500.
        status: u16,
        /// The value of `retry-after`: seconds, or a date (RFC 9110 section 10.2.3).
        retry_after: Option<String>,
        /// The body. `None`: the API's error envelope for that status.
        body: Option<Vec<u8>>,
    },
    /// Before: answer 307, which asks the sender to send the identity token to another place.
    Redirect {
        /// The value of `location`. Empty: a place on the administration's listener, which records who follows.
        to: String,
    },
    /// Before: close the connection without an answer.
    DropBeforeExchange,
    /// After: close the connection without an answer.
    DropBeforeAnswer,
    /// After: answer 200, and close the connection in the middle of the body.
    CutAnswer,
    /// After: answer this much later. A sender who gives up meanwhile has spent its identity token.
    Delay(Duration),
    /// After: answer with this status in place of the access token.
    StatusAfterExchange {
        /// The status, 200 to 599; less becomes 500.
        status: u16,
        /// The value of `retry-after`: seconds, or a date (RFC 9110 section 10.2.3).
        retry_after: Option<String>,
        /// The body. `None`: the API's error envelope for that status.
        body: Option<Vec<u8>>,
    },
    /// After: answer 200 with this body, and the content type of JSON.
    Raw200(Vec<u8>),
    /// After: add a member of so many bytes to the answer. Clients take at most 1 MiB.
    Oversized {
        /// Its size.
        bytes: usize,
    },
    /// After: say that the access token expires in this. Its true lifetime does not change.
    ExpiresIn(Value),
    /// After: set a member of the answer, or take it out.
    Member {
        /// The name of the member, such as `token_type`.
        name: String,
        /// Its value. `None`: the member is left out.
        value: Option<Value>,
    },
}

/// Something that goes wrong with one request to the API whose access token is good.
///
/// [`from_json`](Self::from_json) has the names under which they can be turned on by people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiFault {
    /// Answer 401, as if the access token were unknown. It stays good.
    Unauthorized,
    /// Answer with this status.
    Status {
        /// The status, 200 to 599; less becomes 500.
        status: u16,
        /// The value of `retry-after`: seconds, or a date (RFC 9110 section 10.2.3).
        retry_after: Option<String>,
        /// The body. `None`: the API's error envelope for that status.
        body: Option<Vec<u8>>,
    },
    /// Answer 307, which asks the sender to send its request to another place.
    Redirect {
        /// The value of `location`. Empty: a place on the administration's listener, which records who follows.
        to: String,
    },
    /// Answer this much later.
    Delay(Duration),
    /// Close the connection without an answer.
    Drop,
    /// Close the connection after so many events of a stream; another answer is not sent at all.
    DropMidStream {
        /// How many events are sent.
        events: usize,
    },
}

impl Fault {
    /// A name that stays the same between versions.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::DropBeforeExchange => "drop_before_exchange",
            Self::DropBeforeAnswer => "drop_before_answer",
            Self::CutAnswer => "cut_answer",
            Self::Delay(_) => "delay",
            Self::StatusAfterExchange { .. } => "status_after_exchange",
            Self::Raw200(_) => "raw_200",
            Self::Oversized { .. } => "oversized",
            Self::ExpiresIn(_) => "expires_in",
            Self::Member { .. } => "member",
        }
    }

    /// Answer with `status` and the API's envelope, before the exchange is looked at.
    pub fn status(status: u16) -> Self {
        Self::Status { status, retry_after: None, body: None }
    }
}

impl ApiFault {
    /// A name that stays the same between versions.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::Delay(_) => "delay",
            Self::Drop => "drop",
            Self::DropMidStream { .. } => "drop_mid_stream",
        }
    }

    /// Answer with `status` and the API's envelope.
    pub fn status(status: u16) -> Self {
        Self::Status { status, retry_after: None, body: None }
    }
}

/// The faults to come: a script that is used up first, then an outage that stays.
pub(crate) struct Faults<F> {
    script: Mutex<VecDeque<F>>,
    outage: Mutex<Option<F>>,
}

impl<F> Default for Faults<F> {
    fn default() -> Self {
        Self { script: Mutex::default(), outage: Mutex::default() }
    }
}

impl<F: Clone> Faults<F> {
    pub(crate) fn inject(&self, fault: F) {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    pub(crate) fn set_outage(&self, fault: Option<F>) {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// Replaces the script.
    pub(crate) fn set_script(&self, faults: Vec<F>) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = faults.into();
    }

    /// The script and the outage.
    pub(crate) fn pending(&self) -> (Vec<F>, Option<F>) {
        let script = self.script.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
        (script, self.outage.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// The fault for the next request.
    pub(crate) fn take(&self) -> Option<F> {
        let scripted = self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        scripted.or_else(|| self.outage.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
