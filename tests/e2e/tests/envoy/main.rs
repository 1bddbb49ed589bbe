//! The real Envoy, with the filter in every form that it has, against the emulator: what callers see, and what reaches the
//! wire, when things go well and when they do not.
//!
//! A scenario is written once and run for each [`Form`](harness::Form). What tests look for on the wire, in logs and in dumps
//! is first shown to be seen there without a filter: see `controls`.

#![cfg(target_os = "linux")]

mod harness;

/// What the harness sees without a filter: the other scenarios hold that it is not there.
mod controls;

mod cases;
mod cold_start;
mod configurations;
mod credentials;
mod drain;
mod failure;
mod isolation;
mod meshes;
mod metrics;
mod protocols;
mod rejection;
mod reload;
mod rotation;
mod routing;
mod secrets;
mod sources;
mod streaming;
mod traps;
