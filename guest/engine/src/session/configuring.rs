//! From the configuration to a plan, by way of discovery where it leaves something open.

use super::attempt::Trouble;
use super::outgoing::Role;
use super::sharing::Beside;
use super::{Plan, Session, field, secret_content};
use crate::configuration::{Bearer, Credential, Discover};
use crate::contract::{Capability, FailureCode, Field, NoteCode, NoteLevel, Outcome, Task};
use crate::discovery::{Discovery, File, FoundCredential, Next, Problem, VARIABLES};
use crate::held::Scheme;

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
        if !self.out.any(|role| matches!(role, Role::Variable(_))) {
            self.discover(Discovery::variables_read);
        }
    }

    pub(super) fn profile_read(&mut self, outcome: Outcome) {
        let file = match outcome {
            Outcome::Content(content) => File::Content(content),
            Outcome::Absent => File::Absent,
            Outcome::Denied(why) | Outcome::Failed(why) => File::Unreadable(self.foreign(&why)),
            Outcome::Lost if matches!(&self.plan, Plan::Discovering(discovery) if discovery.only_warns()) => File::Absent,
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
                    self.out.note(NoteCode::SourceIgnored, NoteLevel::Warning, &message, Vec::new());
                }
                // What the configuration says about the place goes before what was found.
                if self.configuration.base_url.is_none() {
                    self.base_url = found.base_url.unwrap_or_default();
                }
                let plan = match found.credential {
                    FoundCredential::Bearer(bearer) => Plan::Bearer(bearer),
                    FoundCredential::Federation(federation) => Plan::Federation(federation),
                };
                let beside = found.credentials.filter(|_| self.configuration.base_url.is_none());
                self.beside = beside.map(|path| Beside::new(path, self.random.next()));
                self.settle(plan, &found.by);
            }
            Next::Failed(problem) => self.unconfigured(problem, RETRY_MS),
        }
    }

    fn discovery_lost(&mut self) {
        let of_discovery = |role| matches!(role, Role::Variable(_) | Role::ProfileFile);
        self.out.forget(of_discovery);
        let message = "The host did not say which variables and files there are.".to_owned();
        let action = "Discovery is repeated.".to_owned();
        self.unconfigured(Problem { message, action }, 1_000);
    }

    fn unconfigured(&mut self, problem: Problem, retry_ms: u64) {
        let retry_at = self.time.now() + retry_ms;
        self.out.note(NoteCode::ConfigurationFailed, NoteLevel::Error, &problem.message, Vec::new());
        self.attempt.fail(Trouble::new(FailureCode::Configuration, problem.message, &problem.action, Some(retry_at)));
        self.plan = Plan::Unconfigured(retry_at);
    }

    /// The plan is known.
    fn settle(&mut self, plan: Plan, by: &str) {
        let configuration = match &plan {
            Plan::Federation(federation) => federation.hash(&self.base_url),
            Plan::Bearer(bearer) => bearer.hash(&self.base_url),
            Plan::Unopened | Plan::Discovering(_) | Plan::Unconfigured(_) => return,
        };
        self.attempt.recovered();
        self.plan = plan;
        let mut fields = self.describe();
        fields.push(field("found-in", by));
        self.out.note(NoteCode::Configured, NoteLevel::Info, "The credential is configured.", fields);
        self.configured(configuration);
        match &self.plan {
            Plan::Bearer(Bearer::Literal(value) | Bearer::LongLived(value)) => self.tokens.fix(value.clone(), Scheme::Bearer),
            Plan::Bearer(Bearer::ApiKey { key, in_header }) => self.tokens.fix(key.clone(), Scheme::ApiKey(*in_header)),
            // Its file is the truth: an earlier session's token may be another person's.
            Plan::Bearer(Bearer::Login(_)) => drop(self.tokens.discard()),
            _ => {}
        }
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
