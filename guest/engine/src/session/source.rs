//! The source of identity tokens: what a host must be able to do for it, what it is asked, how its answers become an identity
//! token, and what it means if they do not.
//!
//! A further source is a case of [`IdentityTokenSource`] and a line in [`missing`] and [`begin`]. One that takes several tasks,
//! one after another, keeps how far it has come in a case of [`Asked`], which [`go_on`] takes further.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use wif_recipes::{Recipe, Run};

use super::attempt::{Trouble, Work};
use super::outgoing::Role;
use super::recipe::{self, Detection, Means, Told};
use super::{Plan, Session, field};
use crate::answer::Pause;
use crate::configuration::{EXECUTABLE, IdentityTokenSource, Platform, SPIFFE, Signer};
use crate::contract::{
    AssertionRequest, Capability, FailureCode, FileProtection, FileRequest, NoteCode, NoteLevel, Outcome, SignRequest, Task,
};
use crate::identity_token::MAX_BYTES;
use crate::json::object;
use crate::schedule::Random;
use crate::scrub::scrub;
use crate::{RECIPES, Secret};

/// What the task that is out was asked for.
#[derive(Debug)]
pub(super) enum Asked {
    /// The identity token.
    Whole,
    /// The signature of this, the header and claims of an identity token.
    Signature(String),
    /// What the current step of a recipe needs.
    Step(Box<Run>),
    /// A variable that tells the platform.
    Platform(Detection),
}

/// What comes next.
pub(super) enum Next {
    /// The host is asked.
    Ask(Asked, Task),
    /// The identity token is there.
    Token(Secret),
    /// The source has none; what the host said instead, and of what.
    Failed { outcome: Outcome, at: Option<String> },
    /// The source has none, and says why itself.
    Told(Told),
    /// The platform is this one.
    Chosen { recipe: Box<Recipe>, why: String, run: Box<Run> },
}

/// What a host that can do this and no more does not do for a source; nothing, if it does all that is needed.
pub(super) fn missing(source: &IdentityTokenSource, can: &[Capability]) -> Option<&'static str> {
    let (needed, what) = match source {
        IdentityTokenSource::File(_) => (Capability::ReadFile, "read files"),
        IdentityTokenSource::Variable(_) => (Capability::ReadVariable, "read variables"),
        IdentityTokenSource::Literal(_) => return None,
        IdentityTokenSource::Callable { name, .. } => {
            let what = match name.as_str() {
                EXECUTABLE => "run programs",
                SPIFFE => "ask the Workload API of SPIFFE; it reads a `file` that spiffe-helper writes",
                _ => "call for an identity token",
            };
            (Capability::SupplyAssertion, what)
        }
        IdentityTokenSource::Signer(_) => (Capability::Sign, "sign"),
        // Which of them a recipe needs shows on the way.
        IdentityTokenSource::Recipe(_) => return None,
    };
    Some(what).filter(|_| !can.contains(&needed))
}

/// The first task.
fn begin(source: &IdentityTokenSource, means: Means<'_>) -> Next {
    let task = match source {
        IdentityTokenSource::File(path) => Task::ReadFile(FileRequest {
            path: path.clone(),
            // More than may be exchanged, so that the error can say what is wrong.
            max_bytes: 4 * MAX_BYTES as u32,
            protection: FileProtection::Any,
        }),
        IdentityTokenSource::Variable(name) => Task::ReadVariable(name.clone()),
        IdentityTokenSource::Literal(value) => return Next::Token(value.clone()),
        IdentityTokenSource::Callable { name, audience, .. } => {
            Task::SupplyAssertion(AssertionRequest { name: name.clone(), audience: audience.clone() })
        }
        IdentityTokenSource::Signer(signer) => {
            let input = signing_input(signer, means.wall_ms, means.random);
            let request = SignRequest { key: signer.key.clone(), algorithm: signer.algorithm.clone(), input: input.clone() };
            return Next::Ask(Asked::Signature(input), Task::Sign(request));
        }
        IdentityTokenSource::Recipe(source) if RECIPES => return recipe::begin(source, means),
        IdentityTokenSource::Recipe(_) => return Next::Failed { outcome: Outcome::Unsupported, at: None },
    };
    Next::Ask(Asked::Whole, task)
}

/// What follows from the answer to the task that was out.
fn go_on(asked: Asked, outcome: Outcome, source: &IdentityTokenSource, means: Means<'_>) -> Next {
    match (asked, outcome) {
        (Asked::Step(run), outcome) => match source.recipe() {
            Some(recipe) if RECIPES => recipe::answered(run, recipe, outcome, means),
            _ => Next::Failed { outcome: Outcome::Lost, at: None },
        },
        (Asked::Platform(detection), outcome) => match source {
            IdentityTokenSource::Recipe(source) if RECIPES => recipe::told_of_platform(detection, &outcome, source, means),
            _ => Next::Failed { outcome: Outcome::Lost, at: None },
        },
        (Asked::Whole, Outcome::Content(token)) => Next::Token(token),
        (Asked::Signature(input), Outcome::Content(signature)) => {
            Next::Token(Secret::from(format!("{input}.{}", signature.reveal().trim())))
        }
        (_, outcome) => Next::Failed { outcome, at: None },
    }
}

/// The header and claims of a self-issued identity token, each with a `jti` of its own.
fn signing_input(signer: &Signer, wall_ms: u64, random: &mut Random) -> String {
    let issued_at = wall_ms / 1000;
    let jti = format!("{:016x}{:016x}", random.next(), random.next() ^ wall_ms);
    let text = |value: &str| Some(Value::from(value));
    let header = object([("alg", text(&signer.algorithm)), ("kid", text(&signer.key_id)), ("typ", text("JWT"))]);
    let claims = object([
        ("iss", text(&signer.issuer)),
        ("sub", text(&signer.subject)),
        ("aud", text(&signer.audience)),
        ("iat", Some(issued_at.into())),
        ("exp", Some((issued_at + u64::from(signer.lifetime_s)).into())),
        ("jti", text(&jti)),
    ]);
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

impl Session {
    /// Asks the source for the identity token.
    pub(super) fn read_source(&mut self) {
        let Plan::Federation(federation) = &self.plan else { return };
        let source = &federation.identity_token;
        let next = if missing(source, &self.can).is_some() {
            // Discovery found it; a configuration with it would have been refused.
            Next::Failed { outcome: Outcome::Unsupported, at: None }
        } else {
            begin(source, Means { can: &self.can, wall_ms: self.time.wall_ms(), random: &mut self.random })
        };
        self.go_on_with_source(next);
    }

    /// The task of the source that was out is over.
    pub(super) fn source_answered(&mut self, outcome: Outcome) {
        let Work::Reading(asked) = self.attempt.stop() else { return };
        let Plan::Federation(federation) = &self.plan else { return };
        let means = Means { can: &self.can, wall_ms: self.time.wall_ms(), random: &mut self.random };
        let next = go_on(asked, outcome, &federation.identity_token, means);
        self.go_on_with_source(next);
    }

    fn go_on_with_source(&mut self, next: Next) {
        self.attempt.stop();
        match next {
            Next::Ask(asked, task) => {
                self.attempt.begin(Work::Reading(asked));
                self.emit(Role::Read, task);
            }
            Next::Token(token) => self.take_identity_token(token),
            Next::Failed { outcome, at } => self.source_has_none(outcome, at),
            Next::Told(told) => {
                let mut message = told.message;
                if let Some(detail) = &told.detail {
                    message.push_str(" It says: ");
                    message.push_str(&scrub(detail, &self.secrets()));
                }
                self.source_failed_with(told.code, message, &told.action, told.status);
            }
            Next::Chosen { recipe, why, run } if RECIPES => self.run_on(*recipe, &why, run),
            Next::Chosen { .. } => {}
        }
    }

    /// The platform was recognised, and stays what it is.
    fn run_on(&mut self, recipe: Recipe, why: &str, run: Box<Run>) {
        let message = format!("Identity tokens come from {}, for {why} is set.", recipe.title);
        self.out.note(NoteCode::Configured, NoteLevel::Info, &message, vec![field("identity_token", &recipe.name)]);
        let means = Means { can: &self.can, wall_ms: self.time.wall_ms(), random: &mut self.random };
        let next = recipe::run(run, &recipe, means);
        if let Plan::Federation(federation) = &mut self.plan
            && let IdentityTokenSource::Recipe(source) = &mut federation.identity_token
        {
            source.platform = Platform::Is(Box::new(recipe));
        }
        self.go_on_with_source(next);
    }

    fn source_has_none(&mut self, outcome: Outcome, at: Option<String>) {
        let Some(federation) = self.federation() else { return };
        let named = matches!(federation.identity_token, IdentityTokenSource::Recipe(_));
        let mut source = federation.identity_token.describe();
        if let Some(at) = &at {
            source = format!("{source}, at {at}");
        }
        let (code, what, why, action) = match &outcome {
            Outcome::Unsent(why) => (
                FailureCode::IdentityTokenUnreadable,
                "cannot be reached",
                Some(why),
                "Check the network, and that this workload runs on the platform that the configuration names.",
            ),
            Outcome::MaybeSent(why) => (
                FailureCode::IdentityTokenUnreadable,
                "did not answer in full",
                Some(why),
                "Nothing needs to be done: it is asked again.",
            ),
            Outcome::Absent => (
                FailureCode::IdentityTokenMissing,
                "does not exist",
                None,
                "Check that it is mounted, set or issued for this workload.",
            ),
            // Nothing but the host's own policy refuses these.
            Outcome::Denied(why) if named || self.asks_the_program() => (
                FailureCode::DeniedByHost,
                "is refused by the host",
                Some(why),
                "Allow it in the host's policy, or choose another source.",
            ),
            Outcome::Denied(why) => (
                FailureCode::IdentityTokenUnreadable,
                "may not be read",
                Some(why),
                "Mend its permissions, or the host's policy.",
            ),
            Outcome::Failed(why) => (
                FailureCode::IdentityTokenUnreadable,
                "cannot be read",
                Some(why),
                "It must be a regular file, or a callable that does not fail.",
            ),
            Outcome::Unsupported => {
                (FailureCode::UnsupportedByHost, "cannot be asked by this host", None, "Choose a source that this host offers.")
            }
            _ => (FailureCode::IdentityTokenUnreadable, "did not answer", None, "Nothing needs to be done: it is asked again."),
        };
        let mut message = format!("The source of the identity token, {source}, {what}");
        self.explain(&mut message, why, &[]);
        self.source_failed(code, message, action);
    }

    /// Whether the source is a callable or a key of the embedding program.
    fn asks_the_program(&self) -> bool {
        self.federation().is_some_and(|federation| {
            matches!(federation.identity_token, IdentityTokenSource::Callable { .. } | IdentityTokenSource::Signer(_))
        })
    }

    /// The source gives nothing that can be exchanged: it is asked again later.
    pub(super) fn source_failed(&mut self, code: FailureCode, message: String, action: &str) {
        self.source_failed_with(code, message, action, None);
    }

    fn source_failed_with(&mut self, code: FailureCode, message: String, action: &str, status: Option<u16>) {
        self.assume();
        let shared = self.federation().is_some_and(|federation| federation.identity_token.shared());
        if shared {
            self.attempt.look_at(self.time.now() + self.poll_ms());
        } else {
            let floor = self.attempt.pace().retry_at;
            self.attempt.pause(Pause::Transient, self.time.now(), &mut self.random);
            self.attempt.look_at(self.attempt.pace().retry_at.max(floor));
        }
        if !self.attempt.failed_with(code) {
            self.out.note(NoteCode::IdentityTokenUnusable, NoteLevel::Warning, &message, Vec::new());
        }
        let mut trouble = Trouble::new(code, message, action, Some(self.attempt.pace().look_at));
        trouble.failure.status = status;
        self.attempt.fail(trouble);
    }
}
