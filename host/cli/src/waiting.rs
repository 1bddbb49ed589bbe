//! Waiting for a token as long as the command may, with the retries that the session plans.

use std::time::Duration;

use tokio::time::Instant;
use wif::{Credential, Error, Failure, FailureCode, Token};

use crate::credential::may_change;
use crate::exit::{NoToken, TooLate, in_own_words};
use crate::words::seconds;

/// A file of an identity token is looked at so often while it has nothing of use.
const LOOK: Duration = Duration::from_millis(250);

/// No wait is shorter, or it would be no wait.
const SHORTEST: Duration = Duration::from_millis(10);

/// What waiting can bring after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prospect {
    /// Nothing: somebody has to mend something.
    None,
    /// Another identity token, where its source can change.
    Rotation,
    /// A better answer at the time that the session plans.
    Retry,
}

fn prospect(code: FailureCode) -> Prospect {
    match code {
        FailureCode::IdentityTokenMissing
        | FailureCode::IdentityTokenMalformed
        | FailureCode::IdentityTokenExpired
        | FailureCode::IdentityTokenNotYetValid
        | FailureCode::IdentityTokenSpent => Prospect::Rotation,
        FailureCode::Refused
        | FailureCode::RateLimited
        | FailureCode::EndpointFailed
        | FailureCode::EndpointUnreachable
        | FailureCode::AnswerUnusable
        | FailureCode::ComponentStopped => Prospect::Retry,
        _ => Prospect::None,
    }
}

/// Whether to wait longer could bring a token after this failure.
pub(crate) fn can_help(code: FailureCode, may_change: bool) -> bool {
    match prospect(code) {
        Prospect::None => false,
        Prospect::Rotation => may_change,
        Prospect::Retry => true,
    }
}

/// Somebody who waits for a token.
pub(crate) struct Waiting<'a> {
    credential: &'a Credential,
    /// What the user gave.
    timeout: Duration,
    deadline: Instant,
    /// Whether what is known is kept for the next run.
    keeps_state: bool,
    /// What was said last.
    said: Option<FailureCode>,
}

impl<'a> Waiting<'a> {
    pub(crate) fn new(credential: &'a Credential, timeout: Duration, deadline: Instant, keeps_state: bool) -> Self {
        Self { credential, timeout, deadline, keeps_state, said: None }
    }

    /// A token, after as many tries as there is time for.
    pub(crate) async fn token(&mut self) -> anyhow::Result<Token> {
        loop {
            let failure = match self.credential.token_within(self.left()).await {
                Ok(token) => return Ok(token),
                Err(Error::Unavailable(failure)) => failure,
                Err(error) => {
                    // The next look may be under way at the very end: what the last one failed with is the reason.
                    return match self.last_failure().await {
                        Some(failure) => Err(self.no_token("no access token", failure).await),
                        None => Err(self.too_late(error)),
                    };
                }
            };
            let may_change = identity_token_may_change(self.credential).await;
            let Some(pause) = self.pause(&failure, may_change) else {
                return Err(self.no_token("no access token", failure).await);
            };
            self.say(&failure, may_change);
            self.rest(pause, may_change).await;
        }
    }

    /// Reports that the API rejected this token, and gets another one.
    pub(crate) async fn replacement(&mut self, rejected: &Token) -> anyhow::Result<Token> {
        let id = rejected.id();
        loop {
            if let Some(token) = self.credential.replacement_within(id, self.left()).await {
                return Ok(token);
            }
            // The rejected one may have run out meanwhile.
            if let Some(token) = self.credential.try_current().filter(|token| token.id() != id) {
                return Ok(token);
            }
            let status = self.credential.status().await?;
            let may_change = identity_token_may_change(self.credential).await;
            let wanted = format!("the API rejected the access token {id}, and there is no other");
            let pause = match &status.failure {
                Some(failure) => self.pause(failure, may_change),
                // Without a time something is under way.
                None => status.next_in.or(Some(SHORTEST)).filter(|wait| *wait <= self.left()),
            };
            match (pause, status.failure) {
                (Some(pause), Some(failure)) => {
                    self.say(&failure, may_change);
                    self.rest(pause, may_change).await;
                }
                (Some(pause), None) => self.rest(pause.min(LOOK), false).await,
                (None, Some(failure)) => return Err(self.no_token(&wanted, failure).await),
                (None, None) => {
                    let next = status.next_in.map(|wait| format!(" in {}", seconds(wait))).unwrap_or_default();
                    return Err(TooLate(format!("{wanted} yet. Next: {}{next}", status.next)).into());
                }
            }
        }
    }

    /// Waits until no exchange is under way, for one that is out may have spent the identity token: the token to go on with.
    pub(crate) async fn settled(&self, token: Token) -> Token {
        // Whoever waits for too long goes with the token at hand.
        let _ = tokio::time::timeout_at(self.deadline, self.credential.settle()).await;
        self.credential.try_current().unwrap_or(token)
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// How long to rest before asking again; none if that is of no use, or there is no time.
    fn pause(&self, failure: &Failure, may_change: bool) -> Option<Duration> {
        let left = self.left();
        if left.is_zero() {
            return None;
        }
        let pause = match prospect(failure.code) {
            Prospect::None => None,
            Prospect::Rotation => may_change.then_some(left),
            Prospect::Retry => Some(failure.retry_in.unwrap_or_default()).filter(|wait| *wait <= left),
        };
        pause.map(|pause| pause.clamp(SHORTEST, LOOK).min(left))
    }

    async fn rest(&self, pause: Duration, may_change: bool) {
        tokio::time::sleep(pause).await;
        if may_change {
            // A look costs nothing, and the session's own comes every few seconds only.
            self.credential.changed();
        }
    }

    fn say(&mut self, failure: &Failure, may_change: bool) {
        if self.said.replace(failure.code) == Some(failure.code) {
            return;
        }
        let message = in_own_words(&failure.message);
        let code = failure.code.as_str();
        let left = seconds(self.left());
        match (prospect(failure.code), failure.retry_in) {
            (Prospect::Retry, Some(wait)) => {
                let wait = seconds(wait);
                let or = if may_change { ", or when its identity token rotates" } else { "" };
                tracing::info!(target: "wif::waiting", code, "waiting: tried again in {wait}{or}, and for at most {left}: {message}");
            }
            _ => {
                tracing::info!(target: "wif::waiting", code, "waiting for another identity token, for at most {left}: {message}")
            }
        }
    }

    /// The time was over before there was anything to tell.
    fn too_late(&self, error: Error) -> anyhow::Error {
        let Error::TimedOut { waiting_for, .. } = error else { return error.into() };
        let reason = waiting_for.map(|reason| format!(", while {}", reason.as_str().replace('-', " "))).unwrap_or_default();
        TooLate(format!("no access token within {} s{reason}", self.timeout.as_secs())).into()
    }

    async fn last_failure(&self) -> Option<Failure> {
        self.credential.status().await.ok()?.failure
    }

    async fn no_token(&self, wanted: &str, failure: Failure) -> anyhow::Error {
        let may_change = identity_token_may_change(self.credential).await;
        let within = self.left().is_zero().then_some(self.timeout);
        NoToken { failure, may_change, within, wanted: wanted.to_owned(), keeps_state: self.keeps_state }.into()
    }
}

/// Whether the source can show another identity token while this process runs: a file can, its variables cannot.
pub(crate) async fn identity_token_may_change(credential: &Credential) -> bool {
    let Ok(status) = credential.status().await else { return false };
    may_change(&status)
}
