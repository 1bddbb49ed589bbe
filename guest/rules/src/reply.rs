//! What a request is answered with that cannot have a credential.

use std::borrow::Cow;

/// The status of every reply.
pub const STATUS: u16 = 503;

/// `Retry-After`, in seconds, of what passes by itself.
pub const SOON_S: u64 = 1;

/// `Retry-After`, in seconds, of what a person must mend, and of failures that name no time. It is never longer: what a person mends
/// is mended sooner than the session would try again by itself.
pub const LATER_S: u64 = 60;

/// Why there is no credential, and when another try makes sense: the same in all hosts, in the form of the API's own errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: Cow<'static, str>,
    retry_after_s: u64,
}

impl Reply {
    /// There is no token. With the name of the failure's code, and the time in which the session tries again.
    #[must_use]
    pub fn failed(code: impl Into<Cow<'static, str>>, retry_in_ms: Option<u64>) -> Self {
        let retry_after_s = retry_in_ms.map_or(LATER_S, |wait| wait.div_ceil(1_000)).clamp(SOON_S, LATER_S);
        Self { code: code.into(), retry_after_s }
    }

    /// It has waited for as long as requests may.
    #[must_use]
    pub const fn timed_out() -> Self {
        Self { code: Cow::Borrowed("timed-out"), retry_after_s: SOON_S }
    }

    /// As many requests wait as may.
    #[must_use]
    pub const fn overloaded() -> Self {
        Self { code: Cow::Borrowed("overloaded"), retry_after_s: SOON_S }
    }

    /// The credential is closed.
    #[must_use]
    pub const fn closed() -> Self {
        Self { code: Cow::Borrowed("closed"), retry_after_s: LATER_S }
    }

    /// The token is for another origin than this host was told.
    #[must_use]
    pub const fn other_origin() -> Self {
        Self { code: Cow::Borrowed("other-origin"), retry_after_s: LATER_S }
    }

    /// The host itself has failed.
    #[must_use]
    pub const fn stopped(code: &'static str) -> Self {
        Self { code: Cow::Borrowed(code), retry_after_s: SOON_S }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Seconds until another try makes sense.
    #[must_use]
    pub const fn retry_after_s(&self) -> u64 {
        self.retry_after_s
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> [(&'static str, Cow<'_, str>); 3] {
        [
            ("content-type", Cow::Borrowed("application/json")),
            ("retry-after", Cow::Owned(self.retry_after_s.to_string())),
            ("x-wif-code", Cow::Borrowed(&self.code)),
        ]
    }

    /// The body. Its message has the code in brackets, and nothing about the workload; that is in the log. `who` is the host:
    /// "proxy".
    #[must_use]
    pub fn body(&self, who: &str) -> String {
        let code = &self.code;
        let message = format!("The {who} has no credential for this request ({code}).");
        format!(r#"{{"type":"error","error":{{"type":"api_error","message":"{message}"}},"request_id":null}}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_whole_seconds_rounded_up_and_neither_none_nor_more_than_a_minute() {
        let seconds = |wait| Reply::failed("refused", wait).retry_after_s();
        assert_eq!([Some(0), Some(1), Some(1_000), Some(1_001), Some(600_000), None].map(seconds), [1, 1, 1, 2, 60, 60]);
    }

    #[test]
    fn the_body_has_the_form_of_the_apis_own_errors() {
        let body: serde_json::Value = serde_json::from_str(&Reply::closed().body("proxy")).expect("JSON");
        assert_eq!(body["error"]["message"], "The proxy has no credential for this request (closed).");
        assert_eq!((&body["type"], &body["error"]["type"]), (&"error".into(), &"api_error".into()));
    }
}
