//! Credentials that share a store share its exchanges, also those that a rejection forces.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use wif::{BoxError, BoxFuture, Credential, Entry, MemoryStore, Secret, Store, Swapped, Token};

use crate::support::{Endpoint, Reply, START_MS, TestClock, TokenFile, credential, identity_token, until};

const STEP: Duration = Duration::from_millis(200);

/// Eight credentials, as in eight workers, with one file whose token can be exchanged once.
struct Eight {
    credentials: Vec<Credential>,
    endpoint: Endpoint,
    file: TokenFile,
    clock: TestClock,
}

impl Eight {
    /// The first answer comes when the gate is notified, every other at once.
    async fn start(gate: &Arc<Notify>) -> Self {
        let gate = Arc::clone(gate);
        let endpoint = Endpoint::start(move |count| {
            let reply = Reply::token(&format!("sk-ant-oat01-{count}"), 3600);
            if count == 1 { reply.after(&gate) } else { reply }
        });
        let endpoint = endpoint.await;
        let file = TokenFile::new(&identity_token("first", START_MS / 1000, 3600));
        let (store, clock) = (Arc::new(MemoryStore::default()), TestClock::new());
        let open = |seed| {
            let builder = credential(&endpoint, &file).store(Arc::clone(&store)).clock(clock.clone());
            builder.seed(seed).build().unwrap()
        };
        let credentials = (0..8).map(open).collect();
        Self { credentials, endpoint, file, clock }
    }

    /// One caller of each.
    fn callers(&self) -> Vec<JoinHandle<Token>> {
        let call = |credential: &Credential| {
            let credential = credential.clone();
            tokio::spawn(async move { credential.token().await.unwrap() })
        };
        self.credentials.iter().map(call).collect()
    }

    /// Lets time pass until it is so.
    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        until(what, || async {
            self.clock.advance(STEP).await;
            is_so()
        })
        .await;
    }

    fn all_hold(&self, id: &str) -> bool {
        self.credentials.iter().all(|credential| credential.try_current().is_some_and(|token| token.id() == id))
    }
}

/// Takes the lease, and from then on no answer of it ever comes.
#[derive(Default)]
struct Stuck {
    store: MemoryStore,
    swaps: AtomicU32,
}

impl Store for Stuck {
    fn load<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, BoxError>> {
        self.store.load(key)
    }

    fn swap<'a>(&'a self, key: &'a str, expected: Option<&'a str>, value: Secret) -> BoxFuture<'a, Result<Swapped, BoxError>> {
        match self.swaps.fetch_add(1, Ordering::SeqCst) {
            0 => self.store.swap(key, expected, value),
            _ => Box::pin(std::future::pending()),
        }
    }
}

/// A7: whoever ends waits for what an exchange brought to be told, but not for a store that does not answer.
#[tokio::test]
async fn a_store_that_does_not_answer_holds_up_no_end() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let file = TokenFile::new(&identity_token("first", START_MS / 1000, 3600));
    let clock = TestClock::new();
    let open = credential(&endpoint, &file).store(Arc::new(Stuck::default())).clock(clock.clone()).build().unwrap();
    open.token().await.unwrap();
    let settled = tokio::spawn({
        let credential = open.clone();
        async move { credential.settle().await }
    });
    clock.advance(STEP).await;
    assert!(!settled.is_finished(), "what was exchanged is not told yet");
    let waiting = Arc::new(settled);
    until("it is given up", || async {
        clock.advance(STEP).await;
        waiting.is_finished()
    })
    .await;
}

/// A8 (several share one identity token), C1 (many callers, one exchange).
#[tokio::test]
async fn eight_cold_credentials_make_one_exchange() {
    let gate = Arc::new(Notify::new());
    let eight = Eight::start(&gate).await;
    let callers = eight.callers();
    eight.until("one asks the endpoint", || eight.endpoint.requests() > 0).await;
    // The others look every half second, and find the lease.
    eight.clock.advance(Duration::from_secs(3)).await;
    assert!(callers.iter().all(|caller| !caller.is_finished()));
    gate.notify_one();
    eight.until("all are served", || callers.iter().all(JoinHandle::is_finished)).await;
    let mut ids = Vec::new();
    for caller in callers {
        ids.push(caller.await.unwrap().id().to_owned());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert!(eight.all_hold(&ids[0]));
    assert_eq!(eight.endpoint.requests(), 1);
}

/// C6, C7: a 401 that one sees is news to all, however they hear of it.
#[tokio::test]
async fn what_one_exchanges_after_a_rejection_the_others_take_over() {
    let gate = Arc::new(Notify::new());
    gate.notify_one();
    let eight = Eight::start(&gate).await;
    let callers = eight.callers();
    eight.until("all are served", || callers.iter().all(JoinHandle::is_finished)).await;
    let rejected = eight.credentials[0].try_current().unwrap();
    assert!(eight.all_hold(rejected.id()));

    eight.credentials[0].rejected(rejected.id());
    eight.clock.advance(Duration::from_secs(20)).await;
    assert_eq!(eight.endpoint.requests(), 1, "the identity token is spent");
    eight.file.write(&identity_token("second", START_MS / 1000, 3600));
    let replaced = || eight.credentials[0].try_current().filter(|token| token.id() != rejected.id());
    eight.until("the rotated one is exchanged", || replaced().is_some()).await;
    let replacement = replaced().unwrap();
    assert_eq!(eight.endpoint.requests(), 2);

    // Some hear of it from the API, and some are told to look.
    let (late, told) = eight.credentials[1..].split_at(4);
    late.iter().for_each(|credential| credential.rejected(rejected.id()));
    told.iter().for_each(Credential::changed);
    eight.until("the others have it too", || eight.all_hold(replacement.id())).await;
    eight.clock.advance(Duration::from_secs(20)).await;
    assert!(eight.all_hold(replacement.id()));
    assert_eq!(eight.endpoint.requests(), 2);
}
