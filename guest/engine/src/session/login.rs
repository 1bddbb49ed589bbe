//! A person's login: looks at its credentials file, serves what is in it, and refreshes it when it is due.

use super::attempt::{Trouble, Work};
use super::outgoing::Role;
use super::{Plan, Session, field, only};
use crate::answer::{self, Grant, Pause, Verdict};
use crate::configuration::Bearer;
use crate::contract::{
    Entry, FailureCode, FileProtection, FileRequest, NoteCode, NoteLevel, Outcome, Response, Standing, Swap, Task,
};
use crate::held::Scheme;
use crate::login::{Brought, Credentials, LEASE_MS, Login, Stage};
use crate::timeline::Moment;
use crate::tokens::{From, Offer};
use crate::{LOGINS, Secret, id_of};

/// A token with less than this is replaced rather than begun with, where it can be. In milliseconds.
const SHORT_MS: u64 = 60_000;

/// How often the file is looked at while somebody else is to change it, in milliseconds.
const LOOK_MS: u64 = 5_000;

/// The same while another session refreshes.
const FOLLOW_MS: u64 = 500;

/// After so many conflicts in a row each is followed by a pause.
const MAX_CONFLICTS: u32 = 4;

const MAX_FILE_BYTES: u32 = 64 * 1024;

impl Session {
    fn login(&mut self) -> Option<&mut Login> {
        match &mut self.plan {
            // Where logins are left out, so is all that follows.
            Plan::Bearer(Bearer::Login(login)) if LOGINS => Some(login),
            _ => None,
        }
    }

    /// Looks at the credentials file.
    pub(super) fn look_at_login(&mut self) {
        let owner = format!("{:016x}", self.random.next());
        let Some(login) = self.login() else { return };
        if login.owner.is_empty() {
            login.owner = owner;
        }
        login.look = false;
        let key = login.key();
        self.ask(Stage::Loading, Task::LoadEntry(key));
    }

    fn ask(&mut self, stage: Stage, task: Task) {
        let Some(login) = self.login() else { return };
        login.stage = stage;
        self.attempt.begin(Work::Asking);
        self.emit(Role::Ask, task);
    }

    /// The task of the login that was out is over.
    pub(super) fn login_answered(&mut self, outcome: Outcome) {
        self.attempt.stop();
        let Some(login) = self.login() else { return };
        match core::mem::take(&mut login.stage) {
            Stage::Resting => {}
            Stage::Loading => self.login_loaded(outcome),
            Stage::Reading => match outcome {
                Outcome::Content(text) => self.read_login(text, None),
                other => self.no_login(&other),
            },
            Stage::Leasing(credentials) => self.login_leased(*credentials, outcome),
            Stage::Refreshing(credentials, sent) => {
                if matches!(outcome, Outcome::Lost)
                    && let Some(login) = self.login()
                {
                    login.given_up = Some((credentials.clone(), sent));
                }
                self.login_refreshed(*credentials, sent, outcome);
            }
            Stage::Writing => self.login_written(outcome),
            // Nothing is sent before its time; but somebody may log in again.
            Stage::Releasing => self.attempt.rest_until(self.attempt.retry_at().min(self.time.now() + LOOK_MS)),
        }
    }

    fn login_loaded(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Entry(entry) => self.take_login(entry),
            // A store of another kind knows nothing of files, and neither does a host without any.
            Outcome::Absent | Outcome::Unsupported => {
                let Some(login) = self.login() else { return };
                let path = login.path.clone();
                let protection = FileProtection::UnwritableByOthers;
                self.ask(Stage::Reading, Task::ReadFile(FileRequest { path, max_bytes: MAX_FILE_BYTES, protection }));
            }
            other => self.no_login(&other),
        }
    }

    fn no_login(&mut self, outcome: &Outcome) {
        let Some(login) = self.login() else { return };
        let path = login.path.clone();
        let (mut message, why, action) = match outcome {
            Outcome::Absent => (
                format!("There is no login: the file {path} does not exist"),
                None,
                "Run `wif login`, or choose another profile.",
            ),
            Outcome::Denied(why) | Outcome::Failed(why) => {
                (format!("The login's file {path} cannot be used"), Some(why), "Mend the file or its permissions.")
            }
            _ => (
                format!("This host does not read the login's file {path}"),
                None,
                "Use a host that reads files, or another credential.",
            ),
        };
        self.explain(&mut message, why, &[]);
        self.login_fails(FailureCode::TokenSourceFailed, message, action, LOOK_MS);
    }

    fn take_login(&mut self, entry: Entry) {
        self.read_login(entry.value, Some(entry.version));
    }

    fn read_login(&mut self, text: Secret, version: Option<String>) {
        let Some(login) = self.login() else { return };
        let path = login.path.clone();
        match Credentials::read(text, version) {
            Ok(credentials) => self.consider_login(credentials),
            Err(what) => {
                let message = format!("The login's file {path} {what}.");
                self.login_fails(FailureCode::TokenSourceFailed, message, "Run `wif login` again.", LOOK_MS);
            }
        }
    }

    /// Serves the token of the file, and refreshes it where it is due.
    fn consider_login(&mut self, credentials: Credentials) {
        let Some(login) = self.login() else { return };
        // Otherwise somebody has logged in or refreshed since: theirs is newer.
        if let Some(brought) = login.unsaved.take()
            && credentials.is_older_than(&brought)
            && credentials.version.is_some()
        {
            let value = credentials.with(&brought);
            login.unsaved = Some(brought);
            return self.swap_login(Stage::Writing, &credentials, value);
        }
        let id = id_of(credentials.access_token.reveal());
        let (now, wall_ms) = (self.time.now(), self.time.wall_ms());
        let left = credentials.expires_at.map(|at| at.saturating_mul(1000).saturating_sub(wall_ms));
        let new = self.tokens.held().is_none_or(|held| held.id != id);
        if new && self.serve_login(credentials.access_token.clone(), left) {
            let message = "The access token of the login's file is served.";
            self.out.note(NoteCode::TokenAdopted, NoteLevel::Info, message, only("token", &id));
            if left.is_none_or(|left| left > SHORT_MS) {
                return self.attempt.rest_until(now);
            }
        }
        self.drop_unusable();
        if !self.due() && left.is_none_or(|left| left > SHORT_MS) {
            return self.attempt.rest_until(self.time.now());
        }
        let Some(login) = self.login() else { return };
        let path = login.path.clone();
        if let Err(why) = login.refreshes(&credentials) {
            if self.tokens.held().is_some_and(|held| held.standing == Standing::Good) {
                // It may be replaced before its end.
                return self.attempt.rest_until(self.time.now() + LOOK_MS);
            }
            let what = if left == Some(0) { "has expired" } else { "was rejected by the API" };
            let message = format!("The access token of the login's file {path} {what}.");
            return self.login_fails(FailureCode::TokenSourceFailed, message, why, LOOK_MS);
        }
        self.lease_login(credentials);
    }

    /// Serves the token of the file, which lives for `left` milliseconds, if it is of use.
    fn serve_login(&mut self, value: Secret, left: Option<u64>) -> bool {
        let now = self.time.now();
        let served = match left {
            Some(left) => {
                // Read again and again, it lives no longer than it is known to.
                let offer = Offer { value, lifetime_ms: left, expires: now + left, standing: Standing::Good, from: From::File };
                self.tokens.offer(offer, self.known.rejections(), now, &mut self.random).is_ok()
            }
            None if self.known.rejections().contains(&id_of(value.reveal())) => false,
            None => {
                self.tokens.fix(value, Scheme::Bearer);
                true
            }
        };
        if served {
            self.known.change();
            self.attempt.succeeded();
        }
        served
    }

    /// Puts this session's lease into the file, unless another has its own there.
    fn lease_login(&mut self, credentials: Credentials) {
        let now = self.time.now();
        // What was wrong with another login says nothing about this one.
        if let Some(login) = self.login()
            && let Ok(refresh_token) = login.refreshes(&credentials)
            && self.attempt.pace().tried.as_ref().is_some_and(|tried| *tried != id_of(refresh_token.reveal()))
        {
            self.attempt.forgive(now);
        }
        let not_before = self.attempt.retry_at();
        if now < not_before {
            return self.attempt.rest_until(not_before.min(now + LOOK_MS));
        }
        let Some(login) = self.login() else { return };
        if credentials.leased_by_another(&login.owner) {
            let version = credentials.version.clone().unwrap_or_default();
            let since = match &login.watched {
                Some((seen, since)) if *seen == version => *since,
                _ => {
                    login.watched = Some((version, now));
                    now
                }
            };
            if now - since < LEASE_MS {
                return self.attempt.rest_until(now + FOLLOW_MS);
            }
            let message = "Nothing was heard of the session that was refreshing the login.";
            self.out.note(NoteCode::LeaseTakenOver, NoteLevel::Warning, message, Vec::new());
        }
        let Some(login) = self.login() else { return };
        login.watched = None;
        let value = credentials.with_lease(Some(&login.owner));
        let stage = Stage::Leasing(Box::new(credentials.clone()));
        self.swap_login(stage, &credentials, value);
    }

    fn swap_login(&mut self, stage: Stage, from: &Credentials, value: Secret) {
        let Some(login) = self.login() else { return };
        let swap = Swap { key: login.key(), expected: from.version.clone(), value };
        self.ask(stage, Task::SwapEntry(swap));
    }

    fn login_leased(&mut self, credentials: Credentials, outcome: Outcome) {
        let timeout_ms = self.configuration.exchange_timeout_ms;
        match outcome {
            Outcome::Swapped(version) => {
                let base_url = self.base_url.clone();
                let Some(login) = self.login() else { return };
                login.conflicts = 0;
                let Ok(refresh_token) = login.refreshes(&credentials) else { return };
                let request = login.request(&base_url, refresh_token, timeout_ms);
                let tried = id_of(refresh_token.reveal());
                let mut credentials = credentials;
                credentials.version = Some(version);
                self.figures.started = self.figures.started.saturating_add(1);
                self.attempt.sending(&tried, self.time.now());
                self.out.note(NoteCode::ExchangeStarted, NoteLevel::Info, "A refresh of the login was started.", Vec::new());
                self.ask(Stage::Refreshing(Box::new(credentials), self.time.now()), Task::SendRequest(request));
            }
            Outcome::Conflict(entry) => self.login_conflicts(entry),
            other => {
                let why = self.why_not_kept(&other);
                let message = format!("The login cannot be refreshed, for its file cannot be replaced: {why}.");
                self.login_fails(
                    FailureCode::StoreFailed,
                    message,
                    "Let this program write the file and its directory.",
                    LOOK_MS,
                );
            }
        }
    }

    fn login_conflicts(&mut self, entry: Option<Entry>) {
        let Some(login) = self.login() else { return };
        login.conflicts += 1;
        match entry {
            None => self.no_login(&Outcome::Absent),
            Some(_) if login.conflicts > MAX_CONFLICTS => {
                login.conflicts = 0;
                self.attempt.rest_until(self.time.now() + FOLLOW_MS);
            }
            Some(entry) => self.take_login(entry),
        }
    }

    fn login_refreshed(&mut self, credentials: Credentials, sent: Moment, outcome: Outcome) {
        let Some(login) = self.login() else { return };
        let Ok(used) = login.refreshes(&credentials).cloned() else { return };
        let (code, message, action, pause) = match &outcome {
            Outcome::Response(response) => {
                let mut secrets = self.secrets();
                secrets.extend([used.reveal(), credentials.access_token.reveal()]);
                let request_id = answer::request_id(response, &secrets);
                match answer::read(response, &secrets, self.time.wall_ms()) {
                    Verdict::Granted(grant) => {
                        let brought = self.login_granted(grant, response, &used, sent, request_id);
                        let value = credentials.with(&brought);
                        if let Some(login) = self.login() {
                            login.unsaved = Some(brought);
                        }
                        return self.swap_login(Stage::Writing, &credentials, value);
                    }
                    Verdict::Denied(denial) if (400..=403).contains(&denial.status) => {
                        let message = format!("The login was not refreshed. {}", denial.message);
                        (FailureCode::Refused, message, "It has ended perhaps: run `wif login` again.", Pause::Terminal)
                    }
                    Verdict::Denied(denial) => {
                        if let Some(pause) = denial.retry_after_ms {
                            self.attempt.not_before(self.time.now() + pause);
                        }
                        (denial.class.code, denial.message, denial.class.action, Pause::Transient)
                    }
                }
            }
            Outcome::Unsent(why) | Outcome::MaybeSent(why) => (
                FailureCode::EndpointUnreachable,
                format!("The login was not refreshed, for the token endpoint did not answer: {}.", self.foreign(why)),
                "It is repeated by itself. Check the network and the host's proxy settings.",
                Pause::Transient,
            ),
            Outcome::Denied(why) => (
                FailureCode::DeniedByHost,
                format!("The policy refuses the request: {}.", self.foreign(why)),
                "Allow the origin of base_url in the host's policy.",
                Pause::Terminal,
            ),
            _ => (
                FailureCode::EndpointUnreachable,
                "The login was not refreshed: the result of the request was lost.".to_owned(),
                "It is repeated by itself.",
                Pause::Transient,
            ),
        };
        self.attempt.pause(pause, self.time.now(), &mut self.random);
        let until = self.attempt.retry_at();
        self.out.note(NoteCode::ExchangeFailed, NoteLevel::Warning, &message, only("action", action));
        self.attempt.fail(Trouble::new(code, message, action, Some(until)));
        let value = credentials.with_lease(None);
        self.swap_login(Stage::Releasing, &credentials, value);
    }

    /// A refresh brought a token: it is served. What it brought is to be put into the file.
    fn login_granted(
        &mut self,
        grant: Grant,
        response: &Response,
        used: &Secret,
        sent: Moment,
        request_id: Option<String>,
    ) -> Brought {
        let expires_at = self.time.wall_ms().saturating_add(grant.lifetime_ms) / 1000;
        let brought = Brought::read(&response.body, grant.token.clone(), expires_at, used);
        let mut fields = only("token", &id_of(grant.token.reveal()));
        fields.extend(request_id.map(|id| field("request-id", &id)));
        self.out.note(NoteCode::ExchangeSucceeded, NoteLevel::Info, "The login was refreshed.", fields);
        self.figures.succeeded = self.figures.succeeded.saturating_add(1);
        let offer = Offer {
            value: grant.token,
            lifetime_ms: grant.lifetime_ms,
            expires: sent + grant.lifetime_ms,
            standing: Standing::Good,
            from: From::Endpoint,
        };
        if self.tokens.offer(offer, self.known.rejections(), self.time.now(), &mut self.random).is_ok() {
            self.attempt.succeeded();
        } else {
            // It is kept all the same, for the refresh token beside it.
            self.attempt.pause(Pause::Transient, self.time.now(), &mut self.random);
        }
        brought
    }

    /// This task was given up. If it was a refresh, its answer may come yet: the refresh token in the file is spent then.
    pub(super) fn expect_late_login(&mut self, number: u32) {
        if let Some(login) = self.login()
            && let Some((credentials, sent)) = login.given_up.take()
        {
            login.late = Some((number, credentials, sent));
        }
    }

    pub(super) fn take_late_login(&mut self, number: u32) -> Option<(Box<Credentials>, Moment)> {
        let login = self.login()?;
        let (_, credentials, sent) = login.late.take_if(|(late, ..)| *late == number)?;
        Some((credentials, sent))
    }

    /// Only what it brought is of use: it goes into the file with the next look, which is now.
    pub(super) fn login_answered_late(&mut self, credentials: &Credentials, sent: Moment, outcome: &Outcome) {
        let Some(login) = self.login() else { return };
        let Ok(used) = login.refreshes(credentials).cloned() else { return };
        let Outcome::Response(response) = outcome else { return };
        let mut secrets = self.secrets();
        secrets.extend([used.reveal(), credentials.access_token.reveal()]);
        let request_id = answer::request_id(response, &secrets);
        let Verdict::Granted(grant) = answer::read(response, &secrets, self.time.wall_ms()) else { return };
        let brought = self.login_granted(grant, response, &used, sent, request_id);
        if let Some(login) = self.login() {
            login.unsaved = Some(brought);
        }
        if self.attempt.resting() {
            self.attempt.rest_until(self.time.now());
        }
    }

    fn login_written(&mut self, outcome: Outcome) {
        let now = self.time.now();
        // Not with the swap: a journal that cannot be kept would keep the file from being written.
        self.known.change();
        match outcome {
            Outcome::Swapped(_) => {
                if let Some(login) = self.login() {
                    login.unsaved = None;
                    login.conflicts = 0;
                }
                self.attempt.rest_until(now);
            }
            // What is there is compared with what this session has.
            Outcome::Conflict(Some(entry)) => self.login_conflicts(Some(entry)),
            // Somebody has logged out.
            Outcome::Conflict(None) => {
                if let Some(login) = self.login() {
                    login.unsaved = None;
                }
                self.attempt.rest_until(now);
            }
            other => {
                let why = self.why_not_kept(&other);
                let message = format!("The login was refreshed, and its file could not be replaced: {why}. It is tried again.");
                self.out.note(NoteCode::StateIgnored, NoteLevel::Error, &message, Vec::new());
                self.attempt.rest_until(now + LOOK_MS);
            }
        }
    }

    fn why_not_kept(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Denied(why) | Outcome::Failed(why) | Outcome::Unkept(why) => self.foreign(why),
            _ => "no answer".to_owned(),
        }
    }

    fn login_fails(&mut self, code: FailureCode, message: String, action: &str, look_ms: u64) {
        let until = self.time.now() + look_ms;
        if self.attempt.failure().is_none_or(|trouble| trouble.failure.message != message) {
            self.out.note(NoteCode::ExchangeFailed, NoteLevel::Warning, &message, only("action", action));
        }
        self.attempt.fail(Trouble::new(code, message, action, Some(until)));
        self.attempt.rest_until(until);
    }

    /// The file may have changed: it is looked at with the next step.
    pub(super) fn look_at_login_again(&mut self) {
        if let Some(login) = self.login() {
            login.look = true;
            self.attempt.look_soon(self.time.now(), true);
        }
    }

    /// Whether the file is to be looked at though nothing is due.
    pub(super) fn login_wants_look(&self) -> bool {
        let Plan::Bearer(Bearer::Login(login)) = &self.plan else { return false };
        LOGINS && (login.unsaved.is_some() || login.look && self.tokens.held().is_some())
    }

    /// Whether a refresh brought something that the file does not have yet.
    pub(super) fn login_is_unsaved(&self) -> bool {
        matches!(&self.plan, Plan::Bearer(Bearer::Login(login)) if LOGINS && login.unsaved.is_some())
    }
}
