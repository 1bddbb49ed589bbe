//! The source of identity tokens: what a host must be able to do for it, what it is asked, how its answers become an identity
//! token, and what it means if they do not.
//!
//! A further source is a case of [`IdentityTokenSource`] and a line in [`missing`] and [`begin`]. One that takes several tasks,
//! one after another, keeps how far it has come in a case of [`Asked`], which [`go_on`] takes further.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::exchange::Work;
use super::tasks::Role;
use super::{Plan, Session};
use crate::Secret;
use crate::configuration::{IdentityTokenSource, Signer};
use crate::contract::{
    AssertionRequest, Capability, FailureCode, FileProtection, FileRequest, NoteCode, NoteLevel, Outcome, SignRequest, Task,
};
use crate::identity_token::MAX_BYTES;
use crate::json::object;
use crate::schedule::Random;

/// What the task that is out was asked for.
#[derive(Debug)]
pub(super) enum Asked {
    /// The identity token.
    Whole,
    /// The signature of this, the header and claims of an identity token.
    Signature(String),
}

/// What comes next.
enum Next {
    /// The host is asked.
    Ask(Asked, Task),
    /// The identity token is there.
    Token(Secret),
    /// The source has none; what the host said instead.
    Failed(Outcome),
}

/// What a host that can do this and no more does not do for a source; nothing, if it does all that is needed.
pub(super) fn missing(source: &IdentityTokenSource, can: &[Capability]) -> Option<&'static str> {
    let (needed, what) = match source {
        IdentityTokenSource::File(_) => (Capability::ReadFile, "read files"),
        IdentityTokenSource::Variable(_) => (Capability::ReadVariable, "read variables"),
        IdentityTokenSource::Literal(_) => return None,
        IdentityTokenSource::Callable { .. } => (Capability::SupplyAssertion, "call for an identity token"),
        IdentityTokenSource::Signer(_) => (Capability::Sign, "sign"),
    };
    Some(what).filter(|_| !can.contains(&needed))
}

/// The first task.
fn begin(source: &IdentityTokenSource, wall_ms: u64, random: &mut Random) -> Next {
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
            let input = signing_input(signer, wall_ms, random);
            let request = SignRequest { key: signer.key.clone(), algorithm: signer.algorithm.clone(), input: input.clone() };
            return Next::Ask(Asked::Signature(input), Task::Sign(request));
        }
    };
    Next::Ask(Asked::Whole, task)
}

/// What follows from the answer to the task that was out.
fn go_on(asked: Asked, outcome: Outcome) -> Next {
    match (asked, outcome) {
        (Asked::Whole, Outcome::Content(token)) => Next::Token(token),
        (Asked::Signature(input), Outcome::Content(signature)) => {
            Next::Token(Secret::from(format!("{input}.{}", signature.reveal().trim())))
        }
        (_, outcome) => Next::Failed(outcome),
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
            Next::Failed(Outcome::Unsupported)
        } else {
            begin(source, self.wall_ms, &mut self.random)
        };
        self.go_on_with_source(next);
    }

    /// The task of the source that was out is over.
    pub(super) fn source_answered(&mut self, outcome: Outcome) {
        if let Work::Reading(asked) = core::mem::replace(&mut self.work, Work::Resting) {
            self.go_on_with_source(go_on(asked, outcome));
        }
    }

    fn go_on_with_source(&mut self, next: Next) {
        self.work = Work::Resting;
        match next {
            Next::Ask(asked, task) => {
                self.work = Work::Reading(asked);
                self.emit(Role::Read, task);
            }
            Next::Token(token) => self.take_identity_token(token),
            Next::Failed(outcome) => self.source_has_none(outcome),
        }
    }

    fn source_has_none(&mut self, outcome: Outcome) {
        let Some(federation) = self.federation() else { return };
        let source = federation.identity_token.describe();
        let (code, what, why, action) = match &outcome {
            Outcome::Absent => (
                FailureCode::IdentityTokenMissing,
                "does not exist",
                None,
                "Check that it is mounted, set or issued for this workload.",
            ),
            // Nothing but the host's own policy refuses these.
            Outcome::Denied(why) if self.asks_the_program() => (
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
                "Check what it is: a regular file, a callable that works.",
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
        self.assume();
        let shared = self.federation().is_some_and(|federation| federation.identity_token.shared());
        if shared {
            self.pace.look_at = self.now + self.poll_ms();
        } else {
            let floor = self.pace.retry_at;
            self.pace.transient(self.now, &mut self.random);
            self.pace.look_at = self.pace.retry_at.max(floor);
        }
        if self.failure.as_ref().is_none_or(|trouble| trouble.failure.code != code) {
            self.note(NoteCode::IdentityTokenUnusable, NoteLevel::Warning, &message, Vec::new());
        }
        let until = self.pace.look_at;
        self.fail(code, message, action, Some(until));
    }
}
