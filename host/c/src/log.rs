//! The log, line by line, for a function of the program.

use std::ffi::{CString, c_char, c_void};
use std::fmt;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

use crate::callables::calling;
use crate::signals;
use crate::words::own_words;

/// See the header.
pub type wif_log = unsafe extern "C" fn(user: *mut c_void, line: *const c_char);

/// More than these are not kept for a function that is slow.
const LINES: usize = 1_000;

/// The program's function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    function: wif_log,
    user: *mut c_void,
}

// SAFETY: the header asks for a function that can be called on any thread, with a `user` that is good for it.
unsafe impl Send for Log {}
// SAFETY: likewise.
unsafe impl Sync for Log {}

impl Log {
    pub(crate) fn new(function: wif_log, user: *mut c_void) -> Self {
        Self { function, user }
    }

    /// Starts a thread that calls it. The thread ends with the last that holds the dispatch.
    pub(crate) fn start(self) -> std::io::Result<(Dispatch, JoinHandle<()>)> {
        let (lines, waiting) = sync_channel::<CString>(LINES);
        let body = move || {
            let log = self;
            for line in waiting {
                // SAFETY: the program gave this function for such a call; the line is good until it returns.
                calling(|| unsafe { (log.function)(log.user, line.as_ptr()) });
            }
        };
        let thread = signals::blocked(|| std::thread::Builder::new().name("wif-log".to_owned()).spawn(body))?;
        Ok((Dispatch::new(Lines(lines)), thread))
    }
}

/// Makes lines of events.
struct Lines(SyncSender<CString>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO && metadata.is_event() && metadata.target().starts_with("wif")
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warning",
            _ => "info",
        };
        let mut said = Said::default();
        event.record(&mut said);
        let line = json!({ "level": level, "message": own_words(&said.message), "fields": said.fields });
        if let Ok(line) = CString::new(line.to_string()) {
            // A log that is full goes on with what comes later.
            let _ = self.0.try_send(line);
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.fields.insert(field.name().to_owned(), text.into());
        }
    }
}
