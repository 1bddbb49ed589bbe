#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod capabilities;
mod digest;
mod images;
mod layout;
mod manifest;

pub use capabilities::{CALLBACKS, HOST_FUNCTIONS};
pub use digest::Digest;
pub use images::{ARTIFACT, COMPAT, Images, MODULE_FILE};
pub use layout::Error;

/// The module as proxies load it: a core WebAssembly module that imports the proxy's functions and nothing else. Function names
/// are kept.
#[must_use]
pub fn module() -> &'static [u8] {
    include_bytes!(env!("WIF_MODULE"))
}
