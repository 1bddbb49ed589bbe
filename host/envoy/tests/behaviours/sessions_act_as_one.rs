//! Configurations of one process: the same identity makes one exchange, and what was spent stays spent.

use serde_json::json;
use wif_emulator::{Options, Reason};

use crate::world::{Place, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_listeners_with_one_identity_make_one_exchange() {
    let other: fn(&mut serde_json::Value) = |configuration| configuration["credential"]["wait_at_most_ms"] = json!(500);
    let Some(world) = World::start(Place::Downstream, Options::default(), &[|_| {}, other]).await else { return };
    let ((a, ..), (b, ..)) = tokio::join!(world.ask(0), world.ask(1));
    assert_eq!((a, b), (200, 200));
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_the_token_over() {
    let Some(world) = World::start(Place::Downstream, Options::default(), &[|_| {}]).await else { return };
    assert_eq!(world.ask(0).await.0, 200);
    world.publish(&[|configuration| configuration["waiting"] = json!({ "requests": 7 })]);
    world.replaced().await;
    assert_eq!(world.ask(0).await.0, 200);
    // Nor is it forgotten when there is no listener for a while.
    world.publish(&[]);
    world.until("there is none", async |world| world.threads("wif-credential") == 0).await;
    world.publish(&[|_| {}]);
    assert_eq!(world.ask(0).await.0, 200);
    assert_eq!(world.exchanges(), 1);
}

/// Another identity: its own token, and no identity token that the first has spent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_identity_gets_its_own_token_and_sends_nothing_that_is_spent() {
    let Some(world) = World::start(Place::Downstream, Options::default(), &[|_| {}]).await else { return };
    assert_eq!(world.ask(0).await.0, 200);
    // The emulator has one workspace, and the rule is enabled there: to name it makes another identity.
    let workspace: fn(&mut serde_json::Value) = |configuration| {
        configuration["credential"]["federation"]["workspace_id"] = json!("wrkspc_01another");
    };
    world.publish(&[workspace]);
    world.replaced().await;
    // A connection that the old listener has taken is answered by it.
    world.until("the new listener answers", async |world| world.ask(0).await.0 != 200).await;
    let (status, body, code) = world.ask(0).await;
    assert_eq!((status, code.as_deref()), (503, Some("identity-token-spent")), "{body}\n{}", world.log());
    assert_eq!(world.exchanges(), 1);
    world.file.rotate().expect("the directory is writable");
    world.until("the new identity token is exchanged", async |world| world.exchanges() == 2 || world.ask(0).await.0 == 0).await;
    let reused = world.emulator.history().iter().filter(|entry| entry.reason == Some(Reason::JtiReused)).count();
    assert_eq!(reused, 0);
}
