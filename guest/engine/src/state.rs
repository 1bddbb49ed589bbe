//! The two documents that outlive a session: its journal, and the entry that sessions share. Both hold the token; both are
//! opaque to hosts.

use serde::{Deserialize, Serialize};

use crate::Secret;
use crate::contract::{Failure, Standing};
use crate::held::Held;
use crate::ledger::Ledger;
use crate::rejections::Rejections;
use crate::schedule::{Pace, Random};
use crate::timeline::Moment;

/// The form of both documents. A document of another form is ignored.
const VERSION: u32 = 1;

/// The longest pause that an answer or the schedule ever makes, in milliseconds.
const MAX_PAUSE_MS: u64 = 600_000;

/// How long a lease is good for without a sign of life, in milliseconds.
pub(crate) const LEASE_MS: u64 = 4_000;

/// Translates between a session's moments and the wall clock, in which documents keep their times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch {
    pub(crate) now: Moment,
    pub(crate) wall_ms: u64,
}

impl Epoch {
    pub(crate) fn wall(self, moment: Moment) -> i64 {
        i64::try_from(self.wall_ms).unwrap_or(i64::MAX).saturating_add(moment.since(self.now))
    }

    pub(crate) fn moment(self, wall_ms: i64) -> Moment {
        let now = i64::try_from(self.wall_ms).unwrap_or(i64::MAX);
        self.now.offset(wall_ms.saturating_sub(now))
    }
}

/// A token in a document.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    value: Secret,
    lifetime_ms: u64,
    expires_wall_ms: i64,
    suspect: bool,
}

#[derive(Serialize)]
struct KeptRef<'a> {
    value: &'a str,
    lifetime_ms: u64,
    expires_wall_ms: i64,
    suspect: bool,
}

impl Kept {
    /// The token as it is now. A clock that went back does not make it live longer than it was issued for.
    pub(crate) fn revive(self, epoch: Epoch, random: &mut Random) -> Held {
        let expires = epoch.moment(self.expires_wall_ms).min(epoch.now + self.lifetime_ms);
        let mut held = Held::until(self.value, self.lifetime_ms, expires, random);
        if self.suspect {
            held.standing = Standing::Suspect;
        }
        held
    }

    pub(crate) fn id(&self) -> String {
        crate::id_of(self.value.reveal())
    }
}

fn keep(held: &Held, epoch: Epoch) -> Option<KeptRef<'_>> {
    let life = held.life?;
    Some(KeptRef {
        value: held.value.reveal(),
        lifetime_ms: life.lifetime,
        expires_wall_ms: epoch.wall(life.expires),
        suspect: held.standing == Standing::Suspect,
    })
}

/// When the next try may be, in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct KeptPace {
    failures: u32,
    refusals: u32,
    retry_wall_ms: i64,
    floor_wall_ms: i64,
}

impl KeptPace {
    pub(crate) fn of(pace: &Pace, epoch: Epoch) -> Self {
        Self {
            failures: pace.failures,
            refusals: pace.refusals,
            retry_wall_ms: epoch.wall(pace.retry_at),
            floor_wall_ms: epoch.wall(pace.floor),
        }
    }

    /// The pace as it is now. A pause that is longer than any that is ever made is the work of a clock that went back: cut short
    /// it would begin anew with every look, so it counts as over.
    pub(crate) fn revive(self, epoch: Epoch, tried: Option<String>) -> Pace {
        let until = |wall_ms: i64| match epoch.moment(wall_ms) {
            at if at > epoch.now + MAX_PAUSE_MS => epoch.now,
            at => at,
        };
        Pace {
            failures: self.failures,
            refusals: self.refusals,
            tried,
            retry_at: until(self.retry_wall_ms),
            floor: until(self.floor_wall_ms),
            ..Pace::default()
        }
    }
}

/// The state to open from after a trap, a restart, a reload.
#[derive(Debug, Deserialize)]
pub(crate) struct Journal {
    version: u32,
    /// The identity that the token and the pace belong to. The ledger belongs to no one.
    pub(crate) identity: Option<String>,
    pub(crate) token: Option<Kept>,
    pub(crate) pace: KeptPace,
    /// What the pace's pause is for.
    pub(crate) failure: Option<Failure>,
    pub(crate) tried: Option<String>,
    pub(crate) ledger: Ledger,
    pub(crate) rejections: Rejections,
}

#[derive(Serialize)]
struct JournalRef<'a> {
    version: u32,
    identity: Option<&'a str>,
    token: Option<KeptRef<'a>>,
    pace: KeptPace,
    failure: Option<&'a Failure>,
    tried: Option<&'a str>,
    ledger: &'a Ledger,
    rejections: &'a Rejections,
}

impl Journal {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<Self>(text).ok().filter(|journal| journal.version == VERSION)
    }

    pub(crate) fn write(
        epoch: Epoch,
        identity: Option<&str>,
        held: Option<&Held>,
        pace: &Pace,
        failure: Option<&Failure>,
        ledger: &Ledger,
        rejections: &Rejections,
    ) -> Secret {
        let journal = JournalRef {
            version: VERSION,
            identity,
            token: held.and_then(|held| keep(held, epoch)),
            pace: KeptPace::of(pace, epoch),
            failure,
            tried: pace.tried.as_deref(),
            ledger,
            rejections,
        };
        Secret::from(to_json(&journal))
    }
}

/// The entry of sessions that share a store.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    version: u32,
    pub(crate) token: Option<Kept>,
    pub(crate) pace: KeptPace,
    /// What the pace's pause is for.
    pub(crate) failure: Option<Failure>,
    pub(crate) tried: Option<String>,
    pub(crate) ledger: Ledger,
    pub(crate) rejections: Rejections,
    pub(crate) lease: Option<Lease>,
}

/// The right to exchange one identity token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    /// Who holds it: a random number.
    pub(crate) owner: u64,
    /// The id of the identity token.
    pub(crate) identity_token: String,
    /// When that expires.
    pub(crate) expires_at_ms: u64,
    /// Counts the signs of life.
    pub(crate) beat: u32,
}

#[derive(Serialize)]
struct EntryRef<'a> {
    version: u32,
    token: Option<KeptRef<'a>>,
    pace: KeptPace,
    failure: Option<&'a Failure>,
    tried: Option<&'a str>,
    ledger: &'a Ledger,
    rejections: &'a Rejections,
    lease: Option<&'a Lease>,
}

impl Entry {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str::<Self>(text).ok().filter(|entry| entry.version == VERSION)
    }

    pub(crate) fn write(
        epoch: Epoch,
        held: Option<&Held>,
        pace: &Pace,
        failure: Option<&Failure>,
        ledger: &Ledger,
        rejections: &Rejections,
        lease: Option<&Lease>,
    ) -> Secret {
        let entry = EntryRef {
            version: VERSION,
            token: held.and_then(|held| keep(held, epoch)),
            pace: KeptPace::of(pace, epoch),
            failure,
            tried: pace.tried.as_deref(),
            ledger,
            rejections,
            lease,
        };
        Secret::from(to_json(&entry))
    }
}

fn to_json<T: Serialize>(document: &T) -> String {
    // Both documents are made of strings, numbers and lists of them, which always serialise.
    serde_json::to_string(document).unwrap_or_default()
}
