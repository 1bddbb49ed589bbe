//! Where sessions of one identity meet, so that they make one exchange between them.

mod credentials;
mod directory;
#[cfg(feature = "keychain")]
mod keychain;
pub mod private;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "redis")]
mod sealing;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::BoxFuture;
use crate::secret::Secret;

#[cfg(feature = "redis")]
pub use self::redis::{RedisError, RedisServer, RedisStore};
#[cfg(feature = "redis")]
pub use self::sealing::{SealingKeyError, SealingKeys};
pub use credentials::CredentialsFile;
pub use directory::DirectoryStore;

/// Anything that an embedding program's callable or store may fail with. Its text reaches logs: it must hold no secret.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A value in a store, with the version that a later swap compares.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Changes with every write; compared for equality only.
    pub version: String,
    /// What a session wrote, opaque to hosts: it holds the access token. Encrypt it where it rests.
    pub value: Secret,
}

/// How a swap ended.
#[derive(Debug)]
pub enum Swapped {
    /// Done; the entry's new version.
    Done(String),
    /// Refused, for the entry is another one: the one that is there, or none.
    Conflict(Option<Entry>),
}

/// A store that credentials share.
///
/// Whoever can read it can use the access token, and whoever can write it can make every credential that shares it use a
/// token of theirs.
pub trait Store: Send + Sync + 'static {
    /// Loads the entry under this key.
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, BoxError>>;

    /// Replaces the entry if its version is the expected one, or, where none is expected, if there is no entry; as one
    /// operation, whoever else writes.
    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a str>, value: Secret) -> BoxFuture<'a, Result<Swapped, BoxError>>;

    /// Whether [`swap`](Self::swap) really compares. A store that cannot is a cache: it saves exchanges, and is refused for
    /// identity tokens that are shared and can be exchanged once.
    fn compares(&self) -> bool {
        true
    }
}

/// A store in this process, for credentials that share an identity in it. Wrap it in an [`Arc`](std::sync::Arc) to share it.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<HashMap<String, (u64, Secret)>>);

impl MemoryStore {
    fn entries(&self) -> MutexGuard<'_, HashMap<String, (u64, Secret)>> {
        // Every change is one insertion: a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, BoxError>> {
        let entry = self.entries().get(key).map(entry);
        Box::pin(async { Ok(entry) })
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a str>, value: Secret) -> BoxFuture<'a, Result<Swapped, BoxError>> {
        let mut entries = self.entries();
        let current = entries.get(key);
        let swapped = if current.map(|(version, _)| version.to_string()).as_deref() == expected {
            let version = current.map_or(0, |(version, _)| *version) + 1;
            entries.insert(key.to_owned(), (version, value));
            Swapped::Done(version.to_string())
        } else {
            Swapped::Conflict(current.map(entry))
        };
        drop(entries);
        Box::pin(async { Ok(swapped) })
    }
}

impl<S: Store + ?Sized> Store for std::sync::Arc<S> {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, BoxError>> {
        (**self).load(key)
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a str>, value: Secret) -> BoxFuture<'a, Result<Swapped, BoxError>> {
        (**self).swap(key, expected, value)
    }

    fn compares(&self) -> bool {
        (**self).compares()
    }
}

fn entry((version, value): &(u64, Secret)) -> Entry {
    Entry { version: version.to_string(), value: value.clone() }
}
