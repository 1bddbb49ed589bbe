//! What cannot work is refused, and Envoy's log says which field it is. E7.

use serde_json::json;
use wif_document::Clusters;

use crate::settings::{Settings, words};
use crate::world::{program, validate};

fn refused(document: &str) -> String {
    words(&Settings::parse(document).expect_err("it is wrong"))
}

#[test]
fn what_is_left_out_has_a_default() {
    let settings = Settings::parse(r#"{ "credential": {}, "clusters": ["anthropic"] }"#).expect("it is right");
    assert_eq!(settings.origin, "https://api.anthropic.com");
    assert!(!settings.origin_is_given);
    assert_eq!((settings.waiting_requests, settings.waiting_at_most.as_millis()), (1_000, 30_000));
}

#[test]
fn the_clusters_are_named_or_all() {
    let clusters = |document: &str| Settings::parse(document).expect("it is right").clusters;
    assert_eq!(clusters(r#"{ "credential": {}, "clusters": ["a"] }"#), Clusters::Named(vec!["a".to_owned()]));
    assert_eq!(clusters(r#"{ "credential": {}, "clusters": "all" }"#), Clusters::All);
}

#[test]
fn the_origin_follows_the_base_url_unless_it_is_given() {
    let of_the_credential = r#"{ "credential": { "base_url": "https://GW.example:443/api" }, "clusters": ["a"] }"#;
    assert_eq!(Settings::parse(of_the_credential).expect("it is right").origin, "https://gw.example");
    let given = r#"{ "credential": {}, "origin": "https://gw.example:8443", "clusters": ["a"] }"#;
    let given = Settings::parse(given).expect("it is right");
    assert_eq!((given.origin.as_str(), given.origin_is_given), ("https://gw.example:8443", true));
}

/// Control planes turn numbers into doubles.
#[test]
fn whole_numbers_may_be_doubles() {
    let document = r#"{ "credential": {}, "clusters": ["a"], "waiting": { "requests": 10.0, "at_most_ms": 500.0 } }"#;
    let settings = Settings::parse(document).expect("it is right");
    assert_eq!((settings.waiting_requests, settings.waiting_at_most.as_millis()), (10, 500));
}

#[test]
fn an_error_names_the_field() {
    let wrong = [
        (r#"{ "clusters": ["a"] }"#, "credential: is missing"),
        (r#"{ "credential": {} }"#, "clusters: must list"),
        (r#"{ "credential": {}, "clusters": [] }"#, "clusters: must list"),
        (r#"{ "credential": {}, "clusters": [""] }"#, "clusters: must list"),
        (r#"{ "credential": {}, "clusters": "anthropic" }"#, "clusters: must list"),
        (r#"{ "credential": {}, "clusters": ["a"], "origin": "https://a.example/v1" }"#, "origin: must be"),
        (r#"{ "credential": {}, "clusters": ["a"], "origin": "http://a.example" }"#, "origin: must begin with https://"),
        (
            r#"{ "credential": {}, "cluster": ["a"], "clusters": ["a"] }"#,
            "cluster: is not known; the nearest known key is `clusters`",
        ),
        (r#"{ "credential": {}, "clusters": ["a"], "waiting": { "request": 1 } }"#, "waiting.request: is not known"),
        (
            r#"{ "credential": {}, "clusters": ["a"], "waiting": { "requests": 1.5 } }"#,
            "waiting.requests: must be a whole number",
        ),
        (
            r#"{ "credential": {}, "clusters": ["a"], "waiting": { "at_most_ms": 0 } }"#,
            "waiting.at_most_ms: must be a whole number",
        ),
        (r#"{ "credential": {}, "clusters": ["a"], "files": {} }"#, "files: is for the proxy-wasm filter"),
        ("{", "the module's configuration is not JSON: the fault is at line 1"),
        ("[]", "the module's configuration must be an object"),
    ];
    for (document, message) in wrong {
        let error = refused(document);
        assert!(error.starts_with(message), "{document}: {error}");
    }
}

/// An identity token that stands in the document literally is not told to anybody.
#[test]
fn what_is_no_json_is_not_quoted() {
    let error = refused(r#"{ "credential": { "literal": "eyJhbGciOiJFUzI1NiJ9.e30.c2ln" }"#);
    assert!(!error.contains("eyJ"), "{error}");
}

#[test]
fn envoy_refuses_what_the_module_refuses_and_logs_the_field() {
    let Some(program) = program() else { return };
    let federation = |rule: &str| {
        json!({ "federation": {
            "federation_rule_id": rule,
            "organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab",
            "identity_token": { "source": "file", "path": "/nowhere" },
        }})
    };
    let right = json!({ "credential": federation("fdrl_01ABC"), "clusters": ["anthropic"] });
    let (status, log) = validate(program, &right.to_string());
    assert!(status.success(), "{log}");

    let mut unknown = right.clone();
    unknown["clutsers"] = json!([]);
    let mut foreign = right.clone();
    foreign["credential"] = federation("a rule");
    let mut callable = right.clone();
    callable["credential"]["federation"]["identity_token"] = json!({ "source": "callable", "freshness": "minted" });
    let wrong = [
        (unknown, "the configuration is refused: clutsers: is not known; the nearest known key is `clusters`"),
        (foreign, "the configuration is refused: credential.federation.federation_rule_id: "),
        (callable, "the configuration is refused: credential.federation.identity_token"),
    ];
    for (configuration, message) in wrong {
        let (status, log) = validate(program, &configuration.to_string());
        assert!(!status.success() && log.contains(message), "{message}\n{log}");
    }
}
