//! A 401 is reported, and the request is sent once more with another token if there is one and the body can be sent again.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio::sync::Barrier;
use tokio_stream::wrappers::ReceiverStream;
use tower::{Layer, ServiceExt};
use wif::Standing;
use wif::layer::{Body, CredentialLayer};

use crate::api::{Api, EARLY, body, client, fields, post, text, token};
use crate::support::{Reply, until};

const NO: &str = r#"{"type":"error","error":{"type":"authentication_error","message":"OAuth access token is invalid."}}"#;

/// An API that accepts the tokens from this one on.
async fn accepting_from(first: u32) -> Api {
    Api::answering(move |_, request| {
        let accepted = (first..first + 5).any(|count| request.contains(&format!("Bearer {}\r\n", token(count))));
        if accepted { Reply::with(200, "fine") } else { Reply::with(401, NO) }
    })
    .await
}

/// E12: the API answers 401.
#[tokio::test]
async fn with_the_new_token_and_the_same_body() {
    let api = accepting_from(2).await;
    let service = api.layer().await.layer(client());
    let request = post(format!("{}/v1/messages", api.origin)).header("x-other", "stays").header("x-api-key", "theirs");
    let response = service.oneshot(request.body(body(r#"{"n":1}"#)).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "fine");

    let requests = api.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(fields(&requests[1], "authorization"), ["Bearer sk-ant-oat01-2"]);
    assert_eq!(requests[0].replace("oat01-1", "oat01-2"), requests[1], "but for the token they are the same");
    assert_eq!(api.exchanges(), 2);
}

/// E12. A body need not say how long it is, nor be one that can be cloned.
#[tokio::test]
async fn a_streamed_body_that_has_ended_is_sent_again_with_its_trailers() {
    let api = accepting_from(2).await;
    let service = api.layer().await.layer(client());
    let trailers = [("x-checksum".parse().unwrap(), "sum".parse().unwrap())].into_iter().collect();
    let data = |text: &'static str| Frame::data(Bytes::from(text));
    let frames = [Ok::<_, Infallible>(data("one ")), Ok(data("two")), Ok(Frame::trailers(trailers))];
    let request = post(&api.origin).header("trailer", "x-checksum");
    let response = service.oneshot(request.body(StreamBody::new(tokio_stream::iter(frames))).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    let requests = api.requests();
    assert_eq!(requests[0].replace("oat01-1", "oat01-2"), requests[1]);
    assert!(requests[1].ends_with("3\r\ntwo\r\n0\r\nx-checksum: sum\r\n\r\n"), "{}", requests[1]);
}

/// E12. Where the length is said before, nobody asks a stream for its end.
#[tokio::test]
async fn a_stream_whose_length_was_said_is_sent_again_once_all_of_it_went() {
    let api = accepting_from(2).await;
    let service = api.layer().await.layer(client());
    let pieces = ["one ", "", "two"].map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from(piece))));
    // The stream goes on, as far as anybody can tell.
    let stream = StreamBody::new(tokio_stream::StreamExt::chain(tokio_stream::iter(pieces), tokio_stream::pending()));
    let response = service.oneshot(post(&api.origin).header("content-length", "7").body(stream).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(api.requests()[0].replace("oat01-1", "oat01-2"), api.requests()[1]);
    assert!(api.requests()[1].ends_with("one two"), "{}", api.requests()[1]);
}

/// E12: what is remembered of a body that comes in tiny pieces is bounded by what it takes, not by its length.
#[tokio::test]
async fn but_not_if_its_pieces_take_more_than_allowed() {
    let api = accepting_from(2).await;
    let service = api.layer().await.replay_up_to(1_000).layer(client());
    let pieces = (0..100).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))));
    let request = post(&api.origin).body(StreamBody::new(tokio_stream::iter(pieces.collect::<Vec<_>>()))).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().status(), 401);
    assert_eq!(api.requests().len(), 1);
}

/// E12. The second token is reported as rejected, too.
#[tokio::test]
async fn but_not_twice() {
    let api = accepting_from(9).await;
    let credential = api.builder().build().unwrap();
    credential.token().await.unwrap();
    api.clock.jump(Duration::from_secs(10));
    let service = CredentialLayer::new(credential.clone()).layer(client::<Empty<Bytes>>());
    let response = service.oneshot(Request::get(&api.origin).body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(text(response).await, NO);
    assert_eq!(api.requests().len(), 2);
    assert_eq!(fields(&api.requests()[1], "authorization"), ["Bearer sk-ant-oat01-2"]);
    until("the second rejection is known", || async {
        let token = credential.status().await.unwrap().token.unwrap();
        token.standing == Standing::Suspect
    })
    .await;
    assert_eq!(api.exchanges(), 2);
}

/// E13. Nobody knows what the rest of the body will be.
#[tokio::test]
async fn but_not_while_its_body_is_still_being_sent() {
    let api = accepting_from(2).await;
    let layer = api.layer().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    sender.send(Ok::<_, Infallible>(Frame::data(Bytes::from("begun")))).await.unwrap();
    let request = post(format!("{}{EARLY}", api.origin)).body(StreamBody::new(ReceiverStream::new(receiver))).unwrap();
    let response = layer.layer(client()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(text(response).await, NO);
    assert_eq!(api.requests().len(), 1);
    // E12: reported all the same.
    until("there is another token", || async { api.exchanges() == 2 }).await;
    drop(sender);
}

/// E12: the API answers 401.
#[tokio::test]
async fn but_not_if_its_body_is_longer_than_allowed() {
    for (limit, sent) in [(4, 1), (5, 2), (0, 1)] {
        let api = accepting_from(2).await;
        let layer = api.layer().await.replay_up_to(limit);
        let response = layer.layer(client()).oneshot(post(&api.origin).body(body("12345")).unwrap()).await.unwrap();
        assert_eq!(response.status(), if sent == 2 { 200 } else { 401 });
        assert_eq!(api.requests().len(), sent, "limit {limit}");
        until("it is reported", || async { api.exchanges() == 2 }).await;
    }
}

/// E12. The answer of the API reaches the caller, and at once.
#[tokio::test]
async fn but_not_if_no_other_token_can_be_had() {
    let exchange = |count| match count {
        1 => Reply::token(&token(1), 3600),
        _ => Reply::with(401, NO),
    };
    let api = Api::exchanging(exchange, |_, _| Reply::with(401, NO)).await;
    let layer = api.layer().await;
    for _ in 0..2 {
        // The clock stands, so this ends only because nothing is under way.
        let request = post(&api.origin).body(body("{}")).unwrap();
        let response =
            tokio::time::timeout(Duration::from_secs(10), layer.layer(client()).oneshot(request)).await.unwrap().unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(text(response).await, NO);
    }
    assert_eq!((api.requests().len(), api.exchanges()), (2, 2));
}

/// E12. A slow exchange does not hold the answer back for longer than a second.
#[tokio::test]
async fn but_not_if_another_token_takes_too_long() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let closed = Arc::clone(&gate);
    let exchange = move |count| match count {
        1 => Reply::token(&token(1), 3600),
        _ => Reply::token(&token(count), 3600).after(&closed),
    };
    let api = Api::exchanging(exchange, |_, _| Reply::with(401, NO)).await;
    let request = post(&api.origin).body(body("{}")).unwrap();
    let answer = tokio::spawn(api.layer().await.layer(client()).oneshot(request));
    until("the exchange is under way", || async { api.exchanges() == 2 }).await;
    crate::support::settle().await;
    assert!(!answer.is_finished());
    api.clock.advance(Duration::from_millis(1100)).await;
    assert_eq!(answer.await.unwrap().unwrap().status(), 401);
    assert_eq!(api.requests().len(), 1);
}

/// C7, E12. The inner service is called only when it is ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_at_once_make_one_exchange() {
    const CALLERS: usize = 1000;
    let api = Api::start().await;
    let layer = api.layer().await;
    let inner = Strict { ready: false, all: Arc::new(Barrier::new(CALLERS)), calls: Arc::default() };
    let requests: Vec<_> = (0..CALLERS)
        .map(|number| {
            let request = post(&api.origin).body(Full::from(number.to_string())).unwrap();
            tokio::spawn(layer.layer(inner.clone()).oneshot(request))
        })
        .collect();
    for (number, request) in requests.into_iter().enumerate() {
        let response = request.await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.into_body(), number.to_string(), "each has its own body");
    }
    assert_eq!(api.exchanges(), 2);
    assert_eq!(inner.calls.load(Ordering::SeqCst), 2 * CALLERS as u32);
}

/// Rejects the first token, to all callers at the same moment; says the body back to the others. Has to be ready before each
/// call, and its clones are not.
struct Strict {
    ready: bool,
    all: Arc<Barrier>,
    calls: Arc<AtomicU32>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self { ready: false, all: Arc::clone(&self.all), calls: Arc::clone(&self.calls) }
    }
}

impl tower::Service<Request<Body<Full<Bytes>>>> for Strict {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body<Full<Bytes>>>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        self.calls.fetch_add(1, Ordering::SeqCst);
        let all = Arc::clone(&self.all);
        Box::pin(async move {
            let first = request.headers()["authorization"] == "Bearer sk-ant-oat01-1";
            let text = request.into_body().collect().await?.to_bytes();
            let mut response = Response::new(String::from_utf8(text.to_vec()).unwrap());
            if first {
                all.wait().await;
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            Ok(response)
        })
    }
}
