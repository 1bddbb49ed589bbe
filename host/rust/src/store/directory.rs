//! A store in a directory: for processes of one machine that share an identity.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::private::{self, Lock, aside};
use super::{BoxError, Entry, Store, Swapped};
use crate::clock::BoxFuture;
use crate::secret::Secret;

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
            let lock = Lock::of(&path).await?;
            // The lock goes along: whoever gives up waiting for this must not let go of it before it is done.
            aside(move || {
                let swapped = compare_and_swap(&path, expected.as_deref(), &value);
                let released = lock.release();
                swapped.and_then(|swapped| released.map(|()| swapped))
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

/// What is no entry is one that no session can read: it is said, and replaced at the cost of a round trip.
fn read(path: &Path) -> Result<Option<Entry>, BoxError> {
    let Some(text) = private::read(path)? else { return Ok(None) };
    let mut document = serde_json::from_str::<Value>(text.reveal()).unwrap_or_default();
    let mut member = |name: &str| match document.get_mut(name).map(Value::take) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (version, value) = (member("version"), member("value").map(Secret::from));
    let entry = version.zip(value).map(|(version, value)| Entry { version, value });
    Ok(Some(entry.unwrap_or_else(|| Entry { version: private::digest(&text), value: Secret::from("") })))
}

fn write(path: &Path, version: &str, value: &Secret) -> Result<(), BoxError> {
    let text = Secret::from(json!({ "version": version, "value": value.reveal() }).to_string());
    private::replace(path, &text).map_err(Into::into)
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
    let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != user && owner != 0 {
        return Err(io::Error::other(format!("{shown} belongs to another user, {owner}: name another directory")));
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
