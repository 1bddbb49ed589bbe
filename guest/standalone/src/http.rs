//! One request to the token endpoint: sent once, and told apart by whether a byte of it may have left.

mod errors;

use wasi::http::outgoing_handler;
#[cfg(test)]
use wasi::http::types::{DnsErrorPayload, TlsAlertReceivedPayload};
use wasi::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, HeaderError, IncomingBody, IncomingResponse, Method, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};
use wasi::io::poll::Pollable;
use wasi::io::streams::{InputStream, OutputStream, StreamError};
use wif_engine::Secret;
use wif_engine::contract::{Header, HttpRequest, Outcome, Response};
use zeroize::Zeroizing;

use crate::clock::{Instant, NANOS_PER_MS};
use errors::outcome_of;

/// A connection that takes longer is not made; then nothing was sent, which is worth knowing. In nanoseconds.
const CONNECT_TIMEOUT: u64 = 10_000 * NANOS_PER_MS;

/// What the engine learns of an answer's header. Others are of no use to it.
const PASSED_ON: [&str; 5] = ["request-id", "retry-after", "date", "content-type", "location"];

/// How many bytes are asked for at once.
const CHUNK: u64 = 16 * 1024;

/// A request that is under way. It goes on in the host between calls, and is looked at when there is one.
pub(crate) struct Exchange {
    stage: Stage,
    deadline: Instant,
    timeout_ms: u32,
    max_response_bytes: usize,
}

/// How far it is.
enum Stage {
    Sending(Upload),
    Waiting(FutureIncomingResponse),
    Receiving(Download),
}

// WASI wants children dropped before their parents: streams stand before the bodies that they belong to.

struct Upload {
    stream: OutputStream,
    body: OutgoingBody,
    content: Secret,
    written: usize,
    response: FutureIncomingResponse,
}

struct Download {
    stream: InputStream,
    _body: IncomingBody,
    response: IncomingResponse,
    content: Zeroizing<Vec<u8>>,
}

/// What a look at one stage brought.
enum Progress {
    /// Nothing; look again when its pollable is ready.
    Blocked(Stage),
    /// The next stage.
    Onward(Stage),
    Ended(Outcome),
}

impl Exchange {
    /// Hands the request to the host. The error is the task's outcome: nothing was sent.
    pub(crate) fn start(request: HttpRequest, now: Instant) -> Result<Self, Outcome> {
        let timeout = u64::from(request.timeout_ms) * NANOS_PER_MS;
        let (outgoing, options) = (outgoing(&request)?, options(timeout));
        let unfit = |()| Outcome::Unsent("the host gives the request no body".to_owned());
        let body = outgoing.body().map_err(unfit)?;
        let stream = body.write().map_err(unfit)?;
        let response = outgoing_handler::handle(outgoing, Some(options)).map_err(|code| outcome_of(&code))?;
        Ok(Self {
            stage: Stage::Sending(Upload { stream, body, content: request.body, written: 0, response }),
            deadline: now.saturating_add(timeout),
            timeout_ms: request.timeout_ms,
            max_response_bytes: request.max_response_bytes as usize,
        })
    }

    /// Goes as far as it can without waiting. What has arrived counts, even if it is looked at after the deadline.
    pub(crate) fn look(self, now: Instant) -> Result<Outcome, Self> {
        let mut stage = self.stage;
        loop {
            // Asked first, because hosts may take note of what has arrived only when they are asked for it.
            let progress =
                if stage.subscribe().ready() { stage.advance(self.max_response_bytes) } else { Progress::Blocked(stage) };
            stage = match progress {
                Progress::Onward(next) => next,
                Progress::Ended(outcome) => return Ok(outcome),
                Progress::Blocked(_) if now >= self.deadline => {
                    return Ok(Outcome::MaybeSent(format!("no complete answer within {} ms", self.timeout_ms)));
                }
                Progress::Blocked(stage) => return Err(Self { stage, ..self }),
            };
        }
    }

    /// When it is over, whatever happens.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Ready when another look is worth it.
    pub(crate) fn subscribe(&self) -> Pollable {
        self.stage.subscribe()
    }
}

impl Stage {
    fn subscribe(&self) -> Pollable {
        match self {
            Self::Sending(upload) => upload.stream.subscribe(),
            Self::Waiting(response) => response.subscribe(),
            Self::Receiving(download) => download.stream.subscribe(),
        }
    }

    fn advance(self, max_response_bytes: usize) -> Progress {
        match self {
            Self::Sending(upload) => upload.advance(),
            Self::Waiting(response) => match response.get() {
                None => Progress::Blocked(Self::Waiting(response)),
                Some(Ok(Ok(response))) => Download::begin(response),
                Some(Ok(Err(code))) => Progress::Ended(outcome_of(&code)),
                Some(Err(())) => Progress::Ended(Outcome::MaybeSent("the host gave the answer away".to_owned())),
            },
            Self::Receiving(download) => download.advance(max_response_bytes),
        }
    }
}

impl Upload {
    fn advance(mut self) -> Progress {
        let content = self.content.reveal().as_bytes();
        let left = &content[self.written..];
        match self.stream.check_write() {
            Ok(0) => Progress::Blocked(Stage::Sending(self)),
            // All that was written is flushed.
            Ok(_) if left.is_empty() => self.finish(),
            Ok(room) => {
                let length = left.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                let written = self.stream.write(&left[..length]).and_then(|()| self.stream.flush());
                self.written += length;
                if written.is_ok() { Progress::Onward(Stage::Sending(self)) } else { self.finish() }
            }
            // The host takes no more: it has all, or the answer tells why not.
            Err(_) => self.finish(),
        }
    }

    fn finish(self) -> Progress {
        let Self { stream, body, content, written, response } = self;
        drop(stream);
        if written == content.reveal().len() {
            // Fails when fewer or more bytes were written than announced, which the answer will tell, too.
            let _ = OutgoingBody::finish(body, None);
        }
        Progress::Onward(Stage::Waiting(response))
    }
}

impl Download {
    fn begin(response: IncomingResponse) -> Progress {
        let opened = response.consume().and_then(|body| Ok((body.stream()?, body)));
        match opened {
            Ok((stream, body)) => {
                Progress::Onward(Stage::Receiving(Self { stream, _body: body, response, content: Zeroizing::default() }))
            }
            Err(()) => Progress::Ended(Outcome::MaybeSent("the host shows no body of the answer".to_owned())),
        }
    }

    fn advance(mut self, max_response_bytes: usize) -> Progress {
        match self.stream.read(CHUNK) {
            Ok(bytes) if bytes.is_empty() => Progress::Blocked(Stage::Receiving(self)),
            Ok(bytes) => {
                let bytes = Zeroizing::new(bytes);
                if self.content.len() + bytes.len() > max_response_bytes {
                    let text = format!("the answer is longer than {max_response_bytes} bytes");
                    return Progress::Ended(Outcome::MaybeSent(text));
                }
                self.content.extend_from_slice(&bytes);
                Progress::Onward(Stage::Receiving(self))
            }
            Err(StreamError::Closed) => Progress::Ended(Outcome::Response(self.complete())),
            Err(StreamError::LastOperationFailed(_)) => {
                Progress::Ended(Outcome::MaybeSent("the connection ended within the answer".to_owned()))
            }
        }
    }

    fn complete(self) -> Response {
        let fields = self.response.headers();
        let field = |name: &&str| {
            let value = String::from_utf8(fields.get(name).into_iter().next()?).ok()?;
            Some(Header { name: (*name).to_owned(), value: value.into() })
        };
        Response {
            status: self.response.status(),
            headers: PASSED_ON.iter().filter_map(field).collect(),
            body: Secret::from(String::from_utf8_lossy(&self.content).into_owned()),
        }
    }
}

fn outgoing(request: &HttpRequest) -> Result<OutgoingRequest, Outcome> {
    let headers: Zeroizing<Vec<(String, Vec<u8>)>> = request
        .headers
        .iter()
        .map(|header| (header.name.clone(), header.value.reveal().as_bytes().to_vec()))
        .collect::<Vec<_>>()
        .into();
    let headers = Fields::from_list(&headers).map_err(|error| match error {
        HeaderError::Forbidden => Outcome::Denied("the host forbids a header of the request".to_owned()),
        _ => Outcome::Unsent("the host takes a header of the request for malformed".to_owned()),
    })?;
    // Otherwise it goes out in chunks, which not every endpoint accepts. Some hosts insist on setting it themselves.
    let length = request.body.reveal().len().to_string().into_bytes();
    let _ = headers.append("content-length", &length);

    let outgoing = OutgoingRequest::new(headers);
    let parts = parts(&request.url).ok_or_else(|| Outcome::Unsent("the URL cannot be read".to_owned()))?;
    let method = if request.method == "POST" { Method::Post } else { Method::Other(request.method.clone()) };
    outgoing
        .set_method(&method)
        .and_then(|()| outgoing.set_scheme(Some(&parts.scheme)))
        .and_then(|()| outgoing.set_authority(Some(parts.authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(parts.path)))
        .map_err(|()| Outcome::Unsent("the host takes the URL for malformed".to_owned()))?;
    Ok(outgoing)
}

/// Limits for the host, which may know no such thing; the whole exchange's is kept here.
fn options(timeout: u64) -> RequestOptions {
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(timeout.min(CONNECT_TIMEOUT)));
    let _ = options.set_first_byte_timeout(Some(timeout));
    let _ = options.set_between_bytes_timeout(Some(timeout));
    options
}

/// The parts of an absolute URL.
struct Parts<'a> {
    scheme: Scheme,
    authority: &'a str,
    path: &'a str,
}

/// Takes a URL apart that the engine has put together: it has no user information and no fragment.
fn parts(url: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find('/')?);
    Some(Parts { scheme, authority, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let found = parts("https://gateway.example:8443/base/v1/oauth/token").unwrap();
        assert!(matches!(found.scheme, Scheme::Https));
        assert_eq!((found.authority, found.path), ("gateway.example:8443", "/base/v1/oauth/token"));
        let found = parts("http://[::1]:80/v1").unwrap();
        assert!(matches!(found.scheme, Scheme::Http));
        assert_eq!((found.authority, found.path), ("[::1]:80", "/v1"));
        assert!(parts("ftp://host/").is_none());
    }
}
