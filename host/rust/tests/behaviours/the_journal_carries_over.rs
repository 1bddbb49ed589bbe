//! The next process goes on where the last one ended.

use wif::{Error, Start};

use crate::support::{Endpoint, Reply, TokenFile, credential, identity_token, now_s};

/// A8b.
#[tokio::test]
async fn a_restart_takes_the_token_along() {
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let before = credential(&endpoint, &file).build().unwrap();
    let token = before.token().await.unwrap();
    let journal = before.journal().unwrap();
    before.shutdown().await;

    let after = credential(&endpoint, &file).resume(Start::Resumed(journal)).build().unwrap();
    assert_eq!(after.token().await.unwrap().id(), token.id());
    assert_eq!(endpoint.requests(), 1);
}

/// A6, A8b.
#[tokio::test]
async fn a_spent_identity_token_stays_spent() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let before = credential(&endpoint, &file).build().unwrap();
    before.token().await.unwrap();
    let journal = before.journal().unwrap();
    // Another origin's token is not served, and so another exchange would be due.
    let other = Endpoint::start(|_| Reply::token("sk-ant-oat01-y", 3600)).await;
    let after = credential(&other, &file).resume(Start::Resumed(journal)).build().unwrap();
    let failure = after.token_within(std::time::Duration::from_secs(10)).await.unwrap_err();
    let Error::Unavailable(failure) = failure else { panic!("{failure}") };
    assert_eq!(failure.code, wif::FailureCode::IdentityTokenSpent, "{failure}");
    assert_eq!(other.requests(), 0);
}

/// C14.
#[tokio::test]
async fn after_shutdown_the_token_is_served_and_nothing_is_started() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let open = credential(&endpoint, &file).build().unwrap();
    let token = open.token().await.unwrap();
    open.shutdown().await;
    open.shutdown().await;
    open.rejected(token.id());
    assert_eq!(open.token().await.unwrap().id(), token.id());
    assert!(matches!(open.status().await, Err(Error::Closed)));
    assert_eq!(endpoint.requests(), 1);
}

#[tokio::test]
async fn shutdown_answers_those_who_wait() {
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let endpoint = Endpoint::start(move |_| Reply::token("sk-ant-oat01-x", 3600).after(&gate)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let open = credential(&endpoint, &file).build().unwrap();
    let waiting = tokio::spawn({
        let credential = open.clone();
        async move { credential.token().await }
    });
    crate::support::until("the endpoint is asked", || async { endpoint.requests() == 1 }).await;
    open.shutdown().await;
    assert_eq!(waiting.await.unwrap().unwrap_err(), Error::Closed);
    assert_eq!(open.token().await.unwrap_err(), Error::Closed);
}
