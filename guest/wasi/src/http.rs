//! Requests of the session in `wasi:http`. Versions of it have types of their own, and so what names them is a macro here.

mod errors;
mod wire;

pub use errors::EARLY_ALERTS;
pub use wire::{Parts, connect_timeout, headers, refused_header, response};
