//! `wif issuer`.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

use crate::place::{Run, bare};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_whose_public_half_verifies_what_it_signs() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("key.pem");
    let run = async |issuer: &str| {
        let mut command = bare(directory.path());
        command.args(["issuer", issuer, "--subject", "batch", "--key"]).arg(&file);
        Run::of(command).await
    };
    let made = run("https://issuer.example").await;
    assert_eq!(made.code, 0, "{}", made.stderr);
    for told in ["https://issuer.example", "batch", "https://api.anthropic.com", "signer"] {
        assert!(made.stderr.contains(told), "{told}: {}", made.stderr);
    }
    let keys: JwkSet = serde_json::from_str(&made.stdout).expect("a JWKS");
    let [key] = &keys.keys[..] else { panic!("{keys:?}") };
    let private = std::fs::read_to_string(&file).expect("the key is there");
    assert!(!made.stdout.contains(private.lines().nth(1).expect("a line")) && !made.stdout.contains("\"d\""), "{}", made.stdout);
    let claims = json!({ "sub": "batch", "exp": 4_000_000_000_u64 });
    let signer = EncodingKey::from_ec_pem(private.as_bytes()).expect("a private key");
    let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &signer).expect("it signs");
    let verifier = DecodingKey::from_jwk(key).expect("a public key");
    let found = jsonwebtoken::decode::<Value>(&token, &verifier, &Validation::new(Algorithm::ES256)).expect("it verifies");
    assert_eq!(found.claims["sub"], "batch");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(file.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
    }
    // A key that is in use is not written over.
    let again = run("https://issuer.example").await;
    assert_ne!(again.code, 0);
    assert!(again.stderr.contains("key.pem"), "{}", again.stderr);
    assert_eq!(std::fs::read_to_string(&file).expect("it is still there"), private);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_issuer_is_refused_before_a_key_is_made() {
    let directory = tempfile::tempdir().expect("a directory");
    for issuer in [
        "issuer.example",
        "http://issuer.example",
        "HTTPS://issuer.example",
        "https://",
        "https://issuer.example?a=canary",
        "https://issuer.example#canary",
        "https://issuer.example/a canary",
        "https://me:canary@issuer.example",
        "https:me:canary@issuer.example",
        "http://me:canary@issuer.example",
        "me:canary@issuer.example",
    ] {
        let mut command = bare(directory.path());
        command.args(["issuer", issuer, "--key"]).arg(directory.path().join("key.pem"));
        let run = Run::of(command).await;
        assert_eq!(run.code, 2, "{issuer}: {}", run.stderr);
        assert!(run.stderr.contains("https URL"), "{issuer}: {}", run.stderr);
        assert!(!run.stderr.contains("canary") && !run.stdout.contains("canary"), "{issuer}: {}", run.stderr);
    }
    assert!(!directory.path().join("key.pem").exists());
}
