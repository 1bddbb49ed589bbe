//! The administration API: the emulator's switches, for people and for tests in other languages.
//!
//! It has a listener of its own, on loopback, and no credential. Requests must name that listener as their `Host`, and may not
//! come from a web page (`Origin`), so that no page in a browser of this machine can reach it.

mod guard;
mod routes;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::routing::{any, get, post};

use crate::emulator::Services;
use crate::http::{envelope, server};

/// Where redirects lead that name no place.
pub(crate) const FOLLOWED_PATH: &str = "/followed";

/// The routes. Those that change something answer with what holds then.
pub(crate) fn router(state: Arc<Services>) -> Router {
    Router::new()
        .route("/", get(routes::index))
        .route("/state", get(routes::state))
        .route("/switches", get(routes::switches).put(routes::set_switches))
        .route("/faults", get(routes::faults).put(routes::set_faults).post(routes::add_fault).delete(routes::clear_faults))
        .route("/history", get(routes::history))
        .route("/resources", get(routes::resources).put(routes::set_resources))
        .route("/try", post(routes::try_out))
        .route("/identity-tokens", post(routes::mint))
        .route("/token-file/rotate", post(routes::rotate_files))
        .route("/revoke", post(routes::revoke))
        .route("/keys", get(routes::keys))
        .route("/keys/publish", post(routes::publish_key))
        .route("/keys/rotate", post(routes::rotate_key))
        .route("/keys/withdraw", post(routes::withdraw_keys))
        .route("/keys/forget", post(routes::forget_keys))
        .route("/clock/advance", post(routes::advance))
        .layer(DefaultBodyLimit::max(MOST_BODY_BYTES))
        .fallback(envelope::not_found)
        .method_not_allowed_fallback(envelope::method_not_allowed)
        .layer(middleware::from_fn(guard::check))
        // A redirect leads clients here, and they send what they send.
        .route(FOLLOWED_PATH, any(routes::followed))
        .layer(middleware::from_fn_with_state(state.clone(), server::identify))
        .with_state(state)
}

/// The largest body accepted, in bytes.
const MOST_BODY_BYTES: usize = 4 * 1024 * 1024;
