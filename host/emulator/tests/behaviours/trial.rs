use serde_json::{Map, Value, json};
use wif_emulator::{Reason, Trial};

use crate::registry::{MEMBER_WORKSPACE, STRANGE_WORKSPACE, document, matching};
use crate::world::World;

async fn tried(world: &World, exchange: &Map<String, Value>) -> Trial {
    world.emulator.try_out(exchange).await.expect("the exchange has its form")
}

fn failures(trial: &Trial) -> Vec<(&str, Reason)> {
    trial.checks.iter().filter_map(|check| Some((check.name.as_str(), check.failure?))).collect()
}

#[tokio::test]
async fn a_trial_says_what_would_be_granted_and_spends_nothing() {
    let world = World::of(document()).await;
    let token = world.provider().mint();
    for _ in 0..3 {
        let trial = tried(&world, &world.request(token.expose())).await;
        assert_eq!((trial.refused, failures(&trial)), (None, vec![]));
        assert_eq!(trial.workspace_id.as_deref(), Some(MEMBER_WORKSPACE));
        assert_eq!((trial.scope.as_deref(), trial.lifetime_seconds), (Some("workspace:developer"), Some(3600)));
    }
    assert!(world.emulator.history().is_empty());
    assert_eq!(world.exchange(&token).await.status, 200);
    let trial = tried(&world, &world.request(token.expose())).await;
    assert_eq!(failures(&trial), [("jti", Reason::JtiReused)]);
}

#[tokio::test]
async fn a_trial_makes_every_check_and_compares_values() {
    let matcher = json!({ "subject_prefix": "team:*", "claims": { "ref": "main" }, "condition": "claims.env == 'prod'" });
    let world = World::of(matching(matcher)).await;
    let token = world.token().subject("crew:a").claim("ref", "dev").claim("aud", "https://other.example").claim("env", "test");
    let token = token.sign();
    let mut exchange = world.request(token.expose());
    exchange.insert("workspace_id".to_owned(), json!(STRANGE_WORKSPACE));
    let trial = tried(&world, &exchange).await;
    assert_eq!(
        failures(&trial),
        [
            ("aud", Reason::AudienceMismatch),
            ("match.subject_prefix", Reason::MatchSubjectPrefix),
            ("match.claims.ref", Reason::MatchClaims),
            ("match.condition", Reason::MatchCondition),
            ("workspace", Reason::WorkspaceNotAccessible),
        ]
    );
    assert_eq!(trial.refused, Some(Reason::AudienceMismatch));
    assert_eq!((trial.workspace_id, trial.lifetime_seconds), (None, None));
    let check = |name: &str| trial.checks.iter().find(|check| check.name == name).expect("it was made");
    assert_eq!(check("match.subject_prefix").expected, Some(json!("team:*")));
    assert_eq!(check("match.subject_prefix").found, Some(json!("crew:a")));
    assert_eq!(check("match.claims.ref").found, Some(json!("dev")));
    assert_eq!(check("match.condition").expected, Some(json!("claims.env == 'prod'")));
    assert_eq!(check("signature").failure, None);
}

#[tokio::test]
async fn claims_are_compared_even_if_the_key_is_unknown() {
    let world = World::of(document()).await;
    let token = world.token().subject("crew:a").key_id("another").sign();
    let trial = tried(&world, &world.request(token.expose())).await;
    assert_eq!(failures(&trial), [("kid", Reason::KeyUnknown), ("match.subject_prefix", Reason::MatchSubjectPrefix)]);
    let kid = trial.checks.iter().find(|check| check.name == "kid").unwrap();
    assert_eq!(kid.expected, Some(json!(world.provider().key_id())));
}

#[tokio::test]
async fn a_trial_and_an_exchange_agree_on_the_reason() {
    let world = World::of(document()).await;
    let tokens = [
        world.token().sign(),
        world.token().subject("crew").sign(),
        world.token().without_claim("exp").sign(),
        world.token().without_key_id().sign(),
        world.token().claim("nbf", "x").sign(),
        world.token().issuer("https://other.example").subject("crew").sign(),
        world.token_with(7200, 60),
    ];
    for token in &tokens {
        let exchange = world.request(token.expose());
        let trial = tried(&world, &exchange).await;
        world.post_exchange(&exchange).await;
        assert_eq!(trial.refused, world.last().reason);
    }
    for (member, value) in [("federation_rule_id", "fdrl_01x"), ("organization_id", "00000000-0000-4000-8000-000000000000")] {
        let mut exchange = world.request(world.provider().mint().expose());
        exchange[member] = json!(value);
        let trial = tried(&world, &exchange).await;
        world.post_exchange(&exchange).await;
        assert_eq!((trial.refused, trial.refused), (world.last().reason, Some(Reason::RuleNotFound)));
    }
}

/// G1 of the emulator's side.
#[tokio::test]
async fn a_trial_never_repeats_the_token() {
    let world = World::of(document()).await;
    let token = world.token().subject(&"long".repeat(200)).sign();
    let trial = tried(&world, &world.request(token.expose())).await;
    let shown = format!("{trial:?} {}", trial.to_json());
    for segment in token.expose().split('.') {
        assert!(!shown.contains(segment));
    }
    assert!(!shown.contains(&"long".repeat(100)), "what a token claims is shortened");
}

#[tokio::test]
async fn what_has_no_form_is_told_as_by_the_endpoint() {
    let world = World::of(document()).await;
    let mut exchange = world.request("x");
    exchange.remove("organization_id");
    assert_eq!(world.emulator.try_out(&exchange).await.unwrap_err(), "organization_id: Field required");
    let exchange = world.request("no token at all");
    assert_eq!(failures(&tried(&world, &exchange).await), [("form", Reason::AssertionMalformed)]);
}
