//! A program without an asynchronous runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use wif::{Credential, Secret, SuppliedToken, blocking};

#[test]
fn threads_share_one_credential() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let in_an_hour = std::time::SystemTime::now() + std::time::Duration::from_secs(3600);
    let builder = Credential::builder().configuration(r#"{"bearer":{"source":"callable","name":"broker"}}"#).access_token(
        "broker",
        move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async move { Ok(SuppliedToken { value: Secret::from("a-token"), expires_at: Some(in_an_hour) }) }
        },
    );
    let credential = blocking::Credential::build(builder).unwrap();
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let credential = credential.clone();
            std::thread::spawn(move || credential.token().unwrap().id().to_owned())
        })
        .collect();
    let mut ids: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(credential.status().unwrap().token.unwrap().id, ids[0]);
    credential.shutdown();
    assert!(credential.try_current().is_some());
}

#[test]
fn outside_a_runtime_the_other_one_says_so() {
    assert!(matches!(Credential::discover(), Err(wif::BuildError::NoRuntime)));
}

#[test]
fn a_credential_whose_runtime_has_ended_says_so() {
    let first = tokio::runtime::Runtime::new().unwrap();
    let builder = Credential::builder().configuration(r#"{"bearer":{"source":"callable","name":"broker"}}"#);
    let builder = builder.access_token("broker", |_| std::future::pending::<Result<SuppliedToken, wif::BoxError>>());
    let credential = first.block_on(async { builder.build().unwrap() });
    first.shutdown_background();
    let second = tokio::runtime::Runtime::new().unwrap();
    let error = second.block_on(credential.token()).unwrap_err();
    assert_eq!(error, wif::Error::Closed);
    assert!(error.to_string().contains("the tokio runtime in which it was built has ended"), "{error}");
}
