//! The entry that instances share: files in a preopened directory, by what WASI 0.2 really gives.
//!
//! WASI has no file locks, and a rename replaces whatever is there. A hard link does not: it fails where the name is taken, as
//! one operation, and what it makes visible is complete. So each version of an entry is a file of its own, `<key>.<number>`,
//! that never changes; the highest number counts. A swap writes its value beside them under a name of its own, and links it
//! to the next number. Whoever dies on the way leaves a file that nobody reads and that a later swap removes; so it does with
//! entries of other keys that were last written more than a day before, longer than any token lives.
//!
//! The last versions are kept: a writer that slept would else find the number after the one that it knows free again. That it
//! made the highest number is looked at once more after the link.
//!
//! WASI shows no permissions and sets none. Whoever reads the directory can use the access token, and whoever writes it can
//! have every instance use a token of theirs: its protection is the host's.

use wasi::filesystem::preopens;
use wasi::filesystem::types::{Descriptor, DescriptorFlags, DescriptorType, ErrorCode, OpenFlags, PathFlags};
use wasi::random::random;
use wif_engine::Secret;
use wif_engine::contract::{Entry, Outcome, Swap};

use crate::environment;
use crate::files;

/// The variable that names the directory, by the path under which the host has opened it or one above it.
pub(crate) const VARIABLE: &str = "WIF_STORE_DIRECTORY";

/// An entry takes some kilobytes; more than this is something else.
const MAX_BYTES: u64 = 1 << 20;

/// So many versions stay beside the newest.
const KEPT: u64 = 16;

/// How often a version is looked for that is removed before it can be read.
const LOOKS: u32 = 8;

/// What a dead writer left is removed when the newest version is younger by this much. In seconds of the file system's clock.
const LEFT_OVER: u64 = 60;

/// An entry of another key that is older than the newest version by more than this, the longest life of a token, is of use to
/// nobody: its configuration is gone. In seconds.
const FORGOTTEN: u64 = 86_400;

/// So many entries of other keys are looked at after a swap.
const OTHERS: usize = 32;

/// A directory in which instances meet.
pub(crate) struct Directory {
    path: String,
}

impl Directory {
    /// The one that the variable names, if it is set.
    pub(crate) fn from_environment() -> Option<Self> {
        environment::variable(VARIABLE).filter(|path| !path.is_empty()).map(|path| Self { path })
    }

    /// The newest version of an entry.
    pub(crate) fn load(&self, key: &str) -> Outcome {
        let loaded = self.open(key).and_then(|open| open.newest());
        loaded.map_or_else(|failure| failure.outcome(&self.path), |entry| entry.map_or(Outcome::Absent, Outcome::Entry))
    }

    /// Puts a version after the expected one, if that is still the newest.
    pub(crate) fn swap(&self, swap: &Swap) -> Outcome {
        let swapped = self.open(&swap.key).and_then(|open| open.swap(swap.expected.as_deref(), &swap.value));
        swapped.unwrap_or_else(|failure| failure.outcome(&self.path))
    }

    /// Opened anew for each task: it may be mounted later than the component starts.
    fn open<'a>(&self, key: &'a str) -> Result<Open<'a>, Failure> {
        if key.is_empty() || !key.bytes().all(is_of_key) {
            return Err(Failure::Key);
        }
        let directories = preopens::get_directories();
        let paths: Vec<&str> = directories.iter().map(|(_, path)| path.as_str()).collect();
        let (position, path) = files::locate(&paths, &self.path).ok_or(Failure::NotOpened)?;
        let flags = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
        let directory = directories[position].0.open_at(PathFlags::SYMLINK_FOLLOW, &path, OpenFlags::DIRECTORY, flags)?;
        Ok(Open { directory, key })
    }
}

/// Why the directory does not serve.
enum Failure {
    Key,
    NotOpened,
    Restless,
    TooLong,
    Irregular,
    Last,
    System(ErrorCode),
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::System(code)
    }
}

impl Failure {
    fn outcome(&self, path: &str) -> Outcome {
        let of_directory = |why: &str| format!("{VARIABLE} names {path}, {why}");
        match self {
            Self::Key => Outcome::Failed("the key of the entry is no name for a file".to_owned()),
            Self::NotOpened => Outcome::Denied(of_directory("which is in no directory that the host has opened")),
            Self::Restless => Outcome::Failed(of_directory("where versions go faster than they can be read")),
            Self::TooLong => Outcome::Failed(of_directory("where the entry is longer than a mebibyte")),
            Self::Irregular => {
                Outcome::Denied(of_directory("where the newest version is no regular file: remove what has no place there"))
            }
            Self::Last => Outcome::Failed(of_directory("where the newest version has the last number: remove it")),
            Self::System(ErrorCode::NotPermitted | ErrorCode::ReadOnly | ErrorCode::Access) => {
                Outcome::Denied(of_directory("which the host has not opened for writing, or whose file system has no hard links"))
            }
            Self::System(ErrorCode::Unsupported) => Outcome::Failed(of_directory("whose file system has no hard links")),
            Self::System(ErrorCode::NoEntry) => Outcome::Failed(of_directory("which is not there")),
            Self::System(code) => Outcome::Failed(of_directory(&format!("which fails ({})", code.name()))),
        }
    }
}

/// The directory, opened for one entry.
struct Open<'a> {
    directory: Descriptor,
    key: &'a str,
}

/// What is in the directory of one entry.
#[derive(Debug, Default)]
struct Listing {
    versions: Vec<u64>,
    left_over: Vec<String>,
    /// Of other keys.
    others: Vec<String>,
}

impl Open<'_> {
    fn newest(&self) -> Result<Option<Entry>, Failure> {
        for _ in 0..LOOKS {
            let Some(version) = self.list()?.newest() else { return Ok(None) };
            match self.read(version) {
                // It was superseded, and has been removed.
                Err(Failure::System(ErrorCode::NoEntry)) => {}
                read => return Ok(Some(Entry { version: version.to_string(), value: read? })),
            }
        }
        Err(Failure::Restless)
    }

    fn swap(&self, expected: Option<&str>, value: &Secret) -> Result<Outcome, Failure> {
        let before = self.list()?;
        let newest = before.newest();
        if newest.map(|version| version.to_string()).as_deref() != expected {
            return Ok(Outcome::Conflict(self.newest()?));
        }
        let next = newest.unwrap_or(0).checked_add(1).ok_or(Failure::Last)?;
        let draft = format!("{}.{:016x}.new", self.key, random::get_random_u64());
        let linked = self
            .write(&draft, value)
            .and_then(|()| Ok(self.directory.link_at(PathFlags::empty(), &draft, &self.directory, &self.name(next))?));
        // A later swap removes it otherwise.
        let _ = self.directory.unlink_file_at(&draft);
        match linked {
            Ok(()) => {}
            Err(Failure::System(ErrorCode::Exist)) => return Ok(Outcome::Conflict(self.newest()?)),
            Err(failure) => return Err(failure),
        }
        // If others have gone on, nobody knows from which version. To count it as lost is safe: the session looks again.
        if self.list()?.newest() != Some(next) {
            return Ok(Outcome::Conflict(self.newest()?));
        }
        self.tidy(&before, next);
        Ok(Outcome::Swapped(next.to_string()))
    }

    fn list(&self) -> Result<Listing, Failure> {
        let mut listing = Listing::default();
        let entries = self.directory.read_directory()?;
        loop {
            match entries.read_directory_entry() {
                Ok(Some(entry)) => listing.add(self.key, entry.name),
                Ok(None) => break,
                // Hosts look at each file, and this one went meanwhile: a draft, or a version long superseded.
                Err(ErrorCode::NoEntry) => {}
                Err(code) => return Err(code.into()),
            }
        }
        Ok(listing)
    }

    fn name(&self, version: u64) -> String {
        format!("{}.{version}", self.key)
    }

    /// No link is followed: one in the place of an entry would have it read or written elsewhere. Looked at before it is opened,
    /// for to open a pipe may wait for a writer.
    fn read(&self, version: u64) -> Result<Secret, Failure> {
        let name = self.name(version);
        if self.directory.stat_at(PathFlags::empty(), &name)?.type_ != DescriptorType::RegularFile {
            return Err(Failure::Irregular);
        }
        let file = self.directory.open_at(PathFlags::empty(), &name, OpenFlags::empty(), DescriptorFlags::READ)?;
        let content = files::content(&file, MAX_BYTES)?.ok_or(Failure::TooLong)?;
        Ok(Secret::from(String::from_utf8_lossy(&content).into_owned()))
    }

    fn write(&self, name: &str, value: &Secret) -> Result<(), Failure> {
        let (create, flags) = (OpenFlags::CREATE | OpenFlags::EXCLUSIVE, DescriptorFlags::WRITE);
        let file = self.directory.open_at(PathFlags::empty(), name, create, flags)?;
        let mut left = value.reveal().as_bytes();
        let mut offset = 0;
        while !left.is_empty() {
            let written = file.write(left, offset)?;
            offset += written;
            left = usize::try_from(written)
                .ok()
                .and_then(|written| left.get(written..))
                .filter(|_| written > 0)
                .ok_or(ErrorCode::Io)?;
        }
        // What has a number is complete even after the machine lost its power.
        Ok(file.sync_data()?)
    }

    /// Removes what no longer counts. Whatever fails here is tried again after the next swap.
    fn tidy(&self, listing: &Listing, newest: u64) {
        for version in listing.versions.iter().filter(|version| version.saturating_add(KEPT) < newest) {
            let _ = self.directory.unlink_file_at(&self.name(*version));
        }
        let changed =
            |name: &str| Some(self.directory.stat_at(PathFlags::empty(), name).ok()?.data_modification_timestamp?.seconds);
        if listing.left_over.is_empty() && listing.others.is_empty() {
            return;
        }
        let Some(now) = changed(&self.name(newest)) else { return };
        let drafts = listing.left_over.iter().map(|name| (name, LEFT_OVER));
        for (name, age) in drafts.chain(listing.others.iter().take(OTHERS).map(|name| (name, FORGOTTEN))) {
            if changed(name).is_some_and(|then| then.saturating_add(age) < now) {
                let _ = self.directory.unlink_file_at(name);
            }
        }
    }
}

fn is_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

impl Listing {
    fn add(&mut self, key: &str, name: String) {
        let Some((of, rest)) = name.split_once('.') else { return };
        let version = rest.parse().ok().filter(|version: &u64| version.to_string() == rest);
        let is_draft = rest.strip_suffix(".new").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        // All keys have one length; what does not look like an entry is not ours to remove.
        let is_other = of != key && of.len() == key.len() && of.bytes().all(is_of_key);
        match version {
            Some(version) if of == key => self.versions.push(version),
            _ if is_draft && of == key => self.left_over.push(name),
            _ if is_other && (is_draft || version.is_some()) => self.others.push(name),
            _ => {}
        }
    }

    fn newest(&self) -> Option<u64> {
        self.versions.iter().copied().max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_number_counts_and_nothing_else_is_a_version() {
        let mut listing = Listing::default();
        for name in [
            "k.9",
            "k.10",
            "k.2",
            "k.011",
            "k.+12",
            "k.x",
            "k",
            "kk.99",
            "k.00ff.new",
            "j.5",
            "j.0a.new",
            "j.txt",
            "other.5",
            "k.13.new",
            "k.y.new",
        ] {
            listing.add("k", name.to_owned());
        }
        assert_eq!(listing.newest(), Some(10));
        assert_eq!(listing.left_over, ["k.00ff.new", "k.13.new"]);
        assert_eq!(listing.others, ["j.5", "j.0a.new"]);
    }
}
