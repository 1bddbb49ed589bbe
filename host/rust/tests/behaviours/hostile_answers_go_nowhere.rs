//! F2: what the component says is checked as if a stranger had said it.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio_stream::StreamExt as _;
use wif::component::Component;
use wif::{Availability, BoxFuture, Credential, Entry, Error, FailureCode, Policy, Secret, Store, Swapped};

use crate::no_secret_is_shown::Log;
use crate::support::{Endpoint, Reply, TestClock, guest, settle, until};

fn lying() -> Component {
    guest(wif_test_guests::lying()).unwrap()
}

async fn refused(script: &str) {
    let credential = Credential::builder().component(lying()).configuration(script).build().unwrap();
    let answer = credential.token_within(Duration::from_secs(10)).await;
    let Err(Error::Unavailable(failure)) = answer else { panic!("{script}: {answer:?}") };
    assert_eq!(failure.code, FailureCode::ComponentStopped, "{script}");
    assert!(!failure.to_string().contains("canary"), "{failure}");
}

#[tokio::test]
async fn a_header_cannot_carry_another() {
    refused("answer=header-injection").await;
}

#[tokio::test]
async fn a_header_holds_no_nul_and_there_are_not_tens_of_thousands() {
    refused("answer=header-nul").await;
    refused("answer=header-latin").await;
    refused("answer=headers-many").await;
    refused("answer=headers").await;
}

/// The boundary itself refuses bytes that are no text.
#[tokio::test]
async fn text_is_text() {
    refused("answer=no-text").await;
}

/// G7: it writes no lines of a log and moves no cursor, in an error, in a note, or anywhere else.
#[tokio::test]
async fn a_text_is_one_line_and_has_an_end() {
    let credential = Credential::builder().component(lying()).configuration("answer=later-control").build().unwrap();
    let mut changes = credential.changes();
    credential.token().await.unwrap();
    credential.changed();
    let mut next = async || tokio::time::timeout(Duration::from_secs(10), changes.next()).await.unwrap().unwrap();
    let mut change = next().await;
    while change.notes.is_empty() {
        change = next().await;
    }
    let Availability::Failed(failure) = &change.availability else { panic!("{change:?}") };
    let request_id = failure.request_id.clone().unwrap();
    let status = credential.status().await.unwrap();
    for text in [&failure.to_string(), &request_id, &change.notes[0].message, &change.notes[0].fields[0].1, &status.summary] {
        assert!(text.starts_with("a  b [2Jc d"), "{text:?}");
        let lost = ['\u{61c}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}'];
        assert!(!text.contains(char::is_control) && !text.contains(lost) && text.len() < 20_000, "{text:?}");
    }
}

/// F11: a credential is made of known header fields; any other would change what a caller's request is.
#[tokio::test]
async fn a_header_is_a_part_of_a_credential() {
    refused("answer=header-host").await;
    refused("answer=header-of-another").await;
    refused("answer=merge-of-another").await;
}

#[tokio::test]
async fn a_header_has_a_name() {
    refused("answer=header-name").await;
    refused("answer=header-case").await;
}

/// B1: only the origin itself.
#[tokio::test]
async fn a_token_is_for_an_origin_that_the_policy_allows() {
    for script in ["answer=origin", "answer=origin-look-alike"] {
        let credential = Credential::builder().component(lying()).configuration(script).build().unwrap();
        let error = credential.token_within(Duration::from_secs(10)).await.unwrap_err();
        let Error::Unavailable(failure) = error else { panic!("{error:?}") };
        assert_eq!(failure.code, FailureCode::DeniedByHost, "{script}: {failure}");
        assert!(credential.try_current().is_none());
    }
}

#[tokio::test]
async fn an_id_is_no_way_out() {
    refused("answer=id").await;
    refused("answer=id-short").await;
}

/// Whoever asks for a token and is told that nobody has asked would ask for ever.
#[tokio::test]
async fn a_component_that_does_nothing_when_it_is_asked_is_told_of() {
    refused("answer=idle").await;
}

/// It may do better the next time; nobody asks for ever in one moment, and nobody waits for ever either.
#[tokio::test]
async fn a_component_that_did_nothing_is_asked_again_a_second_later() {
    let clock = TestClock::new();
    let script = serde_json::json!([
        { "access": "idle" },
        { "on": "needed", "access": "idle" },
        { "on": "needed", "access": { "usable": { "token": "a" } } },
    ]);
    let credential = Credential::builder()
        .component(guest(wif_test_guests::scripted()).unwrap())
        .configuration(serde_json::json!({ "session": script }).to_string())
        .clock(clock.clone())
        .build()
        .unwrap();
    for passed in [0, 100, 899] {
        clock.advance(Duration::from_millis(passed)).await;
        assert!(matches!(credential.token().await, Err(Error::Unavailable(_))), "after {passed} ms more");
    }
    clock.advance(Duration::from_millis(1)).await;
    settle().await;
    assert_eq!(credential.token().await.unwrap().id(), "a".repeat(16));
}

#[tokio::test]
async fn notes_are_bounded() {
    refused("answer=notes-many").await;
    refused("answer=note-long").await;
    refused("answer=note-wide").await;
}

#[tokio::test]
async fn tasks_are_bounded() {
    refused("answer=tasks").await;
}

/// D4: numbers beyond every range.
#[tokio::test]
async fn times_do_not_overflow() {
    let credential = Credential::builder().component(lying()).configuration("answer=overflow").build().unwrap();
    credential.token().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    credential.token().await.unwrap();
}

#[tokio::test]
async fn a_component_that_wants_to_be_woken_at_once_for_ever_is_not() {
    let credential = Credential::builder().component(lying()).configuration("answer=busy").build().unwrap();
    for _ in 0..20 {
        credential.token().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    credential.shutdown().await;
}

/// C3: a component that would hold callers for weeks holds them for half a minute.
#[tokio::test]
async fn no_caller_is_held_for_as_long_as_the_component_likes() {
    let clock = TestClock::new();
    let credential = Credential::builder().component(lying()).configuration("answer=holds").clock(clock.clone()).build().unwrap();
    until("there is a token", || async { credential.try_current().is_some() }).await;
    let held = tokio::spawn({
        let credential = credential.clone();
        async move { credential.token().await }
    });
    settle().await;
    clock.advance(Duration::from_secs(29)).await;
    assert!(!held.is_finished(), "an exchange is under way");
    clock.advance(Duration::from_secs(2)).await;
    until("the caller goes on", || async { held.is_finished() }).await;
    held.await.unwrap().unwrap();
}

/// C4, A7: a call whose result is no longer awaited is ended. A request goes on, for its identity token may be spent, and its answer is
/// handed over.
#[tokio::test]
async fn a_request_that_is_abandoned_goes_on_and_a_call_does_not() {
    let gate = Arc::new(Notify::new());
    let closed = Arc::clone(&gate);
    let endpoint = Endpoint::start(move |_| Reply::with(200, "{}").after(&closed)).await;
    let (called, ended) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (calls, ends) = (Arc::clone(&called), Arc::clone(&ended));
    let configuration = format!("answer=abandon origin={}", endpoint.origin);
    let credential = Credential::builder()
        .component(lying())
        .configuration(configuration)
        .policy(Policy::default().allow_origin(&endpoint.origin).unwrap())
        .identity_token("slow", move |_| {
            calls.fetch_add(1, SeqCst);
            let ended = Ended(Arc::clone(&ends));
            async move {
                let _ended = ended;
                std::future::pending().await
            }
        })
        .build()
        .unwrap();
    until("both are out", || async { endpoint.requests() == 1 && called.load(SeqCst) == 1 }).await;
    assert_eq!(ended.load(SeqCst), 0);
    credential.changed();
    until("the call is ended", || async { ended.load(SeqCst) == 1 }).await;
    let results = || u64::from_str_radix(credential.try_current().unwrap().id(), 16).unwrap();
    assert_eq!(results(), 0);
    gate.notify_one();
    until("the answer is handed over", || async { results() == 1 }).await;
}

/// The keys of what was asked for.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl Store for Asked {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, wif::BoxError>> {
        self.0.lock().unwrap().push(key.to_owned());
        Box::pin(std::future::ready(Ok(None)))
    }

    fn swap<'a>(&'a self, key: &'a str, _: Option<&'a str>, _: Secret) -> BoxFuture<'a, Result<Swapped, wif::BoxError>> {
        self.0.lock().unwrap().push(key.to_owned());
        Box::pin(std::future::ready(Ok(Swapped::Conflict(None))))
    }
}

/// F12: a program's store may take a key for a path, a pattern or a command, and has an end.
#[tokio::test]
async fn an_entry_has_a_key_of_hexadecimal_digits_and_an_end() {
    let asked = Asked::default();
    let credential =
        Credential::builder().component(lying()).configuration("answer=strange-entries").store(asked.clone()).build().unwrap();
    until("all was answered", || async { credential.try_current().is_some_and(|token| token.id() == "000000000000000f") }).await;
    until("the store was asked", || async { !asked.0.lock().unwrap().is_empty() }).await;
    assert_eq!(*asked.0.lock().unwrap(), ["00ff"]);
}

/// Counts when it is dropped.
struct Ended(Arc<AtomicU32>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// The list that every host is tried with.
fn outputs() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(include_str!("../../../../tests/guests/outputs.json")).unwrap();
    let outputs = document["outputs"].as_array().unwrap().iter();
    outputs.map(|output| ["answer", "then"].map(|name| output[name].as_str().unwrap().to_owned()).into()).collect()
}

/// F2, F11: and each costs the session, or is told as a refusal, or is harmless as it was taken.
#[tokio::test]
async fn every_lie_of_the_list_is_heard_as_a_strangers_would_be() {
    let outputs = outputs();
    assert!(outputs.len() >= 56);
    for (answer, then) in outputs {
        let credential = Credential::builder().component(lying()).configuration(format!("answer={answer}")).build().unwrap();
        let token = credential.token_within(Duration::from_secs(10)).await;
        let heard = match &token {
            Ok(token) if token.origin() == "https://api.anthropic.com" => "served",
            Err(Error::Unavailable(failure)) if failure.code == FailureCode::DeniedByHost => "denied",
            Err(Error::Unavailable(failure)) if failure.code == FailureCode::ComponentStopped => {
                assert!(!failure.to_string().contains("canary") && !failure.to_string().contains("attacker"), "{failure}");
                "stopped"
            }
            _ => panic!("{answer}: {token:?}"),
        };
        assert_eq!(heard, then, "{answer}");
        assert_eq!(credential.try_current().is_some(), then == "served", "{answer}");
    }
}

/// Whatever it says later, the last good token is served on.
#[tokio::test]
async fn after_a_lie_the_last_good_token_is_served_on() {
    for (lie, _) in outputs().into_iter().filter(|(_, then)| then != "served") {
        let (log, _guard) = Log::start();
        let script = format!("answer=later-{lie}");
        let credential = Credential::builder().component(lying()).configuration(&*script).build().unwrap();
        let token = credential.token().await.unwrap();
        credential.changed();
        until("the lie was told, and ended it", || async { log.text().contains("component-stopped") }).await;
        // Answered by the session after the one that lied.
        until("the component answers again", || async { credential.status().await.is_ok() }).await;
        let served = credential.token_within(Duration::from_secs(1)).await.unwrap();
        assert_eq!(served.id(), token.id(), "{lie}");
        assert_eq!(served.origin(), "https://api.anthropic.com", "{lie}");
        assert_eq!(served.reveal_authorization(), Some("Bearer canary-5f1c"), "{lie}");
    }
}

/// A refresh that is due for ever makes no caller wait, and does not enter the component for each of them.
#[tokio::test]
async fn a_refresh_that_is_always_due_costs_callers_nothing() {
    let credential = Credential::builder().component(lying()).configuration("answer=past").build().unwrap();
    let start = std::time::Instant::now();
    for _ in 0..10_000 {
        credential.token().await.unwrap();
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_journal_of_megabytes_is_not_taken() {
    refused("answer=journal").await;
}
