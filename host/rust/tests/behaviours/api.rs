//! An API and its token endpoint on one origin, which keeps what it was sent as it came over the wire; and clients of it.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wif::layer::{Body, CredentialLayer};
use wif::{Builder, Credential, Policy};

use crate::support::{Reply, START_MS, TestClock, configuration, identity_token};

/// The path of requests that are answered before their bodies are read.
pub const EARLY: &str = "/early";

/// The nth access token.
pub fn token(count: u32) -> String {
    format!("sk-ant-oat01-{count}")
}

pub struct Api {
    pub origin: String,
    pub clock: TestClock,
    exchanges: Arc<AtomicU32>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Api {
    /// Exchanges always, and answers 200.
    pub async fn start() -> Self {
        Self::answering(|_, _| Reply::with(200, "{}")).await
    }

    /// Exchanges always, and answers as the function says, to a request and its number.
    pub async fn answering(answer: impl Fn(u32, &str) -> Reply + Send + Sync + 'static) -> Self {
        Self::exchanging(|count| Reply::token(&token(count), 3600), answer).await
    }

    pub async fn exchanging(
        exchange: impl Fn(u32) -> Reply + Send + Sync + 'static,
        answer: impl Fn(u32, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (exchanges, seen) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counter, log) = (Arc::clone(&exchanges), Arc::clone(&seen));
        let (exchange, answer) = (Arc::new(exchange), Arc::new(answer));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (counter, log) = (Arc::clone(&counter), Arc::clone(&log));
                let (exchange, answer) = (Arc::clone(&exchange), Arc::clone(&answer));
                tokio::spawn(async move {
                    let Some(request) = read_request(&mut stream).await else { return };
                    let reply = if request.starts_with("POST /v1/oauth/token ") {
                        exchange(counter.fetch_add(1, Ordering::SeqCst) + 1)
                    } else {
                        let count = {
                            let mut log = log.lock().unwrap();
                            log.push(request.clone());
                            log.len()
                        };
                        answer(u32::try_from(count).unwrap(), &request)
                    };
                    write_reply(&mut stream, reply).await;
                });
            }
        });
        Self { origin, clock: TestClock::new(), exchanges, seen }
    }

    /// A credential whose identity tokens are minted for each exchange.
    pub fn builder(&self) -> Builder {
        let source = r#"{"source":"callable","name":"minted","freshness":"minted"}"#;
        let minted = Arc::new(AtomicU32::new(0));
        Credential::builder()
            .configuration(configuration(&self.origin, source))
            .policy(Policy::default().allow_origin(&self.origin).unwrap())
            .clock(self.clock.clone())
            .seed(1)
            .identity_token("minted", move |_| {
                let count = minted.fetch_add(1, Ordering::SeqCst);
                async move { Ok(identity_token(&count.to_string(), START_MS / 1000, 3600).into()) }
            })
    }

    /// The layer, whose credential has a token that may be replaced at once.
    pub async fn layer(&self) -> CredentialLayer {
        let credential = self.builder().build().unwrap();
        credential.token().await.unwrap();
        self.clock.jump(Duration::from_secs(10));
        CredentialLayer::new(credential)
    }

    pub fn exchanges(&self) -> u32 {
        self.exchanges.load(Ordering::SeqCst)
    }

    /// The requests to the API, as they came over the wire. None of them is to the token endpoint.
    pub fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// The only one.
    pub fn request(&self) -> String {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let chunked = head.contains("\r\ntransfer-encoding: chunked");
        let whole = if chunked { body.ends_with("\r\n\r\n") } else { body.len() >= length.unwrap_or(0) };
        if whole || head.contains(EARLY) {
            return Some(text);
        }
    }
}

async fn write_reply(stream: &mut TcpStream, reply: Reply) {
    if let Some(gate) = &reply.after {
        gate.notified().await;
    }
    let mut text = format!("HTTP/1.1 {} X\r\nconnection: close\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let _ = stream.write_all(format!("{text}\r\n{}", reply.body).as_bytes()).await;
    let _ = stream.shutdown().await;
    // Until the client has read it: a socket that is closed with bytes unread is reset.
    let _ = tokio::time::timeout(Duration::from_secs(1), tokio::io::copy(stream, &mut tokio::io::sink())).await;
}

/// The values of a field in a request as it came over the wire.
pub fn fields<'a>(request: &'a str, name: &str) -> Vec<&'a str> {
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    let field = |line: &'a str| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then_some(value.trim())
    };
    head.lines().skip(1).filter_map(field).collect()
}

pub type HttpClient<B> = Client<HttpConnector, Body<B>>;

/// A client without TLS, of HTTP/1.1.
pub fn client<B>() -> HttpClient<B>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Client::builder(TokioExecutor::new()).build_http()
}

pub fn post(uri: impl AsRef<str>) -> http::request::Builder {
    http::Request::post(uri.as_ref())
}

pub fn body(text: &'static str) -> Full<Bytes> {
    Full::from(text)
}

pub async fn text<B: http_body::Body<Data = Bytes>>(response: http::Response<B>) -> String
where
    B::Error: std::fmt::Debug,
{
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// An inner service that keeps the head of each request, and goes nowhere.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<Vec<http::request::Parts>>>);

impl Recorder {
    pub fn last(&self) -> http::request::Parts {
        self.0.lock().unwrap().last().cloned().unwrap()
    }

    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}

impl<B> tower::Service<http::Request<B>> for Recorder {
    type Response = http::Response<String>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<http::Response<String>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        self.0.lock().unwrap().push(request.into_parts().0);
        std::future::ready(Ok(http::Response::new(String::new())))
    }
}
