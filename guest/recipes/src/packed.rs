//! Documents made small, for they repeat each other: a byte below 128 is a character, and any other begins a copy of what came
//! before. Its lower seven bits and [`SHORTEST`] are how much is copied, and two further bytes, the lower one first, from how far back.

/// No shorter copy is worth its three bytes.
pub(crate) const SHORTEST: usize = 4;

/// What was made small.
pub(crate) fn unpacked(small: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = small.iter();
    while let Some(&byte) = rest.next() {
        if byte < 128 {
            text.push(char::from(byte));
            continue;
        }
        let mut next = || usize::from(rest.next().copied().unwrap_or_default());
        let (low, high) = (next(), next());
        let from = text.len().saturating_sub(low | high << 8);
        for at in from..from + usize::from(byte & 127) + SHORTEST {
            let character = text.as_bytes().get(at).copied().unwrap_or_default();
            text.push(char::from(character));
        }
    }
    text
}
