//! Reading a file: only regular ones, only as much as was asked for, and never waiting for a writer. Whatever a session reads is
//! read here.

#[cfg(unix)]
mod owners;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Semaphore;
use zeroize::Zeroizing;

#[cfg(unix)]
use crate::bindings::types::FileProtection;
use crate::bindings::types::{FileRequest, Outcome};
use crate::limits::CONTENT_BYTES;
use crate::policy::Policy;

/// So many times in a row a file may be swapped while it is being read.
const SWAPS: u32 = 8;

/// `within`: a directory that the file has to be in when all links are followed.
pub(super) async fn read(
    path: PathBuf,
    request: FileRequest,
    within: Option<PathBuf>,
    policy: Arc<Policy>,
    readers: &Arc<Semaphore>,
) -> Outcome {
    // A file system that does not answer holds the threads that ask it, and there are only so many in the program.
    let Ok(place) = Arc::clone(readers).try_acquire_owned() else {
        return Outcome::Failed("the file system has not answered earlier reads yet".to_owned());
    };
    let reading = tokio::task::spawn_blocking(move || {
        let outcome = read_now(&path, &request, within.as_deref(), &policy);
        drop(place);
        outcome
    });
    reading.await.unwrap_or_else(|_| Outcome::Failed("the file could not be read".to_owned()))
}

/// Why a file is not to be trusted, with the command that mends it: others than root and this process's user could have written it,
/// or put another in its place. What profiles are held to, for programs that read their configuration from a file.
///
/// # Errors
///
/// The file, or a directory that it is in, cannot be looked at.
pub fn distrusted(path: &Path) -> io::Result<Option<String>> {
    let resolved = path.canonicalize()?;
    #[cfg(unix)]
    let why = owners::Reader::new().distrusts(&resolved, &fs::metadata(&resolved)?);
    #[cfg(not(unix))]
    let why = fs::metadata(&resolved).map(|_| None);
    why
}

fn read_now(path: &Path, request: &FileRequest, within: Option<&Path>, policy: &Policy) -> Outcome {
    if !path.is_absolute() {
        return Outcome::Denied("the directory in which this program was started is not known: name the whole path".to_owned());
    }
    let mut result = try_read(path, request, within, policy);
    // What a mount swaps is removed at once: the file that the path led to may be gone before it is opened. To ask whether there is
    // one would meet the same.
    for _ in 0..SWAPS {
        if !matches!(&result, Err(error) if error.kind() == ErrorKind::NotFound) {
            break;
        }
        result = try_read(path, request, within, policy);
    }
    match result {
        Ok(outcome) => outcome,
        // A part of the path that is a file is as good as none: `/a/token/token` of a mount that is not there yet.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Outcome::Absent,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Outcome::Denied("the file's permissions do not let this process read it".to_owned())
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn try_read(path: &Path, request: &FileRequest, within: Option<&Path>, policy: &Policy) -> io::Result<Outcome> {
    // Resolved once, and then opened where it led: a link that is swapped meanwhile gives the old file or the new one, and
    // nothing that was not checked.
    let resolved = path.canonicalize()?;
    if let Some(directory) = within
        && !resolved.starts_with(directory.canonicalize()?)
    {
        let (leads_to, directory) = (resolved.display(), directory.display());
        return Ok(Outcome::Denied(format!(
            "it is a link that leads out of {directory}, to {leads_to}: put the file itself there"
        )));
    }
    if let Err(rule) = policy.check_file(&resolved) {
        return Ok(Outcome::Denied(rule));
    }
    // Before opening: to open a device may do something.
    if let Some(refused) = refuse_irregular(&fs::metadata(&resolved)?) {
        return Ok(refused);
    }
    let file = open(&resolved)?;
    let metadata = file.metadata()?;
    if let Some(refused) = refuse_irregular(&metadata) {
        return Ok(refused);
    }
    #[cfg(unix)]
    if request.protection == FileProtection::UnwritableByOthers
        && let Some(why) = owners::Reader::new().distrusts(&resolved, &metadata)?
    {
        return Ok(Outcome::Denied(why));
    }
    let limit = u64::from(request.max_bytes).min(CONTENT_BYTES as u64);
    let mut content = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len().min(limit)).unwrap_or_default() + 1));
    file.take(limit + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit {
        return Ok(Outcome::Failed(format!("the file is longer than {limit} bytes")));
    }
    Ok(Outcome::Content(String::from_utf8_lossy(&content).into_owned()))
}

fn refuse_irregular(metadata: &fs::Metadata) -> Option<Outcome> {
    match metadata.file_type() {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some(Outcome::Failed("it is a directory".to_owned())),
        _ => Some(Outcome::Denied("the policy allows regular files only".to_owned())),
    }
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    // Exchanged for a pipe since it was looked at, it must not make us wait for a writer.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW).bits();
    OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::thread;
    use std::time::Duration;

    use super::*;

    fn read(path: &Path, max_bytes: u32) -> Outcome {
        let request = FileRequest { path: path.display().to_string(), max_bytes, protection: FileProtection::Any };
        try_read(path, &request, None, &Policy::default()).unwrap()
    }

    /// F12: no more is read than a host ever reads, whatever the component asks for.
    #[test]
    fn no_file_is_longer_than_any() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "a".repeat(CONTENT_BYTES)).unwrap();
        assert!(matches!(read(&path, u32::MAX), Outcome::Content(content) if content.len() == CONTENT_BYTES));
        assert!(matches!(read(&path, 1_000), Outcome::Failed(why) if why == "the file is longer than 1000 bytes"));
        fs::write(&path, "a".repeat(CONTENT_BYTES + 1)).unwrap();
        assert!(matches!(read(&path, u32::MAX), Outcome::Failed(why) if why == "the file is longer than 1048576 bytes"));
    }

    /// A1: what is no file is not even opened, for that may do something: it lets a writer at a pipe go on.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "a pipe of the machine has the machine's time")]
    fn what_is_no_file_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let goes_on = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Waits for a reader.
                let opened = OpenOptions::new().write(true).open(&pipe);
                goes_on.store(true, SeqCst);
                opened.unwrap();
            });
            // It waits there, or will: only what is too late for it would go unnoticed.
            thread::sleep(Duration::from_millis(100));
            let outcome = read(&pipe, 1_000);
            thread::sleep(Duration::from_millis(100));
            let went_on = goes_on.load(SeqCst);
            // Both ends at once, which waits for nobody, lets it go.
            let both = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
            while !goes_on.load(SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            drop(both);
            assert!(matches!(outcome, Outcome::Denied(_)));
            assert!(!went_on, "it was opened");
        });
    }
}
