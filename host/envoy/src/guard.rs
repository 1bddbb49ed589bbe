//! Panics end here: one that left a function called from C++ would end Envoy.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a hook, and gives `otherwise` if it panics. What it panicked with may be a secret, and is not looked at.
pub(crate) fn guarded<R>(otherwise: R, hook: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(hook)).unwrap_or_else(|payload| {
        // To drop it could panic again.
        std::mem::forget(payload);
        otherwise
    })
}
