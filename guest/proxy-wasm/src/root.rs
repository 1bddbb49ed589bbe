//! The root context: opens a filter from the plugin's configuration, and hands it ticks and answers.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use wif_engine::contract::ConfigurationError;
use wif_engine::{Secret, id_of};
use wif_rules::{Journals, Place};

use crate::credential::Credential;
use crate::hostcalls::{self, BufferType, LogLevel};
use crate::outside::log;
use crate::request::Request;
use crate::settings::Settings;

thread_local! {
    /// What the filters of this VM leave to the next: after a change of the configuration the ledger goes on.
    static JOURNALS: RefCell<Journals<Secret>> = const { RefCell::new(Journals::new()) };
}

/// The context of one plugin configuration in one VM.
pub(crate) struct Root {
    id: u32,
    credential: Option<Rc<RefCell<Credential>>>,
    /// Where the filter's journal is kept.
    place: Option<Place>,
    /// The proxy wants the context to end, and waits for what it is still doing.
    ending: bool,
}

impl Root {
    /// A context that is not configured yet.
    pub(crate) fn new(id: u32) -> Self {
        Self { id, credential: None, place: None, ending: false }
    }

    /// The context of a request.
    pub(crate) fn request(&self, id: u32) -> Option<Request> {
        Some(Request::new(Rc::clone(self.credential.as_ref()?), id))
    }

    fn configure(&mut self, bytes: usize) -> Result<(), ConfigurationError> {
        let document = match bytes {
            0 => None,
            bytes => hostcalls::get_buffer(BufferType::PluginConfiguration, bytes).ok().flatten(),
        };
        let document = String::from_utf8(document.unwrap_or_default()).unwrap_or_default();
        let settings = Settings::parse(&document)?;
        self.keep();
        let (place, journal) = JOURNALS.with_borrow_mut(|journals| journals.open(id_of(settings.source().reveal())));
        let credential = Credential::open(self.id, settings, journal)?;
        if let Some(before) = self.credential.replace(Rc::new(RefCell::new(credential))) {
            before.borrow_mut().close();
        }
        self.place = Some(place);
        Ok(())
    }

    /// Remembers the newest journal.
    fn keep(&mut self) {
        let Some(journal) = self.credential.as_ref().and_then(|credential| credential.borrow_mut().take_journal()) else {
            return;
        };
        if let Some(place) = &self.place {
            JOURNALS.with_borrow_mut(|journals| journals.keep(place, journal));
        }
    }

    /// Closes the session, and ticks no more: the proxy would go on with it for ever.
    fn close(&mut self) {
        if let Some(credential) = &self.credential {
            credential.borrow_mut().close();
        }
        self.keep();
        let _ = hostcalls::set_tick_period(Duration::ZERO);
    }
}

impl Root {
    fn end_if_quiet(&mut self) {
        if self.ending && !self.credential.as_ref().is_some_and(|credential| credential.borrow().exchanges()) {
            self.ending = false;
            self.close();
            let _ = hostcalls::done();
        }
    }
}

/// What the proxy calls.
impl Root {
    /// Whether this context made this call.
    pub(crate) fn made(&self, call: u32) -> bool {
        self.credential.as_ref().is_some_and(|credential| credential.borrow().made(call))
    }

    pub(crate) fn on_http_call_response(&mut self, call: u32, headers: usize, body_bytes: usize) {
        if let Some(credential) = &self.credential {
            credential.borrow_mut().answered(call, headers, body_bytes);
            self.keep();
        }
        self.end_if_quiet();
    }

    /// An exchange that is out is waited for: its identity token may be spent, and the token that it brings is for all.
    pub(crate) fn on_done(&mut self) -> bool {
        if self.credential.as_ref().is_some_and(|credential| credential.borrow().exchanges()) {
            self.ending = true;
            return false;
        }
        self.close();
        true
    }

    pub(crate) fn on_configure(&mut self, bytes: usize) -> bool {
        match self.configure(bytes) {
            Ok(()) => {
                // Nothing is started here: the proxy configures VMs only to see whether they can be.
                let _ = hostcalls::set_tick_period(Duration::from_millis(1));
                true
            }
            Err(ConfigurationError { field, message }) => {
                let field = if field.is_empty() { "the plugin's configuration" } else { &field };
                log(LogLevel::Error, &format!("wif: configuration-failed: {field} {message}"));
                false
            }
        }
    }

    pub(crate) fn on_tick(&mut self) {
        if let Some(credential) = &self.credential {
            credential.borrow_mut().tick();
            self.keep();
        }
        self.end_if_quiet();
    }
}
