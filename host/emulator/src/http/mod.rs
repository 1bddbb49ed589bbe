//! HTTP: what is read of a request, and the form of what is decided about it. Nothing outside this folder knows the web framework.

pub(crate) mod admin;
mod answer;
mod api;
mod envelope;
mod keys;
mod login;
pub(crate) mod server;
mod token_endpoint;

use axum::http::HeaderMap;

/// The betas that a request names.
fn betas(headers: &HeaderMap) -> Vec<&str> {
    let fields = headers.get_all("anthropic-beta").iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|field| field.split(',')).map(str::trim).collect()
}
