//! G1: no secret is in anything that is printed.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_stream::StreamExt;
use wif::{Credential, Policy, Secret, SuppliedToken};

use crate::support::{Endpoint, Reply, TokenFile, configuration, credential, identity_token, now_s};

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Everything that this thread logs from here on, however quiet.
    pub(crate) fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

const TOKEN: &str = "sk-ant-oat01-canary-token";

#[tokio::test]
async fn neither_in_logs_nor_in_debug_nor_in_status() {
    let (log, _guard) = Log::start();
    let endpoint = Endpoint::start(|count| match count {
        1 => Reply::token(TOKEN, 3600),
        _ => Reply::with(401, r#"{"error":{"type":"authentication_error","message":"no"}}"#),
    })
    .await;
    let assertion = identity_token("canary", now_s(), 3600);
    let file = TokenFile::new(&assertion);
    let credential = credential(&endpoint, &file).build().unwrap();
    let mut changes = credential.changes();
    let token = credential.token().await.unwrap();
    credential.rejected(token.id());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let change = changes.next().await.unwrap();
    let mut headers = http::HeaderMap::new();
    token.apply(&mut headers);
    assert_eq!(token.reveal_authorization(), Some(format!("Bearer {TOKEN}").as_str()));
    let status = credential.status().await.unwrap();
    let journal = credential.journal().unwrap();
    let text = format!("{credential:?} {token:?} {headers:?} {status:?} {journal:?} {change:?} {}", log.text());
    for told in ["exchange-started", "exchange-succeeded", "token-rejected", "there is an access token"] {
        assert!(log.text().contains(told), "{told} is logged: {}", log.text());
    }
    assert!(log.text().contains(token.id()), "the id is for logs: {text}");
    let signature = assertion.rsplit('.').next().unwrap();
    for secret in [TOKEN, "canary-token", assertion.as_str(), signature] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// B13: an error repeats the identity token.
#[tokio::test]
async fn not_even_if_the_server_says_it_back() {
    let (log, _guard) = Log::start();
    let assertion = identity_token("canary", now_s(), 3600);
    let body = format!(r#"{{"error":{{"type":"invalid_request_error","message":"bad assertion {assertion}"}}}}"#);
    let endpoint = Endpoint::start(move |_| Reply::with(400, &body)).await;
    let file = TokenFile::new(&assertion);
    let credential = credential(&endpoint, &file).build().unwrap();
    let error = credential.token_within(Duration::from_secs(10)).await.unwrap_err();
    let text = format!("{error} {error:?} {:?} {}", credential.status().await.unwrap(), log.text());
    assert!(log.text().contains("exchange-failed") && log.text().contains("withheld"), "it is logged: {}", log.text());
    assert!(!text.contains(&assertion), "{text}");
    assert!(!text.contains(assertion.split('.').nth(1).unwrap()), "{text}");
}

#[tokio::test]
async fn not_what_a_program_supplies() {
    let (log, _guard) = Log::start();
    let credential = Credential::builder()
        .configuration(r#"{"bearer":{"source":"callable","name":"broker"}}"#)
        .access_token("broker", |_| async { Ok(SuppliedToken { value: Secret::from(TOKEN), expires_at: None }) })
        .build()
        .unwrap();
    let token = credential.token_within(Duration::from_secs(10)).await.unwrap();
    assert_eq!(token.reveal_authorization(), Some(format!("Bearer {TOKEN}").as_str()));
    let text = format!("{credential:?} {token:?} {:?} {}", credential.status().await, log.text());
    assert!(log.text().contains("token-supplied"), "it is logged: {}", log.text());
    assert!(!text.contains("canary"), "{text}");
}

/// G2. A configuration may hold a literal token, and what is wrong with it is said without it.
#[tokio::test]
async fn not_the_configuration() {
    let secret = identity_token("canary", now_s(), 3600);
    let source = format!(r#"{{"source":"literal","value":"{secret}"}}"#);
    let builder = Credential::builder().configuration(configuration("https://evil.example", &source)).policy(Policy::default());
    assert!(!format!("{builder:?}").contains(&secret));
    let wrong = Credential::builder().configuration(format!(r#"{{"bearer":{{"source":"literal","valeu":"{secret}"}}}}"#)).build();
    let error = wrong.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(&secret), "{error:?}");
}
