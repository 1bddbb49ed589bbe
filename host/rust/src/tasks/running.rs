//! The tasks that are out.

use std::sync::Arc;

use tokio::task::{AbortHandle, JoinSet};

use super::Host;
use crate::bindings::types::{NumberedTask, Outcome, Task};

/// What a task is, without what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Send,
    File,
    Variable,
    Assertion,
    Token,
    Sign,
    Load,
    Swap,
}

/// A task that has ended.
pub(crate) struct Ended {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) outcome: Outcome,
}

/// The tasks of one session. Dropped, it stops them all.
#[derive(Default)]
pub(crate) struct Running {
    set: JoinSet<Outcome>,
    // A few at a time, for a moment: thousands of sessions have none.
    out: Vec<Out>,
}

struct Out {
    number: u32,
    kind: Kind,
    handle: AbortHandle,
    /// Stopped by us: its number may be taken again before it has ended.
    abandoned: bool,
}

impl Running {
    pub(crate) fn start(&mut self, task: NumberedTask, host: &Arc<Host>) {
        let NumberedTask { number, task } = task;
        let kind = Kind::of(&task);
        let host = Arc::clone(host);
        let handle = self.set.spawn(async move { host.perform(task).await });
        self.out.push(Out { number, kind, handle, abandoned: false });
    }

    /// Answers a task without doing it.
    pub(crate) fn refuse(&mut self, task: NumberedTask, reason: &str) {
        let NumberedTask { number, task } = task;
        let (kind, reason) = (Kind::of(&task), reason.to_owned());
        let handle = self.set.spawn(async move { Outcome::Unkept(reason) });
        self.out.push(Out { number, kind, handle, abandoned: false });
    }

    /// Stops a task whose result is no longer awaited. A request goes on: its identity token may be spent, and what it
    /// brings is still welcome.
    pub(crate) fn abandon(&mut self, number: u32) {
        if let Some(out) = self.out.iter_mut().find(|out| out.number == number && !out.abandoned && out.kind != Kind::Send) {
            out.handle.abort();
            out.abandoned = true;
        }
    }

    /// Whether a task of this number is out.
    pub(crate) fn has(&self, number: u32) -> bool {
        self.awaited().any(|out| out.number == number)
    }

    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    /// What is out, by number.
    #[cfg(test)]
    pub(crate) fn kinds(&self) -> std::collections::HashMap<u32, Kind> {
        self.awaited().map(|out| (out.number, out.kind)).collect()
    }

    /// Whether an exchange is out, or what others are told of one.
    pub(crate) fn may_spend(&self) -> bool {
        self.awaited().any(|out| matches!(out.kind, Kind::Send | Kind::Swap))
    }

    fn awaited(&self) -> impl Iterator<Item = &Out> {
        self.out.iter().filter(|out| !out.abandoned)
    }

    /// The next task that ends by itself. Waits for ever while there is none; to be cancelled at will.
    pub(crate) async fn next(&mut self) -> Ended {
        loop {
            let (id, outcome) = match self.set.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, outcome))) => (id, Some(outcome)),
                Some(Err(error)) if error.is_cancelled() => (error.id(), None),
                // The program's callable, for nothing here panics. Its message may hold anything, and is not passed on.
                Some(Err(error)) => (error.id(), Some(Outcome::Lost)),
            };
            let Some(at) = self.out.iter().position(|out| out.handle.id() == id) else { continue };
            let Out { number, kind, .. } = self.out.swap_remove(at);
            if self.out.is_empty() {
                self.out = Vec::new();
            }
            if let Some(outcome) = outcome {
                return Ended { number, kind, outcome };
            }
        }
    }
}

impl Kind {
    pub(crate) fn of(task: &Task) -> Self {
        match task {
            Task::SendRequest(_) => Self::Send,
            Task::ReadFile(_) => Self::File,
            Task::ReadVariable(_) => Self::Variable,
            Task::SupplyAssertion(_) => Self::Assertion,
            Task::SupplyToken(_) => Self::Token,
            Task::Sign(_) => Self::Sign,
            Task::LoadEntry(_) => Self::Load,
            Task::SwapEntry(_) => Self::Swap,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::types::{HttpRequest, Purpose, Swap};

    #[tokio::test]
    async fn what_is_abandoned_is_out_no_more_and_a_request_goes_on() {
        let swap = Task::SwapEntry(Swap { key: "k".to_owned(), expected: None, value: "v".to_owned() });
        let request = Task::SendRequest(HttpRequest {
            purpose: Purpose::Exchange,
            method: "POST".to_owned(),
            url: "https://api.anthropic.com/v1/oauth/token".to_owned(),
            origin: "https://api.anthropic.com".to_owned(),
            headers: Vec::new(),
            body: String::new(),
            timeout_ms: 1000,
            max_response_bytes: 1000,
        });
        let mut running = Running::default();
        running.refuse(NumberedTask { number: 1, task: swap }, "it is not kept");
        assert!(running.has(1) && running.may_spend());
        running.abandon(1);
        assert!(!running.has(1) && !running.may_spend());
        running.refuse(NumberedTask { number: 2, task: request }, "it is not kept");
        running.abandon(2);
        assert!(running.has(2) && running.may_spend());
        let ended = running.next().await;
        assert_eq!((ended.number, ended.kind), (2, Kind::Send));
        assert!(!running.has(2) && !running.may_spend());
    }
}
