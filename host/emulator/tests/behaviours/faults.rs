use std::time::Duration;

use serde_json::{Value, json};
use wif_emulator::{Fault, Outcome, Reason};

use crate::world::World;

#[tokio::test]
async fn a_connection_dropped_before_the_answer_spends_the_token() {
    let world = World::start().await;
    let token = world.provider().mint();
    world.emulator.inject(Fault::DropBeforeAnswer);
    assert!(world.try_exchange(&token).await.is_err());
    let entry = world.last();
    assert_eq!(entry.outcome, Outcome::Granted);
    assert_eq!(entry.fault, Some("drop_before_answer"));
    assert!(entry.access_token_id.is_some());

    assert_eq!(world.denied(token.expose()).await, Reason::JtiReused);
}

#[tokio::test]
async fn a_connection_dropped_before_the_exchange_leaves_the_token_as_it_was() {
    let world = World::start().await;
    let token = world.provider().mint();
    world.emulator.inject(Fault::DropBeforeExchange);
    assert!(world.try_exchange(&token).await.is_err());
    assert_eq!(world.last().outcome, Outcome::NotProcessed);
    assert_eq!(world.last().assertion_id, Some(token.id()));
    assert_eq!(world.exchange(&token).await.status, 200);
}

#[tokio::test]
async fn injected_faults_strike_once_each_in_their_order() {
    let world = World::start().await;
    let token = world.provider().mint();
    world.emulator.inject(Fault::status(529));
    world.emulator.inject(Fault::Status { status: 429, retry_after: Some("7".to_owned()), body: None });
    world.emulator.inject(Fault::Status { status: 502, retry_after: None, body: Some(b"<html>bad gateway</html>".to_vec()) });
    let overloaded = world.exchange(&token).await;
    assert_eq!(overloaded.status, 529);
    assert_eq!(overloaded.json()["error"]["type"], "overloaded_error");
    let limited = world.exchange(&token).await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, Some("7")));
    let html = world.exchange(&token).await;
    assert_eq!((html.status, html.text.as_str()), (502, "<html>bad gateway</html>"));
    assert_eq!(world.exchange(&token).await.status, 200);
    assert_eq!(world.emulator.counts().exchanges, 4);
    assert_eq!(world.emulator.exchanges_granted(), 1);
}

#[tokio::test]
async fn an_outage_lasts_until_it_is_taken_down_and_injected_faults_go_first() {
    let world = World::start().await;
    let token = world.provider().mint();
    world.emulator.set_outage(Some(Fault::status(503)));
    world.emulator.inject(Fault::status(500));
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(world.exchange(&token).await.status);
    }
    assert_eq!(statuses, [500, 503, 503, 503]);
    world.emulator.set_outage(None);
    assert_eq!(world.exchange(&token).await.status, 200);
}

#[tokio::test]
async fn an_outage_of_the_token_endpoint_leaves_the_api_up() {
    let world = World::start().await;
    let token = world.access_token().await;
    world.emulator.set_outage(Some(Fault::DropBeforeExchange));
    assert_eq!(world.message(&token).await.status, 200);
}

#[tokio::test]
async fn a_redirect_points_elsewhere_and_spends_nothing() {
    let world = World::start().await;
    let token = world.provider().mint();
    world.emulator.inject(Fault::Redirect { to: "http://127.0.0.1:9/steal".to_owned() });
    let answer = world.exchange(&token).await;
    assert_eq!((answer.status, answer.header("location")), (307, Some("http://127.0.0.1:9/steal")));
    assert_eq!(world.exchange(&token).await.status, 200);
}

#[tokio::test]
async fn the_success_can_say_anything() {
    let world = World::start().await;
    for value in [json!(0), json!(60), json!("600"), json!(1e12), Value::Null] {
        world.emulator.inject(Fault::ExpiresIn(value.clone()));
        let answer = world.exchange(&world.provider().mint()).await;
        assert_eq!(answer.json()["expires_in"], value);
        assert_eq!(world.message(&answer.access_token()).await.status, 200);
    }
    world.emulator.inject(Fault::Member { name: "expires_in".to_owned(), value: None });
    let answer = world.exchange(&world.provider().mint()).await;
    assert!(answer.json().get("expires_in").is_none());

    world.emulator.inject(Fault::Raw200(b"<html>".to_vec()));
    let token = world.provider().mint();
    let answer = world.exchange(&token).await;
    assert_eq!((answer.status, answer.text.as_str()), (200, "<html>"));
    assert_eq!(world.denied(token.expose()).await, Reason::JtiReused);
}

#[tokio::test]
async fn a_failure_after_the_exchange_spends_the_token() {
    let world = World::start().await;
    let token = world.provider().mint();
    world.emulator.inject(Fault::StatusAfterExchange { status: 500, retry_after: None, body: None });
    assert_eq!(world.exchange(&token).await.status, 500);
    assert_eq!(world.denied(token.expose()).await, Reason::JtiReused);
}

#[tokio::test]
async fn who_gives_up_on_a_late_answer_has_spent_its_token() {
    let world = World::start().await;
    let token = world.provider().mint();
    world.emulator.inject(Fault::Delay(Duration::from_secs(60)));
    let mut recorded = world.emulator.subscribe();
    let given_up = tokio::select! {
        _ = world.exchange(&token) => false,
        entries = recorded.wait_for(|entries| *entries == 1) => entries.is_ok(),
    };
    assert!(given_up);
    assert_eq!(world.denied(token.expose()).await, Reason::JtiReused);
}
