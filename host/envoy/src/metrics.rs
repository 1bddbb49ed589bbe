//! Counters and gauges, named as in the proxy-wasm filter: one counter for each code of the component's notes, and what only a proxy
//! has. Envoy puts `dynamicmodulescustom.` before them.
//!
//! They are counted anywhere, and handed to Envoy on its main thread. Configurations in listeners' chains have one set of them, by
//! name; in the chain of a cluster, Envoy puts the cluster's name before them. So `wif_requests_waiting` is a sum, from which a
//! configuration that ends takes its part; and `wif_token_unusable_at_seconds` is the earliest of all configurations of the process,
//! wherever it is told, for nobody here knows who shares it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wif::NoteCode;

use crate::abi::{Configuration, ConfigurationScheduler, KnownConfiguration, Metric};

/// The end of a token that has none.
pub(crate) const NEVER: u64 = u64::MAX / 1_000;

/// The configurations that have said what there is to say of their token, by their number.
static ENDS: Mutex<BTreeMap<u64, End>> = Mutex::new(BTreeMap::new());

/// The end of one configuration's token.
struct End {
    /// In Unix time; zero without a token; none if nobody has asked for one.
    unusable_at_s: Option<u64>,
    /// To tell the earliest anew.
    caller: Arc<Caller>,
}

/// The number of the next configuration.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The metrics of one configuration.
pub(crate) struct Metrics {
    notes: BTreeMap<&'static str, Counter>,
    waited: Counter,
    refused: Counter,
    elsewhere: Counter,
    waiting: Level,
    unusable_at_s: Option<Metric>,
    /// Which of the process's configurations this is.
    number: u64,
    /// The configuration has ended. Written under the lock of `ENDS`.
    ended: AtomicBool,
    caller: Arc<Caller>,
    configuration: KnownConfiguration,
}

/// Calls [`Metrics::publish`] on the main thread.
struct Caller {
    /// A call is on its way.
    called: AtomicBool,
    scheduler: Option<ConfigurationScheduler>,
}

struct Counter {
    metric: Option<Metric>,
    /// What Envoy was not told yet.
    more: AtomicU64,
}

/// A gauge to which every configuration adds its part.
struct Level {
    metric: Option<Metric>,
    /// This configuration's part.
    now: AtomicU64,
    /// How much of it is in Envoy's gauge.
    told: AtomicU64,
}

impl Metrics {
    /// Defines them. What Envoy does not want is not counted.
    pub(crate) fn define(configuration: &Configuration<'_>) -> Self {
        let counter = |name: &str| Counter { metric: configuration.counter(name), more: AtomicU64::new(0) };
        let note = |code: &NoteCode| {
            let code = code.as_str();
            (code, counter(&format!("wif_{}", code.replace('-', "_"))))
        };
        Self {
            notes: NoteCode::ALL.iter().map(note).collect(),
            waited: counter("wif_requests_waited"),
            refused: counter("wif_requests_refused"),
            elsewhere: counter("wif_requests_elsewhere"),
            waiting: Level {
                metric: configuration.gauge("wif_requests_waiting"),
                now: AtomicU64::new(0),
                told: AtomicU64::new(0),
            },
            unusable_at_s: configuration.gauge("wif_token_unusable_at_seconds"),
            number: NEXT.fetch_add(1, SeqCst),
            ended: AtomicBool::new(false),
            caller: Arc::new(Caller { called: AtomicBool::new(false), scheduler: configuration.scheduler() }),
            configuration: configuration.known(),
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
        self.waiting.now.fetch_add(1, SeqCst);
        self.waited.add(self);
    }

    /// It no longer does.
    pub(crate) fn ends_to_wait(&self) {
        self.waiting.now.fetch_sub(1, SeqCst);
        self.caller.call();
    }

    /// A request was answered without being sent.
    pub(crate) fn refused(&self) {
        self.refused.add(self);
    }

    /// A request went to a cluster that is not ours.
    pub(crate) fn elsewhere(&self) {
        self.elsewhere.add(self);
    }

    /// When the token is served no longer, in Unix time; zero without one, and none if nobody has asked for one. The gauge has the
    /// earliest of all configurations of the process, for that is what is to be acted on.
    pub(crate) fn token_unusable_at(&self, seconds: Option<u64>) {
        let mut ends = ends();
        if !self.ended.load(SeqCst) {
            ends.insert(self.number, End { unusable_at_s: seconds, caller: Arc::clone(&self.caller) });
            ends.values().for_each(|end| end.caller.call());
        }
    }

    /// Hands them to Envoy.
    pub(crate) fn publish(&self, configuration: &Configuration<'_>) {
        // Before they are read: what is counted from here on calls again.
        self.caller.called.store(false, SeqCst);
        for counter in self.notes.values().chain([&self.waited, &self.refused, &self.elsewhere]) {
            let more = counter.more.swap(0, SeqCst);
            if let (Some(metric), 1..) = (counter.metric, more) {
                configuration.add(metric, more);
            }
        }
        self.waiting.tell(configuration, self.waiting.now.load(SeqCst));
        if let Some(metric) = self.unusable_at_s {
            // The lock is held until Envoy has it: who comes later has newer ones.
            let ends = ends();
            configuration.set(metric, ends.values().filter_map(|end| end.unusable_at_s).min().unwrap_or(0));
        }
    }

    /// Takes back what is in Envoy's gauges of this configuration, which ends: others go on with them.
    pub(crate) fn withdraw(&self, configuration: &Configuration<'_>) {
        self.waiting.tell(configuration, 0);
        let mut ends = ends();
        self.ended.store(true, SeqCst);
        ends.remove(&self.number);
        ends.values().for_each(|end| end.caller.call());
    }

    /// The configuration that they are of.
    pub(crate) fn configuration(&self) -> &KnownConfiguration {
        &self.configuration
    }
}

impl Caller {
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
        metrics.caller.call();
    }
}

impl Level {
    fn tell(&self, configuration: &Configuration<'_>, now: u64) {
        let Some(metric) = self.metric else { return };
        let told = self.told.swap(now, SeqCst);
        if now > told {
            configuration.raise(metric, now - told);
        } else if now < told {
            configuration.lower(metric, told - now);
        }
    }
}

fn ends() -> MutexGuard<'static, BTreeMap<u64, End>> {
    // Every change is one insertion or removal.
    ENDS.lock().unwrap_or_else(PoisonError::into_inner)
}
