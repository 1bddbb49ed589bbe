//! An upstream that keeps what reaches it: every byte of HTTP/1.1, every field and frame of HTTP/2.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use wif_test_cases::requests::{Sent, value};

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Answers 200 to everything, once it has all of it; by HTTP/1.1 to what asks for `/redirect` that it is elsewhere, and to what has
/// the field [`ANSWER`] what that says.
pub(crate) struct Capture {
    address: SocketAddr,
    connections: Connections,
    task: JoinHandle<()>,
}

/// A status, and then fields as `name=value`, with spaces between them.
pub(crate) const ANSWER: &str = "x-answer";

/// What each connection of HTTP/1.1, and each stream of HTTP/2, has received. Of the latter the fields are written down as the
/// former would have them.
type Connections = Arc<Mutex<Vec<Vec<u8>>>>;

/// A request as it arrived: its head, its body and its trailers.
#[derive(Debug, Clone)]
pub(crate) struct Seen(pub(crate) String);

impl Capture {
    pub(crate) async fn start(protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let connections = Connections::default();
        let seen = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let connection = {
                    let mut connections = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    connections.push(Vec::new());
                    connections.len() - 1
                };
                let seen = seen.clone();
                match protocol {
                    Protocol::Http1 => tokio::spawn(http_1(stream, seen, connection)),
                    Protocol::Http2 => tokio::spawn(http_2(stream, seen)),
                };
            }
        });
        Self { address, connections, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything that arrived until now, whole or not.
    pub(crate) fn text(&self) -> String {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }

    /// The same, as cases have them: each character of a value is one byte.
    pub(crate) fn sent(&self) -> Vec<Sent> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        connections.iter().flat_map(|bytes| split(bytes)).map(sent).collect()
    }

    /// The requests that arrived whole until now.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        let connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = connections.iter().flat_map(|bytes| split(bytes));
        whole.map(|request| Seen(String::from_utf8_lossy(request).into_owned())).collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    /// The values of the fields of this name, in the head and in the trailers.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.0.split("\r\n").filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }
}

async fn http_1(mut stream: TcpStream, seen: Connections, connection: usize) {
    let mut buffer = vec![0; 64 * 1024];
    let mut answered = 0;
    loop {
        let Ok(length @ 1..) = stream.read(&mut buffer).await else { return };
        let (whole, newest) = {
            let mut connections = seen.lock().unwrap_or_else(PoisonError::into_inner);
            connections[connection].extend_from_slice(&buffer[..length]);
            let requests = split(&connections[connection]);
            (requests.len(), requests.last().map(|request| request.to_vec()).unwrap_or_default())
        };
        while answered < whole {
            answered += 1;
            let answer = match newest.split(|byte| *byte == b' ').nth(1) {
                Some(b"/redirect") => {
                    "HTTP/1.1 302 Found\r\nlocation: http://gateway/elsewhere\r\ncontent-length: 0\r\n\r\n".to_owned()
                }
                _ => answer_to(&sent(&newest)),
            };
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

async fn http_2(stream: TcpStream, seen: Connections) {
    let service = service_fn(move |request: Request<Incoming>| {
        let seen = seen.clone();
        async move {
            let (parts, mut body) = request.into_parts();
            // Requests of one connection arrive at the same time, and each is written down apart.
            let stream = {
                let mut streams = seen.lock().unwrap_or_else(PoisonError::into_inner);
                streams.push(Vec::new());
                streams.len() - 1
            };
            let add = |text: &str| {
                let mut streams = seen.lock().unwrap_or_else(PoisonError::into_inner);
                streams[stream].extend_from_slice(text.as_bytes());
            };
            let fields = |fields: &http::HeaderMap| {
                let lines =
                    fields.iter().map(|(name, value)| format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
                lines.collect::<String>()
            };
            // The length is not HTTP/2's way of telling the end, so chunks stand for frames.
            let mut headers = parts.headers;
            headers.remove("content-length");
            add(&format!("{} {} HTTP/2\r\n{}transfer-encoding: chunked\r\n\r\n", parts.method, parts.uri, fields(&headers)));
            while let Some(Ok(frame)) = body.frame().await {
                match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => add(&format!("{:x}\r\n{}\r\n", data.len(), String::from_utf8_lossy(&data))),
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            add(&format!("0\r\n{}\r\n", fields(&trailers)));
                            return Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("{}"))));
                        }
                    }
                }
            }
            add("0\r\n\r\n");
            Ok(Response::new(Full::new(Bytes::from("{}"))))
        }
    });
    _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// What a request asks for, or 200.
fn answer_to(request: &Sent) -> String {
    let asked = request.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(ANSWER));
    let mut words = asked.map_or("200", |(_, asked)| asked).split(' ');
    let status = words.next().unwrap_or_default();
    let fields: String =
        words.filter_map(|word| word.split_once('=')).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("HTTP/1.1 {status} X\r\n{fields}content-length: 2\r\n\r\n{{}}")
}

fn sent(request: &[u8]) -> Sent {
    let text = value(request);
    let (head, rest) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let fields = |lines: &str| {
        let pairs = lines.split("\r\n").filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name.to_owned(), value.trim_matches(' ').to_owned())).collect()
    };
    let (line, lines) = head.split_once("\r\n").unwrap_or((head, ""));
    // Trailers stand behind the last chunk.
    let trailers = rest.rsplit_once("0\r\n").map_or("", |(_, trailers)| trailers);
    Sent { url: line.split(' ').nth(1).unwrap_or_default().to_owned(), fields: fields(lines), trailers: fields(trailers) }
}

/// The whole requests at the beginning of these bytes.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut requests = Vec::new();
    let mut rest = bytes;
    while let Some(end) = end_of_request(rest) {
        let (request, more) = rest.split_at(end);
        requests.push(request);
        rest = more;
    }
    requests
}

fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let body = find(bytes, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..body]).to_ascii_lowercase();
    let value = |name: &str| head.split("\r\n").filter_map(|line| line.split_once(':')).find(|field| field.0 == name);
    if value("transfer-encoding").is_some() {
        let mut at = body;
        loop {
            let line = at + find(&bytes[at..], b"\r\n")?;
            let size = std::str::from_utf8(&bytes[at..line]).ok().and_then(|size| usize::from_str_radix(size.trim(), 16).ok())?;
            if size == 0 {
                // Trailers, if there are any, and an empty line.
                return Some(line + find(&bytes[line..], b"\r\n\r\n")? + 4);
            }
            at = line + 2 + size + 2;
            bytes.get(at..)?;
        }
    }
    let length = value("content-length").and_then(|(_, length)| length.trim().parse().ok()).unwrap_or(0);
    (bytes.len() >= body + length).then_some(body + length)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
