//! What is done once, and what all configurations of a process share.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use wif::{MemoryStore, Secret, Start};
use wif_rules::{Journals, Place};

use crate::abi::{self, Level};
use crate::{log, version};

/// Where sessions of one identity meet.
static STORE: LazyLock<Arc<MemoryStore>> = LazyLock::new(Arc::default);

/// What configurations leave to those that come after them.
static JOURNALS: Mutex<Journals<Secret>> = Mutex::new(Journals::new());

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

/// Where a session that reads identity tokens from this source keeps its journal, and what it begins from: what was spent stays
/// spent, under whatever configuration.
pub(crate) fn open(source: &Secret) -> (Place, Start) {
    // It may hold an identity token, and outlives its configuration: a digest of it does.
    let mut digest = DefaultHasher::new();
    source.reveal().hash(&mut digest);
    let (place, journal) = journals().open(format!("{:016x}", digest.finish()));
    (place, journal.map_or(Start::Fresh, Start::Resumed))
}

/// Keeps the newest journal.
pub(crate) fn keep(place: &Place, journal: &Secret) {
    journals().keep(place, journal.clone());
}

fn journals() -> MutexGuard<'static, Journals<Secret>> {
    // A panic elsewhere leaves nothing half done.
    JOURNALS.lock().unwrap_or_else(PoisonError::into_inner)
}
