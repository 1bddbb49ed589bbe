//! Bodies of requests: without credentials in their trailers, and remembered while they may have to be sent again.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::token::strip;

pin_project! {
    /// The body of a request as the inner service gets it: the caller's, as it comes, without credentials in its trailers.
    ///
    /// A client that takes one type of body only gets that with its own `Body::wrap` or `Body::new`.
    pub struct Body<B> {
        #[pin]
        source: Source<B>,
    }
}

pin_project! {
    #[project = Projected]
    enum Source<B> {
        // To another origin: untouched.
        Passing { #[pin] body: B },
        Recording { #[pin] body: B, tape: Arc<Tape> },
        Replaying { recorded: Recorded },
    }
}

impl<B: http_body::Body<Data = Bytes>> Body<B> {
    pub(super) fn passing(body: B) -> Self {
        Self { source: Source::Passing { body } }
    }

    /// Remembers the body, if it has no more than `limit` bytes. With a `length` it is whole when that has been sent, for then
    /// nobody asks whether more comes.
    pub(super) fn recording(body: B, length: Option<u64>, limit: usize) -> (Self, Arc<Tape>) {
        let stage = if body.is_end_stream() { Stage::Whole } else { Stage::Running };
        let tape = Arc::new(Tape(Mutex::new(Recording { recorded: Recorded::default(), length, sent: 0, left: limit, stage })));
        (Self { source: Source::Recording { body, tape: Arc::clone(&tape) } }, tape)
    }

    pub(super) fn replaying(recorded: Recorded) -> Self {
        Self { source: Source::Replaying { recorded } }
    }
}

impl<B: http_body::Body<Data = Bytes>> http_body::Body for Body<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().source.project() {
            Projected::Passing { body } => body.poll_frame(context),
            Projected::Recording { mut body, tape } => {
                let next = ready!(body.as_mut().poll_frame(context));
                let Some(Ok(frame)) = next else {
                    tape.end(next.is_none());
                    return Poll::Ready(next);
                };
                let frame = tape.record(frame);
                if frame.is_none() || body.is_end_stream() {
                    tape.end(true);
                }
                Poll::Ready(frame.map(Ok))
            }
            Projected::Replaying { recorded } => {
                let data = recorded.data.pop_front().map(Frame::data);
                Poll::Ready(data.or_else(|| recorded.trailers.take().map(Frame::trailers)).map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Passing { body } | Source::Recording { body, .. } => body.is_end_stream(),
            Source::Replaying { recorded } => recorded.data.is_empty() && recorded.trailers.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Passing { body } | Source::Recording { body, .. } => body.size_hint(),
            // A length that is known leaves no place for trailers in HTTP/1.1.
            Source::Replaying { recorded } if recorded.trailers.is_some() => SizeHint::default(),
            Source::Replaying { recorded } => {
                SizeHint::with_exact(recorded.data.iter().map(|data| u64::try_from(data.len()).unwrap_or(u64::MAX)).sum())
            }
        }
    }
}

impl<B> fmt::Debug for Body<B> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Body").finish_non_exhaustive()
    }
}

/// What a piece of a body takes beside its bytes.
const PIECE: usize = 64;
/// Pieces of less than this, in bytes, are copied.
const SMALL: usize = 4096;

/// What was sent of a body. Shared with the connection that sends it.
pub(super) struct Tape(Mutex<Recording>);

struct Recording {
    recorded: Recorded,
    /// So many bytes it is to have, if that was said.
    length: Option<u64>,
    sent: u64,
    /// So many bytes more may come.
    left: usize,
    stage: Stage,
}

#[derive(Default)]
pub(super) struct Recorded {
    data: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Running,
    Whole,
    /// Too long, broken, or of no use any more.
    Stopped,
}

impl Tape {
    /// The whole body, if all of it has been sent and remembered. Nothing is remembered from here on.
    pub(super) fn take(&self) -> Option<Recorded> {
        let mut recording = self.lock();
        let all_sent = recording.stage == Stage::Running && recording.length == Some(recording.sent);
        let whole = recording.stage == Stage::Whole || all_sent;
        recording.stage = Stage::Stopped;
        let recorded = std::mem::take(&mut recording.recorded);
        whole.then_some(recorded)
    }

    /// The frame as it is sent: none instead of trailers that were credentials and nothing else.
    fn record(&self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let frame = match frame.into_data() {
            Ok(data) => {
                self.record_data(&data);
                return Some(Frame::data(data));
            }
            Err(frame) => frame,
        };
        match frame.into_trailers() {
            Ok(mut trailers) => {
                strip(&mut trailers);
                if trailers.is_empty() {
                    return None;
                }
                let mut recording = self.lock();
                if recording.stage == Stage::Running {
                    recording.recorded.trailers = Some(trailers.clone());
                    recording.stage = Stage::Whole;
                }
                Some(Frame::trailers(trailers))
            }
            Err(frame) => {
                self.end(false);
                Some(frame)
            }
        }
    }

    fn record_data(&self, data: &Bytes) {
        if data.is_empty() {
            return;
        }
        let mut recording = self.lock();
        recording.sent = recording.sent.saturating_add(data.len() as u64);
        let overhead = if recording.recorded.data.is_empty() { 0 } else { PIECE };
        match recording.left.checked_sub(data.len() + overhead) {
            Some(left) if recording.stage == Stage::Running => {
                recording.left = left;
                // A small piece would keep the whole buffer that it was read into.
                let piece = if data.len() < SMALL { Bytes::copy_from_slice(data) } else { data.clone() };
                recording.recorded.data.push_back(piece);
            }
            _ => {
                recording.stage = Stage::Stopped;
                recording.recorded = Recorded::default();
            }
        }
    }

    fn end(&self, whole: bool) {
        let mut recording = self.lock();
        match recording.stage {
            Stage::Running if whole => recording.stage = Stage::Whole,
            Stage::Whole if whole => {}
            _ => {
                recording.stage = Stage::Stopped;
                recording.recorded = Recorded::default();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        // Nothing panics under it, and what is there stays consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
