//! Keeps what a run knows for the next one, so that an identity token that can be exchanged once serves more than one of them: a
//! journal for each configuration that was in force, and an entry for each identity. A run of one takes nothing from another.
//!
//! Where the user names a directory, the library's store in a directory is used instead: many processes read it at once.
//!
//! The file holds the access token: it is made readable by its owner alone, replaced as a whole, and refused when anybody
//! else could have read it or pointed it elsewhere. While one process uses it, others wait.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};
use wif::private::{self, Lock};
use wif::{BoxError, BoxFuture, Entry, Secret, Store, Swapped};

use crate::environment::{self, BASE_URL, CONFIG_DIR, ORGANIZATION, PROFILE, RULE, SERVICE_ACCOUNT, TOKEN_FILE, WORKSPACE};
use crate::exit::TooLate;

/// More configurations than people have on one machine. The one that was used least recently makes room.
const MAX_JOURNALS: usize = 16;

/// A lock that nobody holds is had within this time.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The variables that tell one credential from another. Their order is part of the owner's name in files that are kept.
const TELLING: [&str; 10] =
    [PROFILE, CONFIG_DIR, BASE_URL, RULE, ORGANIZATION, SERVICE_ACCOUNT, WORKSPACE, TOKEN_FILE, "HOME", "XDG_CONFIG_HOME"];

/// More identities than share a file. The one that was written least recently makes room.
const MAX_ENTRIES: usize = 16;

/// A locked state file.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    /// Whose journal is read and written: a hash of the configuration in force.
    owner: String,
    /// Holds the lock until it is dropped. Beside the file, for the file itself is replaced. None where nothing can be written.
    lock: Option<Lock>,
    /// The file is read and replaced as a whole, by one task at a time.
    busy: Mutex<()>,
    /// Tells what this run wrote.
    run: String,
}

/// Whether the user means a directory.
pub(crate) fn is_directory(path: &Path) -> bool {
    path.is_dir() || path.to_string_lossy().ends_with('/')
}

impl StateFile {
    /// Waits for the lock until the deadline. `configuration` is the document in force.
    pub(crate) async fn open(path: &Path, configuration: &str, deadline: Instant) -> anyhow::Result<Self> {
        let lock = match take(path, deadline).await {
            Ok(lock) => Some(lock),
            // Nobody can write there, so nobody needs to be waited for; what is there may still serve.
            Err(error) if cannot_be_written(&error) && fs::symlink_metadata(path).is_ok() => None,
            Err(error) => return Err(error),
        };
        let state = Self { path: path.to_path_buf(), owner: owner(configuration), lock, busy: Mutex::default(), run: run() };
        if state.is_read_only() {
            return Ok(state);
        }
        // What is wrong with the file is said by whoever reads it.
        let _said_later = state.discard_unfinished();
        Ok(state)
    }

    /// Drops the entries of a run that was killed: they tell of an exchange that nobody waits for any more. That it was out stands
    /// in the journal.
    fn discard_unfinished(&self) -> anyhow::Result<()> {
        let Some(mut content) = self.read()?.as_deref().map(Content::read) else { return Ok(()) };
        let Some(run) = content.open.take() else { return Ok(()) };
        content.entries.retain(|(_, version, _)| !version.ends_with(&run));
        self.write(&content)
    }

    /// Nothing of this run is under way any more.
    pub(crate) fn finish(&self) {
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(Some(mut content)) = self.read().map(|text| text.as_deref().map(Content::read)) else { return };
        if content.open.take_if(|run| *run == self.run).is_some() {
            // At worst the next run exchanges once more.
            let _unwritten = self.write(&content);
        }
    }

    /// Whether nothing can be written.
    pub(crate) fn is_read_only(&self) -> bool {
        self.lock.is_none()
    }

    /// What [`load`](Self::load) would give, for who only looks: nothing is made, and nobody waited for.
    pub(crate) fn peek(path: &Path, configuration: &str) -> anyhow::Result<Option<String>> {
        let own = owner(configuration);
        let text = read(path)?;
        Ok(text.and_then(|text| {
            Content::read(&text)
                .journals
                .into_iter()
                .find(|(owner, _)| *owner == own || owner.is_empty())
                .map(|(_, journal)| journal)
        }))
    }

    /// This configuration's journal, if there is one. Otherwise the newest of another: its token is not taken, and what it
    /// spent stays spent.
    pub(crate) fn load(&self) -> anyhow::Result<Option<String>> {
        let Some(text) = self.read()? else { return Ok(None) };
        let journals = Content::read(&text).journals;
        let own = journals.iter().find(|(owner, _)| *owner == self.owner);
        Ok(own.or(journals.last()).map(|(_, journal)| journal.clone()))
    }

    fn read(&self) -> anyhow::Result<Option<String>> {
        read(&self.path)
    }

    /// Replaces this configuration's journal, and with it the file as a whole.
    pub(crate) fn save(&self, journal: &str) -> anyhow::Result<()> {
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let mut content = self.read()?.as_deref().map(Content::read).unwrap_or_default();
        // One that nobody can name was written by an earlier version, or is of this configuration.
        content.journals.retain(|(owner, _)| !owner.is_empty() && *owner != self.owner);
        content.journals.push((self.owner.clone(), journal.to_owned()));
        self.write(&content)
    }

    fn load_entry(&self, key: &str) -> anyhow::Result<Option<Entry>> {
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(self.read()?.as_deref().map(Content::read).unwrap_or_default().entry(key))
    }

    fn swap_entry(&self, key: &str, expected: Option<&str>, value: &Secret) -> anyhow::Result<Swapped> {
        let _busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let mut content = self.read()?.as_deref().map(Content::read).unwrap_or_default();
        let current = content.entry(key);
        if current.as_ref().map(|entry| entry.version.as_str()) != expected {
            return Ok(Swapped::Conflict(current));
        }
        let count = expected.and_then(|version| version.split('-').next()?.parse::<u64>().ok()).unwrap_or_default();
        let version = format!("{}-{}", count.wrapping_add(1), self.run);
        content.open = Some(self.run.clone());
        content.entries.retain(|(of, _, _)| of != key);
        content.entries.push((key.to_owned(), version.clone(), value.reveal().to_owned()));
        self.write(&content)?;
        Ok(Swapped::Done(version))
    }

    fn write(&self, content: &Content) -> anyhow::Result<()> {
        anyhow::ensure!(!self.is_read_only(), "nothing can be written to the directory of {}", self.path.display());
        private::replace(&self.path, &Secret::from(content.write())).map_err(|error| anyhow::anyhow!("cannot write {error}"))
    }
}

/// The content of a state file, if it is there and this user's alone. What is no journal is ignored by who reads it, with a warning.
fn read(path: &Path) -> anyhow::Result<Option<String>> {
    let content = private::read(path).map_err(|error| anyhow::anyhow!("{error}; or name another with --state"))?;
    Ok(content.map(|content| content.reveal().to_owned()))
}

/// Whether nobody can write there, so that no lock can be made.
fn cannot_be_written(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem))
}

/// Takes the lock of the file, and says so where somebody else has to let go of it first.
async fn take(path: &Path, deadline: Instant) -> anyhow::Result<Lock> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        anyhow::bail!("--state: the directory {} does not exist: make it", folder.display());
    }
    if let Ok(lock) = tokio::time::timeout(AT_ONCE, Lock::of(path)).await {
        return lock.context("--state");
    }
    let shown = Lock::place_of(path);
    let shown = shown.display();
    tracing::info!(target: "wif::waiting", "waiting for another run that uses the state file: it holds {shown}");
    match timeout_at(deadline, Lock::of(path)).await {
        Ok(lock) => lock.context("--state"),
        Err(_) => {
            let message = format!("no access token in time: another run uses the state file and holds its lock {shown}");
            Err(TooLate(message).into())
        }
    }
}

/// What is in a state file, the newest last.
#[derive(Default)]
struct Content {
    /// By owner.
    journals: Vec<(String, String)>,
    /// By key, with the version.
    entries: Vec<(String, String, String)>,
    /// The run that has changed entries and has not ended.
    open: Option<String>,
}

impl Content {
    /// What has another form is one journal, as it is: an earlier version kept one alone, and what is none is for its reader to
    /// ignore, with a warning.
    fn read(text: &str) -> Self {
        let document: Value = serde_json::from_str(text).unwrap_or_default();
        let Some(kept) = document["journals"].as_array() else {
            return Self { journals: vec![(String::new(), text.to_owned())], ..Self::default() };
        };
        let member = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let journals = kept.iter().map(|entry| (member(entry, "owner"), member(entry, "journal"))).collect();
        let entries = document["entries"].as_array().into_iter().flatten();
        let entries = entries.map(|entry| (member(entry, "key"), member(entry, "version"), member(entry, "value"))).collect();
        Self { journals, entries, open: document["open"].as_str().map(str::to_owned) }
    }

    fn entry(&self, key: &str) -> Option<Entry> {
        let (_, version, value) = self.entries.iter().find(|(of, _, _)| of == key)?;
        Some(Entry { version: version.clone(), value: Secret::from(value.as_str()) })
    }

    fn write(&self) -> String {
        let journals = &self.journals[self.journals.len().saturating_sub(MAX_JOURNALS)..];
        let entries = &self.entries[self.entries.len().saturating_sub(MAX_ENTRIES)..];
        let journals: Vec<Value> =
            journals.iter().map(|(owner, journal)| json!({ "owner": owner, "journal": journal })).collect();
        let entries: Vec<Value> =
            entries.iter().map(|(key, version, value)| json!({ "key": key, "version": version, "value": value })).collect();
        json!({ "journals": journals, "entries": entries, "open": self.open }).to_string()
    }
}

impl Store for StateFile {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, BoxError>> {
        Box::pin(async move { self.load_entry(key).map_err(|error| format!("{error:#}").into()) })
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a str>, value: Secret) -> BoxFuture<'a, Result<Swapped, BoxError>> {
        Box::pin(async move { self.swap_entry(key, expected, &value).map_err(|error| format!("{error:#}").into()) })
    }
}

/// A number of a run's own.
fn run() -> String {
    // Without randomness nothing tells the entries of two runs apart, and a killed run's may stay.
    let mut bytes = [0; 8];
    let _none = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash of what tells one credential from another, each part after its length. It shows nothing of a secret in it.
fn owner(configuration: &str) -> String {
    let mut hash = Sha256::new();
    let variables = TELLING.map(environment::raw);
    for part in std::iter::once(configuration).chain(variables.iter().map(String::as_str)) {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn open(path: &Path, configuration: &str) -> anyhow::Result<StateFile> {
        StateFile::open(path, configuration, Instant::now() + Duration::from_secs(10)).await
    }

    /// C16: the file is private, replaced as a whole, and not trusted when others could have touched it.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_state_file_is_private_and_distrusts_what_others_could_touch() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        let state = open(&path, "{}").await.expect("it opens");
        assert_eq!(state.load().expect("nothing is there"), None);
        state.save("one").expect("it is saved");
        state.save("two").expect("it is replaced");
        assert_eq!(state.load().expect("it is read").as_deref(), Some("two"));
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);

        fs::write(&path, [0xff, 0xfe, b'x']).expect("it is damaged");
        assert!(state.load().expect("it is for others to ignore").is_some());

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("its mode changes");
        assert!(state.load().is_err());
        fs::remove_file(&path).expect("it goes");
        symlink(directory.path().join("elsewhere"), &path).expect("a link");
        assert!(state.load().is_err());
    }

    #[tokio::test]
    async fn a_run_of_one_configuration_takes_nothing_from_another() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        let with = async |configuration: &str| open(&path, configuration).await.expect("it opens");
        with("a").await.save("of a").expect("it is saved");
        assert_eq!(with("b").await.load().expect("it is read").as_deref(), Some("of a"), "what a spent stays spent");
        with("b").await.save("of b").expect("it is saved");
        assert_eq!(with("a").await.load().expect("it is read").as_deref(), Some("of a"));
        assert_eq!(with("b").await.load().expect("it is read").as_deref(), Some("of b"));
        for other in 0..40 {
            with(&other.to_string()).await.save("other").expect("it is saved");
        }
        assert_eq!(Content::read(&fs::read_to_string(&path).expect("it is there")).journals.len(), MAX_JOURNALS);
    }

    #[tokio::test]
    async fn each_identity_has_an_entry_and_a_swap_compares() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        let state = open(&path, "{}").await.expect("it opens");
        state.save("journal").expect("it is saved");
        let swap = |key: &str, expected: Option<&str>, value: &str| match state.swap_entry(key, expected, &Secret::from(value)) {
            Ok(Swapped::Done(version)) => Some(version),
            Ok(Swapped::Conflict(_)) => None,
            Err(error) => panic!("{error:#}"),
        };
        let first = swap("a", None, "of a").expect("there was none");
        assert_eq!(swap("a", None, "other"), None);
        swap("b", None, "of b").expect("there was none");
        assert_ne!(swap("a", Some(&first), "of a, again").expect("it is the version"), first);
        let value = |key: &str| state.load_entry(key).expect("it is read").map(|entry| entry.value.reveal().to_owned());
        assert_eq!((value("a"), value("b")), (Some("of a, again".to_owned()), Some("of b".to_owned())));
        assert_eq!(state.load().expect("it is read").as_deref(), Some("journal"));
    }

    #[tokio::test]
    async fn entries_of_a_run_that_was_killed_are_dropped_and_others_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        let write = async |key: &str, ends: bool| {
            let state = open(&path, "{}").await.expect("it opens");
            assert!(matches!(state.swap_entry(key, None, &Secret::from(key)), Ok(Swapped::Done(_))));
            if ends {
                state.finish();
            }
        };
        write("a", true).await;
        write("b", false).await;
        let state = open(&path, "{}").await.expect("it opens");
        let is_there = |key: &str| state.load_entry(key).expect("it is read").is_some();
        assert_eq!((is_there("a"), is_there("b")), (true, false));
    }

    #[tokio::test]
    async fn a_file_of_an_earlier_version_is_one_journal() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state");
        let state = open(&path, "{}").await.expect("it opens");
        let journal = r#"{"version":1,"token":null}"#;
        state.save("new").expect("it is saved");
        fs::write(&path, journal).expect("it is written as before");
        assert_eq!(state.load().expect("it is read").as_deref(), Some(journal));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_fifo_in_the_place_of_the_file_or_its_lock_is_an_error_and_holds_nobody_up() {
        let directory = tempfile::tempdir().expect("a directory");
        let fifo = |name: &str| {
            let path = directory.path().join(name);
            let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
            assert!(made.success());
        };
        fifo("state");
        let message = open(&directory.path().join("state"), "{}").await.expect_err("a FIFO is no state");
        let message = format!("{message:#}");
        assert!(message.contains("state is no regular file"), "{message}");
        assert!(!directory.path().join("state.lock").exists(), "a lock was left");

        fifo("other.lock");
        // A reader keeps the opening from failing for the lack of one.
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let _reader = rustix::fs::open(directory.path().join("other.lock"), flags, rustix::fs::Mode::empty()).expect("it opens");
        let message = open(&directory.path().join("other"), "{}").await.expect_err("a FIFO is no lock");
        let message = format!("{message:#}");
        assert!(message.contains("other.lock is no regular file"), "{message}");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_fifo_without_a_reader_in_the_place_of_the_lock_is_an_error_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.lock");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
        let message = open(&directory.path().join("state"), "{}").await.expect_err("a FIFO is no lock");
        let message = format!("{message:#}");
        assert!(message.contains("state.lock is no regular file"), "{message}");
    }
}
