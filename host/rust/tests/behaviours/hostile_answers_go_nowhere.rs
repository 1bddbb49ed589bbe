//! F2: what the component says is checked as if a stranger had said it.

use std::time::Duration;

use wif::{Credential, Error, FailureCode};

use crate::support::erratic;

async fn refused(script: &str) {
    let credential = Credential::builder().component(erratic()).configuration(script).build().unwrap();
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
async fn a_header_has_a_name() {
    refused("answer=header-name").await;
}

/// B1.
#[tokio::test]
async fn a_token_is_for_an_origin_that_the_policy_allows() {
    for script in ["answer=origin", "answer=origin-look-alike"] {
        let credential = Credential::builder().component(erratic()).configuration(script).build().unwrap();
        let error = credential.token_within(Duration::from_secs(10)).await.unwrap_err();
        let Error::Unavailable(failure) = error else { panic!("{error:?}") };
        assert_eq!(failure.code, FailureCode::DeniedByHost, "{script}: {failure}");
        assert!(credential.try_current().is_none());
    }
}

#[tokio::test]
async fn an_id_is_no_way_out() {
    refused("answer=id").await;
}

#[tokio::test]
async fn tasks_are_bounded() {
    refused("answer=tasks").await;
}

/// D4.
#[tokio::test]
async fn times_do_not_overflow() {
    let credential = Credential::builder().component(erratic()).configuration("answer=overflow").build().unwrap();
    credential.token().await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    credential.token().await.unwrap();
}

#[tokio::test]
async fn a_component_that_wants_to_be_woken_at_once_for_ever_is_not() {
    let credential = Credential::builder().component(erratic()).configuration("answer=busy").build().unwrap();
    for _ in 0..20 {
        credential.token().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    credential.shutdown().await;
}

#[tokio::test]
async fn a_request_to_elsewhere_is_not_sent() {
    // It is denied, and the token stays.
    let credential = Credential::builder().component(erratic()).configuration("answer=send-elsewhere").build().unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    credential.token().await.unwrap();
}
