//! However many callers ask, and however they leave, there is one exchange.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use wif::Error;

use crate::support::{Endpoint, Reply, TokenFile, credential, identity_token, now_s, until};

/// C1: many callers, one exchange.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_callers_without_a_token() {
    let gate = Arc::new(Notify::new());
    let closed = Arc::clone(&gate);
    let endpoint = Endpoint::start(move |_| Reply::token("sk-ant-oat01-shared", 3600).after(&closed)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let credential = credential(&endpoint, &file).build().unwrap();

    let callers: Vec<_> = (0..10_000)
        .map(|_| {
            let credential = credential.clone();
            tokio::spawn(async move { credential.token().await.map(|token| token.id().to_owned()) })
        })
        .collect();
    until("the endpoint is asked", || async { endpoint.requests() == 1 }).await;
    gate.notify_one();
    let mut ids = Vec::new();
    for caller in callers {
        ids.push(caller.await.unwrap().unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(endpoint.requests(), 1);
    let request = endpoint.last();
    assert!(request.starts_with("POST /v1/oauth/token HTTP/1.1\r\n"), "{request}");
}

/// C4: callers that leave.
#[tokio::test]
async fn callers_that_leave_take_nothing_with_them() {
    let gate = Arc::new(Notify::new());
    let closed = Arc::clone(&gate);
    let endpoint = Endpoint::start(move |_| Reply::token("sk-ant-oat01-shared", 3600).after(&closed)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let credential = credential(&endpoint, &file).build().unwrap();

    let leaves = credential.token_within(Duration::from_millis(50)).await;
    assert!(matches!(leaves, Err(Error::TimedOut { .. })), "{leaves:?}");
    let aborted = tokio::spawn({
        let credential = credential.clone();
        async move { credential.token().await }
    });
    let stays = tokio::spawn({
        let credential = credential.clone();
        async move { credential.token().await }
    });
    until("the endpoint is asked", || async { endpoint.requests() == 1 }).await;
    aborted.abort();
    gate.notify_one();
    let token = stays.await.unwrap().unwrap();
    assert_eq!(token.reveal_authorization(), Some("Bearer sk-ant-oat01-shared"));
    assert_eq!(endpoint.requests(), 1);
    assert_eq!(credential.try_current().unwrap().id(), token.id());
}

/// C7: many rejections, one exchange.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_rejections_of_one_token_make_one_exchange() {
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600)).await;
    let source = r#"{"source":"callable","name":"minted","freshness":"minted"}"#;
    let minted = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let credential = wif::Credential::builder()
        .configuration(crate::support::configuration(&endpoint.origin, source))
        .policy(wif::Policy::default().allow_origin(&endpoint.origin).unwrap())
        .identity_token("minted", move |_| {
            let count = minted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move { Ok(identity_token(&count.to_string(), now_s(), 600).into()) }
        })
        .build()
        .unwrap();
    let first = credential.token().await.unwrap();
    for _ in 0..1000 {
        credential.rejected(first.id());
        credential.rejected("0123456789abcdef");
    }
    until("there is another token", || async { credential.try_current().is_some_and(|token| token.id() != first.id()) }).await;
    credential.rejected(first.id());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(endpoint.requests(), 2);
    let text = format!("{credential:?}");
    assert!(text.contains("Usable"), "{text}");
}

/// Whoever builds a credential and then asks for its changes has missed none, however fast the first of them came.
#[tokio::test]
async fn the_first_listener_hears_everything_from_the_beginning() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-shared", 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let credential = credential(&endpoint, &file).build().unwrap();
    credential.token().await.unwrap();
    let mut changes = credential.changes();
    let mut codes = Vec::new();
    while !codes.contains(&wif::NoteCode::ExchangeSucceeded) {
        codes.extend(tokio_stream::StreamExt::next(&mut changes).await.unwrap().notes.into_iter().map(|note| note.code));
    }
    assert!(codes.contains(&wif::NoteCode::Configured) && codes.contains(&wif::NoteCode::ExchangeStarted), "{codes:?}");
}
