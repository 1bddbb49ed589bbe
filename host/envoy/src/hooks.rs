//! What Envoy calls, by the names of its interface of dynamic modules: each hook finds the module or the filter that it is for, and
//! hands it what it was given as a handle of [`crate::abi`], where Envoy's guarantees stand.
//!
//! Every hook catches panics: one that left a function called from C++ would end Envoy.
#![allow(unsafe_code, reason = "the border to a program in C++")]

use std::ffi::{c_char, c_void};
use std::ptr::null;
use std::sync::Arc;

use crate::abi::{Configuration, EnvoyText, Level, Stream, log};
use crate::filter::{Filter, Next};
use crate::guard::guarded;
use crate::module::Module;
use crate::process;
use crate::reply;

/// The version of the interface, as Envoy compares it. The version of Envoy itself is compared in [`crate::version`].
const ABI_VERSION: &[u8] = b"v0.2.0\0";

/// What becomes of a request after its header was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum RequestStatus {
    Continue = 0,
    /// The stream was answered.
    Stop = 1,
    /// Nothing goes on until the stream is resumed; the client is held up rather than buffered without bound.
    Pause = 4,
}

/// All other statuses of hooks begin with this one.
const CONTINUE: u32 = 0;

/// Runs a hook of a stream that decides about the request: a panic answers it.
fn guarded_request<R>(stream: *mut c_void, otherwise: R, hook: impl FnOnce(Stream<'_>) -> R) -> R {
    // SAFETY: it is of the hook that runs. After a panic the stream is there still: what may end it takes the handle and does nothing
    // afterwards that could panic.
    let stream = || unsafe { Stream::of_this_hook(stream) };
    let done = guarded(None, || Some(hook(stream())));
    done.unwrap_or_else(|| {
        guarded((), || stream().answer(&reply::stopped()));
        otherwise
    })
}

/// The module behind a pointer that `config_new` returned.
///
/// # Safety
///
/// `config_destroy` was not called for it yet.
unsafe fn module<'hook>(module: *const c_void) -> &'hook Module {
    // SAFETY: `config_new` made it of an `Arc<Module>`, which `config_destroy` alone gives back.
    unsafe { &*module.cast::<Module>() }
}

/// The filter behind a pointer that `filter_new` returned: held for the whole of a hook, in which `filter_destroy` may be nested.
///
/// # Safety
///
/// `filter_destroy` was not called for it yet.
unsafe fn filter(filter: *const c_void) -> Arc<Filter> {
    assert!(!filter.is_null(), "`filter_new` made none: it panicked");
    let filter = filter.cast::<Filter>();
    // SAFETY: `filter_new` made it of an `Arc<Filter>`, of which `filter_destroy` alone gives back the first count.
    unsafe {
        Arc::increment_strong_count(filter);
        Arc::from_raw(filter)
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    guarded(null(), || if process::begin() { ABI_VERSION.as_ptr().cast() } else { null() })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    configuration: *mut c_void,
    _name: EnvoyText,
    document: EnvoyText,
) -> *const c_void {
    guarded(null(), || {
        // SAFETY: Envoy's text and the configuration are valid until this hook returns.
        let (document, configuration) = unsafe { (document.bytes(), Configuration::of_this_hook(configuration)) };
        match Module::new(document, &configuration) {
            Ok(module) => Arc::into_raw(Arc::new(module)).cast(),
            Err(problem) => {
                log(Level::Error, &format!("wif: the configuration is refused: {problem}"));
                null()
            }
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(module: *const c_void) {
    guarded((), || {
        // SAFETY: Envoy calls this once for what `config_new` returned, after every other hook of it.
        let module = unsafe { Arc::from_raw(module.cast::<Module>()) };
        module.close();
        // SAFETY: Envoy's configuration, and its metrics, are there until this hook returns.
        let configuration = unsafe { Configuration::of_this_hook(module.metrics().configuration().address()) };
        module.metrics().withdraw(&configuration);
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(configuration: *mut c_void, at: *const c_void, _event: u64) {
    // SAFETY: Envoy calls no hook of a configuration that it has destroyed.
    guarded((), || unsafe { module(at).metrics().publish(&Configuration::of_this_hook(configuration)) });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(_name: EnvoyText, _document: EnvoyText) -> *const c_void {
    guarded(null(), || {
        log(Level::Error, "wif: the module takes no configuration for single routes: name their clusters in its own");
        null()
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(_configuration: *const c_void) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(at: *const c_void, _stream: *mut c_void) -> *const c_void {
    guarded(null(), || {
        let at = at.cast::<Module>();
        // SAFETY: `config_new` made it of an `Arc<Module>`, which is not given back before the streams of it have ended.
        let module = unsafe {
            Arc::increment_strong_count(at);
            Arc::from_raw(at)
        };
        Arc::into_raw(Arc::new(Filter::new(module))).cast()
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(at: *const c_void) {
    guarded((), || {
        if at.is_null() {
            return;
        }
        // SAFETY: Envoy calls this once for what `filter_new` returned; hooks that it is nested in hold a count of their own.
        let filter = unsafe { Arc::from_raw(at.cast::<Filter>()) };
        filter.end();
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(stream: *mut c_void, at: *const c_void, _end: bool) -> u32 {
    let status = guarded_request(stream, RequestStatus::Stop, |mut stream| {
        // SAFETY: Envoy calls no hook of a stream that it has destroyed.
        let filter = unsafe { filter(at) };
        match filter.request(&mut stream) {
            Next::Go => RequestStatus::Continue,
            Next::Wait => RequestStatus::Pause,
            Next::Answer(reply) => {
                stream.answer(&reply);
                RequestStatus::Stop
            }
        }
    });
    status as u32
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(stream: *mut c_void, at: *const c_void, _event: u64) {
    guarded_request(stream, (), |mut stream| {
        // SAFETY: as above.
        let filter = unsafe { filter(at) };
        match filter.waited(&mut stream) {
            Next::Go => stream.resume(),
            Next::Wait => {}
            Next::Answer(reply) => stream.answer(&reply),
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_body(_stream: *mut c_void, _at: *const c_void, _end: bool) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(stream: *mut c_void, at: *const c_void) -> u32 {
    guarded_request(stream, 1, |mut stream| {
        // SAFETY: as above.
        let filter = unsafe { filter(at) };
        match filter.request_trailers(&mut stream) {
            Some(reply) => {
                stream.answer(&reply);
                // The request does not go on.
                1
            }
            None => CONTINUE,
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(stream: *mut c_void, at: *const c_void, _end: bool) -> u32 {
    guarded((), || {
        // SAFETY: as above.
        let (filter, mut stream) = unsafe { (filter(at), Stream::of_this_hook(stream)) };
        filter.response(&mut stream);
    });
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_local_reply(
    _stream: *mut c_void,
    at: *const c_void,
    _status: u32,
    _details: EnvoyText,
    _reset: bool,
) -> u32 {
    // SAFETY: as above.
    guarded((), || unsafe { filter(at) }.answered_here());
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(stream: *mut c_void, at: *const c_void) {
    guarded((), || {
        // SAFETY: as above.
        let (filter, mut stream) = unsafe { (filter(at), Stream::of_this_hook(stream)) };
        filter.complete(&mut stream);
    });
}

// Envoy demands these of every HTTP filter; this one has no use for them.

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(_stream: *mut c_void, _at: *const c_void, _end: bool) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(_stream: *mut c_void, _at: *const c_void) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    _stream: *mut c_void,
    _at: *const c_void,
    _callout: u64,
    _result: u32,
    _fields: *const c_void,
    _fields_count: usize,
    _body: *const c_void,
    _body_count: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    _stream: *mut c_void,
    _at: *const c_void,
    _callout: u64,
    _fields: *const c_void,
    _fields_count: usize,
    _end: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    _stream: *mut c_void,
    _at: *const c_void,
    _callout: u64,
    _body: *const c_void,
    _body_count: usize,
    _end: bool,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    _stream: *mut c_void,
    _at: *const c_void,
    _callout: u64,
    _fields: *const c_void,
    _fields_count: usize,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(_stream: *mut c_void, _at: *const c_void, _callout: u64) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(
    _stream: *mut c_void,
    _at: *const c_void,
    _callout: u64,
    _reason: u32,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    _stream: *mut c_void,
    _at: *const c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    _stream: *mut c_void,
    _at: *const c_void,
) {
}
