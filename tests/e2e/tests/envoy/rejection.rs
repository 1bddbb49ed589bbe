use std::time::Duration;

use serde_json::json;
use wif_emulator::Reason;

use crate::harness::client::statuses;
use crate::harness::{Form, Plan, in_every_form};

/// A little more than the engine's least time between two exchanges, which no event shortens.
pub(crate) const BETWEEN_EXCHANGES: Duration = Duration::from_millis(5_500);

in_every_form! {
    /// C7, E12: with the router's retry no caller notices.
    async fn a_revoked_token_is_replaced_by_one_exchange(form: Form) {
        let Some(world) = Plan::new(form).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        world.file.rotate().expect("the directory is writable");
        tokio::time::sleep(BETWEEN_EXCHANGES).await;
        assert_eq!(world.emulator.revoke_all(), 1);
        let answers = world.caller.burst(100).await;
        let refused = answers.iter().filter(|answer| answer.status == 401).count();
        match form.sends_again() {
            true => assert_eq!(refused, 0, "{:?}", statuses(&answers)),
            false => assert!(refused > 0, "{:?}", statuses(&answers)),
        }
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 401)), "{:?}", statuses(&answers));
        let api = answers.iter().filter(|answer| answer.status == 401).all(|answer| answer.header("x-wif-code").is_none());
        assert!(api, "the API's own answer reaches callers");
        world.until("another token", async || world.emulator.exchanges_granted() == 2).await;
        world.until("it is known to all", async || statuses(&world.caller.burst(20).await) == [200; 20]).await;
        assert_eq!((world.emulator.counts().exchanges, world.reused()), (2, 0));
    }
}

in_every_form! {
    /// C9: what a new token does not cure is not tried again and again.
    async fn a_revoked_token_without_another_to_be_had_is_served_on(form: Form) {
        let Some(world) = Plan::new(form).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        tokio::time::sleep(BETWEEN_EXCHANGES).await;
        // The identity token is spent, and not rotated.
        assert_eq!(world.emulator.revoke_all(), 1);
        for _ in 0..3 {
            let answers = world.caller.burst(30).await;
            let others = answers.iter().find(|answer| answer.status != 401);
            assert!(others.is_none(), "{:?}: {others:?}", statuses(&answers));
        }
        assert_eq!((world.emulator.counts().exchanges, world.reused()), (1, 0));
        let revoked = world.emulator.history().iter().filter(|entry| entry.reason == Some(Reason::TokenRevoked)).count();
        assert!(revoked >= 90, "{revoked}");
    }
}

/// E12: who met the rejection waits for as long as the exchange takes, and not just for the second that everybody else does; who
/// went on with the rejected token meets its rejection then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_a_slow_exchange_lets_no_rejection_through() {
    for form in [Form::Upstream, Form::ModuleUpstream] {
        let Some(world) = Plan::new(form).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        world.file.rotate().expect("the directory is writable");
        tokio::time::sleep(BETWEEN_EXCHANGES).await;
        assert_eq!(world.emulator.revoke_all(), 1);
        world.gate.close();
        let requests = world.caller.start_burst(60);
        world.until("an exchange has begun", async || world.gate.held() > 0).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.gate.open();
        let answers = requests.join_all().await;
        assert_eq!(statuses(&answers), [200; 60], "{form:?}");
        assert_eq!((world.emulator.counts().exchanges, world.reused()), (2, 0), "{form:?}");
    }
}

/// C7: whichever worker the rejection came from, and wherever its token did: nobody is served the rejected one while another is
/// on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_every_worker_wait_for_what_replaces_a_revoked_token() {
    let plan = Plan::new(Form::Upstream).plugin(|plugin| plugin["credential"]["wait_at_most_ms"] = json!(30_000));
    let Some(world) = plan.start().await else { return };
    // One worker made the exchange, and the other one found its token in the store.
    assert_eq!(world.caller.message().await.status, 200);
    world.file.rotate().expect("the directory is writable");
    tokio::time::sleep(BETWEEN_EXCHANGES).await;
    assert_eq!(world.emulator.revoke_all(), 1);
    world.gate.close();
    let requests = world.caller.start_burst(60);
    world.until("an exchange has begun", async || world.gate.held() > 0).await;
    let waiting = async || world.envoy.stat("^wasmcustom\\.wif_requests_waiting$").await;
    world.until_within(Duration::from_secs(10), "all wait", async || waiting().await == 60).await;
    world.gate.open();
    assert_eq!(statuses(&requests.join_all().await), [200; 60]);
    assert_eq!((world.emulator.counts().exchanges, world.reused()), (2, 0));
}
