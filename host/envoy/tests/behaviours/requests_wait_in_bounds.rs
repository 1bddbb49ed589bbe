//! Requests wait for a token: not too many, not for too long, and nobody is forgotten.

use std::time::Duration;

use serde_json::json;
use wif_emulator::{Fault, Options};

use crate::world::{Place, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_without_a_token_makes_one_exchange() {
    for place in [Place::Downstream, Place::Upstream] {
        let Some(world) = World::start(place, Options::default(), &[|_| {}]).await else { return };
        world.emulator.inject(Fault::Delay(Duration::from_millis(300)));
        let listener = world.listener(0).await;
        let ask = |_| {
            let request = world.client.get(format!("{listener}/v1/models")).header("anthropic-version", "2023-06-01");
            tokio::spawn(async move { request.send().await.expect("it answers").status().as_u16() })
        };
        let asked: Vec<_> = (0..200).map(ask).collect();
        for status in asked {
            assert_eq!(status.await.expect("no panic"), 200, "{place:?}");
        }
        assert_eq!(world.exchanges(), 1, "{place:?}");
        world.until("the requests are counted", async |world| world.stat("wif_requests_waited").await > 0).await;
        world.until("and are over", async |world| world.stat("wif_requests_waiting").await == 0).await;
        world.until("as is the exchange", async |world| world.stat("wif_exchange_succeeded").await == 1).await;
        world.until("and the token's end", async |world| world.stat("wif_token_unusable_at_seconds").await > 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_or_beside_too_many_is_answered() {
    let narrow: fn(&mut serde_json::Value) = |configuration| {
        configuration["waiting"] = json!({ "requests": 2, "at_most_ms": 400 });
    };
    let Some(world) = World::start(Place::Downstream, Options::default(), &[narrow]).await else { return };
    world.emulator.inject(Fault::Delay(Duration::from_secs(3)));
    let (a, b, c) = tokio::join!(world.ask(0), world.ask(0), async {
        world.until("two wait", async |world| world.stat("wif_requests_waiting").await == 2).await;
        world.ask(0).await
    });
    for (status, body, code) in [&a, &b] {
        assert_eq!((*status, code.as_deref()), (503, Some("timed-out")), "{body}");
    }
    assert_eq!((c.0, c.2.as_deref()), (503, Some("overloaded")), "{}", c.1);
    let envelope: serde_json::Value = serde_json::from_str(&c.1).expect("JSON");
    assert_eq!((envelope["type"].as_str(), envelope["error"]["type"].as_str()), (Some("error"), Some("api_error")));
    world.until("the token comes all the same", async |world| world.ask(0).await.0 == 200).await;
    assert_eq!(world.exchanges(), 1);
}

/// Their places are free again at once, and the exchange that they began is not lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_leave_nothing_behind() {
    let narrow: fn(&mut serde_json::Value) = |configuration| configuration["waiting"] = json!({ "requests": 2 });
    let Some(world) = World::start(Place::Downstream, Options::default(), &[narrow]).await else { return };
    world.emulator.inject(Fault::Delay(Duration::from_secs(2)));
    for _ in 0..3 {
        let hasty = tokio::time::timeout(Duration::from_millis(200), async { tokio::join!(world.ask(0), world.ask(0)) });
        assert!(hasty.await.is_err(), "there is no token yet");
        world.until("nobody waits", async |world| world.stat("wif_requests_waiting").await == 0).await;
    }
    assert_eq!(world.ask(0).await.0, 200);
    assert_eq!(world.exchanges(), 1);
}

/// A token for another origin than the clusters lead to is put on nothing.
#[tokio::test]
async fn a_token_for_elsewhere_fails_closed() {
    let elsewhere: fn(&mut serde_json::Value) = |configuration| {
        let base_url = configuration["credential"]["base_url"].as_str().expect("text").to_owned();
        configuration["credential"] =
            json!({ "base_url": "https://api.anthropic.com", "bearer": { "source": "literal", "value": "c4n4ry" } });
        configuration["origin"] = json!(base_url);
    };
    let Some(world) = World::start(Place::Downstream, Options::default(), &[elsewhere]).await else { return };
    let (status, body, code) = world.ask(0).await;
    assert_eq!((status, code.as_deref()), (503, Some("other-origin")), "{body}");
    assert!(world.emulator.history().is_empty());
    assert!(!world.log().contains("c4n4ry"));
}
