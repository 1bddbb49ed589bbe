//! An application that calls what it is told to and tells all that it sees. It knows nothing of credentials.
//!
//! A request to it says what to call: `x-method` and `x-url`, each field `send-<name>` as `<name>`, `trailer-<name>` as a
//! trailer, and the body as it is. It answers with a JSON document of its environment, the fields of its request after it
//! was sent, and everything of the answer. With `x-stream` it hands the answer on while it comes; with `x-give-up-after`, in
//! milliseconds, it lets its call go then; with `x-head-first` it writes the body when it has the answer's head.

use bindings::exports::wasi::http::handler::Guest;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use bindings::wasi::cli::environment::get_environment;
use bindings::wasi::clocks::monotonic_clock::wait_for;
use bindings::wasi::http::client;
use bindings::wasi::http::types::{ErrorCode, Fields, Method, Request, Response, Scheme};
use bindings::{wit_future, wit_stream};
use serde_json::{Value, json};
use wit_bindgen::StreamReader;

#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "package test:calling; world calling {
            import wasi:cli/environment@0.3.0;
            import wasi:clocks/monotonic-clock@0.3.0;
            import wasi:http/client@0.3.0;
            export wasi:http/handler@0.3.0;
        }",
        path: ["../../../wit/interposer/deps/clocks", "../../../wit/interposer/deps/http", "wit"],
        generate_all,
    });
    export!(Calling with_types_in self);
    use super::Calling;
}

struct Calling;

type Pairs = Vec<(String, Vec<u8>)>;

impl Guest for Calling {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let told = request.get_headers().copy_all();
        let (_, result) = wit_future::new(|| Ok(()));
        let (content, _) = Request::consume_body(request, result);
        let content = content.collect().await;
        let find = |name: &str| told.iter().find(|(known, _)| known == name).map(|(_, value)| text(value));
        let all = |prefix: &str| -> Pairs {
            let name = |name: &str| name.strip_prefix(prefix).map(str::to_owned);
            told.iter().filter_map(|(known, value)| Some((name(known)?, value.clone()))).collect()
        };

        let (body, mut late) = match find("x-head-first") {
            None => (body_of(content), None),
            Some(_) => {
                let (writer, reader) = wit_stream::new();
                (Some(reader), Some((writer, content)))
            }
        };
        let request = outgoing(find("x-method"), &find("x-url").unwrap_or_default(), &all("send-"), all("trailer-"), body)?;
        let sent = request.get_headers();
        let patience = find("x-give-up-after").and_then(|patience| patience.parse::<u64>().ok());
        let Some(answer) = within(patience, client::send(request)).await else {
            return Ok(answer_with(json!({ "gave_up": true }).to_string().into_bytes()));
        };
        if let Some((mut writer, content)) = late.take() {
            writer.write_all(content).await;
        }
        if find("x-stream").is_some() {
            let answer = answer?;
            let (_, result) = wit_future::new(|| Ok(()));
            let (content, trailers) = Response::consume_body(answer, result);
            return Ok(Response::new(Fields::new(), Some(content), trailers).0);
        }
        let mut seen = match answer {
            Err(error) => json!({ "error": format!("{error:?}") }),
            Ok(answer) => {
                let (status, fields) = (answer.get_status_code(), answer.get_headers().copy_all());
                let (_, result) = wit_future::new(|| Ok(()));
                let (content, trailers) = Response::consume_body(answer, result);
                let content = content.collect().await;
                let trailers = match trailers.await {
                    Ok(trailers) => shown(&trailers.map(|trailers| trailers.copy_all()).unwrap_or_default()),
                    Err(error) => json!(format!("{error:?}")),
                };
                json!({ "status": status, "fields": shown(&fields), "body": text(&content), "trailers": trailers })
            }
        };
        seen["environment"] = json!(get_environment());
        seen["sent"] = shown(&sent.copy_all());
        Ok(answer_with(seen.to_string().into_bytes()))
    }
}

/// What comes of it, unless that takes longer. In milliseconds.
async fn within<T>(patience: Option<u64>, call: impl Future<Output = T>) -> Option<T> {
    let Some(patience) = patience else { return Some(call.await) };
    let (mut call, mut end) = (pin!(call), pin!(wait_for(patience * 1_000_000)));
    poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => end.as_mut().poll(context).map(|()| None),
    })
    .await
}

fn body_of(content: Vec<u8>) -> Option<StreamReader<u8>> {
    (!content.is_empty()).then(|| {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            let _ = writer.write_all(content).await;
        });
        reader
    })
}

fn outgoing(
    method: Option<String>,
    url: &str,
    fields: &Pairs,
    trailers: Pairs,
    body: Option<StreamReader<u8>>,
) -> Result<Request, ErrorCode> {
    let fields = Fields::from_list(fields).map_err(|error| ErrorCode::InternalError(Some(format!("{error:?}"))))?;
    let (trailers_writer, trailers_reader) = wit_future::new(|| Ok(None));
    if !trailers.is_empty() {
        wit_bindgen::spawn_local(async move {
            let trailers = Fields::from_list(&trailers).map(Some).map_err(|_| ErrorCode::InternalError(None));
            let _ = trailers_writer.write(trailers).await;
        });
    }
    let (request, _) = Request::new(fields, body, trailers_reader, None);
    let (scheme, rest) = url.split_once("://").ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let scheme = if scheme == "http" { Scheme::Http } else { Scheme::Https };
    let method = match method.as_deref() {
        None | Some("GET") => Method::Get,
        Some("POST") => Method::Post,
        Some("OPTIONS") => Method::Options,
        Some("TRACE") => Method::Trace,
        Some(other) => Method::Other(other.to_owned()),
    };
    request
        .set_method(&method)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)))
        .map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
    Ok(request)
}

fn answer_with(content: Vec<u8>) -> Response {
    let (mut writer, reader) = wit_stream::new();
    wit_bindgen::spawn_local(async move {
        let _ = writer.write_all(content).await;
    });
    let (_, trailers) = wit_future::new(|| Ok(None));
    Response::new(Fields::new(), Some(reader), trailers).0
}

fn shown(fields: &Pairs) -> Value {
    fields.iter().map(|(name, value)| json!([name, text(value)])).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
