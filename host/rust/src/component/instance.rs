//! An instance in a store of its own, with limits.

use std::time::Duration;

use wasmtime::component::{Func, ResourceAny, Type, Val};
use wasmtime::{AsContextMut, Store, StoreLimits, StoreLimitsBuilder, UpdateDeadline};

use super::{Component, engine, ticker};
use crate::bindings::Plugin;
use crate::session::Trap;

/// An instance may not use more memory than this, in bytes.
pub const MEMORY_LIMIT_BYTES: usize = 8 << 20;

/// A call that takes longer than this, in milliseconds of the processor, is ended by a trap; it is measured in ticks, and so one tick
/// of 20 ms sooner or later. Where the system does not tell what a thread has taken, the time that has passed counts.
pub const STEP_LIMIT_MS: u64 = 5 * ticker::TICK_MS;

/// What may cross the boundary in one call, in bytes of the host's memory.
const TRANSFER_LIMIT_BYTES: usize = 4 << 20;

/// A session is one handle, and a call lends one more. So many sessions do not share an instance.
const HANDLES: usize = 1_000;

/// A component consists of a few core instances and tables; more would be another component than ours.
const PARTS: usize = 16;

/// Elements of a table: the functions that are called through pointers.
const TABLE_ELEMENTS: usize = 10_000;

impl From<wasmtime::Error> for Trap {
    fn from(error: wasmtime::Error) -> Self {
        // Function names, no values: what the component had in its memory stays there.
        Self(format!("{error:#}"))
    }
}

/// One instance of a component, in a store of its own. Its memory goes when it is dropped.
pub struct Instance {
    pub(super) store: Store<Limits>,
    pub(super) plugin: Plugin,
    instance: wasmtime::component::Instance,
}

/// A call is looked at first after so many ticks, and then at each.
const FIRST_LOOK: u64 = 2;

/// A call that other threads keep from the processor is ended after so many looks all the same: five seconds.
const PATIENCE: u64 = 250;

pub(super) struct Limits {
    parts: StoreLimits,
    /// Looks at the running call.
    looks: u64,
    /// The processor's time of this thread at the first of them, where the system tells it.
    first: Option<Duration>,
}

impl Instance {
    /// A new instance: some microseconds, and about 40 KiB.
    ///
    /// # Errors
    ///
    /// There is no memory, or the component's own start traps.
    pub fn new(component: &Component) -> Result<Self, Trap> {
        Self::with_memory(component, MEMORY_LIMIT_BYTES)
    }

    pub(super) fn with_memory(component: &Component, limit_bytes: usize) -> Result<Self, Trap> {
        let limits = StoreLimitsBuilder::new()
            .memory_size(limit_bytes)
            .table_elements(TABLE_ELEMENTS)
            .instances(PARTS)
            .tables(PARTS)
            .memories(1)
            .build();
        let mut store = Store::new(engine(), Limits { parts: limits, looks: 0, first: None });
        store.limiter(|limits| &mut limits.parts);
        store.set_hostcall_fuel(TRANSFER_LIMIT_BYTES);
        store.set_max_component_handles(HANDLES);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().look()));
        let _running = begin(&mut store);
        let instance = component.linked.instantiate(&mut store)?;
        let plugin = component.exports.load(&mut store, &instance)?;
        Ok(Self { store, plugin, instance })
    }

    /// Calls an exported function of an interface by name, such as `[method]session.step` of
    /// [`SESSION_INTERFACE`](super::SESSION_INTERFACE), within [`STEP_LIMIT_MS`].
    ///
    /// For drivers that treat the contract as data. The values hold what the types hold, secrets included.
    ///
    /// # Errors
    ///
    /// Any error ends the instance, for whoever drives it cannot tell what it was in the middle of.
    pub fn call(&mut self, interface: &str, function: &str, parameters: &[Val]) -> Result<Option<Val>, Trap> {
        let _running = begin(&mut self.store);
        let function = self.function(interface, function)?;
        let mut results = vec![Val::Bool(false); function.ty(&self.store).results().len()];
        function.call(&mut self.store, parameters, &mut results)?;
        Ok(results.pop())
    }

    /// The types of a function's parameters, by which values are made for [`call`](Self::call).
    ///
    /// # Errors
    ///
    /// There is no such function.
    pub fn parameters(&mut self, interface: &str, function: &str) -> Result<Vec<Type>, Trap> {
        let function = self.function(interface, function)?;
        Ok(function.ty(&self.store).params().map(|(_, r#type)| r#type).collect())
    }

    fn function(&mut self, interface: &str, function: &str) -> Result<Func, Trap> {
        let unknown = || Trap(format!("there is no {function} in {interface}"));
        let interface = self.instance.get_export_index(&mut self.store, None, interface).ok_or_else(unknown)?;
        let function = self.instance.get_export_index(&mut self.store, Some(&interface), function).ok_or_else(unknown)?;
        self.instance.get_func(&mut self.store, function).ok_or_else(unknown)
    }

    /// Drops a resource that a call returned.
    ///
    /// # Errors
    ///
    /// As for [`Instance::call`].
    pub fn close(&mut self, resource: ResourceAny) -> Result<(), Trap> {
        let _running = begin(&mut self.store);
        Ok(resource.resource_drop(self.store.as_context_mut())?)
    }
}

impl Limits {
    /// Another thread may have had the processor meanwhile: that is no fault of the call.
    fn look(&mut self) -> UpdateDeadline {
        let now = processor_time();
        if self.looks == 0 {
            self.first = now;
        }
        self.looks += 1;
        let ticks = match now.zip(self.first) {
            Some((now, first)) if self.looks < PATIENCE => {
                u64::try_from(now.saturating_sub(first).as_millis()).unwrap_or(u64::MAX) / ticker::TICK_MS
            }
            _ => self.looks - 1,
        };
        if FIRST_LOOK + ticks < STEP_LIMIT_MS / ticker::TICK_MS { UpdateDeadline::Continue(1) } else { UpdateDeadline::Interrupt }
    }
}

/// What this thread has taken of the processor.
fn processor_time() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return Some(crate::clock::time_of(libc::CLOCK_THREAD_CPUTIME_ID));
    #[cfg(not(target_os = "linux"))]
    None
}

/// Gives the next call its time.
pub(super) fn begin(store: &mut Store<Limits>) -> ticker::Running {
    let running = ticker::enter();
    store.data_mut().looks = 0;
    // The running tick counts as one, so a call gets at least one tick less.
    store.set_epoch_deadline(FIRST_LOOK);
    running
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Instance").finish_non_exhaustive()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits { parts: StoreLimits::default(), looks: 0, first: None }
    }

    #[test]
    fn a_call_that_others_keep_from_the_processor_is_not_ended_soon() {
        let mut limits = limits();
        for look in 1..PATIENCE {
            assert!(matches!(limits.look(), UpdateDeadline::Continue(1)), "look {look}");
        }
        assert!(matches!(limits.look(), UpdateDeadline::Interrupt), "it is not waited for without end");
    }

    #[test]
    fn a_call_that_takes_the_processor_is_ended_within_its_limit() {
        let mut limits = limits();
        let began = processor_time().unwrap();
        let taken = || processor_time().unwrap().saturating_sub(began);
        while matches!(limits.look(), UpdateDeadline::Continue(1)) {
            assert!(taken() < Duration::from_millis(STEP_LIMIT_MS));
            let next = taken() + Duration::from_millis(ticker::TICK_MS);
            while taken() < next {}
        }
        assert!(taken() >= Duration::from_millis(STEP_LIMIT_MS - FIRST_LOOK * ticker::TICK_MS));
    }
}
