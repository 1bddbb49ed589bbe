//! Counters and gauges, named as in the proxy-wasm filter: one counter for each code of the component's notes, and what only a proxy
//! has. Envoy puts `dynamicmodulescustom.` before them.
//!
//! They are counted anywhere, and handed to Envoy on its main thread.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};

use wif_engine::contract::NoteCode;

use crate::abi::{Configuration, ConfigurationScheduler, Metric};

/// The metrics of one configuration.
pub(crate) struct Metrics {
    notes: BTreeMap<String, Counter>,
    waited: Counter,
    refused: Counter,
    elsewhere: Counter,
    waiting: Gauge,
    unusable_at_s: Gauge,
    /// A call of `publish` is on its way.
    called: AtomicBool,
    scheduler: Option<ConfigurationScheduler>,
}

struct Counter {
    metric: Option<Metric>,
    /// What Envoy was not told yet.
    more: AtomicU64,
}

struct Gauge {
    metric: Option<Metric>,
    value: AtomicU64,
}

impl Metrics {
    /// Defines them. What Envoy does not want is not counted.
    pub(crate) fn define(configuration: &Configuration<'_>) -> Self {
        let counter = |name: &str| Counter { metric: configuration.counter(name), more: AtomicU64::new(0) };
        let gauge = |name: &str| Gauge { metric: configuration.gauge(name), value: AtomicU64::new(0) };
        let note = |code: &NoteCode| {
            let serde_json::Value::String(code) = serde_json::to_value(code).ok()? else { return None };
            let counter = counter(&format!("wif_{}", code.replace('-', "_")));
            Some((code, counter))
        };
        Self {
            notes: NoteCode::ALL.iter().filter_map(note).collect(),
            waited: counter("wif_requests_waited"),
            refused: counter("wif_requests_refused"),
            elsewhere: counter("wif_requests_elsewhere"),
            waiting: gauge("wif_requests_waiting"),
            unusable_at_s: gauge("wif_token_unusable_at_seconds"),
            called: AtomicBool::new(false),
            scheduler: configuration.scheduler(),
        }
    }

    /// Something changed.
    pub(crate) fn note(&self, code: &str) {
        if let Some(counter) = self.notes.get(code) {
            counter.add(self);
        }
    }

    /// A request waits for a token.
    pub(crate) fn begins_to_wait(&self) {
        self.waiting.value.fetch_add(1, Relaxed);
        self.waited.add(self);
    }

    /// It no longer does.
    pub(crate) fn ends_to_wait(&self) {
        self.waiting.value.fetch_sub(1, Relaxed);
        self.call();
    }

    /// A request was answered without being sent.
    pub(crate) fn refused(&self) {
        self.refused.add(self);
    }

    /// A request went to a cluster that is not ours.
    pub(crate) fn elsewhere(&self) {
        self.elsewhere.add(self);
    }

    /// When the token is served no longer, in Unix time; zero without one.
    pub(crate) fn token_unusable_at(&self, seconds: u64) {
        self.unusable_at_s.value.store(seconds, Relaxed);
        self.call();
    }

    /// Hands them to Envoy.
    pub(crate) fn publish(&self, configuration: &Configuration<'_>) {
        // Before they are read: what is counted from here on calls again.
        self.called.store(false, SeqCst);
        for counter in self.notes.values().chain([&self.waited, &self.refused, &self.elsewhere]) {
            let more = counter.more.swap(0, SeqCst);
            if let (Some(metric), 1..) = (counter.metric, more) {
                configuration.add(metric, more);
            }
        }
        for gauge in [&self.waiting, &self.unusable_at_s] {
            if let Some(metric) = gauge.metric {
                configuration.set(metric, gauge.value.load(SeqCst));
            }
        }
    }

    fn call(&self) {
        if let Some(scheduler) = &self.scheduler
            && !self.called.swap(true, SeqCst)
        {
            scheduler.commit();
        }
    }
}

impl Counter {
    fn add(&self, metrics: &Metrics) {
        self.more.fetch_add(1, SeqCst);
        metrics.call();
    }
}
