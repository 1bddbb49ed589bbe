//! Texts for C, side by side in one place that is wiped.

use std::ffi::c_char;
use std::ops::Range;

use zeroize::Zeroizing;

/// Each ends with a zero byte.
pub(crate) struct Texts {
    bytes: Zeroizing<Vec<u8>>,
    starts: Vec<usize>,
}

impl Texts {
    pub(crate) fn new(texts: &[&[u8]]) -> Self {
        // Room for all of them: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(texts.iter().map(|text| text.len() + 1).sum()));
        let mut starts = Vec::new();
        for text in texts {
            starts.push(bytes.len());
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
        Self { bytes, starts }
    }

    /// The text with this number, for as long as `self` is there.
    pub(crate) fn at(&self, number: usize) -> *const c_char {
        self.bytes[self.starts[number]..].as_ptr().cast()
    }

    /// Those with these numbers, and NULL.
    pub(crate) fn list(&self, numbers: Range<usize>) -> Vec<*const c_char> {
        numbers.map(|number| self.at(number)).chain([std::ptr::null()]).collect()
    }
}
