//! What it costs: `cargo test -p wif-e2e --test standalone cost -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use crate::host::World;

const CALLS: u32 = 200;

#[tokio::test]
#[ignore = "measures, and finds nothing wrong"]
#[allow(clippy::disallowed_macros, clippy::disallowed_methods, reason = "a person reads what is measured")]
async fn a_token_from_the_standalone_component() {
    let world = World::start().await;
    let mut sharing = world.sharing_instance().await;
    sharing.get_token().await.expect("a token");
    let start = Instant::now();
    for _ in 0..CALLS {
        sharing.get_token().await.expect("a token");
    }
    println!("again, of one instance: {:?}", start.elapsed() / CALLS);

    let mut elapsed = Duration::ZERO;
    for _ in 0..CALLS {
        let mut instance = world.sharing_instance().await;
        let start = Instant::now();
        instance.get_token().await.expect("a token");
        elapsed += start.elapsed();
    }
    println!("first of an instance, from the directory: {:?}", elapsed / CALLS);
}
