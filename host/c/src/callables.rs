//! Functions of the program that supply something.

use std::cell::Cell;
use std::ffi::{CString, c_char, c_void};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use wif::{BoxError, Builder, Secret, SuppliedToken};

use crate::boundary::text;
use crate::panics::theirs;
use crate::words::Problem;

/// See the header.
pub type wif_call = unsafe extern "C" fn(user: *mut c_void, request: *const c_char, answer: *mut wif_answer);

/// See the header.
#[repr(C)]
#[derive(Debug)]
pub struct wif_callable {
    /// See the header.
    pub kind: *const c_char,
    /// See the header.
    pub name: *const c_char,
    /// See the header.
    pub call: Option<wif_call>,
    /// See the header.
    pub user: *mut c_void,
}

/// See the header.
#[derive(Debug, Default)]
pub struct wif_answer(Option<Result<Secret, String>>);

impl wif_answer {
    /// # Safety
    ///
    /// It is null or one of ours, and the text null or one.
    pub(crate) unsafe fn give(answer: *mut Self, given: *const c_char, failed: bool) {
        // SAFETY: the caller's promise; only the running call has it.
        let Some(answer) = (unsafe { answer.as_mut() }) else { return };
        // SAFETY: the caller's promise.
        let given = unsafe { text(given) };
        answer.0.get_or_insert_with(|| match given {
            Ok(text) if failed => Err(text.to_owned()),
            Ok(text) => Ok(Secret::from(text)),
            Err(_) => Err("the callable's answer is no text in UTF-8".to_owned()),
        });
    }
}

/// What a callable supplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    IdentityToken,
    AccessToken,
    Sign,
}

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Callable {
    kind: Kind,
    name: String,
    function: Function,
}

#[derive(Debug, Clone, Copy)]
struct Function {
    call: wif_call,
    user: *mut c_void,
}

// SAFETY: the header asks for functions that can be called on any thread, with a `user` that is good for it.
unsafe impl Send for Function {}
// SAFETY: likewise.
unsafe impl Sync for Function {}

thread_local! {
    static IN_A_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// Whether the program was called by us on this thread.
pub(crate) fn in_a_callback() -> bool {
    IN_A_CALLBACK.get()
}

/// Calls the program.
pub(crate) fn calling<T>(call: impl FnOnce() -> T) -> T {
    let outer = IN_A_CALLBACK.replace(true);
    let _theirs = theirs();
    let given = call();
    IN_A_CALLBACK.set(outer);
    given
}

impl Callable {
    /// # Safety
    ///
    /// Null, or so many of them, with texts that are texts.
    pub(crate) unsafe fn copy(callables: *const wif_callable, count: usize) -> Result<Vec<Self>, Problem> {
        if callables.is_null() {
            return if count == 0 { Ok(Vec::new()) } else { Err(Problem::invalid("callables is NULL")) };
        }
        // SAFETY: the caller's promise.
        let callables = unsafe { std::slice::from_raw_parts(callables, count) };
        let copy = |callable: &wif_callable| {
            // SAFETY: the caller's promise.
            let (kind, name) = unsafe { (text(callable.kind)?, text(callable.name)?) };
            let kind = match kind {
                "identity-token" => Kind::IdentityToken,
                "access-token" => Kind::AccessToken,
                "sign" => Kind::Sign,
                other => {
                    let kinds = "identity-token, access-token, sign";
                    return Err(Problem::invalid(&format!("{other} is no kind of callable; the kinds are {kinds}")));
                }
            };
            let call = callable.call.ok_or_else(|| Problem::invalid("a callable's function is NULL"))?;
            Ok(Self { kind, name: name.to_owned(), function: Function { call, user: callable.user } })
        };
        callables.iter().map(copy).collect()
    }

    /// The builder with it.
    pub(crate) fn add_to(&self, builder: Builder) -> Builder {
        let (name, function) = (self.name.clone(), self.function);
        match self.kind {
            Kind::IdentityToken => {
                builder.identity_token(name, move |request| function.ask(json!({ "audience": request.audience })))
            }
            Kind::AccessToken => builder.access_token(name, move |request| async move {
                let request = request.rejected.map_or_else(|| json!({}), |id| json!({ "rejected": id }));
                supplied(&function.ask(request).await?)
            }),
            Kind::Sign => builder.signer(name, move |request| async move {
                let request = json!({ "algorithm": request.algorithm, "input": request.input });
                signature(&function.ask(request).await?)
            }),
        }
    }
}

impl Function {
    /// On a thread that may wait for it.
    async fn ask(self, request: Value) -> Result<Secret, BoxError> {
        tokio::task::spawn_blocking(move || self.ask_here(&request)).await?
    }

    fn ask_here(self, request: &Value) -> Result<Secret, BoxError> {
        let request = CString::new(request.to_string())?;
        let mut answer = wif_answer::default();
        // SAFETY: the program gave this function for such a call; both pointers are good until it returns.
        calling(|| unsafe { (self.call)(self.user, request.as_ptr(), &raw mut answer) });
        let without = || Err("the callable gave no answer".to_owned());
        Ok(answer.0.unwrap_or_else(without)?)
    }
}

fn supplied(answer: &Secret) -> Result<SuppliedToken, BoxError> {
    let wrong = "the callable's answer is not of the form {\"value\": \"...\", \"expires-at-ms\": 1800000000000}";
    let document: Value = serde_json::from_str(answer.reveal()).map_err(|_| wrong)?;
    let value = document["value"].as_str().ok_or(wrong)?;
    let expires_at = match &document["expires-at-ms"] {
        Value::Null => None,
        time => Some(time.as_u64().and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms))).ok_or(wrong)?),
    };
    Ok(SuppliedToken { value: Secret::from(value), expires_at })
}

fn signature(answer: &Secret) -> Result<Vec<u8>, BoxError> {
    use base64::Engine as _;
    let decoded = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(answer.reveal().trim_end_matches('='));
    decoded.map_err(|_| "the callable's answer is not base64url".into())
}
