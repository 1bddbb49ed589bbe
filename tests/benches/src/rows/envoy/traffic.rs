//! Clients and upstreams, as cheap as they can be: bytes that are always the same, on connections that stay open, all on one
//! thread. What they take, Envoy would not get.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::core::pin;
use crate::sampler::nanoseconds;

/// What the vendor's Python SDK sends for a short message. Its key is of no use, and is there because the SDK asks for one.
const HEAD: &str = "POST /v1/messages HTTP/1.1\r\n\
Host: api.anthropic.com\r\n\
Accept-Encoding: gzip, deflate\r\n\
Connection: keep-alive\r\n\
Accept: application/json\r\n\
Content-Type: application/json\r\n\
User-Agent: Anthropic/Python 0.116.0\r\n\
X-Stainless-Lang: python\r\n\
X-Stainless-Package-Version: 0.116.0\r\n\
X-Stainless-OS: Linux\r\n\
X-Stainless-Arch: x64\r\n\
X-Stainless-Runtime: CPython\r\n\
X-Stainless-Runtime-Version: 3.13.5\r\n\
X-Stainless-Async: false\r\n\
anthropic-version: 2023-06-01\r\n\
x-stainless-retry-count: 0\r\n\
x-stainless-timeout: 600\r\n\
X-Api-Key: none\r\n";
const BODY: &str =
    r#"{"max_tokens":64,"messages":[{"role":"user","content":"Name three rivers."}],"model":"claude-sonnet-4-5-20250929"}"#;

/// What the upstream answers where it saw a credential, and where it saw none.
pub(super) const SEEN: &str = r#"{"type":"message","role":"assistant","credential":"seen"}"#;
pub(super) const UNSEEN: &str = r#"{"type":"message","role":"assistant","credential":"none"}"#;

/// The value that stands for an access token wherever none is exchanged: as long as a real one.
pub(super) const STATIC_TOKEN: &str =
    "sk-ant-oat01-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The thread of clients and upstreams, with its event loop.
pub(super) struct Traffic(Runtime);

/// Connections to one listener.
pub(super) struct Clients(Vec<TcpStream>);

/// What clients saw in one round.
pub(super) struct Round {
    /// Nanoseconds of each request.
    pub(super) latencies: Vec<f64>,
    /// How long the round was, in nanoseconds.
    pub(super) lasted: f64,
}

impl Traffic {
    /// For this thread, which stays on the core that is not Envoy's.
    pub(super) fn new() -> anyhow::Result<Self> {
        pin(1);
        Ok(Self(tokio::runtime::Builder::new_current_thread().enable_all().build()?))
    }

    /// An upstream that says whether it saw a credential.
    pub(super) fn api(&self) -> anyhow::Result<SocketAddr> {
        self.listen([UNSEEN, SEEN].map(answer))
    }

    /// A token endpoint for clients that show a secret (RFC 6749 section 4.4).
    pub(super) fn client_credentials(&self) -> anyhow::Result<SocketAddr> {
        let token = answer(&format!(r#"{{"access_token":"{STATIC_TOKEN}","token_type":"bearer","expires_in":86400}}"#));
        self.listen([token.clone(), token])
    }

    /// A server that is asked for an authorization, and answers with a header.
    pub(super) fn authorizer(&self) -> anyhow::Result<SocketAddr> {
        let granted = format!("HTTP/1.1 200 OK\r\nauthorization: Bearer {STATIC_TOKEN}\r\ncontent-length: 0\r\n\r\n");
        self.listen([granted.clone(), granted])
    }

    /// Does this on the event loop.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }

    /// Answers requests without a credential with the first, and requests with one with the second.
    fn listen(&self, answers: [String; 2]) -> anyhow::Result<SocketAddr> {
        let listener = self.0.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let answers = Arc::new(answers);
        self.0.spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, Arc::clone(&answers)));
            }
        });
        Ok(address)
    }

    /// The body of the answer to one request.
    pub(super) fn ask(&self, listener: SocketAddr) -> anyhow::Result<String> {
        self.0.block_on(async {
            let mut connection = TcpStream::connect(listener).await?;
            connection.write_all(&request()).await?;
            let mut answer = Vec::new();
            let body = read_message(&mut connection, &mut answer).await?.context("the connection ended before the answer did")?;
            Ok(String::from_utf8_lossy(&answer[body]).into_owned())
        })
    }

    /// Does the upstreams' work for this long.
    pub(super) fn idle(&self, duration: Duration) {
        self.0.block_on(tokio::time::sleep(duration));
    }

    /// So many connections.
    pub(super) fn connect(&self, listener: SocketAddr, connections: usize) -> anyhow::Result<Clients> {
        self.0.block_on(async {
            let mut clients = Vec::with_capacity(connections);
            for _ in 0..connections {
                let connection = TcpStream::connect(listener).await?;
                connection.set_nodelay(true)?;
                clients.push(connection);
            }
            Ok(Clients(clients))
        })
    }

    /// Every client sends its next request as soon as it has the answer to the last, for this long.
    pub(super) fn round(&self, clients: &mut Clients, duration: Duration) -> anyhow::Result<Round> {
        let start = Instant::now();
        self.0.block_on(async {
            let sending = clients.0.drain(..).map(|connection| tokio::spawn(send(connection, start + duration)));
            let (mut latencies, mut connections) = (Vec::new(), Vec::new());
            for sending in sending.collect::<Vec<_>>() {
                let (connection, mut seen) = sending.await??;
                connections.push(connection);
                latencies.append(&mut seen);
            }
            clients.0 = connections;
            Ok(Round { latencies, lasted: nanoseconds(start.elapsed()) })
        })
    }
}

async fn send(mut connection: TcpStream, end: Instant) -> anyhow::Result<(TcpStream, Vec<f64>)> {
    let (request, mut latencies, mut answer) = (request(), Vec::with_capacity(4096), Vec::with_capacity(4096));
    loop {
        let start = Instant::now();
        connection.write_all(&request).await?;
        answer.clear();
        read_message(&mut connection, &mut answer).await?.context("the connection ended before the answer did")?;
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let now = Instant::now();
        latencies.push(nanoseconds(now - start));
        if now >= end {
            return Ok((connection, latencies));
        }
    }
}

async fn serve(mut connection: TcpStream, answers: Arc<[String; 2]>) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    let mut request = Vec::with_capacity(4096);
    while let Some(body) = read_message(&mut connection, &mut request).await? {
        let seen = position(&request[..body.start], b"authorization: Bearer sk-ant-oat01-").is_some();
        connection.write_all(answers[usize::from(seen)].as_bytes()).await?;
        request.clear();
    }
    Ok(())
}

/// Reads one message, and tells where its body is. One that is sent before the last was answered is none. `None`: the other side
/// has gone.
async fn read_message(connection: &mut TcpStream, message: &mut Vec<u8>) -> anyhow::Result<Option<Range<usize>>> {
    let mut whole = None;
    loop {
        if connection.read_buf(message).await? == 0 {
            ensure!(message.is_empty(), "the connection ended within a message");
            return Ok(None);
        }
        whole = whole.or_else(|| {
            let head = position(message, b"\r\n\r\n")? + 4;
            Some(head..head + length(&message[..head]))
        });
        if let Some(body) = whole.clone().filter(|body| message.len() >= body.end) {
            return Ok(Some(body));
        }
    }
}

/// The length of the body, as Envoy writes it.
fn length(head: &[u8]) -> usize {
    let field = b"content-length: ";
    let digits = position(head, field).map_or(&b""[..], |at| &head[at + field.len()..]);
    digits.iter().take_while(|byte| byte.is_ascii_digit()).fold(0, |length, digit| length * 10 + usize::from(digit - b'0'))
}

fn position(bytes: &[u8], of: &[u8]) -> Option<usize> {
    bytes.windows(of.len()).position(|window| window == of)
}

fn request() -> Vec<u8> {
    format!("{HEAD}content-length: {}\r\n\r\n{BODY}", BODY.len()).into_bytes()
}

fn answer(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_01\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_message_is_found() {
        let request = request();
        let head = position(&request, b"\r\n\r\n").unwrap() + 4;
        assert_eq!(head + length(&request[..head]), request.len());
    }
}
