//! The credentials of a login, in the vendor's format, as an entry that is compared and swapped: in a file, or in the desktop's keychain
//! in the place of that file.

use std::path::{Path, PathBuf};

#[cfg(feature = "keychain")]
use super::keychain;
use super::private::{self, Lock, aside};
use super::{BoxError, Entry, Swapped};
use crate::secret::Secret;

/// The credentials file of a person's login: `credentials/NAME.json` beside a profile.
///
/// Its owner alone may read it; a link, another owner or another mode is refused. It is replaced as a whole and written through
/// to the disk. A lock beside it makes the comparison and the replacement one operation. The version is a hash of the content,
/// for other programs write the file, too.
///
/// Where there is no file, and a file beside it says so ([`keychain_mark`](Self::keychain_mark)), the login is in the desktop's
/// keychain. That takes the crate's feature `keychain`. A file goes before the keychain: another program wrote it later.
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
        let path = self.path.clone();
        let in_file = aside(move || Ok(private::read(&path)?.map(entry))).await?;
        if in_file.is_some() || !self.is_in_keychain() {
            return Ok(in_file);
        }
        Ok(keychain::load(&self.place()).await.map_err(|error| Self::in_keychain(&error))?.map(entry))
    }

    /// The file that says that the login of this path is in the keychain.
    #[must_use]
    pub fn keychain_mark(path: &Path) -> PathBuf {
        private::with_extension(path, "keychain")
    }

    /// Finds what stands against keeping a login in the keychain.
    ///
    /// # Errors
    ///
    /// There is none, or it does not open.
    pub async fn check_keychain() -> Result<(), BoxError> {
        keychain::check().await
    }

    /// Keeps this login in the keychain, whatever was there, and removes the file. Waits for the lock: give up waiting at will.
    ///
    /// # Errors
    ///
    /// There is no keychain, it does not open, or the file cannot be locked or removed.
    pub async fn keep_in_keychain(self, value: Secret) -> Result<(), BoxError> {
        let lock = Lock::of(&self.path).await?;
        // The lock goes along: whoever gives up waiting for this must not let go of it before it is done.
        let kept = tokio::spawn(async move {
            keychain::keep(&self.place(), &value).await?;
            aside(move || {
                let text = "The login is in the desktop's keychain. `wif login --keychain` put it there.\n";
                private::replace_unlocked(&Self::keychain_mark(&self.path), &Secret::from(text))?;
                self.remove_file()?;
                lock.release()
            })
            .await
        });
        kept.await?
    }

    /// Removes the login from the keychain, so that the file counts from now on. Whether there was one.
    ///
    /// # Errors
    ///
    /// It cannot be removed, and stays in the keychain. The file counts all the same.
    pub async fn leave_keychain(&self) -> Result<bool, BoxError> {
        let mark = Self::keychain_mark(&self.path);
        if std::fs::symlink_metadata(&mark).is_err() {
            return Ok(false);
        }
        // Or somebody who is about to write there would do so after this.
        let lock = Lock::of(&self.path).await?;
        std::fs::remove_file(&mark).map_err(|error| private::at(&mark, error))?;
        let removed = keychain::remove(&self.place()).await;
        let released = lock.release();
        removed.and_then(|removed| released.map(|()| removed))
    }

    /// Whether the login is in the keychain. There may be a file beside it, which goes first.
    fn is_in_keychain(&self) -> bool {
        std::fs::symlink_metadata(Self::keychain_mark(&self.path)).is_ok_and(|metadata| metadata.is_file())
    }

    /// The path by which the keychain knows it, however it was written.
    fn place(&self) -> PathBuf {
        let directory = self.path.parent().and_then(|directory| directory.canonicalize().ok());
        directory.zip(self.path.file_name()).map_or_else(|| self.path.clone(), |(directory, name)| directory.join(name))
    }

    /// What went wrong, and why the keychain was asked at all. Sessions cut what is longer than 200 characters.
    fn in_keychain(error: &BoxError) -> BoxError {
        format!("the login is in the keychain: {error}, or log in again without --keychain").into()
    }

    /// Replaces the file if its version is the expected one, or, where none is expected, if there is no file. Waits for the lock:
    /// give up waiting at will.
    ///
    /// # Errors
    ///
    /// It cannot be read, locked or written.
    pub async fn swap(self, expected: Option<String>, value: Secret) -> Result<Swapped, BoxError> {
        let lock = Lock::of(&self.path).await?;
        if self.is_in_keychain() && std::fs::symlink_metadata(&self.path).is_err() {
            return tokio::spawn(self.swap_in_keychain(lock, expected, value)).await?;
        }
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

    async fn swap_in_keychain(self, lock: Lock, expected: Option<String>, value: Secret) -> Result<Swapped, BoxError> {
        let place = self.place();
        let current = keychain::load(&place).await.map_err(|error| Self::in_keychain(&error))?.map(entry);
        if current.as_ref().map(|entry| &entry.version) != expected.as_ref() {
            return lock.release().map(|()| Swapped::Conflict(current));
        }
        keychain::keep(&place, &value).await.map_err(|error| Self::in_keychain(&error))?;
        lock.release().map(|()| Swapped::Done(private::digest(&value)))
    }

    /// Removes the file and what the keychain has; whether there was a login. A link goes, and not what it leads to.
    ///
    /// # Errors
    ///
    /// It cannot be locked or removed.
    pub async fn remove(self) -> Result<bool, BoxError> {
        // What a replacement left that was broken off holds the tokens, too.
        let places = [self.path.clone(), private::with_extension(&self.path, "new"), Self::keychain_mark(&self.path)];
        if places.iter().all(|path| std::fs::symlink_metadata(path).is_err()) {
            return Ok(false);
        }
        let lock = Lock::of(&self.path).await?;
        let was_in_keychain = match self.is_in_keychain() {
            true => keychain::remove(&self.place()).await.map_err(|error| Self::in_keychain(&error))?,
            false => false,
        };
        aside(move || {
            let _it_is_seldom_there = std::fs::remove_file(Self::keychain_mark(&self.path));
            let removed = self.remove_file();
            let released = lock.release();
            removed.and_then(|removed| released.map(|()| removed || was_in_keychain))
        })
        .await
    }

    /// Whether there was one.
    fn remove_file(&self) -> Result<bool, BoxError> {
        let _it_is_seldom_there = std::fs::remove_file(private::with_extension(&self.path, "new"));
        match std::fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(private::at(&self.path, error).into()),
        }
    }
}

fn entry(value: Secret) -> Entry {
    Entry { version: private::digest(&value), value }
}

/// A build without the feature knows that there are keychains, and asks none.
#[cfg(not(feature = "keychain"))]
mod keychain {
    use std::path::Path;

    use super::BoxError;
    use crate::secret::Secret;

    const UNREAD: &str = "this build asks no keychain: build it with `--features keychain`";

    pub(super) async fn check() -> Result<(), BoxError> {
        Err(UNREAD.into())
    }

    pub(super) async fn load(_path: &Path) -> Result<Option<Secret>, BoxError> {
        Err(UNREAD.into())
    }

    pub(super) async fn keep(_path: &Path, _value: &Secret) -> Result<(), BoxError> {
        Err(UNREAD.into())
    }

    pub(super) async fn remove(_path: &Path) -> Result<bool, BoxError> {
        Err(UNREAD.into())
    }
}
