//! Faults that have a name of their own, so that nobody has to spell them out.

use std::time::Duration;

use serde_json::{Value, json};

use super::form::FaultError;
use super::{ApiFault, Fault};

pub(super) fn exchange(name: &str) -> Result<Fault, FaultError> {
    let member = |name: &str, value: Option<Value>| Fault::Member { name: name.to_owned(), value };
    Ok(match name {
        "lost_answer" => Fault::DropBeforeAnswer,
        "cut_answer" => Fault::CutAnswer,
        "lost_request" => Fault::DropBeforeExchange,
        "expires_in_60" => Fault::ExpiresIn(json!(60)),
        "expires_in_0" => Fault::ExpiresIn(json!(0)),
        "expires_in_negative" => Fault::ExpiresIn(json!(-1)),
        "expires_in_text" => Fault::ExpiresIn(json!("600")),
        "expires_in_null" => Fault::ExpiresIn(Value::Null),
        "expires_in_huge" => Fault::ExpiresIn(json!(1e12)),
        "expires_in_missing" => member("expires_in", None),
        "extra_members" => member("extension", Some(json!({ "nested": [{ "deeper": null }], "number": 1.5 }))),
        "token_type_lower" => member("token_type", Some("bearer".into())),
        "token_type_mac" => member("token_type", Some("MAC".into())),
        "token_type_missing" => member("token_type", None),
        "redirect" => Fault::Redirect { to: String::new() },
        "oversized" => Fault::Oversized { bytes: OVERSIZED },
        "not_json" => Fault::Raw200(b"access granted".to_vec()),
        "json_array" => Fault::Raw200(b"[]".to_vec()),
        "empty" => Fault::Raw200(Vec::new()),
        "html_502" => Fault::Status { status: 502, retry_after: None, body: Some(PAGE.to_vec()) },
        "rate_limited" => Fault::Status { status: 429, retry_after: Some("7".to_owned()), body: None },
        "overloaded" => Fault::status(529),
        "server_error" => Fault::status(500),
        "server_error_after" => Fault::StatusAfterExchange { status: 500, retry_after: None, body: None },
        "slow" => Fault::Delay(SLOW),
        _ => return Err(unknown(name, &EXCHANGE)),
    })
}

pub(super) fn api(name: &str) -> Result<ApiFault, FaultError> {
    Ok(match name {
        "unauthorized" => ApiFault::Unauthorized,
        "rate_limited" => ApiFault::Status { status: 429, retry_after: Some("7".to_owned()), body: None },
        "overloaded" => ApiFault::status(529),
        "server_error" => ApiFault::status(500),
        "redirect" => ApiFault::Redirect { to: String::new() },
        "slow" => ApiFault::Delay(SLOW),
        "lost_answer" => ApiFault::Drop,
        "cut_stream" => ApiFault::DropMidStream { events: 5 },
        _ => return Err(unknown(name, &API)),
    })
}

impl Fault {
    /// The names that [`from_json`](Self::from_json) takes.
    pub const NAMES: &'static [&'static str] = &EXCHANGE;
}

impl ApiFault {
    /// The names that [`from_json`](Self::from_json) takes.
    pub const NAMES: &'static [&'static str] = &API;
}

const EXCHANGE: [&str; 25] = [
    "lost_answer",
    "cut_answer",
    "lost_request",
    "expires_in_60",
    "expires_in_0",
    "expires_in_negative",
    "expires_in_text",
    "expires_in_null",
    "expires_in_huge",
    "expires_in_missing",
    "extra_members",
    "token_type_lower",
    "token_type_mac",
    "token_type_missing",
    "redirect",
    "oversized",
    "not_json",
    "json_array",
    "empty",
    "html_502",
    "rate_limited",
    "overloaded",
    "server_error",
    "server_error_after",
    "slow",
];

const API: [&str; 8] =
    ["unauthorized", "rate_limited", "overloaded", "server_error", "redirect", "slow", "lost_answer", "cut_stream"];

/// A byte more than the 1 MiB that clients take, with what stands around it.
const OVERSIZED: usize = 1024 * 1024;

const PAGE: &[u8] = b"<html><body><h1>502 Bad Gateway</h1></body></html>";

/// A second more than the 30 that clients wait.
const SLOW: Duration = Duration::from_secs(31);

fn unknown(name: &str, known: &[&str]) -> FaultError {
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    let hint = match nearest {
        Some((distance, known)) if distance <= name.len().max(3) / 2 => format!("; did you mean `{known}`?"),
        _ => ".".to_owned(),
    };
    FaultError(format!("there is no fault `{name}`{hint} Known: {}", known.join(", ")))
}
