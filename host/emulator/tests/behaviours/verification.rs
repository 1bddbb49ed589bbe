use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use wif_emulator::{Options, Reason};

use crate::world::World;

fn segment(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// The claims of a good token, to be signed otherwise.
fn payload(world: &World) -> String {
    world.provider().mint().expose().split('.').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn the_issuer_is_compared_byte_for_byte() {
    let world = World::start().await;
    let issuer = world.provider().issuer().to_owned();
    for other in [format!("{issuer}/"), issuer.replace("http", "HTTP"), "https://example.com".to_owned()] {
        let token = world.token().issuer(&other).sign();
        assert_eq!(world.denied(token.expose()).await, Reason::IssuerMismatch);
    }
}

#[tokio::test]
async fn the_audience_must_contain_that_of_the_rule() {
    let world = World::start().await;
    let audience = world.emulator.options().audience.as_str();
    for wrong in [json!("https://example.com"), json!(["a", "b"]), json!([]), json!({ "a": 1 })] {
        let token = world.token().claim("aud", wrong).sign();
        assert_eq!(world.denied(token.expose()).await, Reason::AudienceMismatch);
    }
    let missing = world.token().without_claim("aud").sign();
    assert_eq!(world.denied(missing.expose()).await, Reason::AudienceMismatch);
    for right in [json!(audience), json!(["a", audience])] {
        assert_eq!(world.exchange(&world.token().claim("aud", right).sign()).await.status, 200);
    }
}

#[tokio::test]
async fn another_subject_does_not_match_the_rule() {
    let world = World::start().await;
    let token = world.token().subject("system:serviceaccount:default:other").sign();
    assert_eq!(world.denied(token.expose()).await, Reason::MatchSubjectPrefix);
}

#[tokio::test]
async fn a_missing_claim_is_denied_by_name() {
    let world = World::start().await;
    for claim in ["iss", "sub", "iat", "exp"] {
        let token = world.token().without_claim(claim).sign();
        assert_eq!(world.denied(token.expose()).await, Reason::ClaimMissing);
        assert_eq!(world.last().detail.as_deref(), Some(claim));
    }
    let without_nbf = world.token().without_claim("nbf").sign();
    assert_eq!(world.exchange(&without_nbf).await.status, 200);
}

#[tokio::test]
async fn a_claim_of_another_type_is_denied_by_name() {
    let world = World::start().await;
    for (claim, value) in
        [("sub", json!(7)), ("exp", json!("tomorrow")), ("iat", json!(1e300)), ("nbf", json!(null)), ("jti", json!(["a"]))]
    {
        let token = world.token().claim(claim, value).sign();
        assert_eq!(world.denied(token.expose()).await, Reason::ClaimMalformed, "{claim}");
        assert_eq!(world.last().detail.as_deref(), Some(claim));
    }
}

#[tokio::test]
async fn clocks_may_be_apart_by_less_than_the_leeway_of_30_seconds() {
    let world = World::start().await;
    let now = world.clock.now();
    let seconds = Duration::from_secs;

    // The end: 29 s ago passes, 31 s ago does not.
    let ended = |ago: u64| world.token().valid(now - seconds(600), 600 - ago).sign();
    assert_eq!(world.exchange(&ended(29)).await.status, 200);
    assert_eq!(world.denied(ended(31).expose()).await, Reason::JwtExpired);

    // The issue: in 29 s passes, in 31 s does not.
    let issued = |ahead: u64| world.token().valid(now + seconds(ahead), 600).sign();
    assert_eq!(world.exchange(&issued(29)).await.status, 200);
    assert_eq!(world.denied(issued(31).expose()).await, Reason::JwtIssuedInFuture);

    // The beginning, likewise.
    let from_epoch = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let begins = |ahead: u64| world.token().claim("nbf", from_epoch + ahead).sign();
    assert_eq!(world.exchange(&begins(29)).await.status, 200);
    assert_eq!(world.denied(begins(31).expose()).await, Reason::JwtNotYetValid);
}

#[tokio::test]
async fn a_token_that_lives_longer_than_the_issuer_may_make_them_is_denied() {
    let world = World::start().await;
    let now = world.clock.now();
    assert_eq!(world.exchange(&world.token().valid(now, 3600).sign()).await.status, 200);
    let long = world.token().valid(now, 3601).sign();
    assert_eq!(world.denied(long.expose()).await, Reason::JwtLifetimeTooLong);

    let world = World::with(Options { max_jwt_lifetime_seconds: 600, ..Options::default() }).await;
    assert_eq!(world.denied(world.provider().mint().expose()).await, Reason::JwtLifetimeTooLong);
}

#[tokio::test]
async fn a_token_must_name_a_key_of_the_issuer() {
    let world = World::start().await;
    let nameless = world.token().without_key_id().sign();
    assert_eq!(world.denied(nameless.expose()).await, Reason::KeyIdMissing);
    let unknown = world.token().key_id("another").sign();
    assert_eq!(world.denied(unknown.expose()).await, Reason::KeyUnknown);
}

#[tokio::test]
async fn a_token_that_another_key_signed_is_denied() {
    let world = World::start().await;
    let impostor =
        World::with(Options { issuer: Some(world.provider().issuer().to_owned()), ..world.emulator.options().clone() }).await;
    let unknown = impostor.provider().mint();
    assert_eq!(world.denied(unknown.expose()).await, Reason::KeyUnknown);
    let forged = impostor.token().key_id(world.provider().key_id()).sign();
    assert_eq!(world.denied(forged.expose()).await, Reason::SignatureInvalid);
    assert_eq!(world.last().jti, None, "what an unknown signer claims is not repeated");
}

#[tokio::test]
async fn claims_that_were_changed_after_signing_are_denied() {
    let world = World::start().await;
    let token = world.provider().mint();
    let mut segments: Vec<&str> = token.expose().split('.').collect();
    let other = payload(&world);
    segments[1] = &other;
    assert_eq!(world.denied(&segments.join(".")).await, Reason::SignatureInvalid);
}

#[tokio::test]
async fn a_token_signed_with_a_shared_secret_is_denied() {
    let world = World::start().await;
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(world.provider().key_id().to_owned());
    let key = serde_json::to_vec(&world.provider().jwks()).unwrap();
    let token = jsonwebtoken::encode(&header, &json!({}), &EncodingKey::from_secret(&key)).unwrap();
    assert_eq!(world.denied(&token).await, Reason::AlgorithmRefused);
}

#[tokio::test]
async fn an_unsigned_token_is_denied() {
    let world = World::start().await;
    for algorithm in ["none", "None", "EdDSA", "ES999"] {
        let header = segment(&json!({ "alg": algorithm, "kid": world.provider().key_id() }));
        let token = format!("{header}.{}.", payload(&world));
        assert_eq!(world.denied(&token).await, Reason::AlgorithmRefused, "{algorithm}");
    }
}

#[tokio::test]
async fn an_algorithm_that_is_not_the_keys_is_denied() {
    let world = World::start().await;
    let header = segment(&json!({ "alg": "RS256", "kid": world.provider().key_id() }));
    let token = format!("{header}.{}.AAAA", payload(&world));
    assert_eq!(world.denied(&token).await, Reason::AlgorithmRefused);
    let header = segment(&json!({ "alg": "ES384", "kid": world.provider().key_id() }));
    let token = format!("{header}.{}.AAAA", payload(&world));
    let reason = world.denied(&token).await;
    assert!(matches!(reason, Reason::SignatureInvalid | Reason::AssertionMalformed | Reason::AlgorithmRefused));
}

#[tokio::test]
async fn what_is_no_jwt_is_denied() {
    let world = World::start().await;
    let good = world.provider().mint();
    for assertion in [
        "x".to_owned(),
        "a.b".to_owned(),
        "a.b.c.d".to_owned(),
        "..".to_owned(),
        format!("{}\n", good.expose()),
        format!(" {}", good.expose()),
        format!("{}.", good.expose()),
        format!("{}.e30.AAAA", segment(&json!([]))),
        format!("{}.e30.AAAA", segment(&json!({ "alg": "ES256", "kid": "k", "crit": ["x"] }))),
    ] {
        assert_eq!(world.denied(&assertion).await, Reason::AssertionMalformed, "{assertion:?}");
    }
    assert_eq!(world.exchange(&good).await.status, 200);
}
