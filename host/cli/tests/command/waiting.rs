//! Within its time the command waits for what may come, and does what the session plans.

use std::time::Duration;

use wif::private;
use wif_emulator::{Algorithm, Fault};

use crate::place::{Place, Run};

fn limited(retry_after: &str) -> Fault {
    Fault::Status { status: 429, retry_after: Some(retry_after.to_owned()), body: None }
}

/// The identity token's file is there late, is empty for a moment, or is caught half written.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_token_that_comes_late_is_waited_for() {
    let place = Place::new().await;
    let half = place.emulator.identity_provider().mint();
    let half = &half.expose()[..half.expose().len() / 2];
    for (name, first) in [("missing", None), ("empty", Some("")), ("torn", Some(half))] {
        let path = place.path(name);
        if let Some(first) = first {
            std::fs::write(&path, first).expect("it is written");
        }
        let mut command = place.wif();
        command.args(["token", "--timeout", "10", "--allow-origin", place.emulator.base_url()]);
        command.env("ANTHROPIC_IDENTITY_TOKEN_FILE", &path);
        let token = place.emulator.identity_provider().mint();
        let (run, ()) = tokio::join!(Run::of(command), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            std::fs::write(&path, token.expose()).expect("it is written");
        });
        assert_eq!(run.code, 0, "{name}: {}", run.stderr);
        assert!(run.stdout.starts_with("sk-ant-oat01-"), "{name}");
        // Sooner than the session would look by itself.
        assert!(run.took < Duration::from_millis(4_500), "{name}: {:?}", run.took);
        assert!(run.stderr.contains("INFO wif::waiting: waiting for another identity token"), "{name}: {}", run.stderr);
        assert!(run.stderr.contains(&path), "{name}: {}", run.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_says_for_what_it_waited_and_when_the_next_try_would_be() {
    let place = Place::new().await;
    let mut command = place.wif();
    command.args(["token", "--timeout", "2", "--allow-origin", place.emulator.base_url()]);
    command.env("ANTHROPIC_IDENTITY_TOKEN_FILE", "/nowhere/token");
    let run = Run::of(command).await;
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.took >= Duration::from_secs(2), "{:?}", run.took);
    assert!(run.stderr.contains("no access token within 2 s: "), "{}", run.stderr);
    assert!(run.stderr.contains("/nowhere/token"), "{}", run.stderr);
    let next = run.stderr.lines().find(|line| line.contains("The next try would be in ")).expect("it is said");
    assert!(next.contains(" s, at 20") && next.contains("Z: --timeout"), "{next}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_wait_can_mend_fails_at_once() {
    let place = Place::new().await;
    let mut literal = place.wif();
    literal.env_remove("ANTHROPIC_IDENTITY_TOKEN_FILE").env("ANTHROPIC_IDENTITY_TOKEN", "no identity token");
    let mut directory = place.wif();
    directory.env("ANTHROPIC_IDENTITY_TOKEN_FILE", place.directory.path());
    for mut command in [literal, directory] {
        command.args(["token", "--timeout", "30", "--allow-origin", place.emulator.base_url()]);
        let run = Run::of(command).await;
        assert_eq!(run.code, 5, "{}", run.stderr);
        assert!(run.took < Duration::from_secs(10), "{:?}", run.took);
        assert!(!run.stderr.contains("--timeout says"), "to wait is of no use: {}", run.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_that_are_due_within_the_time_are_made() {
    let place = Place::new().await;
    for fault in [Fault::status(503), limited("1")] {
        place.emulator.inject(fault);
        let run = place.run(&["token", "--timeout", "20"]).await;
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stderr.contains("INFO wif::waiting: waiting: tried again in "), "{}", run.stderr);
        place.file.rotate().expect("it rotates");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_comes_too_late_is_not_waited_for() {
    let place = Place::new().await;
    place.emulator.set_outage(Some(limited("120")));
    let run = place.run(&["token", "--timeout", "20"]).await;
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.took < Duration::from_secs(10), "{:?}", run.took);
    assert!(run.stderr.contains("The next try would be in "), "{}", run.stderr);
}

/// The issuer signs with a new key, and the endpoint's cache has not fetched it yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_during_a_rotation_of_keys_is_tried_again() {
    let place = Place::new().await;
    assert_eq!(place.run(&["token"]).await.code, 0, "the keys are fetched");
    place.emulator.identity_provider().rotate_key(Algorithm::Es256).expect("a key");
    place.file.rotate().expect("it rotates");
    let (run, ()) = tokio::join!(place.run(&["token", "--timeout", "30"]), async {
        let mut history = place.emulator.subscribe();
        while place.emulator.exchanges_refused() == 0 {
            history.changed().await.expect("the emulator runs");
        }
        place.emulator.forget_keys().await;
    });
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.took > Duration::from_secs(10), "{:?}", run.took);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_identity_token_is_exchanged_again_once_it_has_rotated() {
    let place = Place::new().await;
    assert_eq!(place.run(&["token"]).await.code, 0);
    let (run, ()) = tokio::join!(place.run(&["token", "--timeout", "30"]), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        place.file.rotate().expect("it rotates");
    });
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.took < Duration::from_secs(12), "{:?}", run.took);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_of_a_state_file_is_waited_for_no_longer_than_the_time() {
    let place = Place::new().await;
    let state = place.path("state");
    let lock = private::Lock::of(state.as_ref()).await.expect("it is locked");
    let run = place.run(&["token", "--timeout", "2", "--state", &state]).await;
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!((2..6).contains(&run.took.as_secs()), "{:?}", run.took);
    assert!(run.stderr.contains("state.lock"), "{}", run.stderr);
    assert_eq!(place.emulator.counts().exchanges, 0);
    let arguments = ["token", "--timeout", "20", "--state", &state];
    let (run, ()) = tokio::join!(place.run(&arguments), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(lock);
    });
    assert_eq!(run.code, 0, "{}", run.stderr);
}
