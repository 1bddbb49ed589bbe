//! A program that has an HTTP client sends the library's requests by it; the policy has its say before.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wif::{BuildError, Builder, Credential, Error, FailureCode, Policy, SendError};

use crate::support::{Endpoint, Reply, TokenFile, configuration, identity_token, now_s};

const VALUE: &str = "sk-ant-oat01-a-token-of-the-endpoint";

/// Sends by reqwest; the counter counts.
fn by_reqwest(builder: Builder, sent: &Arc<AtomicU32>) -> Builder {
    // Another test of this process may have done so.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (client, sent) = (reqwest::Client::builder().no_proxy().build().unwrap(), Arc::clone(sent));
    builder.send_requests(move |request| {
        let (client, sent) = (client.clone(), Arc::clone(&sent));
        async move {
            sent.fetch_add(1, Ordering::SeqCst);
            let (head, body) = request.request.into_parts();
            let call = client.request(head.method, head.uri.to_string()).headers(head.headers).body(body.reveal().to_owned());
            let response = call.send().await.map_err(|error| match error.is_connect() {
                true => SendError::Unsent(error.to_string()),
                false => SendError::MaybeSent(error.to_string()),
            })?;
            let mut answer = http::Response::builder().status(response.status());
            answer.headers_mut().unwrap().extend(response.headers().clone());
            let body = response.bytes().await.map_err(|error| SendError::MaybeSent(error.to_string()))?;
            Ok(answer.body(body.to_vec()).unwrap())
        }
    })
}

fn builder(origin: &str, file: &TokenFile) -> Builder {
    let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
    Credential::builder().configuration(configuration(origin, &source)).policy(Policy::default().allow_loopback())
}

fn a_file() -> TokenFile {
    TokenFile::new(&identity_token("a", now_s(), 3_600))
}

fn failure(error: Error) -> wif::Failure {
    match error {
        Error::Unavailable(failure) => failure,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn it_sends_the_exchange_and_the_answer_is_taken() {
    let endpoint = Endpoint::start(|_| Reply::token(VALUE, 3_600)).await;
    let (file, sent) = (a_file(), Arc::new(AtomicU32::new(0)));
    let credential = by_reqwest(builder(&endpoint.origin, &file), &sent).build().unwrap();
    assert!(credential.token().await.is_ok());
    assert_eq!((sent.load(Ordering::SeqCst), endpoint.requests()), (1, 1));
    let request = endpoint.last();
    assert!(request.starts_with("POST /v1/oauth/token HTTP/1.1\r\n") && request.contains("anthropic-beta: "), "{request}");
}

#[tokio::test]
async fn what_the_policy_refuses_does_not_reach_it() {
    let (file, sent) = (a_file(), Arc::new(AtomicU32::new(0)));
    let denied = builder("https://elsewhere.example", &file).policy(Policy::default());
    let credential = by_reqwest(denied, &sent).build().unwrap();
    assert_eq!(failure(credential.token().await.unwrap_err()).code, FailureCode::DeniedByHost);
    assert_eq!(sent.load(Ordering::SeqCst), 0);
}

/// C3: only what may have left spends an identity token.
#[tokio::test]
async fn a_request_that_has_not_left_is_sent_again_with_the_same_identity_token() {
    let endpoint = Endpoint::start(|_| Reply::token(VALUE, 3_600)).await;
    let (file, bodies) = (a_file(), Arc::new(Mutex::new(Vec::new())));
    let seen = Arc::clone(&bodies);
    let sending = builder(&endpoint.origin, &file).send_requests(move |request| {
        let mut seen = seen.lock().unwrap();
        seen.push(request.request.into_body().reveal().to_owned());
        let first = seen.len() == 1;
        async move {
            if first {
                return Err(SendError::Unsent("no route".to_owned()));
            }
            let body = format!(r#"{{"access_token":"{VALUE}","token_type":"Bearer","expires_in":3600}}"#);
            Ok(http::Response::builder().header("content-type", "application/json").body(body.into_bytes()).unwrap())
        }
    });
    assert!(sending.build().unwrap().token_within(Duration::from_secs(30)).await.is_ok());
    let bodies = bodies.lock().unwrap();
    assert!(bodies.len() == 2 && bodies[0] == bodies[1]);
}

#[tokio::test]
async fn an_answer_beyond_the_limit_does_not_count() {
    let file = a_file();
    let sending = builder("http://127.0.0.1:1", &file).send_requests(|request| async move {
        assert!(request.max_response_bytes <= 1 << 20 && request.timeout > Duration::ZERO && request.ca_file.is_none());
        assert!(!format!("{request:?}").contains("eyJ"), "no secret is shown");
        Ok(http::Response::new(vec![b' '; request.max_response_bytes + 1]))
    });
    let credential = sending.build().unwrap();
    let told = async {
        loop {
            let failure = credential.status().await.unwrap().failure;
            if let Some(failure) = failure {
                return failure;
            }
            let _ = credential.token_within(Duration::from_millis(50)).await;
        }
    };
    let failure = tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    assert!(failure.message.contains("the answer is longer than"), "{}", failure.message);
}

#[tokio::test]
async fn what_belongs_to_its_client_is_refused_here() {
    let file = a_file();
    let sends = |builder: Builder| by_reqwest(builder, &Arc::new(AtomicU32::new(0)));
    let policy = Policy::default().proxy("http://127.0.0.1:1").unwrap();
    let refused =
        [builder("http://127.0.0.1:1", &file).policy(policy), builder("http://127.0.0.1:1", &file).extra_root_certificate("")];
    for builder in refused {
        assert!(matches!(sends(builder).build(), Err(BuildError::OfTheClient(_))));
    }
}
