//! Header fields as the proxy hands them over, read where they are: requests pass through here, and have many.

use crate::hostcalls::{self, MapType, Refused};

/// The fields of one map. Their number; the lengths of each name and value; each name and value, and a zero after it. Numbers have
/// four bytes, the lowest first.
pub(crate) struct Fields(Vec<u8>);

const NUMBER: usize = 4;

impl Fields {
    /// The fields of this map of the effective context.
    pub(crate) fn read(map: MapType) -> Result<Self, Refused> {
        hostcalls::get_map(map).map(|fields| Self(fields.unwrap_or_default()))
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
