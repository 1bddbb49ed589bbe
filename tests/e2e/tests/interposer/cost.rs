//! What it costs: `cargo test --release -p wif-e2e --test interposer cost -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use crate::host::{Alone, Application, Call, ELSEWHERE, Limits, ONE_REQUEST, World};

const CALLS: u32 = 400;

const STANDALONE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/standalone-beside.cwasm"));
const STANDALONE_ASYNC: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/standalone-async.cwasm"));

#[tokio::test]
#[ignore = "measures, and finds nothing wrong"]
#[allow(clippy::disallowed_macros, reason = "a person reads it")]
async fn a_request_through_the_interposer() {
    let world = World::start().await;
    for (name, limits) in [("an instance for all", Limits { requests: usize::MAX, at_once: 16 }), ("one for each", ONE_REQUEST)] {
        let application = world.serve(limits);
        // The host answers both itself, and they differ in nothing else.
        let elsewhere = per_call(&application, &Call::get(format!("{ELSEWHERE}/quick"))).await;
        let api = per_call(&application, &Call::get(world.api("/quick"))).await;
        println!("{name}: elsewhere {elsewhere:?}, to the API {api:?}");
    }
}

/// In one runtime, which can serve both, turn by turn.
#[tokio::test]
#[ignore = "measures, and finds nothing wrong"]
#[allow(clippy::disallowed_macros, reason = "a person reads it")]
async fn a_good_token_from_the_components_of_wasi_0_2_and_0_3() {
    let world = World::start().await;
    let mut older = world.alone(STANDALONE, "wif:credential/token@0.2.0").await;
    let mut newer = world.alone(STANDALONE_ASYNC, "wif:interposer/shared-token@0.1.0").await;
    let mut best = [Duration::MAX; 2];
    for _ in 0..10 {
        for (best, alone) in best.iter_mut().zip([&mut older, &mut newer]) {
            *best = per_token(alone).await.min(*best);
        }
    }
    println!("get-token of a good token: WASI 0.2 {:?}, WASI 0.3 {:?}", best[0], best[1]);
    assert_eq!(world.exchanges(), 1);
}

#[allow(clippy::disallowed_methods, reason = "it is what is measured")]
async fn per_token(alone: &mut Alone) -> Duration {
    alone.get_token().await;
    let start = Instant::now();
    for _ in 0..CALLS {
        alone.get_token().await;
    }
    start.elapsed() / CALLS
}

#[allow(clippy::disallowed_methods, reason = "it is what is measured")]
async fn per_call(application: &Application, call: &Call) -> Duration {
    application.call(call.clone()).await;
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..CALLS {
            application.call(call.clone()).await;
        }
        best = best.min(start.elapsed() / CALLS);
    }
    best
}
