use serde_json::{Value, json};
use wif_emulator::{Options, Reason};

use crate::registry::{document, matching, parsed};
use crate::world::{Received, World};

async fn start() -> World {
    let admin = Some("127.0.0.1:0".parse().unwrap());
    World::with(Options { admin, resources: Some(parsed(&document())), ..Options::default() }).await
}

impl World {
    fn admin(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.emulator.admin_url().expect("it was asked for"));
        self.client.request(method.parse().unwrap(), url)
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Received {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Received::of(self.admin(method, path).body(body).send().await.unwrap()).await.unwrap()
    }

    async fn told(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(method, path, body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
        answer.json()
    }
}

#[tokio::test]
async fn the_administration_is_there_only_if_asked_for_and_apart_from_the_rest() {
    assert_eq!(World::start().await.emulator.admin_url(), None);
    let world = start().await;
    assert_ne!(world.emulator.admin_url().unwrap(), world.emulator.base_url());
    for path in ["/faults", "/history", "/state"] {
        assert_eq!(world.client.get(world.url(path)).send().await.unwrap().status(), 404, "{path}");
    }
    let posted = world.ask("POST", "/v1/oauth/token", json!({})).await;
    assert_eq!(posted.status, 404);
}

#[tokio::test]
async fn the_administration_listens_on_loopback_only() {
    let admin = Some("0.0.0.0:0".parse().unwrap());
    let error = wif_emulator::Emulator::start(Options { admin, ..Options::default() }).await.unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
}

/// A page in a browser of this machine reaches loopback: by a name of its own (DNS rebinding), or from another site.
#[tokio::test]
async fn requests_that_a_web_page_could_send_are_refused() {
    let world = start().await;
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "user@127.0.0.1", "192.0.2.1", ""] {
        let answer = world.admin("POST", "/revoke").header("host", host).body(r#"{"all": true}"#).send().await.unwrap();
        assert!(matches!(answer.status().as_u16(), 400 | 403), "{host}: {}", answer.status());
    }
    let origin = world.admin("POST", "/revoke").header("origin", "https://evil.example").body(r#"{"all": true}"#);
    assert_eq!(origin.send().await.unwrap().status(), 403);
    for host in ["127.0.0.1", "localhost:8788", "[::1]:8788", "LOCALHOST"] {
        assert_eq!(world.admin("GET", "/state").header("host", host).send().await.unwrap().status(), 200, "{host}");
    }
}

#[tokio::test]
async fn every_route_that_it_names_is_there() {
    let world = start().await;
    let index = world.told("GET", "/", Value::Null).await;
    let routes = index["routes"].as_array().unwrap();
    assert!(routes.len() >= 20);
    for route in routes {
        let (method, path) = route["route"].as_str().unwrap().split_once(' ').unwrap();
        let path = path.split('?').next().unwrap();
        let status = world.ask(method, path, json!({ "unknown": 1 })).await.status;
        assert!(!matches!(status, 404 | 405), "{method} {path}: {status}");
    }
}

#[tokio::test]
async fn faults_are_set_added_shown_and_cleared() {
    let world = start().await;
    let added = json!({ "endpoint": "exchange", "fault": "overloaded", "times": 2 });
    let faults = world.told("POST", "/faults", added).await;
    assert_eq!(faults["exchange"]["next"], json!([{ "fault": "status", "status": 529 }, { "fault": "status", "status": 529 }]));
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 529);

    let all = json!({
        "exchange": { "next": [{ "fault": "member", "name": "expires_in", "value": null }], "outage": "html_502" },
        "api": { "outage": "unauthorized" },
    });
    let faults = world.told("PUT", "/faults", all.clone()).await;
    assert_eq!(faults, world.told("GET", "/faults", Value::Null).await);
    assert_eq!(faults["exchange"]["next"][0], json!({ "fault": "member", "name": "expires_in", "value": null }));
    assert_eq!(world.told("PUT", "/faults", faults.clone()).await, faults, "what is shown can be set");
    let answer = world.exchange(&world.provider().mint()).await;
    assert_eq!(answer.json()["expires_in"], Value::Null);
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 502);
    assert_eq!(world.message(&answer.access_token()).await.status, 401);

    let cleared = world.told("DELETE", "/faults", Value::Null).await;
    assert_eq!(cleared, json!({ "exchange": { "next": [], "outage": null }, "api": { "next": [], "outage": null } }));
    assert_eq!(world.message(&answer.access_token()).await.status, 200);

    for bad in [
        json!({ "endpoint": "exchange", "fault": "lost_answr" }),
        json!({ "endpoint": "exchange", "fault": "overloaded", "times": 0 }),
        json!({ "endpoint": "both", "fault": "overloaded" }),
        json!({ "endpoint": "api", "fault": "lost_request" }),
    ] {
        assert_eq!(world.ask("POST", "/faults", bad.clone()).await.status, 400, "{bad}");
    }
    // Of a request that is refused nothing is done.
    let half = json!({ "exchange": { "next": ["overloaded"] }, "api": { "next": ["no such fault"] } });
    assert_eq!(world.ask("PUT", "/faults", half).await.status, 400);
    assert_eq!(world.told("GET", "/faults", Value::Null).await, cleared);
}

#[tokio::test]
async fn switches_are_set_and_shown() {
    let world = start().await;
    let defaults = world.told("GET", "/switches", Value::Null).await;
    assert_eq!(defaults["error_shape"], "envelope");
    let set = world.told("PUT", "/switches", json!({ "error_shape": "oauth", "clock_skew_seconds": -40 })).await;
    assert_eq!((set["error_shape"].as_str(), set["clock_skew_seconds"].as_i64()), (Some("oauth"), Some(-40)));
    let answer = world.exchange(&world.provider().mint()).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_grant")));
    assert_eq!(world.last().reason, Some(Reason::JwtIssuedInFuture));
    let state = world.told("GET", "/state", Value::Null).await;
    assert_eq!(state["world_seconds"].as_i64().unwrap() - state["service_seconds"].as_i64().unwrap(), 40);
    let bad = world.ask("PUT", "/switches", json!({ "error_shap": "oauth" })).await;
    assert_eq!(bad.status, 400);
    assert!(bad.text.contains("error_shap"), "{}", bad.text);
    assert_eq!(world.told("PUT", "/switches", json!({})).await, defaults);
}

/// G5 of the emulator's side: the history has reasons, and no token.
#[tokio::test]
async fn the_history_tells_reasons_and_no_tokens() {
    let world = start().await;
    let good = world.provider().mint();
    let access_token = world.exchange(&good).await.access_token();
    let denied = world.token().subject("crew").sign();
    world.exchange(&denied).await;
    world.message(&access_token).await;
    let history = world.told("GET", "/history", Value::Null).await;
    assert_eq!(history["next"], 3);
    let entries = history["entries"].as_array().unwrap();
    assert_eq!(entries[0]["outcome"], "granted");
    assert_eq!(entries[0]["access_token_id"], wif_emulator::TokenId::of(&access_token).as_str());
    assert_eq!((entries[1]["reason"].as_str(), entries[1]["subject"].as_str()), (Some("match_subject_prefix"), Some("crew")));
    assert_eq!(entries[2]["kind"], "message");
    let text = history.to_string();
    for secret in [good.expose(), denied.expose(), access_token.as_str(), "sk-ant-oat01"] {
        assert!(!text.contains(secret));
    }
    let since = world.told("GET", "/history?since=2", Value::Null).await;
    assert_eq!(since["entries"].as_array().unwrap().len(), 1);
    assert_eq!(world.told("GET", "/state", Value::Null).await["counts"]["exchanges_granted"], 1);
}

#[tokio::test]
async fn access_tokens_are_revoked_by_id_or_all() {
    let world = start().await;
    let (first, second) = (world.access_token().await, world.access_token().await);
    let id = wif_emulator::TokenId::of(&first);
    assert_eq!(world.told("POST", "/revoke", json!({ "access_token_id": id.as_str() })).await["revoked"], 1);
    assert_eq!((world.message(&first).await.status, world.message(&second).await.status), (401, 200));
    assert_eq!(world.told("POST", "/revoke", json!({ "all": true })).await["revoked"], 1);
    assert_eq!(world.message(&second).await.status, 401);
    for bad in [json!({}), json!({ "access_token_id": first }), json!({ "all": true, "access_token_id": id.as_str() })] {
        let answer = world.ask("POST", "/revoke", bad).await;
        assert_eq!(answer.status, 400);
        assert!(!answer.text.contains("sk-ant-oat01"));
    }
}

#[tokio::test]
async fn keys_are_rotated_published_withdrawn_and_forgotten() {
    let world = start().await;
    world.access_token().await;
    let before = world.provider().key_id();
    let keys = world.told("POST", "/keys/rotate", json!({ "algorithm": "ES512" })).await;
    assert_ne!(keys["signing"], before.as_str());
    assert_eq!(keys["published"].as_array().unwrap().len(), 2);
    assert_eq!(keys["published"][1]["alg"], "ES512");
    assert_eq!(world.denied(world.provider().mint().expose()).await, Reason::KeyUnknown);
    world.told("POST", "/keys/forget", Value::Null).await;
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 200);

    let ahead = world.told("POST", "/keys/publish", Value::Null).await;
    assert_eq!(ahead["signing"], keys["signing"]);
    assert_eq!(ahead["published"][2]["alg"], "ES512", "the algorithm stays as it was");
    let rotated = world.told("POST", "/keys/rotate", Value::Null).await;
    assert_eq!(rotated["signing"], ahead["published"][2]["kid"]);
    let withdrawn = world.told("POST", "/keys/withdraw", Value::Null).await;
    assert_eq!(withdrawn["published"].as_array().unwrap().len(), 1);
    assert_eq!(world.told("GET", "/keys", Value::Null).await, withdrawn);
    assert_eq!(world.ask("POST", "/keys/rotate", json!({ "algorithm": "HS256" })).await.status, 400);
}

#[tokio::test]
async fn the_clock_is_put_forward() {
    let world = start().await;
    let token = world.access_token().await;
    let before = world.told("GET", "/state", Value::Null).await["world_seconds"].as_u64().unwrap();
    let after = world.told("POST", "/clock/advance", json!({ "seconds": 3600 })).await;
    assert_eq!(after["world_seconds"].as_u64().unwrap(), before + 3600);
    assert_eq!(world.message(&token).await.status, 401);
    assert_eq!(world.ask("POST", "/clock/advance", json!({ "seconds": -1 })).await.status, 400);
    let too_far = world.ask("POST", "/clock/advance", json!({ "seconds": u32::MAX })).await;
    assert_eq!(too_far.status, 400);
    assert!(too_far.text.contains("3153600000 seconds in all"), "{}", too_far.text);
    let too_far = world.ask("PUT", "/switches", json!({ "clock_skew_seconds": -400_000_000_000_i64 })).await;
    assert_eq!(too_far.status, 400);
    assert!(too_far.text.contains("clock_skew_seconds"), "{}", too_far.text);
}

#[tokio::test]
async fn an_identity_token_is_minted_as_it_is_wanted() {
    let world = start().await;
    let minted = world.told("POST", "/identity-tokens", Value::Null).await;
    assert_eq!(world.exchange_text(minted["identity_token"].as_str().unwrap()).await.status, 200);
    let wanted = json!({
        "federation_rule_id": "fdrl_02rule",
        "claims": { "ref": "main", "sub": "team:b" },
        "without_claims": ["jti"],
        "lifetime_seconds": 90,
    });
    let minted = world.told("POST", "/identity-tokens", wanted).await;
    let claims = &minted["claims"];
    assert_eq!((claims["ref"].as_str(), claims["sub"].as_str()), (Some("main"), Some("team:b")));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 90);
    assert!(claims.get("jti").is_none());
    assert_eq!(minted["id"], wif_emulator::TokenId::of(minted["identity_token"].as_str().unwrap()).as_str());
    let unknown = world.ask("POST", "/identity-tokens", json!({ "federation_rule_id": "fdrl_01none" })).await;
    assert_eq!(unknown.status, 400);
}

#[cfg(unix)]
#[tokio::test]
async fn the_published_identity_token_is_rotated() {
    let world = start().await;
    assert_eq!(world.told("POST", "/token-file/rotate", Value::Null).await["rotated"], 0);
    let directory = tempfile::tempdir().unwrap();
    let file = world.provider().publish(directory.path()).unwrap();
    let before = file.current().id();
    assert_eq!(world.told("POST", "/token-file/rotate", Value::Null).await["rotated"], 1);
    assert_ne!(file.current().id(), before);
    assert_eq!(std::fs::read_to_string(file.path()).unwrap(), file.current().expose());
}

#[tokio::test]
async fn a_rule_is_tried_before_it_is_created() {
    let world = start().await;
    let minted = world.told("POST", "/identity-tokens", json!({ "claims": { "ref": "dev" } })).await;
    let exchange = Value::Object(world.request(minted["identity_token"].as_str().unwrap()));
    assert_eq!(world.told("POST", "/try", exchange.clone()).await["granted"], true);

    let narrower = matching(json!({ "subject_prefix": "team:*", "claims": { "ref": "main" } }));
    let shown = world.told("PUT", "/resources", narrower.clone()).await;
    assert_eq!(shown, world.told("GET", "/resources", Value::Null).await);
    let trial = world.told("POST", "/try", exchange).await;
    assert_eq!((trial["granted"].as_bool(), trial["refused"].as_str()), (Some(false), Some("match_claims")));
    let failed: Vec<&Value> = trial["checks"].as_array().unwrap().iter().filter(|check| check["passed"] == false).collect();
    let expected = json!({
        "check": "match.claims.ref", "passed": false, "reason": "match_claims", "expected": "main", "found": "dev",
    });
    assert_eq!(failed, [&expected]);
    assert!(!trial.to_string().contains(minted["identity_token"].as_str().unwrap()));

    let refused = world.ask("PUT", "/resources", matching(json!({ "condition": "true" }))).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("organizations[0].federation_rules[0].match.condition"), "{}", refused.text);
    assert_eq!(world.told("GET", "/resources", Value::Null).await, shown);
}
