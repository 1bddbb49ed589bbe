//! F9, F10: a component that was tampered with reads what it should not, and sends it to a place that its policy allows.

use std::time::Duration;

use serde_json::Value;
use wif::{Credential, Error, Policy};

use crate::support::{Endpoint, Reply, guest};

/// What became of the file, the variable and the request.
async fn tried(endpoint: &Endpoint, kind: &str, script: &str) -> String {
    tried_with(endpoint, kind, script, Policy::default().allow_origin(&endpoint.origin).unwrap()).await
}

async fn tried_with(endpoint: &Endpoint, kind: &str, script: &str, policy: Policy) -> String {
    let configuration = format!(r#"{{{kind}"base_url": "{}", "says": "{script}"}}"#, endpoint.origin);
    let credential = Credential::builder()
        .component(guest(wif_test_guests::exfiltrating()).unwrap())
        .configuration(configuration)
        .policy(policy)
        .build()
        .unwrap();
    match credential.token_within(Duration::from_secs(10)).await {
        Err(Error::Unavailable(failure)) => failure.message,
        other => panic!("{other:?}"),
    }
}

const DISCOVERS: &str = r#""discover": {"config_dir": "/etc/wif-profiles"}, "#;
const NAMES_A_FILE: &str = r#""federation": {"identity_token": {"source": "file", "path": "/etc/hostname"}}, "#;

/// What every host that loads components is tried with, the theft of the machine's secrets first.
#[tokio::test]
async fn no_more_than_is_granted() {
    let document: Value = serde_json::from_str(include_str!("../../../../tests/guests/attempts.json")).unwrap();
    let attempts = document["attempts"].as_array().unwrap();
    assert!(attempts.len() >= 86);
    for attempt in attempts {
        let endpoint = Endpoint::start(|_| Reply::with(200, "{}")).await;
        let (scheme, authority) = endpoint.origin.split_once("://").unwrap();
        let named = match &attempt["identity_token"] {
            Value::Null => NAMES_A_FILE.to_owned(),
            source => format!(r#""federation": {{"identity_token": {source}}}, "#).replace("{api}", &endpoint.origin),
        };
        let kind = if attempt["discovers"] == true { DISCOVERS.to_owned() } else { named };
        let policy = Policy::default().allow_origin(&endpoint.origin).unwrap();
        let sources = attempt["allows_sources"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let policy = sources.fold(policy, Policy::allow_source);
        let told = |name: &str| {
            let otherwise = if name == "origin" { "{api}" } else { "" };
            format!("{name}={}", attempt[name].as_str().unwrap_or(otherwise))
        };
        let script = ["file", "variable", "url", "origin", "header", "value", "method", "purpose", "bytes", "fields"];
        let script = script.map(told).join(" ");
        let script = script.replace("{api}", &endpoint.origin).replace("{scheme}", scheme).replace("{authority}", authority);
        let answers = tried_with(&endpoint, &kind, &script, policy).await;
        // A response is told with the names of its header fields.
        let answers: Vec<&str> = answers.split(", ").filter_map(|answer| answer.split(' ').next()).collect();
        assert_eq!(Value::from(answers), attempt["answers"], "{}", attempt["name"]);
        assert_eq!(endpoint.requests(), u32::from(attempt["sent"] == true), "{}", attempt["name"]);
        if attempt["sent"] == true {
            let last = endpoint.last();
            let (_, carried) = last.split_once("stolen:").expect("the component's request");
            assert_eq!(!carried.trim().is_empty(), attempt["carries"] == true, "{}: {last}", attempt["name"]);
        }
    }
}

/// F9: the policy allows both origins; a request for one of them does not go to the other.
#[tokio::test]
async fn a_request_for_one_origin_does_not_go_to_another_that_is_allowed() {
    let (endpoint, other) =
        (Endpoint::start(|_| Reply::with(200, "{}")).await, Endpoint::start(|_| Reply::with(200, "{}")).await);
    let here = endpoint.origin.trim_start_matches("http://");
    for url in [
        format!("{}/v1/oauth/token", other.origin),
        format!("http://{here}@{}/v1/oauth/token", other.origin.trim_start_matches("http://")),
        format!("http://user@{here}/v1/oauth/token"),
    ] {
        let script = format!("file=/etc/hostname variable=X url={url} origin={}", endpoint.origin);
        let policy = Policy::default().allow_origin(&endpoint.origin).unwrap().allow_origin(&other.origin).unwrap();
        let answers = tried_with(&endpoint, NAMES_A_FILE, &script, policy).await;
        assert_eq!(answers, "content, denied, denied", "{url}");
    }
    assert_eq!((endpoint.requests(), other.requests()), (0, 0));
}

/// What an answer's header says reaches the component only where it is of use to it.
#[tokio::test]
async fn of_an_answer_s_header_the_component_learns_what_it_needs() {
    let reply = |_| {
        let reply = Reply::with(200, "{}").header("set-cookie", "session=canary").header("x-internal", "canary");
        reply.header("request-id", "req_1").header("retry-after", "1").header("server", "canary")
    };
    let endpoint = Endpoint::start(reply).await;
    let url = format!("url={0}/v1/oauth/token origin={0}", endpoint.origin);
    let answers = tried(&endpoint, NAMES_A_FILE, &format!("file=/etc/hostname variable=X {url}")).await;
    assert_eq!(answers, "content, denied, response request-id retry-after content-type");
}

/// F10, A12: a profile is the machine's own: no link leads out of its directory, and nobody else may write it, whatever the component says
/// of how it is to be read.
#[tokio::test]
async fn a_profile_is_read_as_one_whatever_the_component_asks_for() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let endpoint = Endpoint::start(|_| Reply::with(200, "{}")).await;
    let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let configs = directory.path().join("configs");
    std::fs::create_dir(&configs).unwrap();
    let write = |path: &std::path::Path, mode| {
        std::fs::write(path, "{}").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let secret = elsewhere.path().join("secret");
    write(&secret, 0o600);
    write(&configs.join("good.json"), 0o644);
    write(&configs.join("shared.json"), 0o666);
    symlink(&secret, configs.join("leads-out.json")).unwrap();
    symlink("good.json", configs.join("leads-on.json")).unwrap();
    let discovers = format!(r#""discover": {{"config_dir": "{}"}}, "#, directory.path().display());
    for (profile, expected) in [("good", "content"), ("leads-on", "content"), ("shared", "denied"), ("leads-out", "denied")] {
        let file = configs.join(profile).with_extension("json");
        let script = format!("file={} variable=X url={}/v1/files", file.display(), endpoint.origin);
        assert_eq!(tried(&endpoint, &discovers, &script).await, format!("{expected}, denied, denied"), "{profile}");
    }
}
