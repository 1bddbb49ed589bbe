//! The identity tokens that were spent.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::verification::LEEWAY_SECONDS;

/// Every `jti` that was exchanged, with the `exp` until which a copy of its token could still pass.
#[derive(Default)]
pub(crate) struct Spent(Mutex<Ledger>);

#[derive(Default)]
struct Ledger {
    expiries: HashMap<String, i64>,
    sweep_at: usize,
}

impl Spent {
    pub(crate) fn has(&self, jti: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).expiries.contains_key(jti)
    }

    /// Whether this is the first time.
    pub(crate) fn spend(&self, jti: &str, expires_at: i64, now: i64) -> bool {
        let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spent.expiries.contains_key(jti) {
            return false;
        }
        if spent.expiries.len() >= spent.sweep_at {
            // A copy past this moment is refused for its `exp`, so its `jti` need not be remembered. Sweeping at each
            // doubling keeps the cost of a request constant.
            spent.expiries.retain(|_, exp| exp.saturating_add(LEEWAY_SECONDS) > now);
            spent.sweep_at = (spent.expiries.len() * 2).max(1024);
        }
        spent.expiries.insert(jti.to_owned(), expires_at);
        true
    }
}
