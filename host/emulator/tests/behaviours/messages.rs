use std::time::Duration;

use serde_json::{Value, json};
use wif_emulator::{ErrorShape, Kind, Options, Outcome, Reason, TokenId};

use crate::world::{Received, World, message_body};

async fn send(request: reqwest::RequestBuilder) -> Received {
    let request = request.header("anthropic-version", "2023-06-01");
    Received::of(request.send().await.unwrap()).await.unwrap()
}

fn assert_invalid_access_token(answer: &Received) {
    assert_eq!(answer.status, 401);
    assert!(answer.headers.contains_key("request-id"));
    assert!(!answer.headers.contains_key("anthropic-organization-id"));
    assert_eq!(
        answer.json(),
        json!({
            "type": "error",
            "error": { "type": "authentication_error", "message": "OAuth access token is invalid." },
            "request_id": null,
        })
    );
}

#[tokio::test]
async fn a_message_is_answered_and_names_the_tenant() {
    let world = World::start().await;
    let token = world.access_token().await;
    let answer = world.message(&token).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["type"], "message");
    assert_eq!(answer.json()["content"][0]["type"], "text");
    assert_eq!(answer.json()["stop_reason"], "end_turn");
    let options = world.emulator.options();
    assert_eq!(answer.header("anthropic-organization-id"), Some(options.organization_id.as_str()));
    assert_eq!(answer.header("anthropic-workspace-id"), Some(options.workspace_ids[0].as_str()));
    let entry = world.last();
    assert_eq!((entry.kind, entry.outcome), (Kind::Message, Outcome::Granted));
    assert_eq!(entry.access_token_id, Some(TokenId::of(&token)));
}

#[tokio::test]
async fn a_streamed_message_arrives_event_by_event() {
    let world = World::with(Options { stream_delay: Duration::from_millis(5), ..Options::default() }).await;
    let token = world.access_token().await;
    let mut response = world
        .client
        .post(world.url("/v1/messages"))
        .bearer_auth(token)
        .header("anthropic-version", "2023-06-01")
        .body(message_body(true).to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut chunks = 0;
    let mut text = String::new();
    while let Some(chunk) = response.chunk().await.unwrap() {
        chunks += 1;
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(chunks > 3, "{chunks} chunks");

    let mut names = Vec::new();
    let mut said = String::new();
    for event in text.split_terminator("\n\n") {
        let (name, data) = event.split_once('\n').unwrap();
        let name = name.strip_prefix("event: ").unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data["type"], name);
        said.push_str(data["delta"]["text"].as_str().unwrap_or_default());
        names.push(name.to_owned());
    }
    assert!(said.starts_with("Hello"));
    names.dedup();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "ping",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
}

#[tokio::test]
async fn a_bogus_bearer_is_answered_as_the_api_does() {
    let world = World::start().await;
    assert_invalid_access_token(&world.message("sk-ant-oat01-bogus").await);
    assert_eq!(world.last().reason, Some(Reason::TokenUnknown));
}

#[tokio::test]
async fn a_revoked_access_token_is_refused_and_others_are_not() {
    let world = World::start().await;
    let (first, second) = (world.access_token().await, world.access_token().await);
    assert!(world.emulator.revoke(&first));
    assert!(!world.emulator.revoke("sk-ant-oat01-bogus"));
    assert_invalid_access_token(&world.message(&first).await);
    assert_eq!(world.last().reason, Some(Reason::TokenRevoked));
    assert_eq!(world.message(&second).await.status, 200);

    assert_eq!(world.emulator.revoke_all(), 1);
    assert_invalid_access_token(&world.message(&second).await);
    let third = world.access_token().await;
    assert_eq!(world.message(&third).await.status, 200);
    assert_eq!(world.emulator.revoke_id(&TokenId::of(&third)), 1);
    assert_invalid_access_token(&world.message(&third).await);
}

#[tokio::test]
async fn an_expired_access_token_is_refused() {
    let world = World::start().await;
    let token = world.access_token().await;
    world.clock.forward(3600);
    assert_invalid_access_token(&world.message(&token).await);
    assert_eq!(world.last().reason, Some(Reason::TokenExpired));
}

#[tokio::test]
async fn a_request_without_a_credential_is_refused() {
    let world = World::start().await;
    let answer = send(world.message_request()).await;
    answer.assert_opaque_denial();
    assert_eq!(world.last().reason, Some(Reason::CredentialMissing));

    let older = World::with(Options { error_shape: ErrorShape::OAuth, ..Options::default() }).await;
    let answer = send(older.message_request()).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"]["message"], "x-api-key header is required");
}

#[tokio::test]
async fn an_access_token_as_an_api_key_is_refused() {
    let world = World::start().await;
    let token = world.access_token().await;
    let answer = send(world.message_request().header("x-api-key", &token)).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["error"]["message"], "invalid x-api-key");
    assert_eq!(world.last().reason, Some(Reason::ApiKeyInvalid));
}

#[tokio::test]
async fn two_credentials_are_refused_even_if_one_is_good() {
    let world = World::start().await;
    let token = world.access_token().await;
    let both = world.message_request().header("x-api-key", "k").bearer_auth(&token);
    assert_eq!(send(both).await.status, 401);
    assert_eq!(world.last().reason, Some(Reason::CredentialAmbiguous));
    let twice = world.message_request().bearer_auth(&token).header("authorization", format!("Bearer {token}"));
    assert_eq!(send(twice).await.status, 401);
    assert_eq!(world.last().reason, Some(Reason::CredentialAmbiguous));
}

#[tokio::test]
async fn the_version_header_is_required() {
    let world = World::start().await;
    let token = world.access_token().await;
    let answer = Received::of(world.message_request().bearer_auth(token).send().await.unwrap()).await.unwrap();
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["message"], "anthropic-version: header is required");
}

#[tokio::test]
async fn a_malformed_message_is_answered_with_400() {
    let world = World::start().await;
    let token = world.access_token().await;
    let request = world.client.post(world.url("/v1/messages")).bearer_auth(token).body("{}");
    let answer = send(request).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error"]["message"], "model: Field required");
}

#[tokio::test]
async fn hello_answers_without_a_credential() {
    let world = World::start().await;
    let url = world.url("/api/hello");
    assert_eq!(world.client.get(&url).send().await.unwrap().status(), 200);
    assert_eq!(world.client.head(&url).send().await.unwrap().status(), 200);
    assert!(world.emulator.history().is_empty());
}
