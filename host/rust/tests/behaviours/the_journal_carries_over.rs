//! The next process goes on where the last one ended.

use wif::{Credential, Error, Start};

use crate::support::{Endpoint, Reply, TokenFile, credential, identity_token, now_s};

/// A8b: a restart finds it exchanged.
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

/// A6 (what is spent is not sent again), A8b (a restart finds it exchanged).
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

/// C14: what comes after closing.
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

/// Somebody who waits until nothing is under way, which is not so yet.
async fn settling(credential: &Credential) -> tokio::task::JoinHandle<()> {
    let credential = credential.clone();
    let settled = tokio::spawn(async move { credential.settle().await });
    crate::support::settle().await;
    assert!(!settled.is_finished());
    settled
}

/// A7: what would be lost with the process, or with a configuration that is replaced, can be waited for.
#[tokio::test]
async fn an_exchange_that_is_out_is_waited_for_before_the_end() {
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let after = std::sync::Arc::clone(&gate);
    let endpoint = Endpoint::start(move |_| Reply::token("sk-ant-oat01-x", 3600).after(&after)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let before = credential(&endpoint, &file).build().unwrap();
    crate::support::until("the endpoint is asked", || async { endpoint.requests() == 1 }).await;
    let settled = settling(&before).await;
    gate.notify_one();
    settled.await.unwrap();
    // With nothing under way it is over at once.
    before.settle().await;
    let journal = before.journal().unwrap();
    before.shutdown().await;
    before.settle().await;

    let after = credential(&endpoint, &file).resume(Start::Resumed(journal)).build().unwrap();
    after.token().await.unwrap();
    assert_eq!(endpoint.requests(), 1);
}

/// A7: between two tasks of an exchange nothing is out, and the exchange is not over: the session says so.
#[tokio::test]
async fn what_is_under_way_is_waited_for_before_the_end_while_no_request_is_out() {
    let script = serde_json::json!([
        { "access": "pending", "progress": "underway" },
        { "on": "changed", "access": { "usable": { "token": "a" } } },
    ]);
    let credential = Credential::builder()
        .component(crate::support::guest(wif_test_guests::scripted()).unwrap())
        .configuration(serde_json::json!({ "session": script }).to_string())
        .build()
        .unwrap();
    let settled = settling(&credential).await;
    credential.changed();
    settled.await.unwrap();
    credential.token().await.unwrap();
}

/// A8b: a session that finds all as it was writes no journal; the next one gets it all the same.
#[tokio::test]
async fn the_journal_goes_through_many_hands() {
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let first = credential(&endpoint, &file).build().unwrap();
    let token = first.token().await.unwrap();
    let mut journal = first.journal().unwrap();
    for _ in 0..3 {
        let next = credential(&endpoint, &file).resume(Start::Resumed(journal)).build().unwrap();
        assert_eq!(next.token().await.unwrap().id(), token.id());
        journal = next.journal().expect("the one that it began with, if no other");
        next.shutdown().await;
    }
    assert_eq!(endpoint.requests(), 1);
}

/// A7: what ends a process in the middle of a request leaves a journal that knows of it: a refusal then means that the
/// identity token was exchanged.
#[tokio::test]
async fn a_journal_is_kept_before_the_request_that_it_tells_of() {
    let kept = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (gate, keeping) = (std::sync::Arc::new(tokio::sync::Notify::new()), std::sync::Arc::clone(&kept));
    let seen = std::sync::Arc::new(std::sync::Mutex::new(None));
    let (at_request, looking) = (std::sync::Arc::clone(&seen), std::sync::Arc::clone(&kept));
    let endpoint = Endpoint::start(move |count| {
        if count == 1 {
            let kept = looking.lock().unwrap();
            *at_request.lock().unwrap() = kept.last().cloned();
            return Reply::token("sk-ant-oat01-lost", 3600).after(&gate);
        }
        Reply::with(401, "{}")
    })
    .await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let keep = move |journal: &wif::Secret| {
        keeping.lock().unwrap().push(journal.clone());
        Ok(())
    };
    let killed = credential(&endpoint, &file).keep_journals(keep).build().unwrap();
    crate::support::until("the endpoint is asked", || async { endpoint.requests() == 1 }).await;
    drop(killed);

    let journal = seen.lock().unwrap().take().expect("it was kept before the request left");
    let after = credential(&endpoint, &file).resume(Start::Resumed(journal)).build().unwrap();
    let failure = after.token_within(std::time::Duration::from_secs(10)).await.unwrap_err();
    let Error::Unavailable(failure) = failure else { panic!("{failure}") };
    assert_eq!(failure.code, wif::FailureCode::IdentityTokenSpent, "{failure}");
    assert_eq!(endpoint.requests(), 2);
}

/// A7: where the journal cannot be kept, the identity token is not spent.
#[tokio::test]
async fn nothing_is_exchanged_that_cannot_be_written_down() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let full = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_full = std::sync::Arc::clone(&full);
    let keep = move |_: &wif::Secret| match is_full.load(std::sync::atomic::Ordering::SeqCst) {
        true => Err("the disk is full".into()),
        false => Ok(()),
    };
    let clock = crate::support::TestClock::new();
    let file_token = identity_token("a", crate::support::START_MS / 1000, 3600);
    file.write(&file_token);
    let credential = credential(&endpoint, &file).keep_journals(keep).clock(clock.clone()).build().unwrap();
    let failure = credential.token_within(std::time::Duration::from_secs(10)).await.unwrap_err();
    let Error::Unavailable(failure) = failure else { panic!("{failure}") };
    assert!(failure.message.contains("the disk is full"), "{failure}");
    assert_eq!(failure.code, wif::FailureCode::StoreFailed, "{failure}");
    assert_eq!(endpoint.requests(), 0);

    full.store(false, std::sync::atomic::Ordering::SeqCst);
    // The first pause of the backoff, and no more: the answer comes in real time, and its time-out runs by this clock.
    clock.advance(std::time::Duration::from_secs(10)).await;
    credential.token_within(std::time::Duration::from_secs(10)).await.unwrap();
    assert_eq!(endpoint.requests(), 1);
}

/// A7: what others are told of an exchange is in the journal first: a journal that is not kept must not be contradicted by the store.
#[tokio::test]
async fn others_are_told_nothing_that_cannot_be_written_down() {
    let full = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (fills, is_full) = (std::sync::Arc::clone(&full), std::sync::Arc::clone(&full));
    let endpoint = Endpoint::start(move |_| {
        fills.store(true, std::sync::atomic::Ordering::SeqCst);
        Reply::token("sk-ant-oat01-x", 3600)
    })
    .await;
    let file = TokenFile::new(&identity_token("a", crate::support::START_MS / 1000, 3600));
    let keep = move |_: &wif::Secret| match is_full.load(std::sync::atomic::Ordering::SeqCst) {
        true => Err("the disk is full".into()),
        false => Ok(()),
    };
    let (store, clock) = (Counting::default(), crate::support::TestClock::new());
    let swaps = std::sync::Arc::clone(&store.swaps);
    let swaps = || swaps.load(std::sync::atomic::Ordering::SeqCst);
    let credential = credential(&endpoint, &file).keep_journals(keep).store(store).clock(clock.clone()).build().unwrap();
    credential.token_within(std::time::Duration::from_secs(10)).await.unwrap();
    crate::support::settle().await;
    assert_eq!(swaps(), 1, "the lease, before the request; nothing of what came of it");

    full.store(false, std::sync::atomic::Ordering::SeqCst);
    clock.advance(std::time::Duration::from_secs(10)).await;
    crate::support::until("the others are told", || async { swaps() >= 2 }).await;
}

/// A store that counts what is written to it.
#[derive(Default)]
struct Counting {
    store: wif::MemoryStore,
    swaps: std::sync::Arc<std::sync::atomic::AtomicU32>,
}

impl wif::Store for Counting {
    fn load<'a>(&'a self, key: &'a str) -> wif::BoxFuture<'a, Result<Option<wif::Entry>, wif::BoxError>> {
        self.store.load(key)
    }

    fn swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a str>,
        value: wif::Secret,
    ) -> wif::BoxFuture<'a, Result<wif::Swapped, wif::BoxError>> {
        self.swaps.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        self.store.swap(key, expected, value)
    }
}
