//! Files that hold a secret: read only if nobody else could have read or written them, made for their owner alone, replaced as a
//! whole, and locked among processes while they are compared and replaced.
//!
//! The command writes its state, its output, profiles and keys by the same functions. Every error names the file.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::BoxError;
use crate::limits::CONTENT_BYTES;
use crate::secret::Secret;

/// No such file is larger, in bytes: an entry in its document.
const MAX_BYTES: u64 = 2 * CONTENT_BYTES as u64;

/// How often a lock is asked for that somebody else holds. The credential ends the call when it has waited long enough.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Files may take their time.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, BoxError> + Send + 'static) -> Result<T, BoxError> {
    tokio::task::spawn_blocking(work).await?
}

/// A lock beside a file, until it is dropped. It ends with the process that holds it, too. What holds it in JavaScript is the lock that
/// SQLite takes of a database: no other is to be had there.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Where the lock of this file is.
    #[must_use]
    pub fn place_of(path: &Path) -> PathBuf {
        with_extension(path, "lock")
    }

    /// Waits for the lock of this file: give up waiting at will.
    ///
    /// # Errors
    ///
    /// It cannot be made, or something else is in its place.
    pub async fn of(path: &Path) -> io::Result<Self> {
        let (locked, beside) = (path.to_owned(), Self::place_of(path));
        let file = tokio::task::spawn_blocking(move || {
            let check = |path: &Path, metadata: Metadata| if metadata.is_file() { Ok(()) } else { Err(irregular(path)) };
            // What can be no such file leaves no lock behind. Before the lock is opened, for the message: opening refuses links, and does
            // not wait at a pipe.
            for path in [&locked, &beside] {
                fs::symlink_metadata(path).map_or(Ok(()), |metadata| check(path, metadata))?;
            }
            let file = open(OpenOptions::new().write(true).create(true).truncate(false), &beside);
            let file = file.map_err(|error| at(&beside, error))?;
            // And after, for it may have been replaced meanwhile.
            check(&beside, file.metadata().map_err(|error| at(&beside, error))?)?;
            Ok::<File, io::Error>(file)
        })
        .await??;
        loop {
            match records::try_lock(&file) {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(ASK_AGAIN).await,
                Err(TryLockError::Error(error)) => return Err(at(&Self::place_of(path), error)),
            }
        }
    }

    /// By name: a process that was forked meanwhile has the file, too, and would hold the lock for as long as it lives.
    pub(super) fn release(self) -> Result<(), BoxError> {
        records::unlock(&self.0).map_err(Into::into)
    }
}

/// SQLite's lock for whoever is about to write: one of its bytes. Linux keeps locks of bytes apart from those of files, which
/// `File::try_lock` takes. This one is of the kind that belongs to an open file: the other kind does not exclude threads of one process, and
/// ends when any of them closes the file.
#[cfg(all(any(target_os = "linux", target_os = "android"), target_pointer_width = "64"))]
mod records {
    use std::fs::{File, TryLockError};
    use std::io;
    use std::os::fd::AsRawFd as _;

    use super::both;

    /// SQLite's `RESERVED_BYTE`, the same in every version 3 (its page on locking, "File Locking And Concurrency"). The file is empty.
    const RESERVED: libc::off_t = 0x4000_0001;

    pub(super) fn try_lock(file: &File) -> Result<(), TryLockError> {
        match set(file, libc::F_WRLCK) {
            Ok(()) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EACCES) => Err(TryLockError::WouldBlock),
                // A kernel without locks of this kind, such as a sandbox's.
                Some(libc::EINVAL) => both::try_lock(file),
                _ => Err(TryLockError::Error(error)),
            },
        }
    }

    pub(super) fn unlock(file: &File) -> io::Result<()> {
        match set(file, libc::F_UNLCK) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => both::unlock(file),
            done => done,
        }
    }

    fn set(file: &File, kind: libc::c_int) -> io::Result<()> {
        let lock = libc::flock {
            l_type: libc::c_short::try_from(kind).map_err(io::Error::other)?,
            l_whence: libc::c_short::try_from(libc::SEEK_SET).map_err(io::Error::other)?,
            l_start: RESERVED,
            l_len: 1,
            l_pid: 0,
        };
        // SAFETY: the file is open, and the kernel reads one structure of this type, which lives until it returns.
        match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(target_pointer_width = "64")))]
use both as records;

/// Two locks in place of that one: the file's excludes threads and processes like this one, and then that of all its bytes, which is the
/// process's, excludes programs that lock by SQLite.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod both {
    use std::fs::{File, TryLockError};
    use std::io;

    use rustix::fs::{FlockOperation, fcntl_lock};

    pub(super) fn try_lock(file: &File) -> Result<(), TryLockError> {
        file.try_lock()?;
        let Err(error) = fcntl_lock(file, FlockOperation::NonBlockingLockExclusive) else { return Ok(()) };
        file.unlock().map_err(TryLockError::Error)?;
        let held = [rustix::io::Errno::AGAIN, rustix::io::Errno::ACCESS].contains(&error);
        Err(if held { TryLockError::WouldBlock } else { TryLockError::Error(error.into()) })
    }

    pub(super) fn unlock(file: &File) -> io::Result<()> {
        fcntl_lock(file, FlockOperation::Unlock)?;
        file.unlock()
    }
}

/// The lock of a file. Other systems than Linux do not keep it apart from those of bytes.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod records {
    use std::fs::{File, TryLockError};
    use std::io;

    pub(super) fn try_lock(file: &File) -> Result<(), TryLockError> {
        file.try_lock()
    }

    pub(super) fn unlock(file: &File) -> io::Result<()> {
        file.unlock()
    }
}

/// The content; nothing if there is no file.
///
/// # Errors
///
/// It cannot be read, is a link or no file, or others than its owner could use it.
pub fn read(path: &Path) -> io::Result<Option<Secret>> {
    match fs::symlink_metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(at(path, error)),
        Ok(metadata) => check(&metadata, path)?,
    }
    let file = match open(OpenOptions::new().read(true), path) {
        Ok(file) => file,
        // It was replaced or removed since.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path, error)),
    };
    check(&file.metadata().map_err(|error| at(path, error))?, path)?;
    let mut text = zeroize::Zeroizing::new(Vec::new());
    file.take(MAX_BYTES).read_to_end(&mut text).map_err(|error| at(path, error))?;
    Ok(Some(Secret::from(String::from_utf8_lossy(&text).into_owned())))
}

/// Replaces the file: whoever reads it meanwhile, or after a process was killed here, has the old one or the new one. For whoever
/// holds its [`Lock`]: what a killed process left unfinished beside it is then removed by the next.
///
/// # Errors
///
/// It cannot be written.
pub fn replace(path: &Path, content: &Secret) -> io::Result<()> {
    let new = with_extension(path, "new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&new, error)),
        _ => {}
    }
    replace_by(&new, path, content)
}

/// [`replace`], for a file that has no lock: several may do so at once, and the last one counts.
///
/// # Errors
///
/// It cannot be written.
pub fn replace_unlocked(path: &Path, content: &Secret) -> io::Result<()> {
    let random = getrandom::u64().map_err(|error| at(path, io::Error::other(error.to_string())))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    replace_by(&path.with_file_name(format!(".{name}.{random:016x}.new")), path, content)
}

/// Makes a file that was not there.
///
/// # Errors
///
/// It is there, or cannot be written.
pub fn create(path: &Path, content: &Secret) -> io::Result<()> {
    let mut file = open(OpenOptions::new().write(true).create_new(true), path).map_err(|error| at(path, error))?;
    let written = file.write_all(content.reveal().as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        let _incomplete = fs::remove_file(path);
        at(path, error)
    })
}

fn replace_by(new: &Path, path: &Path, content: &Secret) -> io::Result<()> {
    create(new, content)?;
    if let Err(error) = fs::rename(new, path) {
        let _left_over = fs::remove_file(new);
        return Err(at(path, error));
    }
    // So that the renaming outlives a failure of power, too. Not every file system can.
    let directory = path.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent });
    if let Some(directory) = directory {
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

/// The same error, with the file that it is about.
pub(super) fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn irregular(path: &Path) -> io::Error {
    io::Error::other(format!("{} is no regular file: remove it", path.display()))
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
fn check(metadata: &Metadata, path: &Path) -> io::Result<()> {
    if !metadata.is_file() {
        return Err(irregular(path));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let shown = path.display();
        let (owner, mode) = (metadata.uid(), metadata.mode() & 0o777);
        if owner != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other(format!("{shown} belongs to another user, {owner}: remove it")));
        }
        if mode & 0o077 != 0 {
            let what = format!("others than its owner can use {shown} (mode {mode:04o}): chmod 600 it, or remove it");
            return Err(io::Error::other(what));
        }
    }
    Ok(())
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    /// Where the kernel lacks the one kind of lock, programs with the other kind, and those that lock by SQLite, are kept out all the same.
    #[test]
    fn locks_of_each_kind_exclude_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let file = || open(OpenOptions::new().write(true).create(true).truncate(false), &path).unwrap();
        let held = |tried: Result<(), TryLockError>| matches!(tried, Err(TryLockError::WouldBlock));
        let (one, other) = (file(), file());
        both::try_lock(&one).unwrap();
        assert!(held(records::try_lock(&other)) && held(both::try_lock(&other)));
        both::unlock(&one).unwrap();
        records::try_lock(&other).unwrap();
        assert!(held(records::try_lock(&one)) && held(both::try_lock(&one)));
        records::unlock(&other).unwrap();
        both::try_lock(&one).unwrap();
    }
}
