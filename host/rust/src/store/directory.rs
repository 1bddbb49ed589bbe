//! A store in a directory: for processes of one machine that share an identity.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{BoxError, Entry, Store, Swapped};
use crate::clock::BoxFuture;
use crate::limits::CONTENT_BYTES;
use crate::secret::Secret;

/// How often a lock is asked for that somebody else holds. The credential ends the call when it has waited long enough.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// A store in a directory, for credentials of several processes on one machine: they make one exchange between them.
///
/// There is a file for each identity, which its owner alone may read. It is replaced as a whole and written through to the disk. A lock
/// beside it, which ends with the process that holds it, makes the comparison and the replacement one operation. The directory must be
/// on a file system whose locks work (not on every network file system), and nobody else may be able to write to it.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    directory: Arc<Path>,
}

impl DirectoryStore {
    /// A store in this directory, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// It cannot be made, is no directory, or others than its owner can write to it.
    pub fn new(directory: impl AsRef<Path>) -> io::Result<Self> {
        let directory = directory.as_ref();
        if !directory.exists() {
            make(directory)?;
        }
        check(directory)?;
        Ok(Self { directory: directory.canonicalize()?.into() })
    }

    /// The file of a key. Keys are hexadecimal; anything else becomes so, and names no other folder.
    fn path(&self, key: &str) -> PathBuf {
        let safe = !key.is_empty() && key.len() <= 128 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        let name = if safe { key.to_owned() } else { key.bytes().fold("x".to_owned(), |name, byte| format!("{name}{byte:02x}")) };
        self.directory.join(format!("{name}.json"))
    }
}

impl Store for DirectoryStore {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, BoxError>> {
        let path = self.path(key);
        Box::pin(async move { aside(move || read(&path)).await })
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a str>, value: Secret) -> BoxFuture<'a, Result<Swapped, BoxError>> {
        let (path, expected) = (self.path(key), expected.map(str::to_owned));
        Box::pin(async move {
            let beside = path.with_extension("lock");
            let lock = aside(move || Ok(private(OpenOptions::new().create(true).truncate(false), &beside)?)).await?;
            while let Err(error) = lock.try_lock() {
                match error {
                    TryLockError::WouldBlock => tokio::time::sleep(ASK_AGAIN).await,
                    TryLockError::Error(error) => return Err(error.into()),
                }
            }
            // The lock goes along: whoever gives up waiting for this must not let go of it before it is done.
            aside(move || {
                let swapped = compare_and_swap(&path, expected.as_deref(), &value);
                // By name: a process that was forked meanwhile has the file, too, and would hold the lock for as long as it lives.
                let unlocked = lock.unlock();
                swapped.and_then(|swapped| unlocked.map(|()| swapped).map_err(Into::into))
            })
            .await
        })
    }
}

fn compare_and_swap(path: &Path, expected: Option<&str>, value: &Secret) -> Result<Swapped, BoxError> {
    let current = read(path)?;
    if current.as_ref().map(|entry| entry.version.as_str()) != expected {
        return Ok(Swapped::Conflict(current));
    }
    let version = format!("{:016x}", getrandom::u64().map_err(|error| error.to_string())?);
    write(path, &version, value)?;
    Ok(Swapped::Done(version))
}

/// Files may take their time.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, BoxError> + Send + 'static) -> Result<T, BoxError> {
    tokio::task::spawn_blocking(work).await?
}

/// What is no entry counts as none: it costs a round trip to replace it, and helps nobody to keep it.
fn read(path: &Path) -> Result<Option<Entry>, BoxError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path, &error)),
        Ok(metadata) if !metadata.is_file() => return Err(format!("{} is no regular file: remove it", path.display()).into()),
        Ok(metadata) => check_private(&metadata, path)?,
    }
    let mut text = Vec::new();
    let file = OpenOptions::new().read(true).open(path).map_err(|error| at(path, &error))?;
    file.take(2 * CONTENT_BYTES as u64).read_to_end(&mut text).map_err(|error| at(path, &error))?;
    let text = Secret::from(String::from_utf8_lossy(&text).into_owned());
    let Ok(mut document) = serde_json::from_str::<Value>(text.reveal()) else { return Ok(None) };
    let mut member = |name: &str| match document.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (version, value) = (member("version"), member("value").map(Secret::from));
    Ok(version.zip(value).map(|(version, value)| Entry { version, value }))
}

fn write(path: &Path, version: &str, value: &Secret) -> Result<(), BoxError> {
    let text = Secret::from(json!({ "version": version, "value": value.reveal() }).to_string());
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&new, &error)),
        _ => {}
    }
    let mut file = private(OpenOptions::new().create_new(true), &new).map_err(|error| at(&new, &error))?;
    let written = file.write_all(text.reveal().as_bytes()).and_then(|()| file.sync_all());
    written.and_then(|()| fs::rename(&new, path)).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &io::Error) -> BoxError {
    format!("{}: {error}", path.display()).into()
}

#[cfg(unix)]
fn private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.write(true).mode(0o600).custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0)).open(path)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    options.write(true).open(path)
}

#[cfg(unix)]
fn make(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

#[cfg(not(unix))]
fn make(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

#[cfg(unix)]
fn check(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(directory)?;
    let shown = directory.display();
    if !metadata.is_dir() {
        return Err(io::Error::other(format!("{shown} is no directory")));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other(format!("others can write to {shown}: take that right away (chmod go-w), or name another")));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check(directory: &Path) -> io::Result<()> {
    let is_directory = fs::metadata(directory)?.is_dir();
    if is_directory { Ok(()) } else { Err(io::Error::other(format!("{} is no directory", directory.display()))) }
}

/// Whoever could read it has the token, and whoever could write it may have put one of theirs.
#[cfg(unix)]
fn check_private(metadata: &fs::Metadata, path: &Path) -> Result<(), BoxError> {
    use std::os::unix::fs::MetadataExt as _;
    if metadata.mode() & 0o077 != 0 {
        return Err(format!("others than its owner can use {}: remove it", path.display()).into());
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_: &fs::Metadata, _: &Path) -> Result<(), BoxError> {
    Ok(())
}
