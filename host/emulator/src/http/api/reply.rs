//! A message in answer: always the same words, in the form of the real API.

use std::time::Duration;

use axum::response::sse::{Event, Sse};
use serde_json::{Map, Value, json};
use tokio_stream::{Stream, StreamExt as _};

use crate::http::envelope::Cut;
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
        let members = object(body)?;
        let model = model_and_messages(&members)?;
        let max_tokens = required(&members, "max_tokens")?;
        let max_tokens = max_tokens.as_u64().filter(|most| *most > 0).ok_or("max_tokens: Input should be a positive integer")?;
        let stream = match members.get("stream") {
            None => false,
            Some(stream) => stream.as_bool().ok_or("stream: Input should be a valid boolean")?,
        };
        Ok(Self {
            stream,
            model,
            max_tokens: usize::try_from(max_tokens).unwrap_or(usize::MAX),
            input_tokens: body.len().div_ceil(BYTES_PER_TOKEN),
        })
    }
}

/// What the emulator reads of a request to count tokens.
pub(super) struct CountRequest {
    input_tokens: usize,
}

impl CountRequest {
    /// # Errors
    ///
    /// The message for the sender.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        let members = object(body)?;
        model_and_messages(&members)?;
        Ok(Self { input_tokens: body.len().div_ceil(BYTES_PER_TOKEN) })
    }
}

/// The number of tokens.
pub(super) fn count(request: &CountRequest) -> Value {
    json!({ "input_tokens": request.input_tokens })
}

/// The whole message.
pub(super) fn message(request: &MessageRequest) -> Value {
    let words = words(request);
    let mut message = envelope(request);
    message["content"] = json!([{ "type": "text", "text": words.concat(), "citations": null }]);
    message["stop_reason"] = stop_reason(request).into();
    message["usage"]["output_tokens"] = words.len().into();
    message
}

/// The message word by word, with a pause between events. The connection is closed after `cut_after` of them.
pub(super) fn events(
    request: &MessageRequest,
    delay: Duration,
    cut_after: Option<usize>,
) -> Sse<impl Stream<Item = Result<Event, Cut>> + use<>> {
    let words = words(request);
    let mut events = vec![
        json!({ "type": "message_start", "message": envelope(request) }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "", "citations": null } }),
        json!({ "type": "ping" }),
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
            "delta": { "container": null, "stop_details": null, "stop_reason": stop_reason(request), "stop_sequence": null },
            "usage": {
                "input_tokens": request.input_tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": words.len(),
                "output_tokens_details": null,
                "server_tool_use": null,
            },
        }),
        json!({ "type": "message_stop" }),
    ]);
    let end = cut_after.map(|_| Err(Cut));
    let events = events.into_iter().take(cut_after.unwrap_or(usize::MAX)).map(|data| {
        let name = data["type"].as_str().unwrap_or_default().to_owned();
        Ok(Event::default().event(name).data(data.to_string()))
    });
    Sse::new(tokio_stream::iter(events.chain(end)).throttle(delay))
}

const TEXT: &str = "Hello from the emulator: your request carried a good access token, and no API key was involved.";

/// A rough guess, so that usage is never zero.
const BYTES_PER_TOKEN: usize = 4;

fn object(body: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err("The request body is not a JSON object".to_owned()),
    }
}

fn required<'a>(members: &'a Map<String, Value>, name: &str) -> Result<&'a Value, String> {
    members.get(name).ok_or_else(|| format!("{name}: Field required"))
}

/// The model; and the messages are looked at.
fn model_and_messages(members: &Map<String, Value>) -> Result<String, String> {
    let model = required(members, "model")?.as_str().ok_or("model: Input should be a valid string")?;
    let messages = required(members, "messages")?.as_array().ok_or("messages: Input should be a valid array")?;
    match messages.is_empty() {
        true => Err("messages: at least one message is required".to_owned()),
        false => Ok(model.to_owned()),
    }
}

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
        "container": null,
        "diagnostics": null,
        "stop_details": null,
        "stop_reason": null,
        "stop_sequence": null,
        "usage": {
            "input_tokens": request.input_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "cache_creation": { "ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0 },
            "inference_geo": null,
            "output_tokens": 1,
            "output_tokens_details": null,
            "server_tool_use": null,
            "service_tier": "standard",
            "speed": null,
        },
    })
}
