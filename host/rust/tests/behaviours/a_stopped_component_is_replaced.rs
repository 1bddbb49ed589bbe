//! Whatever the component does to itself, the last token is served on, and the process does not mind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use wif::{Availability, Credential, Error, FailureCode, PendingReason};

use crate::support::{erratic, until};

fn credential(script: &str) -> Credential {
    Credential::builder().component(erratic()).configuration(script).build().unwrap()
}

/// F1, C5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_do_not_notice_a_trap() {
    let credential = credential("changed=panic");
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

/// F1.
#[tokio::test]
async fn a_loop_ends_with_its_deadline() {
    let credential = credential("changed=loop");
    credential.token().await.unwrap();
    let start = Instant::now();
    credential.changed();
    // Answered by the session after the one that looped.
    until("the component answers again", || async { credential.status().await.is_ok() }).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    credential.token().await.unwrap();
}

/// F1.
#[tokio::test]
async fn a_memory_bomb_bursts_inside() {
    let credential = credential("changed=memory");
    credential.token().await.unwrap();
    credential.changed();
    until("the component answers again", || async { credential.status().await.is_ok() }).await;
    credential.token().await.unwrap();
}

#[tokio::test]
async fn a_result_that_stopped_it_twice_is_delivered_as_lost() {
    // The script serves this token only after a result that was lost.
    let credential = credential("task=variable finished=panic");
    let token = credential.token_within(Duration::from_secs(10)).await.unwrap();
    assert_eq!(token.id(), "00000000000010ff");
}

#[tokio::test]
async fn a_wake_that_stops_it_again_and_again_serves_the_last_token_on() {
    let credential = credential("changed=panic woken=panic-if-resumed");
    let token = credential.token().await.unwrap();
    credential.changed();
    until("the component is at rest", || async { credential.status().await.is_err() }).await;
    assert_eq!(credential.token().await.unwrap().id(), token.id());
}

#[tokio::test]
async fn without_a_token_its_end_is_a_failure_that_says_when_it_is_tried_again() {
    let credential = credential("woken=panic");
    let Err(Error::Unavailable(failure)) = credential.token_within(Duration::from_secs(10)).await else {
        panic!("there is no token to be had")
    };
    assert_eq!(failure.code, FailureCode::ComponentStopped);
    assert!(failure.retry_in.is_some());
}

#[tokio::test]
async fn a_new_session_that_has_no_token_yet_does_not_take_the_old_one_away() {
    let credential = credential("changed=panic");
    let first = credential.token().await.unwrap();
    credential.changed();
    for _ in 0..100 {
        assert_eq!(credential.try_current().unwrap().id(), first.id());
        tokio::task::yield_now().await;
    }
    let shown = format!("{credential:?}");
    assert!(!shown.contains(&format!("{:?}", Availability::Pending(PendingReason::Discovering))), "{shown}");
}

/// F7, in small.
#[tokio::test]
async fn many_ends_leave_nothing_behind() {
    for _ in 0..50 {
        let credential = credential("changed=panic");
        credential.token().await.unwrap();
        credential.changed();
        until("the component answers again", || async { credential.status().await.is_ok() }).await;
        credential.shutdown().await;
    }
}
