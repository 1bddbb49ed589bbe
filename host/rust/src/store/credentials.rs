//! The credentials file of a login, in the vendor's format, as an entry that is compared and swapped.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::private::{self, Lock, aside};
use super::{BoxError, Entry, Swapped};
use crate::secret::Secret;

/// One credentials file. Its version is a hash of its content, for others write it, too.
#[derive(Debug)]
pub(crate) struct CredentialsFile {
    path: PathBuf,
}

impl CredentialsFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) async fn load(self) -> Result<Option<Entry>, BoxError> {
        aside(move || Ok(private::read(&self.path)?.map(entry))).await
    }

    pub(crate) async fn swap(self, expected: Option<String>, value: Secret) -> Result<Swapped, BoxError> {
        let lock = Lock::of(&self.path).await?;
        // The lock goes along: whoever gives up waiting for this must not let go of it before it is done.
        aside(move || {
            let current = private::read(&self.path)?.map(entry);
            let swapped = if current.as_ref().map(|entry| &entry.version) == expected.as_ref() {
                private::replace(&self.path, &value).map(|()| Swapped::Done(version(&value)))
            } else {
                Ok(Swapped::Conflict(current))
            };
            let released = lock.release();
            swapped.and_then(|swapped| released.map(|()| swapped))
        })
        .await
    }
}

fn entry(value: Secret) -> Entry {
    Entry { version: version(&value), value }
}

fn version(value: &Secret) -> String {
    Sha256::digest(value.reveal()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}
