//! A session without a driver. A call may start the thread that ends calls which take too long: it leaves signals alone as all others do.

use std::ffi::c_char;

use serde_json::Value;
use wif::component::Component;
use wif::component::json::{Session, SessionError};

use crate::boundary::{emit, fails, guarded, text};
use crate::signals::blocked;
use crate::words::Problem;

/// See the header.
#[derive(Debug)]
pub struct wif_session(Session);

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_session_open(opening: *const c_char, error: *mut *mut c_char) -> *mut wif_session {
    fails(error, || {
        // SAFETY: it is null or a text.
        let opening = unsafe { document(opening)? };
        Ok(Box::into_raw(Box::new(wif_session(blocked(|| Session::open(Component::builtin(), &opening))?))))
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
        let (session, clock, event) = unsafe { (own(session)?, document(clock)?, document(event)?) };
        Ok(emit(&blocked(|| session.step(&clock, &event))?.to_string()))
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
        let (session, clock) = unsafe { (own(session)?, document(clock)?) };
        Ok(emit(&blocked(|| session.status(&clock))?.to_string()))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_session_entry_key(session: *mut wif_session, error: *mut *mut c_char) -> *mut c_char {
    fails(error, || {
        // SAFETY: as for a step.
        let session = unsafe { own(session)? };
        Ok(emit(&blocked(|| session.entry_key())?.to_string()))
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

/// # Safety
///
/// It is null, or ours and used by nobody else.
unsafe fn own<'a>(session: *mut wif_session) -> Result<&'a mut Session, Problem> {
    // SAFETY: the caller's promise.
    let session = unsafe { session.as_mut() };
    session.map(|session| &mut session.0).ok_or_else(|| Problem::invalid("session is NULL"))
}

/// # Safety
///
/// It is null or a text.
unsafe fn document(given: *const c_char) -> Result<Value, Problem> {
    // SAFETY: the caller's promise.
    let given = unsafe { text(given)? };
    // The place of an error, and not what stands there.
    serde_json::from_str(given)
        .map_err(|error| Problem::invalid(&format!("a text is no JSON, from line {}, column {}", error.line(), error.column())))
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Refused(refusal) => {
                let part = |name: &str| refusal[name].as_str().unwrap_or_default().to_owned();
                Self::configuration(&part("field"), &part("message"))
            }
            SessionError::Form(what) => Self::invalid(&what),
            SessionError::Trapped(trap) => Self::stopped(&trap.to_string()),
            _ => Self::internal("an error of an unknown kind"),
        }
    }
}
