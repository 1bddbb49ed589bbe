use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use wif_test_cases::requests::{credential_names, look_alikes};

use crate::harness::client::{Http2, message_request, raw};
use crate::harness::{Form, Plan, Protocol, World, in_every_form};

/// Part of every value that a caller should not have sent.
const CALLERS: &str = "caller-secret";

/// Holds that the newest request of the API carries our credential and nothing of the caller's.
fn holds_ours_alone(world: &World, requests: usize) {
    let seen = world.api.as_ref().expect("the plan says so").requests();
    assert_eq!(seen.len(), requests);
    let seen = seen.last().expect("one");
    assert!(!seen.0.contains(CALLERS), "{seen:?}");
    let [authorization] = seen.values("authorization")[..] else { panic!("{seen:?}") };
    assert!(authorization.starts_with("Bearer sk-ant-oat01-"), "{seen:?}");
    for name in credential_names().iter().filter(|name| !name.eq_ignore_ascii_case("authorization")) {
        assert!(seen.values(name).is_empty(), "{name}: {seen:?}");
    }
    for name in look_alikes() {
        assert_eq!(seen.values(&name).last().copied(), Some("stays"), "{name}: {seen:?}");
    }
    assert_eq!(seen.values("x-other"), ["stays"], "{seen:?}");
}

in_every_form! {
    /// E1: by HTTP/1.1, to upstreams of both protocols, while the token is there and while it is not.
    async fn a_callers_credentials_of_http_1_go_nowhere(form: Form) {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let Some(world) = Plan::new(form).capture(protocol).start().await else { return };
            let mut head = String::from("POST /v1/messages HTTP/1.1\r\nHost: api\r\nX-Other: stays\r\n");
            for name in credential_names() {
                head.push_str(&format!("{name}: Bearer {CALLERS}\r\n"));
            }
            for name in look_alikes() {
                head.push_str(&format!("{name}: stays\r\n"));
            }
            head.push_str("Connection: Authorization, x-api-key, close\r\nTransfer-Encoding: chunked\r\nTrailer: x-api-key\r\n\r\n");
            let body = "2\r\n{}\r\n0\r\nx-api-key: caller-secret\r\nAuthorization: Bearer caller-secret\r\nX_Goog_Api_Key: caller-secret\r\n\r\n";
            for requests in 1..=2 {
                let answer = raw(world.gateway, format!("{head}{body}").as_bytes()).await;
                assert!(answer.starts_with("HTTP/1.1 200"), "{protocol:?}: {answer}");
                holds_ours_alone(&world, requests);
            }
        }
    }
}

in_every_form! {
    /// E1: by HTTP/2, with the same field many times, and in trailers.
    async fn a_callers_credentials_of_http_2_go_nowhere(form: Form) {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let Some(world) = Plan::new(form).capture(protocol).start().await else { return };
            let connection = Http2::connect(world.gateway).await;
            for requests in 1..=2 {
                let mut request = message_request(world.gateway).header("x-other", "stays").header("te", "trailers");
                for name in credential_names() {
                    request = request.header(name, CALLERS);
                }
                for name in look_alikes() {
                    request = request.header(name, "stays");
                }
                let mut trailers = HeaderMap::new();
                for name in ["x-api-key", "authorization", "x-goog-api-key"] {
                    trailers.insert(name, HeaderValue::from_static(CALLERS));
                }
                let body = Full::new(Bytes::from("{}")).with_trailers(async move { Some(Ok(trailers)) }).boxed();
                let answer = connection.send(request.body(body).expect("it is well-formed")).await.expect("an answer");
                assert_eq!(answer.status, 200, "{protocol:?}: {answer:?}");
                holds_ours_alone(&world, requests);
            }
        }
    }
}

in_every_form! {
    /// E1, E2: what a sloppy server might take for a credential is refused by Envoy, or comes to nothing.
    async fn forms_that_envoy_may_refuse_reach_nobody_with_a_callers_credential(form: Form) {
        let Some(world) = Plan::new(form).capture(Protocol::Http1).start().await else { return };
        let requests = [
            // Folded over two lines (RFC 9112 section 5.2).
            "GET /v1/models HTTP/1.1\r\nHost: api\r\nX-Folded: one\r\n Authorization: Bearer caller-secret\r\nConnection: close\r\n\r\n",
            "GET /v1/models HTTP/1.1\r\nHost: api\r\nAuthorization:\r\n Bearer caller-secret\r\nConnection: close\r\n\r\n",
            // A space before the colon.
            "GET /v1/models HTTP/1.1\r\nHost: api\r\nAuthorization : Bearer caller-secret\r\nConnection: close\r\n\r\n",
            // In the target and in the host.
            "GET http://caller-secret@api/v1/models HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n",
            "GET /v1/models HTTP/1.1\r\nHost: caller-secret@api\r\nConnection: close\r\n\r\n",
        ];
        for request in requests {
            let answer = raw(world.gateway, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
            let api = world.api.as_ref().expect("the plan says so");
            // Folding makes one value of two lines; a value of another field is no credential.
            let credentials = |line: &&str| line.contains(CALLERS) && !line.starts_with("x-folded:");
            let text = api.text();
            assert_eq!(text.split("\r\n").find(credentials), None, "{request:?}: {text}");
        }
        for seen in world.api.as_ref().expect("the plan says so").requests() {
            assert_eq!(seen.values("authorization").len(), 1, "{seen:?}");
        }
    }
}

in_every_form! {
    /// E2: whoever is behind another cluster gets the caller's credential, as without the filter, and never ours.
    async fn requests_to_other_clusters_are_not_touched(form: Form) {
        let Some(world) = Plan::new(form).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        let request = world.caller.post("/elsewhere").header("authorization", "Bearer caller-secret").header("x-api-key", CALLERS);
        assert_eq!(crate::harness::client::send(request).await.status, 200);
        let bare = world.caller.post("/elsewhere").header("host", "api.anthropic.com");
        assert_eq!(crate::harness::client::send(bare).await.status, 200);
        let seen = world.elsewhere.requests();
        assert_eq!(seen[0].values("authorization"), ["Bearer caller-secret"], "{seen:?}");
        assert_eq!(seen[0].values("x-api-key"), [CALLERS], "{seen:?}");
        assert!(seen[1].values("authorization").is_empty(), "{seen:?}");
        assert!(!world.elsewhere.text().contains("sk-ant-"), "{seen:?}");
    }
}

in_every_form! {
    /// E4, E5: what is no request to the API as such carries no credential, neither the caller's nor ours.
    async fn preflights_traces_and_upgrades_carry_no_credential(form: Form) {
        let Some(world) = Plan::new(form).capture(Protocol::Http1).start().await else { return };
        for method in ["OPTIONS", "TRACE"] {
            let request = "/v1/messages HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer caller-secret\r\nConnection: close\r\n\r\n";
            let answer = raw(world.gateway, format!("{method} {request}").as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{method}: {answer}");
        }
        let upgrade = "GET /v1/messages HTTP/1.1\r\nHost: api\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Authorization: Bearer caller-secret\r\n\r\n";
        // Envoy upgrades nothing unless it is told to.
        let answer = raw(world.gateway, upgrade.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
        let seen = world.api.as_ref().expect("the plan says so").text();
        assert!(seen.starts_with("OPTIONS ") && seen.contains("TRACE "), "{seen}");
        assert!(!seen.to_ascii_lowercase().contains("authorization"), "{seen}");
        assert_eq!(world.emulator.counts().exchanges, 0);
    }
}
