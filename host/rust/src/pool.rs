//! Many credentials in one process, such as those of a gateway's tenants.

use std::fmt;
use std::sync::Arc;
#[cfg(feature = "sandbox")]
use std::sync::{Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

#[cfg(feature = "sandbox")]
use crate::component::{Component, MEMORY_LIMIT_BYTES, Occupied};
use crate::session::Engine;
#[cfg(feature = "sandbox")]
use crate::session::Stopped;

/// So many sessions share an instance. When it is stopped, all of them are opened again.
#[cfg(feature = "sandbox")]
const SESSIONS: usize = 200;

/// What an instance may have for all of its sessions, in bytes. A session that is well takes some kilobytes.
#[cfg(feature = "sandbox")]
const MEMORY_BYTES: usize = 8 * MEMORY_LIMIT_BYTES;

/// So many exchanges of a pool are under way at once, unless [`Pool::max_exchanges`] says otherwise.
pub const DEFAULT_MAX_EXCHANGES: usize = 64;

/// What many credentials of one process have in common: instances of the component, and a bound for exchanges at once. For a gateway
/// with thousands of tenants. Cheap to clone.
///
/// A credential by itself has an instance of its own, of some 30 KiB; in a pool, up to 200 share one, and another one takes about 2 KiB
/// of it. Two things are bought with that:
///
/// - When one of them stops the instance (a fault of the component), the others that share it are
///   opened again from their journals, too. Their tokens are served on. An exchange that was under way counts as uncertain. Whoever
///   stopped it has an instance of its own from then on.
/// - Their tokens and identity tokens lie in one memory. Do not let tenants share a pool whom a fault of the component must not bring
///   together.
///
/// [Native](crate::Builder) credentials share the bound for exchanges alone.
///
/// ```no_run
/// # fn example(tenants: Vec<(String, String)>) -> Result<(), Box<dyn std::error::Error>> {
/// let pool = wif::Pool::new().max_exchanges(32);
/// let mut credentials = std::collections::HashMap::new();
/// for (tenant, configuration) in tenants {
///     let credential = wif::Credential::builder().configuration(configuration).pool(&pool).build()?;
///     credentials.insert(tenant, credential);
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Pool {
    #[cfg(feature = "sandbox")]
    component: Option<Component>,
    #[cfg(feature = "sandbox")]
    instances: Arc<Mutex<Vec<Weak<Occupied>>>>,
    exchanges: Arc<Semaphore>,
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            #[cfg(feature = "sandbox")]
            component: None,
            #[cfg(feature = "sandbox")]
            instances: Arc::default(),
            exchanges: Arc::new(Semaphore::new(DEFAULT_MAX_EXCHANGES)),
        }
    }
}

impl Pool {
    /// With no credential in it yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// So many requests to the token endpoint are under way at once; others wait for their turn, in order, for as long as an exchange
    /// may take (`exchange_timeout_ms`). So ten thousand credentials that an outage has left behind do not all ask in the same moment.
    /// [`DEFAULT_MAX_EXCHANGES`] by default. Say it before the first credential is built.
    #[must_use]
    pub fn max_exchanges(mut self, at_most: usize) -> Self {
        self.exchanges = Arc::new(Semaphore::new(at_most.clamp(1, Semaphore::MAX_PERMITS)));
        self
    }

    /// Another component than the built-in one: see [`Component::new`].
    #[cfg(feature = "sandbox")]
    #[must_use]
    pub fn component(mut self, component: Component) -> Self {
        self.component = Some(component);
        self
    }

    pub(crate) fn exchanges(&self) -> Arc<Semaphore> {
        Arc::clone(&self.exchanges)
    }

    /// What runs all that are in it, where the program has said so.
    pub(crate) fn own_engine(&self) -> Option<Engine> {
        #[cfg(feature = "sandbox")]
        return self.component.clone().map(Engine::Sandboxed);
        #[cfg(not(feature = "sandbox"))]
        None
    }

    /// An instance with room for one more, of this component, which is the pool's.
    #[cfg(feature = "sandbox")]
    pub(crate) fn place(&self, component: &Component) -> Result<Arc<Occupied>, Stopped> {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        instances.retain(|instance| instance.strong_count() > 0);
        // From behind: the newest one is the one with room, unless somebody has left.
        if let Some(place) = instances.iter().rev().filter_map(Weak::upgrade).find(|place| place.has_room(SESSIONS)) {
            return Ok(place);
        }
        let place = Occupied::new(component, MEMORY_BYTES)?;
        instances.push(Arc::downgrade(&place));
        Ok(place)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.exchanges.available_permits();
        formatter.debug_struct("Pool").field("exchanges_free", &free).finish_non_exhaustive()
    }
}
