//! The types of `wit/types.wit`, one for one: a record is a struct, a variant and an enum are enums, and names are the same in
//! Rust's case. What these documents call *Secret* is a [`Secret`] here.

use serde::{Deserialize, Serialize};

use crate::Secret;

// ---- time and start ---------------------------------------------------------------------------------------------

/// What time it is, as the host sees it. Given with every step; a session has no other source of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Clock {
    /// Milliseconds since 1970-01-01T00:00:00Z. May jump either way. Compared with the times inside identity tokens,
    /// and used to measure elapsed time only where `steady-ms` is absent.
    pub wall_ms: u64,
    /// Milliseconds on a clock that never goes back and counts while the machine sleeps (CLOCK_BOOTTIME on Linux).
    /// Absent where there is none (Workers, proxy-wasm). Either every step of a session has it or none. A host whose
    /// monotonic clock stops in suspend adds what the wall clock is ahead of it, from a second on.
    #[serde(default)]
    pub steady_ms: Option<u64>,
}

/// What a session begins from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Nothing came before: the first start of this workload.
    Fresh,
    /// *Secret.* The newest journal of an earlier session with the same or another configuration.
    Resumed(Secret),
    /// An earlier session ran and its journal is lost. An identity token that is shared between reads may already
    /// have been exchanged, so the first one seen counts as uncertain.
    Lost,
}

/// What a host can do. A session never asks for a task whose capability was not given to `open`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Answers `read-file`.
    ReadFile,
    /// Answers `read-variable`.
    ReadVariable,
    /// Answers `supply-assertion`.
    SupplyAssertion,
    /// Answers `supply-token`.
    SupplyToken,
    /// Answers `sign`.
    Sign,
    /// Answers `load-entry` and `swap-entry` from a store whose swap is atomic. Sessions that share it act as one.
    Store,
    /// Answers `load-entry` and `swap-entry` from a store that cannot compare (a cache): a swap always succeeds. It
    /// saves exchanges, but is refused for identity tokens that are shared and can be exchanged once.
    Cache,
    /// The owner of a task may vanish without a word (a Worker's request, a proxy's VM). Such a host reports
    /// `still-running` at least every second; a task of which nothing is heard for five seconds counts as lost.
    OwnersVanish,
}

/// An HTTP header field (RFC 9110 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Header {
    /// The field name, in lower case.
    pub name: String,
    /// *Secret* in requests and in `usable.set`. The field value: visible ASCII, spaces and tabs.
    pub value: Secret,
}

// ---- events -----------------------------------------------------------------------------------------------------

/// What happened. One event per step.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The first call, a timer, a tick. Late or spurious is fine.
    Woken,
    /// A caller has no token, or the one it was served is past `refresh-in-ms`. Hosts coalesce these: one step is
    /// enough however many callers there are. Does all that a missed `woken` would have done.
    Needed,
    /// A task ended.
    Finished(TaskResult),
    /// The owner of the task with this number is alive and at work. Only where owners can vanish.
    StillRunning(u32),
    /// The API answered 401 to a request that carried the token with this id, from the token's own origin. Any
    /// other id than the current token's, or of the last one of unknown life that was passed on, does nothing.
    Rejected(String),
    /// A hint: a file, the store or the network may have changed. A store is looked at again at once. So is a shared
    /// source while a token is wanted, but not within five seconds of the last request to the endpoint. A pause is
    /// cut short only when the identity token really is another one.
    Changed,
    /// Start nothing new. Running tasks are abandoned, and no later result is taken. The token stays usable until it
    /// expires.
    Closing,
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TaskResult {
    /// The number that the task was given. An unknown number is ignored.
    pub number: u32,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a task. Beside each case stand the tasks that it may answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// *Secret.* `send-request`: the complete answer, whatever its status.
    Response(Response),
    /// *Secret.* `read-file`, `read-variable`, `supply-assertion`: the content. `sign`: the signature in base64url
    /// without padding. Bytes that are not UTF-8 are replaced by U+FFFD.
    Content(Secret),
    /// *Secret.* `supply-token`: the token.
    Token(SuppliedToken),
    /// *Secret.* `load-entry`: the entry and its version.
    Entry(Entry),
    /// `swap-entry`: done; the entry's new version.
    Swapped(String),
    /// *Secret.* `swap-entry`: refused, for the entry is another one: the one that is there, or none.
    Conflict(Option<Entry>),
    /// `read-file`, `read-variable`, `load-entry`: there is none.
    Absent,
    /// Any: the host's policy or the system's permissions refuse it. The text names the rule, for people.
    Denied(String),
    /// Any: this host cannot do it at all.
    Unsupported,
    /// `send-request`: no byte of the request left (refused connection, failed handshake or name lookup). The text is for
    /// people.
    Unsent(String),
    /// `send-request`: bytes left and no complete answer came (time-out, reset, answer over the size limit).
    MaybeSent(String),
    /// Any: it failed for another reason (a directory in place of a file, an exception in a callable). The text is for
    /// people and must hold no secret; it is cut after 200 characters.
    Failed(String),
    /// `send-request`, `swap-entry`: not begun, for the journal of the same output could not be kept. The text says why, for
    /// people.
    Unkept(String),
    /// Any: the owner of the task is gone and nothing is known. A request counts as perhaps sent.
    Lost,
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields; at least `request-id`, `retry-after` and `date` where present.
    pub headers: Vec<Header>,
    /// *Secret.* The whole body.
    pub body: Secret,
}

/// An access token that the embedding program supplied.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SuppliedToken {
    /// *Secret.* The token.
    pub value: Secret,
    /// When it expires, Unix time. Without it the token's own `exp` is taken where it is a JWT; with neither the
    /// token serves the callers that were waiting for it, and the next caller asks again.
    #[serde(default)]
    pub expires_at_ms: Option<u64>,
}

/// A value in a store, with the version that a later swap compares.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Entry {
    /// Changes with every write; compared for equality only.
    pub version: String,
    /// *Secret.* What a session wrote, opaque to hosts.
    pub value: Secret,
}

// ---- tasks ------------------------------------------------------------------------------------------------------

/// Work for the host. Whoever receives a task owns it and answers with `finished`, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Send this request. The host checks origin, method, size and time, and follows no redirect.
    SendRequest(HttpRequest),
    /// Read this file, anew from its path (symbolic links may have been swapped), as one consistent whole.
    ReadFile(FileRequest),
    /// Read the environment variable of this name.
    ReadVariable(String),
    /// Call the embedding program's callable for an identity token.
    SupplyAssertion(AssertionRequest),
    /// Call the embedding program's callable for an access token.
    SupplyToken(TokenRequest),
    /// Sign with a key that stays with the host.
    Sign(SignRequest),
    /// Load the entry under this key. A key that is `file:` and a path is the credentials file of a login: a host that keeps
    /// such files answers from it, without any store, if nobody else can read it; any other host answers `absent` or
    /// `unsupported`.
    LoadEntry(String),
    /// Replace an entry if it still is the expected one.
    SwapEntry(Swap),
}

/// A task with the number under which it is answered. Numbers are never used twice in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberedTask {
    /// The number.
    pub number: u32,
    /// The task.
    pub task: Task,
}

/// What a request is for. The host's policy grants by it, and grants no more than the purpose needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The exchange of an identity token: the request of `authority.json`, to the token endpoint.
    Exchange,
    /// The refresh of a person's login (RFC 6749 section 6): likewise.
    Refresh,
    /// A step on the way to an identity token, for the source of this name. The host refuses it unless its policy allows
    /// the source by name.
    Source(String),
}

/// A request to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// What it is for.
    pub purpose: Purpose,
    /// The method, in upper case. `POST` for an exchange and a refresh.
    pub method: String,
    /// The absolute URL.
    pub url: String,
    /// The scheme, host and port of `url`, for a comparison with the host's own list.
    pub origin: String,
    /// The header fields to send. The host adds what the transport needs and nothing else.
    pub headers: Vec<Header>,
    /// *Secret.* The body; empty where there is none.
    pub body: Secret,
    /// The whole request, from connecting to the last byte, may take this long.
    pub timeout_ms: u32,
    /// A longer answer is `maybe-sent`.
    pub max_response_bytes: u32,
}

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileRequest {
    /// The path as configured. Never derived from a request's data.
    pub path: String,
    /// A longer file is `failed`.
    pub max_bytes: u32,
    /// Who may be able to write the file.
    pub protection: FileProtection,
}

/// What a host checks on an opened file before it reads it, where the system has such permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileProtection {
    /// Nothing: mounted token files have their own rules.
    Any,
    /// Neither its group nor others may write it; otherwise `denied`.
    UnwritableByOthers,
}

/// A call of the embedding program for an identity token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AssertionRequest {
    /// Which callable, as named in the configuration.
    pub name: String,
    /// The audience that the identity token must carry.
    pub audience: String,
}

/// A call of the embedding program for an access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TokenRequest {
    /// Which callable, as named in the configuration.
    pub name: String,
    /// The id of the token that the API rejected, where that is why a new one is wanted: answer from no cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
}

/// A signature to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignRequest {
    /// Which key, as named in the configuration.
    pub key: String,
    /// The JWS algorithm (RFC 7518 section 3.1), such as `ES256`.
    pub algorithm: String,
    /// The JWS signing input: ASCII.
    pub input: String,
}

/// A compare-and-swap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// The key.
    pub key: String,
    /// The version that must be there; without it there must be no entry.
    pub expected: Option<String>,
    /// *Secret.* The new value.
    pub value: Secret,
}

// ---- what callers may do ----------------------------------------------------------------------------------------

/// What callers may do until the next output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// There is a token: serve it within its times.
    Usable(Usable),
    /// There is none yet and work is under way: wait, up to the caller's own deadline.
    Pending(PendingReason),
    /// There is none, and waiting would not help: answer at once.
    Failed(Failure),
    /// There is none and nothing is under way: say `needed`.
    Idle,
    /// The session is closing and has none.
    Closed,
}

/// A token and how long it serves.
///
/// Before `hold-in-ms` serve it (past `refresh-in-ms` also say `needed`, without waiting). Between `hold-in-ms` and
/// `unusable-in-ms`, while `output.progress` is `underway`, a caller holds: it waits until an output says `resting` or shows another
/// token, for at most `output.wait-at-most-ms` in all, and is then served. From `unusable-in-ms` on do not serve it. A missing time
/// never comes. With an `unusable-in-ms` of zero it serves exactly the callers that were already waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usable {
    /// The first 16 hexadecimal digits of SHA-256 of the token. Compared for equality, and safe to log.
    pub id: String,
    /// The only origin that these headers may go to.
    pub origin: String,
    /// *Secret.* Headers to set, replacing every value that is there.
    pub set: Vec<Header>,
    /// Headers whose comma-separated values are added where not yet present.
    pub merge: Vec<Header>,
    /// From here on a `needed` does something.
    pub refresh_in_ms: Option<u64>,
    /// From here on callers wait for a running exchange.
    pub hold_in_ms: Option<u64>,
    /// From here on it is not served.
    pub unusable_in_ms: Option<u64>,
    /// Whether the API has rejected it.
    pub standing: Standing,
}

/// What is known about a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Nothing against it.
    Good,
    /// The API answered 401 to it. Served on where no exchange can run, so that the API's own answer reaches the caller.
    Suspect,
}

/// What callers are waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PendingReason {
    /// Variables and profiles are being read.
    Discovering,
    /// The source of the identity token has been asked.
    ReadingIdentityToken,
    /// The store has been asked.
    ReadingStore,
    /// Another session has the lease and is exchanging.
    WaitingForLease,
    /// The token endpoint has been asked.
    Exchanging,
    /// The embedding program has been asked for the access token.
    AskingForToken,
}

/// Why there is no token, for a program (`code`) and for a person (`message`, `action`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// The situation.
    pub code: FailureCode,
    /// What happened, in one or two sentences. Names the field, path or variable. Do not parse it.
    pub message: String,
    /// What the reader should do.
    pub action: String,
    /// When the session will try again by itself: a caller that comes back then finds what came of it. While the rotation of
    /// an identity token is awaited, the next look at its source is all that can be tried. `wake-in-ms` may be sooner: a
    /// shared source is looked at during a pause, too, and another identity token ends the pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    /// When the source of the identity token is expected to have another one, where that is what is awaited. Callers are
    /// not told to wait that long: the source may be faster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_in_ms: Option<u64>,
    /// The HTTP status of the token endpoint, if it answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The `request-id` of that answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The situations without a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureCode {
    /// No credential is configured, or what is configured is incomplete or contradictory. Mend the configuration.
    Configuration,
    /// The source of the identity token has none: a missing file, an unset variable. Check the mount or the job.
    IdentityTokenMissing,
    /// The source cannot be read: permissions, a directory, a failing callable.
    IdentityTokenUnreadable,
    /// What the source gave is no JWT that could be exchanged. Check what the path or variable points at.
    IdentityTokenMalformed,
    /// It has expired by this machine's clock. Check the source's rotation and the clock.
    IdentityTokenExpired,
    /// It is not valid yet by this machine's clock. Check the clock.
    IdentityTokenNotYetValid,
    /// It can be exchanged once and has been. Waiting for the source to rotate it.
    IdentityTokenSpent,
    /// The endpoint answered 401 and does not say why. Look at its authentication history, by request id.
    Refused,
    /// The endpoint answered 400 or another 4xx: it does not accept what the configuration says.
    RequestInvalid,
    /// The endpoint answered 403.
    Forbidden,
    /// The endpoint answered 429.
    RateLimited,
    /// The endpoint answered 408, 425 or 5xx.
    EndpointFailed,
    /// The endpoint could not be reached, or its answer did not arrive.
    EndpointUnreachable,
    /// The endpoint answered 200 with something that is no token, or redirected.
    AnswerUnusable,
    /// The embedding program's callable for the access token failed or gave something unusable.
    TokenSourceFailed,
    /// The store failed, or it is a cache and the identity token needs a real one.
    StoreFailed,
    /// The host's policy refuses what the configuration asks for. Change one of them.
    DeniedByHost,
    /// The host cannot do what the configuration asks for.
    UnsupportedByHost,
}

/// The answer to one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// What callers may do.
    pub access: Access,
    /// Whether work that may bring a token is under way.
    pub progress: Progress,
    /// How long a caller waits for it in the mandatory window.
    pub wait_at_most_ms: u32,
    /// Work to start, in this order.
    pub tasks: Vec<NumberedTask>,
    /// Tasks whose result is no longer awaited: they may be stopped, and need not be. Of late results a successful exchange is
    /// still taken, for its identity token is spent, and no other late result is.
    pub abandon: Vec<u32>,
    /// Step again with `woken` after this time, unless another event comes first. Without it there is nothing to wait
    /// for.
    pub wake_in_ms: Option<u32>,
    /// *Secret.* The state to open from after a trap, a restart, a reload. Opaque. Present when it has changed; keep the
    /// newest, before any task of the same output starts.
    pub journal: Option<Secret>,
    /// What changed, for logs and metrics. Never a secret.
    pub notes: Vec<Note>,
}

/// Whether work that may bring a token is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Nothing is under way.
    Resting,
    /// Something is: a source, the store, another session or the endpoint has been asked.
    Underway,
}

// ---- notes and status -------------------------------------------------------------------------------------------

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Note {
    /// What kind of change. The same names in logs and metrics of every host.
    pub code: NoteCode,
    /// How loud.
    pub level: NoteLevel,
    /// One sentence for people.
    pub message: String,
    /// Details, by name: bounded in number, and safe to log.
    pub fields: Vec<Field>,
}

/// How loud a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteLevel {
    /// The course of things.
    Info,
    /// Somebody should look at it, though it works.
    Warning,
    /// It does not work.
    Error,
}

/// A named detail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Field {
    /// The name, in kebab-case.
    pub name: String,
    /// The value.
    pub value: String,
}

/// The kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoteCode {
    /// The configuration is complete: which credential, from where.
    Configured,
    /// The configuration cannot be completed.
    ConfigurationFailed,
    /// A variable or another credential is set and not used.
    SourceIgnored,
    /// The state of an earlier session was taken over.
    Resumed,
    /// A journal or an entry could not be read and was ignored.
    StateIgnored,
    /// The source shows another identity token than before.
    IdentityTokenRotated,
    /// What the source gave cannot be used.
    IdentityTokenUnusable,
    /// The identity token is spent: waiting for another.
    WaitingForRotation,
    /// A request to the token endpoint was started.
    ExchangeStarted,
    /// It brought a token.
    ExchangeSucceeded,
    /// It did not.
    ExchangeFailed,
    /// A token was taken over from the store.
    TokenAdopted,
    /// The embedding program supplied a token.
    TokenSupplied,
    /// The API rejected the current token.
    TokenRejected,
    /// Two tokens in a row were rejected: no exchange is forced for a while.
    ForcedExchangesStopped,
    /// The token may no longer be served.
    TokenUnusable,
    /// The lease on the exchange was taken.
    LeaseTaken,
    /// A lease was taken over from a session of which nothing was heard.
    LeaseTakenOver,
    /// A task ended without a result.
    TaskLost,
    /// Lifetimes that cannot work together.
    LifetimesConflict,
    /// The endpoint's clock and this machine's differ.
    ClockSkewed,
    /// The endpoint's answer was accepted and is unusual.
    AnswerUnusual,
    /// The session is closing.
    Closing,
}

impl NoteCode {
    /// All of them, for hosts that define their metrics beforehand.
    pub const ALL: [Self; 23] = [
        Self::Configured,
        Self::ConfigurationFailed,
        Self::SourceIgnored,
        Self::Resumed,
        Self::StateIgnored,
        Self::IdentityTokenRotated,
        Self::IdentityTokenUnusable,
        Self::WaitingForRotation,
        Self::ExchangeStarted,
        Self::ExchangeSucceeded,
        Self::ExchangeFailed,
        Self::TokenAdopted,
        Self::TokenSupplied,
        Self::TokenRejected,
        Self::ForcedExchangesStopped,
        Self::TokenUnusable,
        Self::LeaseTaken,
        Self::LeaseTakenOver,
        Self::TaskLost,
        Self::LifetimesConflict,
        Self::ClockSkewed,
        Self::AnswerUnusual,
        Self::Closing,
    ];
}

/// A session at a glance, for people and for monitoring. Never a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Where it stands.
    pub state: State,
    /// One sentence about it.
    pub summary: String,
    /// The configuration as it is in force, by field name, secrets left out.
    pub configuration: Vec<Field>,
    /// The current token, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenStatus>,
    /// The identity token seen last, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_token: Option<IdentityTokenStatus>,
    /// What happens next, in words.
    pub next: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_in_ms: Option<u64>,
    /// The last failure, until a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Lifetimes that cannot work together, and the like: each a sentence.
    pub warnings: Vec<String>,
    /// Requests to the token endpoint since the session was opened.
    pub exchanges_started: u32,
    /// Those that brought a token.
    pub exchanges_succeeded: u32,
    /// The endpoint's clock minus this machine's, as last measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_skew_ms: Option<i64>,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Looking for the configuration.
    Discovering,
    /// No token, nothing under way.
    Idle,
    /// No token, work under way.
    Starting,
    /// A token, nothing to do.
    Serving,
    /// A token, and a refresh under way.
    Refreshing,
    /// A token, and the refresh waits after a failure.
    Retrying,
    /// Waiting for the source to rotate the identity token, with or without an access token.
    WaitingForRotation,
    /// No token after a failure.
    Failed,
    /// Closing.
    Closed,
}

/// The current access token without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TokenStatus {
    /// Its id.
    pub id: String,
    /// Its origin.
    pub origin: String,
    /// Whether the API has rejected it.
    pub standing: Standing,
    /// The lifetime it was issued with; absent if it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime_ms: Option<u64>,
    /// When a refresh is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_in_ms: Option<u64>,
    /// When it is no longer served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unusable_in_ms: Option<u64>,
}

/// An identity token without its value: what its claims say, unverified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct IdentityTokenStatus {
    /// The first 16 hexadecimal digits of SHA-256 of it.
    pub id: String,
    /// Claim `iss`.
    pub issuer: String,
    /// Claim `sub`.
    pub subject: String,
    /// Claim `aud`, joined by commas.
    pub audience: String,
    /// Until claim `exp` by the wall clock; absent when past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// Whether it can be exchanged.
    pub disposition: Disposition,
}

/// Whether an identity token can be exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// It was not sent, or refused without being consumed.
    Unspent,
    /// It was sent and the outcome is unknown.
    Uncertain,
    /// It was exchanged, and cannot be again.
    Spent,
    /// It can be exchanged any number of times.
    Reusable,
}

pub use wif_document::ConfigurationError;
