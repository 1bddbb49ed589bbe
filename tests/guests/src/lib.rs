//! Components that misbehave, compiled for tests: what a host must survive.

/// Does what its configuration says: see `erratic/src/lib.rs`. Compiled for `wif::component::engine()`.
#[must_use]
pub fn erratic() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/erratic.cwasm"))
}
