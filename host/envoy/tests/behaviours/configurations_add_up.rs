//! Gauges are of the whole process: no configuration writes over what another has counted. G4.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use wif_emulator::{Emulator, Fault, Options, TokenFile};

use crate::world::{Place, World, bootstrap, configuration, module_directory};

/// Has a token, and not for where the clusters lead: every request is answered at once.
fn elsewhere(configuration: &mut Value) {
    let origin = configuration["credential"]["base_url"].clone();
    configuration["credential"] =
        json!({ "base_url": "https://api.anthropic.com", "bearer": { "source": "literal", "value": "c4n4ry" } });
    configuration["origin"] = origin;
}

/// Another identity, whose exchange would need the identity token that the first has spent.
fn another_identity(configuration: &mut Value) {
    configuration["credential"]["federation"]["workspace_id"] = json!("wrkspc_01another");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_are_counted_whatever_another_configuration_counts() {
    let Some(world) = World::start(Place::Downstream, Options::default(), &[elsewhere, |_| {}]).await else { return };
    world.emulator.inject(Fault::Delay(Duration::from_secs(60)));
    let listener = world.listener(1).await;
    let ask = |_| {
        let request = world.client.get(format!("{listener}/v1/models")).header("anthropic-version", "2023-06-01");
        tokio::spawn(async move { request.send().await.map(|answer| answer.status().as_u16()) })
    };
    let asked: Vec<_> = (0..5).map(ask).collect();
    world.until("five wait", async |world| world.stat("wif_requests_waiting").await == 5).await;
    for refused in 1..=3 {
        assert_eq!(world.ask(0).await.0, 503);
        world.until("it is counted", async |world| world.stat("wif_requests_refused").await == refused).await;
        assert_eq!(world.stat("wif_requests_waiting").await, 5);
    }
    // The configuration ends with its listener, and those who waited in it are gone.
    world.publish(&[elsewhere]);
    world.until("the listener is gone", async |world| world.stat("listener_manager.listener_removed").await == 1).await;
    world.until("nobody waits", async |world| world.stat("wif_requests_waiting").await == 0).await;
    for request in asked {
        assert!(!matches!(request.await.expect("no panic"), Ok(200)), "there was no token");
    }
    // The gauge is there still, and a zero was read of it.
    assert!(world.ask_admin("/stats?filter=wif_requests_waiting$").await.1.contains("wif_requests_waiting: 0"));
    assert_eq!(world.ask(0).await.0, 503);
    world.until("it is counted", async |world| world.stat("wif_requests_refused").await >= 4).await;
    assert_eq!(world.stat("wif_requests_waiting").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_earliest_end_of_all_tokens_is_told_and_that_of_a_configuration_that_ended_is_not() {
    let both: [fn(&mut Value); 2] = [|_| {}, another_identity];
    let Some(world) = World::start(Place::Downstream, Options::default(), &both[..1]).await else { return };
    assert_eq!(world.ask(0).await.0, 200);
    world.until("the token's end", async |world| world.stat("wif_token_unusable_at_seconds").await > 0).await;
    let end = world.stat("wif_token_unusable_at_seconds").await;
    world.publish(&both);
    assert_eq!(world.ask(1).await.0, 503);
    world.until("one has no token", async |world| world.stat("wif_token_unusable_at_seconds").await == 0).await;
    world.publish(&both[..1]);
    world.until("its thread is gone", async |world| world.threads("wif-credential") == 1).await;
    world.until("the other one's is told again", async |world| world.stat("wif_token_unusable_at_seconds").await >= end).await;
}

/// Nobody knows who shares a gauge: in the chain of a cluster it has the cluster's name, and a namespace may be configured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_earliest_end_of_all_tokens_is_told_wherever_one_is_told() {
    let both = async |emulator: &Emulator, file: &TokenFile, _: &Path| {
        let mut another = configuration(emulator, file);
        another_identity(&mut another);
        bootstrap(&[("first", configuration(emulator, file)), ("second", another)], emulator.address().port())
    };
    let Some(world) = World::start_with(&module_directory(), Options::default(), both).await else { return };
    assert_eq!(world.ask(0).await.0, 200);
    // Of the other, nobody has asked for a token yet.
    for gauge in ["first.wif_token_unusable_at_seconds", "second.wif_token_unusable_at_seconds"] {
        world.until("the token's end", async |world| world.stat(gauge).await > 0).await;
    }
    assert_eq!(world.ask(1).await.0, 503);
    world.until("one has no token", async |world| world.stat("first.wif_token_unusable_at_seconds").await == 0).await;
    world.until("and so", async |world| world.stat("second.wif_token_unusable_at_seconds").await == 0).await;
    assert!(world.stat("first.wif_exchange_succeeded").await == 1 && world.stat("second.wif_requests_refused").await == 1);
}
