//! The engine as a proxy-wasm filter, for Envoy and its kin. It works as a downstream and as an upstream HTTP filter.
//!
//! **Requests to the API's clusters** carry exactly one credential: ours. Every form of the caller's own is taken off. A request that
//! finds a good token reads it from the VM's memory and does not enter the session. Without a token it is paused, in bounded number
//! and for a bounded time; when there is none to be had it is answered with 503 in the form of the API's errors. Nothing ever
//! leaves for these clusters unauthenticated, except `CONNECT`, `OPTIONS`, `TRACE` and upgrades, which carry no credential at all.
//!
//! **Requests to other clusters** are not touched. Which those are the filter asks the proxy for each request; or it is told that
//! all that pass go to the API (`"clusters": "all"`), and asks none: in a cluster's chain, or where the proxy enters it for the
//! API's routes alone.
//!
//! **Tasks** are performed by the root context alone, on ticks and callbacks: exchanges and reads are HTTP calls through clusters. A
//! call that belonged to a request would end with its client.
//!
//! **Worker threads** have a VM each. They share the entry under the session's key in the proxy's shared data, by
//! compare-and-swap, and so make one exchange, and know of each other's tokens and rejections. Shared data is readable by every
//! module with the same `vm_id`: give the filter one of its own.
//!
//! **A 401** from the API is a rejection of the token that the request carried. As an upstream filter, with the router's retry on
//! 401, the request is sent again as soon as there is another token (within `waiting.at_most_ms`), and the caller sees nothing of
//! it, unless no other can be had: until the identity token has rotated, say. As a downstream filter it cannot be
//! sent again, and the 401 is the answer.
//!
//! # Metrics and logs
//!
//! Every note of the engine is a line of the log, `wif: <code>: <sentence> <name>=<value> …`, and counts in `wif_<code>`, with `_` for
//! `-`: the codes are those of `note-code` in `wit/types.wit`, the same in every host. Beside them stand what only a proxy has:
//! `wif_requests_waited`, `wif_requests_refused`, `wif_requests_elsewhere`, and the gauges `wif_requests_waiting` and `wif_token_unusable_at_seconds` (Unix
//! time; zero without a token). The first adds up over all workers and configurations of a proxy; of the second a proxy has one,
//! which says what was told last: with several configurations it is that whose token changed last. Envoy puts `wasmcustom.` before them. None of them names or holds a secret: tokens appear as ids.
//! What stands in the plugin's configuration stands in Envoy's `/config_dump`, too: an identity token belongs into a file.
//! What Envoy writes of itself shows no credential. An access log or a tap that is configured to show `authorization` shows ours,
//! as it shows the credential of Envoy's own injector: a module cannot take a header back once the request has gone. So do Envoy's
//! own lines at the log level `debug`.
//!
//! # Limits
//!
//! A loop in a VM cannot be ended by Envoy; the engine has none that its input could prolong. A trap ends the VM: with
//! `FAIL_RELOAD` the next request gets a new one, which finds the token in the store; requests that were paused in the old one are
//! ended by the proxy's own time limits, so set `stream_idle_timeout` and `request_timeout`. `FAIL_OPEN` would let requests through
//! unauthenticated, with whatever credential their callers sent: never set it.
//!
//! The filter decides by the cluster that a route has chosen, or leaves that to whoever configured the proxy. What must not be
//! done to a request afterwards - mirrors, redirects, routes by what the filter changes - stands in
//! `host/envoy/configurations/README.md`. Credentials in a query (`?key=`) are none to the API, and are left where they are. A VM
//! that traps while requests wait in it leaves them in the gauge.
//!
//! What is portable is in [`driver`] and [`settings`]; the rest needs a proxy and is there for `wasm32` only.

#![deny(unsafe_code)]

#[cfg(target_arch = "wasm32")]
mod callbacks;
#[cfg(target_arch = "wasm32")]
mod credential;
pub mod driver;
#[cfg(target_arch = "wasm32")]
mod fields;
#[cfg(target_arch = "wasm32")]
mod hostcalls;
#[cfg(target_arch = "wasm32")]
mod metrics;
#[cfg(target_arch = "wasm32")]
mod outside;
#[cfg(target_arch = "wasm32")]
mod reply;
#[cfg(target_arch = "wasm32")]
mod request;
#[cfg(target_arch = "wasm32")]
mod root;
pub mod settings;
#[cfg(target_arch = "wasm32")]
mod shared;

#[cfg(target_arch = "wasm32")]
pub use callbacks::{Make, start};
