//! The body of a request, handed on while it comes and remembered in case that it must be sent again.

use std::cell::RefCell;
use std::rc::Rc;

use wit_bindgen::{FutureReader, StreamReader, StreamResult};

use crate::bindings::wasi::http::types::{ErrorCode, Fields, Trailers};
use crate::bindings::{wit_future, wit_stream};
use crate::fields;

/// So many bytes of a body are remembered.
const REPLAY_UP_TO: usize = 1024 * 1024;

/// How many bytes are asked for at once.
const CHUNK: usize = 64 * 1024;

/// What tells of trailers, or that the body broke off.
pub(crate) type TrailersReader = FutureReader<Result<Option<Trailers>, ErrorCode>>;

/// What was sent.
#[derive(Default)]
struct Recording {
    content: Vec<u8>,
    /// Longer than is remembered, or broken off.
    lost: bool,
    content_ended: bool,
    /// Known when the body has ended: with it they are complete.
    trailers: Option<Vec<(String, Vec<u8>)>>,
}

/// Remembers what was sent.
#[derive(Clone, Default)]
pub(crate) struct Tape(Rc<RefCell<Recording>>);

/// A body that can be sent again.
pub(crate) struct Whole {
    content: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
}

impl Tape {
    /// The body, if all of it was sent and remembered.
    pub(crate) fn whole(&self) -> Option<Whole> {
        let mut recording = self.0.borrow_mut();
        if recording.lost || !recording.content_ended {
            return None;
        }
        let trailers = recording.trailers.take()?;
        Some(Whole { content: std::mem::take(&mut recording.content), trailers })
    }

    fn record(&self, chunk: &[u8]) {
        let mut recording = self.0.borrow_mut();
        if recording.lost || recording.content.len() + chunk.len() > REPLAY_UP_TO {
            self.lose(&mut recording);
        } else {
            recording.content.extend_from_slice(chunk);
        }
    }

    fn lose(&self, recording: &mut Recording) {
        recording.lost = true;
        recording.content = Vec::new();
    }
}

impl Whole {
    /// The body once more.
    pub(crate) fn again(self) -> (Option<StreamReader<u8>>, TrailersReader) {
        let Self { content, trailers } = self;
        (stream_of(content), future_of((!trailers.is_empty()).then_some(trailers)))
    }
}

/// A body that has not been handed on yet.
pub(crate) struct Content {
    first: Option<Vec<u8>>,
    /// None where there is no body.
    rest: Option<StreamReader<u8>>,
}

impl Content {
    pub(crate) fn of(from: StreamReader<u8>) -> Self {
        Self { first: None, rest: Some(from) }
    }

    /// Waits for its first bytes, which alone tell whether there is a body.
    pub(crate) async fn if_any(mut from: StreamReader<u8>) -> Self {
        let first = next(&mut from).await;
        Self { rest: first.is_some().then_some(from), first }
    }

    /// Hands it on while it comes.
    pub(crate) fn hand_on(self, tape: &Tape) -> Option<StreamReader<u8>> {
        let Self { first, rest } = self;
        let Some(mut rest) = rest else {
            tape.0.borrow_mut().content_ended = true;
            return None;
        };
        let (mut writer, reader) = wit_stream::new();
        let tape = tape.clone();
        wit_bindgen::spawn_local(async move {
            let mut chunk = match first {
                Some(first) => Some(first),
                None => next(&mut rest).await,
            };
            while let Some(bytes) = chunk {
                tape.record(&bytes);
                if !writer.write_all(bytes).await.is_empty() {
                    // The host takes no more.
                    tape.lose(&mut tape.0.borrow_mut());
                    return;
                }
                chunk = next(&mut rest).await;
            }
            tape.0.borrow_mut().content_ended = true;
        });
        Some(reader)
    }
}

/// Hands the body of an answer on. To give the host its own stream back would be cheaper, but hosts that know it again (wasmtime
/// 48) take its own trailers with it, in place of those that are handed on.
pub(crate) fn hand_back(mut from: StreamReader<u8>) -> StreamReader<u8> {
    let (mut writer, reader) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        while let Some(bytes) = next(&mut from).await {
            if !writer.write_all(bytes).await.is_empty() {
                return;
            }
        }
    });
    reader
}

async fn next(from: &mut StreamReader<u8>) -> Option<Vec<u8>> {
    loop {
        let (status, bytes) = from.read(Vec::with_capacity(CHUNK)).await;
        match status {
            _ if !bytes.is_empty() => return Some(bytes),
            StreamResult::Complete(_) => {}
            StreamResult::Dropped | StreamResult::Cancelled => return None,
        }
    }
}

/// Hands the trailers of a request on, without the application's own credential.
pub(crate) fn hand_on_trailers(from: TrailersReader, tape: &Tape) -> TrailersReader {
    let (writer, reader) = wit_future::new(|| Ok(None));
    let tape = tape.clone();
    wit_bindgen::spawn_local(async move {
        let trailers = match from.await {
            Ok(Some(trailers)) => {
                let trailers = trailers.clone();
                fields::strip(&trailers).map(|()| Some(trailers)).map_err(|_| ErrorCode::HttpRequestTrailerSectionSize(None))
            }
            other => other,
        };
        match &trailers {
            Ok(Some(trailers)) => tape.0.borrow_mut().trailers = Some(trailers.copy_all()),
            Ok(None) => tape.0.borrow_mut().trailers = Some(Vec::new()),
            Err(_) => tape.lose(&mut tape.0.borrow_mut()),
        }
        let _ = writer.write(trailers).await;
    });
    reader
}

fn stream_of(content: Vec<u8>) -> Option<StreamReader<u8>> {
    if content.is_empty() {
        return None;
    }
    let (mut writer, reader) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        let _ = writer.write_all(content).await;
    });
    Some(reader)
}

fn future_of(trailers: Option<Vec<(String, Vec<u8>)>>) -> TrailersReader {
    let (writer, reader) = wit_future::new(|| Ok(None));
    let Some(trailers) = trailers else { return reader };
    wit_bindgen::spawn_local(async move {
        // They were fields before.
        let trailers = Fields::from_list(&trailers).map(Some).map_err(|_| ErrorCode::InternalError(None));
        let _ = writer.write(trailers).await;
    });
    reader
}
