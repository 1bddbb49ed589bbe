//! An exchange beside the calls of its instance.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;
use wif_emulator::Fault;

use crate::host::{Application, Call, Limits, ONE_REQUEST, SERVE, World};

/// Longer than a call that waits for nothing takes.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What the newest request carried.
fn carried(world: &World) -> String {
    world.seen.last().fields["authorization"].to_str().expect("it is text").to_owned()
}

async fn call_at_once(application: &Application, world: &World) -> Value {
    let call = application.call(Call::message(world));
    timeout(AT_ONCE, call).await.expect("it waits for nothing")
}

/// Calls until one carries another token.
async fn until_another(application: &Application, world: &World, first: &str) {
    let another = async {
        while carried(world) == first {
            assert_eq!(call_at_once(application, world).await["status"], 200);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), another).await.expect("the refresh ends");
}

/// A token that is due for a refresh, and an endpoint that takes two seconds for it.
async fn due(limits: Limits) -> (World, Application, String) {
    let world = World::start().await;
    let application = world.serve(limits);
    assert_eq!(application.call(Call::message(&world)).await["status"], 200);
    let first = carried(&world);
    world.clock.forward(Duration::from_secs(3600 - 45));
    world.file.rotate().unwrap();
    world.emulator.inject(Fault::Delay(Duration::from_secs(2)));
    (world, application, first)
}

/// C2: nobody is held up, not even the one whose call began it.
#[tokio::test]
async fn a_refresh_runs_beside_the_calls_of_its_instance() {
    let (world, application, first) = due(SERVE).await;
    assert_eq!(call_at_once(&application, &world).await["status"], 200);
    world.until_exchanges(2).await;
    assert_eq!(call_at_once(&application, &world).await["status"], 200);
    assert_eq!(carried(&world), first);
    until_another(&application, &world, &first).await;
    assert_eq!(world.exchanges(), 2);
}

/// C4: the host gives the instance no other request, and keeps it for as long as the exchange takes.
#[tokio::test]
async fn a_refresh_is_ended_though_its_instance_is_used_no_more() {
    let (world, application, first) = due(ONE_REQUEST).await;
    assert_eq!(call_at_once(&application, &world).await["status"], 200);
    world.until_exchanges(2).await;
    until_another(&application, &world, &first).await;
    assert_eq!(world.exchanges(), 2);
}

/// B15: the endpoint hangs for longer than anybody would wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_endpoint_that_hangs_holds_nobody_up_who_has_a_token() {
    let (world, application, first) = due(SERVE).await;
    world.emulator.set_outage(Some(Fault::Delay(Duration::from_secs(60))));
    assert_eq!(call_at_once(&application, &world).await["status"], 200);
    world.until_exchanges(2).await;
    let application = Arc::new(application);
    let mut calls = JoinSet::new();
    for _ in 0..32 {
        let (application, call) = (Arc::clone(&application), Call::message(&world));
        calls.spawn(async move { timeout(AT_ONCE * 2, application.call(call)).await });
    }
    for seen in calls.join_all().await {
        assert_eq!(seen.expect("it waits for nothing")["status"], 200);
    }
    assert_eq!(carried(&world), first);
    assert_eq!(world.exchanges(), 2);
}

/// C1: no store, one instance, and what it knows.
#[tokio::test]
async fn callers_of_one_instance_share_one_exchange() {
    let world = World::start().await;
    let application = world.serve_alone(SERVE);
    world.emulator.inject(Fault::Delay(Duration::from_millis(500)));
    for seen in application.call_in_one_instance(vec![Call::message(&world); 64]).await {
        assert_eq!(seen["status"], 200, "{seen}");
    }
    assert_eq!((world.exchanges(), application.instances()), (1, 1));
}

/// C4: the application lets the call go that began the exchange. It is one call, in one instance, with the others.
#[tokio::test]
async fn a_caller_that_gives_up_leaves_the_exchange_to_the_others() {
    let world = World::start().await;
    let application = world.serve_alone(SERVE);
    world.emulator.inject(Fault::Delay(Duration::from_secs(2)));
    let message = || Call::message(&world);
    let calls = vec![message().giving_up_after(AT_ONCE / 2), message(), message().giving_up_after(AT_ONCE / 2), message()];
    let seen = timeout(Duration::from_secs(20), application.call_in_one_instance(calls)).await.expect("the exchange goes on");
    for (seen, gave_up) in seen.iter().zip([true, false, true, false]) {
        let expected = if gave_up { &seen["gave_up"] == true } else { seen["status"] == 200 };
        assert!(expected, "{seen}");
    }
    assert_eq!(world.exchanges(), 1);
}

/// C4: nobody else waits for it, and its instance gets no other request.
#[tokio::test]
async fn an_exchange_is_ended_though_its_only_caller_gave_up() {
    let world = World::start().await;
    let application = world.serve(ONE_REQUEST);
    world.emulator.inject(Fault::Delay(Duration::from_secs(2)));
    let seen = application.call(Call::message(&world).giving_up_after(AT_ONCE / 2)).await;
    assert_eq!(seen["gave_up"], true, "{seen}");
    let seen = timeout(Duration::from_secs(20), application.call(Call::message(&world))).await.expect("it is served");
    assert_eq!(seen["status"], 200, "{seen}");
    assert_eq!(world.exchanges(), 1);
}

/// C3: those who are too many learn when to come again.
#[tokio::test]
async fn no_more_than_256_callers_of_an_instance_wait() {
    let world = World::start().await;
    let application = world.serve_alone(SERVE);
    world.emulator.inject(Fault::Delay(Duration::from_secs(5)));
    let seen = application.call_in_one_instance(vec![Call::message(&world); 260]).await;
    let shed: Vec<&Value> = seen.iter().filter(|seen| seen["status"] == 503).collect();
    assert_eq!((shed.len(), seen.iter().filter(|seen| seen["status"] == 200).count()), (4, 256));
    assert!(shed[0]["fields"].to_string().contains(r#"["retry-after","1"]"#), "{}", shed[0]);
    assert_eq!(world.exchanges(), 1);
}
