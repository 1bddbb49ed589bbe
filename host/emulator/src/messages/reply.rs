//! A message in answer: always the same words, in the form of the real API.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use serde_json::{Value, json};
use tokio_stream::{Stream, StreamExt as _};

use crate::random;

/// What the emulator reads of a request for a message.
pub(super) struct MessageRequest {
    pub(super) stream: bool,
    model: String,
    max_tokens: usize,
    input_tokens: usize,
}

impl MessageRequest {
    /// # Errors
    ///
    /// The message for the sender.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return Err("The request body is not a JSON object".to_owned());
        };
        let required = |name: &str| members.get(name).ok_or_else(|| format!("{name}: Field required"));
        let model = required("model")?.as_str().ok_or("model: Input should be a valid string")?;
        let max_tokens =
            required("max_tokens")?.as_u64().filter(|most| *most > 0).ok_or("max_tokens: Input should be a positive integer")?;
        let messages = required("messages")?.as_array().ok_or("messages: Input should be a valid array")?;
        if messages.is_empty() {
            return Err("messages: at least one message is required".to_owned());
        }
        let stream = match members.get("stream") {
            None => false,
            Some(stream) => stream.as_bool().ok_or("stream: Input should be a valid boolean")?,
        };
        Ok(Self {
            stream,
            model: model.to_owned(),
            max_tokens: usize::try_from(max_tokens).unwrap_or(usize::MAX),
            input_tokens: body.len().div_ceil(BYTES_PER_TOKEN),
        })
    }
}

/// The whole message.
pub(super) fn message(request: &MessageRequest) -> Value {
    let words = words(request);
    let mut message = envelope(request);
    message["content"] = json!([{ "type": "text", "text": words.concat() }]);
    message["stop_reason"] = stop_reason(request).into();
    message["usage"]["output_tokens"] = words.len().into();
    message
}

/// The message word by word, with a pause between events.
pub(super) fn events(request: &MessageRequest, delay: Duration) -> Sse<impl Stream<Item = Result<Event, Infallible>> + use<>> {
    let words = words(request);
    let mut events = vec![
        json!({ "type": "message_start", "message": envelope(request) }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
    ];
    events.extend(
        words
            .iter()
            .map(|word| json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": word } })),
    );
    events.extend([
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({
            "type": "message_delta",
            "delta": { "stop_reason": stop_reason(request), "stop_sequence": null },
            "usage": { "output_tokens": words.len() },
        }),
        json!({ "type": "message_stop" }),
    ]);
    let events = events.into_iter().map(|data| {
        let name = data["type"].as_str().unwrap_or_default().to_owned();
        Ok(Event::default().event(name).data(data.to_string()))
    });
    Sse::new(tokio_stream::iter(events).throttle(delay))
}

const TEXT: &str = "Hello from the emulator: your request carried a good access token, and no API key was involved.";

/// A rough guess, so that usage is never zero.
const BYTES_PER_TOKEN: usize = 4;

/// One word stands for one token.
fn words(request: &MessageRequest) -> Vec<&'static str> {
    TEXT.split_inclusive(' ').take(request.max_tokens).collect()
}

fn stop_reason(request: &MessageRequest) -> &'static str {
    match TEXT.split_inclusive(' ').count() > request.max_tokens {
        true => "max_tokens",
        false => "end_turn",
    }
}

/// The message before anything of it is said.
fn envelope(request: &MessageRequest) -> Value {
    json!({
        "id": format!("msg_01{}", random::alphanumeric(22)),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": { "input_tokens": request.input_tokens, "output_tokens": 1 },
    })
}
