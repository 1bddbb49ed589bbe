//! From the configuration to a plan, by way of discovery where it leaves something open.

use super::tasks::Role;
use super::{Plan, Session, Trouble, field, secret_content};
use crate::configuration::{Bearer, Credential, Discover};
use crate::contract::{Capability, FailureCode, Field, NoteCode, NoteLevel, Outcome, Standing, Task};
use crate::discovery::{Discovery, File, FoundCredential, Next, Problem, VARIABLES};
use crate::held::{Held, Scheme};
use crate::state::{Reading, Writer};

/// How long to wait before looking for a configuration again, in milliseconds.
const RETRY_MS: u64 = 60_000;

impl Session {
    pub(super) fn configure(&mut self) {
        let credential = match &self.configuration.credential {
            // It may be looked for again.
            Credential::Discover(limits) => Credential::Discover(limits.clone()),
            // It moves into the plan: nothing, and no secret, is kept twice.
            _ => core::mem::replace(&mut self.configuration.credential, Credential::Discover(Discover::default())),
        };
        match credential {
            Credential::Federation(federation) => self.settle(Plan::Federation(federation), "the configuration"),
            Credential::Bearer(bearer) => self.settle(Plan::Bearer(bearer), "the configuration"),
            Credential::Discover(limits) => {
                self.plan = Plan::Discovering(Box::new(Discovery::new(limits)));
                if self.can.contains(&Capability::ReadVariable) {
                    for name in VARIABLES {
                        self.emit(Role::Variable(name), Task::ReadVariable(name.to_owned()));
                    }
                } else {
                    self.discover(Discovery::variables_read);
                }
            }
        }
    }

    pub(super) fn variable_read(&mut self, name: &'static str, outcome: Outcome) {
        let Plan::Discovering(discovery) = &mut self.plan else { return };
        match secret_content(outcome) {
            Ok(value) => discovery.variable(name, value),
            Err(Outcome::Lost) => return self.discovery_lost(),
            Err(Outcome::Absent) => {}
            // What a host does not show is not set, as far as anybody can tell.
            Err(_) => discovery.hidden(name),
        }
        if !self.tasks.any(|role| matches!(role, Role::Variable(_))) {
            self.discover(Discovery::variables_read);
        }
    }

    pub(super) fn profile_read(&mut self, outcome: Outcome) {
        let file = match outcome {
            Outcome::Content(content) => File::Content(content),
            Outcome::Absent => File::Absent,
            Outcome::Denied(why) | Outcome::Failed(why) => File::Unreadable(self.foreign(&why)),
            Outcome::Lost => return self.discovery_lost(),
            _ => File::Unreadable("this host reads no files".to_owned()),
        };
        self.discover(|discovery| discovery.file(file));
    }

    fn discover(&mut self, go_on: impl FnOnce(&mut Discovery) -> Next) {
        let Plan::Discovering(discovery) = &mut self.plan else { return };
        match go_on(discovery) {
            Next::Read(request) if self.can.contains(&Capability::ReadFile) => {
                self.emit(Role::ProfileFile, Task::ReadFile(request));
            }
            Next::Read(_) => self.profile_read(Outcome::Absent),
            Next::Found(found) => {
                for message in found.ignored {
                    self.note(NoteCode::SourceIgnored, NoteLevel::Warning, &message, Vec::new());
                }
                // What the configuration says about the place goes before what was found.
                if self.configuration.base_url.is_none() {
                    self.base_url = found.base_url.unwrap_or_default();
                }
                let plan = match found.credential {
                    FoundCredential::Bearer(bearer) => Plan::Bearer(bearer),
                    FoundCredential::Federation(federation) => Plan::Federation(federation),
                };
                self.settle(plan, &found.by);
            }
            Next::Failed(problem) => self.unconfigured(problem, RETRY_MS),
        }
    }

    fn discovery_lost(&mut self) {
        let of_discovery = |role| matches!(role, Role::Variable(_) | Role::ProfileFile);
        self.abandoned.extend(self.tasks.forget(of_discovery));
        let message = "The host did not say which variables and files there are.".to_owned();
        let action = "Discovery is repeated.".to_owned();
        self.unconfigured(Problem { message, action }, 1_000);
    }

    fn unconfigured(&mut self, problem: Problem, retry_ms: u64) {
        let retry_at = self.now + retry_ms;
        self.note(NoteCode::ConfigurationFailed, NoteLevel::Error, &problem.message, Vec::new());
        self.fail(FailureCode::Configuration, problem.message, &problem.action, Some(retry_at));
        self.plan = Plan::Unconfigured(retry_at);
    }

    /// The plan is known: what an earlier session knew is taken over if it is the same identity.
    fn settle(&mut self, plan: Plan, by: &str) {
        let key = match &plan {
            Plan::Federation(federation) => federation.entry_key(&self.base_url),
            Plan::Bearer(bearer) => bearer.entry_key(&self.base_url),
            Plan::Unopened | Plan::Discovering(_) | Plan::Unconfigured(_) => return,
        };
        self.failure = None;
        self.plan = plan;
        let mut fields = self.describe();
        fields.push(field("found-in", by));
        self.note(NoteCode::Configured, NoteLevel::Info, "The credential is configured.", fields);
        self.take_over(&key);
        self.entry_key = Some(key);
        match &self.plan {
            Plan::Bearer(Bearer::Literal(value)) => self.held = Some(Held::forever(value.clone(), Scheme::Bearer)),
            Plan::Bearer(Bearer::ApiKey(value)) => self.held = Some(Held::forever(value.clone(), Scheme::ApiKey)),
            _ => {}
        }
    }

    fn take_over(&mut self, key: &str) {
        let Some(journal) = self.resumed.take() else { return };
        let reading = Reading::new(self.epoch(), journal.written, Writer::Before);
        if journal.identity.as_deref() != Some(key) {
            let message = "The earlier session had another identity: its token is dropped, and what it spent stays spent.";
            self.note(NoteCode::Resumed, NoteLevel::Info, message, Vec::new());
            self.changed = true;
            return;
        }
        self.ends = journal.ends.revive(reading);
        self.rejections = journal.rejections.revive(reading);
        self.pace = journal.pace.revive(reading, journal.tried);
        // Callers are answered at once during a pause that an earlier session began, and told why.
        let until = self.pace.retry_at.max(self.pace.floor);
        self.failure =
            journal.failure.filter(|_| until > self.now).map(|failure| Trouble { failure, until: Some(until), rotation: None });
        let held = journal.token.map(|token| token.revive(reading, &mut self.ends, &mut self.random));
        self.held = held.filter(|held| held.usable_at(self.now));
        if let Some(held) = self.held.as_mut().filter(|held| self.rejections.contains(&held.id)) {
            held.standing = Standing::Suspect;
        }
        let token = self.held.as_ref().map(|held| field("token", &held.id));
        let message = "The state of an earlier session was taken over.";
        self.note(NoteCode::Resumed, NoteLevel::Info, message, token.into_iter().collect());
    }

    /// The configuration in force, by field name; no secret.
    pub(super) fn describe(&self) -> Vec<Field> {
        let mut fields = match &self.plan {
            Plan::Federation(federation) => federation.describe(),
            Plan::Bearer(bearer) => bearer.describe(),
            Plan::Unopened | Plan::Discovering(_) | Plan::Unconfigured(_) => vec![field("credential", "to be discovered")],
        };
        fields.push(field("base_url", &self.base_url.join("")));
        fields
    }
}
