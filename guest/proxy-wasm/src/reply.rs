//! What a request is answered with that cannot have a credential.

use proxy_wasm::hostcalls;
use serde_json::Value;
use wif_engine::contract::Failure;

/// Retry-After, in seconds, where nothing better is known: soon for what passes by itself, later for what a person must mend.
const SOON_S: u64 = 1;
const LATER_S: u64 = 60;

/// Why, and when another try makes sense.
pub(crate) struct Reply {
    code: String,
    retry_after_s: u64,
}

impl Reply {
    /// There is no token.
    pub(crate) fn failure(failure: &Failure) -> Self {
        let retry_after_s = failure.retry_in_ms.map_or(LATER_S, |wait| wait.div_ceil(1_000)).max(SOON_S);
        Self { code: name(&failure.code), retry_after_s }
    }

    /// It has waited for as long as requests may.
    pub(crate) fn timed_out() -> Self {
        Self { code: "timed-out".to_owned(), retry_after_s: SOON_S }
    }

    /// As many requests wait as may.
    pub(crate) fn overloaded() -> Self {
        Self { code: "overloaded".to_owned(), retry_after_s: SOON_S }
    }

    /// The proxy does not tell what the filter has to know.
    pub(crate) fn denied_by_proxy() -> Self {
        Self { code: "denied-by-host".to_owned(), retry_after_s: LATER_S }
    }

    /// The filter is being taken away.
    pub(crate) fn closed() -> Self {
        Self { code: "closed".to_owned(), retry_after_s: LATER_S }
    }

    /// The token is for another origin than the clusters lead to.
    pub(crate) fn other_origin() -> Self {
        Self { code: "other-origin".to_owned(), retry_after_s: LATER_S }
    }

    /// Answers the request of the effective context, in the form of the API's own errors. The message has the stable code of
    /// `x-wif-code` in brackets, and nothing about the workload; that is in the log.
    pub(crate) fn send(&self) {
        let message = format!("The proxy has no credential for this request ({}).", self.code);
        let body = format!(r#"{{"type":"error","error":{{"type":"api_error","message":"{message}"}},"request_id":null}}"#);
        let retry_after = self.retry_after_s.to_string();
        let headers = vec![("content-type", "application/json"), ("retry-after", &*retry_after), ("x-wif-code", &*self.code)];
        // A request that is gone needs no answer.
        let _ = hostcalls::send_http_response(503, headers, Some(body.as_bytes()));
    }
}

/// The name of a code of the contract, in kebab-case.
pub(crate) fn name(code: &impl serde::Serialize) -> String {
    match serde_json::to_value(code) {
        Ok(Value::String(name)) => name,
        _ => String::new(),
    }
}
