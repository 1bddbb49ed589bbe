//! What a request is answered with that cannot have a credential: the same as by the project's other proxies.

use serde_json::Value;
use wif_engine::contract::Failure;
use wif_rules::{Reply, STATUS};

use crate::hostcalls;

/// There is no token.
pub(crate) fn failed(failure: &Failure) -> Reply {
    Reply::failed(name(&failure.code), failure.retry_in_ms)
}

/// The proxy does not tell what the filter has to know.
pub(crate) fn denied_by_proxy() -> Reply {
    Reply::failed("denied-by-host", None)
}

/// Answers the request of the effective context.
pub(crate) fn send(reply: &Reply) {
    let (headers, body) = (reply.headers(), reply.body("proxy"));
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, &**value)).collect();
    // A request that is gone needs no answer.
    let _ = hostcalls::send_http_response(STATUS.into(), &headers, body.as_bytes());
}

/// The name of a code of the contract, in kebab-case.
pub(crate) fn name(code: &impl serde::Serialize) -> String {
    match serde_json::to_value(code) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}
