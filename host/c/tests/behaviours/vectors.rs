//! Every vector through the functions for sessions.

use std::ffi::{CStr, CString, c_char};

use serde_json::{Value, json};
use wif_c::{
    wif_session, wif_session_close, wif_session_entry_key, wif_session_open, wif_session_status, wif_session_step,
    wif_string_free,
};
use wif_world::{Machine, Opening, foreign};

struct Session(*mut wif_session);

/// What a function returned, and what is wrong if it is null.
fn taken(text: *mut c_char, error: *mut c_char) -> Result<Value, Value> {
    let read = |text: *mut c_char| {
        // SAFETY: the library gave it, for us to free.
        let value = serde_json::from_slice(unsafe { CStr::from_ptr(text) }.to_bytes()).expect("it is JSON");
        // SAFETY: likewise.
        unsafe { wif_string_free(text) };
        value
    };
    if text.is_null() { Err(read(error)) } else { Ok(read(text)) }
}

fn text(value: &Value) -> CString {
    CString::new(value.to_string()).expect("JSON has no zero byte")
}

impl Session {
    fn open(opening: &Opening) -> Result<Self, Value> {
        let mut error = std::ptr::null_mut();
        // SAFETY: a text, and a place for the error.
        let session = unsafe { wif_session_open(text(&foreign::opening(opening)).as_ptr(), &raw mut error) };
        if session.is_null() { Err(taken(std::ptr::null_mut(), error).expect_err("it is null")) } else { Ok(Self(session)) }
    }
}

impl Machine for Session {
    fn step(&mut self, clock: &Value, event: &Value) -> Value {
        let mut error = std::ptr::null_mut();
        // SAFETY: an open session, two texts, and a place for the error.
        let output = unsafe { wif_session_step(self.0, text(clock).as_ptr(), text(event).as_ptr(), &raw mut error) };
        foreign::answered(taken(output, error))
    }

    fn status(&mut self, clock: &Value) -> Value {
        let mut error = std::ptr::null_mut();
        // SAFETY: an open session, a text, and a place for the error.
        let status = unsafe { wif_session_status(self.0, text(clock).as_ptr(), &raw mut error) };
        foreign::answered(taken(status, error))
    }

    fn entry_key(&mut self) -> Option<String> {
        let mut error = std::ptr::null_mut();
        // SAFETY: an open session, and a place for the error.
        let key = unsafe { wif_session_entry_key(self.0, &raw mut error) };
        taken(key, error).expect("a key or none").as_str().map(str::to_owned)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: it is open, and this is its end.
        unsafe { wif_session_close(self.0) };
    }
}

#[test]
fn every_vector_holds_through_the_header_and_a_wrong_one_fails() {
    let open = |opening: &Opening| Session::open(opening).map(|session| Box::new(session) as Box<dyn Machine>);
    foreign::every_vector_holds_and_a_wrong_one_fails(&open);
}

#[test]
fn what_is_not_of_the_contract_is_told_and_leaves_the_session_as_it_was() {
    let opening =
        Opening { configuration: "{}".to_owned(), seed: 1, can: vec!["read-variable".to_owned()], from: "fresh".into() };
    let mut session = Session::open(&opening).expect("it is valid");
    let clock = json!({"wall-ms": 1_800_000_000_000_u64, "steady-ms": 0});
    let mut error = std::ptr::null_mut();
    for (clock, event) in
        [(json!({}), json!("woken")), (clock.clone(), json!("sk-ant-oat01-secret")), (clock.clone(), json!({"a": 1}))]
    {
        // SAFETY: an open session, two texts, and a place for the error.
        let output = unsafe { wif_session_step(session.0, text(&clock).as_ptr(), text(&event).as_ptr(), &raw mut error) };
        let problem = taken(output, error).expect_err("it is wrong");
        assert_eq!(problem["code"], "invalid-argument");
        if cfg!(not(feature = "sandbox")) {
            let message = problem["message"].as_str().unwrap_or_default();
            assert!(message.contains(" is not of the contract's form: line 1, column "), "{message}");
        }
        assert!(!problem.to_string().contains("sk-ant"), "{problem}");
    }
    assert!(session.step(&clock, &json!("woken"))["tasks"].as_array().is_some_and(|tasks| !tasks.is_empty()));
    let refused = Opening { configuration: "{\"federation\": {}}".to_owned(), ..opening };
    assert_eq!(Session::open(&refused).map(|_| ()).expect_err("it is refused")["field"], "federation.federation_rule_id");
}
