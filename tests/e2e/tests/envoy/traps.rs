use std::time::Duration;

use http_body_util::Full;
use wif_emulator::Fault;

use crate::harness::client::{Http2, message_body, message_request, send, statuses};
use crate::harness::{Form, Plan, Protocol, Received, Traffic, World, artifacts, in_wasm_forms};
use crate::secrets::{Canaries, sinks};

/// Longer than the pause before Envoy makes a new VM in place of one that trapped.
const RELOAD: Duration = Duration::from_secs(20);

fn plan(form: Form) -> Plan {
    Plan::new(form).setup(|setup| {
        setup.code = Some(artifacts::crashing_filter());
        // A request that waits in a VM which traps waits for ever, if Envoy does not end it: as the downstream filter, because
        // it has not gone on its way; as the upstream filter, where it has, because nothing moves.
        setup.request_timeout = "8s";
        setup.stream_idle_timeout = "8s";
    })
}

async fn crash(world: &World) -> Received {
    send(world.caller.post("/v1/messages").header("x-crash", "now")).await
}

/// G1: Envoy tells of the trap, and nothing of what was in the VM's memory.
async fn no_secret_is_told(world: &World, canaries: &Canaries) {
    let log = world.envoy.log();
    assert!(log.contains("as commanded") && log.contains("Uncaught RuntimeError: unreachable"), "no trap is in the log:\n{log}");
    for (sink, text) in sinks(world).await {
        assert_eq!(canaries.seen_in(&text), [""; 0], "in {sink}");
    }
}

in_wasm_forms! {
    /// C5, G1: the access token and the identity token were in the memory of the VM, and so was what its caller sent.
    async fn a_trap_tells_no_token(form: Form) {
        let Some(world) = plan(form).capture(Protocol::Http1).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        let mut canaries = Canaries::of(&world);
        canaries.add("the caller's own credential", "c4ll3r5-0wn-8d21f07ab4");
        for _ in 0..5 {
            let fatal = world.caller.post("/v1/messages").header("x-crash", "now").header("x-api-key", "c4ll3r5-0wn-8d21f07ab4");
            assert_eq!(send(fatal).await.status, 503);
        }
        world.until_within(RELOAD, "all workers serve", async || statuses(&world.caller.burst(40).await) == [200; 40]).await;
        no_secret_is_told(&world, &canaries).await;
        // They are such that they would be seen.
        let api = world.api.as_ref().expect("the plan says so").text();
        assert!(canaries.seen_in(&api).contains(&"an access token"));
        assert!(canaries.seen_in(&api).contains(&"an access token's beginning"));
    }
}

in_wasm_forms! {
    /// C5: the token is in the store of all workers, so the VM that comes after exchanges nothing.
    async fn a_trap_costs_its_request_and_a_moment_and_no_exchange(form: Form) {
        let Some(world) = plan(form).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        for _ in 0..5 {
            assert_eq!(crash(&world).await.status, 503);
        }
        let answers = world.caller.burst(40).await;
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 503)), "{:?}", statuses(&answers));
        world.until_within(RELOAD, "all workers serve", async || statuses(&world.caller.burst(40).await) == [200; 40]).await;
        assert_eq!(world.emulator.counts().exchanges, 1);
        assert!(world.envoy.stat("vm_reload_success$").await >= 1);
        world.nothing_went_without_our_credential();
        no_secret_is_told(&world, &Canaries::of_the_file(&world)).await;
    }
}

in_wasm_forms! {
    /// C5, E9: traps under load, and nothing ever leaves unauthenticated.
    async fn traps_under_load_let_nothing_out_unauthenticated(form: Form) {
        let Some(world) = plan(form).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        let traffic = Traffic::start(&world.caller, 8);
        for _ in 0..10 {
            crash(&world).await;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let answers = traffic.stop().await;
        // What was inside a VM when it trapped is ended by Envoy's timeouts.
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 408 | 503 | 504)), "{:?}", statuses(&answers));
        assert!(answers.iter().any(|answer| answer.status == 503), "no request met a VM that had trapped");
        world.nothing_went_without_our_credential();
        world.until_within(RELOAD, "all workers serve", async || statuses(&world.caller.burst(40).await) == [200; 40]).await;
        assert_eq!(world.emulator.counts().exchanges, 1);
        assert_eq!(world.reused(), 0);
        no_secret_is_told(&world, &Canaries::of_the_file(&world)).await;
    }
}

in_wasm_forms! {
    /// C5: the VM that exchanges traps while its exchange is out; another one takes over, and every request is answered.
    async fn when_the_leader_traps_in_mid_exchange_another_leads(form: Form) {
        let Some(world) = plan(form).closed().start().await else { return };
        // One connection is one worker's, and who needs a token first leads.
        let leader: Http2<Full<bytes::Bytes>> = Http2::connect(world.gateway).await;
        let message = || message_request(world.gateway).body(message_body()).expect("it is well-formed");
        let first = {
            let (leader, message) = (leader.clone(), message());
            tokio::spawn(async move { leader.send(message).await })
        };
        world.until("an exchange has begun", async || world.gate.held() == 1).await;
        let requests = world.caller.start_burst(40);
        let active = async || world.envoy.stat("^http\\.gateway\\.downstream_rq_active$").await;
        world.until("all wait", async || active().await == 41).await;
        let fatal = message_request(world.gateway).header("x-crash", "now").body(message_body()).expect("it is well-formed");
        assert!(leader.send(fatal).await.is_ok_and(|answer| answer.status == 503));
        // What a VM had begun goes on without it: without this the token endpoint would get the identity token twice.
        world.gate.cut();
        world.until_within(Duration::from_secs(5), "another leads", async || world.gate.held() == 2).await;
        world.gate.open();
        let mut answers = requests.join_all().await;
        answers.extend(first.await.expect("no panic"));
        // Those of the leader's own VM are ended by Envoy; those of the other worker get the token.
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 408 | 503 | 504)), "{:?}", statuses(&answers));
        let served = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(served >= 1, "{:?}", statuses(&answers));
        assert!(answers.iter().all(|answer| answer.elapsed < Duration::from_secs(30)), "{answers:?}");
        assert_eq!(world.emulator.counts().messages as usize, served);
        world.nothing_went_without_our_credential();
        world.until_within(RELOAD, "all workers serve", async || statuses(&world.caller.burst(40).await) == [200; 40]).await;
        assert_eq!((world.emulator.counts().exchanges, world.reused()), (1, 0));
        no_secret_is_told(&world, &Canaries::of_the_file(&world)).await;
    }
}

in_wasm_forms! {
    /// C5, A7: what the VM that trapped had sent did arrive, so the identity token is spent: nobody is served until its rotation,
    /// and everybody after it.
    async fn what_a_trapped_leader_had_spent_is_told_and_the_next_rotation_brings_a_token(form: Form) {
        let Some(world) = plan(form).start().await else { return };
        world.emulator.inject(Fault::Delay(Duration::from_secs(60)));
        let leader: Http2<Full<bytes::Bytes>> = Http2::connect(world.gateway).await;
        let first = {
            let leader = leader.clone();
            let message = message_request(world.gateway).body(message_body()).expect("it is well-formed");
            tokio::spawn(async move { leader.send(message).await })
        };
        world.until("the identity token is spent", async || world.emulator.exchanges_granted() == 1).await;
        let fatal = message_request(world.gateway).header("x-crash", "now").body(message_body()).expect("it is well-formed");
        assert!(leader.send(fatal).await.is_ok_and(|answer| answer.status == 503));
        let spent = async || {
            let answer = world.caller.message().await;
            answer.status == 503 && answer.header("retry-after").is_some() && answer.failure_code() == "identity-token-spent"
        };
        world.until("that it is spent is known", spent).await;
        assert_eq!((world.emulator.counts().exchanges, world.reused()), (2, 1));
        let mut canaries = Canaries::of_the_file(&world);
        world.file.rotate().expect("the directory is writable");
        world.until_within(RELOAD, "all workers serve", async || statuses(&world.caller.burst(40).await) == [200; 40]).await;
        assert_eq!((world.emulator.exchanges_granted(), world.reused()), (2, 1));
        assert!(first.await.expect("no panic").is_ok_and(|answer| answer.status != 200));
        world.nothing_went_without_our_credential();
        canaries.add_identity_token(world.file.current().expose());
        no_secret_is_told(&world, &canaries).await;
    }
}
