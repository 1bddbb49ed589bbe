use crate::harness::{Form, Plan, in_wasm_forms};

in_wasm_forms! {
    /// G4: names from the table that all hosts share, and no ids.
    async fn an_exchange_and_those_who_waited_are_counted(form: Form) {
        let Some(world) = Plan::new(form).closed().start().await else { return };
        let requests = world.caller.start_burst(10);
        world.until("all wait", async || world.envoy.stat("^wasmcustom\\.wif_requests_waiting$").await == 10).await;
        world.gate.open();
        assert!(requests.join_all().await.iter().all(|answer| answer.status == 200));
        let stats = world.envoy.stats("^wasmcustom\\.").await;
        let value = |name: &str| stats.iter().find(|(known, _)| known == &format!("wasmcustom.{name}")).map(|(_, value)| *value);
        assert_eq!(value("wif_requests_waiting"), Some(0), "{stats:?}");
        assert_eq!(value("wif_requests_waited"), Some(10), "{stats:?}");
        assert_eq!(value("wif_exchange_succeeded"), Some(1), "{stats:?}");
        let named = |name: &str| name.strip_prefix("wasmcustom.wif_").is_some_and(|name| name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'_')));
        assert!(stats.iter().all(|(name, _)| named(name)), "{stats:?}");
    }
}
