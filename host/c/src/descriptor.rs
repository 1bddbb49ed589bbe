//! A file descriptor that becomes readable when something changes.

use std::ffi::c_int;

/// The descriptor, or none where the system has none to give.
#[derive(Debug)]
pub(crate) struct Descriptor {
    read: c_int,
    write: c_int,
}

impl Descriptor {
    pub(crate) fn new() -> Option<Self> {
        let (read, write) = make()?;
        Some(Self { read, write })
    }

    pub(crate) fn number(&self) -> c_int {
        self.read
    }

    /// Makes it readable.
    pub(crate) fn raise(&self) {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: the buffer is as long as it says. What does not fit is not needed: it is readable already.
        let _ = unsafe { libc::write(self.write, one.as_ptr().cast(), one.len()) };
    }

    /// Makes it unreadable.
    pub(crate) fn acknowledge(&self) {
        let mut buffer = [0_u8; 64];
        // SAFETY: the buffer is as long as it says. It does not block, and ends when there is nothing.
        while unsafe { libc::read(self.read, buffer.as_mut_ptr().cast(), buffer.len()) } > 0 {}
    }

    /// Puts one that is not shared with the parent under the same numbers.
    pub(crate) fn renew(&self) {
        let Some((read, write)) = make() else { return };
        let pairs = if read == write { vec![(read, self.read)] } else { vec![(read, self.read), (write, self.write)] };
        for (new, old) in pairs {
            // SAFETY: both are descriptors of this process and ours.
            unsafe {
                libc::dup2(new, old);
                libc::fcntl(old, libc::F_SETFD, libc::FD_CLOEXEC);
                libc::close(new);
            }
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: they are ours, and nobody uses them any more.
        unsafe {
            libc::close(self.read);
            if self.write != self.read {
                libc::close(self.write);
            }
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn make() -> Option<(c_int, c_int)> {
    // SAFETY: it takes no pointer.
    let number = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    (number >= 0).then_some((number, number))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn make() -> Option<(c_int, c_int)> {
    let mut ends = [-1; 2];
    // SAFETY: there is room for two.
    if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
        return None;
    }
    for end in ends {
        // SAFETY: it was just opened.
        unsafe {
            libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC);
            libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK);
        }
    }
    Some((ends[0], ends[1]))
}
