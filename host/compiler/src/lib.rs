//! [`wasmtime`] with its compiler, for the build script of the crate `wif`.
//!
//! The library has wasmtime, too, without a compiler and only where it runs a sandbox. Cargo switches an optional dependency on by its
//! name, wherever a package has it; so the build script's has another one.

pub use wasmtime::*;
