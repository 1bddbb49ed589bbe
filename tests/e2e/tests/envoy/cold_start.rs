use serde_json::json;

use crate::harness::{Form, Plan, in_every_form};

/// Requests that are inside Envoy at this moment.
const ACTIVE: &str = "^http\\.gateway\\.downstream_rq_active$";

in_every_form! {
    /// C1: many callers, one exchange.
    async fn callers_without_a_token_share_one_exchange(form: Form) {
        for workers in [2, 4] {
            let Some(world) = Plan::new(form).concurrency(workers).closed().start().await else { return };
            let requests = world.caller.start_burst(200);
            world.until("all callers wait", async || world.envoy.stat(ACTIVE).await == 200).await;
            world.until("an exchange has begun", async || world.gate.held() > 0).await;
            assert_eq!(world.emulator.counts().messages, 0);
            world.gate.open();
            let answers = requests.join_all().await;
            assert!(answers.iter().all(|answer| answer.status == 200), "{workers}: {answers:?}");
            let counts = world.emulator.counts();
            assert_eq!((counts.exchanges, counts.messages_granted), (1, 200), "{workers}");
            world.nothing_went_without_our_credential();
        }
    }
}

in_every_form! {
    async fn the_first_exchange_needs_no_caller(form: Form) {
        let plan = Plan::new(form).plugin(|plugin| plugin["credential"]["prefetch"] = json!(true));
        let Some(world) = plan.start().await else { return };
        world.until("an exchange", async || world.emulator.exchanges_granted() == 1).await;
        let answers = world.caller.burst(50).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(world.emulator.counts().exchanges, 1);
    }
}

in_every_form! {
    /// C4: callers that leave.
    async fn callers_that_leave_stop_no_exchange(form: Form) {
        let Some(world) = Plan::new(form).closed().start().await else { return };
        let leaving = world.caller.start_burst_that_leaves(30, std::time::Duration::from_millis(500));
        world.until("an exchange has begun", async || world.gate.held() > 0).await;
        let answers = leaving.join_all().await;
        assert!(answers.iter().all(Option::is_none), "{answers:?}");
        world.until("all have left", async || world.envoy.stat(ACTIVE).await == 0).await;
        world.gate.open();
        world.until("the exchange ends", async || world.emulator.exchanges_granted() == 1).await;
        let answers = world.caller.burst(50).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(world.emulator.counts().exchanges, 1);
        assert_eq!(world.emulator.counts().messages, 50);
    }
}

in_every_form! {
    /// C3: waiting is bounded.
    async fn so_many_requests_wait_and_no_more(form: Form) {
        let plan = Plan::new(form).closed().plugin(|plugin| plugin["waiting"] = json!({ "requests": 5 }));
        let Some(world) = plan.start().await else { return };
        let mut requests = world.caller.start_burst(60);
        let mut shed = 0;
        // Two workers, and five places in each.
        while shed < 50 {
            let answer = requests.join_next().await.expect("at most ten wait").expect("no panic");
            assert_eq!(answer.failure_code(), "overloaded");
            shed += 1;
        }
        world.until("an exchange has begun", async || world.gate.held() > 0).await;
        assert!(world.envoy.stat(ACTIVE).await <= 10);
        world.gate.open();
        let rest = requests.join_all().await;
        assert!(rest.iter().all(|answer| answer.status == 200 || answer.failure_code() == "overloaded"), "{rest:?}");
        assert!(rest.iter().any(|answer| answer.status == 200), "{rest:?}");
        world.nothing_went_without_our_credential();
    }
}

in_every_form! {
    /// C3 (waiting is bounded), E9 (there is no token).
    async fn requests_wait_so_long_and_no_longer(form: Form) {
        let plan = Plan::new(form).closed().plugin(|plugin| plugin["waiting"] = json!({ "at_most_ms": 500 }));
        let Some(world) = plan.start().await else { return };
        for answer in world.caller.burst(10).await {
            assert_eq!(answer.failure_code(), "timed-out");
            let waited = answer.elapsed.as_millis();
            assert!((450..5_000).contains(&waited), "{waited} ms");
        }
        assert_eq!(world.emulator.counts().messages, 0);
        world.gate.open();
        world.until("the exchange ends", async || world.emulator.exchanges_granted() == 1).await;
        world.until("it is known to all", async || world.caller.message().await.status == 200).await;
        assert_eq!(world.emulator.counts().exchanges, 1);
    }
}
