use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;
use wif_emulator::{Betas, ClockError, Emulator, ErrorShape, Options, Outcome, Reason, Switches};

use crate::world::{Received, World};

const FEDERATION_BETA: &str = "oidc-federation-2026-04-01";
const OAUTH_BETA: &str = "oauth-2025-04-20";

async fn exchange_with_betas(world: &World, betas: &[&str]) -> Received {
    let body = serde_json::to_vec(&world.request(world.provider().mint().expose())).unwrap();
    let mut request = world.client.post(world.url("/v1/oauth/token")).body(body);
    for beta in betas {
        request = request.header("anthropic-beta", *beta);
    }
    Received::of(request.send().await.unwrap()).await.unwrap()
}

#[tokio::test]
async fn the_shape_of_errors_can_be_switched_while_it_runs() {
    let world = World::start().await;
    world.emulator.set_switches(Switches { error_shape: ErrorShape::OAuth, ..Switches::default() }).unwrap();
    let answer = world.exchange_text("not a token").await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_grant")));
    world.emulator.set_switches(Switches::default()).unwrap();
    world.exchange_text("not a token").await.assert_opaque_denial();
}

/// The leeway is 30 seconds either way: 29 pass, 31 do not.
#[tokio::test]
async fn a_skewed_clock_is_forgiven_up_to_the_leeway() {
    let world = World::start().await;
    let skew = |seconds| world.emulator.set_switches(Switches { clock_skew_seconds: seconds, ..Switches::default() }).unwrap();
    // The service is behind: fresh tokens come from its future.
    skew(-29);
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 200);
    skew(-31);
    assert_eq!(world.denied(world.provider().mint().expose()).await, Reason::JwtIssuedInFuture);
    // It is ahead: tokens end early.
    let ending = || world.token_with(600, 0);
    skew(29);
    assert_eq!(world.exchange(&ending()).await.status, 200);
    skew(31);
    assert_eq!(world.denied(ending().expose()).await, Reason::JwtExpired);
    let date = httpdate::parse_http_date(world.exchange_text("x").await.header("date").unwrap()).unwrap();
    assert_eq!(date, world.clock.now() + Duration::from_secs(31), "what it dates is by its own clock");
    assert_eq!(world.last().time, date);
}

#[tokio::test]
async fn advancing_moves_the_service_and_the_identity_provider() {
    let world = World::start().await;
    let access_token = world.access_token().await;
    world.emulator.advance(Duration::from_secs(3599)).unwrap();
    assert_eq!(world.message(&access_token).await.status, 200);
    world.emulator.advance(Duration::from_secs(1)).unwrap();
    assert_eq!(world.message(&access_token).await.status, 401);
    assert_eq!(world.last().reason, Some(Reason::TokenExpired));
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 200);
}

#[tokio::test]
async fn clocks_are_not_put_where_no_date_can_be_written() {
    let world = World::start().await;
    let skew = |seconds| Switches { clock_skew_seconds: seconds, jwks_down: true, ..Switches::default() };
    for seconds in [i64::MIN, -315_360_001, 315_360_001, i64::MAX] {
        let error = world.emulator.set_switches(skew(seconds)).unwrap_err();
        assert_eq!(error, ClockError::Skew(seconds));
        assert!(error.to_string().contains("clock_skew_seconds") && error.to_string().contains("315360000"), "{error}");
    }
    assert_eq!(world.emulator.switches(), Switches::default(), "nothing was changed");
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 200);
    for seconds in [-315_360_000, 315_360_000] {
        world.emulator.set_switches(skew(seconds)).unwrap();
        assert!(world.exchange_text("x").await.header("date").is_some());
    }

    world.emulator.set_switches(Switches::default()).unwrap();
    world.emulator.advance(Duration::from_secs(3_153_599_999)).unwrap();
    let error = world.emulator.advance(Duration::from_secs(2)).unwrap_err();
    assert_eq!(error, ClockError::Advance { advanced: 3_153_599_999 });
    assert!(world.emulator.advance(Duration::MAX).is_err());
    world.emulator.advance(Duration::from_secs(1)).unwrap();
    let date = httpdate::parse_http_date(world.exchange_text("x").await.header("date").unwrap()).unwrap();
    assert_eq!(date, world.clock.now() + Duration::from_secs(3_153_600_000));
}

#[tokio::test]
async fn a_time_that_no_date_can_tell_leaves_the_date_out() {
    let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
    let after_9999 = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
    for (now, dated) in
        [(before_1970, false), (UNIX_EPOCH, true), (after_9999 - Duration::from_secs(1), true), (after_9999, false)]
    {
        let clock = Arc::new(move || now);
        let emulator = Emulator::start(Options { clock, ..Options::default() }).await.unwrap();
        let world = World::start().await;
        let answer = world.client.get(format!("{}/api/hello", emulator.base_url())).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("date")), (200, dated), "{now:?}");
    }
}

#[tokio::test]
async fn exchanges_need_no_beta_unless_asked_for() {
    let world = World::start().await;
    for betas in [vec![], vec![OAUTH_BETA], vec![OAUTH_BETA, FEDERATION_BETA]] {
        assert_eq!(exchange_with_betas(&world, &betas).await.status, 200);
    }
    let both = Betas { require: vec![OAUTH_BETA.to_owned(), FEDERATION_BETA.to_owned()], forbid: Vec::new() };
    world.emulator.set_switches(Switches { exchange_betas: both, ..Switches::default() }).unwrap();
    let joined = format!("{OAUTH_BETA}, {FEDERATION_BETA}");
    assert_eq!(exchange_with_betas(&world, &[&joined]).await.status, 200);
    assert_eq!(exchange_with_betas(&world, &[FEDERATION_BETA, OAUTH_BETA]).await.status, 200);
    for betas in [vec![], vec![OAUTH_BETA], vec!["oidc-federation-2026-04-011", OAUTH_BETA]] {
        let answer = exchange_with_betas(&world, &betas).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text.contains("is required"), "{}", answer.text);
        assert_eq!((world.last().outcome, world.last().reason), (Outcome::Malformed, Some(Reason::BetaRefused)));
    }
}

/// E10 of the emulator's side: the federation beta never goes to the API.
#[tokio::test]
async fn a_beta_can_be_forbidden_on_either_endpoint() {
    let world = World::start().await;
    let access_token = world.access_token().await;
    let forbid = || Betas { require: Vec::new(), forbid: vec![FEDERATION_BETA.to_owned()] };
    world.emulator.set_switches(Switches { api_betas: forbid(), ..Switches::default() }).unwrap();
    let send = async |beta: &str| {
        let request = world.message_request().bearer_auth(&access_token).header("anthropic-version", "2023-06-01");
        Received::of(request.header("anthropic-beta", beta).send().await.unwrap()).await.unwrap()
    };
    assert_eq!(send(OAUTH_BETA).await.status, 200);
    let refused = send(&format!("{OAUTH_BETA},{FEDERATION_BETA}")).await;
    assert_eq!((refused.status, refused.json()["error"]["type"].clone()), (400, json!("invalid_request_error")));
    assert_eq!(world.last().reason, Some(Reason::BetaRefused));
    assert_eq!(exchange_with_betas(&world, &[FEDERATION_BETA]).await.status, 200);

    world.emulator.set_switches(Switches { exchange_betas: forbid(), ..Switches::default() }).unwrap();
    assert_eq!(exchange_with_betas(&world, &[FEDERATION_BETA]).await.status, 400);
    assert_eq!(send(FEDERATION_BETA).await.status, 200);
}
