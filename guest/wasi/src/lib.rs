//! What the WASI components share: the session with all that can be done for it at once ([`desk`]), and the form of its requests in
//! `wasi:http` ([`http`]). `wif-standalone` and `wif-standalone-async` differ in what their callers wait for, and in the version of
//! WASI by which they send.
//!
//! Files, variables, clocks, random numbers and lines come through WASI 0.2 in both.

#![forbid(unsafe_code)]

pub mod clock;
pub mod desk;
mod directory;
mod environment;
mod files;
pub mod http;
mod log;

pub use wif_engine::contract::{HttpRequest, Outcome};
