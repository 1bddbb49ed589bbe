//! What goes to Envoy's log: the events of `wif`, and where a panic was.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::panic;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, set_global_default};
use tracing::{Event, Metadata, Subscriber};

use crate::abi::{self, Level};

/// The target of everything that the host library says; no event of it holds a secret.
const TARGET: &str = "wif";

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// From here on this thread uses nothing of Envoy's, which may be ending.
pub(crate) fn silence() {
    SILENT.set(true);
}

/// Once for the process. The module has a `tracing` and a standard library of its own: nobody else's is touched.
pub(crate) fn install() {
    // A module that is loaded a second time is the same one.
    let _ = set_global_default(Log);
    panic::set_hook(Box::new(|panic| {
        // What it panicked with may hold anything.
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        if SILENT.get() {
            return;
        }
        abi::log(Level::Critical, &format!("wif: a bug in the module, please report it: a panic at {place}"));
    }));
}

struct Log;

impl Subscriber for Log {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Envoy's level may change at any time.
        if metadata.is_event() && metadata.target() == TARGET { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target() == TARGET && !SILENT.get() && abi::logs(level(metadata))
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let Line { message, fields } = line;
        abi::log(level(event.metadata()), &format!("wif: {message}{fields}"));
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        // There are none.
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

fn level(metadata: &Metadata<'_>) -> Level {
    match *metadata.level() {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warning,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG | tracing::Level::TRACE => Level::Debug,
    }
}

/// A message, and behind it the fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn add(&mut self, field: &Field, value: impl fmt::Display) {
        // To write into a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value}"),
            name => write!(self.fields, " {name}={value}"),
        };
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if !value.is_empty() {
            self.add(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}
