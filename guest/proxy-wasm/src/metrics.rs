//! Counters and gauges. A counter for each code of the engine's notes, which are the same in all hosts; and what only a proxy has.

use std::collections::BTreeMap;

use wif_engine::contract::NoteCode;

use crate::hostcalls::{self, MetricType};
use crate::reply::name;

/// Names in the proxy: Envoy puts `wasmcustom.` before them.
pub(crate) struct Metrics {
    notes: BTreeMap<String, u32>,
    waiting: Option<u32>,
    waited: Option<u32>,
    refused: Option<u32>,
    elsewhere: Option<u32>,
    unusable_at: Option<u32>,
    unusable_at_s: u64,
}

impl Metrics {
    pub(crate) fn define() -> Self {
        let define = |kind: MetricType, name: &str| hostcalls::define_metric(kind, name).ok();
        let note = |code: &NoteCode| {
            let code = name(code);
            let id = define(MetricType::Counter, &format!("wif_{}", code.replace('-', "_")))?;
            Some((code, id))
        };
        Self {
            notes: NoteCode::ALL.iter().filter_map(note).collect(),
            waiting: define(MetricType::Gauge, "wif_requests_waiting"),
            waited: define(MetricType::Counter, "wif_requests_waited"),
            refused: define(MetricType::Counter, "wif_requests_refused"),
            elsewhere: define(MetricType::Counter, "wif_requests_elsewhere"),
            unusable_at: define(MetricType::Gauge, "wif_token_unusable_at_seconds"),
            unusable_at_s: 0,
        }
    }

    /// Something changed.
    pub(crate) fn note(&self, code: &str) {
        add(self.notes.get(code).copied(), 1);
    }

    /// A request waits for a token.
    pub(crate) fn begins_to_wait(&self) {
        add(self.waiting, 1);
        add(self.waited, 1);
    }

    /// It no longer does.
    pub(crate) fn ends_to_wait(&self) {
        add(self.waiting, -1);
    }

    /// A request was answered without being sent.
    pub(crate) fn refused(&self) {
        add(self.refused, 1);
    }

    /// A request went to a cluster that does not lead to the API.
    pub(crate) fn elsewhere(&self) {
        add(self.elsewhere, 1);
    }

    /// When the token is served no longer, in Unix time; zero without one. The proxy has one gauge of this name for all VMs and
    /// configurations, and it says what was told last: the workers of one configuration tell the same, because they share the token;
    /// of several configurations it is that whose token changed last.
    pub(crate) fn token_unusable_at(&mut self, seconds: u64) {
        // To the second, the same moment is computed differently at different times.
        if self.unusable_at_s.abs_diff(seconds) > 1
            && let Some(gauge) = self.unusable_at
        {
            self.unusable_at_s = seconds;
            let _ = hostcalls::record_metric(gauge, seconds);
        }
    }
}

fn add(metric: Option<u32>, by: i64) {
    if let Some(metric) = metric {
        let _ = hostcalls::increment_metric(metric, by);
    }
}
