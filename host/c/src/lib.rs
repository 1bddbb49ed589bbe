//! The library behind `include/wif.h`: the host in Rust for programs in C, and in whatever calls C.
//!
//! `include/wif.h` says for each function what it takes, gives and promises. Here is the boundary alone: every function turns what C
//! hands over into values of Rust, and lets no panic out.
//!
//! | Where to look | |
//! | --- | --- |
//! | the thread that drives a credential, its start and end | `live.rs` |
//! | what happens in the child of a `fork` | `fork.rs`, `handle.rs` |
//! | options | `options.rs` |
//! | requests that the program sends itself | `sender.rs` |
//! | errors and status as JSON | `words.rs` |

#![allow(non_camel_case_types, reason = "the names of the header")]
#![allow(clippy::missing_safety_doc, reason = "the header says for each function what its caller owes")]

mod boundary;
mod callables;
mod descriptor;
mod fork;
mod handle;
mod live;
mod log;
mod options;
mod panics;
mod sender;
mod session;
mod signals;
mod texts;
mod token;
mod words;

use std::ffi::{c_char, c_int, c_void};

use boundary::{emit, fails, guarded, text, text_or};
pub use callables::{wif_answer, wif_call, wif_callable};
pub use handle::wif_credential;
pub use live::wif_done;
pub use log::wif_log;
pub use sender::{wif_request, wif_send};
pub use session::{
    wif_session, wif_session_close, wif_session_entry_key, wif_session_open, wif_session_status, wif_session_step,
};
pub use token::wif_token;

use callables::Callable;
use handle::Recipe;
use log::Log;
use options::Options;
use sender::Sender;
use words::Problem;

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_open(
    configuration: *const c_char,
    options: *const c_char,
    callables: *const wif_callable,
    count: usize,
    log: Option<wif_log>,
    log_user: *mut c_void,
    error: *mut *mut c_char,
) -> *mut wif_credential {
    // SAFETY: the caller's promise.
    fails(error, || unsafe { open(configuration, options, callables, count, log.map(|log| Log::new(log, log_user)), None) })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_open_sending(
    configuration: *const c_char,
    options: *const c_char,
    callables: *const wif_callable,
    count: usize,
    log: Option<wif_log>,
    log_user: *mut c_void,
    send: Option<wif_send>,
    send_user: *mut c_void,
    error: *mut *mut c_char,
) -> *mut wif_credential {
    fails(error, || {
        let send = send.ok_or_else(|| Problem::invalid("send is NULL"))?;
        let (log, sender) = (log.map(|log| Log::new(log, log_user)), Sender::new(send, send_user));
        // SAFETY: the caller's promise.
        unsafe { open(configuration, options, callables, count, log, Some(sender)) }
    })
}

/// # Safety
///
/// What the header asks for.
unsafe fn open(
    configuration: *const c_char,
    options: *const c_char,
    callables: *const wif_callable,
    count: usize,
    log: Option<Log>,
    sender: Option<Sender>,
) -> Result<*mut wif_credential, Problem> {
    // SAFETY: each is null or a text, as the header asks for.
    let (configuration, options) = unsafe { (text_or(configuration, "{}")?, text_or(options, "{}")?) };
    let options = Options::read(options)?;
    if sender.is_some() || cfg!(not(feature = "http")) {
        options.without_a_client()?;
    }
    let recipe = Recipe {
        configuration: wif::Secret::from(configuration),
        options,
        // SAFETY: null, or so many callables.
        callables: unsafe { Callable::copy(callables, count)? },
        log,
        sender,
    };
    Ok(Box::into_raw(Box::new(wif_credential::open(recipe)?)))
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_try_token(credential: *mut wif_credential) -> *const wif_token {
    guarded(std::ptr::null(), || {
        // SAFETY: it is one of ours, or null.
        let credential = unsafe { credential.as_ref() };
        credential.and_then(|credential| credential.live().ok()?.current()).map_or(std::ptr::null(), token::into_raw)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_serves(credential: *mut wif_credential, token: *const wif_token) -> c_int {
    guarded(0, || {
        // SAFETY: both are ours, or null.
        let (credential, token) = unsafe { (credential.as_ref(), token::borrow(token)) };
        let (Some(credential), Some(token)) = (credential, token) else { return 0 };
        c_int::from(credential.live().is_ok_and(|live| live.serves(token)))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_get_token(
    credential: *mut wif_credential,
    at_most_ms: i64,
    error: *mut *mut c_char,
) -> *const wif_token {
    fails(error, || {
        // SAFETY: it is one of ours, or null.
        let credential = unsafe { boundary::given(credential, "credential")? };
        Ok(token::into_raw(credential.live()?.token(limit(at_most_ms))?).cast_mut())
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_get_token_async(
    credential: *mut wif_credential,
    at_most_ms: i64,
    done: Option<wif_done>,
    user: *mut c_void,
) {
    guarded((), || {
        let Some(done) = done else { return };
        let done = live::Done::new(done, user);
        // SAFETY: it is one of ours, or null.
        match unsafe { boundary::given(credential, "credential") }.and_then(wif_credential::live) {
            Ok(live) => live.token_later(limit(at_most_ms), done),
            Err(problem) => done.call(Err(problem)),
        }
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_reject(credential: *mut wif_credential, id_or_value: *const c_char) {
    guarded((), || {
        // SAFETY: the credential is one of ours, or null; the other is a text, or null.
        let (credential, id_or_value) = unsafe { (credential.as_ref(), text(id_or_value)) };
        if let (Some(Ok(live)), Ok(id_or_value)) = (credential.map(wif_credential::live), id_or_value) {
            live.reject(id_or_value);
        }
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_replace(
    credential: *mut wif_credential,
    id_or_value: *const c_char,
    at_most_ms: i64,
) -> *const wif_token {
    guarded(std::ptr::null(), || {
        // SAFETY: the credential is one of ours, or null; the other is a text, or null.
        let (credential, id_or_value) = unsafe { (credential.as_ref(), text(id_or_value)) };
        let (Some(Ok(live)), Ok(id_or_value)) = (credential.map(wif_credential::live), id_or_value) else {
            return std::ptr::null();
        };
        live.replace(id_or_value, limit(at_most_ms)).map_or(std::ptr::null(), token::into_raw)
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_changed(credential: *mut wif_credential) {
    guarded((), || {
        // SAFETY: it is one of ours, or null.
        if let Some(Ok(live)) = unsafe { credential.as_ref() }.map(wif_credential::live) {
            live.changed();
        }
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_fd(credential: *mut wif_credential) -> c_int {
    // SAFETY: it is one of ours, or null.
    guarded(-1, || unsafe { credential.as_ref() }.map_or(-1, wif_credential::descriptor))
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_acknowledge(credential: *mut wif_credential) {
    guarded((), || {
        // SAFETY: it is one of ours, or null.
        if let Some(credential) = unsafe { credential.as_ref() } {
            credential.acknowledge();
        }
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_status(credential: *mut wif_credential, error: *mut *mut c_char) -> *mut c_char {
    fails(error, || {
        // SAFETY: it is one of ours, or null.
        let credential = unsafe { boundary::given(credential, "credential")? };
        Ok(emit(&credential.live()?.status()?.to_string()))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_shutdown(credential: *mut wif_credential) {
    guarded((), || {
        // SAFETY: it is one of ours, or null.
        if let Some(Ok(live)) = unsafe { credential.as_ref() }.map(wif_credential::live) {
            live.shutdown();
        }
    });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_close(credential: *mut wif_credential) -> c_int {
    guarded(-1, || {
        if callables::in_a_callback() {
            return -1;
        }
        if !credential.is_null() {
            // SAFETY: `wif_open` made it, and this is the last call on it.
            unsafe { Box::from_raw(credential) }.close();
        }
        0
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_token_free(token: *const wif_token) {
    // SAFETY: it is one of ours that was handed out and not freed, or null.
    guarded((), || unsafe { token::free(token) });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_is_credential(name: *const c_char) -> c_int {
    guarded(1, || {
        // SAFETY: it is a text, or null.
        let name = unsafe { text(name) };
        c_int::from(name.is_ok_and(|name| wif_rules::is_credential(name.as_bytes())))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_string_free(text: *mut c_char) {
    // SAFETY: it is one of ours that was not freed, or null.
    guarded((), || unsafe { boundary::take_back(text) });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_answer_ok(answer: *mut wif_answer, text: *const c_char) {
    // SAFETY: the answer is the one of the call that is running, or null; the text is one, or null.
    guarded((), || unsafe { wif_answer::give(answer, text, false) });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_answer_error(answer: *mut wif_answer, text: *const c_char) {
    // SAFETY: the answer is the one of the call that is running, or null; the text is one, or null.
    guarded((), || unsafe { wif_answer::give(answer, text, true) });
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_request_answer(
    id: u64,
    status: c_int,
    headers: *const *const c_char,
    body: *const c_char,
    body_length: usize,
) -> c_int {
    // SAFETY: the caller's promise.
    guarded(0, || c_int::from(unsafe { sender::answer(id, status, headers, body, body_length) }))
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wif_request_fail(id: u64, maybe_sent: c_int, why: *const c_char) -> c_int {
    guarded(0, || {
        // SAFETY: it is a text, or null.
        let why = unsafe { text_or(why, "the program did not say why") };
        c_int::from(sender::fail(id, maybe_sent != 0, why.unwrap_or("the program said why in no UTF-8")))
    })
}

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn wif_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

fn limit(at_most_ms: i64) -> Option<std::time::Duration> {
    u64::try_from(at_most_ms).ok().map(std::time::Duration::from_millis)
}
