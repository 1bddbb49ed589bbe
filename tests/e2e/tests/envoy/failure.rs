use std::io;
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use wif_emulator::{Fault, Options, Outcome, Reason};

use crate::harness::{Form, Plan, Traffic, in_every_form, in_wasm_forms};

in_every_form! {
    /// B11 (every status has its class), E9 (there is no token), B13 (an error repeats the identity token).
    async fn a_refusal_is_told_to_callers_without_its_reason_and_is_not_repeated_for_each(form: Form) {
        let rule = "fdrl_01another";
        let plan = Plan::new(form).plugin(move |plugin| {
            plugin["credential"]["federation"]["federation_rule_id"] = json!(rule);
        });
        let Some(world) = plan.start().await else { return };
        let mut answers = world.caller.burst(100).await;
        answers.extend(world.caller.burst(100).await);
        for answer in &answers {
            assert_eq!(answer.failure_code(), "refused");
            assert!(!answer.body.contains(rule) && !answer.body.contains(&world.emulator.options().organization_id), "{answer:?}");
        }
        let history = world.emulator.history();
        let [refusal] = &history[..] else { panic!("{history:#?}") };
        assert_eq!((refusal.outcome, refusal.reason), (Outcome::Denied, Some(Reason::RuleNotFound)));
    }
}

in_every_form! {
    /// B11 (every status has its class), B15 (an outage of hours).
    async fn an_endpoint_that_is_down_from_the_start_is_asked_seldom_and_found_again(form: Form) {
        let Some(world) = Plan::new(form).start().await else { return };
        world.emulator.set_outage(Some(Fault::status(500)));
        for _ in 0..5 {
            for answer in world.caller.burst(40).await {
                assert_eq!(answer.failure_code(), "endpoint-failed");
            }
        }
        // The pauses after a failure are shared by the workers.
        assert!(world.emulator.counts().exchanges <= 2, "{:#?}", world.emulator.history());
        world.emulator.set_outage(None);
        world.until("a token", async || world.caller.message().await.status == 200).await;
        assert!(world.emulator.counts().exchanges <= 4, "{:#?}", world.emulator.history());
        world.nothing_went_without_our_credential();
    }
}

in_wasm_forms! {
    /// A7, B14: nothing answers the client's first packet, as before a network policy is there. Nothing was sent, so a refusal for
    /// another reason, later, says nothing about the identity token.
    async fn an_endpoint_that_takes_no_connection_was_sent_nothing(form: Form) {
        let (full, callers) = full_listener().await;
        let address = full.local_addr().expect("it is bound");
        let plan = Plan::new(form).setup(move |setup| setup.token_endpoint = address);
        let Some(world) = plan.start().await else { return };
        assert_eq!(world.caller.message().await.failure_code(), "endpoint-unreachable");
        world.emulator.set_outage(Some(Fault::status(401)));
        drop((full, callers));
        let listener = TcpListener::bind(address).await.expect("it was ours");
        let emulator = world.emulator.address();
        let forwarding = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(mut onward) = TcpStream::connect(emulator).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
                });
            }
        });
        world.until("it is asked", async || world.emulator.counts().exchanges > 0).await;
        world.emulator.set_outage(None);
        world.until("the same identity token is exchanged", async || world.caller.message().await.status == 200).await;
        assert_eq!((world.emulator.exchanges_granted(), world.reused()), (1, 0));
        forwarding.abort();
    }
}

/// A listener whose queue is full: further packets that ask for a connection are dropped.
async fn full_listener() -> (TcpListener, Vec<JoinHandle<io::Result<TcpStream>>>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let listener = socket.listen(1).expect("it is bound");
    let address = listener.local_addr().expect("it is bound");
    let callers: Vec<_> = (0..4).map(|_| tokio::spawn(TcpStream::connect(address))).collect();
    // Two are in the queue then, and nobody takes them out.
    while callers.iter().filter(|caller| caller.is_finished()).count() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (listener, callers)
}

in_every_form! {
    /// B15: an outage of hours.
    async fn a_token_is_served_through_an_outage_until_it_ends(form: Form) {
        let options = Options { token_lifetime_seconds: 12, shortest_lifetime_seconds: 1, ..Options::default() };
        let Some(world) = Plan::new(form).options(options).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        world.emulator.set_outage(Some(Fault::status(529)));
        world.file.rotate().expect("the directory is writable");
        let traffic = Traffic::start(&world.caller, 4);
        world.until("a refresh fails", async || world.emulator.counts().exchanges >= 2).await;
        let answers = traffic.stop().await;
        assert!(answers.len() > 20 && answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        world.until("the token is served no longer", async || world.caller.message().await.status == 503).await;
        assert_eq!(world.caller.message().await.failure_code(), "endpoint-failed");
        let asked = world.emulator.counts().exchanges;
        assert!(asked <= 4, "{:#?}", world.emulator.history());
        world.emulator.set_outage(None);
        world.until("a token", async || world.caller.message().await.status == 200).await;
        // The API's own answers to a token that had expired would stand here.
        world.nothing_went_without_our_credential();
        assert!(world.emulator.history().iter().all(|entry| entry.reason != Some(Reason::TokenExpired)));
    }
}

/// What a token endpoint can do to an answer, and the failure that callers are told until there is a token.
fn bad_answers() -> Vec<(Fault, &'static [&'static str])> {
    let unusable: &[&str] = &["answer-unusable", "endpoint-unreachable", "identity-token-spent"];
    vec![
        (Fault::CutAnswer, unusable),
        (Fault::DropBeforeAnswer, unusable),
        (Fault::Oversized { bytes: 2 * 1024 * 1024 }, unusable),
        (Fault::Raw200(b"<html>".to_vec()), unusable),
    ]
}

in_every_form! {
    /// B6 (an answer that is no token, or has no end), B14 (a connection ends early).
    async fn half_an_answer_harms_nobody_and_the_next_rotation_brings_a_token(form: Form) {
        for (fault, codes) in bad_answers() {
            let Some(world) = Plan::new(form).start().await else { return };
            world.emulator.inject(fault.clone());
            for answer in world.caller.burst(20).await {
                let code = answer.failure_code();
                assert!(codes.contains(&&*code), "{fault:?}: {code}");
            }
            assert_eq!(world.emulator.counts().exchanges, 1, "{fault:?}");
            world.file.rotate().expect("the directory is writable");
            world.until("a token", async || world.caller.message().await.status == 200).await;
            assert!(world.reused() <= 1, "{fault:?}: {:#?}", world.emulator.history());
            assert_eq!(world.envoy.stat("vm_reload$").await, 0, "{fault:?}");
            assert!(!world.envoy.log().contains("panicked"), "{fault:?}");
            world.nothing_went_without_our_credential();
        }
    }
}

in_every_form! {
    /// B6: an answer that is no token, or has no end.
    async fn an_endpoint_that_never_answers_is_given_up(form: Form) {
        let plan = Plan::new(form).closed().plugin(|plugin| plugin["credential"]["exchange_timeout_ms"] = json!(1000));
        let Some(world) = plan.start().await else { return };
        for answer in world.caller.burst(20).await {
            assert_eq!(answer.failure_code(), "endpoint-unreachable");
            assert!(answer.elapsed < Duration::from_secs(5), "{answer:?}");
        }
        world.gate.open();
        world.until("a token", async || world.caller.message().await.status == 200).await;
        assert_eq!(world.emulator.exchanges_granted(), 1);
    }
}
