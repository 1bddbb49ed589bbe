//! A directory in which an identity token is published the way a kubelet publishes a projected volume.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use time::OffsetDateTime;
use tokio::task::JoinHandle;

use super::{IdentityProvider, IdentityToken};
use crate::random;

/// An identity token in a file that is replaced as a whole.
///
/// ```text
/// directory/..2026_11_21_10_54_07.Zk3xAbQ9/token   the token, readable by its owner only
/// directory/..data -> ..2026_11_21_10_54_07.Zk3xAbQ9
/// directory/token -> ..data/token                  what a workload opens
/// ```
///
/// [`rotate`](Self::rotate) writes the next token into a directory of its own and swaps `..data` by one `rename`, so
/// that whoever opens [`path`](Self::path) anew reads the old token or the new one, whole. A kubelet removes the old
/// directory at once; here the last few stay, because a reader may be between following the link and opening the file.
///
/// Clones publish in the same directory, and nobody else does meanwhile. Files stay when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct TokenFile {
    provider: IdentityProvider,
    path: PathBuf,
    published: Arc<Mutex<Published>>,
}

/// A rotation in the background. It ends when this is dropped.
#[must_use = "the rotation ends when this is dropped"]
#[derive(Debug)]
pub struct Rotation {
    task: JoinHandle<()>,
    failures: Arc<AtomicU64>,
}

/// A token could not be published. Make the directory writable for this process, or name one that no other emulator uses.
#[derive(Debug, Error)]
#[error("{path}: {source}", path = path.display())]
pub struct TokenFileError {
    path: PathBuf,
    source: io::Error,
}

impl IdentityProvider {
    /// Publishes a new token in `directory`, which is made if it does not exist and taken over if it does.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made, read or written, or somebody else publishes in it now.
    pub fn publish(&self, directory: impl Into<PathBuf>) -> Result<TokenFile, TokenFileError> {
        let volume = Volume::open(directory.into())?;
        let path = volume.directory.join(FILE);
        let token = self.mint();
        let mut published = Published { generations: volume.earlier_generations()?, volume, token: token.clone() };
        published.replace(token, self.now())?;
        published.volume.link(&path)?;
        let published = Arc::new(Mutex::new(published));
        self.shared.files.add(&published);
        Ok(TokenFile { provider: self.clone(), path, published })
    }

    /// Publishes a new token in every directory that is still in use, and says in how many.
    ///
    /// # Errors
    ///
    /// When one of them cannot be written; its old token then stays published.
    pub fn rotate_files(&self) -> Result<usize, TokenFileError> {
        let files = self.shared.files.in_use();
        for file in &files {
            let mut published = file.lock().unwrap_or_else(PoisonError::into_inner);
            published.replace(self.mint(), self.now())?;
        }
        Ok(files.len())
    }

    /// Publishes a new token where this one is published. A directory that cannot be written keeps the old one, as in
    /// [`rotate_every`](TokenFile::rotate_every).
    pub(crate) fn rotate_file_of(&self, token: &str) {
        for file in self.shared.files.in_use() {
            let mut published = file.lock().unwrap_or_else(PoisonError::into_inner);
            if published.token.expose() == token {
                let _ = published.replace(self.mint(), self.now());
            }
        }
    }

    fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }
}

/// The directories in which tokens are published, as long as somebody holds their [`TokenFile`].
#[derive(Default)]
pub(super) struct Files(Mutex<Vec<Weak<Mutex<Published>>>>);

impl Files {
    fn add(&self, published: &Arc<Mutex<Published>>) {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|file| file.strong_count() > 0);
        files.push(Arc::downgrade(published));
    }

    fn in_use(&self) -> Vec<Arc<Mutex<Published>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }
}

impl TokenFile {
    /// The path that a workload opens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The token that is published now.
    pub fn current(&self) -> IdentityToken {
        self.published().token.clone()
    }

    /// Publishes a new token as [`IdentityProvider::mint`] makes it, and returns it.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written; the old token then stays published.
    pub fn rotate(&self) -> Result<IdentityToken, TokenFileError> {
        self.replace(self.provider.mint())
    }

    /// Publishes this token, and returns it.
    ///
    /// # Errors
    ///
    /// When the directory cannot be written; the old token then stays published.
    pub fn replace(&self, token: IdentityToken) -> Result<IdentityToken, TokenFileError> {
        self.published().replace(token.clone(), self.provider.now())?;
        Ok(token)
    }

    /// Rotates every `period` until the returned value is dropped. A rotation that fails is tried again in the next.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, and when `period` is zero.
    pub fn rotate_every(&self, period: Duration) -> Rotation {
        let file = self.clone();
        let failures = Arc::new(AtomicU64::new(0));
        let counter = failures.clone();
        let mut ticks = tokio::time::interval(period);
        let task = tokio::spawn(async move {
            // The first tick is immediate, and the file already holds a fresh token.
            ticks.tick().await;
            loop {
                ticks.tick().await;
                if file.rotate().is_err() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Rotation { task, failures }
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rotation {
    /// How many rotations failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

impl Drop for Rotation {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TokenFileError {
    /// What could not be written or read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether another emulator publishes in the directory.
    pub fn is_in_use(&self) -> bool {
        self.source.kind() == io::ErrorKind::ResourceBusy
    }
}

const FILE: &str = "token";
const DATA: &str = "..data";
const NEXT_DATA: &str = "..data_tmp";
const LOCK: &str = "..lock";

/// Readers take microseconds from the link to the file; this many rotations take milliseconds.
const KEPT_GENERATIONS: usize = 32;

/// What is published now, and the directories that are kept, oldest first and the present one last.
#[derive(Debug)]
struct Published {
    volume: Volume,
    token: IdentityToken,
    generations: VecDeque<String>,
}

#[derive(Debug)]
struct Volume {
    directory: PathBuf,
    /// Held as long as tokens are published here: two that publish in one directory would take each other's readers.
    _lock: File,
}

impl Published {
    fn replace(&mut self, token: IdentityToken, now: SystemTime) -> Result<(), TokenFileError> {
        let generation = self.volume.write(&token, now)?;
        self.volume.swap(&generation)?;
        self.token = token;
        self.generations.push_back(generation);
        while self.generations.len() > KEPT_GENERATIONS {
            let oldest = self.generations.pop_front().expect("it has more than the kept ones");
            // What cannot be removed was removed by someone else, or stays as litter that no reader meets.
            let _ = fs::remove_dir_all(self.volume.directory.join(oldest));
        }
        Ok(())
    }
}

impl Volume {
    fn open(directory: PathBuf) -> Result<Self, TokenFileError> {
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(at(&directory))?;
        let path = directory.join(LOCK);
        let mut options = OpenOptions::new();
        let lock = options.write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(at(&path))?;
        lock.try_lock().map_err(|error| {
            at(&directory)(match error {
                TryLockError::WouldBlock => {
                    io::Error::new(io::ErrorKind::ResourceBusy, "another emulator publishes its identity token there")
                }
                TryLockError::Error(error) => error,
            })
        })?;
        Ok(Self { directory, _lock: lock })
    }

    /// The directories that an earlier process left, oldest first.
    fn earlier_generations(&self) -> Result<VecDeque<String>, TokenFileError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(at(&self.directory))? {
            let entry = entry.map_err(at(&self.directory))?;
            let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if let (true, Ok(name)) = (is_directory, entry.file_name().into_string())
                && is_generation(&name)
            {
                names.push(name);
            }
        }
        // The names begin with the time, from the year down.
        names.sort_unstable();
        Ok(names.into())
    }

    fn write(&self, token: &IdentityToken, now: SystemTime) -> Result<String, TokenFileError> {
        let name = generation_name(now);
        let directory = self.directory.join(&name);
        DirBuilder::new().mode(0o700).create(&directory).map_err(at(&directory))?;
        let path = directory.join(FILE);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(token.expose().as_bytes()))
            .map_err(at(&path))?;
        Ok(name)
    }

    /// Makes `generation` the one that readers meet, in one step.
    fn swap(&self, generation: &str) -> Result<(), TokenFileError> {
        let next = self.directory.join(NEXT_DATA);
        remove_if_there(&next)?;
        symlink(generation, &next).map_err(at(&next))?;
        let data = self.directory.join(DATA);
        fs::rename(&next, &data).map_err(at(&data))
    }

    /// Makes the link that workloads open. It never changes afterwards.
    fn link(&self, path: &Path) -> Result<(), TokenFileError> {
        let target = Path::new(DATA).join(FILE);
        if fs::read_link(path).is_ok_and(|present| present == target) {
            return Ok(());
        }
        remove_if_there(path)?;
        symlink(target, path).map_err(at(path))
    }
}

/// The name that a kubelet would give: the time in UTC, and something random.
fn generation_name(now: SystemTime) -> String {
    let now = OffsetDateTime::from(now);
    format!(
        "..{:04}_{:02}_{:02}_{:02}_{:02}_{:02}.{}",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        random::alphanumeric(8)
    )
}

fn is_generation(name: &str) -> bool {
    name.strip_prefix("..").is_some_and(|rest| rest.as_bytes().first().is_some_and(u8::is_ascii_digit) && rest.contains('_'))
}

fn remove_if_there(path: &Path) -> Result<(), TokenFileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(at(path)(error)),
        _ => Ok(()),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TokenFileError + '_ {
    |source| TokenFileError { path: path.to_owned(), source }
}
