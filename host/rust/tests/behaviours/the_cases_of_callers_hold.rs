//! The cases in `tests/callers`, through the credential: the same for every host.

use std::time::Duration;

use tokio::task::JoinHandle;
use wif::layer::LayerError;
use wif::{Credential, Error, Token};
use wif_test_cases::all_hold;
use wif_test_cases::callers::{Caller, Case, STEP_MS, Told, all, id};

use crate::support::{TestClock, guest, settle};

/// What somebody was told, apart from when.
type TokenResult = Result<Option<Token>, Error>;

fn told(answer: TokenResult, after_ms: u64) -> Told {
    match answer {
        Ok(Some(token)) => Told::Token { token: token.id()[..1].to_owned(), after_ms },
        Ok(None) => Told::Nothing { nothing: true, after_ms },
        Err(error) => {
            let answer = LayerError::NoToken(error).answer().unwrap();
            assert_eq!(answer.status(), 503);
            let field = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
            Told::Refusal { code: field("x-wif-code"), retry_after_s: field("retry-after").parse().unwrap(), after_ms }
        }
    }
}

async fn ask(credential: Credential, caller: Caller) -> TokenResult {
    match (caller.replaces, caller.waits_ms) {
        (Some(token), None) => Ok(credential.replacement(&id(&token)).await),
        (Some(token), Some(at_most)) => Ok(credential.replacement_within(&id(&token), Duration::from_millis(at_most)).await),
        (None, None) => credential.token().await.map(Some),
        (None, Some(at_most)) => credential.token_within(Duration::from_millis(at_most)).await.map(Some),
    }
}

/// What each caller was told; none was told nothing yet.
async fn run(case: &Case) -> Vec<Option<Told>> {
    let clock = TestClock::new();
    let credential = Credential::builder()
        .component(guest(wif_test_guests::scripted()).unwrap())
        .configuration(case.script())
        .clock(clock.clone())
        .seed(1)
        .max_waiters(case.max_waiters)
        .build()
        .unwrap();
    settle().await;
    let mut waiting: Vec<(usize, JoinHandle<TokenResult>)> = Vec::new();
    let mut answers = vec![None; case.callers.len()];
    for now_ms in (0..=case.ends_ms() + STEP_MS).step_by(usize::try_from(STEP_MS).unwrap()) {
        for happening in case.happens.iter().filter(|happening| happening.at_ms == now_ms) {
            if let Some(token) = &happening.rejects {
                credential.rejected(&id(token));
            } else {
                credential.shutdown().await;
            }
            settle().await;
        }
        for (number, caller) in case.callers.iter().enumerate().filter(|(_, caller)| caller.at_ms == now_ms) {
            waiting.push((number, tokio::spawn(ask(credential.clone(), caller.clone()))));
            settle().await;
        }
        let mut still = Vec::new();
        for (number, task) in waiting {
            if task.is_finished() {
                answers[number] = Some(told(task.await.unwrap(), now_ms - case.callers[number].at_ms));
            } else {
                still.push((number, task));
            }
        }
        waiting = still;
        clock.jump(Duration::from_millis(STEP_MS));
        settle().await;
    }
    answers
}

/// C1 (many callers, one exchange), C2 (a refresh holds nobody up), C3 (waiting is bounded), C4 (callers that leave), E9 (there
/// is no token).
#[tokio::test]
async fn of_what_they_are_told_and_when() {
    let (mut ran, mut failed) = (0, Vec::new());
    for case in all() {
        for (caller, answer) in case.callers.iter().zip(run(&case).await) {
            ran += 1;
            if answer.as_ref() != Some(&caller.told) {
                failed.push(format!("{}, at {} ms: {answer:?}, and not {:?}", case.name, caller.at_ms, caller.told));
            }
        }
    }
    all_hold(ran, 60, &failed);
}
