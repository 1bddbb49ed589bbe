//! One request to the token endpoint: sent once, and told apart by whether a byte of it may have left.

#[path = "../../standalone/src/http/errors.rs"]
mod errors;

use std::pin::pin;

use wif_engine::Secret;
use wif_engine::contract::{Header, HttpRequest, Outcome, Response};
use wit_bindgen::StreamResult;
use zeroize::Zeroizing;

use crate::bindings::wasi::http::client;
use crate::bindings::wasi::http::types::{self, ErrorCode, Fields, HeaderError, Method, Request, RequestOptions, Scheme};
#[cfg(test)]
use crate::bindings::wasi::http::types::{DnsErrorPayload, TlsAlertReceivedPayload};
use crate::bindings::{wit_future, wit_stream};
use crate::clock::{NANOS_PER_MS, instant};
use crate::time::{First, first, sleep_until};
use errors::outcome_of;

/// A connection that takes longer is not made; then nothing was sent, which is worth knowing. In nanoseconds.
const CONNECT_TIMEOUT: u64 = 10_000 * NANOS_PER_MS;

/// What the engine learns of an answer's header. Others are of no use to it.
const PASSED_ON: [&str; 5] = ["request-id", "retry-after", "date", "content-type", "location"];

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

fn outgoing(request: HttpRequest, timeout: u64) -> Result<Request, Outcome> {
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
    let options = RequestOptions::new();
    let _ = options.set_connect_timeout(Some(timeout.min(CONNECT_TIMEOUT)));
    let _ = options.set_first_byte_timeout(Some(timeout));
    let _ = options.set_between_bytes_timeout(Some(timeout));

    let (mut writer, reader) = wit_stream::new();
    let (_, trailers) = wit_future::new(|| Ok(None));
    let (outgoing, _) = Request::new(headers, Some(reader), trailers, Some(options));
    let parts = parts(&request.url).ok_or_else(|| Outcome::Unsent("the URL cannot be read".to_owned()))?;
    let method = if request.method == "POST" { Method::Post } else { Method::Other(request.method.clone()) };
    outgoing
        .set_method(&method)
        .and_then(|()| outgoing.set_scheme(Some(&parts.scheme)))
        .and_then(|()| outgoing.set_authority(Some(parts.authority)))
        .and_then(|()| outgoing.set_path_with_query(Some(parts.path)))
        .map_err(|()| Outcome::Unsent("the host takes the URL for malformed".to_owned()))?;
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
    let field = |name: &&str| {
        let value = String::from_utf8(fields.get(name).into_iter().next()?).ok()?;
        Some(Header { name: (*name).to_owned(), value: value.into() })
    };
    Outcome::Response(Response {
        status,
        headers: PASSED_ON.iter().filter_map(field).collect(),
        body: Secret::from(String::from_utf8_lossy(&body).into_owned()),
    })
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
