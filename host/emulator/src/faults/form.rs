//! Faults in JSON.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::{ApiFault, Fault, named};

/// A fault that was not understood. Correct what the message names.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct FaultError(pub(super) String);

#[derive(Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
enum Form {
    Status(Canned),
    Redirect {
        to: String,
    },
    DropBeforeExchange {},
    DropBeforeAnswer {},
    CutAnswer {},
    Delay {
        ms: u64,
    },
    StatusAfterExchange(Canned),
    #[serde(rename = "raw_200")]
    Raw200 {
        body: String,
    },
    Oversized {
        bytes: usize,
    },
    ExpiresIn {
        value: Value,
    },
    Member {
        name: String,
        #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
        value: Option<Value>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
enum ApiForm {
    Unauthorized {},
    Status(Canned),
    Redirect { to: String },
    Delay { ms: u64 },
    Drop {},
    DropMidStream { events: usize },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Canned {
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
}

/// A `null` that is there is a value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Fault {
    /// A fault by its name, or with its parts.
    ///
    /// | Name | What the sender meets |
    /// |---|---|
    /// | `lost_answer` | no answer, and the `jti` is spent |
    /// | `cut_answer` | half of an answer with status 200, and the `jti` is spent |
    /// | `lost_request` | no answer, and nothing is spent |
    /// | `expires_in_60`, `expires_in_0`, `expires_in_negative`, `expires_in_text`, `expires_in_null`, `expires_in_huge`, `expires_in_missing` | such an `expires_in` |
    /// | `extra_members` | members that it does not know, nested ones among them |
    /// | `token_type_lower`, `token_type_mac`, `token_type_missing` | such a `token_type` |
    /// | `redirect` | 307 to another origin, which records who follows |
    /// | `oversized` | 200 with a body of more than 1 MiB |
    /// | `not_json`, `json_array`, `empty` | 200 with such a body |
    /// | `html_502` | 502 with a page |
    /// | `rate_limited` | 429 with `retry-after: 7` |
    /// | `overloaded`, `server_error` | 529, 500 |
    /// | `server_error_after` | 500, and the `jti` is spent |
    /// | `slow` | the answer after 31 seconds |
    ///
    /// With parts it is an object with the [`code`](Self::code) and the fields of the variant:
    ///
    /// ```
    /// use std::time::Duration;
    /// use serde_json::json;
    /// use wif_emulator::Fault;
    ///
    /// let slow = Fault::from_json(&json!({ "fault": "delay", "ms": 500 }))?;
    /// assert_eq!(slow, Fault::Delay(Duration::from_millis(500)));
    /// let untyped = Fault::from_json(&json!({ "fault": "member", "name": "token_type" }))?;
    /// assert_eq!(untyped, Fault::from_json(&json!("token_type_missing"))?);
    /// # Ok::<(), wif_emulator::FaultError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When there is no such fault, or it does not have its parts.
    pub fn from_json(value: &Value) -> Result<Self, FaultError> {
        match value {
            Value::String(name) => named::exchange(name),
            _ => Form::deserialize(value).map(Form::into_fault).map_err(|error| FaultError(error.to_string())),
        }
    }

    /// The form with parts. Bodies that are not UTF-8 are shown with replacements.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(Form::of(self)).unwrap_or_default()
    }
}

impl ApiFault {
    /// A fault by its name, or with its parts.
    ///
    /// | Name | What the caller meets |
    /// |---|---|
    /// | `unauthorized` | 401 to an access token that is good |
    /// | `rate_limited` | 429 with `retry-after: 7` |
    /// | `overloaded`, `server_error` | 529, 500 |
    /// | `redirect` | 307 to another origin, which records who follows |
    /// | `slow` | the answer after 31 seconds |
    /// | `lost_answer` | no answer |
    /// | `cut_stream` | the connection closed after five events |
    ///
    /// With parts it is an object with the [`code`](Self::code) and the fields of the variant, as for [`Fault`].
    ///
    /// # Errors
    ///
    /// When there is no such fault, or it does not have its parts.
    pub fn from_json(value: &Value) -> Result<Self, FaultError> {
        match value {
            Value::String(name) => named::api(name),
            _ => ApiForm::deserialize(value).map(ApiForm::into_fault).map_err(|error| FaultError(error.to_string())),
        }
    }

    /// The form with parts. Bodies that are not UTF-8 are shown with replacements.
    pub fn to_json(&self) -> Value {
        serde_json::to_value(ApiForm::of(self)).unwrap_or_default()
    }
}

impl Form {
    fn into_fault(self) -> Fault {
        match self {
            Self::Status(Canned { status, retry_after, body }) => {
                Fault::Status { status, retry_after, body: body.map(String::into_bytes) }
            }
            Self::Redirect { to } => Fault::Redirect { to },
            Self::DropBeforeExchange {} => Fault::DropBeforeExchange,
            Self::DropBeforeAnswer {} => Fault::DropBeforeAnswer,
            Self::CutAnswer {} => Fault::CutAnswer,
            Self::Delay { ms } => Fault::Delay(Duration::from_millis(ms)),
            Self::StatusAfterExchange(Canned { status, retry_after, body }) => {
                Fault::StatusAfterExchange { status, retry_after, body: body.map(String::into_bytes) }
            }
            Self::Raw200 { body } => Fault::Raw200(body.into_bytes()),
            Self::Oversized { bytes } => Fault::Oversized { bytes: bytes.min(MOST_BYTES) },
            Self::ExpiresIn { value } => Fault::ExpiresIn(value),
            Self::Member { name, value } => Fault::Member { name, value },
        }
    }

    fn of(fault: &Fault) -> Self {
        match fault.clone() {
            Fault::Status { status, retry_after, body } => Self::Status(Canned { status, retry_after, body: body.map(text) }),
            Fault::Redirect { to } => Self::Redirect { to },
            Fault::DropBeforeExchange => Self::DropBeforeExchange {},
            Fault::DropBeforeAnswer => Self::DropBeforeAnswer {},
            Fault::CutAnswer => Self::CutAnswer {},
            Fault::Delay(delay) => Self::Delay { ms: milliseconds(delay) },
            Fault::StatusAfterExchange { status, retry_after, body } => {
                Self::StatusAfterExchange(Canned { status, retry_after, body: body.map(text) })
            }
            Fault::Raw200(body) => Self::Raw200 { body: text(body) },
            Fault::Oversized { bytes } => Self::Oversized { bytes },
            Fault::ExpiresIn(value) => Self::ExpiresIn { value },
            Fault::Member { name, value } => Self::Member { name, value },
        }
    }
}

impl ApiForm {
    fn into_fault(self) -> ApiFault {
        match self {
            Self::Unauthorized {} => ApiFault::Unauthorized,
            Self::Status(Canned { status, retry_after, body }) => {
                ApiFault::Status { status, retry_after, body: body.map(String::into_bytes) }
            }
            Self::Redirect { to } => ApiFault::Redirect { to },
            Self::Delay { ms } => ApiFault::Delay(Duration::from_millis(ms)),
            Self::Drop {} => ApiFault::Drop,
            Self::DropMidStream { events } => ApiFault::DropMidStream { events },
        }
    }

    fn of(fault: &ApiFault) -> Self {
        match fault.clone() {
            ApiFault::Unauthorized => Self::Unauthorized {},
            ApiFault::Status { status, retry_after, body } => Self::Status(Canned { status, retry_after, body: body.map(text) }),
            ApiFault::Redirect { to } => Self::Redirect { to },
            ApiFault::Delay(delay) => Self::Delay { ms: milliseconds(delay) },
            ApiFault::Drop => Self::Drop {},
            ApiFault::DropMidStream { events } => Self::DropMidStream { events },
        }
    }
}

/// The largest padding that is sent: what clients have to refuse is a fraction of it.
const MOST_BYTES: usize = 64 * 1024 * 1024;

fn text(body: Vec<u8>) -> String {
    String::from_utf8_lossy(&body).into_owned()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
