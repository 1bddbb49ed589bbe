//! What a session said last, as its callers read it, and what a caller does by that: the rules for callers' requests of
//! `wit/session.wit`. Times are of the driver's clock, in milliseconds; one that never comes is `u64::MAX`.

/// What is known of a token, as far as it matters to whoever waits for one.
pub trait Token {
    /// Its id.
    fn id(&self) -> &str;
    /// Whether nothing is known against it.
    fn is_good(&self) -> bool;
}

/// The session's last word.
#[derive(Debug, Clone)]
pub struct Snapshot<Token, Failure, Reason> {
    /// Rises with every snapshot.
    pub generation: u64,
    /// When it was published.
    pub at: u64,
    /// What callers may do.
    pub access: Access<Token, Failure, Reason>,
    /// Whether work that may bring a token is under way.
    pub underway: bool,
    /// How long a caller waits for it between `hold_at` and `unusable_at`.
    pub wait_at_most_ms: u64,
    /// From here on a caller that is not waiting says that a token is needed.
    pub nudge_from: u64,
    /// The last token that was usable for no time at all, and the generation that brought it: it serves the callers that
    /// were waiting before, even those that wake too late to see that generation.
    pub passing: Option<(u64, Token)>,
    /// Told once the token has expired, while there is no session that could fetch another.
    pub stopped: Option<Failure>,
}

/// What callers may do.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "its cases are those of the contract")]
pub enum Access<Token, Failure, Reason> {
    Usable { token: Token, refresh_at: u64, hold_at: u64, unusable_at: u64 },
    Pending(Reason),
    Failed(Failure),
    Idle,
    Closed,
}

/// What a caller does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice<'a, Token, Failure> {
    /// Take it.
    Serve(&'a Token),
    /// Wait for the work under way, for a while, and then take it.
    Hold(&'a Token),
    /// Wait.
    Wait,
    /// Say that a token is needed, and wait.
    Ask,
    /// Answer with this.
    Refuse(&'a Failure),
    /// Answer that it is closed.
    Closed,
}

impl<T, Failure, Reason> Snapshot<T, Failure, Reason> {
    /// What is served before a session has said anything: callers wait.
    #[must_use]
    pub const fn before_the_first_step(reason: Reason) -> Self {
        Self {
            generation: 0,
            at: 0,
            access: Access::Pending(reason),
            underway: true,
            wait_at_most_ms: 0,
            nudge_from: u64::MAX,
            passing: None,
            stopped: None,
        }
    }

    /// What a caller does at this time.
    #[inline]
    #[must_use]
    pub fn advice(&self, now: u64) -> Advice<'_, T, Failure> {
        match &self.access {
            Access::Usable { token, hold_at, unusable_at, .. } if now < *unusable_at => {
                if now >= *hold_at && self.underway {
                    Advice::Hold(token)
                } else {
                    Advice::Serve(token)
                }
            }
            Access::Usable { .. } => self.stopped.as_ref().map_or(Advice::Ask, Advice::Refuse),
            Access::Pending(_) => Advice::Wait,
            Access::Failed(failure) => Advice::Refuse(failure),
            Access::Idle => Advice::Ask,
            Access::Closed => Advice::Closed,
        }
    }

    /// Says what comes after the last: its generation, and whom a token serves that is usable for no time at all.
    #[inline]
    pub fn follow(&mut self, last: &Self)
    where
        T: Clone,
    {
        self.generation = last.generation + 1;
        self.passing = match &self.access {
            Access::Usable { token, unusable_at, .. } if *unusable_at <= self.at => Some((self.generation, token.clone())),
            Access::Usable { .. } => None,
            _ => last.passing.clone(),
        };
    }

    /// The token, if it may still be served.
    #[must_use]
    pub fn usable(&self, now: u64) -> Option<&T> {
        match &self.access {
            Access::Usable { token, unusable_at, .. } if now < *unusable_at => Some(token),
            _ => None,
        }
    }
}

/// Somebody who waits: for a token, or for another than the one that the API has rejected.
#[derive(Debug)]
pub struct Waiter {
    /// The generation that it saw when it began to wait.
    since: u64,
    other_than: Option<Rejected>,
    /// Until then it waits, once there is something that it need not wait for without end.
    until: Option<u64>,
}

#[derive(Debug)]
struct Rejected {
    id: String,
    at_most_ms: Option<u64>,
}

/// What somebody who waits does now.
#[derive(Debug, PartialEq, Eq)]
pub enum Look<'a, Token, Failure> {
    /// Take it.
    Take(&'a Token),
    /// There is no other than the rejected one.
    NoOther,
    /// Answer with this.
    Refuse(&'a Failure),
    /// Answer that it is closed.
    Closed,
    /// Wait for the next snapshot and look again.
    Wait {
        /// Not for longer than this.
        at_most_ms: Option<u64>,
        /// Say first that a token is needed.
        asks: bool,
    },
}

impl Waiter {
    /// Waits for a token, from this snapshot on.
    #[must_use]
    pub const fn new(generation: u64) -> Self {
        Self { since: generation, other_than: None, until: None }
    }

    /// Waits for another token than this one. As callers do in the last moments of a token, for the time that the session says
    /// unless another is given, and only while an exchange is under way.
    #[must_use]
    pub const fn for_other_than(id: String, at_most_ms: Option<u64>, generation: u64) -> Self {
        Self { since: generation, other_than: Some(Rejected { id, at_most_ms }), until: None }
    }

    /// What it does by this snapshot, at this time.
    pub fn look<'a, T: Token, Failure, Reason>(
        &mut self,
        snapshot: &'a Snapshot<T, Failure, Reason>,
        now: u64,
    ) -> Look<'a, T, Failure> {
        let passing = snapshot.passing.as_ref().filter(|(brought_by, _)| *brought_by > self.since);
        match (&self.other_than, passing) {
            (Some(rejected), Some((_, token))) if rejected.id == token.id() => Look::NoOther,
            (_, Some((_, token))) => Look::Take(token),
            (Some(_), None) => self.look_for_another(snapshot, now),
            (None, None) => self.look_for_any(snapshot, now),
        }
    }

    fn look_for_any<'a, T: Token, Failure, Reason>(
        &mut self,
        snapshot: &'a Snapshot<T, Failure, Reason>,
        now: u64,
    ) -> Look<'a, T, Failure> {
        let asks = now >= snapshot.nudge_from;
        match snapshot.advice(now) {
            Advice::Serve(token) => Look::Take(token),
            Advice::Hold(token) => match self.left(snapshot.wait_at_most_ms, now) {
                0 => Look::Take(token),
                left => Look::Wait { at_most_ms: Some(left), asks },
            },
            Advice::Wait => Look::Wait { at_most_ms: None, asks },
            Advice::Ask => Look::Wait { at_most_ms: None, asks: true },
            Advice::Refuse(failure) => Look::Refuse(failure),
            Advice::Closed => Look::Closed,
        }
    }

    fn look_for_another<'a, T: Token, Failure, Reason>(
        &mut self,
        snapshot: &'a Snapshot<T, Failure, Reason>,
        now: u64,
    ) -> Look<'a, T, Failure> {
        let Some(rejected) = &self.other_than else { return Look::NoOther };
        let asks = match &snapshot.access {
            Access::Usable { token, unusable_at, .. } if token.id() != rejected.id && token.is_good() && now < *unusable_at => {
                return Look::Take(token);
            }
            // One of unknown life, which served who waited for it.
            Access::Usable { unusable_at, .. } if *unusable_at <= now => true,
            // The session knows of it, and cannot do anything about it now.
            Access::Usable { token, .. } if !token.is_good() && !snapshot.underway => return Look::NoOther,
            Access::Failed(_) | Access::Closed => return Look::NoOther,
            Access::Idle => true,
            Access::Usable { .. } | Access::Pending(_) => false,
        };
        let at_most_ms = rejected.at_most_ms.unwrap_or(snapshot.wait_at_most_ms);
        match self.left(at_most_ms, now) {
            0 => Look::NoOther,
            left => Look::Wait { at_most_ms: Some(left), asks },
        }
    }

    /// How long it still waits of so long in all.
    fn left(&mut self, at_most_ms: u64, now: u64) -> u64 {
        self.until.get_or_insert(now.saturating_add(at_most_ms)).saturating_sub(now)
    }
}
