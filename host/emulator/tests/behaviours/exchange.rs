use serde_json::json;
use wif_emulator::{Algorithm, ErrorShape, Options, Outcome, Reason, TokenId};

use crate::world::World;

#[tokio::test]
async fn a_good_identity_token_is_exchanged_for_an_access_token_that_the_api_accepts() {
    let world = World::start().await;
    let answer = world.exchange(&world.provider().mint()).await;
    assert_eq!(answer.status, 200);
    let members = answer.json();
    assert_eq!(members["token_type"], "Bearer");
    assert_eq!(members["expires_in"], 3600);
    assert_eq!(members["workspace_id"], world.emulator.options().workspace_ids[0].as_str());
    // Undocumented, and a strict decoder fails on them.
    assert_eq!(members["next_challenge"], "");
    assert_eq!(members["next_challenge_expires_in"], 0);
    let token = answer.access_token();
    let random = token.strip_prefix("sk-ant-oat01-").expect("the prefix of access tokens");
    assert!(random.len() >= 64);
    assert_eq!(world.message(&token).await.status, 200);
}

#[tokio::test]
async fn an_rs256_key_works_as_well() {
    let world = World::with(Options { algorithm: Algorithm::Rs256, ..Options::default() }).await;
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 200);
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_the_date_of_the_emulators_clock_and_is_not_stored() {
    let world = World::start().await;
    for assertion in [world.provider().mint().expose(), "not a token"] {
        let answer = world.exchange_text(assertion).await;
        assert!(answer.header("request-id").unwrap().starts_with("req_"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(httpdate::parse_http_date(answer.header("date").unwrap()).unwrap(), world.clock.now());
    }
}

#[tokio::test]
async fn the_history_names_both_tokens_of_an_exchange_by_their_ids() {
    let world = World::start().await;
    let token = world.provider().mint();
    let answer = world.exchange(&token).await;
    let entry = world.last();
    assert_eq!(entry.outcome, Outcome::Granted);
    assert_eq!(entry.reason, None);
    assert_eq!(entry.request_id, answer.header("request-id").unwrap());
    assert_eq!(entry.assertion_id, Some(token.id()));
    assert_eq!(entry.jti.as_deref(), token.jti());
    assert_eq!(entry.access_token_id, Some(TokenId::of(&answer.access_token())));
    assert_eq!(entry.lifetime_seconds, Some(3600));
}

#[tokio::test]
async fn another_rule_organization_or_service_account_is_denied() {
    let world = World::start().await;
    for (field, value, reason) in [
        ("federation_rule_id", "fdrl_01other", Reason::RuleNotFound),
        ("organization_id", "00000000-0000-4000-8000-000000000000", Reason::RuleNotFound),
        ("service_account_id", "svac_01other", Reason::ServiceAccountNotFound),
    ] {
        let mut request = world.request(world.provider().mint().expose());
        request[field] = json!(value);
        world.post_exchange(&request).await.assert_opaque_denial();
        assert_eq!(world.last().reason, Some(reason), "{field}");
    }
}

#[tokio::test]
async fn the_service_account_may_be_left_out() {
    let world = World::start().await;
    let mut request = world.request(world.provider().mint().expose());
    request.remove("service_account_id");
    assert_eq!(world.post_exchange(&request).await.status, 200);
}

#[tokio::test]
async fn a_rule_with_several_workspaces_wants_one_to_be_named() {
    let workspace_ids = vec!["wrkspc_01a".to_owned(), "default".to_owned()];
    let world = World::with(Options { workspace_ids, ..Options::default() }).await;
    let mut request = world.request(world.provider().mint().expose());

    world.post_exchange(&request).await.assert_opaque_denial();
    assert_eq!(world.last().reason, Some(Reason::WorkspaceIdRequired));

    request.insert("workspace_id".to_owned(), json!("wrkspc_01b"));
    world.post_exchange(&request).await.assert_opaque_denial();
    assert_eq!(world.last().reason, Some(Reason::WorkspaceNotAccessible));

    request["workspace_id"] = json!("wrkspc_01a");
    let answer = world.post_exchange(&request).await;
    assert_eq!(answer.json()["workspace_id"], "wrkspc_01a");
}

#[tokio::test]
async fn the_older_shape_of_errors_is_that_of_rfc_6749() {
    let world = World::with(Options { error_shape: ErrorShape::OAuth, ..Options::default() }).await;
    let denied = world.exchange_text("not a token").await;
    assert_eq!(denied.status, 400);
    assert_eq!(denied.json(), json!({ "error": "invalid_grant", "error_description": "Authentication failed" }));
    let malformed = world.post_raw("{}").await;
    assert_eq!(malformed.status, 400);
    assert_eq!(malformed.json(), json!({ "error": "invalid_request", "error_description": "grant_type: Field required" }));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_answered_in_the_envelope() {
    let world = World::start().await;
    let unknown = world.client.get(world.url("/v2/nothing")).send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    let unknown: serde_json::Value = serde_json::from_str(&unknown.text().await.unwrap()).unwrap();
    assert_eq!(unknown["error"]["type"], "not_found_error");

    let method = world.client.get(world.url("/v1/oauth/token")).send().await.unwrap();
    assert_eq!(method.status(), 405);
    assert_eq!(method.headers()["allow"], "POST");
    assert!(method.headers().contains_key("request-id"));
    let method: serde_json::Value = serde_json::from_str(&method.text().await.unwrap()).unwrap();
    assert_eq!(method["type"], "error");
}
