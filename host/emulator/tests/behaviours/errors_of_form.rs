use serde_json::{Value, json};
use wif_emulator::{Outcome, Reason};

use crate::world::{Received, World};

fn assert_malformed(answer: &Received, message: &str) {
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    assert_eq!(answer.json()["error"]["message"], message);
    assert_eq!(answer.json()["request_id"], answer.header("request-id").unwrap());
}

#[tokio::test]
async fn a_malformed_field_is_answered_with_400_and_its_name() {
    let world = World::start().await;
    for (field, value, message) in [
        ("grant_type", json!("client_credentials"), "grant_type: must be `urn:ietf:params:oauth:grant-type:jwt-bearer`"),
        ("federation_rule_id", json!("fdrl-1"), "federation_rule_id is not a well-formed fdrl_ tagged ID"),
        ("organization_id", json!("org_01abc"), "organization_id: must be a UUID"),
        ("service_account_id", json!("user_01abc"), "service_account_id: does not have prefix `svac_`"),
        ("workspace_id", json!("production"), "workspace_id: must be a wrkspc_ tagged ID or `default`"),
        ("assertion", json!(7), "assertion: Input should be a valid string"),
        ("assertion", json!(""), "assertion: must not be empty"),
        ("assertion", Value::Null, "assertion: Field required"),
    ] {
        let mut request = world.request(world.provider().mint().expose());
        request.insert(field.to_owned(), value);
        assert_malformed(&world.post_exchange(&request).await, message);
        assert_eq!(world.last().outcome, Outcome::Malformed);
        assert_eq!(world.last().reason, Some(Reason::RequestMalformed));
    }
}

#[tokio::test]
async fn a_missing_field_is_answered_with_400_and_its_name() {
    let world = World::start().await;
    for field in ["grant_type", "assertion", "federation_rule_id", "organization_id"] {
        let mut request = world.request(world.provider().mint().expose());
        request.remove(field);
        assert_malformed(&world.post_exchange(&request).await, &format!("{field}: Field required"));
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_object_is_answered_with_400() {
    let world = World::start().await;
    for body in ["", "[]", "\"text\"", "{", "grant_type=x&assertion=y"] {
        assert_malformed(&world.post_raw(body).await, "The request body is not a JSON object");
    }
}

#[tokio::test]
async fn members_that_the_endpoint_does_not_know_are_ignored() {
    let world = World::start().await;
    let mut request = world.request(world.provider().mint().expose());
    request.insert("expires_in".to_owned(), json!(5400));
    assert_eq!(world.post_exchange(&request).await.expires_in(), 3600);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_answered_with_413() {
    let world = World::start().await;
    let answer = world.post_raw(vec![b' '; 64 * 1024 + 1]).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["error"]["type"], "request_too_large");
    assert_eq!(world.last().reason, Some(Reason::RequestTooLarge));
}

#[tokio::test]
async fn an_identity_token_beyond_16_kib_is_denied() {
    let world = World::start().await;
    let reason = world.denied(&"a".repeat(16 * 1024 + 1)).await;
    assert_eq!(reason, Reason::AssertionTooLarge);
    let reason = world.denied(&"a".repeat(16 * 1024)).await;
    assert_eq!(reason, Reason::AssertionMalformed);
}
