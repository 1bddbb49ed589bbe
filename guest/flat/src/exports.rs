//! What the caller calls. The README has a table of it.

#![allow(unsafe_code, reason = "functions are exported under their names")]

use std::cell::RefCell;

use serde_json::{Value, json};
use wif_engine::json;

use crate::sessions::{Sessions, read};
use crate::texts;
use crate::wiping::wipe_stack;

thread_local! {
    /// Nothing is called while a call is under way, so they are never borrowed twice.
    static SESSIONS: RefCell<Sessions> = const { RefCell::new(Sessions::none()) };
}

/// Where to write an argument of this length.
#[unsafe(no_mangle)]
extern "C" fn wif_allocate(length: usize) -> usize {
    texts::lend(vec![0; length].into_boxed_slice())
}

/// Takes a text back: an answer that was read, or an argument that no call was given.
///
/// # Panics
///
/// The caller holds no such text. It has lost count of its texts, and one of them would stay in memory unseen.
#[unsafe(no_mangle)]
extern "C" fn wif_release(address: usize, length: usize) {
    drop(texts::take(address, length).expect("a text that was not taken back"));
}

#[unsafe(no_mangle)]
extern "C" fn wif_open(opening: usize, length: usize) -> u64 {
    let opening = argument("opening", opening, length);
    answer(|| {
        let opening = read("opening", opening?, json::opening_from_json)?;
        Ok(match SESSIONS.with_borrow_mut(|sessions| sessions.open(opening)) {
            Ok(number) => json!({ "session": number }),
            Err(refused) => json!({ "refused": refused }),
        })
    })
}

#[unsafe(no_mangle)]
extern "C" fn wif_step(session: u32, clock: usize, clock_length: usize, event: usize, event_length: usize) -> u64 {
    // Both are taken before one of them is read: they belong to this call whatever comes of it.
    let (clock, event) = (argument("clock", clock, clock_length), argument("event", event, event_length));
    answer(|| {
        let clock = read("clock", clock?, json::clock_from_json)?;
        let event = read("event", event?, json::event_from_json)?;
        SESSIONS.with_borrow_mut(|sessions| Ok(json::output_to_json(&sessions.of(session)?.step(clock, event))))
    })
}

#[unsafe(no_mangle)]
extern "C" fn wif_status(session: u32, clock: usize, clock_length: usize) -> u64 {
    let clock = argument("clock", clock, clock_length);
    answer(|| {
        let clock = read("clock", clock?, json::clock_from_json)?;
        SESSIONS.with_borrow_mut(|sessions| Ok(json::status_to_json(&sessions.of(session)?.status(clock))))
    })
}

#[unsafe(no_mangle)]
extern "C" fn wif_entry_key(session: u32) -> u64 {
    answer(|| SESSIONS.with_borrow_mut(|sessions| Ok(json!(sessions.of(session)?.entry_key()))))
}

/// Forgets a session. One that is not open is forgotten already.
#[unsafe(no_mangle)]
extern "C" fn wif_close(session: u32) {
    SESSIONS.with_borrow_mut(|sessions| sessions.close(session));
}

fn argument(name: &str, address: usize, length: usize) -> Result<Box<[u8]>, String> {
    texts::take(address, length)
        .ok_or_else(|| format!("the {name} is not where it is said to be: no text of {length} bytes lies there"))
}

/// Where the text of the answer lies, and its length.
fn answer(answered: impl FnOnce() -> Result<Value, String>) -> u64 {
    let text = answered().unwrap_or_else(|wrong| json!({ "form": wrong })).to_string().into_bytes();
    let length = text.len() as u64;
    let address = texts::lend(text.into_boxed_slice()) as u64;
    wipe_stack();
    address << 32 | length
}
