//! A request to the token's origin carries our credential and no other, in whatever form the caller sent one.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::prelude::*;
use tokio::net::TcpListener;
use tower::{Layer, ServiceExt};
use wif::layer::{Body, CredentialLayer, LayerError};
use wif::{Credential, Policy, Token};
use wif_test_cases::requests::{credential_names, look_alikes};

use crate::api::{Api, client, fields, post};

/// Part of every value that a caller should not have sent.
const CALLERS: &str = "caller-secret";

type Frames = StreamBody<tokio_stream::Iter<std::array::IntoIter<Result<Frame<Bytes>, Infallible>, 2>>>;

/// A body, and trailers of which one is a credential.
fn with_trailers() -> Frames {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-api-key", HeaderValue::from_static(CALLERS));
    trailers.insert("x-goog-api-key", HeaderValue::from_static(CALLERS));
    trailers.insert("authorization", HeaderValue::from_static(CALLERS));
    trailers.insert("x-checksum", HeaderValue::from_static("sum"));
    StreamBody::new(tokio_stream::iter([Ok(Frame::data(Bytes::from("{}"))), Ok(Frame::trailers(trailers))]))
}

/// E14: whoever fills the header to its limit gets an answer; nothing panics, and nothing goes out without the credential.
#[tokio::test]
async fn a_request_with_no_place_for_our_fields_is_refused() {
    let api = Api::start().await;
    let layer = api.layer().await;
    let full = |names: usize| {
        let mut request = post(format!("{}/v1/messages", api.origin)).body(Full::new(Bytes::from("{}"))).unwrap();
        for name in 0..names {
            request.headers_mut().insert(HeaderName::try_from(format!("x-{name}")).unwrap(), HeaderValue::from_static("1"));
        }
        request
    };
    let sent = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&sent);
    let inner = tower::service_fn(move |request: Request<Body<Full<Bytes>>>| {
        seen.lock().unwrap().push(request.headers().get("authorization").cloned());
        async { Ok::<_, Infallible>(Response::new(())) }
    });
    let error = layer.clone().layer(inner.clone()).oneshot(full(24_576)).await.unwrap_err();
    assert!(matches!(error, LayerError::TooManyFields { fields: 24_576 }), "{error:?}");
    assert_eq!(error.answer().unwrap().status(), 431);
    assert!(sent.lock().unwrap().is_empty());
    layer.layer(inner).oneshot(full(24_000)).await.unwrap();
    assert_eq!(*sent.lock().unwrap(), [Some(HeaderValue::from_static("Bearer sk-ant-oat01-1"))]);
}

/// E1: the caller's own credential.
#[tokio::test]
async fn on_the_wire_of_http_1() {
    let api = Api::start().await;
    let service = api.layer().await.layer(client());
    let uri = format!("{}/v1/messages", api.origin.replace("http://", "http://caller-secret:x@"));
    let mut request = post(uri).header("host", "caller-secret.example").header("x-other", "stays");
    for name in credential_names() {
        request = request.header(name, CALLERS);
    }
    for name in look_alikes() {
        request = request.header(name, "stays");
    }
    let request = request
        .header("connection", "Authorization, x-api-key, X-Other")
        .header("connection", "anthropic-beta, cookie")
        .header("trailer", "x-api-key, x-goog-api-key, authorization, x-checksum");
    let response = service.oneshot(request.body(with_trailers()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);

    let seen = api.request();
    assert!(!seen.contains(CALLERS), "{seen}");
    assert_eq!(fields(&seen, "authorization"), ["Bearer sk-ant-oat01-1"], "{seen}");
    assert_eq!(fields(&seen, "connection"), ["X-Other"], "{seen}");
    assert_eq!(fields(&seen, "x-other"), ["stays"], "{seen}");
    assert_eq!(fields(&seen, "host"), [api.origin.strip_prefix("http://").unwrap()], "{seen}");
    assert!(seen.ends_with("x-checksum: sum\r\n\r\n"), "{seen}");
    for name in credential_names().into_iter().filter(|name| !name.eq_ignore_ascii_case("authorization")) {
        assert!(fields(&seen, &name).is_empty(), "{name}: {seen}");
    }
    for name in look_alikes() {
        assert_eq!(fields(&seen, &name).last().copied(), Some("stays"), "{name}: {seen}");
    }
}

/// E1: the caller's own credential.
#[tokio::test]
async fn on_the_wire_of_http_2() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let origin = http_2_server(Arc::clone(&seen)).await;
    let credential = Credential::builder()
        .configuration(
            r#"{"base_url":"ORIGIN","bearer":{"source":"literal","value":"sk-ant-oat01-h2"}}"#.replace("ORIGIN", &origin),
        )
        .policy(Policy::default().allow_origin(&origin).unwrap())
        .build()
        .unwrap();
    let client: Client<_, Body<Frames>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let service = CredentialLayer::new(credential).layer(client);
    let mut request = post(format!("{}/v1/messages", origin.replace("http://", "http://caller-secret:x@")));
    for name in credential_names() {
        request = request.header(name, CALLERS);
    }
    for name in look_alikes() {
        request = request.header(name, "stays");
    }
    let request = request.header("host", "caller-secret.example").version(http::Version::HTTP_2);
    let response = service.oneshot(request.body(with_trailers()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);

    let (head, trailers) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(head.version, http::Version::HTTP_2);
    let ours: Vec<&[u8]> = head.headers.get_all("authorization").iter().map(HeaderValue::as_bytes).collect();
    assert_eq!(ours, [b"Bearer sk-ant-oat01-h2"]);
    let text = format!("{} {:?} {trailers:?}", head.uri, head.headers);
    assert!(!text.contains(CALLERS), "{text}");
    assert_eq!(trailers.unwrap().get("x-checksum").unwrap(), "sum");
}

type Seen = Arc<Mutex<Vec<(http::request::Parts, Option<HeaderMap>)>>>;

/// Keeps heads and trailers.
async fn http_2_server(seen: Seen) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let seen = Arc::clone(&seen);
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    let (head, body) = request.into_parts();
                    let trailers = body.collect().await?.trailers().cloned();
                    seen.lock().unwrap().push((head, trailers));
                    Ok::<_, hyper::Error>(http::Response::new(Full::<Bytes>::default()))
                }
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    origin
}

/// E1. Trailers that were credentials and nothing else leave nothing behind.
#[tokio::test]
async fn trailers_of_credentials_alone_are_not_sent() {
    let api = Api::start().await;
    let service = api.layer().await.layer(client());
    let mut trailers = HeaderMap::new();
    trailers.insert("x-api-key", HeaderValue::from_static(CALLERS));
    let frames = [Ok::<_, Infallible>(Frame::data(Bytes::from("{}"))), Ok(Frame::trailers(trailers))];
    let request = post(format!("{}/v1/messages", api.origin)).header("trailer", "x-api-key");
    service.oneshot(request.body(StreamBody::new(tokio_stream::iter(frames))).unwrap()).await.unwrap();
    assert!(api.request().ends_with("\r\n2\r\n{}\r\n0\r\n\r\n"), "{}", api.request());
}

/// E8: logs see no token.
#[tokio::test]
async fn the_value_is_marked_as_sensitive() {
    let mut headers = HeaderMap::new();
    some_token().apply(&mut headers);
    assert!(headers["authorization"].is_sensitive());
    assert!(!format!("{headers:?}").contains("sk-ant"), "{headers:?}");
}

/// A token of a credential that has long ended.
fn some_token() -> &'static Token {
    static TOKEN: OnceLock<Token> = OnceLock::new();
    TOKEN.get_or_init(|| {
        std::thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let literal = r#"{"bearer":{"source":"literal","value":"sk-ant-oat01-ours"}}"#;
                Credential::builder().configuration(literal).build().unwrap().token().await.unwrap()
            })
        })
        .join()
        .unwrap()
    })
}

/// The name of a credential as somebody might write it.
fn credential_field() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    let value = prop_oneof![Just(CALLERS.as_bytes().to_vec()), Just(b"\xff caller-secret".to_vec())];
    (prop::sample::select(credential_names()), prop::collection::vec(any::<bool>(), 40), value).prop_map(
        |(name, flips, value)| {
            let bytes = name.bytes().zip(flips).map(|(byte, flip)| match byte {
                b'-' | b'_' if flip => b'_',
                _ if flip => byte.to_ascii_uppercase(),
                _ => byte,
            });
            (HeaderName::from_bytes(&bytes.collect::<Vec<u8>>()).unwrap(), HeaderValue::from_bytes(&value).unwrap())
        },
    )
}

fn other_field() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    let name = prop_oneof![
        "x-[a-f]{1,8}",
        Just("content-type".to_owned()),
        Just("anthropic-beta".to_owned()),
        Just("anthropic-version".to_owned()),
        Just("authorizations".to_owned()),
        Just("x-goo".to_owned()),
    ];
    let value = prop::collection::vec(prop_oneof![Just(b'\t'), 0x20..=0x7e_u8, 0x80..=0xff_u8], 0..20);
    (name, value).prop_map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_bytes(&value).unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// E1: the caller's own credential.
    #[test]
    fn whatever_the_headers_are(
        credentials in prop::collection::vec(credential_field(), 0..8),
        others in prop::collection::vec(other_field(), 0..8),
        hops in prop::collection::vec(prop::sample::select(vec!["authorization", "Cookie", "x-a", "anthropic-beta", "close", ""]), 0..5),
    ) {
        let mut headers = HeaderMap::new();
        headers.extend([(http::header::CONNECTION, HeaderValue::from_str(&hops.join(",")).unwrap())]);
        for (name, value) in credentials.iter().chain(&others) {
            headers.append(name.clone(), value.clone());
        }
        some_token().apply(&mut headers);

        let ours: Vec<_> = headers.get_all("authorization").iter().collect();
        prop_assert_eq!(ours, ["Bearer sk-ant-oat01-ours"]);
        for (name, value) in &headers {
            prop_assert!(!value.as_bytes().windows(CALLERS.len()).any(|part| part == CALLERS.as_bytes()), "{}", name);
        }
        for (name, _) in others.iter().filter(|(name, _)| name != "anthropic-beta") {
            let sent: Vec<_> = others.iter().filter(|other| other.0 == *name).map(|other| &other.1).collect();
            prop_assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), sent);
        }
        let betas: Vec<_> = headers.get_all("anthropic-beta").iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).collect();
        prop_assert_eq!(betas.iter().filter(|beta| **beta == b"oauth-2025-04-20").count(), 1);
        for value in headers.get_all("connection") {
            let value = value.to_str().unwrap().to_ascii_lowercase();
            prop_assert!(!value.contains("authorization") && !value.contains("cookie") && !value.contains("beta"), "{}", value);
        }

        let once = headers.clone();
        some_token().apply(&mut headers);
        prop_assert_eq!(headers, once);
    }
}
