//! What a request is answered with that cannot have a credential: the same as by the project's other proxies.

use wif::Error;
use wif_rules::Reply;

/// There is no token.
pub(crate) fn failed(error: &Error) -> Reply {
    match error {
        Error::Unavailable(failure) => {
            let retry_in_ms = failure.retry_in.map(|wait| wait.as_millis().try_into().unwrap_or(u64::MAX));
            Reply::failed(failure.code.as_str(), retry_in_ms)
        }
        Error::TimedOut { .. } => Reply::timed_out(),
        Error::Overloaded { .. } => Reply::overloaded(),
        // And what a later version may add.
        _ => Reply::closed(),
    }
}

/// Something went wrong in the module itself.
pub(crate) fn stopped() -> Reply {
    Reply::stopped("module-stopped")
}

/// What Envoy's access log has as the details of the response code.
pub(crate) fn details(reply: &Reply) -> String {
    format!("wif:{}", reply.code())
}
