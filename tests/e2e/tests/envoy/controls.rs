use serde_json::json;
use wif_emulator::Reason;

use crate::harness::bootstrap::typed;
use crate::harness::client::raw;
use crate::harness::{Plan, Protocol};

/// A filter of Envoy's own that sets a header.
fn static_credential() -> serde_json::Value {
    let header = json!({ "key": "authorization", "value": "Bearer static" });
    let mutation = json!({ "append": { "header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" } });
    let kind = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation";
    typed("static", kind, json!({ "mutations": { "request_mutations": [mutation] } }))
}

#[tokio::test]
async fn a_callers_credentials_are_seen_on_the_wire_of_http_1_and_http_2() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let Some(world) = Plan::new(None).capture(protocol).start().await else { return };
        let request = "POST /v1/messages HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer mine\r\nx-api-key: mine\r\n\
                       Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx-goog-api-key: mine\r\n\r\n";
        let answer = raw(world.gateway, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{protocol:?}: {answer}");
        let seen = world.api.as_ref().expect("the plan says so").requests();
        let [seen] = &seen[..] else { panic!("{protocol:?}: {seen:?}") };
        assert_eq!(seen.values("Authorization"), ["Bearer mine"], "{protocol:?}: {seen:?}");
        assert_eq!(seen.values("x-api-key"), ["mine"], "{protocol:?}: {seen:?}");
        assert_eq!(seen.values("x-goog-api-key"), ["mine"], "{protocol:?}: {seen:?}");
    }
}

#[tokio::test]
async fn a_request_without_a_credential_is_seen_in_the_history() {
    let Some(world) = Plan::new(None).start().await else { return };
    assert_eq!(world.caller.message().await.status, 401);
    assert_eq!(world.emulator.history()[0].reason, Some(Reason::CredentialMissing));
}

#[tokio::test]
async fn what_a_filter_sets_is_seen_on_the_wire_and_callers_share_the_workers() {
    let plan = Plan::new(None).concurrency(4).capture(Protocol::Http1);
    let Some(world) = plan.setup(|setup| setup.before.push(static_credential())).start().await else { return };
    let answers = world.caller.burst(100).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let seen = world.api.as_ref().expect("the plan says so").requests();
    assert_eq!(seen.len(), 100);
    assert!(seen.iter().all(|seen| seen.values("authorization") == ["Bearer static"]), "{seen:?}");
    let workers = world.envoy.stats("^listener\\.127.*worker_[0-9]\\.downstream_cx_total$").await;
    assert_eq!(workers.len(), 4, "{workers:?}");
    assert!(workers.iter().filter(|(_, connections)| *connections > 0).count() >= 2, "{workers:?}");
}

#[tokio::test]
async fn a_changed_listener_takes_effect_and_keeps_its_port() {
    let Some(mut world) = Plan::new(None).capture(Protocol::Http1).start().await else { return };
    assert_eq!(world.caller.message().await.status, 200);
    world.reload(|setup| setup.before.push(static_credential()));
    let api = world.api.as_ref().expect("the plan says so");
    world
        .until("the filter is in force", async || {
            assert_eq!(world.caller.message().await.status, 200);
            api.requests().last().is_some_and(|seen| seen.values("authorization") == ["Bearer static"])
        })
        .await;
    assert_eq!(world.envoy.address("gateway").await, world.gateway);
}

#[tokio::test]
async fn the_gate_holds_back_and_lets_go() {
    // The identity token's listener is asked through the gate's twin: a gate before the API.
    let Some(world) = Plan::new(None).closed().setup(|setup| setup.api = setup.token_endpoint).start().await else { return };
    let mut requests = world.caller.start_burst(3);
    world.until("all are held", async || world.gate.held() == 3).await;
    assert_eq!(world.emulator.counts().messages, 0);
    world.gate.open();
    while let Some(answer) = requests.join_next().await {
        assert_eq!(answer.expect("no panic").status, 401);
    }
    assert_eq!(world.emulator.counts().messages, 3);
}
