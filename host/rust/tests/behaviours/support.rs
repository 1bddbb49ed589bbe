//! A token endpoint that answers what a test wants, identity tokens to send it, and a clock that a test moves.

use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use wif::component::{Component, ComponentError};
use wif::{BoxFuture, Builder, Clock, Credential, Policy, Reading};

/// What an endpoint answers.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Not before this is notified, if at all.
    pub after: Option<Arc<Notify>>,
}

impl Reply {
    /// A token that lives for so many seconds.
    pub fn token(value: &str, expires_in: u64) -> Self {
        let body = format!(r#"{{"access_token":"{value}","token_type":"Bearer","expires_in":{expires_in}}}"#);
        Self::with(200, &body)
    }

    pub fn with(status: u16, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_owned(), after: None }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn after(mut self, gate: &Arc<Notify>) -> Self {
        self.after = Some(Arc::clone(gate));
        self
    }
}

/// A token endpoint on a loopback port.
pub struct Endpoint {
    pub origin: String,
    requests: Arc<AtomicU32>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    /// Answers the first request with what the function gives for 1, and so on.
    pub async fn start(answer: impl Fn(u32) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (requests, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counter, log) = (Arc::clone(&requests), Arc::clone(&seen));
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (counter, log, answer) = (Arc::clone(&counter), Arc::clone(&log), Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut stream = stream;
                    let Some(request) = read_request(&mut stream).await else { return };
                    log.lock().unwrap().push(request);
                    let reply = answer(counter.fetch_add(1, Ordering::SeqCst) + 1);
                    write_reply(&mut stream, reply).await;
                });
            }
        });
        Self { origin, requests, seen }
    }

    /// Requests so far.
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }

    /// The last request, as it came over the wire.
    pub fn last(&self) -> String {
        self.seen.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        if !bytes[0].is_ascii_uppercase() {
            // A handshake: it is answered with what is none.
            return Some(String::from_utf8_lossy(&bytes).into_owned());
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text);
        }
    }
}

async fn write_reply(stream: &mut TcpStream, reply: Reply) {
    if let Some(gate) = &reply.after {
        gate.notified().await;
    }
    let mut text = format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.push_str(&reply.body);
    let _ = stream.write_all(text.as_bytes()).await;
}

/// An identity token: a JWT of these claims, signed by nobody.
pub fn identity_token(jti: &str, issued_at_s: u64, lifetime_s: u64) -> String {
    let encode = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
    let claims = format!(
        r#"{{"iss":"https://issuer.example","sub":"system:serviceaccount:a:b","aud":"https://api.anthropic.com","jti":"{jti}","iat":{issued_at_s},"exp":{}}}"#,
        issued_at_s + lifetime_s
    );
    format!("{}.{}.{}", encode(r#"{"alg":"ES256","kid":"key","typ":"JWT"}"#), encode(&claims), encode("signature"))
}

/// A file with an identity token, where a workload would find it.
pub struct TokenFile {
    directory: TempDir,
}

impl TokenFile {
    pub fn new(token: &str) -> Self {
        let file = Self { directory: TempDir::new().unwrap() };
        file.write(token);
        file
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("token")
    }

    pub fn write(&self, token: &str) {
        let next = self.directory.path().join("next");
        std::fs::write(&next, token).unwrap();
        std::fs::rename(next, self.path()).unwrap();
    }
}

/// The federation configuration for an endpoint and a source of identity tokens.
pub fn configuration(origin: &str, identity_token: &str) -> String {
    format!(
        r#"{{"base_url":"{origin}","federation":{{"federation_rule_id":"fdrl_01","organization_id":"00000000-0000-4000-8000-000000000000","service_account_id":"svac_01","identity_token":{identity_token}}}}}"#
    )
}

/// A credential for this endpoint and this file, not yet built.
pub fn credential(endpoint: &Endpoint, file: &TokenFile) -> Builder {
    let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
    Credential::builder()
        .configuration(configuration(&endpoint.origin, &source))
        .policy(Policy::default().allow_origin(&endpoint.origin).unwrap())
        .seed(1)
}

/// Seconds since 1970, by the machine.
pub fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// A clock that a test moves.
#[derive(Clone)]
pub struct TestClock(Arc<watch::Sender<u64>>);

/// Where every test's clock starts, in milliseconds since 1970.
pub const START_MS: u64 = 1_800_000_000_000;

impl TestClock {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Jumps, as after a sleep of the machine.
    pub fn jump(&self, duration: Duration) {
        self.0.send_modify(|now| *now += u64::try_from(duration.as_millis()).unwrap());
    }

    /// Moves on, in small steps, so that whatever is due on the way happens in its order.
    pub async fn advance(&self, duration: Duration) {
        let mut left = u64::try_from(duration.as_millis()).unwrap();
        let step = (left / 20).clamp(1, 10_000);
        while left > 0 {
            let step = step.min(left);
            left -= step;
            self.0.send_modify(|now| *now += step);
            settle().await;
        }
    }
}

impl Clock for TestClock {
    fn now(&self) -> Reading {
        let steady_ms = *self.0.borrow();
        Reading { wall_ms: START_MS + steady_ms, steady_ms }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut now = self.0.subscribe();
        let end = *now.borrow() + u64::try_from(duration.as_millis()).unwrap();
        Box::pin(async move {
            let _ = now.wait_for(|now| *now >= end).await;
        })
    }
}

/// Lets all that can happen without the clock happen.
pub async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Until it is so, or ten seconds have passed.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    for _ in 0..10_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("not so within ten seconds: {what}");
}

/// One of the components that misbehave.
pub fn guest(compiled: &[u8]) -> Result<Component, ComponentError> {
    // SAFETY: the bytes are what the build script of `wif-test-guests` compiled.
    let component = unsafe { wasmtime::component::Component::deserialize(wif::component::engine(), compiled) };
    Component::new(component.unwrap())
}
