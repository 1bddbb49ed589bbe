//! A session in an instance of its own, or in one that it shares with other sessions.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::ResourceAny;

use super::Component;
use super::instance::{Instance, begin};
use crate::bindings::types;
use crate::session::{Refused, Stopped, Trap};

/// An instance, and how many sessions are in it.
pub(crate) struct Occupied {
    /// None when a session has stopped it.
    instance: Mutex<Option<Instance>>,
    sessions: AtomicUsize,
}

pub(crate) struct Session {
    place: Arc<Occupied>,
    session: ResourceAny,
}

/// The instance of a session, entered. Other sessions of the same instance wait.
pub(crate) struct Entered<'a> {
    instance: MutexGuard<'a, Option<Instance>>,
    session: ResourceAny,
}

impl Occupied {
    pub(crate) fn new(component: &Component, memory_limit: usize) -> Result<Arc<Self>, Trap> {
        let instance = Mutex::new(Some(Instance::with_memory(component, memory_limit)?));
        Ok(Arc::new(Self { instance, sessions: AtomicUsize::new(0) }))
    }

    /// Whether another session may come in: fewer than these are in it, and none has stopped it.
    pub(crate) fn has_room(&self, at_most: usize) -> bool {
        self.sessions.load(Relaxed) < at_most && self.enter().is_some()
    }

    fn enter(&self) -> MutexGuard<'_, Option<Instance>> {
        // Whoever panicked in it was the host: what it left is as any call leaves it.
        self.instance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    pub(crate) fn open(
        place: Arc<Occupied>,
        configuration: &str,
        seed: u64,
        can: &[types::Capability],
        from: &types::Start,
    ) -> Result<Self, Refused> {
        let session = within(&mut place.enter(), |instance| {
            let interface = instance.plugin.wif_credential_session();
            interface.session().call_open(&mut instance.store, configuration, seed, can, from)
        })?;
        let session = session.map_err(Refused::Configuration)?;
        place.sessions.fetch_add(1, Relaxed);
        Ok(Self { place, session })
    }

    /// To step it, or to ask for its status. Waits for the steps of others in the same instance.
    pub(crate) fn enter(&self) -> Entered<'_> {
        Entered { instance: self.place.enter(), session: self.session }
    }
}

impl Entered<'_> {
    pub(crate) fn step(&mut self, now: types::Clock, event: &types::Event) -> Result<types::Output, Stopped> {
        let session = self.session;
        within(&mut self.instance, |instance| {
            let interface = instance.plugin.wif_credential_session();
            interface.session().call_step(&mut instance.store, session, now, event)
        })
    }

    pub(crate) fn status(&mut self, now: types::Clock) -> Result<types::Status, Stopped> {
        let session = self.session;
        within(&mut self.instance, |instance| {
            let interface = instance.plugin.wif_credential_session();
            interface.session().call_status(&mut instance.store, session, now)
        })
    }

    /// Ends the instance, for everybody who is in it: it broke the contract.
    pub(crate) fn stop(mut self) {
        *self.instance = None;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let left = self.place.sessions.fetch_sub(1, Relaxed) - 1;
        // Of the last one nothing is left when the instance goes.
        if left > 0 {
            let session = self.session;
            // The others hear of it when they are stepped next.
            let _ = within(&mut self.place.enter(), |instance| session.resource_drop(&mut instance.store));
        }
    }
}

/// Calls into the instance. Whatever goes wrong ends it, for whoever drives it cannot tell what it was in the middle of.
fn within<T>(place: &mut Option<Instance>, call: impl FnOnce(&mut Instance) -> wasmtime::Result<T>) -> Result<T, Stopped> {
    let instance = place.as_mut().ok_or(Stopped::ByAnother)?;
    let running = begin(&mut instance.store);
    let called = call(instance);
    drop(running);
    called.map_err(|error| {
        *place = None;
        Stopped::Trapped(error.into())
    })
}
