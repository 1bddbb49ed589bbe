//! Each change of what callers are told is one line of the log, and so is each note of the component; what stays as it was is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use wif::Credential;

use crate::no_secret_is_shown::Log;
use crate::support::{Endpoint, Reply, START_MS, TestClock, TokenFile, credential, guest, identity_token, until};

/// G7: what a component says, or a server through it, makes no line of its own and moves no cursor.
#[tokio::test]
async fn a_note_is_one_line_of_the_log() {
    let (log, _guard) = Log::start();
    let component = guest(wif_test_guests::lying()).unwrap();
    let credential = Credential::builder().component(component).configuration("answer=note-control").build().unwrap();
    credential.token().await.unwrap();
    let text = log.text();
    assert!(text.contains("forged  ERROR wif: a line [2J"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.lines().any(|line| line.starts_with("ERROR")), "{text}");
}

/// G7: it traps, and refuses the configuration that it took before, in words of its own.
#[tokio::test]
async fn the_words_of_a_component_that_is_stopped_are_one_line_of_the_log_each() {
    let (log, _guard) = Log::start();
    let component = guest(wif_test_guests::lying()).unwrap();
    let credential = Credential::builder().component(component).configuration("answer=refused-later").build().unwrap();
    credential.token().await.unwrap();
    credential.changed();
    until("it is not itself", || async { log.text().contains("it refused the configuration: ") }).await;
    let text = log.text();
    assert!(text.contains("it refused the configuration: a  b [2Jc d e f"), "{}", &text[..text.len().min(4_000)]);
    for line in text.lines() {
        assert!(line.contains(" wif: ") && line.len() < 10_000, "{}", &line[..line.len().min(1_000)]);
        assert!(!line.contains(char::is_control) && !line.contains(['\u{202e}', '\u{2028}']), "{line:?}");
    }
}

fn times(log: &Log, what: &str) -> usize {
    log.text().matches(what).count()
}

/// G7, B15: a token, its loss, the failure, and the recovery, with the codes and fields of the contract.
#[tokio::test]
async fn the_life_of_a_credential_can_be_read_in_the_log() {
    let (log, _guard) = Log::start();
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    let endpoint = Endpoint::start(move |count| match is_down.load(SeqCst) {
        false => Reply::token(&format!("sk-ant-oat01-{count}"), 60),
        true => Reply::with(503, r#"{"error":{"type":"overloaded","message":"over\u001b[2J\r\nERROR forged line"}}"#),
    })
    .await;
    let file = TokenFile::new(&identity_token("1", START_MS / 1000, 86_400));
    let clock = TestClock::new();
    let credential: Credential = credential(&endpoint, &file).clock(clock.clone()).build().unwrap();
    let first = credential.token_within(Duration::from_secs(10)).await.unwrap();
    assert_eq!(times(&log, "there is an access token"), 1, "{}", log.text());
    assert!(log.text().contains(&format!("id=\"{}\"", first.id())), "{}", log.text());
    assert!(log.text().contains("code=\"exchange-started\"") && log.text().contains("identity-token="), "{}", log.text());

    down.store(true, SeqCst);
    // It runs out while the endpoint fails; callers ask again and again, which is no news.
    file.write(&identity_token("2", START_MS / 1000, 86_400));
    clock.advance(Duration::from_secs(58)).await;
    until("it has failed", || async { log.text().contains("there is no access token: ") }).await;
    for _ in 0..50 {
        credential.token_within(Duration::from_millis(1)).await.unwrap_err();
    }
    assert!(times(&log, "there is no access token: ") <= 2, "{}", log.text());
    assert!(log.text().contains("code=\"token-unusable\"") && log.text().contains("code=\"exchange-failed\""), "{}", log.text());
    assert!(!log.text().contains('\u{1b}') && !log.text().lines().any(|line| line.starts_with("ERROR")), "{}", log.text());

    down.store(false, SeqCst);
    file.write(&identity_token("3", START_MS / 1000, 86_400));
    until("there is a token again", || async {
        clock.advance(Duration::from_secs(2)).await;
        credential.try_current().is_some()
    })
    .await;
    assert!(times(&log, "there is an access token") >= 2, "{}", log.text());

    credential.shutdown().await;
    assert!(log.text().contains("code=\"closing\""), "{}", log.text());
}
