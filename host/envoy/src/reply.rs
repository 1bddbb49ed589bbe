//! What a request is answered with that cannot have a credential: the same as by the project's other proxies.

use wif::Error;

/// Retry-After, in seconds, where nothing better is known: soon for what passes by itself, later for what a person must mend.
const SOON_S: u64 = 1;
const LATER_S: u64 = 60;

/// Why, and when another try makes sense.
#[derive(Debug)]
pub(crate) struct Reply {
    code: &'static str,
    retry_after_s: u64,
}

impl Reply {
    /// The status of all of them.
    pub(crate) const STATUS: u16 = 503;

    /// There is no token.
    pub(crate) fn failed(error: &Error) -> Self {
        match error {
            Error::Unavailable(failure) => {
                let seconds = failure.retry_in.map_or(LATER_S, |wait| wait.as_secs_f64().ceil() as u64);
                Self { code: failure.code.as_str(), retry_after_s: seconds.max(SOON_S) }
            }
            Error::TimedOut { .. } => Self { code: "timed-out", retry_after_s: SOON_S },
            Error::Overloaded { .. } => Self { code: "overloaded", retry_after_s: SOON_S },
            // And what a later version may add.
            _ => Self { code: "closed", retry_after_s: LATER_S },
        }
    }

    /// The token is for another origin than the clusters lead to.
    pub(crate) fn other_origin() -> Self {
        Self { code: "other-origin", retry_after_s: LATER_S }
    }

    /// Something went wrong in the module itself.
    pub(crate) fn stopped() -> Self {
        Self { code: "module-stopped", retry_after_s: SOON_S }
    }

    /// The header fields.
    pub(crate) fn headers(&self) -> [(&'static str, String); 3] {
        [
            ("content-type", "application/json".to_owned()),
            ("retry-after", self.retry_after_s.to_string()),
            ("x-wif-code", self.code.to_owned()),
        ]
    }

    /// In the form of the API's own errors. The message has a stable code in brackets, and nothing about the workload; that is in
    /// the log.
    pub(crate) fn body(&self) -> String {
        let message = format!("The proxy has no credential for this request ({}).", self.code);
        format!(r#"{{"type":"error","error":{{"type":"api_error","message":"{message}"}},"request_id":null}}"#)
    }

    /// What Envoy's access log has as the details of the response code.
    pub(crate) fn details(&self) -> String {
        format!("wif:{}", self.code)
    }
}
