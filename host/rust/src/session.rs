//! One session, typed: what the driver steps. It is in an instance of the component, or in the program itself.

#[cfg_attr(not(feature = "sandbox"), allow(unreachable_pub, reason = "public where there is a component"))]
mod stopped;

#[cfg(feature = "sandbox")]
use std::sync::Arc;

use crate::bindings::types;
#[cfg(feature = "sandbox")]
use crate::component::{self, Component, MEMORY_LIMIT_BYTES, Occupied};
use crate::error::BuildError;
#[cfg(feature = "native")]
use crate::native;
use crate::pool::Pool;

#[cfg(feature = "sandbox")]
pub use stopped::Trap;
#[cfg(not(feature = "sandbox"))]
pub(crate) use stopped::Trap;
pub(crate) use stopped::{Refused, Stopped};

#[cfg(not(any(feature = "sandbox", feature = "native")))]
compile_error!("the crate wif runs its engine in a sandbox or natively: turn on one of the features `sandbox` and `native`");

/// What runs sessions.
#[derive(Clone)]
pub(crate) enum Engine {
    #[cfg(feature = "sandbox")]
    Sandboxed(Component),
    #[cfg(feature = "native")]
    Native,
}

pub(crate) enum Session {
    #[cfg(feature = "sandbox")]
    Sandboxed(component::Session),
    #[cfg(feature = "native")]
    Native(native::Session),
}

/// A session, to step it or to ask for its status. Others in the same instance wait.
pub(crate) enum Entered<'a> {
    #[cfg(feature = "sandbox")]
    Sandboxed(component::Entered<'a>),
    #[cfg(feature = "native")]
    Native(native::Entered<'a>),
}

impl Engine {
    /// What this crate was built with: the component, where there is a sandbox.
    pub(crate) fn built_in() -> Result<Self, BuildError> {
        #[cfg(feature = "sandbox")]
        return Ok(Self::Sandboxed(Component::try_builtin()?.clone()));
        #[cfg(not(feature = "sandbox"))]
        Ok(Self::Native)
    }

    /// Whether there is no sandbox around it.
    pub(crate) fn is_native(&self) -> bool {
        #[cfg(feature = "native")]
        return matches!(self, Self::Native);
        #[cfg(not(feature = "native"))]
        false
    }

    /// Opens a session in an instance of its own, or in one of the pool's.
    pub(crate) fn open(
        &self,
        #[cfg_attr(not(feature = "sandbox"), allow(unused_variables, reason = "the program itself is not shared out"))]
        pool: Option<&Pool>,
        configuration: &str,
        seed: u64,
        can: &[types::Capability],
        from: &types::Start,
    ) -> Result<Session, Refused> {
        match self {
            #[cfg(feature = "sandbox")]
            Self::Sandboxed(component) => {
                let place: Arc<Occupied> = match pool {
                    Some(pool) => pool.place(component)?,
                    None => Occupied::new(component, MEMORY_LIMIT_BYTES)?,
                };
                component::Session::open(place, configuration, seed, can, from).map(Session::Sandboxed)
            }
            #[cfg(feature = "native")]
            Self::Native => native::Session::open(configuration, seed, can, from).map(Session::Native),
        }
    }
}

impl Session {
    /// Waits for the steps of others in the same instance.
    pub(crate) fn enter(&self) -> Entered<'_> {
        match self {
            #[cfg(feature = "sandbox")]
            Self::Sandboxed(session) => Entered::Sandboxed(session.enter()),
            #[cfg(feature = "native")]
            Self::Native(session) => Entered::Native(session.enter()),
        }
    }
}

impl Entered<'_> {
    pub(crate) fn step(&mut self, now: types::Clock, event: &types::Event) -> Result<types::Output, Stopped> {
        match self {
            #[cfg(feature = "sandbox")]
            Self::Sandboxed(entered) => entered.step(now, event),
            #[cfg(feature = "native")]
            Self::Native(entered) => Ok(entered.step(now, event)?),
        }
    }

    pub(crate) fn status(&mut self, now: types::Clock) -> Result<types::Status, Stopped> {
        match self {
            #[cfg(feature = "sandbox")]
            Self::Sandboxed(entered) => entered.status(now),
            #[cfg(feature = "native")]
            Self::Native(entered) => Ok(entered.status(now)?),
        }
    }

    /// Ends the instance, for everybody who is in it: it broke the contract.
    pub(crate) fn stop(self) {
        match self {
            #[cfg(feature = "sandbox")]
            Self::Sandboxed(entered) => entered.stop(),
            #[cfg(feature = "native")]
            Self::Native(entered) => entered.stop(),
        }
    }
}
