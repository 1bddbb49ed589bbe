//! The credential goes to the token's origin, whatever a request says about itself, and nothing goes there without one.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use tower::{Layer, ServiceExt};
use wif::layer::{CredentialLayer, LayerError};
use wif::{Error, FailureCode, PolicyError};

use crate::api::{Api, Recorder, body, client, fields, post, text};
use crate::support::Reply;

const API: &str = "https://api.anthropic.com";

async fn vendors_layer() -> CredentialLayer {
    let literal = r#"{"bearer":{"source":"literal","value":"sk-ant-oat01-ours"}}"#;
    let credential = wif::Credential::builder().configuration(literal).build().unwrap();
    credential.token().await.unwrap();
    CredentialLayer::new(credential)
}

/// What the inner service is given for a request with a caller's own credential.
async fn headers_of(layer: &CredentialLayer, request: http::request::Builder) -> HeaderMap {
    let recorder = Recorder::default();
    let request = request.header("authorization", "Bearer theirs").body(body("{}")).unwrap();
    layer.layer(recorder.clone()).oneshot(request).await.unwrap();
    recorder.last().headers
}

/// E2. What parsers of URLs read differently is another origin; what they agree on stands in `tests/requests/origins.json`.
#[tokio::test]
async fn an_authority_that_can_be_read_otherwise_is_another() {
    let layer = vendors_layer().await;
    for uri in [
        "https://api.anthropic.com:/v1/messages",
        "https://api.anthropic.com:99999/v1/messages",
        "https://api.anthropic.com@evil.example/v1/messages",
        "https://api.anthropic.com:443@evil.example/v1/messages",
        "wss://api.anthropic.com/v1/messages",
    ] {
        let Ok(parsed) = uri.parse::<Uri>() else { continue };
        let headers = headers_of(&layer, Request::post(parsed)).await;
        assert_eq!(headers["authorization"], "Bearer theirs", "{uri}");
        assert_eq!(headers.len(), 1, "{uri}: {headers:?}");
    }
}

/// E2. A `host` header, and what proxies say about hosts, decide nothing.
#[tokio::test]
async fn a_host_header_has_no_say() {
    let (api, elsewhere) = (Api::start().await, Api::start().await);
    let service = api.layer().await.layer(client());
    let api_host = api.origin.strip_prefix("http://").unwrap();
    let request = post(format!("{}/v1/messages", elsewhere.origin))
        .header("host", api_host)
        .header("x-forwarded-host", api_host)
        .header("x-api-key", "theirs");
    service.clone().oneshot(request.body(body("{}")).unwrap()).await.unwrap();
    let seen = elsewhere.request();
    assert!(!seen.contains("sk-ant-oat01"), "{seen}");
    assert_eq!(fields(&seen, "x-api-key"), ["theirs"], "untouched");
    assert_eq!(fields(&seen, "host"), [api_host], "untouched");

    let request = post(format!("{}/v1/messages", api.origin)).header("host", "evil.example").header("host", "evil.example");
    service.oneshot(request.body(body("{}")).unwrap()).await.unwrap();
    assert_eq!(fields(&api.request(), "host"), [api_host]);
    assert_eq!(fields(&api.request(), "authorization"), ["Bearer sk-ant-oat01-1"]);
}

/// E2: where a request goes.
#[tokio::test]
async fn a_request_that_names_no_origin_is_not_sent_unless_the_layer_was_told_one() {
    let layer = vendors_layer().await;
    let recorder = Recorder::default();
    let request = || post("/v1/messages").header("host", "api.anthropic.com").body(body("{}")).unwrap();
    let error = layer.layer(recorder.clone()).oneshot(request()).await.unwrap_err();
    assert!(matches!(error, LayerError::NoOrigin), "{error:?}");
    assert_eq!(error.answer().unwrap().status(), 400);
    assert!(recorder.is_empty());

    let layer = layer.origin(API).unwrap();
    layer.layer(recorder.clone()).oneshot(request()).await.unwrap();
    assert_eq!(recorder.last().headers["authorization"], "Bearer sk-ant-oat01-ours");
    assert!(headers_of(&layer, post("https://evil.example/")).await["authorization"] == "Bearer theirs");
}

/// E2: where a request goes.
#[tokio::test]
async fn a_token_for_another_origin_than_the_layer_was_told_is_not_used() {
    let layer = vendors_layer().await.origin("https://gateway.example").unwrap();
    let recorder = Recorder::default();
    let request = post("https://gateway.example/").body(body("{}")).unwrap();
    let error = layer.layer(recorder.clone()).oneshot(request).await.unwrap_err();
    assert!(matches!(error, LayerError::OtherOrigin { .. }), "{error:?}");
    assert!(error.to_string().contains(API), "{error}");
    assert_eq!(error.answer().unwrap().status(), 503);
    assert!(recorder.is_empty());
    let plain = vendors_layer().await.origin("http://gateway.example").unwrap_err();
    assert_eq!(plain, PolicyError::PlainHttp("http://gateway.example".to_owned()));
}

/// E3: the API redirects.
#[tokio::test]
async fn a_redirect_is_returned_as_it_is() {
    let elsewhere = Api::start().await;
    let location = format!("{}/v1/messages", elsewhere.origin);
    let to = location.clone();
    let api = Api::answering(move |_, _| Reply::with(307, "").header("location", &to)).await;
    let service = api.layer().await.layer(client());
    let request = post(format!("{}/v1/messages", api.origin)).body(body("{}")).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(response.headers()["location"], location.as_str());
    assert!(elsewhere.requests().is_empty());
}

/// E4, E5. What is exempt at the API is not touched elsewhere.
#[tokio::test]
async fn tunnels_and_preflights_elsewhere_keep_the_callers_credential() {
    let layer = vendors_layer().await;
    for layer in [layer.clone(), layer.origin(API).unwrap()] {
        let tunnel = Request::builder().method(Method::CONNECT).uri("proxy.example:443");
        assert_eq!(headers_of(&layer, tunnel).await["authorization"], "Bearer theirs");
        let elsewhere = Request::options("https://evil.example/");
        assert_eq!(headers_of(&layer, elsewhere).await["authorization"], "Bearer theirs");
    }
}

/// E5. Not even on the wire.
#[tokio::test]
async fn a_preflight_on_the_wire_is_without_a_credential() {
    let api = Api::start().await;
    let service = api.layer().await.layer(client::<Full<Bytes>>());
    let request = Request::options(&api.origin).header("cookie", "theirs").body(Full::default()).unwrap();
    service.oneshot(request).await.unwrap();
    let seen = api.request();
    assert!(fields(&seen, "authorization").is_empty() && fields(&seen, "cookie").is_empty(), "{seen}");
}

/// E9: there is no token.
#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let refuse = |_| Reply::with(401, r#"{"type":"error","error":{"type":"authentication_error","message":"no"}}"#);
    let api = Api::exchanging(refuse, |_, _| Reply::with(200, "{}")).await;
    let layer = CredentialLayer::new(api.builder().build().unwrap());
    // Nor anything of which only a token could tell whether it goes to the token's origin.
    let preflight = Request::options(&api.origin).header("x-api-key", "theirs").body(body("")).unwrap();
    layer.layer(client()).oneshot(preflight).await.unwrap_err();
    assert!(api.requests().is_empty());
    let request = |origin: &str| {
        let request = post(format!("{origin}/v1/messages"));
        request.header("authorization", "Bearer theirs").header("x-api-key", "theirs").body(body("{}")).unwrap()
    };
    let error = layer.layer(client()).oneshot(request(&api.origin)).await.unwrap_err();
    let LayerError::NoToken(Error::Unavailable(failure)) = &error else { panic!("{error:?}") };
    assert_eq!(failure.code, FailureCode::Refused);
    assert!(api.requests().is_empty());

    let answer = error.answer().unwrap();
    assert_eq!(answer.status(), 503);
    let seconds: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(answer.headers()["x-wif-code"], "refused");
    assert_eq!(
        answer.body(),
        r#"{"type":"error","error":{"type":"api_error","message":"The proxy has no credential for this request (refused)."},"request_id":null}"#
    );

    // What goes elsewhere does not depend on it, if the layer knows where that is.
    let elsewhere = Api::start().await;
    let layer = layer.origin(&api.origin).unwrap();
    let response = layer.layer(client()).oneshot(request(&elsewhere.origin)).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "{}");
}

/// E9: there is no token.
#[tokio::test]
async fn a_request_waits_for_a_token_as_long_as_it_was_told() {
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let closed = std::sync::Arc::clone(&gate);
    let exchange = move |_| Reply::token("sk-ant-oat01-late", 3600).after(&closed);
    let api = Api::exchanging(exchange, |_, _| Reply::with(200, "{}")).await;
    let layer = CredentialLayer::new(api.builder().build().unwrap());
    let request = || post(format!("{}/v1/messages", api.origin)).body(body("{}")).unwrap();

    let hurried = tokio::spawn(layer.clone().wait_at_most(Duration::from_secs(2)).layer(client()).oneshot(request()));
    let patient = tokio::spawn(layer.layer(client()).oneshot(request()));
    crate::support::until("the endpoint is asked", || async { api.exchanges() == 1 }).await;
    crate::support::settle().await;
    api.clock.jump(Duration::from_secs(2));
    let error = hurried.await.unwrap().unwrap_err();
    assert!(matches!(error, LayerError::NoToken(Error::TimedOut { .. })), "{error:?}");
    assert_eq!(error.answer().unwrap().headers()["retry-after"], "1");
    assert!(api.requests().is_empty());

    gate.notify_one();
    assert_eq!(patient.await.unwrap().unwrap().status(), 200);
    assert_eq!(fields(&api.request(), "authorization"), ["Bearer sk-ant-oat01-late"]);
}
