//! With a test's clock, hours pass in moments, and nothing reads another clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_stream::StreamExt as _;
use wif::{Credential, Policy};

use crate::support::{Endpoint, Reply, START_MS, TestClock, configuration, identity_token, settle, until};

fn credential(endpoint: &Endpoint, clock: &TestClock) -> Credential {
    builder(endpoint, clock).build().unwrap()
}

fn builder(endpoint: &Endpoint, clock: &TestClock) -> wif::Builder {
    let minted = Arc::new(AtomicU32::new(0));
    let source = r#"{"source":"callable","name":"minted","freshness":"minted"}"#;
    let now = clock.clone();
    Credential::builder()
        .configuration(configuration(&endpoint.origin, source))
        .policy(Policy::default().allow_origin(&endpoint.origin).unwrap())
        .identity_token("minted", move |_| {
            let count = minted.fetch_add(1, Ordering::SeqCst);
            let issued_at = wif::Clock::now(&now).wall_ms / 1000;
            async move { Ok(identity_token(&count.to_string(), issued_at, 600).into()) }
        })
        .clock(clock.clone())
        .seed(7)
}

/// C2: a refresh holds nobody up.
#[tokio::test]
async fn a_token_is_refreshed_ahead_of_time_without_a_caller() {
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600)).await;
    let clock = TestClock::new();
    let credential = credential(&endpoint, &clock);
    let first = credential.token().await.unwrap();
    clock.advance(Duration::from_secs(3600 - 150)).await;
    assert_eq!(credential.try_current().unwrap().id(), first.id());
    clock.advance(Duration::from_secs(110)).await;
    until("there is another token", || async { credential.try_current().is_some_and(|token| token.id() != first.id()) }).await;
    assert_eq!(endpoint.requests(), 2);
}

/// D2, D8: the machine slept; no timer fired, and a caller comes.
#[tokio::test]
async fn an_expired_token_is_not_served_whatever_the_timers_did() {
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 60)).await;
    let clock = TestClock::new();
    let credential = credential(&endpoint, &clock);
    let first = credential.token().await.unwrap();
    clock.jump(Duration::from_secs(7200));
    assert!(credential.try_current().is_none_or(|token| token.id() != first.id()));
    assert_ne!(credential.token().await.unwrap().id(), first.id());
}

/// B15: a source that is looked at again and again is news once, and so is what comes of it in the end.
#[tokio::test]
async fn listeners_hear_of_what_changed_and_not_of_every_look() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let clock = TestClock::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    let credential = Credential::builder()
        .configuration(configuration(&endpoint.origin, &format!(r#"{{"source":"file","path":"{}"}}"#, path.display())))
        .policy(Policy::default().allow_origin(&endpoint.origin).unwrap())
        .clock(clock.clone())
        .build()
        .unwrap();
    let mut changes = credential.changes();
    credential.token_within(Duration::from_secs(5)).await.unwrap_err();
    for _ in 0..60 {
        clock.advance(Duration::from_secs(5)).await;
        settle().await;
    }
    std::fs::write(&path, identity_token("a", wif::Clock::now(&clock).wall_ms / 1000, 3600)).unwrap();
    credential.changed();
    until("there is a token", || async { credential.try_current().is_some() }).await;
    let mut heard = Vec::new();
    while !matches!(heard.last(), Some(wif::Availability::Usable { .. })) {
        heard.push(changes.next().await.expect("it is open").availability);
    }
    assert!(heard.len() <= 6, "{heard:?}");
    let failed = heard.iter().filter(|availability| matches!(availability, wif::Availability::Failed(_))).count();
    assert!(failed >= 1, "{heard:?}");
}

/// What a proxy tells its callers to wait for is what is left of it.
#[tokio::test]
async fn the_time_until_the_next_try_runs_down() {
    let endpoint = Endpoint::start(|_| Reply::with(429, "").header("retry-after", "40")).await;
    let clock = TestClock::new();
    let credential = credential(&endpoint, &clock);
    let wait = async || match credential.token().await {
        Err(wif::Error::Unavailable(failure)) => failure.retry_in.unwrap(),
        other => panic!("there is no token to be had: {other:?}"),
    };
    let whole = wait().await;
    assert!(whole >= Duration::from_secs(40), "{whole:?}");
    clock.jump(Duration::from_secs(30));
    let rest = wait().await;
    assert!(rest <= whole - Duration::from_secs(30), "{rest:?} of {whole:?}");
}

/// B15, in small: the endpoint fails for as long as the token lives.
#[tokio::test]
async fn an_outage_is_survived_until_the_token_ends() {
    let endpoint = Endpoint::start(|count| match count {
        1 => Reply::token("sk-ant-oat01-first", 3600),
        _ => Reply::with(503, "{}"),
    })
    .await;
    let clock = TestClock::new();
    let credential = credential(&endpoint, &clock);
    credential.token().await.unwrap();
    for _ in 0..119 {
        clock.advance(Duration::from_secs(30)).await;
        credential.token_within(Duration::from_secs(5)).await.unwrap();
    }
    clock.advance(Duration::from_secs(30)).await;
    settle().await;
    let failure = credential.token_within(Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(failure, wif::Error::Unavailable(_)), "{failure}");
    // Bounded by the backoff, whatever the request rate.
    assert!(endpoint.requests() < 40, "{}", endpoint.requests());
    assert_eq!(wif::Clock::now(&clock).wall_ms, START_MS + 3_600_000);
}

/// C3: in the mandatory window a caller waits for the exchange, but not for longer than a bound.
#[tokio::test]
async fn a_caller_is_held_for_a_second_at_most() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let never = Arc::clone(&gate);
    let endpoint = Endpoint::start(move |count| match count {
        1 => Reply::token("sk-ant-oat01-first", 3600),
        _ => Reply::token("sk-ant-oat01-second", 3600).after(&never),
    })
    .await;
    let clock = TestClock::new();
    let credential = credential(&endpoint, &clock);
    let first = credential.token().await.unwrap();
    clock.advance(Duration::from_secs(3600 - 28)).await;
    until("the refresh is under way", || async { endpoint.requests() >= 2 }).await;
    let held = tokio::spawn({
        let credential = credential.clone();
        async move { credential.token().await.unwrap() }
    });
    clock.advance(Duration::from_millis(900)).await;
    assert!(!held.is_finished());
    clock.advance(Duration::from_millis(200)).await;
    assert_eq!(held.await.unwrap().id(), first.id());
}

/// C3: who finds no place to wait in goes with the token that is still good.
#[tokio::test]
async fn nobody_is_shed_while_there_is_a_token() {
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let closed = std::sync::Arc::clone(&gate);
    let endpoint = Endpoint::start(move |count| match count {
        1 => Reply::token("sk-ant-oat01-first", 3600),
        _ => Reply::token("sk-ant-oat01-second", 3600).after(&closed),
    })
    .await;
    let clock = TestClock::new();
    let credential = builder(&endpoint, &clock).max_waiters(1).build().unwrap();
    let first = credential.token().await.unwrap();
    clock.advance(Duration::from_secs(3600 - 20)).await;
    let callers: Vec<_> = (0..100)
        .map(|_| {
            tokio::spawn({
                let credential = credential.clone();
                async move { credential.token().await }
            })
        })
        .collect();
    settle().await;
    let served = callers.iter().filter(|caller| caller.is_finished()).count();
    assert_eq!(served, 99, "one waits, and the others do not");
    clock.advance(Duration::from_secs(2)).await;
    for caller in callers {
        assert_eq!(caller.await.unwrap().unwrap().id(), first.id());
    }
    gate.notify_one();
}
