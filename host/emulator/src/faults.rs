//! What can be made to go wrong with exchanges.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// Something that goes wrong with one exchange.
///
/// The faults fall in two groups, and the difference is whether the identity token is spent: those that strike
/// *before* the exchange is looked at leave it as it was; those that strike *after* spend its `jti` and mint an access
/// token, which the sender may never see. A refusal is sent as it is by the second group, but for
/// [`DropBeforeAnswer`](Self::DropBeforeAnswer) and [`Delay`](Self::Delay), which do not look at the verdict.
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
        /// The value of `location`.
        to: String,
    },
    /// Before: close the connection without an answer.
    DropBeforeExchange,
    /// After: close the connection without an answer.
    DropBeforeAnswer,
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

impl Fault {
    /// A name that stays the same between versions.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::DropBeforeExchange => "drop_before_exchange",
            Self::DropBeforeAnswer => "drop_before_answer",
            Self::Delay(_) => "delay",
            Self::StatusAfterExchange { .. } => "status_after_exchange",
            Self::Raw200(_) => "raw_200",
            Self::ExpiresIn(_) => "expires_in",
            Self::Member { .. } => "member",
        }
    }

    /// Answer with `status` and the API's envelope, before the exchange is looked at.
    pub fn status(status: u16) -> Self {
        Self::Status { status, retry_after: None, body: None }
    }
}

/// The faults to come: a script that is used up first, then an outage that stays.
#[derive(Default)]
pub(crate) struct Faults {
    script: Mutex<VecDeque<Fault>>,
    outage: Mutex<Option<Fault>>,
}

impl Faults {
    pub(crate) fn inject(&self, fault: Fault) {
        self.script.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    pub(crate) fn set_outage(&self, fault: Option<Fault>) {
        *self.outage.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// The fault for the next exchange.
    pub(crate) fn take(&self) -> Option<Fault> {
        let scripted = self.script.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        scripted.or_else(|| self.outage.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
