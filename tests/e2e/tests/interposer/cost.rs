//! What it costs: `cargo test --release -p wif-e2e --test interposer cost -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use crate::host::{Application, Call, ELSEWHERE, Limits, ONE_REQUEST, World};

const CALLS: u32 = 400;

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
