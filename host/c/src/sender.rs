//! A program that sends the library's requests itself.
//!
//! A request has a number and no pointer: whoever answers twice, or long after everything is closed, harms nobody.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tokio::sync::oneshot;
use wif::{Builder, SendError, SendRequest};
use zeroize::Zeroize as _;

use crate::callables::calling;
use crate::fork;
use crate::texts::Texts;

/// See the header.
pub type wif_send = unsafe extern "C" fn(user: *mut c_void, request: *const wif_request);

/// See the header.
#[repr(C)]
#[derive(Debug)]
pub struct wif_request {
    /// See the header.
    pub id: u64,
    /// See the header.
    pub method: *const c_char,
    /// See the header.
    pub url: *const c_char,
    /// See the header.
    pub headers: *const *const c_char,
    /// See the header.
    pub body: *const c_char,
    /// See the header.
    pub body_length: usize,
    /// See the header.
    pub ca_file: *const c_char,
    /// See the header.
    pub timeout_ms: i64,
    /// See the header.
    pub max_response_bytes: usize,
}

/// The program's function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender {
    send: wif_send,
    user: *mut c_void,
}

// SAFETY: the header asks for a function that can be called on any thread, with a `user` that is good for it.
unsafe impl Send for Sender {}
// SAFETY: likewise.
unsafe impl Sync for Sender {}

type Answer = Result<Response<Vec<u8>>, SendError>;

/// Requests that the program has not answered yet.
static WAITING: LazyLock<Mutex<Waiting>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Waiting {
    last: u64,
    by_number: HashMap<u64, Open>,
}

struct Open {
    generation: u32,
    answer: oneshot::Sender<Answer>,
}

/// A request, for as long as its answer is awaited.
struct Awaited(u64);

impl Sender {
    pub(crate) fn new(send: wif_send, user: *mut c_void) -> Self {
        Self { send, user }
    }

    /// The builder with it.
    pub(crate) fn add_to(self, builder: Builder) -> Builder {
        builder.send_requests(move |request| self.ask(request))
    }

    async fn ask(self, request: SendRequest) -> Answer {
        let (awaited, answer) = Awaited::begin();
        let outgoing = Outgoing::new(&request);
        let number = awaited.0;
        // On a thread where the program may send it before it returns.
        tokio::task::spawn_blocking(move || self.call(number, &outgoing));
        let answer = answer.await;
        drop(awaited);
        answer.unwrap_or_else(|_| Err(SendError::MaybeSent("nobody is left to answer it".to_owned())))
    }

    fn call(self, number: u64, outgoing: &Outgoing) {
        let fields = outgoing.fields(number);
        // SAFETY: the program gave this function for such a call; what the fields point to is good until it returns.
        calling(|| unsafe { (self.send)(self.user, &raw const fields) });
    }
}

impl Awaited {
    fn begin() -> (Self, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        let mut waiting = waiting();
        waiting.last += 1;
        let number = waiting.last;
        waiting.by_number.insert(number, Open { generation: fork::generation(), answer });
        (Self(number), answered)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        waiting().by_number.remove(&self.0);
    }
}

fn waiting() -> MutexGuard<'static, Waiting> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request with all texts that its fields point to.
struct Outgoing {
    texts: Texts,
    headers: Vec<*const c_char>,
    body_length: usize,
    has_ca_file: bool,
    timeout_ms: i64,
    max_response_bytes: usize,
}

// SAFETY: the pointers lead into `texts`, which nobody writes to and which lives as long as they do.
unsafe impl Send for Outgoing {}

/// The numbers of the texts that stand before the header fields.
const METHOD: usize = 0;
const URL: usize = 1;
const BODY: usize = 2;
const CA_FILE: usize = 3;
const HEADERS: usize = 4;

impl Outgoing {
    fn new(request: &SendRequest) -> Self {
        let (url, body) = (request.request.uri().to_string(), request.request.body().reveal());
        let ca_file = request.ca_file.as_ref().map(|path| path.as_os_str().as_bytes());
        let method = request.request.method().as_str().as_bytes();
        let mut all = vec![method, url.as_bytes(), body.as_bytes(), ca_file.unwrap_or_default()];
        all.extend(request.request.headers().iter().flat_map(|(name, value)| [name.as_str().as_bytes(), value.as_bytes()]));
        let texts = Texts::new(&all);
        let headers = texts.list(HEADERS..HEADERS + 2 * request.request.headers().len());
        Self {
            headers,
            texts,
            body_length: body.len(),
            has_ca_file: ca_file.is_some(),
            timeout_ms: i64::try_from(request.timeout.as_millis()).unwrap_or(i64::MAX),
            max_response_bytes: request.max_response_bytes,
        }
    }

    fn fields(&self, id: u64) -> wif_request {
        wif_request {
            id,
            method: self.texts.at(METHOD),
            url: self.texts.at(URL),
            headers: self.headers.as_ptr(),
            body: self.texts.at(BODY),
            body_length: self.body_length,
            ca_file: if self.has_ca_file { self.texts.at(CA_FILE) } else { std::ptr::null() },
            timeout_ms: self.timeout_ms,
            max_response_bytes: self.max_response_bytes,
        }
    }
}

/// Ends a request with what `answer` gives. Whether somebody still waited for it.
fn finish(number: u64, answer: impl FnOnce() -> Answer) -> bool {
    // A child must not find the lock held.
    let _busy = fork::busy();
    let Some(open) = waiting().by_number.remove(&number) else { return false };
    if open.generation != fork::generation() {
        // It was the parent's, and nobody here waits for it.
        return false;
    }
    match open.answer.send(answer()) {
        Ok(()) => true,
        Err(unheard) => {
            if let Ok(mut response) = unheard {
                response.body_mut().zeroize();
            }
            false
        }
    }
}

/// See `wif_request_answer`.
///
/// # Safety
///
/// The list and the body are what the header says.
pub(crate) unsafe fn answer(
    number: u64,
    status: c_int,
    headers: *const *const c_char,
    body: *const c_char,
    length: usize,
) -> bool {
    finish(number, || {
        let unusable = |what: &str| SendError::MaybeSent(format!("the program's answer cannot be used: {what}"));
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let status = status.filter(|status| status.as_u16() < 600).ok_or_else(|| unusable("its status is none"))?;
        if body.is_null() && length > 0 {
            return Err(unusable("its body is NULL"));
        }
        // SAFETY: the caller's promise; it is not null where there is something to read.
        let body = if length == 0 { &[] } else { unsafe { std::slice::from_raw_parts(body.cast::<u8>(), length) } };
        let mut response = Response::new(body.to_vec());
        *response.status_mut() = status;
        // SAFETY: the caller's promise.
        *response.headers_mut() = unsafe { fields(headers) };
        Ok(response)
    })
}

/// See `wif_request_fail`.
pub(crate) fn fail(number: u64, maybe_sent: bool, why: &str) -> bool {
    let error = if maybe_sent { SendError::MaybeSent } else { SendError::Unsent };
    finish(number, || Err(error(why.to_owned())))
}

/// The fields of a list of names and values; what is no field is left out.
///
/// # Safety
///
/// It is null, or pairs of texts and then NULL.
unsafe fn fields(mut list: *const *const c_char) -> HeaderMap {
    let mut fields = HeaderMap::new();
    if list.is_null() {
        return fields;
    }
    loop {
        // SAFETY: the caller's promise: NULL is the end, and is not gone past.
        let (name, value) = unsafe { (*list, if (*list).is_null() { *list } else { *list.add(1) }) };
        if name.is_null() || value.is_null() {
            return fields;
        }
        // SAFETY: the caller's promise.
        let (name, value) = unsafe { (CStr::from_ptr(name), CStr::from_ptr(value)) };
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.to_bytes()), HeaderValue::from_bytes(value.to_bytes())) {
            fields.append(name, value);
        }
        // SAFETY: the two before it were not NULL.
        list = unsafe { list.add(2) };
    }
}
