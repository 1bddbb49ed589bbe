//! Entries that are sealed before they leave this machine: who keeps them can neither read one, nor make one, nor put one in the place
//! of another.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use super::BoxError;
use crate::secret::Secret;

/// The length of a key, in bytes.
const KEY_BYTES: usize = 32;

/// What a sealed entry begins with. Another form would have another name.
const FORM: &[u8; 4] = b"wif1";

/// Each sealed entry begins with so many bytes that no other begins with: its form and its nonce.
pub(super) const HEAD_BYTES: usize = FORM.len() + NONCE_LEN;

/// So much longer is a sealed entry than what is in it, in bytes.
pub(super) const MORE_BYTES: usize = HEAD_BYTES + 16;

/// The keys that seal the entries of a store on another machine, by AES-256-GCM. Each has 32 random bytes.
///
/// Entries are sealed with the first key, and opened with any. So keys are replaced in three steps, each on all machines before the
/// next: add the new key at the end, move it to the front, remove the old one. Replace them before four thousand million entries were
/// written with one.
///
/// Whoever has a key, and can read the store, has the access token.
pub struct SealingKeys(Vec<LessSafeKey>);

/// Why a text gives no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealingKeyError {
    /// There is none in it.
    #[error("there is no key in it: `openssl rand -base64 32` makes one")]
    NoKey,
    /// A line is something else. It is not shown, for it may be a key nearly.
    #[error("line {line} is no key of {KEY_BYTES} bytes in base64: `openssl rand -base64 {KEY_BYTES}` makes one")]
    NotAKey {
        /// Which line, counted from 1.
        line: usize,
    },
}

impl SealingKeys {
    /// Reads a text with one key in each line, in base64. Empty lines, and those that begin with `#`, are passed over.
    ///
    /// # Errors
    ///
    /// There is no key in it, or a line that is none.
    pub fn read(text: &Secret) -> Result<Self, SealingKeyError> {
        let lines = text.reveal().lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(line, text)| {
            let bytes = BASE64_STANDARD.decode(text).map(Zeroizing::new).unwrap_or_default();
            // A key of another length is refused here.
            let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SealingKeyError::NotAKey { line })?;
            Ok(LessSafeKey::new(key))
        });
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(SealingKeyError::NoKey) } else { Ok(Self(keys)) }
    }

    /// Seals the value of the entry under this key of a store.
    pub(super) fn seal(&self, entry: &str, value: &Secret) -> Result<Vec<u8>, BoxError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| format!("the system has no randomness: {error}"))?;
        let value = value.reveal().as_bytes();
        // Grown on the way, it would leave copies of the token behind.
        let mut sealed = Vec::with_capacity(value.len() + MORE_BYTES);
        sealed.extend_from_slice(FORM);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(value);
        let (key, nonce) = (&self.0[0], Nonce::assume_unique_for_key(nonce));
        let tag = key.seal_in_place_separate_tag(nonce, belongs_to(entry), &mut sealed[HEAD_BYTES..]);
        let tag = tag.map_err(|_| "the entry cannot be sealed: it is too long")?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed for the entry under this key of a store; nothing if none of the keys does.
    pub(super) fn open(&self, entry: &str, sealed: &[u8]) -> Option<Secret> {
        let (nonce, sealed) = sealed.strip_prefix(FORM)?.split_at_checked(NONCE_LEN)?;
        self.0.iter().find_map(|key| {
            let mut opened = Zeroizing::new(sealed.to_vec());
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let value = key.open_in_place(nonce, belongs_to(entry), &mut opened).ok()?;
            std::str::from_utf8(value).ok().map(Secret::from)
        })
    }
}

/// What is sealed under one key of a store is opened under no other.
fn belongs_to(entry: &str) -> Aad<Vec<u8>> {
    Aad::from([FORM, entry.as_bytes()].concat())
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{} sealing keys]", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> SealingKeys {
        let lines: Vec<String> = bytes.iter().map(|byte| BASE64_STANDARD.encode([*byte; KEY_BYTES])).collect();
        SealingKeys::read(&Secret::from(lines.join("\n"))).unwrap()
    }

    #[test]
    fn what_is_sealed_is_opened_with_any_of_the_keys_and_under_its_own_name_alone() {
        let sealed = keys(&[1]).seal("aa", &Secret::from("the token")).unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"token"));
        assert_eq!(sealed.len(), "the token".len() + MORE_BYTES);
        let opened = |keys: SealingKeys, entry: &str| keys.open(entry, &sealed).map(|value| value.reveal().to_owned());
        assert_eq!(opened(keys(&[1]), "aa").as_deref(), Some("the token"));
        assert_eq!(opened(keys(&[2, 1]), "aa").as_deref(), Some("the token"));
        assert_eq!(opened(keys(&[2]), "aa"), None);
        assert_eq!(opened(keys(&[1]), "ab"), None);
    }

    #[test]
    fn the_first_key_seals() {
        let sealed = keys(&[2, 1]).seal("aa", &Secret::from("x")).unwrap();
        assert!(keys(&[2]).open("aa", &sealed).is_some() && keys(&[1]).open("aa", &sealed).is_none());
    }

    #[test]
    fn no_bit_of_a_sealed_entry_can_be_changed_and_none_of_it_be_missing() {
        let keys = keys(&[1]);
        let sealed = keys.seal("aa", &Secret::from("the token")).unwrap();
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(keys.open("aa", &altered).is_none(), "byte {index}");
            assert!(keys.open("aa", &sealed[..index]).is_none(), "{index} bytes");
        }
    }

    #[test]
    fn two_seals_of_one_value_have_nothing_in_common() {
        let keys = keys(&[1]);
        let [first, second] = [(); 2].map(|()| keys.seal("aa", &Secret::from("the token")).unwrap());
        assert_ne!(first[..HEAD_BYTES], second[..HEAD_BYTES]);
        assert_ne!(first[HEAD_BYTES..], second[HEAD_BYTES..]);
    }

    #[test]
    fn a_line_that_is_no_key_is_named_and_not_shown() {
        let key = BASE64_STANDARD.encode([7; KEY_BYTES]);
        let read = |text: String| SealingKeys::read(&Secret::from(text)).map(|keys| keys.0.len());
        assert_eq!(read(format!("# of this year\n{key}\n\n  {key}  \n")), Ok(2));
        assert_eq!(read("\n# none\n".to_owned()), Err(SealingKeyError::NoKey));
        for wrong in [&key[1..], "canary", &BASE64_STANDARD.encode([7; 31])] {
            let error = read(format!("{key}\n{wrong}")).unwrap_err();
            assert_eq!(error, SealingKeyError::NotAKey { line: 2 });
            assert!(!error.to_string().contains(wrong));
        }
        let shown = format!("{:?}", SealingKeys::read(&Secret::from(key.as_str())).unwrap());
        assert_eq!(shown, "[1 sealing keys]");
    }
}
