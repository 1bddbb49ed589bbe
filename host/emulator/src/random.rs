//! Randomness of the operating system, in the alphabets of ids and tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// `bytes` random bytes as base64url without padding (RFC 4648 section 5): four characters for three bytes.
pub(crate) fn url_safe(bytes: usize) -> Zeroizing<String> {
    let mut buffer = Zeroizing::new(vec![0; bytes]);
    fill(&mut buffer);
    Zeroizing::new(URL_SAFE_NO_PAD.encode(&*buffer))
}

/// `length` random letters and digits, for ids that people read and that protect nothing.
pub(crate) fn alphanumeric(length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut buffer = vec![0; length];
    fill(&mut buffer);
    buffer.into_iter().map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
}

/// An id with this prefix, in the vendor's form.
pub(crate) fn tagged(prefix: &str) -> String {
    format!("{prefix}01{}", alphanumeric(22))
}

/// A random UUID (RFC 9562 section 5.4), hyphenated.
pub(crate) fn uuid() -> String {
    let mut buffer = [0; 16];
    fill(&mut buffer);
    uuid::Builder::from_random_bytes(buffer).into_uuid().to_string()
}

fn fill(buffer: &mut [u8]) {
    getrandom::fill(buffer).expect("an operating system that tokio runs on has randomness");
}
