//! What a request is answered with that cannot have a credential: the same as by the project's other proxies.

use wif_rules::Reply;

/// Something went wrong in the module itself.
pub(crate) fn stopped() -> Reply {
    Reply::stopped("module-stopped")
}

/// What Envoy's access log has as the details of the response code.
pub(crate) fn details(reply: &Reply) -> String {
    format!("wif:{}", reply.code())
}
