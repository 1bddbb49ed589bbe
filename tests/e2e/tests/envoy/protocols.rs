use crate::harness::client::{Http2, message_body, message_request};
use crate::harness::{Form, Plan, Protocol, in_every_form};

in_every_form! {
    /// Requests that wait on one connection do not wait for each other.
    async fn many_requests_of_one_http_2_connection_share_an_exchange(form: Form) {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let Some(world) = Plan::new(form).capture(protocol).closed().start().await else { return };
            let connection = Http2::connect(world.gateway).await;
            let mut requests = tokio::task::JoinSet::new();
            for _ in 0..50 {
                let connection = connection.clone();
                let request = message_request(world.gateway).body(message_body()).expect("it is well-formed");
                requests.spawn(async move { connection.send(request).await });
            }
            world.until("all wait", async || world.envoy.stat("^http\\.gateway\\.downstream_rq_active$").await == 50).await;
            world.until("an exchange has begun", async || world.gate.held() > 0).await;
            world.gate.open();
            for answer in requests.join_all().await {
                assert_eq!(answer.expect("an answer").status, 200, "{protocol:?}");
            }
            assert_eq!(world.emulator.counts().exchanges, 1, "{protocol:?}");
            let seen = world.api.as_ref().expect("the plan says so").requests();
            assert_eq!(seen.len(), 50, "{protocol:?}");
            let first = seen[0].values("authorization");
            assert_eq!(first.len(), 1, "{protocol:?}: {seen:?}");
            assert!(seen.iter().all(|seen| seen.values("authorization") == first), "{protocol:?}: {seen:?}");
        }
    }
}
