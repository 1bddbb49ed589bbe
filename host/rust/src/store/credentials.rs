//! The credentials file of a login, in the vendor's format, as an entry that is compared and swapped.

use std::path::PathBuf;

use super::private::{self, Lock, aside};
use super::{BoxError, Entry, Swapped};
use crate::secret::Secret;

/// The credentials file of a person's login: `credentials/NAME.json` beside a profile.
///
/// Its owner alone may read it; a link, another owner or another mode is refused. It is replaced as a whole and written through
/// to the disk. A lock beside it makes the comparison and the replacement one operation. The version is a hash of the content,
/// for other programs write the file, too.
#[derive(Debug)]
pub struct CredentialsFile {
    path: PathBuf,
}

impl CredentialsFile {
    /// The file at this path, which need not be there.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The content and its version; nothing if there is no file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or others than its owner could use it.
    pub async fn load(self) -> Result<Option<Entry>, BoxError> {
        aside(move || Ok(private::read(&self.path)?.map(entry))).await
    }

    /// Replaces the file if its version is the expected one, or, where none is expected, if there is no file. Waits for the lock:
    /// give up waiting at will.
    ///
    /// # Errors
    ///
    /// It cannot be read, locked or written.
    pub async fn swap(self, expected: Option<String>, value: Secret) -> Result<Swapped, BoxError> {
        let lock = Lock::of(&self.path).await?;
        // The lock goes along: whoever gives up waiting for this must not let go of it before it is done.
        aside(move || {
            let current = private::read(&self.path)?.map(entry);
            let swapped = if current.as_ref().map(|entry| &entry.version) == expected.as_ref() {
                private::replace(&self.path, &value).map(|()| Swapped::Done(private::digest(&value))).map_err(Into::into)
            } else {
                Ok(Swapped::Conflict(current))
            };
            let released = lock.release();
            swapped.and_then(|swapped| released.map(|()| swapped))
        })
        .await
    }

    /// Removes the file; whether there was one. A link goes, and not what it leads to.
    ///
    /// # Errors
    ///
    /// It cannot be locked or removed.
    pub async fn remove(self) -> Result<bool, BoxError> {
        // What a replacement left that was broken off holds the tokens, too.
        let unfinished = private::with_extension(&self.path, "new");
        if [&self.path, &unfinished].iter().all(|path| std::fs::symlink_metadata(path).is_err()) {
            return Ok(false);
        }
        let lock = Lock::of(&self.path).await?;
        aside(move || {
            let _it_is_seldom_there = std::fs::remove_file(unfinished);
            let removed = match std::fs::remove_file(&self.path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(private::at(&self.path, error).into()),
            };
            let released = lock.release();
            removed.and_then(|removed| released.map(|()| removed))
        })
        .await
    }
}

fn entry(value: Secret) -> Entry {
    Entry { version: private::digest(&value), value }
}
