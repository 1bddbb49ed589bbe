use std::time::Duration;

use wif_emulator::Options;

use crate::harness::{Form, Plan, Traffic, in_every_form};

/// Long enough for a refresh and a rotation, and short enough to wait for: the refresh begins in the second half.
const SHORT_S: u64 = 14;

fn short_lived() -> Options {
    Options { token_lifetime_seconds: 60, shortest_lifetime_seconds: 1, ..Options::default() }
}

in_every_form! {
    /// A9 (identity tokens rotate fast), C2 (a refresh holds nobody up).
    async fn a_rotated_identity_token_is_exchanged_ahead_of_time_and_nobody_waits(form: Form) {
        let options = Options { token_lifetime_seconds: SHORT_S, ..short_lived() };
        let Some(world) = Plan::new(form).options(options).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        let rotated = world.file.rotate().expect("the directory is writable");
        let traffic = Traffic::start(&world.caller, 4);
        world.until_within(Duration::from_secs(SHORT_S), "a refresh", async || world.emulator.exchanges_granted() == 2).await;
        let answers = traffic.stop().await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        let slowest = answers.iter().map(|answer| answer.elapsed).max().expect("some");
        assert!(slowest < Duration::from_secs(2), "{slowest:?}");
        let exchanges = world.exchanges();
        assert_eq!(exchanges.len(), 2, "{exchanges:#?}");
        assert_eq!(exchanges[1].assertion_id, Some(rotated.id()));
    }
}

in_every_form! {
    /// A6 (what is spent is not sent again), E9 (there is no token).
    async fn a_spent_identity_token_is_not_sent_again_and_its_rotation_ends_the_wait(form: Form) {
        let options = Options { token_lifetime_seconds: 6, ..short_lived() };
        let Some(world) = Plan::new(form).options(options).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        world.until("the token is served no longer", async || world.caller.message().await.status == 503).await;
        for answer in world.caller.burst(20).await {
            assert_eq!(answer.failure_code(), "identity-token-spent");
        }
        assert_eq!(world.emulator.counts().exchanges, 1);
        world.file.rotate().expect("the directory is writable");
        world.until("a token", async || world.caller.message().await.status == 200).await;
        assert_eq!((world.emulator.counts().exchanges, world.reused()), (2, 0));
        world.nothing_went_without_our_credential();
    }
}
