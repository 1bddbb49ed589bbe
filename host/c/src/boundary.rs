//! What every function of the header does alike: texts in and out, errors out, and no panic.

use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use zeroize::Zeroize as _;

use crate::panics::ours;
use crate::words::Problem;

/// What the work gives, or this where it panics.
pub(crate) fn guarded<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    // Nothing is used after a panic but what is shared between threads anyway, and that is sound in every state.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(otherwise)
}

/// What the work gives, or null and an error.
pub(crate) fn fails<T>(error: *mut *mut c_char, work: impl FnOnce() -> Result<*mut T, Problem>) -> *mut T {
    let _ours = ours();
    let problem = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => return value,
        Ok(Err(problem)) => problem,
        Err(_) => Problem::internal("the library panicked"),
    };
    if !error.is_null() {
        // SAFETY: it is not null, and then the header asks for a place of the caller's.
        unsafe { error.write(emit(&problem.to_json().to_string())) };
    }
    std::ptr::null_mut()
}

/// A text of the caller's.
///
/// # Safety
///
/// It is null, or ends with a zero byte and stays as it is for `'a`.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<&'a str, Problem> {
    if text.is_null() {
        return Err(Problem::invalid("a text is NULL"));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Problem::invalid("a text is not UTF-8"))
}

/// The same, with something instead of null.
///
/// # Safety
///
/// As for [`text`].
pub(crate) unsafe fn text_or(given: *const c_char, otherwise: &str) -> Result<&str, Problem> {
    // SAFETY: the caller's promise.
    if given.is_null() { Ok(otherwise) } else { unsafe { text(given) } }
}

/// What must not be null.
///
/// # Safety
///
/// It is null, or one of ours that lives for `'a`.
pub(crate) unsafe fn given<'a, T>(pointer: *mut T, name: &str) -> Result<&'a T, Problem> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| Problem::invalid(&format!("{name} is NULL")))
}

/// A text for the caller, who gives it back.
pub(crate) fn emit(text: &str) -> *mut c_char {
    // JSON has no zero byte in it; what is no JSON loses those that it has.
    let text = CString::new(text).or_else(|_| CString::new(text.replace('\0', ""))).unwrap_or_default();
    text.into_raw()
}

/// Takes a text back, and wipes it.
///
/// # Safety
///
/// It is null, or [`emit`] gave it and nobody has given it back.
pub(crate) unsafe fn take_back(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: the caller's promise.
        unsafe { CString::from_raw(text) }.into_bytes().zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_goes_no_further() {
        let mut error = std::ptr::null_mut();
        let value = fails::<c_char>(&raw mut error, || panic!("sk-ant-secret"));
        assert!(value.is_null());
        // SAFETY: `fails` has just stored it.
        let told = unsafe { CStr::from_ptr(error) }.to_str().map(str::to_owned);
        // SAFETY: likewise.
        unsafe { take_back(error) };
        let told = told.unwrap();
        assert!(told.contains(r#""code":"internal""#) && !told.contains("secret"), "{told}");
        assert_eq!(guarded(7, || panic!("again")), 7);
    }
}
