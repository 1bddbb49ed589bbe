//! Credentials in a pool share instances and a bound for exchanges. None of them is told less than the truth for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use wif::{Credential, Error, FailureCode, Policy, Pool};

use crate::no_secret_is_shown::Log;
use crate::support::{Endpoint, Reply, TokenFile, configuration, credential, guest, identity_token, now_s, until};

fn crashing(pool: &Pool, script: &str) -> Credential {
    Credential::builder().configuration(script).pool(pool).build().unwrap()
}

fn crashing_pool() -> Pool {
    Pool::new().component(guest(wif_test_guests::crashing()).unwrap())
}

/// The number in the id of the token that is served: with `id=journal`, how many steps its journals tell of; with `id=seed`, its seed.
async fn told(credential: &Credential) -> u64 {
    u64::from_str_radix(credential.token().await.unwrap().id(), 16).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_has_its_own_token() {
    let endpoint = Endpoint::start(|number| Reply::token(&format!("sk-ant-oat01-{number}"), 3600)).await;
    let pool = Pool::new();
    let mut ids = std::collections::HashSet::new();
    let mut credentials = Vec::new();
    // More than one instance holds.
    for number in 0..450 {
        let file = TokenFile::new(&identity_token(&number.to_string(), now_s(), 3600));
        let credential = credential(&endpoint, &file).pool(&pool).build().unwrap();
        ids.insert(credential.token().await.unwrap().id().to_owned());
        credentials.push(credential);
    }
    assert_eq!(ids.len(), 450);
    assert_eq!(endpoint.requests(), 450);
}

#[tokio::test]
async fn one_that_stops_the_instance_takes_no_token_from_the_others() {
    let pool = crashing_pool();
    let (log, _guard) = Log::start();
    let guilty = crashing(&pool, "changed=panic");
    let others = [crashing(&pool, "id=journal"), crashing(&pool, "id=journal")];
    guilty.token().await.unwrap();
    for other in &others {
        assert_eq!(told(other).await, 1);
    }
    guilty.changed();
    until("the component was stopped", || async { log.text().contains("as told") || log.text().contains("component-stopped") })
        .await;
    for other in &others {
        assert_eq!(told(other).await, 1, "what was published is served without a look at the instance");
        // It goes on from its journal, and what it was told last is not lost: one step for the new session, one for the change.
        other.changed();
        until("the other goes on", || async { told(other).await == 3 }).await;
    }
    guilty.token().await.unwrap();
}

#[tokio::test]
async fn one_that_has_stopped_an_instance_is_alone_from_then_on() {
    let pool = crashing_pool();
    let (log, _guard) = Log::start();
    let guilty = crashing(&pool, "changed=panic");
    let other = crashing(&pool, "id=journal");
    guilty.token().await.unwrap();
    for _ in 0..3 {
        guilty.changed();
        until("the component answers again", || async { guilty.status().await.is_ok() }).await;
        until("the other goes on", || async { other.status().await.is_ok() }).await;
    }
    until("the component was stopped", || async { log.text().contains("component-stopped") }).await;
    assert_eq!(log.text().matches("another credential of the pool").count(), 1, "{}", log.text());
}

#[tokio::test]
async fn a_rejection_is_heard_though_the_instance_is_gone() {
    let pool = crashing_pool();
    let (log, _guard) = Log::start();
    let guilty = crashing(&pool, "changed=panic");
    let other = crashing(&pool, "rejected=panic");
    guilty.token().await.unwrap();
    let token = other.token().await.unwrap();
    guilty.changed();
    until("the component was stopped", || async { log.text().contains("cause=Changed") }).await;
    other.rejected(token.id());
    until("the rejection reaches the new session", || async { log.text().contains("cause=Rejected") }).await;
}

/// A wave after an outage: everybody wants an exchange, and the token endpoint sees as many as are allowed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_exchanges_are_under_way_at_once_and_no_more() {
    let gate = Arc::new(Notify::new());
    let (closed, arrived) = (Arc::clone(&gate), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&arrived);
    let endpoint = Endpoint::start(move |number| {
        counted.fetch_add(1, Ordering::SeqCst);
        Reply::token(&format!("sk-ant-oat01-{number}"), 3600).after(&closed)
    })
    .await;
    let pool = Pool::new().max_exchanges(3);
    let files: Vec<_> = (0..12).map(|number| TokenFile::new(&identity_token(&number.to_string(), now_s(), 3600))).collect();
    let credentials: Vec<_> = files.iter().map(|file| credential(&endpoint, file).pool(&pool).build().unwrap()).collect();
    for answered in 0..12 {
        let under_way = (answered + 3).min(12);
        until("places are taken", || async { arrived.load(Ordering::SeqCst) == under_way }).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(arrived.load(Ordering::SeqCst), under_way, "none went beyond the bound");
        gate.notify_one();
    }
    for credential in credentials {
        credential.token().await.unwrap();
    }
}

#[tokio::test]
async fn an_exchange_that_gets_no_place_was_not_sent() {
    let gate = Arc::new(Notify::new());
    let closed = Arc::clone(&gate);
    let endpoint = Endpoint::start(move |_| Reply::token("sk-ant-oat01-late", 3600).after(&closed)).await;
    let pool = Pool::new().max_exchanges(1);
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let first = credential(&endpoint, &file).pool(&pool).build().unwrap();
    until("the first is under way", || async { endpoint.requests() == 1 }).await;

    let mut impatient: serde_json::Value =
        serde_json::from_str(&configuration(&endpoint.origin, &format!(r#"{{"source":"file","path":{:?}}}"#, file.path())))
            .unwrap();
    impatient["exchange_timeout_ms"] = 1_000.into();
    let policy = Policy::default().allow_origin(&endpoint.origin).unwrap();
    let second = Credential::builder().configuration(impatient.to_string()).policy(policy).pool(&pool).build().unwrap();
    let Err(Error::Unavailable(failure)) = second.token().await else { panic!("there is no place") };
    assert_eq!(failure.code, FailureCode::EndpointUnreachable, "{failure:?}");
    assert!(failure.message.contains("other exchanges of the pool"), "{}", failure.message);
    assert_eq!(endpoint.requests(), 1);
    gate.notify_one();
    first.token().await.unwrap();
}
