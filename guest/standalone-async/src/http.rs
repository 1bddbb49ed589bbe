//! One request to the token endpoint: sent once, and told apart by whether a byte of it may have left.

use std::pin::pin;

use wif_engine::contract::{HttpRequest, Outcome};
use wif_wasi::clock::{NANOS_PER_MS, instant};
use wif_wasi::http;
use wit_bindgen::StreamResult;
use zeroize::Zeroizing;

use crate::bindings::wasi::http::client;
use crate::bindings::wasi::http::types::{self, Request as Outgoing};
use crate::bindings::{wit_future, wit_stream};
use crate::time::{First, first, sleep_until};

wif_wasi::outcome_of_errors!(types);
wif_wasi::wire!(types, Request);

/// How many bytes are asked for at once.
const CHUNK: usize = 16 * 1024;

/// Sends it, and waits for the whole answer, but not beyond the request's own limit.
pub(crate) async fn send(request: HttpRequest) -> Outcome {
    let timeout = u64::from(request.timeout_ms) * NANOS_PER_MS;
    let (timeout_ms, max_response_bytes) = (request.timeout_ms, request.max_response_bytes as usize);
    let outgoing = match outgoing(request, timeout) {
        Ok(outgoing) => outgoing,
        Err(outcome) => return outcome,
    };
    let end = instant().saturating_add(timeout);
    let answer = pin!(async {
        match client::send(outgoing).await {
            Ok(response) => receive(response, max_response_bytes).await,
            Err(code) => outcome_of(&code),
        }
    });
    match first(answer, sleep_until(Some(end))).await {
        First::One(outcome) => outcome,
        First::Other(()) => Outcome::MaybeSent(format!("no complete answer within {timeout_ms} ms")),
    }
}

fn outgoing(request: HttpRequest, timeout: u64) -> Result<Outgoing, Outcome> {
    let (mut writer, reader) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (outgoing, _) = Outgoing::new(fields(&request)?, Some(reader), trailers, Some(options(timeout)));
    address(&outgoing, &request)?;
    let content = request.body.reveal().as_bytes().to_vec();
    wit_bindgen::spawn_local(async move {
        // What the host does not take, it has no use for; the answer will tell why.
        let _ = writer.write_all(content).await;
    });
    Ok(outgoing)
}

async fn receive(response: types::Response, max_response_bytes: usize) -> Outcome {
    let fields = response.get_headers();
    let status = response.get_status_code();
    let (_, result) = wit_future::new(|| Ok(()));
    let (mut content, trailers) = types::Response::consume_body(response, result);
    let mut body = Zeroizing::new(Vec::new());
    loop {
        let (status, bytes) = content.read(Vec::with_capacity(CHUNK)).await;
        let bytes = Zeroizing::new(bytes);
        if body.len() + bytes.len() > max_response_bytes {
            return Outcome::MaybeSent(format!("the answer is longer than {max_response_bytes} bytes"));
        }
        body.extend_from_slice(&bytes);
        if bytes.is_empty() && matches!(status, StreamResult::Dropped | StreamResult::Cancelled) {
            break;
        }
    }
    if trailers.await.is_err() {
        return Outcome::MaybeSent("the connection ended within the answer".to_owned());
    }
    Outcome::Response(http::response(status, |name| fields.get(name), &body))
}
