//! The only places that print, and whether standard output can take an answer, before anything is spent on it.

use std::io::Write as _;

use anyhow::{Context as _, bail};

/// Writes a line to standard output. Nothing depends on it: a story that nobody can read goes on.
pub(crate) fn say(line: &str) {
    let _unread = answer(line);
}

/// Writes to standard output what the command was called for. A reader that has gone away has what it wanted; any other failure
/// is an error, for what was asked is lost.
pub(crate) fn answer(line: &str) -> anyhow::Result<()> {
    is_open()?;
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// [`answer`], where the answer is the only one there will be: a reader that has gone away did not get it.
pub(crate) fn hand_over(line: &str) -> anyhow::Result<()> {
    is_open()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("cannot write to standard output")
}

/// Writes a line to standard error.
pub(crate) fn say_error(line: &str) {
    let _gone = writeln!(std::io::stderr().lock(), "{line}");
}

/// Whoever closes standard output (`>&-` in a shell) gets no answer, and has to hear of it.
fn is_open() -> anyhow::Result<()> {
    #[cfg(target_os = "linux")]
    if at_start::was_closed() {
        bail!("cannot write to standard output: it is closed");
    }
    Ok(())
}

/// Before `main` the runtime puts `/dev/null` in the place of a standard output that is closed, and then all writes succeed.
#[cfg(target_os = "linux")]
mod at_start {
    use std::os::fd::BorrowedFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    static CLOSED: AtomicBool = AtomicBool::new(false);

    // SAFETY: the linker's list of functions that run before `main`, each without an argument that it needs; this one calls nothing
    // that has to be prepared.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static LOOK: extern "C" fn() = look;

    extern "C" fn look() {
        // SAFETY: the number is asked about and nothing else: if it belongs to no file, the system says so.
        let out = unsafe { BorrowedFd::borrow_raw(1) };
        CLOSED.store(rustix::io::fcntl_getfd(out).is_err(), Ordering::Relaxed);
    }

    pub(super) fn was_closed() -> bool {
        CLOSED.load(Ordering::Relaxed)
    }
}

/// More than any answer has, in bytes.
#[cfg(target_os = "linux")]
const ROOM: u64 = 16 << 10;

/// Finds out whether what is written to standard output will arrive, as far as that can be known without writing.
#[cfg(unix)]
pub(crate) fn check() -> anyhow::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::Errno;

    is_open()?;
    let out = std::io::stdout();
    let mut polled = [PollFd::new(&out, PollFlags::OUT)];
    let lost = PollFlags::ERR | PollFlags::NVAL;
    if poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok() && polled[0].revents().intersects(lost) {
        bail!("cannot write to standard output: nobody reads it");
    }
    if let Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) = no_room(&out) {
        bail!("cannot write to standard output: there is no space left");
    }
    Ok(())
}

/// Reserves room in a file, and knows the one device that never has any.
#[cfg(target_os = "linux")]
fn no_room(out: &std::io::Stdout) -> Option<rustix::io::Errno> {
    use rustix::fs::{FallocateFlags, FileType, SeekFrom, fallocate, fstat, major, minor, seek};

    /// `/dev/full`.
    const FULL: (u32, u32) = (1, 7);
    let stat = fstat(out).ok()?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => ((major(stat.st_rdev), minor(stat.st_rdev)) == FULL).then_some(rustix::io::Errno::NOSPC),
        // Some file systems cannot reserve, which says nothing about their room.
        FileType::RegularFile => fallocate(out, FallocateFlags::KEEP_SIZE, seek(out, SeekFrom::Current(0)).ok()?, ROOM).err(),
        _ => None,
    }
}

#[cfg(all(unix, not(target_os = "linux")))]
fn no_room(_: &std::io::Stdout) -> Option<rustix::io::Errno> {
    None
}

#[cfg(not(unix))]
pub(crate) fn check() -> anyhow::Result<()> {
    Ok(())
}
