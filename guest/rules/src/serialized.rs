//! Fields as a proxy of the proxy-wasm ABI hands them over, read where they are. They stand here and not in the filter because
//! every field of every request passes here: this crate is optimised for speed in a module that is optimised for size.

use crate::head::{AnswerHead, Head};

/// The fields of one map. Their number; the lengths of each name and value; each name and value, and a zero after it. Numbers have
/// four bytes, the lowest first. No bytes at all are no fields.
#[derive(Debug, Clone, Copy)]
pub struct Serialized<'a> {
    lengths: &'a [u8],
    texts: &'a [u8],
}

const NUMBER: usize = 4;

impl<'a> Serialized<'a> {
    /// The fields in these bytes.
    ///
    /// # Panics
    ///
    /// This is no map: better no request than one of which something was not seen.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        let Some((count, rest)) = bytes.split_first_chunk::<NUMBER>() else {
            assert!(bytes.is_empty(), "a number of fields");
            return Self { lengths: &[], texts: &[] };
        };
        let (lengths, texts) = rest.split_at(u32::from_le_bytes(*count) as usize * 2 * NUMBER);
        Self { lengths, texts }
    }

    /// What decides what becomes of a request that has these fields.
    #[must_use]
    pub fn head(self) -> Head {
        Head::read(self)
    }

    /// What an answer with these fields means for the token.
    #[must_use]
    pub fn answer_head(self) -> AnswerHead {
        AnswerHead::read(self)
    }

    /// The values of the fields of this name, which is in lower case.
    pub fn values(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self;
        std::iter::from_fn(move || rest.next_of(name.as_bytes()))
    }

    fn next_of(&mut self, name: &[u8]) -> Option<&'a [u8]> {
        self.find(|(found, _)| *found == name).map(|(_, value)| value)
    }
}

impl<'a> Iterator for Serialized<'a> {
    /// A name, in lower case, and its value.
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.lengths.split_first_chunk::<NUMBER>()?;
        let (value, rest) = rest.split_first_chunk::<NUMBER>().expect("two lengths for each field");
        self.lengths = rest;
        let (name, value) = (u32::from_le_bytes(*name) as usize, u32::from_le_bytes(*value) as usize);
        let (texts, rest) = self.texts.split_at(name + 1 + value + 1);
        self.texts = rest;
        Some((&texts[..name], &texts[name + 1..name + 1 + value]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &[(&str, &str)]) -> Vec<u8> {
        let number = |number: usize| (number as u32).to_le_bytes();
        let mut bytes = number(fields.len()).to_vec();
        fields.iter().for_each(|(name, value)| bytes.extend([number(name.len()), number(value.len())].concat()));
        fields.iter().for_each(|(name, value)| bytes.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat()));
        bytes
    }

    #[test]
    fn fields_are_read_in_their_order() {
        let fields = [(":method", "GET"), ("accept", "a"), ("x-api-key", ""), ("accept", "b, c")];
        let bytes = written(&fields);
        let read: Vec<_> = Serialized::new(&bytes).collect();
        assert_eq!(read, fields.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        assert_eq!(Serialized::new(&bytes).values("accept").collect::<Vec<_>>(), [&b"a"[..], b"b, c"]);
        assert_eq!(Serialized::new(&bytes).head().credentials, [b"x-api-key"]);
        assert_eq!(Serialized::new(&[]).count() + Serialized::new(&written(&[])).count(), 0);
    }

    #[test]
    #[should_panic(expected = "mid > len")]
    fn what_is_cut_off_is_no_map() {
        let bytes = written(&[("accept", "a"), ("x-api-key", "k")]);
        let _ = Serialized::new(&bytes[..bytes.len() - 1]).count();
    }
}
