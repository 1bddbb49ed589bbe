//! Callers: one at a time, many at once, or as long as something else happens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};

/// What a caller got.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) elapsed: Duration,
}

impl Received {
    /// The value of a header, if it is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Holds that this is a local reply in the vendor's envelope, and that it says when to come again; returns its code.
    pub(crate) fn failure_code(&self) -> String {
        assert_eq!(self.status, 503, "{self:?}");
        let retry_after = self.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
        assert!(retry_after.is_some_and(|seconds| (1..=3600).contains(&seconds)), "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        let body = self.json();
        assert_eq!(body["type"], "error", "{self:?}");
        assert!(body["error"]["type"].is_string(), "{self:?}");
        assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{self:?}");
        self.header("x-wif-code").unwrap_or_else(|| panic!("no code: {self:?}")).to_owned()
    }
}

/// The status of each answer.
pub(crate) fn statuses(answers: &[Received]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

/// A request for a message. It carries no credential, and comes on a connection of its own: so it meets any of the workers.
#[derive(Clone)]
pub(crate) struct Caller {
    client: reqwest::Client,
    url: String,
}

impl Caller {
    pub(crate) fn new(gateway: SocketAddr) -> Self {
        // One that answers later than this is one that never does.
        let client = http_client(Duration::from_secs(45));
        Self { client, url: format!("http://{gateway}") }
    }

    /// A request that may still be changed.
    pub(crate) fn post(&self, path: &str) -> reqwest::RequestBuilder {
        let body = json!({ "model": "claude", "max_tokens": 8, "messages": [{ "role": "user", "content": "Say hello." }] });
        let request = self.client.post(format!("{}{path}", self.url)).header("anthropic-version", "2023-06-01");
        request.header("content-type", "application/json").body(body.to_string())
    }

    /// A message.
    pub(crate) async fn message(&self) -> Received {
        send(self.post("/v1/messages")).await
    }

    /// So many messages at once, each of its own caller.
    pub(crate) async fn burst(&self, callers: usize) -> Vec<Received> {
        self.start_burst(callers).join_all().await
    }

    /// So many messages at once, to be waited for.
    pub(crate) fn start_burst(&self, callers: usize) -> JoinSet<Received> {
        let mut requests = JoinSet::new();
        for _ in 0..callers {
            let caller = self.clone();
            requests.spawn(async move { caller.message().await });
        }
        requests
    }
}

impl Caller {
    /// So many messages at once, from callers who leave after this time. `None`: without an answer.
    pub(crate) fn start_burst_that_leaves(&self, callers: usize, after: Duration) -> JoinSet<Option<Received>> {
        let mut requests = JoinSet::new();
        for _ in 0..callers {
            let request = self.post("/v1/messages").timeout(after);
            requests.spawn(async move { try_to_send(request).await.ok() });
        }
        requests
    }
}

/// A client that waits this long for a whole answer.
pub(crate) fn http_client(timeout: Duration) -> reqwest::Client {
    // Tests of one program share the provider; the first one installs it.
    _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(timeout).build().expect("a client")
}

/// Sends a request, and takes the whole answer.
pub(crate) async fn send(request: reqwest::RequestBuilder) -> Received {
    try_to_send(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
}

/// Sends a request, which may be left without an answer.
pub(crate) async fn try_to_send(request: reqwest::RequestBuilder) -> reqwest::Result<Received> {
    let start = tokio::time::Instant::now();
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = response.text().await?;
    Ok(Received { status, headers, body, elapsed: start.elapsed() })
}

/// Callers that ask one message after the other until they are told to stop.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Vec<Received>>>,
}

impl Traffic {
    pub(crate) fn start(caller: &Caller, callers: usize) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let start = |_| {
            let (caller, stop) = (caller.clone(), stop.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    answers.push(caller.message().await);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                answers
            })
        };
        let callers = (0..callers).map(start).collect();
        Self { stop, callers }
    }

    /// All answers.
    pub(crate) async fn stop(self) -> Vec<Received> {
        self.stop.store(true, Ordering::SeqCst);
        let mut answers = Vec::new();
        for caller in self.callers {
            answers.extend(caller.await.expect("no panic"));
        }
        answers
    }
}

/// Sends these bytes on a connection of their own, and returns what comes back until it closes or falls silent.
pub(crate) async fn raw(gateway: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(gateway).await.expect("it listens");
    stream.write_all(request).await.expect("it reads");
    let mut answer = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    // The answer's end is not looked for: these requests ask for the connection to be closed.
    while let Ok(Ok(length @ 1..)) = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await {
        answer.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// A connection of HTTP/2, without TLS.
#[derive(Clone)]
pub(crate) struct Http2<B = Full<Bytes>>(hyper::client::conn::http2::SendRequest<B>);

impl<B> Http2<B>
where
    B: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(crate) async fn connect(gateway: SocketAddr) -> Self {
        let stream = TokioIo::new(TcpStream::connect(gateway).await.expect("it listens"));
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("it speaks HTTP/2");
        tokio::spawn(connection);
        Self(sender)
    }

    /// Sends a request, and takes the whole answer; an error if the stream is reset.
    pub(crate) async fn send(&self, request: http::Request<B>) -> hyper::Result<Received> {
        let start = tokio::time::Instant::now();
        let response = self.0.clone().send_request(request).await?;
        let (parts, body) = response.into_parts();
        let body = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
        Ok(Received { status: parts.status.as_u16(), headers: parts.headers, body, elapsed: start.elapsed() })
    }
}

/// A request for a message, for [`Http2`].
pub(crate) fn message_request(gateway: SocketAddr) -> http::request::Builder {
    let request = http::Request::post(format!("http://{gateway}/v1/messages"));
    request.header("anthropic-version", "2023-06-01").header("content-type", "application/json")
}

/// The body of such a request.
pub(crate) fn message_body() -> Full<Bytes> {
    let body = json!({ "model": "claude", "max_tokens": 8, "messages": [{ "role": "user", "content": "Say hello." }] });
    Full::new(Bytes::from(body.to_string()))
}
