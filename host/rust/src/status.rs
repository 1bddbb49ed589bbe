//! What a credential tells about itself: its status, its failures, its notes. Never a secret.

use std::fmt;
use std::time::Duration;

use crate::bindings::types;
use crate::limits::TEXT_BYTES;
use crate::vocabulary::{Disposition, FailureCode, NoteCode, NoteLevel, PendingReason, Standing, State};

/// Why there is no token: for a program the code, for a person the message and the action.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The situation.
    pub code: FailureCode,
    /// What happened, in one or two sentences. Names the field, path or variable. Do not parse it.
    pub message: String,
    /// What the reader should do.
    pub action: String,
    /// When the credential looks or tries again by itself, counted from the moment it failed. A proxy's `Retry-After`.
    pub retry_in: Option<Duration>,
    /// When the source of the identity token is expected to have another one, where that is what is awaited, counted from the
    /// moment it failed.
    pub rotation_in: Option<Duration>,
    /// The HTTP status of the token endpoint, if it answered.
    pub status: Option<u16>,
    /// The `request-id` of that answer.
    pub request_id: Option<String>,
}

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Note {
    /// What kind of change.
    pub code: NoteCode,
    /// How loud.
    pub level: NoteLevel,
    /// One sentence for people.
    pub message: String,
    /// Details, by name.
    pub fields: Vec<(String, String)>,
}

/// A step that changed something: what callers may do from there on, and what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// What callers may do now.
    pub availability: Availability,
    /// What happened.
    pub notes: Vec<Note>,
}

/// What callers may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// There is a token.
    Usable {
        /// Its id.
        id: String,
        /// Whether the API has rejected it.
        standing: Standing,
    },
    /// There is none yet: callers wait.
    Pending(PendingReason),
    /// There is none: callers are answered with this.
    Failed(Failure),
    /// There is none, and nobody has asked for one.
    Idle,
    /// The credential is closed.
    Closed,
}

/// A credential at a glance, for people and for monitoring. Durations count from the moment of the question.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// One sentence about it.
    pub summary: String,
    /// The configuration in force, by field name, secrets left out.
    pub configuration: Vec<(String, String)>,
    /// The current token, if any.
    pub token: Option<TokenStatus>,
    /// The identity token seen last, if any.
    pub identity_token: Option<IdentityTokenStatus>,
    /// What happens next, in words.
    pub next: String,
    /// When.
    pub next_in: Option<Duration>,
    /// The last failure, until a success.
    pub failure: Option<Failure>,
    /// Lifetimes that cannot work together, and the like: each a sentence.
    pub warnings: Vec<String>,
    /// Requests to the token endpoint since the session was opened.
    pub exchanges_started: u32,
    /// Those that brought a token.
    pub exchanges_succeeded: u32,
    /// The endpoint's clock minus this machine's in milliseconds, as last measured.
    pub clock_skew_ms: Option<i64>,
}

/// The current access token without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenStatus {
    /// Its id.
    pub id: String,
    /// Its origin.
    pub origin: String,
    /// Whether the API has rejected it.
    pub standing: Standing,
    /// The lifetime it was issued with; none if it does not expire.
    pub lifetime: Option<Duration>,
    /// When a refresh is due.
    pub refresh_in: Option<Duration>,
    /// When it is no longer served.
    pub unusable_in: Option<Duration>,
}

/// An identity token without its value: what its claims say, unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IdentityTokenStatus {
    /// The first 16 hexadecimal digits of SHA-256 of it.
    pub id: String,
    /// Claim `iss`.
    pub issuer: String,
    /// Claim `sub`.
    pub subject: String,
    /// Claim `aud`, joined by commas.
    pub audience: String,
    /// Until claim `exp` by the wall clock; none when past.
    pub expires_in: Option<Duration>,
    /// Whether it can be exchanged.
    pub disposition: Disposition,
}

impl Failure {
    /// A failure of the host's own making.
    pub(crate) fn component_stopped(message: String, retry_in: Option<Duration>) -> Self {
        Self {
            code: FailureCode::ComponentStopped,
            message: shown(message),
            action: "Nothing at once: it is started again. If it happens again, report it with the log of target `wif`."
                .to_owned(),
            retry_in,
            rotation_in: None,
            status: None,
            request_id: None,
        }
    }
}

impl Failure {
    /// The policy does not allow the origin that the token is for.
    pub(crate) fn origin_denied(rule: String) -> Self {
        Self {
            code: FailureCode::DeniedByHost,
            message: shown(format!("The token's origin is refused: {rule}.")),
            action: "Allow the origin, or configure another base URL.".to_owned(),
            retry_in: None,
            rotation_in: None,
            status: None,
            request_id: None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}) {}", self.message, self.code, self.action)
    }
}

fn duration(ms: Option<u64>) -> Option<Duration> {
    ms.map(Duration::from_millis)
}

/// A text of the component, for people. What servers and files say may be in it: it must not write lines of a log, nor move a
/// terminal's cursor, nor fill a screen. Every text that is told passes here.
pub(crate) fn shown(text: String) -> String {
    if text.len() <= TEXT_BYTES && !text.contains(wif_rules::is_unshown) {
        return text;
    }
    let cut = text.floor_char_boundary(TEXT_BYTES);
    text[..cut].replace(wif_rules::is_unshown, " ")
}

fn fields(fields: Vec<types::Field>) -> Vec<(String, String)> {
    fields.into_iter().map(|field| (shown(field.name), shown(field.value))).collect()
}

impl From<types::Failure> for Failure {
    fn from(failure: types::Failure) -> Self {
        Self {
            code: failure.code.into(),
            message: shown(failure.message),
            action: shown(failure.action),
            retry_in: duration(failure.retry_in_ms),
            rotation_in: duration(failure.rotation_in_ms),
            status: failure.status,
            request_id: failure.request_id.map(shown),
        }
    }
}

impl From<types::Note> for Note {
    fn from(note: types::Note) -> Self {
        Self { code: note.code.into(), level: note.level.into(), message: shown(note.message), fields: fields(note.fields) }
    }
}

impl From<types::Status> for Status {
    fn from(status: types::Status) -> Self {
        Self {
            state: status.state.into(),
            summary: shown(status.summary),
            configuration: fields(status.configuration),
            token: status.token.map(Into::into),
            identity_token: status.identity_token.map(Into::into),
            next: shown(status.next),
            next_in: duration(status.next_in_ms),
            failure: status.failure.map(Into::into),
            warnings: status.warnings.into_iter().map(shown).collect(),
            exchanges_started: status.exchanges_started,
            exchanges_succeeded: status.exchanges_succeeded,
            clock_skew_ms: status.clock_skew_ms,
        }
    }
}

impl From<types::TokenStatus> for TokenStatus {
    fn from(token: types::TokenStatus) -> Self {
        Self {
            id: shown(token.id),
            origin: shown(token.origin),
            standing: token.standing.into(),
            lifetime: duration(token.lifetime_ms),
            refresh_in: duration(token.refresh_in_ms),
            unusable_in: duration(token.unusable_in_ms),
        }
    }
}

impl From<types::IdentityTokenStatus> for IdentityTokenStatus {
    fn from(token: types::IdentityTokenStatus) -> Self {
        Self {
            id: shown(token.id),
            issuer: shown(token.issuer),
            subject: shown(token.subject),
            audience: shown(token.audience),
            expires_in: duration(token.expires_in_ms),
            disposition: token.disposition.into(),
        }
    }
}
