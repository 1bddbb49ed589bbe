//! Samples that take turns.

use std::time::{Duration, Instant};

/// A series of measurements of one thing, sorted.
#[derive(Debug, Clone)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// Nothing can be said about no measurement, so there is at least one.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        assert!(!values.is_empty(), "at least one measurement");
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The first and the third quartile.
    pub(crate) fn quartiles(&self) -> [f64; 2] {
        [self.quantile(0.25), self.quantile(0.75)]
    }

    /// The measured value at this rank, the lower one where it lies between two.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a rank is small")]
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * part) as usize]
    }
}

/// A duration in nanoseconds.
#[allow(clippy::cast_precision_loss, reason = "no run is long enough")]
pub(crate) fn nanoseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

/// Nanoseconds of one call of each, in batches that take turns. A tenth more batches than are counted warm up.
pub(crate) fn in_turns<const N: usize>(batches: usize, calls: u32, mut of: [&mut dyn FnMut(u32); N]) -> [Samples; N] {
    let mut samples = [(); N].map(|()| Vec::with_capacity(batches));
    let warm_up = batches.div_ceil(10);
    for batch in 0..warm_up + batches {
        for (measured, samples) in of.iter_mut().zip(&mut samples) {
            let start = Instant::now();
            measured(calls);
            let taken = nanoseconds(start.elapsed());
            if batch >= warm_up {
                samples.push(taken / f64::from(calls));
            }
        }
    }
    samples.map(Samples::of)
}

/// What a measurement of nothing takes: two reads of the clock, in nanoseconds.
pub(crate) fn overhead() -> f64 {
    let pair = || {
        let start = Instant::now();
        nanoseconds(std::hint::black_box(start).elapsed())
    };
    Samples::of((0..10_001).map(|_| pair()).collect()).median()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_measured_value_and_no_mean_of_an_outlier() {
        let samples = Samples::of(vec![3.0, 1.0, 1_000.0, 2.0, 4.0]);
        assert_eq!(samples.median(), 3.0);
        assert_eq!(samples.quartiles(), [2.0, 4.0]);
    }

    #[test]
    fn what_is_compared_takes_turns() {
        let order = std::cell::RefCell::new(Vec::new());
        in_turns(2, 1, [&mut |_| order.borrow_mut().push('a'), &mut |_| order.borrow_mut().push('b')]);
        assert_eq!(order.into_inner(), ['a', 'b', 'a', 'b', 'a', 'b']);
    }
}
