//! Without the sandbox the same engine decides, the same policy holds, and a journal goes from one form to the other.

use std::time::Duration;

use wif::{BuildError, Credential, Error, FailureCode, Pool, Start};

use crate::no_secret_is_shown::Log;
use crate::support::{Endpoint, Reply, TokenFile, configuration, credential, guest, identity_token, now_s, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_share_one_exchange() {
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let open = credential(&endpoint, &file).native().build().unwrap();
    let callers = (0..100).map(|_| {
        let open = open.clone();
        tokio::spawn(async move { open.token().await.unwrap().id().to_owned() })
    });
    let mut ids = std::collections::HashSet::new();
    for caller in callers.collect::<Vec<_>>() {
        ids.insert(caller.await.unwrap());
    }
    assert_eq!((ids.len(), endpoint.requests()), (1, 1));
    let status = open.status().await.unwrap();
    assert_eq!((status.exchanges_started, status.exchanges_succeeded), (1, 1));
}

#[tokio::test]
async fn a_rejected_token_is_exchanged_anew() {
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let open = credential(&endpoint, &file).native().build().unwrap();
    let first = open.token().await.unwrap();
    file.write(&identity_token("b", now_s(), 3600));
    open.rejected(first.id());
    until("it is another one", || async { open.token().await.unwrap().id() != first.id() }).await;
    assert_eq!(endpoint.requests(), 2);
}

/// A8b: whichever form it was in before, a restart takes the token along.
#[tokio::test]
async fn a_journal_goes_from_one_form_to_the_other() {
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let mut start = Start::Fresh;
    let mut first = None;
    for native in [false, true, false] {
        let builder = credential(&endpoint, &file).resume(start);
        let open = if native { builder.native() } else { builder }.build().unwrap();
        let id = open.token().await.unwrap().id().to_owned();
        assert_eq!(*first.get_or_insert(id.clone()), id);
        start = Start::Resumed(open.journal().unwrap());
        open.shutdown().await;
    }
    assert_eq!(endpoint.requests(), 1);
}

#[tokio::test]
async fn the_policy_holds() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let elsewhere = Endpoint::start(|_| Reply::token("sk-ant-oat01-y", 3600)).await;
    let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
    let open = credential(&endpoint, &file).configuration(configuration(&elsewhere.origin, &source)).native().build().unwrap();
    let Err(Error::Unavailable(failure)) = open.token_within(Duration::from_secs(10)).await else { panic!("it was allowed") };
    assert_eq!(failure.code, FailureCode::DeniedByHost, "{failure}");
    assert_eq!(elsewhere.requests(), 0);
}

#[tokio::test]
async fn a_configuration_that_can_never_work_is_refused_with_its_field() {
    let refused = Credential::builder().configuration(r#"{"federation":{"organization_id":7}}"#).native().build().unwrap_err();
    let BuildError::Configuration { field, .. } = refused else { panic!("{refused}") };
    let sandboxed = Credential::builder().configuration(r#"{"federation":{"organization_id":7}}"#).build().unwrap_err();
    let BuildError::Configuration { field: theirs, .. } = sandboxed else { panic!("{sandboxed}") };
    assert_eq!(field, theirs);
}

/// They share the bound of exchanges, and have no instance to share.
#[tokio::test]
async fn in_a_pool_each_has_its_own_token() {
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600)).await;
    let pool = Pool::new().max_exchanges(1);
    let mut ids = std::collections::HashSet::new();
    for number in 0..5 {
        let file = TokenFile::new(&identity_token(&number.to_string(), now_s(), 3600));
        let open = credential(&endpoint, &file).pool(&pool).native().build().unwrap();
        ids.insert(open.token().await.unwrap().id().to_owned());
    }
    assert_eq!((ids.len(), endpoint.requests()), (5, 5));
}

/// Whoever says so has it, whatever component the pool has.
#[tokio::test]
async fn a_pools_component_does_not_go_before_it() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let pool = Pool::new().component(guest(wif_test_guests::crashing()).unwrap());
    let open = credential(&endpoint, &file).pool(&pool).native().build().unwrap();
    assert!(open.token_within(Duration::from_secs(20)).await.is_ok());
    assert_eq!(endpoint.requests(), 1);
}

#[tokio::test]
async fn no_secret_is_logged() {
    let (log, _guard) = Log::start();
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-canary", 3600)).await;
    let token = identity_token("canary", now_s(), 3600);
    let file = TokenFile::new(&token);
    let open = credential(&endpoint, &file).native().build().unwrap();
    open.token().await.unwrap();
    open.shutdown().await;
    let said = log.text();
    assert!(said.contains("exchange-succeeded"), "{said}");
    assert!(!said.contains("oat01") && !said.contains(&token), "{said}");
}
