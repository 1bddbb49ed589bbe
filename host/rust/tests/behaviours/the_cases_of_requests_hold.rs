//! The cases in `tests/requests`, through the layer: the same for every host.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt};
use wif::layer::{Body, CredentialLayer};
use wif::{Credential, SuppliedToken};
use wif_test_cases::all_hold;
use wif_test_cases::requests::{self, ApiAnswer, Case, Sent};

use crate::support::{START_MS, TestClock, settle};

const API: &str = "https://api.anthropic.com";
const ELSEWHERE: &str = "https://elsewhere.example";

type Frames = StreamBody<tokio_stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

/// Keeps what it is sent, and answers as a case says.
#[derive(Clone)]
struct Inner {
    answer: ApiAnswer,
    sent: Arc<Mutex<Vec<Sent>>>,
}

impl tower::Service<Request<Body<Frames>>> for Inner {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body<Frames>>) -> Self::Future {
        let Self { answer, sent } = self.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let trailers = body.collect().await?.trailers().cloned().unwrap_or_default();
            let (fields, trailers) = (pairs(&head.headers), pairs(&trailers));
            sent.lock().unwrap().push(Sent { url: head.uri.to_string(), fields, trailers });
            let mut response = Response::new(String::new());
            *response.status_mut() = answer.status.try_into().unwrap();
            *response.headers_mut() = map(&answer.fields);
            Ok(response)
        })
    }
}

fn pairs(fields: &HeaderMap) -> Vec<requests::Field> {
    fields.iter().map(|(name, value)| (name.to_string(), requests::value(value.as_bytes()))).collect()
}

fn map(fields: &[requests::Field]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_bytes(&requests::bytes(value)).unwrap());
    }
    map
}

/// A credential whose tokens a program supplies, which can be replaced at once; and how many there were.
async fn credential() -> (Credential, Arc<AtomicU32>) {
    let (clock, supplied) = (TestClock::new(), Arc::new(AtomicU32::new(0)));
    let counter = Arc::clone(&supplied);
    let expires_at = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(START_MS) + Duration::from_secs(3600));
    let credential = Credential::builder()
        .configuration(r#"{"bearer":{"source":"callable","name":"supplied"}}"#)
        .clock(clock.clone())
        .seed(1)
        .access_token("supplied", move |_| {
            let value = format!("sk-ant-oat01-{}", counter.fetch_add(1, Ordering::SeqCst) + 1);
            async move { Ok(SuppliedToken { value: value.into(), expires_at }) }
        })
        .build()
        .unwrap();
    credential.token().await.unwrap();
    clock.jump(Duration::from_secs(10));
    (credential, supplied)
}

/// What left the layer.
async fn send(layer: &CredentialLayer, case: &Case) -> Result<Vec<Sent>, String> {
    let inner = Inner { answer: case.answer.clone(), sent: Arc::default() };
    let mut frames = vec![Ok(Frame::data(Bytes::from("{}")))];
    if !case.request.trailers.is_empty() {
        frames.push(Ok(Frame::trailers(map(&case.request.trailers))));
    }
    let mut request = Request::new(StreamBody::new(tokio_stream::iter(frames)));
    *request.method_mut() = case.request.method.parse().map_err(|_| "no method")?;
    *request.uri_mut() = case.request.url(API, ELSEWHERE).parse().map_err(|_| "no URI")?;
    *request.headers_mut() = map(&case.request.fields);
    layer.layer(inner.clone()).oneshot(request).await.map_err(|error| error.to_string())?;
    Ok(std::mem::take(&mut *inner.sent.lock().unwrap()))
}

/// E1, E2, E4, E5, E10. Whether the layer was told its origin or not.
#[tokio::test]
async fn of_what_leaves() {
    let (credential, _) = credential().await;
    let layer = CredentialLayer::new(credential);
    let (mut ran, mut failed) = (0, Vec::new());
    for layer in [layer.clone(), layer.origin(API).unwrap()] {
        for case in requests::that_send(&[]) {
            ran += 1;
            let checked = match send(&layer, &case).await {
                Ok(sent) if sent.len() == 1 => case.check(&sent[0]),
                Ok(sent) => Err(format!("it was sent {} times", sent.len())),
                Err(error) => Err(error),
            };
            failed.extend(checked.err().map(|error| format!("{}: {error}", case.name)));
        }
    }
    all_hold(ran, 2 * 45, &failed);
}

/// E12, E13. A rejection is known by the token that was asked for in place of the rejected one.
#[tokio::test]
async fn of_what_answers_mean() {
    let (mut ran, mut failed) = (0, Vec::new());
    for case in requests::that_answer(&[]) {
        ran += 1;
        let (credential, supplied) = credential().await;
        let sent = send(&CredentialLayer::new(credential), &case).await.unwrap();
        settle().await;
        let rejected = supplied.load(Ordering::SeqCst) == 2;
        if case.rejected != Some(rejected) || rejected != (sent.len() == 2) {
            failed.push(format!(
                "{}: {}, and sent {} times",
                case.name,
                if rejected { "rejected" } else { "not rejected" },
                sent.len()
            ));
        }
    }
    all_hold(ran, 16, &failed);
}
