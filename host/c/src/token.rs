//! A token as C reads it: made once for all callers, and shared.

use std::ffi::{c_char, c_int};
use std::sync::Arc;

use wif::{Standing, Token};
use zeroize::Zeroizing;

use crate::texts::Texts;

/// See the header.
#[repr(C)]
#[derive(Debug)]
pub struct wif_token {
    /// See the header.
    pub id: *const c_char,
    /// See the header.
    pub origin: *const c_char,
    /// See the header.
    pub value: *const c_char,
    /// See the header.
    pub headers: *const *const c_char,
    /// See the header.
    pub merged: *const *const c_char,
    /// See the header.
    pub suspect: c_int,
}

/// A token, with all texts that its fields point to.
#[repr(C)]
pub(crate) struct Prepared {
    /// First, so that a pointer to it is a pointer to the whole.
    fields: wif_token,
    token: Token,
    _texts: Texts,
    _lists: [Vec<*const c_char>; 2],
}

// SAFETY: the pointers lead into `_texts` and `_lists`, which nobody writes to and which live as long as they do.
unsafe impl Send for Prepared {}
// SAFETY: likewise.
unsafe impl Sync for Prepared {}

impl Prepared {
    pub(crate) fn new(token: &Token) -> Self {
        let pairs = |headers: &[(http::HeaderName, http::HeaderValue)]| {
            let texts = headers.iter().flat_map(|(name, value)| [name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec()]);
            texts.map(Zeroizing::new).collect::<Vec<_>>()
        };
        let (headers, merged) = (pairs(token.headers()), pairs(token.merged_headers()));
        let of = |name: &[u8]| headers.chunks_exact(2).find(|pair| *pair[0] == name).map(|pair| pair[1].as_slice());
        let bearer = of(b"authorization").map(|value| value.strip_prefix(b"Bearer ").unwrap_or(value));
        let value = bearer.or_else(|| of(b"x-api-key")).unwrap_or_default();
        let mut all = vec![token.id().as_bytes(), token.origin().as_bytes(), value];
        all.extend(headers.iter().chain(&merged).map(|text| text.as_slice()));
        let texts = Texts::new(&all);
        let first_merged = 3 + headers.len();
        let lists = [texts.list(3..first_merged), texts.list(first_merged..first_merged + merged.len())];
        let fields = wif_token {
            id: texts.at(0),
            origin: texts.at(1),
            value: texts.at(2),
            headers: lists[0].as_ptr(),
            merged: lists[1].as_ptr(),
            suspect: c_int::from(token.standing() == Standing::Suspect),
        };
        Self { fields, token: token.clone(), _texts: texts, _lists: lists }
    }

    /// Whether it is this token, as it stands.
    pub(crate) fn is(&self, token: &Token) -> bool {
        self.token.id() == token.id() && self.token.standing() == token.standing() && self.token.origin() == token.origin()
    }

    pub(crate) fn id(&self) -> &str {
        self.token.id()
    }

    /// Whether this text is the token's value.
    pub(crate) fn has_value(&self, value: &str) -> bool {
        // SAFETY: it was made from a text with a zero byte at its end, which is there still.
        unsafe { std::ffi::CStr::from_ptr(self.fields.value) }.to_bytes() == value.as_bytes()
    }
}

/// For the caller, who gives it back with [`free`].
pub(crate) fn into_raw(token: Arc<Prepared>) -> *const wif_token {
    Arc::into_raw(token).cast()
}

/// # Safety
///
/// It is null, or [`into_raw`] gave it and it was not given back.
pub(crate) unsafe fn free(token: *const wif_token) {
    if !token.is_null() {
        // SAFETY: the caller's promise; the fields come first in what the pointer was made from.
        drop(unsafe { Arc::from_raw(token.cast::<Prepared>()) });
    }
}

/// # Safety
///
/// As for [`free`], for as long as the reference is used.
pub(crate) unsafe fn borrow<'a>(token: *const wif_token) -> Option<&'a Prepared> {
    // SAFETY: likewise.
    unsafe { token.cast::<Prepared>().as_ref() }
}
