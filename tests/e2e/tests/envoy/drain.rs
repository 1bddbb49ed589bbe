use crate::harness::{Form, Plan, in_every_form};

const ACTIVE: &str = "^http\\.gateway\\.downstream_rq_active$";

in_every_form! {
    async fn requests_that_wait_while_envoy_drains_are_answered(form: Form) {
        let Some(world) = Plan::new(form).closed().start().await else { return };
        let requests = world.caller.start_burst(40);
        world.until("all callers wait", async || world.envoy.stat(ACTIVE).await == 40).await;
        world.envoy.command("/healthcheck/fail").await;
        world.envoy.command("/drain_listeners?graceful&skip_exit").await;
        world.gate.open();
        let answers = requests.join_all().await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(world.emulator.counts().exchanges, 1);
    }
}

in_every_form! {
    async fn an_envoy_that_ends_while_requests_wait_does_not_crash(form: Form) {
        let Some(mut world) = Plan::new(form).closed().start().await else { return };
        let requests = world.caller.start_burst_that_leaves(40, std::time::Duration::from_secs(45));
        world.until("all callers wait", async || world.envoy.stat(ACTIVE).await == 40).await;
        world.until("an exchange has begun", async || world.gate.held() > 0).await;
        world.envoy.command("/quitquitquit").await;
        let status = world.envoy.ended().await;
        assert!(status.success(), "{status}\n{}", world.envoy.log());
        for answer in requests.join_all().await {
            assert!(answer.is_none_or(|answer| answer.status == 503));
        }
        assert_eq!(world.emulator.counts().messages, 0);
    }
}
