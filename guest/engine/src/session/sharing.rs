//! Acting as one with the sessions that share a store: load, adopt, follow, lead.

use super::attempt::{Trouble, Work};
use super::outgoing::Role;
use super::{Session, only};
use crate::Secret;
use crate::contract::{Disposition, Entry, FailureCode, NoteCode, NoteLevel, Outcome, Standing, Swap, Task};
use crate::credentials::{key_of, shared_in, with_shared};
use crate::identity_token::{About, IdentityToken};
use crate::ledger::Ledger;
use crate::rejections::Rejections;
use crate::state::{Kept, LEASE_MS, Lease, SavedState};
use crate::timeline::{Moment, Reading, Writer};
use crate::tokens::From;

/// How often the holder of a lease shows that it lives.
const BEAT_MS: u64 = LEASE_MS / 3;

/// How often a follower looks.
const FOLLOW_MS: u64 = 500;

/// How long to wait after the store failed.
const STORE_PAUSE_MS: u64 = 5_000;

/// After so many failures in a row a profile's credentials file is left alone until the next exchange.
const MAX_FAILURES: u32 = 3;

/// Conflicts in a row, after which somebody else is in a hurry, or the store takes nothing.
const MAX_CONFLICTS: u32 = 8;

/// The credentials file of the profile that the federation was found in. Where the host has no store, and somebody has made this file,
/// it is the place where sessions share.
#[derive(Debug)]
pub(super) struct Beside {
    path: String,
    /// Whose a lease in the file is, if it is this session's.
    owner: u64,
    /// It was said once that it is not used.
    told: bool,
}

impl Beside {
    pub(super) fn new(path: String, owner: u64) -> Self {
        Self { path, owner, told: false }
    }
}

/// What this session knows of the store.
#[derive(Debug)]
pub(super) struct Share {
    /// The store cannot compare: there are no leases.
    pub(super) cache_only: bool,
    /// In place of a store: the content of the profile's credentials file as last seen.
    file: Option<Secret>,
    /// The access token is new, and to be told to other clients, too. What they put in its place later stays there.
    news: bool,
    /// Something is to be written once the file was seen.
    owes: bool,
    /// In a row, of writes to the file.
    failures: u32,
    owner: u64,
    /// The version of the entry as last seen.
    version: Option<String>,
    /// The lease of this session, while its request is out.
    mine: Option<Lease>,
    /// The lease of another session in the entry.
    theirs: Option<Lease>,
    /// The foreign lease that is being watched: the version that it was seen in, and since when.
    watched: Option<(String, Moment)>,
    /// When to write what this session knows.
    write_at: Option<Moment>,
    /// When to show that the lease's holder lives.
    beat_at: Option<Moment>,
    conflicts: u32,
    look: bool,
    /// It did not answer, or with what cannot be read, and that was told.
    silent: bool,
}

impl Share {
    pub(super) fn new(owner: u64, cache_only: bool, file: Option<Secret>) -> Self {
        Self {
            cache_only,
            file,
            news: false,
            owes: false,
            failures: 0,
            owner,
            version: None,
            mine: None,
            theirs: None,
            watched: None,
            write_at: None,
            beat_at: None,
            conflicts: 0,
            look: false,
            silent: false,
        }
    }

    /// Others must learn of it, too, whether or not an exchange follows.
    pub(super) fn want_write(&mut self, now: Moment) {
        self.write_at = Some(now);
    }

    /// There is another access token.
    pub(super) fn has_news(&mut self) {
        self.news = true;
    }

    pub(super) fn want_look(&mut self) {
        self.look = true;
    }

    /// Its own lease, on this identity token.
    fn claim(&mut self, about: &About) {
        let (owner, identity_token) = (self.owner, about.id.clone());
        self.mine = Some(Lease { owner, identity_token, expires_at_ms: about.expires_at_ms, beat: 0 });
    }

    /// Its own lease is no more. Signs of life would now keep that of another alive.
    fn let_go(&mut self) {
        self.mine = None;
        self.beat_at = None;
    }

    /// Another entry is meant from here on.
    pub(super) fn leave(&mut self) {
        let silent = self.silent;
        *self = Self::new(self.owner, self.cache_only, self.file.take());
        self.silent = silent;
    }

    pub(super) fn wants_look(&self) -> bool {
        self.look
    }

    pub(super) fn next_act(&self) -> Option<Moment> {
        self.write_at.into_iter().chain(self.beat_at).min()
    }
}

impl Session {
    /// Whether an operation of the store is out. There is one at a time: of two, the older one's answer may come last, and what
    /// the younger one brought would be forgotten.
    pub(super) fn store_is_asked(&self) -> bool {
        self.out.any(|role| matches!(role, Role::Load | Role::Lease | Role::Write))
    }

    /// Where a host has no store, sessions share by the credentials file of their profile.
    pub(super) fn share_beside(&mut self) {
        if let (Some(beside), None) = (&self.beside, &self.share) {
            self.share = Some(Box::new(Share::new(beside.owner, false, Some(Secret::default()))));
        }
    }

    fn shares_beside(&self) -> bool {
        self.share.as_ref().is_some_and(|share| share.file.is_some())
    }

    /// Whether a lease is needed, and can be had. A file that was not seen is not written.
    pub(super) fn leads(&self) -> bool {
        self.share.as_ref().is_some_and(|share| !share.cache_only && (share.file.is_none() || share.version.is_some()))
    }

    /// The credentials file is of no use for now: this session goes on by itself.
    #[inline(never)]
    fn leave_file(&mut self) {
        self.share = None;
        if matches!(self.attempt.work(), Work::Loading(_) | Work::Leasing(_) | Work::Following { .. }) {
            // It waited for the file.
            self.attempt.rest_until(self.time.now());
        }
    }

    fn tell_of_file(&mut self, why: &str) {
        if let Some(beside) = &mut self.beside
            && !core::mem::replace(&mut beside.told, true)
        {
            let message = format!("The profile's credentials file is not used: {why}.");
            self.out.note(NoteCode::StateIgnored, NoteLevel::Warning, &message, only("file", &beside.path));
        }
    }

    /// The host says so. The file may be tried again: others may wait for what comes of an exchange.
    #[inline(never)]
    fn file_failed(&mut self, outcome: &Outcome, again: bool) {
        let ends = matches!(outcome, Outcome::Denied(_) | Outcome::Unsupported);
        // A host that keeps no such files has nothing to tell of.
        if !ends || self.share.as_ref().is_some_and(|share| share.version.is_some()) {
            let why = self.why_the_store_fails(outcome);
            self.tell_of_file(&why);
        }
        if ends || !again {
            self.leave_file();
        }
        if ends {
            self.beside = None;
        }
    }

    /// The key of the entry that sessions share; none until it is known whose identity tokens the source gives.
    #[inline(never)]
    fn place(&self) -> Option<String> {
        let key = self.identity.key()?;
        let beside = self.beside.as_ref().filter(|_| self.shares_beside());
        Some(beside.map_or_else(|| key.to_owned(), |beside| key_of(&beside.path)))
    }

    /// Asks the store, as soon as it has answered what it was asked before.
    pub(super) fn load(&mut self, in_hand: Option<Box<IdentityToken>>) {
        let (Some(key), Some(share)) = (self.place(), &mut self.share) else { return };
        share.look = false;
        let task = Task::LoadEntry(key);
        self.attempt.begin(Work::Loading(in_hand));
        if !self.store_is_asked() {
            self.emit(Role::Load, task);
        }
    }

    /// Begins the operation that had to wait for another one.
    pub(super) fn ask_store(&mut self) {
        if self.store_is_asked() {
            return;
        }
        match self.attempt.stop() {
            Work::Loading(in_hand) => self.load(in_hand),
            // The operation that it waited for may have told of this very identity token, or of a pause.
            Work::Leasing(identity) if self.due() => self.decide(*identity),
            // What it waited for brought a token.
            Work::Leasing(_) => {}
            work => self.attempt.begin(work),
        }
    }

    pub(super) fn loaded(&mut self, outcome: Outcome) {
        let in_hand = match self.attempt.stop() {
            Work::Loading(in_hand) => in_hand,
            _ => None,
        };
        match outcome {
            Outcome::Entry(entry) => self.take_entry(Some(entry)),
            Outcome::Absent => self.take_entry(None),
            other if self.shares_beside() => self.file_failed(&other, self.due()),
            other if self.share.as_ref().is_some_and(|share| share.cache_only) => {
                // It is there to save exchanges, not to allow them.
                self.store_silent(&format!(
                    "The cache does not answer: {}. It is taken for empty.",
                    self.why_the_store_fails(&other)
                ));
                self.take_entry(None);
            }
            other => return self.store_failed(&other),
        }
        self.lead_or_follow(in_hand);
    }

    /// With the entry just seen: uses its token, waits for its lease, or goes on to an exchange, of the identity token in hand if
    /// there is one.
    fn lead_or_follow(&mut self, in_hand: Option<Box<IdentityToken>>) {
        self.attempt.stop();
        if !self.due() {
            return;
        }
        let now = self.time.now();
        if let Some(share) = &mut self.share
            && let Some(lease) = share.theirs.clone().filter(|_| !share.cache_only)
        {
            let version = share.version.clone().unwrap_or_default();
            let since = match &share.watched {
                Some((seen, since)) if *seen == version => *since,
                _ => {
                    share.watched = Some((version, now));
                    now
                }
            };
            if now - since < LEASE_MS {
                let poll_at = now + (FOLLOW_MS - self.random.up_to(FOLLOW_MS / 4));
                self.attempt.begin(Work::Following { poll_at });
                return;
            }
            share.watched = None;
            share.theirs = None;
            // Its owner is gone; whether its request left nobody knows.
            self.known.mark(&lease.identity_token, Disposition::Uncertain, lease.expires_at_ms);
            self.known.change();
            let fields = only("identity-token", &lease.identity_token);
            self.out.note(
                NoteCode::LeaseTakenOver,
                NoteLevel::Warning,
                "Nothing was heard of the session that held the lease.",
                fields,
            );
        }
        let not_before = self.attempt.retry_at();
        let mints = self.federation().is_some_and(|federation| !federation.identity_token.shared());
        if now < self.attempt.pace().floor || mints && now < not_before {
            return self.sleep();
        }
        match in_hand {
            Some(identity) => self.consider(*identity),
            None => self.read_source(),
        }
    }

    /// Swaps the lease on this identity token in.
    pub(super) fn take_lease(&mut self, identity: IdentityToken) {
        if self.share.as_ref().is_some_and(|share| share.theirs.is_some()) {
            // It came while the source was read: the entry was seen again, for the sake of something else.
            return self.lead_or_follow(None);
        }
        if self.store_is_asked() {
            self.attempt.begin(Work::Leasing(Box::new(identity)));
            return;
        }
        let Some(share) = &mut self.share else { return };
        share.claim(&identity.about);
        self.attempt.begin(Work::Leasing(Box::new(identity)));
        self.swap(Role::Lease);
    }

    pub(super) fn lease_answered(&mut self, outcome: Outcome) {
        let Work::Leasing(identity) = self.attempt.stop() else { return };
        match outcome {
            Outcome::Swapped(version) => {
                let now = self.time.now();
                if let Some(share) = &mut self.share {
                    share.version = Some(version);
                    share.conflicts = 0;
                    share.failures = 0;
                    share.beat_at = Some(now + BEAT_MS);
                }
                let fields = only("identity-token", &identity.about.id);
                self.out.note(NoteCode::LeaseTaken, NoteLevel::Info, "The lease on the exchange was taken.", fields);
                self.send_unless_spent(*identity);
            }
            Outcome::Conflict(entry) => {
                if let Some(share) = &mut self.share {
                    share.let_go();
                }
                self.take_entry(entry);
                if !self.conflicted() {
                    self.lead_or_follow(None);
                } else if self.shares_beside() {
                    self.tell_of_file("it keeps changing");
                    self.leave_file();
                    if self.due() {
                        self.send_unless_spent(*identity);
                    }
                } else {
                    let pause = FOLLOW_MS + self.random.up_to(FOLLOW_MS);
                    self.attempt.look_at(self.time.now() + pause);
                }
            }
            other if self.shares_beside() => {
                if let Some(share) = &mut self.share {
                    share.let_go();
                }
                self.file_failed(&other, true);
                self.send_unless_spent(*identity);
            }
            other => {
                // The lease may stand in the store: whoever finds it waits for its end.
                if let Some(share) = &mut self.share {
                    share.let_go();
                }
                self.store_failed(&other);
            }
        }
    }

    fn send_unless_spent(&mut self, identity: IdentityToken) {
        if self.is_spent(&identity.about) {
            // An answer that was late has told so meanwhile.
            return self.share_result();
        }
        self.send(identity);
    }

    /// Tells the others what came of an exchange.
    pub(super) fn share_result(&mut self) {
        let Some(share) = &mut self.share else { return };
        share.let_go();
        share.write_at = Some(self.time.now());
        self.keep_share();
    }

    /// Writes what is due to be written.
    pub(super) fn keep_share(&mut self) {
        let now = self.time.now();
        if self.store_is_asked() || self.identity.key().is_none() {
            return;
        }
        let Some(share) = &mut self.share else { return };
        if share.file.is_some() && share.version.is_none() {
            // It is looked at first, and is never made.
            if share.write_at.take().is_some() {
                share.owes = true;
                share.look = true;
            }
            return;
        }
        if let (Work::Sending(sent), true) =
            (self.attempt.work(), share.file.is_some() && share.mine.is_none() && share.theirs.is_none())
        {
            // The file did not answer in time, and the request went out without a lease. What is written meanwhile carries one.
            share.claim(&sent.identity.about);
            share.beat_at = Some(now + BEAT_MS);
        }
        let beat = share.beat_at.is_some_and(|at| now >= at);
        if beat {
            share.beat_at = Some(now + BEAT_MS);
            if let Some(lease) = &mut share.mine {
                lease.beat = lease.beat.wrapping_add(1);
            }
        }
        if beat || share.write_at.is_some_and(|at| now >= at) {
            share.write_at = None;
            self.swap(Role::Write);
        }
    }

    pub(super) fn written(&mut self, outcome: Outcome) {
        let now = self.time.now();
        let Some(share) = &mut self.share else { return };
        match outcome {
            Outcome::Swapped(version) => {
                share.version = Some(version);
                share.conflicts = 0;
                share.failures = 0;
                share.news = false;
                share.silent = false;
            }
            Outcome::Conflict(entry) => {
                self.take_entry(entry);
                let pause = if self.conflicted() { FOLLOW_MS } else { 0 };
                if let Some(share) = &mut self.share {
                    if share.theirs.is_some() {
                        // Somebody took this session for dead. Its own request is out all the same.
                        share.let_go();
                    }
                    share.write_at = Some(now + pause);
                }
            }
            other if share.file.is_some() => {
                share.failures += 1;
                share.write_at = Some(now + STORE_PAUSE_MS);
                let again = share.failures < MAX_FAILURES || matches!(self.attempt.work(), Work::Sending(_));
                self.file_failed(&other, again);
            }
            other => {
                share.write_at = Some(now + STORE_PAUSE_MS);
                // Nobody knows which version is there now; the conflict that follows will tell.
                self.store_silent(&format!(
                    "The store did not take what this session knows: {}.",
                    self.why_the_store_fails(&other)
                ));
            }
        }
    }

    /// Takes over what others know.
    fn take_entry(&mut self, stored: Option<Entry>) {
        let Some(share) = &mut self.share else { return };
        share.version = stored.as_ref().map(|stored| stored.version.clone());
        share.theirs = None;
        let Some(mut stored) = stored else {
            if share.file.is_some() {
                self.leave_file();
            }
            return;
        };
        if let Some(file) = &mut share.file {
            let shared = shared_in(&stored.value);
            *file = stored.value;
            if core::mem::take(&mut share.owes) {
                share.write_at = Some(self.time.now());
            }
            stored.value = match shared {
                Ok(Some(shared)) => shared,
                Ok(None) => return,
                Err(what) => {
                    self.tell_of_file(what);
                    return self.leave_file();
                }
            };
        }
        let Some(entry) = SavedState::parse(stored.value.reveal()) else {
            return self.store_silent("The entry in the store cannot be read: it is replaced.");
        };
        share.theirs = entry.lease.filter(|lease| lease.owner != share.owner);
        if share.file.is_some() && entry.identity.as_deref() != self.identity.key() {
            // The profile was another one then. What was spent stays spent.
            return self.known.merge(&entry.ledger, Rejections::default());
        }
        let reading = Reading::new(self.time.epoch(), entry.written, Writer::Another);
        self.known.merge(&entry.ledger, entry.rejections.revive(reading));
        self.tokens.heed(self.known.rejections());
        // Whoever holds another token, and a good one, has it in spite of what failed. The pause holds for all.
        let theirs = entry.token.as_ref().map(Kept::id);
        let is_past = self.tokens.held().is_some_and(|held| held.standing == Standing::Good && theirs.as_ref() != Some(&held.id));
        self.attempt.join(entry.pace.revive(reading, entry.tried), entry.failure.filter(|_| !is_past));
        let Some(token) = entry.token else { return };
        let offer = token.offer(reading, From::Entry);
        if let Ok(held) = self.tokens.offer(offer, self.known.rejections(), self.time.now(), &mut self.random) {
            let (fields, good) = (only("token", &held.id), held.standing == Standing::Good);
            self.out.note(NoteCode::TokenAdopted, NoteLevel::Info, "An access token was taken over from the store.", fields);
            // A suspect one is no end of the trouble to get another.
            if good {
                self.attempt.succeeded();
            }
            self.known.change();
        }
    }

    /// Counts a conflict; true if there were too many since this session's last swap that was taken. Then each is followed by a pause.
    fn conflicted(&mut self) -> bool {
        let Some(share) = &mut self.share else { return false };
        share.conflicts = share.conflicts.saturating_add(1);
        share.conflicts > MAX_CONFLICTS
    }

    /// Tells once what is wrong with the store, until it has taken something.
    fn store_silent(&mut self, message: &str) {
        if self.share.as_mut().is_some_and(|share| !core::mem::replace(&mut share.silent, true)) {
            self.out.note(NoteCode::StateIgnored, NoteLevel::Warning, message, Vec::new());
        }
    }

    fn store_failed(&mut self, outcome: &Outcome) {
        let until = self.time.now() + STORE_PAUSE_MS;
        self.attempt.rest_until(until);
        let message = format!("The store that sessions share does not answer: {}.", self.why_the_store_fails(outcome));
        if !self.attempt.failed_with(FailureCode::StoreFailed) {
            self.out.note(NoteCode::ExchangeFailed, NoteLevel::Warning, &message, Vec::new());
        }
        let action = "Mend the store. Without it an exchange could be made twice.";
        self.attempt.fail(Trouble::new(FailureCode::StoreFailed, message, action, Some(until)));
    }

    /// What others should know. While this session's request is out, its lease tells of the identity token; were it in the
    /// ledger as well, others would keep it there whatever the answer says.
    fn shared_ledger(&self) -> Ledger {
        let mut ledger = self.known.ledger().clone();
        let leads = self.share.as_ref().is_some_and(|share| share.mine.is_some());
        if let (Work::Sending(sent), true) = (self.attempt.work(), leads) {
            ledger.mark(&sent.identity.about.id, sent.prior, sent.identity.about.expires_at_ms);
        }
        ledger
    }

    fn swap(&mut self, role: Role) {
        let (Some(share), Some(key)) = (&self.share, self.place()) else { return };
        let mut value = self.state_document(&self.shared_ledger(), share.mine.as_ref().or(share.theirs.as_ref()));
        let expected = share.version.clone();
        if let Some(file) = &share.file {
            value = with_shared(file, &value, self.for_other_clients().filter(|_| share.news));
            if let Some(share) = &mut self.share {
                share.file = Some(value.clone());
            }
        }
        let swap = Swap { key, expected, value };
        self.emit(role, Task::SwapEntry(swap));
    }

    /// The access token, and when it ends, in seconds since 1970.
    fn for_other_clients(&self) -> Option<(&Secret, u64)> {
        let held = self.tokens.held().filter(|held| held.standing == Standing::Good)?;
        let expires_ms = u64::try_from(self.time.epoch().wall(held.life?.expires)).ok()?;
        Some((&held.value, expires_ms / 1000))
    }

    fn why_the_store_fails(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Denied(why) | Outcome::Failed(why) => self.foreign(why),
            Outcome::Unkept(why) => format!("the host could not keep the journal before: {}", self.foreign(why)),
            Outcome::Unsupported => "this host has none".to_owned(),
            _ => "no answer".to_owned(),
        }
    }
}
