use serde_json::json;
use wif_emulator::{Options, Reason};

use crate::world::World;

#[tokio::test]
async fn a_second_exchange_of_the_same_token_is_denied_and_the_history_says_why() {
    let world = World::start().await;
    let token = world.provider().mint();
    assert_eq!(world.exchange(&token).await.status, 200);
    world.exchange(&token).await.assert_opaque_denial();
    let entry = world.last();
    assert_eq!(entry.reason, Some(Reason::JtiReused));
    assert_eq!(entry.reason.unwrap().code(), "jti_reused");
    assert_eq!(entry.jti.as_deref(), token.jti());
    assert_eq!(entry.assertion_id, Some(token.id()));
}

#[tokio::test]
async fn another_token_with_the_same_jti_is_denied() {
    let world = World::start().await;
    let token = world.provider().mint();
    assert_eq!(world.exchange(&token).await.status, 200);
    let twin = world.token().claim("jti", token.jti().unwrap()).claim("more", 1).sign();
    assert_eq!(world.denied(twin.expose()).await, Reason::JtiReused);
}

#[tokio::test]
async fn a_refusal_does_not_spend_the_token() {
    let world = World::start().await;
    let token = world.provider().mint();
    let mut request = world.request(token.expose());
    for (field, wrong, status) in [
        ("workspace_id", "wrkspc_01other", 401),
        ("service_account_id", "svac_01other", 401),
        ("federation_rule_id", "malformed", 400),
    ] {
        let right = request.insert(field.to_owned(), json!(wrong));
        assert_eq!(world.post_exchange(&request).await.status, status);
        match right {
            Some(right) => request.insert(field.to_owned(), right),
            None => request.remove(field),
        };
    }
    assert_eq!(world.post_exchange(&request).await.status, 200);
}

#[tokio::test]
async fn a_token_that_was_too_early_can_be_exchanged_later() {
    let world = World::start().await;
    let token = world.token().valid(world.clock.now() + std::time::Duration::from_secs(40), 600).sign();
    assert_eq!(world.denied(token.expose()).await, Reason::JwtIssuedInFuture);
    world.clock.forward(20);
    assert_eq!(world.exchange(&token).await.status, 200);
}

#[tokio::test]
async fn a_token_without_a_jti_can_be_exchanged_again() {
    let world = World::start().await;
    let token = world.token().without_jti().sign();
    assert_eq!(token.jti(), None);
    for _ in 0..3 {
        assert_eq!(world.exchange(&token).await.status, 200);
    }
}

#[tokio::test]
async fn an_issuer_that_does_not_check_jti_takes_a_token_again() {
    let world = World::with(Options { check_jti: false, ..Options::default() }).await;
    let token = world.provider().mint();
    for _ in 0..3 {
        assert_eq!(world.exchange(&token).await.status, 200);
    }
}

#[tokio::test]
async fn of_many_exchanges_of_one_token_at_once_one_is_granted() {
    let world = World::start().await;
    let token = world.provider().mint();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let request =
            world.client.post(world.url("/v1/oauth/token")).body(serde_json::to_vec(&world.request(token.expose())).unwrap());
        requests.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    let statuses = requests.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1);
    assert_eq!(world.emulator.exchanges_granted(), 1);
    assert_eq!(world.emulator.exchanges_refused(), 15);
}
