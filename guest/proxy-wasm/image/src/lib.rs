//! The built filter.

/// The module as proxies load it: a core WebAssembly module that imports the proxy's functions and nothing else. Function names
/// are kept.
#[must_use]
pub fn module() -> &'static [u8] {
    include_bytes!(env!("WIF_MODULE"))
}
