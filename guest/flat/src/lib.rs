//! The engine as a core WebAssembly module that imports nothing: texts in, texts out, for runtimes that know no components.
//!
//! Nothing is decided here. `exports` has the functions, `sessions` reads and writes the contract's JSON form, `texts` says who owns
//! which text, and `wiping` leaves nothing of a text behind. How a runtime calls it: the README beside.

#![deny(unsafe_code)]

mod exports;
mod sessions;
mod texts;
mod wiping;
