use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use wif_emulator::Options;

use crate::harness::client::send;
use crate::harness::{Form, Plan, Protocol, in_every_form};

in_every_form! {
    /// E13: the first piece of an answer is there long before the last.
    async fn a_streamed_answer_arrives_in_pieces(form: Form) {
        let options = Options { stream_delay: Duration::from_millis(150), ..Options::default() };
        let Some(world) = Plan::new(form).options(options).start().await else { return };
        let body = json!({ "model": "claude", "max_tokens": 8, "stream": true, "messages": [{ "role": "user", "content": "Hi." }] });
        let request = world.caller.post("/v1/messages").body(body.to_string());
        let mut response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let start = tokio::time::Instant::now();
        let mut arrivals = Vec::new();
        let mut text = String::new();
        while let Some(piece) = response.chunk().await.expect("it is not cut") {
            arrivals.push(start.elapsed());
            text.push_str(&String::from_utf8_lossy(&piece));
        }
        assert!(text.contains("message_start") && text.contains("message_stop"), "{text}");
        let between = arrivals.last().expect("a piece").saturating_sub(arrivals[0]);
        assert!(arrivals.len() >= 4 && between >= Duration::from_millis(400), "{arrivals:?}");
    }
}

in_every_form! {
    async fn a_streamed_body_goes_up_in_pieces(form: Form) {
        let Some(world) = Plan::new(form).capture(Protocol::Http1).start().await else { return };
        let api = world.api.as_ref().expect("the plan says so");
        assert_eq!(world.caller.message().await.status, 200);
        let mut stream = TcpStream::connect(world.gateway).await.expect("it listens");
        let head = "POST /v1/messages HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(format!("{head}a\r\nthe first,\r\n").as_bytes()).await.expect("it reads");
        // The second piece is not sent before the first has arrived.
        world.until("the first piece", async || api.text().contains("the first,")).await;
        stream.write_all(b"b\r\n the second\r\n0\r\n\r\n").await.expect("it reads");
        world.until("the whole", async || api.requests().len() == 2).await;
        let seen = api.requests().pop().expect("two");
        assert!(seen.0.contains("the second"), "{seen:?}");
        assert_eq!(seen.values("authorization").len(), 1, "{seen:?}");
    }
}

in_every_form! {
    /// A body larger than every buffer waits with its request, at the sender.
    async fn a_large_body_waits_with_its_request(form: Form) {
        let Some(world) = Plan::new(form).closed().start().await else { return };
        let content = "a".repeat(20 * 1024 * 1024);
        let body = json!({ "model": "claude", "max_tokens": 8, "messages": [{ "role": "user", "content": content }] }).to_string();
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..3 {
            requests.spawn(send(world.caller.post("/v1/messages").body(body.clone())));
        }
        world.until("an exchange has begun", async || world.gate.held() > 0).await;
        world.until("all have arrived", async || world.envoy.stat("^http\\.gateway\\.downstream_rq_active$").await == 3).await;
        world.gate.open();
        let answers = requests.join_all().await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(world.emulator.counts().exchanges, 1);
    }
}
