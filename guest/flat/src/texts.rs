//! The texts that the caller holds: arguments that it is writing, and answers that it is reading.

#![allow(unsafe_code, reason = "the caller knows a text by its address")]

use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    /// By their addresses. So an address that is wrong, or comes twice, is an error and harms nothing.
    static LENT: RefCell<BTreeMap<usize, *mut [u8]>> = const { RefCell::new(BTreeMap::new()) };
}

/// Gives a text to the caller, until it is [taken](take) back.
pub(crate) fn lend(text: Box<[u8]>) -> usize {
    let text = Box::into_raw(text);
    let address = text.cast::<u8>().expose_provenance();
    // A text without a byte lies nowhere.
    if !text.is_empty() {
        LENT.with_borrow_mut(|lent| lent.insert(address, text));
    }
    address
}

/// The text that lies there and has this length. None, if the caller holds no such text.
pub(crate) fn take(address: usize, length: usize) -> Option<Box<[u8]>> {
    if length == 0 {
        return Some(Box::default());
    }
    LENT.with_borrow_mut(|lent| {
        let text = lent.remove(&address)?;
        if text.len() != length {
            lent.insert(address, text);
            return None;
        }
        // SAFETY: `lend` had it from a box, and it is no longer in the map: so it becomes a box again once.
        Some(unsafe { Box::from_raw(text) })
    })
}
