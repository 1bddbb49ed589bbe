//! What people use without a filter of their own: a process on the same machine that Envoy asks for each request. This one answers
//! with the same header each time, and does nothing else.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use super::process::processor_time;
use super::traffic::{STATIC_TOKEN, Traffic};

/// What this program is called with to be that process.
pub(crate) const AUTHORIZER: &str = "child-authorizer";

/// The process. It is killed when this is dropped.
pub(super) struct Authorizer {
    process: Child,
    /// Where it is asked by HTTP: Envoy's `ext_authz`.
    pub(super) by_http: SocketAddr,
    /// Where it is asked by gRPC: Envoy's `ext_proc`.
    pub(super) by_grpc: SocketAddr,
}

impl Authorizer {
    /// Starts it. It shares its core with clients and upstreams.
    pub(super) fn start() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(AUTHORIZER).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("it is piped")?).read_line(&mut line)?;
        let (by_http, by_grpc) = line.trim().split_once(' ').context("the process does not say where it is")?;
        Ok(Self { process, by_http: by_http.parse()?, by_grpc: by_grpc.parse()? })
    }

    /// The time that all of its threads ran, in nanoseconds.
    pub(super) fn processor_time(&self) -> anyhow::Result<f64> {
        processor_time(self.process.id())
    }
}

impl Drop for Authorizer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Inside the process.
pub(crate) fn child() -> anyhow::Result<()> {
    let traffic = Traffic::new()?;
    let by_http = traffic.authorizer()?;
    traffic.block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{by_http} {}", listener.local_addr()?);
        std::io::stdout().flush()?;
        loop {
            let (connection, _) = listener.accept().await?;
            connection.set_nodelay(true)?;
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(server.serve_connection(TokioIo::new(connection), service_fn(process)));
        }
    })
}

/// A stream of `envoy.service.ext_proc.v3.ExternalProcessor/Process`: one message, the request's header, and one answer.
async fn process(
    mut request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    // What it says does not matter.
    let _ = request.body_mut().frame().await;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(answer()).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    Ok(response)
}

/// A `ProcessingResponse` that sets `authorization`, as a message of gRPC.
fn answer() -> Bytes {
    let value = format!("Bearer {STATIC_TOKEN}");
    let header = [field(1, b"authorization"), field(3, value.as_bytes())].concat();
    let mutation = field(1, &field(1, &header));
    let message = field(1, &field(1, &field(2, &mutation)));
    let length = u32::try_from(message.len()).unwrap_or_default().to_be_bytes();
    Bytes::from([&[0][..], &length, &message].concat())
}

/// A field of Protocol Buffers that has a length.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = value.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(value);
    bytes
}
