//! One session in an instance of its own, typed. What the driver steps.

use wasmtime::component::ResourceAny;

use super::Component;
use super::instance::{Instance, Trap, begin};
use crate::bindings::types;

pub(crate) struct Session {
    instance: Instance,
    session: ResourceAny,
}

/// Why there is no session.
pub(crate) enum Refused {
    Trapped(Trap),
    Configuration(types::ConfigurationError),
}

impl From<Trap> for Refused {
    fn from(trap: Trap) -> Self {
        Self::Trapped(trap)
    }
}

impl Session {
    pub(crate) fn open(
        component: &Component,
        configuration: &str,
        seed: u64,
        can: &[types::Capability],
        from: &types::Start,
    ) -> Result<Self, Refused> {
        let mut instance = Instance::new(component)?;
        let _running = begin(&mut instance.store);
        let opened = instance
            .plugin
            .wif_credential_session()
            .session()
            .call_open(&mut instance.store, configuration, seed, can, from)
            .map_err(Trap::from)?;
        let session = opened.map_err(Refused::Configuration)?;
        Ok(Self { instance, session })
    }

    pub(crate) fn step(&mut self, now: types::Clock, event: &types::Event) -> Result<types::Output, Trap> {
        let store = &mut self.instance.store;
        let _running = begin(store);
        let interface = self.instance.plugin.wif_credential_session();
        Ok(interface.session().call_step(store, self.session, now, event)?)
    }

    pub(crate) fn status(&mut self, now: types::Clock) -> Result<types::Status, Trap> {
        let store = &mut self.instance.store;
        let _running = begin(store);
        let interface = self.instance.plugin.wif_credential_session();
        Ok(interface.session().call_status(store, self.session, now)?)
    }
}
