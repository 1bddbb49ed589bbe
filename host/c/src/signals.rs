//! Threads of ours leave the program's signals to the program.

use std::mem::MaybeUninit;

/// Signals that say that the thread itself is at fault: to block them is not defined.
const OWN_FAULTS: [libc::c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];

/// Threads that this starts, and those that they start, have all signals blocked.
pub(crate) fn blocked<T>(start: impl FnOnce() -> T) -> T {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: every set is initialised by the call that fills it, before it is read; on an error nothing is blocked.
    let changed = unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        for fault in OWN_FAULTS {
            libc::sigdelset(all.as_mut_ptr(), fault);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let given = start();
    if changed {
        // SAFETY: the first call filled it.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }
    given
}
