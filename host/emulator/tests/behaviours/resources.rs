use serde_json::{Value, json};
use wif_emulator::Resources;

use crate::registry::{changed, document, matching, with, with_rule};
use crate::world::World;

fn schema() -> jsonschema::Validator {
    let schema: Value = serde_json::from_str(Resources::SCHEMA).unwrap();
    jsonschema::validator_for(&schema).expect("it is a JSON Schema")
}

fn refusal(document: &Value) -> (String, String) {
    let error = Resources::parse(&document.to_string()).expect_err("the document is bad");
    (error.path().to_owned(), error.message().to_owned())
}

const ISSUER: &str = "/organizations/0/federation_issuers/0";
const ISSUER_PATH: &str = "organizations[0].federation_issuers[0]";
const RULE_PATH: &str = "organizations[0].federation_rules[0]";

fn good() -> Vec<Value> {
    let inline = json!({ "type": "inline", "keys": [{ "kty": "EC", "kid": "a" }] });
    vec![
        document(),
        with("/organizations/0/federation_issuers/0/jwks", inline),
        with("/organizations/0/federation_issuers/0/jwks", json!({ "type": "discovery" })),
        with("/organizations/0/federation_issuers/0/jwks", json!({ "type": "discovery", "discovery_base": null })),
        with(
            "/organizations/0/federation_issuers/0/jwks",
            json!({ "type": "discovery", "discovery_base": "https://keys.example/tenant", "ca_cert_pem": "-----" }),
        ),
        with("/organizations/0/federation_issuers/0/jwks", json!({ "type": "explicit_url", "url": "http://127.0.0.1:9/jwks" })),
        with("/organizations/0/federation_issuers/0/max_jwt_lifetime_seconds", json!(176_400)),
        with("/organizations/0/federation_issuers/0/check_jti", json!(false)),
        with("/organizations/0/service_accounts/0/organization_role", json!("admin")),
        with_rule("oauth_scope", json!("workspace:inference workspace:manage_tunnels")),
        with_rule("token_lifetime_seconds", json!(60)),
        with_rule("attributes", json!({})),
        with_rule("archived", json!(true)),
        with_rule("workspace_id", Value::Null),
        with_rule("workspace_ids", json!(["default"])),
        matching(json!({ "claims": { "ref": "main" } })),
        matching(json!({ "condition": "claims.ref == 'main'", "audience": "https://other.example", "subject_prefix": null })),
        matching(json!({ "subject_prefix": "*", "claims": { "ref": "main" } })),
    ]
}

/// What the schema refuses, and where the parser says so.
fn bad() -> Vec<(Value, String)> {
    let at = |path: &str, name: &str| format!("{path}.{name}");
    vec![
        (json!({}), String::new()),
        (json!([]), String::new()),
        (json!({ "organizations": [] }), "organizations".to_owned()),
        (with("/organizations/0/id", json!("org_01abc")), "organizations[0].id".to_owned()),
        (with("/organizations/0/workspaces/0/default", json!(false)), "organizations[0].workspaces".to_owned()),
        (with("/organizations/0/workspaces/1/default", json!(true)), "organizations[0].workspaces".to_owned()),
        (with("/organizations/0/workspaces/1/id", json!("work_1")), "organizations[0].workspaces[1].id".to_owned()),
        (with("/organizations/0/service_accounts/0/id", json!("x")), "organizations[0].service_accounts[0].id".to_owned()),
        (with(&format!("{ISSUER}/id"), json!("fdis-1")), at(ISSUER_PATH, "id")),
        (with(&format!("{ISSUER}/name"), json!("My Issuer")), at(ISSUER_PATH, "name")),
        (with(&format!("{ISSUER}/name"), json!("a".repeat(256))), at(ISSUER_PATH, "name")),
        (with(&format!("{ISSUER}/issuer_url"), json!("")), at(ISSUER_PATH, "issuer_url")),
        (with(&format!("{ISSUER}/max_jwt_lifetime_seconds"), json!(0)), at(ISSUER_PATH, "max_jwt_lifetime_seconds")),
        (with(&format!("{ISSUER}/max_jwt_lifetime_seconds"), json!(176_401)), at(ISSUER_PATH, "max_jwt_lifetime_seconds")),
        (with(&format!("{ISSUER}/jwks"), json!({ "type": "inline", "keys": [] })), at(ISSUER_PATH, "jwks.keys")),
        (with(&format!("{ISSUER}/jwks"), json!({ "type": "inline", "keys": [{}] })), at(ISSUER_PATH, "jwks.keys[0]")),
        (with(&format!("{ISSUER}/jwks"), json!({ "type": "file" })), at(ISSUER_PATH, "jwks.type")),
        (with(&format!("{ISSUER}/jwks"), json!({ "type": "emulator", "url": "x" })), at(ISSUER_PATH, "jwks")),
        (with(&format!("{ISSUER}/audience"), json!("x")), at(ISSUER_PATH, "audience")),
        (with_rule("token_lifetime_seconds", json!(59)), at(RULE_PATH, "token_lifetime_seconds")),
        (with_rule("token_lifetime_seconds", json!(86_401)), at(RULE_PATH, "token_lifetime_seconds")),
        (with_rule("token_lifetime_seconds", json!("60")), at(RULE_PATH, "token_lifetime_seconds")),
        (with_rule("oauth_scope", json!("everything")), at(RULE_PATH, "oauth_scope")),
        (with_rule("oauth_scope", json!("")), at(RULE_PATH, "oauth_scope")),
        (with_rule("attributes", json!({ "a": "b" })), at(RULE_PATH, "attributes")),
        (with_rule("workspace_ids", json!([])), RULE_PATH.to_owned()),
        (with_rule("target", json!({ "type": "user", "service_account_id": "svac_1" })), at(RULE_PATH, "target.type")),
        (matching(json!({})), at(RULE_PATH, "match")),
        (matching(json!({ "audience": "https://other.example" })), at(RULE_PATH, "match")),
        (matching(json!({ "subject_prefix": "*" })), at(RULE_PATH, "match")),
        (matching(json!({ "subject_prefix": "" })), at(RULE_PATH, "match")),
        (matching(json!({ "claims": { "ref": 7 } })), at(RULE_PATH, "match.claims.ref")),
        (matching(json!({ "condition": "" })), at(RULE_PATH, "match.condition")),
        (matching(json!({ "subjectPrefix": "team:*" })), at(RULE_PATH, "match.subjectPrefix")),
    ]
}

/// What only the parser can see.
fn bad_beyond_the_schema() -> Vec<(Value, String, &'static str)> {
    let at = |path: &str, name: &str| format!("{path}.{name}");
    let jwks = |jwks: Value| with(&format!("{ISSUER}/jwks"), jwks);
    let discovery = |url: &str| changed(jwks(json!({ "type": "discovery" })), &format!("{ISSUER}/issuer_url"), json!(url));
    let url = |url: &str| jwks(json!({ "type": "explicit_url", "url": url }));
    let rule = with_rule;
    let base = jwks(json!({ "type": "discovery", "discovery_base": "ftp://keys.example" }));
    vec![
        (with("/organizations/1/id", json!(crate::registry::ORGANIZATION)), "organizations[1].id".into(), "already"),
        (
            with("/organizations/1/workspaces/0/id", json!("wrkspc_01member")),
            "organizations[1].workspaces[0].id".into(),
            "already",
        ),
        (
            with("/organizations/0/service_accounts/0/workspace_ids", json!(["wrkspc_02default"])),
            "organizations[0].service_accounts[0].workspace_ids[0]".into(),
            "no such workspace",
        ),
        (rule("issuer_id", json!("fdis_02issuer")), at(RULE_PATH, "issuer_id"), "no such issuer"),
        (
            rule("target", json!({ "type": "service_account", "service_account_id": "svac_02account" })),
            at(RULE_PATH, "target.service_account_id"),
            "no such account",
        ),
        (rule("workspace_id", json!("wrkspc_02default")), at(RULE_PATH, "workspace_id"), "no such workspace"),
        (discovery("http://issuer.example"), at(ISSUER_PATH, "issuer_url"), "url must use https scheme"),
        (discovery("https://issuer.example:8443"), at(ISSUER_PATH, "issuer_url"), "url must use port 443"),
        (discovery("https://192.0.2.1"), at(ISSUER_PATH, "issuer_url"), "url must not use an IP address"),
        (discovery("https://[2001:db8::1]"), at(ISSUER_PATH, "issuer_url"), "url must not use an IP address"),
        (discovery("https://intranet"), at(ISSUER_PATH, "issuer_url"), "url must use a public DNS name"),
        (discovery("https://keys.svc.internal"), at(ISSUER_PATH, "issuer_url"), "url must use a public DNS name"),
        (discovery("https://u:p@issuer.example"), at(ISSUER_PATH, "issuer_url"), "url must not hold a user name"),
        (discovery("http://localhost.evil.example"), at(ISSUER_PATH, "issuer_url"), "url must use https scheme"),
        (discovery("not a url"), at(ISSUER_PATH, "issuer_url"), "is not a URL"),
        (url("http://keys.example/jwks"), at(ISSUER_PATH, "jwks.url"), "url must use https scheme"),
        (url("https://keys.example/jwks#x"), at(ISSUER_PATH, "jwks.url"), "url must not have a fragment"),
        (base, at(ISSUER_PATH, "jwks.discovery_base"), "url must use https scheme"),
        (matching(json!({ "condition": "claims.sub ==" })), at(RULE_PATH, "match.condition"), "is no CEL expression"),
        (matching(json!({ "condition": "assertion.sub == 'a'" })), at(RULE_PATH, "match.condition"), "names `assertion`"),
        (
            matching(json!({ "condition": "claims.groups.exists(group, group == team)" })),
            at(RULE_PATH, "match.condition"),
            "names `team`",
        ),
        (matching(json!({ "condition": "true" })), at(RULE_PATH, "match.condition"), "whatever the claims are"),
        (matching(json!({ "condition": "1 + 1 == 2 || claims.x == 'y'" })), at(RULE_PATH, "match.condition"), "whatever"),
        (matching(json!({ "condition": "1 + 1" })), at(RULE_PATH, "match.condition"), "no boolean"),
    ]
}

#[test]
fn the_schema_and_the_parser_agree() {
    let schema = schema();
    for document in good() {
        assert!(schema.is_valid(&document), "{document}");
        Resources::parse(&document.to_string()).unwrap_or_else(|error| panic!("{error}: {document}"));
    }
    for (document, path) in bad() {
        assert!(!schema.is_valid(&document), "{document}");
        assert_eq!(refusal(&document).0, path, "{:?}", refusal(&document));
    }
}

#[test]
fn what_the_real_service_would_not_create_is_refused_with_its_place() {
    for (document, path, message) in bad_beyond_the_schema() {
        let refused = refusal(&document);
        assert_eq!(refused.0, path, "{refused:?}");
        assert!(refused.1.contains(message), "{refused:?}");
    }
}

/// A document comes from people, and over the administration API: none may end the process.
#[test]
fn a_condition_of_any_depth_is_judged_or_refused() {
    let judged: Vec<bool> = [
        format!("{}claims.a{} == 'x'", "(".repeat(1500), ")".repeat(1500)),
        format!("{}claims.a", "!".repeat(3500)),
        format!("claims{} == 'x'", ".a".repeat(1500)),
        format!("claims{} == 'x'", "['a']".repeat(700)),
        format!("{}claims.a{}", "[".repeat(1500), "]".repeat(1500)),
        format!("claims.a == 'x'{}", " && true".repeat(450)),
        "(".repeat(4000),
        "claims.a == 'x' //".to_owned() + &"x".repeat(4096),
    ]
    .into_iter()
    .map(|condition| Resources::parse(&matching(json!({ "condition": condition })).to_string()).is_ok())
    .collect();
    // A chain of conjunctions is what people write; what does not close, and what is longer than 4 KiB, is refused.
    assert_eq!(judged[5..], [true, false, false]);
}

#[test]
fn the_examples_of_the_schema_are_good() {
    let schema: Value = serde_json::from_str(Resources::SCHEMA).unwrap();
    for example in schema["examples"].as_array().unwrap() {
        assert!(self::schema().is_valid(example));
        Resources::parse(&example.to_string()).unwrap();
    }
}

#[test]
fn a_misspelt_key_is_refused_with_the_one_that_was_meant() {
    let (path, message) = refusal(&with_rule("token_lifetime_second", json!(600)));
    assert_eq!(path, format!("{RULE_PATH}.token_lifetime_second"));
    assert!(message.contains("did you mean `token_lifetime_seconds`?"), "{message}");
}

#[test]
fn two_issuers_of_one_organization_may_not_share_a_name() {
    let first = document()["organizations"][0]["federation_issuers"][0].clone();
    let mut second = first.clone();
    second["id"] = json!("fdis_01second");
    let (path, message) = refusal(&with("/organizations/0/federation_issuers", json!([first, second])));
    assert_eq!(
        (path.as_str(), message.as_str()),
        ("organizations[0].federation_issuers[1].name", "another issuer of the organization has this name")
    );
}

#[test]
fn a_rule_for_an_issuer_that_serves_everybody_pins_a_tenant() {
    let hosted = |issuer: &str, matcher: Value| changed(matching(matcher), &format!("{ISSUER}/issuer_url"), json!(issuer));
    let github = "https://token.actions.githubusercontent.com";
    let gitlab = "https://gitlab.com";
    let buildkite = "https://agent.buildkite.com";
    let terraform = "https://app.terraform.io";
    let google = "https://accounts.google.com";
    for (issuer, matcher) in [
        (github, json!({ "subject_prefix": "repo:acme/app:ref:refs/heads/main" })),
        (github, json!({ "subject_prefix": "repo:acme/*" })),
        (github, json!({ "subject_prefix": "repo:acme@123/app@456:*" })),
        (github, json!({ "claims": { "repository_owner": "acme" } })),
        (github, json!({ "condition": "claims.repository_owner_id == '123'" })),
        (gitlab, json!({ "subject_prefix": "project_path:acme/*" })),
        (gitlab, json!({ "claims": { "namespace_id": "7" } })),
        (buildkite, json!({ "subject_prefix": "organization:acme:*" })),
        (terraform, json!({ "condition": "claims['terraform_organization_id'] == 'org-1'" })),
        (google, json!({ "subject_prefix": "104712345" })),
        (google, json!({ "claims": { "email": "robot@acme.example" } })),
    ] {
        Resources::parse(&hosted(issuer, matcher.clone()).to_string()).unwrap_or_else(|error| panic!("{matcher}: {error}"));
    }
    for (issuer, matcher) in [
        (github, json!({ "subject_prefix": "repo:*" })),
        (github, json!({ "subject_prefix": "repo:acme*" })),
        (github, json!({ "claims": { "ref": "refs/heads/main" } })),
        (github, json!({ "condition": "claims.ref == 'refs/heads/main'" })),
        (github, json!({ "condition": "claims.repository_visibility == 'public'" })),
        (gitlab, json!({ "subject_prefix": "project_path:*" })),
        (buildkite, json!({ "claims": { "build_branch": "main" } })),
        (terraform, json!({ "subject_prefix": "organization:*" })),
        (google, json!({ "subject_prefix": "1*" })),
    ] {
        let (path, message) = refusal(&hosted(issuer, matcher.clone()));
        assert_eq!(path, format!("{RULE_PATH}.match"), "{matcher}");
        assert!(message.contains("pin a tenant"), "{message}");
    }
}

#[tokio::test]
async fn a_client_finds_in_the_options_what_the_chosen_rule_needs() {
    let world = World::of(document()).await;
    let options = world.emulator.options();
    assert_eq!(options.federation_rule_id, crate::registry::RULE);
    assert_eq!(options.organization_id, crate::registry::ORGANIZATION);
    assert_eq!(options.workspace_ids, [crate::registry::MEMBER_WORKSPACE]);
    assert_eq!(world.provider().issuer(), "https://issuer.example");
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 200);
}

#[tokio::test]
async fn resources_can_be_replaced_and_what_was_spent_stays_spent() {
    let world = World::of(document()).await;
    let token = world.provider().mint();
    assert_eq!(world.exchange(&token).await.status, 200);
    let narrower = crate::registry::parsed(&matching(json!({ "subject_prefix": "team:emulated" })));
    world.emulator.set_resources(narrower.clone()).unwrap();
    assert_eq!(world.emulator.resources(), narrower);
    assert_eq!(world.denied(token.expose()).await, wif_emulator::Reason::JtiReused);

    let empty = Resources { organizations: Vec::new() };
    assert_eq!(world.emulator.set_resources(empty).unwrap_err().path(), "organizations");
    assert_eq!(world.emulator.resources(), narrower);
}
