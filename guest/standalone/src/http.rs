//! One request to the token endpoint: sent once, and told apart by whether a byte of it may have left.

use wasi::http::outgoing_handler;
use wasi::http::types::{
    self, FutureIncomingResponse, IncomingBody, IncomingResponse, OutgoingBody, OutgoingRequest as Outgoing,
};
use wasi::io::poll::Pollable;
use wasi::io::streams::{InputStream, OutputStream, StreamError};
use wif_engine::Secret;
use wif_engine::contract::{HttpRequest, Outcome, Response};
use wif_wasi::clock::{Instant, NANOS_PER_MS};
use wif_wasi::http;
use zeroize::Zeroizing;

wif_wasi::outcome_of_errors!(types);
wif_wasi::wire!(types, OutgoingRequest);

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
        let outgoing = Outgoing::new(fields(&request)?);
        address(&outgoing, &request)?;
        let unfit = |()| Outcome::Unsent("the host gives the request no body".to_owned());
        let body = outgoing.body().map_err(unfit)?;
        let stream = body.write().map_err(unfit)?;
        let response = outgoing_handler::handle(outgoing, Some(options(timeout))).map_err(|code| outcome_of(&code))?;
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
        http::response(self.response.status(), |name| fields.get(name), &self.content)
    }
}
