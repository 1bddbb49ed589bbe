//! Each fault that has a name: what a sender meets, and what it has cost.

use std::time::Duration;

use serde_json::{Value, json};
use wif_emulator::{ApiFault, Fault, IdentityToken, Kind, Options, Outcome, Reason, TokenId};

use crate::registry::{changed, with_rule};
use crate::world::{Received, World, message_body};

struct Met {
    world: World,
    token: IdentityToken,
    answer: Received,
}

/// An exchange that this fault strikes.
async fn met(name: &str) -> Met {
    let world = World::start().await;
    world.emulator.inject(Fault::from_json(&json!(name)).unwrap());
    let token = world.provider().mint();
    let answer = world.exchange(&token).await;
    Met { world, token, answer }
}

impl Met {
    async fn assert_spent(&self) {
        assert_eq!(self.world.denied(self.token.expose()).await, Reason::JtiReused);
    }

    async fn assert_unspent(&self) {
        assert_eq!(self.world.exchange(&self.token).await.status, 200);
    }
}

#[tokio::test]
async fn a_lost_answer_spends_the_token_and_a_lost_request_does_not() {
    for (name, status) in [("lost_answer", 401), ("lost_request", 200)] {
        let world = World::start().await;
        let token = world.provider().mint();
        world.emulator.inject(Fault::from_json(&json!(name)).unwrap());
        assert!(world.try_exchange(&token).await.is_err());
        assert_eq!(world.exchange(&token).await.status, status, "{name}");
    }
}

/// A success whose end is missing: the sender has seen that there was one, and cannot use it.
#[tokio::test]
async fn a_cut_answer_spends_the_token() {
    let world = World::start().await;
    let token = world.provider().mint();
    world.emulator.inject(Fault::from_json(&json!("cut_answer")).unwrap());
    let body = serde_json::to_vec(&world.request(token.expose())).unwrap();
    let response = world.client.post(world.url("/v1/oauth/token")).body(body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.text().await.is_err());
    assert_eq!((world.last().outcome, world.last().fault), (Outcome::Granted, Some("cut_answer")));
    assert_eq!(world.denied(token.expose()).await, Reason::JtiReused);
}

/// B9: `expires_in` as it comes.
#[tokio::test]
async fn expires_in_can_be_anything() {
    for (name, expected) in [
        ("expires_in_60", Some(json!(60))),
        ("expires_in_0", Some(json!(0))),
        ("expires_in_negative", Some(json!(-1))),
        ("expires_in_text", Some(json!("600"))),
        ("expires_in_null", Some(Value::Null)),
        ("expires_in_huge", Some(json!(1e12))),
        ("expires_in_missing", None),
    ] {
        let met = met(name).await;
        assert_eq!(met.answer.json().get("expires_in"), expected.as_ref(), "{name}");
        // The access token is good all the same.
        assert_eq!(met.world.message(&met.answer.access_token()).await.status, 200);
        met.assert_spent().await;
    }
}

/// B8: `token_type` as it comes.
#[tokio::test]
async fn token_type_can_be_anything() {
    for (name, expected) in
        [("token_type_lower", Some(json!("bearer"))), ("token_type_mac", Some(json!("MAC"))), ("token_type_missing", None)]
    {
        let met = met(name).await;
        assert_eq!(met.answer.json().get("token_type"), expected.as_ref(), "{name}");
        met.assert_spent().await;
    }
}

#[tokio::test]
async fn members_that_nobody_knows_can_be_nested() {
    let met = met("extra_members").await;
    assert!(met.answer.json()["extension"]["nested"][0].is_object());
    assert_eq!(met.answer.expires_in(), 3600);
}

/// B6: an answer that is no token, or has no end.
#[tokio::test]
async fn a_success_can_have_any_body() {
    for (name, text) in [("not_json", "access granted"), ("json_array", "[]"), ("empty", "")] {
        let met = met(name).await;
        assert_eq!((met.answer.status, met.answer.text.as_str()), (200, text));
        met.assert_spent().await;
    }
    let met = met("oversized").await;
    assert_eq!(met.answer.status, 200);
    assert!(met.answer.text.len() > 1024 * 1024);
    met.assert_spent().await;
}

/// B11: every status has its class.
#[tokio::test]
async fn failures_before_the_exchange_spend_nothing() {
    for (name, status) in [("html_502", 502), ("rate_limited", 429), ("overloaded", 529), ("server_error", 500)] {
        let met = met(name).await;
        assert_eq!(met.answer.status, status);
        assert_eq!(met.world.last().outcome, Outcome::NotProcessed);
        met.assert_unspent().await;
    }
    assert_eq!(met("rate_limited").await.answer.header("retry-after"), Some("7"));
    assert_eq!(met("html_502").await.answer.header("content-type"), Some("text/html; charset=utf-8"));
    let after = met("server_error_after").await;
    assert_eq!(after.answer.status, 500);
    after.assert_spent().await;
}

#[tokio::test]
async fn slow_is_slower_than_clients_wait() {
    assert_eq!(Fault::from_json(&json!("slow")), Ok(Fault::Delay(Duration::from_secs(31))));
    assert_eq!(ApiFault::from_json(&json!("slow")), Ok(ApiFault::Delay(Duration::from_secs(31))));
}

/// B2: whoever follows a redirect with its identity token is found out.
#[tokio::test]
async fn a_redirect_to_another_origin_records_who_follows() {
    let world = World::with(Options { admin: Some("127.0.0.1:0".parse().unwrap()), ..Options::default() }).await;
    world.emulator.inject(Fault::from_json(&json!("redirect")).unwrap());
    let token = world.provider().mint();
    let answer = world.exchange(&token).await;
    let to = answer.header("location").unwrap();
    assert_eq!(answer.status, 307);
    assert!(!to.starts_with(world.emulator.base_url()), "{to}");
    assert_eq!(world.emulator.history().len(), 1);
    let body = serde_json::to_vec(&world.request(token.expose())).unwrap();
    let followed = world.client.post(to).body(body).send().await.unwrap();
    assert_eq!(followed.status(), 403);
    assert_eq!((world.last().kind, world.last().assertion_id), (Kind::FollowedRedirect, Some(token.id())));
    assert_eq!(world.exchange(&token).await.status, 200);
}

/// B2: so is whoever follows with an access token, and whatever the body is.
#[tokio::test]
async fn whoever_follows_a_redirect_is_recorded_with_the_credential_and_whatever_the_body() {
    let world = World::with(Options { admin: Some("127.0.0.1:0".parse().unwrap()), ..Options::default() }).await;
    let access_token = world.access_token().await;
    world.emulator.inject_api(ApiFault::from_json(&json!("redirect")).unwrap());
    let to = world.message(&access_token).await.header("location").unwrap().to_owned();
    let before = world.emulator.history().len();

    let mut larger_than_bodies_are = world.request(world.provider().mint().expose());
    larger_than_bodies_are.insert("padding".to_owned(), "x".repeat(3 * 1024 * 1024).into());
    let body = serde_json::to_vec(&larger_than_bodies_are).unwrap();
    // Whether the answer comes through while the body is being sent is another matter.
    let _ = world.client.post(&to).bearer_auth(&access_token).body(body).send().await;
    let entry = world.last();
    assert_eq!((entry.kind, entry.access_token_id), (Kind::FollowedRedirect, Some(TokenId::of(&access_token))));
    assert_eq!(entry.assertion_id, None);

    world.client.get(&to).header("x-api-key", &access_token).send().await.unwrap();
    assert_eq!(world.last().access_token_id, Some(TokenId::of(&access_token)));
    world.client.get(&to).send().await.unwrap();
    assert_eq!(world.last().access_token_id, None);
    assert_eq!(world.emulator.history().len(), before + 3);
    assert!(world.emulator.history().iter().all(|entry| !entry.to_json().to_string().contains(&access_token)));
}

#[test]
fn every_name_is_a_fault_and_its_parts_lead_back_to_it() {
    for name in Fault::NAMES {
        let fault = Fault::from_json(&json!(name)).unwrap();
        assert_eq!(Fault::from_json(&fault.to_json()), Ok(fault.clone()), "{name}");
        assert_eq!(fault.to_json()["fault"], fault.code());
    }
    for name in ApiFault::NAMES {
        let fault = ApiFault::from_json(&json!(name)).unwrap();
        assert_eq!(ApiFault::from_json(&fault.to_json()), Ok(fault.clone()), "{name}");
        assert_eq!(fault.to_json()["fault"], fault.code());
    }
}

#[test]
fn a_misspelt_fault_is_refused_with_the_one_that_was_meant() {
    let error = Fault::from_json(&json!("lost_answers")).unwrap_err().to_string();
    assert!(error.contains("did you mean `lost_answer`?"), "{error}");
    let error = Fault::from_json(&json!({ "fault": "delay", "seconds": 1 })).unwrap_err().to_string();
    assert!(error.contains("seconds"), "{error}");
    assert!(ApiFault::from_json(&json!(7)).is_err());
}

#[tokio::test]
async fn a_good_access_token_can_be_refused_a_number_of_times() {
    let world = World::start().await;
    let token = world.access_token().await;
    for _ in 0..3 {
        world.emulator.inject_api(ApiFault::Unauthorized);
    }
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let request = world.message_request().bearer_auth(&token).header("anthropic-version", "2023-06-01");
        requests.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let statuses = requests.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 3);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 5);
    let struck: Vec<_> = world.emulator.history().into_iter().filter(|entry| entry.outcome == Outcome::NotProcessed).collect();
    assert!(struck.iter().all(|entry| entry.fault == Some("unauthorized") && entry.access_token_id.is_some()));
    assert_eq!(struck.len(), 3);
}

#[tokio::test]
async fn a_refused_access_token_is_answered_as_an_unknown_one() {
    let world = World::start().await;
    let token = world.access_token().await;
    world.emulator.inject_api(ApiFault::Unauthorized);
    let refused = world.message(&token).await;
    let unknown = world.message("sk-ant-oat01-unknown").await;
    assert_eq!((refused.status, refused.json()), (unknown.status, unknown.json()));
    assert_eq!(refused.header("anthropic-organization-id"), None);
    // A fault strikes good access tokens only: it was not used up by the other one.
    world.emulator.inject_api(ApiFault::status(500));
    assert_eq!(world.message("sk-ant-oat01-unknown").await.status, 401);
    assert_eq!(world.message(&token).await.status, 500);
}

#[tokio::test]
async fn the_api_can_fail_in_its_own_ways() {
    let world = World::start().await;
    let token = world.access_token().await;
    for (name, status, kind) in
        [("rate_limited", 429, "rate_limit_error"), ("overloaded", 529, "overloaded_error"), ("server_error", 500, "api_error")]
    {
        world.emulator.inject_api(ApiFault::from_json(&json!(name)).unwrap());
        let answer = world.message(&token).await;
        assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (status, Some(kind)));
        assert_eq!(answer.header("retry-after"), (status == 429).then_some("7"));
    }
    world.emulator.inject_api(ApiFault::Redirect { to: "http://127.0.0.1:9/other".to_owned() });
    let redirected = world.message(&token).await;
    assert_eq!((redirected.status, redirected.header("location")), (307, Some("http://127.0.0.1:9/other")));

    world.emulator.inject_api(ApiFault::Drop);
    let request = world.message_request().bearer_auth(&token).header("anthropic-version", "2023-06-01");
    assert!(request.send().await.is_err());
    assert_eq!(world.message(&token).await.status, 200);

    world.emulator.inject_api(ApiFault::Delay(Duration::from_millis(1)));
    assert_eq!(world.message(&token).await.status, 200);
    assert_eq!(world.last().fault, Some("delay"));
}

#[tokio::test]
async fn an_outage_of_the_api_leaves_the_token_endpoint_up() {
    let world = World::start().await;
    let token = world.access_token().await;
    world.emulator.set_api_outage(Some(ApiFault::status(503)));
    for _ in 0..3 {
        assert_eq!(world.message(&token).await.status, 503);
    }
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 200);
    world.emulator.set_api_outage(None);
    assert_eq!(world.message(&token).await.status, 200);
}

/// E13 of the emulator's side.
#[tokio::test]
async fn a_stream_can_be_cut_after_some_events() {
    let world = World::with(Options { stream_delay: Duration::from_millis(1), ..Options::default() }).await;
    let token = world.access_token().await;
    world.emulator.inject_api(ApiFault::DropMidStream { events: 4 });
    let request = world.client.post(world.url("/v1/messages")).bearer_auth(token).header("anthropic-version", "2023-06-01");
    let mut response = request.body(message_body(true).to_string()).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut text = String::new();
    let ended = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert!(ended.is_err(), "the stream did not end as one should");
    assert_eq!(text.matches("event: ").count(), 4, "{text}");
    assert!(!text.contains("message_stop"));
}

/// E13 of the emulator's side: what is no stream is not sent at all, whatever was asked for.
#[tokio::test]
async fn an_answer_that_is_no_stream_is_cut_before_it_begins() {
    let developer = World::start().await;
    let document = with_rule("oauth_scope", json!("org:admin"));
    let admin = World::of(changed(document, "/organizations/0/service_accounts/0/organization_role", json!("admin"))).await;
    let body = message_body(false).to_string();
    for (world, method, path) in [
        (&developer, "POST", "/v1/messages"),
        (&developer, "POST", "/v1/messages/count_tokens"),
        (&developer, "GET", "/v1/models"),
        (&developer, "GET", "/v1/models/claude-opus-4-5-20251101"),
        (&developer, "GET", "/v1/models/none"),
        (&developer, "GET", "/v1/files"),
        (&admin, "GET", "/v1/organizations/me"),
    ] {
        let token = world.access_token().await;
        let send = async || {
            let request = world.client.request(method.parse().unwrap(), world.url(path)).bearer_auth(&token);
            request.header("anthropic-version", "2023-06-01").body(body.clone()).send().await
        };
        let status = send().await.unwrap().status();
        assert_eq!(status, if path.ends_with("none") { 404 } else { 200 }, "{path}");
        world.emulator.inject_api(ApiFault::DropMidStream { events: 4 });
        assert!(send().await.is_err(), "{path}");
        assert_eq!(world.last().fault, Some("drop_mid_stream"), "{path}");
        assert_eq!(send().await.unwrap().status(), status, "{path}: once");
    }
}
