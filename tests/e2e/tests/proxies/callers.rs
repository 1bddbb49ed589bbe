//! The cases in `tests/callers`, through the filter: what requests are told that ask for a token, and when.

use serde_json::json;
use wif_test_cases::all_hold;
use wif_test_cases::callers::{Case, STEP_MS, Told, all};

use crate::ours;
use crate::proxy::{Proxy, Request};

/// The filter's requests wait for a time that is configured, and not each for its own.
const PATIENT_MS: u64 = 300_000;

/// How late a tick may be.
const LATE_MS: u64 = 50;

/// What a request was told, apart from when; none if it still waits.
fn told(request: &Request, after_ms: u64) -> Option<Told> {
    if request.answered.is_some() {
        assert_eq!(request.answered, Some(503));
        let field = |name: &str| request.reply[name].clone();
        return Some(Told::Refusal {
            code: field("x-wif-code"),
            retry_after_s: field("retry-after").parse().expect("seconds"),
            after_ms,
        });
    }
    let token = ours(request).filter(|_| request.passed)?;
    Some(Told::Token { token: token.chars().last().expect("a digit").to_string(), after_ms })
}

/// What each caller was told by a filter whose requests wait for this long.
fn run(case: &Case, at_most_ms: u64) -> Vec<Option<Told>> {
    let waiting = json!({"at_most_ms": at_most_ms, "requests": case.max_waiters});
    let mut proxy = Proxy::scripted(&case.script(), &waiting);
    assert!(proxy.configure(), "{:?}", proxy.around().log);
    // The first step.
    proxy.run(5);
    let mut asked = vec![None; case.callers.len()];
    let mut answers = vec![None; case.callers.len()];
    for now_ms in (0..=case.ends_ms() + STEP_MS).step_by(5) {
        for happening in case.happens.iter().filter(|happening| happening.at_ms == now_ms) {
            match &happening.rejects {
                Some(_) => {
                    let rejected = proxy.workers[0].request("api");
                    proxy.workers[0].respond(rejected, 401);
                }
                None => proxy.workers[0].close(),
            }
            proxy.run(5);
        }
        for (number, _) in case.callers.iter().enumerate().filter(|(_, caller)| caller.at_ms == now_ms) {
            asked[number] = Some(proxy.workers[0].request("api"));
        }
        for (number, caller) in case.callers.iter().enumerate() {
            let Some(id) = asked[number].filter(|_| answers[number].is_none()) else { continue };
            answers[number] =
                told(&proxy.workers[0].seen(id), (now_ms - caller.at_ms).saturating_sub(LATE_MS).next_multiple_of(STEP_MS));
        }
        proxy.run(5);
    }
    answers
}

/// C1, C2, C3, C4, E9: callers that ask for another token in place of a rejected one are none of the filter, whose proxy sends requests again.
#[test]
fn of_what_they_are_told_and_when() {
    let (mut ran, mut failed) = (0, Vec::new());
    for case in all() {
        // The clusters lead to one origin, and a token for another is not put on what goes there.
        if case.callers.iter().any(|caller| caller.replaces.is_some()) || case.script().contains("\"origin\"") {
            continue;
        }
        let mut waits: Vec<u64> = case.callers.iter().map(|caller| caller.waits_ms.unwrap_or(PATIENT_MS).max(1)).collect();
        waits.sort_unstable();
        waits.dedup();
        for at_most_ms in waits {
            for (caller, answer) in case.callers.iter().zip(run(&case, at_most_ms)) {
                if caller.waits_ms.unwrap_or(PATIENT_MS).max(1) != at_most_ms {
                    continue;
                }
                ran += 1;
                if answer.as_ref() != Some(&caller.told) {
                    failed.push(format!("{}, at {} ms: {answer:?}, and not {:?}", case.name, caller.at_ms, caller.told));
                }
            }
        }
    }
    all_hold(ran, 40, &failed);
}
