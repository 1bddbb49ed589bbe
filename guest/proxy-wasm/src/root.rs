//! The root context: opens a filter from the plugin's configuration, and hands it ticks and answers.

use std::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};
use wif_engine::Secret;
use wif_engine::contract::ConfigurationError;

use crate::filter::Filter;
use crate::outside::log;
use crate::request::Request;
use crate::settings::Settings;

thread_local! {
    /// What the filters of this VM leave to the next: after a change of the configuration the ledger of identity tokens goes on.
    static JOURNAL: RefCell<Option<Secret>> = const { RefCell::new(None) };
}

/// The context of one plugin configuration in one VM.
pub struct Root {
    id: u32,
    filter: Option<Rc<RefCell<Filter>>>,
}

/// Sets the filter up: for a module's `_initialize`.
pub fn start() {
    proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(Root::new(id)));
}

impl Root {
    /// A context that is not configured yet.
    #[must_use]
    pub fn new(id: u32) -> Self {
        Self { id, filter: None }
    }

    /// The context of a request.
    #[must_use]
    pub fn request(&self, id: u32) -> Option<Request> {
        Some(Request::new(Rc::clone(self.filter.as_ref()?), id))
    }

    fn configure(&mut self, bytes: usize) -> Result<(), ConfigurationError> {
        let document = match bytes {
            0 => None,
            bytes => hostcalls::get_buffer(BufferType::PluginConfiguration, 0, bytes).ok().flatten(),
        };
        let document = String::from_utf8(document.unwrap_or_default()).unwrap_or_default();
        let settings = Settings::parse(&document)?;
        let journal = match self.filter.take() {
            Some(filter) => filter.borrow_mut().close(),
            None => JOURNAL.take(),
        };
        let filter = Filter::open(self.id, settings, journal)?;
        self.filter = Some(Rc::new(RefCell::new(filter)));
        Ok(())
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, headers: usize, body_bytes: usize, _: usize) {
        if let Some(filter) = &self.filter {
            filter.borrow_mut().answered(call, headers, body_bytes);
            keep(filter);
        }
    }

    fn on_done(&mut self) -> bool {
        if let Some(filter) = &self.filter {
            filter.borrow_mut().close();
        }
        true
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, bytes: usize) -> bool {
        match self.configure(bytes) {
            Ok(()) => {
                // Nothing is started here: the proxy configures VMs only to see whether they can be.
                let _ = hostcalls::set_tick_period(std::time::Duration::from_millis(1));
                true
            }
            Err(ConfigurationError { field, message }) => {
                let field = if field.is_empty() { "the plugin's configuration" } else { &field };
                log(LogLevel::Error, &format!("wif: configuration-failed: {field} {message}"));
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(filter) = &self.filter {
            filter.borrow_mut().tick();
            keep(filter);
        }
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        self.request(id).map(|request| Box::new(request) as Box<dyn HttpContext>)
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

fn keep(filter: &Rc<RefCell<Filter>>) {
    if let Some(journal) = filter.borrow_mut().take_journal() {
        JOURNAL.set(Some(journal));
    }
}
