//! What a panic of ours says on the error output: where it was, and not with what. The engine may have been looking at a secret.

use std::cell::Cell;
use std::fmt::Write as _;
use std::io::Write as _;
use std::marker::PhantomData;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Until it is dropped, this thread does what is ours, or the program's.
#[must_use]
pub(crate) struct Turn {
    before: bool,
    /// It belongs to its thread.
    not_send: PhantomData<*const ()>,
}

/// What follows is the program's: one of its functions.
pub(crate) fn theirs() -> Turn {
    Turn { before: OURS.replace(false), not_send: PhantomData }
}

/// A thread does nothing else than what is ours.
pub(crate) fn a_thread_is_ours() {
    std::mem::forget(ours());
}

/// What follows is ours.
pub(crate) fn ours() -> Turn {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        // There is another one only where the library is a crate of a program in Rust, such as its own tests.
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if OURS.try_with(Cell::get) != Ok(true) {
                others(panic);
                return;
            }
            // There may be no error output.
            let _ = std::io::stderr().write_all(said(panic).as_bytes());
        }));
    });
    Turn { before: OURS.replace(true), not_send: PhantomData }
}

impl Drop for Turn {
    fn drop(&mut self) {
        OURS.set(self.before);
    }
}

fn said(panic: &PanicHookInfo<'_>) -> String {
    let mut said = "wif: the library panicked".to_owned();
    if let Some(place) = panic.location() {
        // A text takes whatever is written.
        let _ = write!(said, " at {place}");
    }
    said + "; this is a fault of the library\n"
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::process::Command;

    use super::*;

    /// In a process of its own, for other tests panic, too.
    #[test]
    #[allow(clippy::disallowed_methods, reason = "it tells the process of its own from the others")]
    fn a_panic_says_where_it_was_and_not_with_what() {
        const ALONE: &str = "WIF_PANICS_ALONE";
        if std::env::var_os(ALONE).is_some() {
            let inside = catch_unwind(|| {
                let _ours = ours();
                panic!("sk-ant-oat01-inside");
            });
            let called = catch_unwind(|| {
                let _ours = ours();
                let _theirs = theirs();
                panic!("the program's function");
            });
            let alone = std::thread::spawn(|| {
                a_thread_is_ours();
                panic!("sk-ant-oat01-alone");
            });
            let outside = catch_unwind(|| panic!("the program's own"));
            assert!(inside.is_err() && called.is_err() && alone.join().is_err() && outside.is_err());
            return;
        }
        let alone = Command::new(std::env::current_exe().expect("this test's own program"))
            .args(["--exact", "panics::tests::a_panic_says_where_it_was_and_not_with_what", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&alone.stderr);
        assert!(alone.status.success(), "{said}");
        assert!(said.contains(concat!("wif: the library panicked at ", file!())), "{said}");
        assert!(!said.contains("sk-ant"), "{said}");
        assert_eq!(said.matches("wif: the library panicked").count(), 2, "{said}");
        for theirs in ["the program's own", "the program's function"] {
            assert!(said.contains(theirs), "the program's panics are its own: {said}");
        }
    }
}
