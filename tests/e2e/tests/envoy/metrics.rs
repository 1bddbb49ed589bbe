use crate::harness::{Form, Plan, in_every_form};

in_every_form! {
    /// G4: names from the table that all hosts share, and no ids.
    async fn an_exchange_and_those_who_waited_are_counted(form: Form) {
        let Some(world) = Plan::new(form).closed().start().await else { return };
        let prefix = match form {
            Form::Downstream | Form::Upstream => "wasmcustom",
            Form::Module => "dynamicmodulescustom",
            Form::ModuleUpstream => "cluster.anthropic.dynamicmodulescustom",
        };
        let stat = async |name: &str| world.envoy.stat(&format!("^{prefix}\\.{name}$")).await;
        let requests = world.caller.start_burst(10);
        world.until("all wait", async || stat("wif_requests_waiting").await == 10).await;
        world.gate.open();
        assert!(requests.join_all().await.iter().all(|answer| answer.status == 200));
        // The module tells Envoy a moment later.
        world.until("nobody waits", async || stat("wif_requests_waiting").await == 0).await;
        world.until("the exchange is counted", async || stat("wif_exchange_succeeded").await == 1).await;
        world.until("the token's end is told", async || stat("wif_token_unusable_at_seconds").await > 0).await;
        assert_eq!(stat("wif_requests_waited").await, 10);
        let stats = world.envoy.stats(&format!("^{prefix}\\.")).await;
        let is_known = |name: &str| {
            let name = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(".wif_"));
            name.is_some_and(|name| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')))
        };
        assert!(stats.iter().all(|(name, _)| is_known(name)), "{stats:?}");
        assert!(stats.len() > 4, "{stats:?}");
    }
}
