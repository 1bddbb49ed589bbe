//! What is done once, and what all configurations of a process share.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use wif::{MemoryStore, Secret, Start};
use wif_engine::id_of;

use crate::abi::{self, Level};
use crate::{log, version};

/// So many places where identity tokens come from are remembered: more than anybody configures in the life of a process.
const SOURCES: usize = 64;

/// Where sessions of one identity meet.
static STORE: LazyLock<Arc<MemoryStore>> = LazyLock::new(Arc::default);

/// The newest journal of those that read identity tokens from one place, by the id of that place: what stands in a configuration
/// may be the token itself.
static JOURNALS: Mutex<BTreeMap<String, Secret>> = Mutex::new(BTreeMap::new());

/// The module was loaded. Whether it may stay.
pub(crate) fn begin() -> bool {
    log::install();
    match version::check() {
        Ok(()) => true,
        Err(problem) => {
            abi::log(Level::Error, &format!("wif: the module is not loaded: {problem}"));
            false
        }
    }
}

/// The store of this process.
pub(crate) fn store() -> Arc<MemoryStore> {
    Arc::clone(&STORE)
}

/// What a session that reads identity tokens from this place begins from: what was spent stays spent, under whatever
/// configuration.
pub(crate) fn start(source: &Secret) -> Start {
    journals().get(&id_of(source.reveal())).map_or(Start::Fresh, |journal| Start::Resumed(journal.clone()))
}

/// Keeps the newest journal.
pub(crate) fn keep(source: &Secret, journal: &Secret) {
    let mut journals = journals();
    let id = id_of(source.reveal());
    if journals.len() >= SOURCES && !journals.contains_key(&id) {
        journals.pop_first();
    }
    journals.insert(id, journal.clone());
}

fn journals() -> MutexGuard<'static, BTreeMap<String, Secret>> {
    // Every change is one insertion: a panic elsewhere leaves nothing half done.
    JOURNALS.lock().unwrap_or_else(PoisonError::into_inner)
}
