//! Who may use the administration API: programs of this machine, and not the pages in its browsers.

use axum::Extension;
use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::http::envelope::{ApiError, RequestId};

/// Refuses requests whose `Host` is not this machine (DNS rebinding), and those that a page sent (cross-site requests).
pub(super) async fn check(Extension(request_id): Extension<RequestId>, request: Request, next: Next) -> Response {
    let refuse = |message: &str| ApiError::new(StatusCode::FORBIDDEN, message, &request_id).into_response();
    if !names_loopback(request.headers()) {
        return refuse("Host: the administration API answers to 127.0.0.1, [::1] and localhost only");
    }
    if request.headers().contains_key(ORIGIN) {
        return refuse("Origin: the administration API does not answer web pages");
    }
    next.run(request).await
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    let Some(authority) = authority.filter(|authority| !authority.as_str().contains('@')) else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}
