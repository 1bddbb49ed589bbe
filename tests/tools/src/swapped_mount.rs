//! A mounted directory that shows another generation of its file all the time. Shared by the tests of hosts that read files.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;

/// How long a generation is shown. A kubelet takes a minute; a read takes some fifty microseconds.
const SHOWN_FOR: Duration = Duration::from_millis(1);

/// Swapped as a kubelet does it, for as long as it lives: what was shown before is removed at once.
pub struct SwappedMount {
    directory: TempDir,
    stopped: Arc<AtomicBool>,
    swapping: Option<JoinHandle<()>>,
}

impl SwappedMount {
    /// With these contents in the file `token`, one in each generation.
    ///
    /// # Panics
    ///
    /// There is no temporary directory.
    #[must_use]
    pub fn showing(tokens: [&str; 2]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().to_owned();
        show(&root, "..0", tokens[0]).expect("the directory is writable");
        symlink("..data/token", root.join("token")).expect("the directory is writable");
        let stopped = Arc::<AtomicBool>::default();
        let (until, tokens) = (Arc::clone(&stopped), tokens.map(str::to_owned));
        let swapping = thread::spawn(move || swap(&root, &tokens, &until).expect("the directory is writable"));
        Self { directory, stopped, swapping: Some(swapping) }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for SwappedMount {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let ended = self.swapping.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "it was swapped to the end");
    }
}

fn swap(root: &Path, [first, second]: &[String; 2], stopped: &AtomicBool) -> io::Result<()> {
    // No name comes twice, as with a kubelet's times: whoever was led to a folder before finds it gone, and not half written.
    for (old, token) in [second, first].into_iter().cycle().enumerate() {
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        show(root, &format!("..{}", old + 1), token)?;
        fs::remove_dir_all(root.join(format!("..{old}")))?;
        thread::park_timeout(SHOWN_FOR);
    }
    Ok(())
}

fn show(root: &Path, generation: &str, token: &str) -> io::Result<()> {
    let (folder, next): (PathBuf, PathBuf) = (root.join(generation), root.join("next"));
    fs::create_dir(&folder)?;
    fs::write(folder.join("token"), token)?;
    symlink(generation, &next)?;
    fs::rename(next, root.join("..data"))
}
