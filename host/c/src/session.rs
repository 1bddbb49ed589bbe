//! A session without a driver.

#[cfg(not(feature = "sandbox"))]
mod native;
#[cfg(feature = "sandbox")]
mod sandboxed;

use std::ffi::c_char;

#[cfg(not(feature = "sandbox"))]
use native::Session;
#[cfg(feature = "sandbox")]
use sandboxed::Session;
use serde_json::Value;
use wif_engine::json::wipe;
use zeroize::Zeroizing;

use crate::boundary::{emit, fails, guarded, text};
use crate::words::Problem;

/// See the header.
#[derive(Debug)]
pub struct wif_session(Session);

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_session_open(opening: *const c_char, error: *mut *mut c_char) -> *mut wif_session {
    fails(error, || {
        // SAFETY: it is null or a text.
        let opening = unsafe { text(opening)? };
        Ok(Box::into_raw(Box::new(wif_session(Session::open(opening)?))))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_session_step(
    session: *mut wif_session,
    clock: *const c_char,
    event: *const c_char,
    error: *mut *mut c_char,
) -> *mut c_char {
    fails(error, || {
        // SAFETY: the session is ours or null, and calls on it are serial; the others are null or texts.
        let (session, clock, event) = unsafe { (own(session)?, text(clock)?, text(event)?) };
        Ok(emit(&shown(session.step(clock, event)?)))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_session_status(
    session: *mut wif_session,
    clock: *const c_char,
    error: *mut *mut c_char,
) -> *mut c_char {
    fails(error, || {
        // SAFETY: as for a step.
        let (session, clock) = unsafe { (own(session)?, text(clock)?) };
        Ok(emit(&shown(session.status(clock)?)))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_session_entry_key(session: *mut wif_session, error: *mut *mut c_char) -> *mut c_char {
    fails(error, || {
        // SAFETY: as for a step.
        let session = unsafe { own(session)? };
        Ok(emit(&shown(session.entry_key()?)))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_session_close(session: *mut wif_session) {
    guarded((), || {
        if !session.is_null() {
            // SAFETY: `wif_session_open` gave it, and this is the last call on it.
            drop(unsafe { Box::from_raw(session) });
        }
    });
}

/// The text of a document that may hold secrets, and no other copy of it.
fn shown(mut document: Value) -> Zeroizing<String> {
    let text = Zeroizing::new(document.to_string());
    wipe(&mut document);
    text
}

/// # Safety
///
/// It is null, or ours and used by nobody else.
unsafe fn own<'a>(session: *mut wif_session) -> Result<&'a mut Session, Problem> {
    // SAFETY: the caller's promise.
    let session = unsafe { session.as_mut() };
    session.map(|session| &mut session.0).ok_or_else(|| Problem::invalid("session is NULL"))
}
