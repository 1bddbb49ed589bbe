//! What the component asks for, done. A task ends in one outcome, whatever happens.

mod files;
mod running;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::bindings::types::{self, Capability, Outcome, Task};
use crate::callables::{AssertionRequest, Callables, SignRequest, TokenRequest};
use crate::clock::{BoxFuture, Clock, millis};
use crate::policy::Policy;
use crate::secret::Secret;
use crate::store::{BoxError, Entry, Store, Swapped};
use crate::transport::Transport;

pub(crate) use running::{Ended, Kind, Running};

/// Everything that tasks need.
pub(crate) struct Host {
    pub(crate) policy: Policy,
    pub(crate) transport: Transport,
    pub(crate) callables: Callables,
    pub(crate) store: Option<Arc<dyn Store>>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Host {
    /// What a session may ask for. Nothing is promised that would only be refused later.
    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        let mut can = vec![Capability::ReadFile, Capability::ReadVariable];
        let Callables { identity_tokens, access_tokens, signers } = &self.callables;
        can.extend((!identity_tokens.is_empty()).then_some(Capability::SupplyAssertion));
        can.extend((!access_tokens.is_empty()).then_some(Capability::SupplyToken));
        can.extend((!signers.is_empty()).then_some(Capability::Sign));
        can.extend(self.store.as_ref().map(|store| match store.compares() {
            true => Capability::Store,
            false => Capability::Cache,
        }));
        can
    }

    pub(crate) async fn perform(&self, task: Task) -> Outcome {
        match task {
            Task::SendRequest(request) => self.transport.send(request, &*self.clock).await,
            Task::ReadFile(request) => files::read(request, self.policy.clone()).await,
            Task::ReadVariable(name) => self.read_variable(&name),
            Task::SupplyAssertion(request) => self.supply_assertion(request).await,
            Task::SupplyToken(request) => self.supply_token(request).await,
            Task::Sign(request) => self.sign(request).await,
            Task::LoadEntry(key) => self.load(&key).await,
            Task::SwapEntry(swap) => self.swap(swap).await,
        }
    }

    fn read_variable(&self, name: &str) -> Outcome {
        if let Err(rule) = self.policy.check_variable(name) {
            return Outcome::Denied(rule);
        }
        // Such a name cannot be set, and asking for it panics on some systems.
        if name.is_empty() || name.contains(['=', '\0']) {
            return Outcome::Absent;
        }
        match std::env::var_os(name) {
            Some(value) => Outcome::Content(value.to_string_lossy().into_owned()),
            None => Outcome::Absent,
        }
    }

    async fn supply_assertion(&self, request: types::AssertionRequest) -> Outcome {
        let Some(callable) = self.callables.identity_tokens.get(&request.name) else {
            return unknown("identity_token", &request.name);
        };
        let answer = self.limited(callable(AssertionRequest { audience: request.audience })).await;
        answer.map_or_else(Outcome::Failed, |token| Outcome::Content(token.into_revealed()))
    }

    async fn supply_token(&self, request: types::TokenRequest) -> Outcome {
        let Some(callable) = self.callables.access_tokens.get(&request.name) else {
            return unknown("access_token", &request.name);
        };
        match self.limited(callable(TokenRequest { rejected: request.rejected })).await {
            Ok(token) => Outcome::Token(types::SuppliedToken {
                value: token.value.into_revealed(),
                expires_at_ms: token.expires_at.map(|at| millis(at.duration_since(UNIX_EPOCH).unwrap_or_default())),
            }),
            Err(reason) => Outcome::Failed(reason),
        }
    }

    async fn sign(&self, request: types::SignRequest) -> Outcome {
        let Some(signer) = self.callables.signers.get(&request.key) else { return unknown("signer", &request.key) };
        let answer = self.limited(signer(SignRequest { algorithm: request.algorithm, input: request.input })).await;
        answer.map_or_else(Outcome::Failed, |signature| Outcome::Content(BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    async fn load(&self, key: &str) -> Outcome {
        let Some(store) = &self.store else { return Outcome::Unsupported };
        match self.limited(store.load(key)).await {
            Ok(Some(entry)) => Outcome::Entry(entry.into()),
            Ok(None) => Outcome::Absent,
            Err(reason) => Outcome::Failed(reason),
        }
    }

    async fn swap(&self, swap: types::Swap) -> Outcome {
        let Some(store) = &self.store else { return Outcome::Unsupported };
        let value = Secret::from(swap.value);
        match self.limited(store.swap(&swap.key, swap.expected.as_deref(), value)).await {
            Ok(Swapped::Done(version)) => Outcome::Swapped(version),
            Ok(Swapped::Conflict(entry)) => Outcome::Conflict(entry.map(Into::into)),
            Err(reason) => Outcome::Failed(reason),
        }
    }

    /// What the program supplies may take its time, but not for ever.
    async fn limited<T>(&self, work: BoxFuture<'_, Result<T, BoxError>>) -> Result<T, String> {
        let at_most: Duration = self.policy.callables_may_take();
        tokio::select! {
            answer = work => answer.map_err(|error| error.to_string()),
            () = self.clock.sleep(at_most) => Err(format!("no answer within {} ms", at_most.as_millis())),
        }
    }
}

fn unknown(what: &str, name: &str) -> Outcome {
    Outcome::Failed(format!("no callable of this name was given: Credential::builder().{what}({name:?}, ...)"))
}

impl From<Entry> for types::Entry {
    fn from(entry: Entry) -> Self {
        Self { version: entry.version, value: entry.value.into_revealed() }
    }
}
