//! The engine as a proxy-wasm filter, for Envoy and its kin. It works as a downstream and as an upstream HTTP filter.
//!
//! **Requests to the API's clusters** carry exactly one credential: ours. Every form of the caller's own is taken off. A request that
//! finds a good token reads it from the VM's memory and does not enter the session. Without a token it is paused, in bounded number
//! and for a bounded time; when there is none to be had it is answered with 503 in the form of the API's errors. Nothing ever
//! leaves for these clusters unauthenticated, except `CONNECT`, `OPTIONS` and upgrades, which carry no credential at all.
//!
//! **Requests to other clusters** are not touched.
//!
//! **Tasks** are performed by the root context alone, on ticks and callbacks: exchanges and reads are HTTP calls through clusters. A
//! call that belonged to a request would end with its client.
//!
//! **Worker threads** have a VM each. They share the entry under the session's key in the proxy's shared data, by
//! compare-and-swap, and so make one exchange, and know of each other's tokens and rejections. Shared data is readable by every
//! module with the same `vm_id`: give the filter one of its own.
//!
//! **A 401** from the API is a rejection of the token that the request carried. As an upstream filter, with the router's retry on
//! 401, the request is sent again with another token, and the caller sees nothing of it. As a downstream filter it cannot be
//! sent again, and the 401 is the answer.
//!
//! What is portable is in [`driver`] and [`settings`]; the rest needs a proxy and is there for `wasm32` only.

#![forbid(unsafe_code)]

pub mod driver;
#[cfg(target_arch = "wasm32")]
mod filter;
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
pub use request::Request;
#[cfg(target_arch = "wasm32")]
pub use root::{Root, start};
