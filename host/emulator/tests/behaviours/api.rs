use serde_json::{Value, json};
use wif_emulator::{Kind, Outcome, Reason};

use crate::world::{World, message_body};

/// The members that the vendor's models require.
#[tokio::test]
async fn a_message_has_what_the_vendors_clients_require() {
    let world = World::start().await;
    let token = world.access_token().await;
    let message = world.post("/v1/messages", &token, &message_body(false)).await.json();
    assert!(message["id"].as_str().unwrap().starts_with("msg_"));
    assert_eq!((message["type"].as_str(), message["role"].as_str()), (Some("message"), Some("assistant")));
    assert_eq!(message["model"], "claude-test");
    assert_eq!(message["stop_sequence"], Value::Null);
    for count in ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"] {
        assert!(message["usage"][count].is_u64(), "{count}");
    }
    // A client that decodes strictly wants these, though they hold nothing.
    for member in ["container", "diagnostics", "stop_details", "stop_sequence"] {
        assert_eq!(message.get(member), Some(&Value::Null), "{member}");
    }
    let mut short = message_body(false);
    short["max_tokens"] = json!(3);
    let message = world.post("/v1/messages", &token, &short).await.json();
    assert_eq!(message["stop_reason"], "max_tokens");
    assert_eq!(message["usage"]["output_tokens"], 3);
}

#[tokio::test]
async fn tokens_are_counted() {
    let world = World::start().await;
    let token = world.access_token().await;
    let count = |content: &str| json!({ "model": "claude-test", "messages": [{ "role": "user", "content": content }] });
    let few = world.post("/v1/messages/count_tokens", &token, &count("hello")).await;
    assert_eq!((few.status, world.last().kind), (200, Kind::CountTokens));
    let many = world.post("/v1/messages/count_tokens", &token, &count(&"hello ".repeat(100))).await;
    let tokens = |answer: &crate::world::Received| answer.json()["input_tokens"].as_u64().unwrap();
    assert!(tokens(&few) > 0 && tokens(&many) > 100);
    let malformed = world.post("/v1/messages/count_tokens", &token, &json!({ "model": "claude-test" })).await;
    assert_eq!((malformed.status, malformed.json()["error"]["message"].as_str()), (400, Some("messages: Field required")));
    // Counting is no message.
    assert_eq!(world.emulator.counts().messages, 0);
}

#[tokio::test]
async fn models_are_listed_in_pages() {
    let world = World::start().await;
    let token = world.access_token().await;
    let all = world.get("/v1/models", &token).await;
    assert_eq!((all.status, world.last().kind, world.last().outcome), (200, Kind::Models, Outcome::Granted));
    let all = all.json();
    let ids: Vec<&str> = all["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert!(ids.len() >= 3);
    assert_eq!((all["first_id"].as_str(), all["last_id"].as_str()), (ids.first().copied(), ids.last().copied()));
    assert_eq!(all["has_more"], false);
    for model in all["data"].as_array().unwrap() {
        assert_eq!(model["type"], "model");
        assert!(model["display_name"].is_string() && model["created_at"].is_string());
        assert_eq!(model["lifecycle"], "active");
    }
    let first = world.get("/v1/models?limit=1", &token).await.json();
    assert_eq!((first["last_id"].as_str(), first["has_more"].as_bool()), (Some(ids[0]), Some(true)));
    let next = world.get(&format!("/v1/models?limit=1&after_id={}", ids[0]), &token).await.json();
    assert_eq!(next["data"][0]["id"], ids[1]);
    let before = world.get(&format!("/v1/models?limit=1&before_id={}", ids[2]), &token).await.json();
    assert_eq!((before["data"][0]["id"].as_str(), before["has_more"].as_bool()), (Some(ids[1]), Some(true)));
    for bad in ["limit=0", "limit=1001", "after_id=unknown"] {
        assert_eq!(world.get(&format!("/v1/models?{bad}"), &token).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn one_model_is_shown_and_an_unknown_one_is_not_found() {
    let world = World::start().await;
    let token = world.access_token().await;
    let id = world.get("/v1/models", &token).await.json()["first_id"].as_str().unwrap().to_owned();
    assert_eq!(world.get(&format!("/v1/models/{id}"), &token).await.json()["id"], id.as_str());
    let unknown = world.get("/v1/models/claude-0", &token).await;
    assert_eq!((unknown.status, unknown.json()["error"]["type"].as_str()), (404, Some("not_found_error")));
}

#[tokio::test]
async fn every_endpoint_of_the_api_wants_a_credential() {
    let world = World::start().await;
    for path in ["/v1/models", "/v1/models/x", "/v1/files", "/v1/organizations/me"] {
        assert_eq!(world.get(path, "sk-ant-oat01-unknown").await.status, 401, "{path}");
        assert_eq!(world.last().reason, Some(Reason::TokenUnknown));
    }
    for path in ["/v1/messages", "/v1/messages/count_tokens"] {
        assert_eq!(world.post(path, "sk-ant-oat01-unknown", &message_body(false)).await.status, 401, "{path}");
    }
}
