//! The session as the host's driver steps it: the host's own files, around the host's own engine and bytes.

#[path = "../../../host/rust/src/component/instance.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the host")]
mod instance;
#[path = "../../../host/rust/src/component/session.rs"]
#[allow(dead_code, reason = "shared with the host")]
mod session;
#[path = "../../../host/rust/src/component/ticker.rs"]
#[allow(dead_code, reason = "shared with the host")]
mod ticker;

use wasmtime::Engine;
use wasmtime::component::{Component as Compiled, InstancePre, Linker};

use crate::bindings::{PluginIndices, types};
use crate::session::Refused;

pub(crate) use session::Session;

fn engine() -> &'static Engine {
    wif::component::engine()
}

/// What the files of the host call `Component`.
pub(crate) struct Component {
    linked: InstancePre<instance::Limits>,
    exports: PluginIndices,
}

impl Component {
    pub(crate) fn load() -> anyhow::Result<Self> {
        let linked = Linker::new(engine()).instantiate_pre(&compiled()?).map_err(told)?;
        let exports = PluginIndices::new(&linked).map_err(told)?;
        Ok(Self { linked, exports })
    }
}

/// A session in an instance of its own.
pub(crate) fn open(
    component: &Component,
    configuration: &str,
    seed: u64,
    can: &[types::Capability],
    from: &types::Start,
) -> Result<Session, Refused> {
    Session::open(session::Occupied::new(component, instance::MEMORY_LIMIT_BYTES)?, configuration, seed, can, from)
}

/// The component that ships.
pub(crate) fn compiled() -> anyhow::Result<Compiled> {
    // SAFETY: deserializing runs native code from these bytes, which the build script of `wif` compiled for this target, and
    // which are part of this binary.
    unsafe { Compiled::deserialize(engine(), wif::component::precompiled()) }.map_err(told)
}

pub(crate) fn told(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}
