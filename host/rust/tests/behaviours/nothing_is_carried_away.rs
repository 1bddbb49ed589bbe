//! F9, F10: a component that was tampered with reads what it should not, and sends it to a place that its policy allows.

use std::time::Duration;

use wif::{Credential, Error, Policy};

use crate::support::{Endpoint, Reply, guest};

/// What became of the file, the variable and the request.
async fn tried(endpoint: &Endpoint, kind: &str, script: &str) -> String {
    tried_with(endpoint, kind, script, Policy::default().allow_origin(&endpoint.origin).unwrap()).await
}

async fn tried_with(endpoint: &Endpoint, kind: &str, script: &str, policy: Policy) -> String {
    let script = format!("origin={} {script}", endpoint.origin);
    let configuration = format!(r#"{{{kind}"base_url": "{}", "says": "{script}"}}"#, endpoint.origin);
    let credential = Credential::builder()
        .component(guest(wif_test_guests::exfiltrating()).unwrap())
        .configuration(configuration)
        .policy(policy)
        .build()
        .unwrap();
    match credential.token_within(Duration::from_secs(10)).await {
        Err(Error::Unavailable(failure)) => failure.message,
        other => panic!("{other:?}"),
    }
}

const DISCOVERS: &str = r#""discover": {}, "#;
const NAMES_A_FILE: &str = r#""federation": {"identity_token": {"source": "file", "path": "/etc/hostname"}}, "#;

#[tokio::test]
async fn files_and_variables_that_nobody_named_are_not_read() {
    let endpoint = Endpoint::start(|_| Reply::with(200, "{}")).await;
    let url = format!("url={}/v1/oauth/token", endpoint.origin);
    for (kind, what) in [
        (DISCOVERS, "file=/etc/hostname variable=CARGO_MANIFEST_DIR"),
        (DISCOVERS, "file=/etc/passwd variable=ANTHROPIC_ADMIN_KEY"),
        (NAMES_A_FILE, "file=/etc/passwd variable=ANTHROPIC_API_KEY"),
        (NAMES_A_FILE, "file=/etc/../etc/hostname variable=HOME"),
    ] {
        let answers = tried(&endpoint, kind, &format!("{what} {url}")).await;
        assert_eq!(answers, "denied, denied, response content-type", "{kind} {what}");
    }
    assert!(endpoint.last().ends_with("stolen:  "), "{}", endpoint.last());
}

/// The control: what is named is read, and the exchange is let out.
#[tokio::test]
async fn what_the_configuration_names_is_read() {
    let endpoint = Endpoint::start(|_| Reply::with(200, "{}")).await;
    let url = format!("url={}/v1/oauth/token", endpoint.origin);
    let answers = tried(&endpoint, NAMES_A_FILE, &format!("file=/etc/hostname variable=X {url}")).await;
    assert_eq!((answers.as_str(), endpoint.requests()), ("content, denied, response content-type", 1));
}

#[tokio::test]
async fn a_request_that_is_no_exchange_is_not_sent() {
    let endpoint = Endpoint::start(|_| Reply::with(200, "{}")).await;
    let origin = &endpoint.origin;
    for what in [
        format!("url={origin}/v1/files"),
        format!("url={origin}/v1/oauth/token?to=elsewhere"),
        format!("url={origin}/v1/oauth/token header=x-api-key"),
        format!("url={origin}/v1/oauth/token header=authorization"),
        format!("url={origin}/v1/oauth/token header=host"),
        format!("url={origin}/x/../v1/files"),
        "url=https://evil.example/v1/oauth/token".to_owned(),
    ] {
        let answers = tried(&endpoint, NAMES_A_FILE, &format!("file=/etc/hostname variable=X {what}")).await;
        assert_eq!(answers, "content, denied, denied", "{what}");
    }
    assert_eq!(endpoint.requests(), 0);
}

/// F9: the policy allows both origins; a request for one of them does not go to the other.
#[tokio::test]
async fn a_request_for_one_origin_does_not_go_to_another_that_is_allowed() {
    let (endpoint, other) =
        (Endpoint::start(|_| Reply::with(200, "{}")).await, Endpoint::start(|_| Reply::with(200, "{}")).await);
    let here = endpoint.origin.trim_start_matches("http://");
    for url in [
        format!("{}/v1/oauth/token", other.origin),
        format!("http://{here}@{}/v1/oauth/token", other.origin.trim_start_matches("http://")),
        format!("http://user@{here}/v1/oauth/token"),
    ] {
        let script = format!("file=/etc/hostname variable=X url={url}");
        let policy = Policy::default().allow_origin(&endpoint.origin).unwrap().allow_origin(&other.origin).unwrap();
        let answers = tried_with(&endpoint, NAMES_A_FILE, &script, policy).await;
        assert_eq!(answers, "content, denied, denied", "{url}");
    }
    assert_eq!((endpoint.requests(), other.requests()), (0, 0));
}

/// What an answer's header says reaches the component only where it is of use to it.
#[tokio::test]
async fn of_an_answer_s_header_the_component_learns_what_it_needs() {
    let reply = |_| {
        let reply = Reply::with(200, "{}").header("set-cookie", "session=canary").header("x-internal", "canary");
        reply.header("request-id", "req_1").header("retry-after", "1").header("server", "canary")
    };
    let endpoint = Endpoint::start(reply).await;
    let url = format!("url={}/v1/oauth/token", endpoint.origin);
    let answers = tried(&endpoint, NAMES_A_FILE, &format!("file=/etc/hostname variable=X {url}")).await;
    assert_eq!(answers, "content, denied, response request-id retry-after content-type");
}
