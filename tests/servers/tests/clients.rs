//! The stand-ins satisfy the platforms' own clients, and our signatures are botocore's.

#![allow(clippy::disallowed_methods, reason = "clients get an environment")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use serde_json::{Value, json};
use wif_recipes::{Ask, Moment, Next, Recipe, Run};
use wif_servers::Mint;
use wif_servers::cases;
use wif_test_tools::{node, or_not_run, python};

fn here(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(file)
}

/// None, and a line that says so, where a Debian package is missing.
fn interpreter() -> Option<PathBuf> {
    or_not_run(python(&here("requirements.txt")))
}

/// Azure's client for workload identity and the clusters' clients insist on TLS with a certificate of the public's; they are left out.
const CLIENTS: [&str; 10] = [
    "aws (environment)",
    "aws (instance)",
    "aws (container)",
    "aws (web identity)",
    "azure (app service)",
    "azure (machine)",
    "client-credentials",
    "google",
    "google-iam",
    "vault",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_that_others_wrote_get_identity_tokens() {
    let Some(interpreter) = tokio::task::spawn_blocking(interpreter).await.expect("no panic") else { return };
    for name in CLIENTS {
        let minted = Arc::new(Mutex::new(Vec::new()));
        let mint: Mint = {
            let minted = Arc::clone(&minted);
            Arc::new(move |audience| {
                let mut minted = minted.lock().expect("nobody panics");
                minted.push(audience.to_owned());
                // Clients of Google read claims: `{"alg":"none"}` and `{"exp":4000000000}`.
                format!("eyJhbGciOiJub25lIn0.eyJleHAiOjQwMDAwMDAwMDB9.c2ln{:04}", minted.len())
            })
        };
        let directory = tempfile::tempdir().expect("a directory");
        let case = cases::start(name, directory.path(), &mint).await;
        let mut command = Command::new(&interpreter);
        command.arg(here("clients.py")).arg(name).arg(case.identity_token.to_string());
        let path = std::env::var("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", directory.path());
        command.envs(case.variables.iter().map(|(name, value)| (*name, value)));
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
        let seen: Vec<_> = case.servers.iter().map(|server| server.seen()).collect();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {words}\n{seen:?}");
        let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let minted = minted.lock().expect("nobody panics").clone();
        assert_eq!(token, format!("eyJhbGciOiJub25lIn0.eyJleHAiOjQwMDAwMDAwMDB9.c2ln{:04}", minted.len()), "{name}");
        let audience = if name.starts_with("azure") { "api://app" } else { "https://api.anthropic.com" };
        assert_eq!(minted.last().map(String::as_str), Some(audience), "{name}");
    }
}

/// GitHub's own client, which actions use.
#[tokio::test(flavor = "multi_thread")]
async fn the_toolkit_of_github_actions_gets_an_identity_token() {
    let folder = tokio::task::spawn_blocking(|| node(&here("node"))).await.expect("no panic");
    let Some(folder) = or_not_run(folder) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let mint: Mint = Arc::new(|audience| format!("eyJhbGciOiJub25lIn0.e30.{}", audience.len()));
    let case = cases::start("github-actions", directory.path(), &mint).await;
    let mut command = Command::new("node");
    command.args(["--input-type=module", "--eval", include_str!("../clients/node/github.mjs")]).current_dir(folder);
    command.envs(case.variables.iter().map(|(name, value)| (*name, value)));
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    // What the runner is told to keep out of the log stands before it.
    assert_eq!(printed.lines().last(), Some("eyJhbGciOiJub25lIn0.e30.25"), "{printed}");
}

/// Some thousand requests by chance: paths, queries, header fields and forms with every kind of character.
#[test]
fn signatures_are_those_of_botocore() {
    let Some(interpreter) = interpreter() else { return };
    let output = Command::new(interpreter).arg(here("signatures.py")).arg("3000").output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut compared = 0;
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let expected: Value = serde_json::from_str(line).expect("a line of JSON");
        assert_eq!(Value::from(signed(&expected)), expected["authorization"], "{line}");
        compared += 1;
    }
    assert_eq!(compared, 3_000);
}

/// What a recipe with the same request sends as `authorization`.
fn signed(expected: &Value) -> String {
    // A text of the random request is a value and no template.
    let mut given = Vec::new();
    let mut hole = |value: &Value| {
        let name = format!("v{}", given.len());
        given.push((name.clone(), value.as_str().expect("a text").to_owned()));
        json!(format!("{{{name}}}"))
    };
    let mut holes = |group: &str| -> Value {
        let members = expected[group].as_object().expect("an object");
        members.iter().map(|(name, value)| (name.clone(), hole(value))).collect()
    };
    let (query, headers, form) = (holes("query"), holes("headers"), holes("form"));
    let mut part = |name: &str| hole(&expected[name]);
    let (url, key, secret, region, service) = (part("url"), part("key"), part("secret"), part("region"), part("service"));
    let session = expected["session"].as_str().unwrap_or_default().to_owned();
    let mut request = json!({
        "method": expected["method"], "url": url, "query": query, "headers": headers,
        "aws": { "service": service, "region": region, "key_id": key, "secret": secret, "session": "{session}" },
        "take": { "token": "body" },
    });
    if form.as_object().is_some_and(|form| !form.is_empty()) {
        request["form"] = form;
    }
    let mut parameters: Value = given.iter().map(|(name, _)| (name.clone(), json!({}))).collect();
    parameters["session"] = json!({});
    if !session.is_empty() {
        given.push(("session".to_owned(), session));
    }
    let document = json!({
        "name": "signed", "freshness": "minted", "parameters": parameters, "steps": [{ "request": request }], "token": "{token}",
    });
    let recipe = Recipe::parse(&document).unwrap_or_else(|error| panic!("{error:?}: {document}"));
    let moment = wif_servers::parse_time(expected["moment"].as_str().expect("a text")).expect("a moment of AWS");
    let wall_ms = moment.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis().try_into().expect("soon enough");
    let moment = Moment { wall_ms, nonce: 0 };
    let Next::Ask(Ask::Request(request)) = Run::new(&recipe, &given).next(&recipe, moment) else {
        panic!("it asks for its request: {document}")
    };
    let field = request.headers.iter().find(|header| header.name == "authorization").expect("it is signed");
    field.value.to_string()
}
