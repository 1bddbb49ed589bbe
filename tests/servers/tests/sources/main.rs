//! Sources of identity tokens, run by the engine natively.

#![allow(clippy::disallowed_methods, reason = "a server that others wrote has its own clock and environment")]

mod engine;
mod faults;
mod real;
