//! What the proxy calls. Names and arguments are those of the proxy-wasm ABI 0.2.1; what the filter does nothing with is left out,
//! so that a proxy need not enter the VM for it.

#![allow(unsafe_code, reason = "functions are exported under names of the ABI")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic;

use wif_engine::contract::{Capability, ConfigurationError, Start};

use crate::driver::{Machine, Open, open_session};
use crate::hostcalls::{self, LogLevel};
use crate::outside;
use crate::request::Request;
use crate::root::Root;

/// The contexts of this VM. A request's callback may come while a root context's is under way.
#[derive(Default)]
struct Contexts {
    roots: RefCell<BTreeMap<u32, Root>>,
    /// None: the filter's own, which has come back to it.
    requests: RefCell<BTreeMap<u32, Option<Request>>>,
    make: Cell<Make>,
}

/// What a module is made of besides the filter.
#[derive(Debug, Clone, Copy)]
pub struct Make {
    /// Opens what the filter drives.
    pub open: Open,
    /// Called with each request before the filter is.
    pub on_request: Option<fn()>,
}

impl Default for Make {
    /// The engine's session, and nothing else: what is shipped.
    fn default() -> Self {
        Self { open: open_session, on_request: None }
    }
}

thread_local! {
    static CONTEXTS: Contexts = Contexts::default();
}

/// What goes on.
const CONTINUE: u32 = 0;

/// What waits, or was answered.
const PAUSE: u32 = 1;

/// Sets the VM up: for a module's `_initialize`.
pub fn start(make: Make) {
    panic::set_hook(Box::new(|panic| {
        let _ = hostcalls::log(LogLevel::Critical, &panic.to_string());
    }));
    CONTEXTS.with(|contexts| contexts.make.set(make));
}

/// Opens what a filter drives.
pub(crate) fn open(
    configuration: &str,
    seed: u64,
    can: &[Capability],
    from: Start,
) -> Result<Box<dyn Machine>, ConfigurationError> {
    (CONTEXTS.with(|contexts| contexts.make.get()).open)(configuration, seed, can, from)
}

fn of_root<T>(id: u32, otherwise: T, callback: impl FnOnce(&mut Root) -> T) -> T {
    CONTEXTS.with(|contexts| contexts.roots.borrow_mut().get_mut(&id).map_or(otherwise, callback))
}

fn of_request(id: u32, callback: impl FnOnce(&mut Request) -> bool) -> u32 {
    let goes_on = CONTEXTS.with(|contexts| {
        let mut requests = contexts.requests.borrow_mut();
        requests.get_mut(&id).and_then(Option::as_mut).is_none_or(callback)
    });
    if goes_on { CONTINUE } else { PAUSE }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Memory for what the proxy hands over: see [`hostcalls`](crate::hostcalls).
#[unsafe(no_mangle)]
extern "C" fn malloc(bytes: usize) -> *mut u8 {
    Box::into_raw(vec![0_u8; bytes].into_boxed_slice()).cast()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, root: u32) {
    CONTEXTS.with(|contexts| {
        if root == 0 {
            contexts.roots.borrow_mut().insert(id, Root::new(id));
            return;
        }
        // One that comes while a root context sends a request of its own is that one.
        let request = contexts.roots.try_borrow().ok().map(|roots| {
            let request = roots.get(&root).and_then(|root| root.request(id));
            // Nothing may pass that the filter does not see.
            request.expect("requests come after the configuration")
        });
        if request.is_none() {
            outside::note_own_request();
        }
        contexts.requests.borrow_mut().insert(id, request);
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, bytes: usize) -> u32 {
    of_root(root, false, |root| root.on_configure(bytes)).into()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    of_root(root, (), Root::on_tick);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(_: u32, call: u32, headers: u32, body_bytes: usize, _: u32) {
    CONTEXTS.with(|contexts| {
        // Whoever made the call knows its number, whatever the proxy takes for the context.
        let mut roots = contexts.roots.borrow_mut();
        if let Some((id, root)) = roots.iter_mut().find(|(_, root)| root.made(call)) {
            let _ = hostcalls::set_effective_context(*id);
            root.on_http_call_response(call, headers as usize, body_bytes);
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(id: u32, _: u32, _: u32) -> u32 {
    if let Some(on_request) = CONTEXTS.with(|contexts| contexts.make.get().on_request) {
        on_request();
    }
    if CONTEXTS.with(|contexts| matches!(contexts.requests.borrow().get(&id), Some(None))) {
        // Answered in here, it would have Envoy hand the answer to a VM that is busy, again and again and for ever. So it waits until
        // the time of its call is over.
        return PAUSE;
    }
    of_request(id, Request::on_http_request_headers)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(id: u32, _: u32) -> u32 {
    of_request(id, Request::on_http_request_trailers)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(id: u32, _: u32, _: u32) -> u32 {
    of_request(id, Request::on_http_response_headers)
}

/// Whether the context may end at once.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(id: u32) -> u32 {
    of_root(id, true, Root::on_done).into()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(id: u32) {
    CONTEXTS.with(|contexts| {
        let root = contexts.roots.borrow_mut().remove(&id);
        let request = contexts.requests.borrow_mut().remove(&id);
        // What they drop may look at the others.
        drop((root, request));
    });
}
