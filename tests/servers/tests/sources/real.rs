//! Sources against servers that others wrote.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use wif_engine::contract::Event;
use wif_servers::cases::Case;
use wif_test_tools::{node, or_not_run};

use crate::engine::{End, World, client};

/// Ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// None, and a line that says so, where a Debian package is missing.
fn packages() -> Option<PathBuf> {
    or_not_run(node(&Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/node")))
}

/// The certified OpenID provider of Node: a client's secret in the header and in the body, and a client's key.
#[tokio::test(flavor = "multi_thread")]
async fn a_certified_openid_provider_gives_a_client_its_token() {
    let Some(packages) = tokio::task::spawn_blocking(packages).await.expect("no panic") else { return };
    // No letter, digit or `-._~`, so that every encoding shows.
    let secret = "canary: /+%secret&with=signs-and-more";
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let pem = pair.serialize_pem();
    let signer = EncodingKey::from_ec_pem(pem.as_bytes()).expect("a key");
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&signer, Algorithm::ES256).expect("a key")).expect("JSON");
    jwk["kid"] = "key-1".into();
    let mut command = Command::new("node");
    command.args(["--input-type=module", "--eval", include_str!("../../clients/node/provider.mjs")]).current_dir(packages);
    command.arg(json!({ "secret": secret, "jwk": jwk }).to_string()).stdout(Stdio::piped());
    let mut process = Process(command.spawn().expect("it starts"));
    let output = process.0.stdout.take().expect("it is piped");
    let issuer = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("it says where it is");
        line.trim().to_owned()
    });
    let issuer = issuer.await.expect("no panic");
    let common = json!({ "token_url": format!("{issuer}/token"), "scope": "claude", "resource": "https://api.anthropic.com" });
    for (name, more) in [
        ("client-credentials", json!({ "client_id": "by:header", "client_secret_variable": "SECRET" })),
        ("client-credentials", json!({ "client_id": "by-body", "client_secret_variable": "SECRET", "secret_in_body": "yes" })),
        ("private-key-jwt", json!({ "client_id": "by-key", "key_id": "key-1", "algorithm": "ES256" })),
    ] {
        let mut identity_token = json!({ "source": name });
        for (key, value) in common.as_object().into_iter().chain(more.as_object()).flatten() {
            identity_token[key] = value.clone();
        }
        let case = Case {
            name,
            identity_token,
            variables: vec![("SECRET", secret.to_owned())],
            files: Vec::new(),
            secrets: vec!["canary"],
            servers: Vec::new(),
            cluster: None,
            workload_api: None,
            executable: None,
            key: Some(pem.clone()),
        };
        let client = client(&case);
        let mut world = World::new(&case, &client);
        let end = world.run(Event::Needed, None).await;
        assert!(matches!(end, End::Exchanged), "{more}: {end:?}");
        let claims = world.exchanged.split('.').nth(1).expect("claims");
        let claims: Value = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64url")).expect("JSON");
        assert_eq!((&claims["iss"], &claims["aud"]), (&json!(issuer), &json!("https://api.anthropic.com")), "{claims}");
        assert_eq!(claims["sub"], more["client_id"], "{claims}");
        assert!(!world.shown.contains("canary"), "{}", world.shown);
    }
}
