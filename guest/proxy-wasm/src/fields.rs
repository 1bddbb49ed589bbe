//! Header fields as the proxy hands them over, read where they are.
//!
//! The SDK makes a `String` and a `Vec` of each field; requests pass through here, and have many.

#![allow(unsafe_code, reason = "the SDK has no call that leaves the fields in one piece")]

use std::ptr::null_mut;

use proxy_wasm::types::MapType;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, bytes: *mut usize) -> u32;
}

/// The fields of one map. Their number; the lengths of each name and value; each name and value, and a zero after it. Numbers have
/// four bytes, the lowest first.
pub(crate) struct Fields(Vec<u8>);

const NUMBER: usize = 4;

impl Fields {
    /// The fields of this map of the effective context; none, if the proxy refuses.
    pub(crate) fn read(map: MapType) -> Option<Self> {
        let (mut data, mut bytes) = (null_mut(), 0);
        // SAFETY: the proxy writes through both pointers before it returns, and keeps neither.
        let status = unsafe { proxy_get_header_map_pairs(map as u32, &raw mut data, &raw mut bytes) };
        if status != 0 {
            return None;
        }
        if data.is_null() {
            return Some(Self(Vec::new()));
        }
        // SAFETY: for what it returns the proxy takes memory from the SDK's allocating export, which gives it a boxed slice of
        // exactly this length; the proxy has written all of it, and nobody else frees it.
        Some(Self(unsafe { Vec::from_raw_parts(data, bytes, bytes) }))
    }

    /// Each name, in lower case, and its value.
    ///
    /// # Panics
    ///
    /// This is no map: better no request than one of which something was not seen.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let count = if self.0.is_empty() { 0 } else { number(&self.0) };
        let (lengths, mut rest) = self.0.get(NUMBER..).unwrap_or_default().split_at(count * 2 * NUMBER);
        let mut next = move |length: usize| {
            let (text, after) = rest.split_at(length);
            rest = &after[1..];
            text
        };
        lengths.chunks_exact(2 * NUMBER).map(move |lengths| {
            let name = next(number(lengths));
            (name, next(number(&lengths[NUMBER..])))
        })
    }
}

fn number(bytes: &[u8]) -> usize {
    let (number, _) = bytes.split_first_chunk::<NUMBER>().expect("four bytes");
    u32::from_le_bytes(*number) as usize
}
