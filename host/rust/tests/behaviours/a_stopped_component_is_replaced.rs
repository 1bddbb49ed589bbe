//! Whatever the component does to itself, the last token is served on, and the process does not mind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use wif::{Availability, Credential, Error, FailureCode, PendingReason, Secret, Start};

use crate::no_secret_is_shown::Log;
use crate::support::{START_MS, TestClock, guest, settle, until};

fn crashing(script: &str) -> Credential {
    Credential::builder().component(guest(wif_test_guests::crashing()).unwrap()).configuration(script).build().unwrap()
}

fn exhausting(script: &str) -> Credential {
    Credential::builder().component(guest(wif_test_guests::exhausting()).unwrap()).configuration(script).build().unwrap()
}

/// Until the component was stopped, as the log tells, and another session answers. The one that is to be stopped could answer, too.
async fn replaced(credential: &Credential, log: &Log) {
    until("the component was stopped", || async { log.text().contains("component-stopped") }).await;
    until("the component answers again", || async { credential.status().await.is_ok() }).await;
}

/// The number in the id of the token that is served.
fn told(credential: &Credential) -> u64 {
    u64::from_str_radix(credential.try_current().unwrap().id(), 16).unwrap()
}

/// F1 (loops, recursion, hoards), C5 (the component stops).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_do_not_notice_a_trap() {
    let credential = crashing("changed=panic");
    credential.token().await.unwrap();
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (credential, stop, served) = (credential.clone(), Arc::clone(&stop), Arc::clone(&served));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    credential.token().await.unwrap();
                    served.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for _ in 0..20 {
        credential.changed();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(served.load(Ordering::SeqCst) > 100);
}

/// F1: loops, recursion, hoards.
#[tokio::test]
async fn a_loop_ends_with_its_deadline() {
    let (log, _guard) = Log::start();
    let credential = exhausting("changed=loop");
    credential.token().await.unwrap();
    let start = Instant::now();
    credential.changed();
    replaced(&credential, &log).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    credential.token().await.unwrap();
}

/// F1: loops, recursion, hoards.
#[tokio::test]
async fn a_memory_bomb_bursts_inside() {
    let (log, _guard) = Log::start();
    let credential = exhausting("changed=memory");
    credential.token().await.unwrap();
    credential.changed();
    replaced(&credential, &log).await;
    credential.token().await.unwrap();
}

#[tokio::test]
async fn a_result_that_stopped_it_twice_is_delivered_as_lost() {
    // The script serves this token only after a result that was lost.
    let credential = crashing("task=variable finished=panic");
    let token = credential.token_within(Duration::from_secs(10)).await.unwrap();
    assert_eq!(token.id(), "00000000000010ff");
}

#[tokio::test]
async fn a_wake_that_stops_it_again_and_again_serves_the_last_token_on() {
    let credential = crashing("changed=panic woken=panic-if-resumed");
    let token = credential.token().await.unwrap();
    credential.changed();
    until("the component is at rest", || async { credential.status().await.is_err() }).await;
    assert_eq!(credential.token().await.unwrap().id(), token.id());
}

/// F1, C14: what is closed is not started once more.
#[tokio::test]
async fn a_component_that_stops_while_it_is_closed_is_not_started_again() {
    let (log, _guard) = Log::start();
    let credential = crashing("closing=panic woken=panic-if-resumed");
    let token = credential.token().await.unwrap();
    credential.shutdown().await;
    assert_eq!(log.text().matches("the component was stopped").count(), 1, "{}", log.text());
    assert_eq!(credential.token().await.unwrap().id(), token.id(), "it is served to its end");
}

#[tokio::test]
async fn without_a_token_its_end_is_a_failure_that_says_when_it_is_tried_again() {
    let credential = crashing("woken=panic");
    let Err(Error::Unavailable(failure)) = credential.token_within(Duration::from_secs(10)).await else {
        panic!("there is no token to be had")
    };
    assert_eq!(failure.code, FailureCode::ComponentStopped);
    assert!(failure.retry_in.is_some());
}

/// C5: the sessions after the first one have no token at all.
#[tokio::test]
async fn a_new_session_that_has_no_token_yet_does_not_take_the_old_one_away() {
    let (log, _guard) = Log::start();
    let credential = crashing("changed=panic serves=fresh");
    let first = credential.token().await.unwrap();
    credential.changed();
    replaced(&credential, &log).await;
    for _ in 0..100 {
        assert_eq!(credential.try_current().unwrap().id(), first.id());
        assert_eq!(credential.token_within(Duration::from_secs(1)).await.unwrap().id(), first.id());
        tokio::task::yield_now().await;
    }
    let shown = format!("{credential:?}");
    assert!(!shown.contains(&format!("{:?}", Availability::Pending(PendingReason::Discovering))), "{shown}");
}

/// C5: what comes after a trap goes on from the newest journal, and not from the one that the credential was opened with.
#[tokio::test]
async fn another_session_begins_with_the_newest_journal() {
    let component = guest(wif_test_guests::crashing()).unwrap();
    let credential = Credential::builder().component(component).configuration("rejected=panic id=journal");
    let credential = credential.resume(Start::Resumed(Secret::from("100"))).build().unwrap();
    until("the first step is told", || async { credential.try_current().is_some() && told(&credential) == 101 }).await;
    for steps in [102, 103] {
        credential.changed();
        until("a step is told", || async { told(&credential) == steps }).await;
    }
    let token = credential.try_current().unwrap();
    credential.rejected(token.id());
    until("another session has taken its first step", || async { told(&credential) == 104 }).await;
}

/// C5: after some sessions that did not survive it, the journal counts as lost, and the next one begins without.
#[tokio::test]
async fn a_journal_that_no_session_survives_is_given_up() {
    let clock = TestClock::new();
    let builder = Credential::builder().component(guest(wif_test_guests::crashing()).unwrap()).clock(clock.clone());
    let credential = builder.configuration("changed=panic woken=panic-if-resumed").build().unwrap();
    credential.token().await.unwrap();
    credential.changed();
    until("the component is at rest", || async { credential.status().await.is_err() }).await;
    until("the component answers again", || async {
        clock.advance(Duration::from_secs(1)).await;
        credential.status().await.is_ok()
    })
    .await;
}

/// Jitter that begins anew with each session would make what stopped the last one happen again.
#[tokio::test]
async fn another_session_has_another_seed() {
    let component = guest(wif_test_guests::crashing()).unwrap();
    let credential = Credential::builder().component(component).configuration("changed=panic id=seed").seed(7).build().unwrap();
    credential.token().await.unwrap();
    assert_eq!(told(&credential), 7);
    credential.changed();
    until("another session serves", || async { told(&credential) != 7 }).await;
}

/// C5: what the session before had asked for is not answered to the next one, whose tasks have the same numbers.
#[tokio::test]
async fn results_of_a_session_that_was_stopped_go_to_nobody() {
    for (script, expected) in [("changed=panic", 0), ("", 1)] {
        let (log, _guard) = Log::start();
        let (gate, called) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        let (open, calls) = (Arc::clone(&gate), Arc::clone(&called));
        let credential = Credential::builder()
            .component(guest(wif_test_guests::crashing()).unwrap())
            .configuration(format!("task=callable id=results {script}"))
            .identity_token("slow", move |_| {
                calls.fetch_add(1, Ordering::SeqCst);
                let gate = Arc::clone(&open);
                async move {
                    gate.notified().await;
                    Ok(Secret::from("late"))
                }
            })
            .build()
            .unwrap();
        until("it is called", || async { called.load(Ordering::SeqCst) == 1 }).await;
        credential.changed();
        if !script.is_empty() {
            replaced(&credential, &log).await;
        }
        gate.notify_one();
        settle().await;
        // A step after all that could have come.
        credential.status().await.unwrap();
        until("what came is told", || async { told(&credential) == expected }).await;
    }
}

/// F1: a stack that grows without end, and an answer that is as large as the memory allows.
#[tokio::test]
async fn neither_its_stack_nor_its_answers_grow_without_end() {
    for script in ["changed=recursion", "changed=list"] {
        let (log, _guard) = Log::start();
        let credential = exhausting(script);
        let token = credential.token().await.unwrap();
        credential.changed();
        replaced(&credential, &log).await;
        assert_eq!(credential.token().await.unwrap().id(), token.id(), "{script}");
    }
}

/// F3: what imports anything does not link, whatever it would do with it.
#[test]
fn a_component_that_wants_something_from_the_host_is_none() {
    let error = guest(wif_test_guests::reaching()).expect_err("it imports a clock");
    assert!(error.to_string().contains("ambient:time/clock"), "{error}");
}

/// F5: what a component panics with, and what its memory held, is in no error, status or log.
#[tokio::test]
async fn a_trap_tells_nothing_of_what_the_component_knew() {
    let (log, _guard) = crate::no_secret_is_shown::Log::start();
    // A variable that every process has.
    let secret = std::env::var("PATH").unwrap();
    let credential = Credential::builder()
        .component(guest(wif_test_guests::telling()).unwrap())
        .configuration(r#"{"federation":{"identity_token":{"source":"variable","name":"PATH"}}}"#)
        .policy(wif::Policy::default().allow_variable("PATH"))
        .build()
        .unwrap();
    until("the component was stopped", || async { log.text().contains("component-stopped") }).await;
    let answer = credential.token_within(Duration::from_millis(200)).await;
    let text = format!("{answer:?} {:?} {credential:?} {}", credential.status().await, log.text());
    assert!(!text.contains(&secret) && !text.contains("the secret is"), "{text}");
}

/// F8: there is no time in the component but what it is told.
#[tokio::test]
async fn a_component_that_asks_the_machine_for_the_time_ends_there() {
    for script in ["changed=instant", "changed=date"] {
        let clock = TestClock::new();
        let builder = Credential::builder().component(guest(wif_test_guests::clock_watching()).unwrap()).configuration(script);
        let credential = builder.clock(clock.clone()).build().unwrap();
        let told = credential.token().await.unwrap();
        assert_eq!(u64::from_str_radix(told.id(), 16), Ok(START_MS), "{script}");
        clock.jump(Duration::from_secs(5));
        credential.changed();
        settle().await;
        // The next session is told the time, too.
        let later = || async { u64::from_str_radix(credential.try_current().unwrap().id(), 16).unwrap() };
        until("another session has begun", || async { later().await == START_MS + 5_000 }).await;
    }
}

/// F7: traps leave nothing behind, neither memory nor anything else that could run out.
#[test]
fn thousands_of_ends_leave_nothing_behind() {
    use wif::component::{Instance, SESSION_INTERFACE};
    let component = guest(wif_test_guests::crashing()).unwrap();
    let text = |text: &str| wasmtime::component::Val::String(text.to_owned());
    let variant = |case: &str| wasmtime::component::Val::Variant(case.to_owned(), None);
    let end = || {
        let mut instance = Instance::new(&component).unwrap();
        let open =
            [text("woken=panic"), wasmtime::component::Val::U64(1), wasmtime::component::Val::List(vec![]), variant("fresh")];
        // On a busy machine the time of a call can end it before the panic does.
        let Ok(opened) = instance.call(SESSION_INTERFACE, "[static]session.open", &open) else { return false };
        let opened = opened.unwrap();
        let wasmtime::component::Val::Result(Ok(Some(session))) = opened else { panic!("{opened:?}") };
        let clock = wasmtime::component::Val::Record(vec![
            ("wall-ms".to_owned(), wasmtime::component::Val::U64(0)),
            ("steady-ms".to_owned(), wasmtime::component::Val::Option(None)),
        ]);
        instance.call(SESSION_INTERFACE, "[method]session.step", &[*session, clock, variant("woken")]).unwrap_err();
        true
    };
    (0..1_000).for_each(|_| {
        end();
    });
    let before = resident_kib();
    let panics = (0..20_000).filter(|_| end()).count();
    assert!(panics >= 19_000, "only {panics} of them ended by the panic");
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "20,000 traps cost {grown} KiB");
}

/// The memory of this process that is in use; 0 where the system does not tell it this way.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
