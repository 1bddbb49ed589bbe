//! An application that knows nothing of credentials, composed with the interposer and the standalone component, in a plain
//! component runtime.

#![cfg(unix)]

mod cases;
mod composition;
mod cost;
mod engine;
mod host;
mod refresh;
mod sources;

use std::collections::HashMap;
use std::time::Duration;

use host::{Call, ELSEWHERE, ONE_REQUEST, SERVE, World};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tokio::time::timeout;
use wif_emulator::Fault;

/// The fields of an answer or of a request, as the application saw them.
fn fields(seen: &Value) -> HashMap<String, String> {
    let pair = |pair: &Value| Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned()));
    seen.as_array().expect("a list").iter().filter_map(pair).collect()
}

#[tokio::test]
async fn its_call_to_the_api_arrives_authenticated() {
    let world = World::start().await;
    let application = world.serve(SERVE);
    let call = Call::message(&world);
    let seen = application.call(call.clone()).await;
    assert_eq!(seen["status"], 200, "{seen}");

    let sent = world.seen.last();
    assert!(sent.fields["authorization"].to_str().unwrap().starts_with("Bearer sk-ant-oat01-"));
    assert_eq!(sent.fields["anthropic-version"], "2023-06-01");
    assert_eq!((sent.method.as_str(), sent.uri.path(), sent.body.as_ref()), ("POST", "/v1/messages", call.body.as_slice()));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn the_sample_application_answers_with_what_the_api_says() {
    let world = World::start().await;
    let application = world.serve_sample();
    for _ in 0..2 {
        let models = application.call(Call::get("http://application/".to_owned())).await;
        assert!(models["data"][0]["id"].as_str().is_some_and(|id| id.starts_with("claude-")), "{models}");
    }
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn its_calls_elsewhere_arrive_untouched_and_start_no_exchange() {
    let world = World::start().await;
    let application = world.serve(SERVE);
    let fields = [("authorization", "Bearer of the application"), ("x-api-key", "its key"), ("cookie", "a=b"), ("x-other", "1")];
    for url in [format!("{ELSEWHERE}/path?query"), world.api("/path").replace("127.0.0.1", "localhost")] {
        let trailers = vec![("x-api-key", "its key"), ("x-checksum", "1")];
        let body = b"content".to_vec();
        let call = Call { method: "POST", url: url.clone(), fields: fields.to_vec(), trailers, body, ..Call::default() };
        let seen = application.call(call).await;
        assert_eq!((&seen["status"], &seen["body"]), (&json!(200), &json!("elsewhere")), "{seen}");
        let sent = world.seen.last();
        for (name, value) in fields {
            assert_eq!(sent.fields[name], value);
        }
        let added: Vec<&str> =
            sent.fields.keys().map(|name| name.as_str()).filter(|name| !fields.iter().any(|(known, _)| known == name)).collect();
        assert!(added.iter().all(|name| *name == "host"), "{added:?}");
        assert_eq!(sent.uri.to_string(), url);
        assert_eq!(sent.trailers["x-api-key"], "its key");
        assert_eq!(sent.trailers["x-checksum"], "1");
        assert_eq!((sent.trailers.len(), sent.body.as_ref()), (2, b"content".as_slice()));
    }
    assert_eq!(world.exchanges(), 0);
}

/// E7, G1: neither token is in anything that the application sees, though the API repeats what it was sent.
#[tokio::test]
async fn no_token_is_in_what_the_application_sees() {
    let world = World::start().await;
    let application = world.serve(SERVE);
    let seen = application.call(Call::get(world.api("/echo"))).await;

    let authorization = world.seen.last().fields["authorization"].to_str().unwrap().to_owned();
    let token = authorization.strip_prefix("Bearer ").unwrap();
    let identity_token = world.file.current();
    let text = seen.to_string();
    assert!(!text.contains(token), "{text}");
    assert!(!text.contains(identity_token.expose()), "{text}");
    // It did look.
    assert!(fields(&seen["environment"]).contains_key("WIF_CONFIGURATION"), "{text}");
    assert!(!fields(&seen["sent"]).contains_key("authorization"), "{text}");
    assert_eq!(seen["body"], "echoed");
    // What holds no token stays.
    let kept: Vec<&Value> = seen["fields"].as_array().unwrap().iter().filter(|pair| pair[0] == "x-kept").collect();
    assert_eq!(kept, [&json!(["x-kept", "kept"]), &json!(["x-kept", "twice"])]);
    assert_eq!(seen["trailers"], json!([["x-checksum", "1"]]));
}

/// E9: there is no token.
#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let world = World::start().await;
    let mut configuration = world.configuration();
    configuration["federation"]["identity_token"]["path"] = json!("/var/run/secrets/anthropic/missing");
    let application = world.serve_with(SERVE, &configuration);
    let seen = application.call(Call::message(&world).with("x-api-key", "of the application")).await;
    assert_eq!(seen["status"], 503, "{seen}");
    let fields = fields(&seen["fields"]);
    assert!(fields["retry-after"].parse::<u64>().unwrap() >= 1, "{seen}");
    assert_eq!(fields["x-wif-code"], "identity-token-missing");
    let document: Value = serde_json::from_str(seen["body"].as_str().unwrap()).unwrap();
    assert_eq!(document["type"], "error");
    assert!(document["error"]["message"].as_str().unwrap().contains("identity-token-missing"), "{document}");
    assert!(world.seen.all().is_empty());

    // What has nothing to do with the API is not held up by it.
    assert_eq!(application.call(Call::get(format!("{ELSEWHERE}/"))).await["status"], 200);
}

#[tokio::test]
async fn as_long_as_nobody_knows_the_origin_nothing_is_sent_anywhere() {
    let world = World::start().await;
    let application = world.serve_with(SERVE, &json!({ "base_url": "no URL" }));
    for url in [world.api("/v1/messages"), format!("{ELSEWHERE}/")] {
        let seen = application.call(Call::get(url)).await;
        assert_eq!(seen["status"], 503, "{seen}");
    }
    assert!(world.seen.all().is_empty());
}

/// E9: never with another credential, and never without one.
#[tokio::test]
async fn a_host_that_does_not_let_the_credential_be_set_sends_nothing() {
    let mut world = World::start().await;
    world.forbidden = Some("authorization");
    let seen = world.serve(SERVE).call(Call::message(&world).with("x-api-key", "of the application")).await;
    assert!(seen["error"].as_str().is_some_and(|error| error.contains("credential's headers")), "{seen}");
    assert!(world.seen.all().is_empty());
}

/// The instance lives on, and nobody but the interposer asks.
#[tokio::test]
async fn a_configuration_that_comes_later_is_found() {
    let world = World::start().await;
    let application = world.serve_profile(SERVE);
    let seen = application.call(Call::message(&world)).await;
    assert!(seen["status"] == 503 && seen["body"].as_str().unwrap().contains("(configuration)"), "{seen}");

    world.write_profile();
    world.clock.forward(Duration::from_secs(61));
    let seen = application.call(Call::message(&world)).await;
    assert_eq!(seen["status"], 200, "{seen}");
    assert_eq!(application.instances(), 1);
}

/// Whoever asks where requests go starts nothing that would be overdue when somebody needs it.
#[tokio::test]
async fn a_first_call_to_the_api_is_served_long_after_one_elsewhere() {
    let world = World::start().await;
    let application = world.serve(SERVE);
    assert_eq!(application.call(Call::get(format!("{ELSEWHERE}/"))).await["status"], 200);
    world.clock.forward(Duration::from_secs(6));
    let seen = application.call(Call::message(&world)).await;
    assert_eq!(seen["status"], 200, "{seen}");
    assert_eq!((world.exchanges(), application.instances()), (1, 1));
}

#[tokio::test]
async fn an_application_may_wait_for_the_answer_before_it_writes_the_body() {
    let world = World::start().await;
    let application = world.serve(SERVE);
    for url in [format!("{ELSEWHERE}/early"), world.api("/early")] {
        let call = Call { url, ..Call::message(&world) }.head_first();
        let seen = timeout(Duration::from_secs(20), application.call(call)).await.expect("it is not waited for");
        assert_eq!(seen["body"], "early", "{seen}");
    }
}

/// E12: the application never learns of it.
#[tokio::test]
async fn a_rejected_token_is_replaced_and_the_request_is_sent_once_more() {
    let world = World::start().await;
    let application = world.serve(ONE_REQUEST);
    assert_eq!(application.call(Call::message(&world)).await["status"], 200);
    // Exchanges keep their distance.
    world.clock.forward(Duration::from_secs(10));
    world.emulator.revoke_all();
    world.file.rotate().unwrap();

    let call = Call::message(&world);
    let seen = application.call(call.clone()).await;
    assert_eq!(seen["status"], 200, "{seen}");
    let sent = world.seen.all();
    assert_eq!(sent.len(), 3);
    assert_ne!(sent[1].fields["authorization"], sent[2].fields["authorization"]);
    assert_eq!(sent[1].body, sent[2].body);
    assert_eq!(sent[1].uri, sent[2].uri);
    assert_eq!(world.exchanges(), 2);
}

/// E12: a body that is not remembered is not sent twice, and the next request has the new token.
#[tokio::test]
async fn a_long_body_is_not_sent_twice_and_its_rejection_is_not_lost() {
    let world = World::start().await;
    let application = world.serve(ONE_REQUEST);
    assert_eq!(application.call(Call::message(&world)).await["status"], 200);
    world.clock.forward(Duration::from_secs(10));
    world.emulator.revoke_all();
    world.file.rotate().unwrap();

    let mut long = Call::message(&world);
    long.body.extend(vec![b' '; 3 << 20]);
    assert_eq!(application.call(long.clone()).await["status"], 401);
    let sent = world.seen.all();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[1].body, long.body, "all of it has arrived");
    assert_eq!(application.call(Call::message(&world)).await["status"], 200);
    assert_eq!(world.exchanges(), 2);
}

/// C1: with the limits of `wasmtime serve`, several instances start at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_requests_at_once_make_one_exchange() {
    let world = World::start().await;
    world.emulator.inject(Fault::Delay(Duration::from_millis(300)));
    let application = std::sync::Arc::new(world.serve(SERVE));
    for _ in 0..3 {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..32 {
            let (application, call) = (std::sync::Arc::clone(&application), Call::message(&world));
            calls.spawn(async move { application.call(call).await });
        }
        for seen in calls.join_all().await {
            assert_eq!(seen["status"], 200, "{seen}");
        }
    }
    assert_eq!(world.exchanges(), 1);
    assert!(application.instances() < 96, "they are used again: {}", application.instances());
}

/// The host drops every instance after one request; what they share is the directory.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_instance_for_every_request_makes_one_exchange_as_well() {
    let world = World::start().await;
    let application = std::sync::Arc::new(world.serve(ONE_REQUEST));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let (application, call) = (std::sync::Arc::clone(&application), Call::message(&world));
        calls.spawn(async move { application.call(call).await });
    }
    for seen in calls.join_all().await {
        assert_eq!(seen["status"], 200, "{seen}");
    }
    for _ in 0..8 {
        assert_eq!(application.call(Call::message(&world)).await["status"], 200);
    }
    assert_eq!(application.instances(), 32);
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn the_first_piece_of_an_answer_is_not_held_back() {
    let world = World::start().await;
    let application = world.serve(SERVE);
    let first = async {
        let mut body = application.stream(Call::get(world.api("/drip"))).await;
        body.frame().await.expect("there is one").expect("it arrives").into_data().expect("it is data")
    };
    assert_eq!(timeout(Duration::from_secs(20), first).await.expect("it is not held back"), "first");
}
