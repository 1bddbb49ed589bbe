//! Files that hold a secret: read only if nobody else could have read or written them, replaced as a whole, and locked among
//! processes while they are compared and replaced.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::BoxError;
use crate::limits::CONTENT_BYTES;
use crate::secret::Secret;

/// How often a lock is asked for that somebody else holds. The credential ends the call when it has waited long enough.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Files may take their time.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, BoxError> + Send + 'static) -> Result<T, BoxError> {
    tokio::task::spawn_blocking(work).await?
}

/// A lock beside a file, until it is dropped. It ends with the process that holds it, too.
pub(super) struct Lock(File);

impl Lock {
    /// Waits for the lock of this file.
    pub(super) async fn of(path: &Path) -> Result<Self, BoxError> {
        let beside = with_extension(path, "lock");
        let file = aside(move || {
            let shown = beside.display();
            // Before it is opened, for the message: opening refuses links, and does not wait at a pipe.
            if fs::symlink_metadata(&beside).is_ok_and(|metadata| !metadata.is_file()) {
                return Err(format!("{shown} is no regular file: remove it").into());
            }
            open(OpenOptions::new().write(true).create(true).truncate(false), &beside).map_err(|error| at(&beside, &error))
        })
        .await?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(ASK_AGAIN).await,
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }

    /// By name: a process that was forked meanwhile has the file, too, and would hold the lock for as long as it lives.
    pub(super) fn release(self) -> Result<(), BoxError> {
        self.0.unlock().map_err(Into::into)
    }
}

/// The content; nothing if there is no file.
pub(super) fn read(path: &Path) -> Result<Option<Secret>, BoxError> {
    match fs::symlink_metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(at(path, &error)),
        Ok(metadata) => check(&metadata, path)?,
    }
    let file = match open(OpenOptions::new().read(true), path) {
        Ok(file) => file,
        // It was replaced or removed since.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path, &error)),
    };
    check(&file.metadata().map_err(|error| at(path, &error))?, path)?;
    let mut text = zeroize::Zeroizing::new(Vec::new());
    file.take(2 * CONTENT_BYTES as u64).read_to_end(&mut text).map_err(|error| at(path, &error))?;
    Ok(Some(Secret::from(String::from_utf8_lossy(&text).into_owned())))
}

/// Replaces the file: whoever reads it meanwhile, or after a process was killed here, has the old one or the new one.
pub(super) fn replace(path: &Path, content: &Secret) -> Result<(), BoxError> {
    let new = with_extension(path, "new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&new, &error)),
        _ => {}
    }
    let mut file = open(OpenOptions::new().write(true).create_new(true), &new).map_err(|error| at(&new, &error))?;
    let written = file.write_all(content.reveal().as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&new, path)) {
        let _left_over = fs::remove_file(&new);
        return Err(at(path, &error));
    }
    // So that the renaming outlives a failure of power, too. Not every file system can.
    if let Some(directory) = path.parent() {
        let _unsupported = File::open(directory).and_then(|directory| directory.sync_all());
    }
    Ok(())
}

/// Tells one content from another.
pub(super) fn digest(content: &Secret) -> String {
    Sha256::digest(content.reveal()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn with_extension(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

pub(super) fn at(path: &Path, error: &io::Error) -> BoxError {
    format!("{}: {error}", path.display()).into()
}

/// A link in the place of a file would have it made or read elsewhere, and a pipe would hold up whoever opens it.
#[cfg(unix)]
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600).custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()).open(path)
}

#[cfg(not(unix))]
fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.open(path)
}

/// Whoever could read it has the token, and whoever could write it may have put one of theirs.
fn check(metadata: &Metadata, path: &Path) -> Result<(), BoxError> {
    let shown = path.display();
    if !metadata.is_file() {
        return Err(format!("{shown} is no regular file: remove it").into());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o777);
        if owner != rustix::process::geteuid().as_raw() {
            return Err(format!("{shown} belongs to another user, {owner}: remove it").into());
        }
        if mode & 0o077 != 0 {
            return Err(format!("others than its owner can use {shown} (mode {mode:04o}): chmod 600 it, or remove it").into());
        }
    }
    Ok(())
}
