//! The credential component: its bytes, the engine that runs it, and instances of it, for programs that write a driver of
//! their own by the rules in `wit/session.wit`. [`Credential`](crate::Credential) is such a driver, ready made.
//!
//! A component is compiled when this crate is built; there is no compiler in the library. One engine runs all instances of a
//! process. An instance has a store of its own, and any trap ends it: drop it, and open a session in a new one from the
//! newest journal.

#[path = "component/config.rs"]
mod configuration;
mod instance;
pub mod json;
mod session;
pub(crate) mod ticker;

use std::sync::OnceLock;

use wasmtime::Engine;
use wasmtime::component::{InstancePre, Linker};

use crate::bindings::PluginIndices;

pub use configuration::config;
pub use instance::{Instance, MEMORY_LIMIT_BYTES, STEP_LIMIT_MS};
pub(crate) use session::{Entered, Occupied, Session};

pub use crate::session::Trap;

/// The interface that every credential component exports.
pub const SESSION_INTERFACE: &str = "wif:credential/session@0.2.0";

/// The component itself: WebAssembly, as it was built. This is what an auditor reads.
#[must_use]
pub fn wasm() -> &'static [u8] {
    include_bytes!(concat!(env!("OUT_DIR"), "/plugin.wasm"))
}

/// The component's size in bytes, the names of its own functions kept.
#[must_use]
pub fn plugin_size() -> usize {
    wasm().len()
}

/// The component, compiled for this target with [`config`]. Only [`engine`]s of the same configuration load it.
#[must_use]
pub fn precompiled() -> &'static [u8] {
    #[cfg(not(feature = "compressed"))]
    return PRECOMPILED;
    #[cfg(feature = "compressed")]
    {
        static UNPACKED: OnceLock<Vec<u8>> = OnceLock::new();
        UNPACKED.get_or_init(unpacked)
    }
}

/// The engine that runs all components of this process.
///
/// # Panics
///
/// If wasmtime does not support this machine, though this crate was compiled for it.
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(&config()).expect("the build script made an engine of the same configuration"))
}

/// To be called in the child of a `fork`, before anything else of this crate and while there is one thread: no thread of the parent is
/// in the child, and with the one that ends endless calls gone unnoticed, none would be ended.
///
/// Credentials and instances of the parent are of no use in the child. Leave them as they are (forget them, do not drop them), and
/// [resume](crate::Builder::resume) others from [their journals](crate::Credential::journal).
pub fn forked() {
    ticker::forked();
}

#[cfg(not(feature = "compressed"))]
static PRECOMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugin.cwasm"));

#[cfg(not(feature = "compressed"))]
fn unpacked() -> &'static [u8] {
    PRECOMPILED
}

/// Not kept: it is copied when it is loaded.
#[cfg(feature = "compressed")]
fn unpacked() -> Vec<u8> {
    let packed = include_bytes!(concat!(env!("OUT_DIR"), "/plugin.cwasm.deflate"));
    let mut unpacked = vec![0; env!("WIF_COMPILED_BYTES").parse().expect("the build script counted them")];
    let status = zlib_rs::Inflate::new(false, 15).decompress(packed, &mut unpacked, zlib_rs::InflateFlush::Finish);
    assert!(matches!(status, Ok(zlib_rs::Status::StreamEnd)), "the build script packed it: {status:?}");
    unpacked
}

/// A credential component, ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    linked: InstancePre<instance::Limits>,
    exports: PluginIndices,
}

/// A component that cannot serve as a credential.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ComponentError {
    /// It was compiled for another engine. Load it with [`engine`].
    #[error("the component belongs to another engine than `wif::component::engine()`")]
    OtherEngine,
    /// It imports something, or does not export what the world `plugin` names. Build it for this version of the contract.
    #[error("the component is none of the world `plugin`: {0}")]
    OtherWorld(String),
    /// This process may not make memory executable, and the component is native code. Allow it, or use a host that interprets.
    #[error(
        "this process may not make memory executable ({0}). Allow it: MemoryDenyWriteExecute=no in a unit of systemd, the permission \
         execmem in SELinux"
    )]
    NoExecutableMemory(String),
    /// It was compiled for another processor, or by another version of wasmtime.
    #[error("the component does not run on this machine: {0}")]
    OtherMachine(String),
}

impl Component {
    /// The component that this crate was built with.
    ///
    /// # Panics
    ///
    /// If it cannot be loaded: see [`try_builtin`](Self::try_builtin).
    pub fn builtin() -> &'static Self {
        Self::try_builtin().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The component that this crate was built with.
    ///
    /// # Errors
    ///
    /// This process may not make memory executable, or this crate was built for another machine than it runs on.
    pub fn try_builtin() -> Result<&'static Self, ComponentError> {
        static BUILTIN: OnceLock<Result<Component, ComponentError>> = OnceLock::new();
        let loaded = BUILTIN.get_or_init(|| {
            // SAFETY: deserializing runs native code from these bytes. They are what this crate's build script compiled,
            // from the component that it built or was handed, and are part of this binary: nobody can have exchanged them
            // who could not exchange the program.
            let component = unsafe { wasmtime::component::Component::deserialize(engine(), unpacked()) };
            Self::new(component.map_err(|error| of_this_machine(&error))?)
        });
        loaded.as_ref().map_err(Clone::clone)
    }

    /// A component of your own: another implementation of the world `plugin`, or one that misbehaves, for tests.
    ///
    /// # Errors
    ///
    /// It is of another engine than [`engine`], imports anything, or does not export the world.
    pub fn new(component: wasmtime::component::Component) -> Result<Self, ComponentError> {
        if !Engine::same(component.engine(), engine()) {
            return Err(ComponentError::OtherEngine);
        }
        // Nothing is linked: a component that imports anything does not pass here.
        let other = |error: wasmtime::Error| ComponentError::OtherWorld(format!("{error:#}"));
        let linked = Linker::new(engine()).instantiate_pre(&component).map_err(other)?;
        let exports = PluginIndices::new(&linked).map_err(other)?;
        Ok(Self { linked, exports })
    }
}

/// Why the built-in component, which was compiled for this target, cannot be loaded.
fn of_this_machine(error: &wasmtime::Error) -> ComponentError {
    let words = format!("{error:#}");
    // wasmtime has no kind for it; a test of the command keeps these words.
    if words.contains("make memory executable") {
        return ComponentError::NoExecutableMemory(error.root_cause().to_string());
    }
    ComponentError::OtherMachine(words)
}

impl std::fmt::Debug for Component {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Component").finish_non_exhaustive()
    }
}
