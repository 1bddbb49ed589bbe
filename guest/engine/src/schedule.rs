//! When: the windows of a token, and the pauses after a failure. All times are milliseconds.

use crate::timeline::Moment;

/// At least this between two requests to the token endpoint.
pub(crate) const MIN_INTERVAL_MS: u64 = 5_000;

/// The longest pause after a transient failure.
const MAX_PAUSE_MS: u64 = 120_000;

/// The pauses after the first, the second and every later 401: after a key rotation a 401 is transient for about a minute.
const REFUSAL_PAUSES_MS: [u64; 3] = [15_000, 60_000, 300_000];

/// The windows before a token's expiry, scaled to its lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Windows {
    /// A refresh runs beside the callers.
    pub(crate) advisory: u64,
    /// Callers wait for a running refresh.
    pub(crate) mandatory: u64,
    /// The token is not served.
    pub(crate) margin: u64,
}

impl Windows {
    pub(crate) fn of(lifetime: u64) -> Self {
        Self { advisory: (lifetime / 2).min(120_000), mandatory: (lifetime / 4).min(30_000), margin: (lifetime / 12).min(5_000) }
    }

    /// How far into the advisory window the refresh begins, so that replicas that started together drift apart.
    pub(crate) fn jitter(self, random: &mut Random) -> u64 {
        random.up_to((self.advisory - self.mandatory) / 2)
    }
}

/// What was tried, and when the next try may be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pace {
    /// Transient failures in a row.
    pub(crate) failures: u32,
    /// Refusals in a row.
    pub(crate) refusals: u32,
    /// Whether the immediate repeat of a request that never left is used up.
    pub(crate) repeated_unsent: bool,
    /// The identity token that was tried last.
    pub(crate) tried: Option<String>,
    /// The same identity token is not sent before.
    pub(crate) retry_at: Moment,
    /// Nothing is sent before: the server asked for it, or the last request was just now.
    pub(crate) floor: Moment,
    /// Neither source nor store is asked before.
    pub(crate) look_at: Moment,
}

impl Pace {
    /// After a failure that passes by itself: exponential with full jitter.
    pub(crate) fn transient(&mut self, now: Moment, random: &mut Random) {
        let ceiling = (MIN_INTERVAL_MS << self.failures.min(16)).min(MAX_PAUSE_MS);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + random.up_to(ceiling).max(MIN_INTERVAL_MS);
    }

    /// After a 401 to an identity token that was not consumed.
    pub(crate) fn refused(&mut self, now: Moment) {
        let pause = REFUSAL_PAUSES_MS[(self.refusals as usize).min(REFUSAL_PAUSES_MS.len() - 1)];
        self.refusals = self.refusals.saturating_add(1);
        self.retry_at = now + pause;
    }

    /// After an answer that only another configuration will change.
    pub(crate) fn terminal(&mut self, now: Moment, random: &mut Random) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + 300_000 + random.up_to(300_000);
    }

    /// Nothing is sent before `until`, whatever changes.
    pub(crate) fn not_before(&mut self, until: Moment) {
        self.floor = self.floor.max(until);
    }

    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.refusals = 0;
        self.repeated_unsent = false;
        self.retry_at = self.floor;
    }
}

/// SplitMix64: the jitter's source. It must be the same on every host and need not be unpredictable.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Twice as many digits.
    pub(crate) fn next_wide(&mut self) -> u128 {
        let high = u128::from(self.next());
        (high << 64) + u128::from(self.next())
    }

    /// A number from 0 to `limit`, both included.
    pub(crate) fn up_to(&mut self, limit: u64) -> u64 {
        match limit.checked_add(1) {
            // The bias is below one in 2^32 for every limit used here.
            Some(count) => self.next() % count,
            None => self.next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_scale_with_the_lifetime() {
        let windows = |seconds: u64| {
            let Windows { advisory, mandatory, margin } = Windows::of(seconds * 1000);
            (advisory, mandatory, margin)
        };
        assert_eq!(windows(86_400), (120_000, 30_000, 5_000));
        assert_eq!(windows(3_600), (120_000, 30_000, 5_000));
        assert_eq!(windows(261), (120_000, 30_000, 5_000));
        assert_eq!(windows(60), (30_000, 15_000, 5_000));
        assert_eq!(windows(1), (500, 250, 83));
        assert_eq!(windows(0), (0, 0, 0));
    }

    #[test]
    fn what_the_server_asks_for_never_shortens_the_interval() {
        let mut pace = Pace { floor: Moment::default() + 5_000, ..Pace::default() };
        pace.not_before(Moment::default() + 1_000);
        assert_eq!(pace.floor, Moment::default() + 5_000);
        pace.not_before(Moment::default() + 9_000);
        assert_eq!(pace.floor, Moment::default() + 9_000);
    }

    /// Replicas that started together do not refresh together.
    #[test]
    fn refreshes_of_different_seeds_drift_apart() {
        let windows = Windows::of(3_600_000);
        let mut jitters: Vec<u64> = (0..64).map(|seed| windows.jitter(&mut Random::new(seed))).collect();
        assert!(jitters.iter().all(|jitter| *jitter <= 45_000), "{jitters:?}");
        jitters.sort_unstable();
        jitters.dedup();
        assert!(jitters.len() > 60 && jitters[jitters.len() - 1] - jitters[0] > 30_000, "{jitters:?}");
    }

    #[test]
    fn pauses_grow_to_a_bound_and_never_fall_below_the_interval() {
        let mut random = Random::new(3);
        let mut pace = Pace::default();
        let mut longest = 0;
        for failure in 0..100 {
            pace.transient(Moment::default(), &mut random);
            let pause = pace.retry_at - Moment::default();
            assert!((5_000..=120_000).contains(&pause), "pause {failure} is {pause} ms");
            assert!(failure > 0 || pause == 5_000, "the first one is the shortest");
            longest = pause.max(longest);
        }
        assert!(longest > 110_000, "{longest} ms");
    }

    #[test]
    fn a_success_begins_the_pauses_anew() {
        let (mut pace, now) = (Pace::default(), Moment::default());
        for _ in 0..3 {
            pace.transient(now, &mut Random::new(3));
            pace.refused(now);
        }
        (pace.repeated_unsent, pace.floor) = (true, now + 7_000);
        pace.succeeded();
        assert_eq!((pace.failures, pace.refusals, pace.repeated_unsent), (0, 0, false));
        assert_eq!(pace.retry_at, now + 7_000, "what the endpoint asked for holds on");
        pace.refused(now);
        assert_eq!(pace.retry_at, now + 15_000);
    }

    /// The generator's own reference values: every host jitters alike.
    #[test]
    fn the_jitter_is_that_of_split_mix_64() {
        let mut random = Random::new(1_234_567);
        let numbers = [random.next(), random.next(), random.next()];
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        assert_eq!(Random::new(0).next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(Random::new(0).next_wide(), 0xe220_a839_7b1d_cdaf_6e78_9e6a_a1b9_65f4);
    }
}
