//! The interface of Envoy's dynamic modules, version `v0.2.0`: what this module uses of it, written by hand. All unsafe code is
//! here; the rest of the module sees [`Stream`], [`Scheduler`] and their kin, which are safe.
//!
//! What Envoy guarantees, and every block here rests on:
//!
//! - Pointers to what Envoy owns are valid for as long as the hook runs that was given them; those of a stream until
//!   `http_filter_destroy` of that stream was called, those of a configuration until `http_filter_config_destroy`.
//! - Hooks of one stream are called by one thread, but may be nested: answering a request, or resuming it, calls other hooks of the
//!   same stream before it returns, `http_filter_destroy` among them.
//! - Texts are a pointer and a length, not terminated; a pointer of length 0 may be null. What a callback returns of a stream's header
//!   fields is valid until a field is changed or the hook returns.
//!
//! Every hook catches panics: one that left a function called from C++ would end Envoy.
#![allow(unsafe_code, reason = "the border to a program in C++")]

use std::borrow::Cow;
use std::ffi::{c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{NonNull, null, null_mut};
use std::slice;
use std::sync::Arc;

use wif_rules::Reply;

use crate::filter::{Filter, Next};
use crate::guard::guarded;
use crate::module::Module;
use crate::process;
use crate::reply;

/// The version of the interface, as Envoy compares it. The version of Envoy itself is compared in [`crate::version`].
const ABI_VERSION: &[u8] = b"v0.2.0\0";

/// How loud a line of the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Level {
    Debug = 1,
    Info = 2,
    Warning = 3,
    Error = 4,
    Critical = 5,
}

/// Which header fields of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Fields {
    Request = 0,
    RequestTrailers = 1,
    Response = 2,
}

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

/// What defining or changing a metric returned.
const METRIC_DONE: u32 = 0;

/// A text of the module's.
#[repr(C)]
#[derive(Clone, Copy)]
struct ModuleText {
    start: *const u8,
    length: usize,
}

/// A text of Envoy's.
#[repr(C)]
#[derive(Clone, Copy)]
struct EnvoyText {
    start: *const u8,
    length: usize,
}

/// A header field of the module's.
#[repr(C)]
struct ModuleField {
    name: ModuleText,
    value: ModuleText,
}

/// A header field of Envoy's.
#[repr(C)]
#[derive(Clone, Copy)]
struct EnvoyField {
    name: EnvoyText,
    value: EnvoyText,
}

impl ModuleText {
    const NONE: Self = Self { start: null(), length: 0 };

    fn of(text: &[u8]) -> Self {
        Self { start: text.as_ptr(), length: text.len() }
    }
}

impl EnvoyText {
    const NONE: Self = Self { start: null(), length: 0 };

    /// # Safety
    ///
    /// It must come from Envoy, and `'a` must end before Envoy may change or free it.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.start.is_null() || self.length == 0 {
            return &[];
        }
        // SAFETY: Envoy gives a pointer to `length` initialised bytes; for how long is the caller's obligation.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }
}

// What Envoy exports. The safe ones touch nothing but their arguments and Envoy's own, locked, state.
unsafe extern "C" {
    fn envoy_dynamic_module_callback_log(level: u32, message: ModuleText);
    safe fn envoy_dynamic_module_callback_log_enabled(level: u32) -> bool;
    safe fn envoy_dynamic_module_callback_is_validation_mode() -> bool;

    fn envoy_dynamic_module_callback_http_get_cluster_name(stream: *mut c_void, name: *mut EnvoyText) -> bool;
    fn envoy_dynamic_module_callback_http_get_header(
        stream: *mut c_void,
        fields: u32,
        name: ModuleText,
        value: *mut EnvoyText,
        index: usize,
        count: *mut usize,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_get_headers_size(stream: *mut c_void, fields: u32) -> usize;
    fn envoy_dynamic_module_callback_http_get_headers(stream: *mut c_void, fields: u32, found: *mut EnvoyField) -> bool;
    fn envoy_dynamic_module_callback_http_set_header(
        stream: *mut c_void,
        fields: u32,
        name: ModuleText,
        value: ModuleText,
    ) -> bool;
    fn envoy_dynamic_module_callback_http_send_response(
        stream: *mut c_void,
        status: u32,
        fields: *const ModuleField,
        fields_count: usize,
        body: ModuleText,
        details: ModuleText,
    );
    fn envoy_dynamic_module_callback_http_filter_continue_decoding(stream: *mut c_void);

    fn envoy_dynamic_module_callback_http_filter_scheduler_new(stream: *mut c_void) -> *mut c_void;
    fn envoy_dynamic_module_callback_http_filter_scheduler_commit(scheduler: *mut c_void, event: u64);
    fn envoy_dynamic_module_callback_http_filter_scheduler_delete(scheduler: *mut c_void);

    fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(configuration: *mut c_void) -> *mut c_void;
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler: *mut c_void, event: u64);
    fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(scheduler: *mut c_void);

    fn envoy_dynamic_module_callback_http_filter_config_define_counter(
        configuration: *mut c_void,
        name: ModuleText,
        labels: *const ModuleText,
        labels_count: usize,
        id: *mut usize,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
        configuration: *mut c_void,
        name: ModuleText,
        labels: *const ModuleText,
        labels_count: usize,
        id: *mut usize,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_increment_counter(
        configuration: *mut c_void,
        id: usize,
        labels: *const ModuleText,
        labels_count: usize,
        by: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_increment_gauge(
        configuration: *mut c_void,
        id: usize,
        labels: *const ModuleText,
        labels_count: usize,
        by: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_decrement_gauge(
        configuration: *mut c_void,
        id: usize,
        labels: *const ModuleText,
        labels_count: usize,
        by: u64,
    ) -> u32;
    fn envoy_dynamic_module_callback_http_filter_config_set_gauge(
        configuration: *mut c_void,
        id: usize,
        labels: *const ModuleText,
        labels_count: usize,
        value: u64,
    ) -> u32;
}

/// Writes a line to Envoy's log. From any thread.
pub(crate) fn log(level: Level, line: &str) {
    // SAFETY: Envoy copies the text before it returns, and its loggers may be used by any thread.
    unsafe { envoy_dynamic_module_callback_log(level as u32, ModuleText::of(line.as_bytes())) }
}

/// Whether a line of this level would be written.
pub(crate) fn logs(level: Level) -> bool {
    envoy_dynamic_module_callback_log_enabled(level as u32)
}

/// Whether Envoy only checks its configuration. For the main thread.
pub(crate) fn validates_only() -> bool {
    envoy_dynamic_module_callback_is_validation_mode()
}

/// A configuration of Envoy's, while a hook of it runs.
pub(crate) struct Configuration<'hook> {
    envoy: *mut c_void,
    hook: PhantomData<&'hook ()>,
}

/// A counter or a gauge of one configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Metric(usize);

impl Configuration<'_> {
    /// Defines a counter. None if Envoy does not want it.
    pub(crate) fn counter(&self, name: &str) -> Option<Metric> {
        let mut id = 0;
        // SAFETY: the configuration is valid while its hook runs; there are no labels; `id` outlives the call.
        let done = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_counter(
                self.envoy,
                ModuleText::of(name.as_bytes()),
                null(),
                0,
                &raw mut id,
            )
        };
        (done == METRIC_DONE).then_some(Metric(id))
    }

    /// Defines a gauge. None if Envoy does not want it.
    pub(crate) fn gauge(&self, name: &str) -> Option<Metric> {
        let mut id = 0;
        // SAFETY: as in `counter`.
        let done = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_gauge(
                self.envoy,
                ModuleText::of(name.as_bytes()),
                null(),
                0,
                &raw mut id,
            )
        };
        (done == METRIC_DONE).then_some(Metric(id))
    }

    /// Adds to a counter of this configuration.
    pub(crate) fn add(&self, counter: Metric, by: u64) {
        // SAFETY: the configuration is valid while its hook runs. An id that is none of its is refused, by the result.
        unsafe {
            envoy_dynamic_module_callback_http_filter_config_increment_counter(self.envoy, counter.0, null(), 0, by);
        }
    }

    /// Adds to a gauge of this configuration.
    pub(crate) fn raise(&self, gauge: Metric, by: u64) {
        // SAFETY: as in `add`.
        unsafe {
            envoy_dynamic_module_callback_http_filter_config_increment_gauge(self.envoy, gauge.0, null(), 0, by);
        }
    }

    /// Takes off a gauge of this configuration what was added to it.
    pub(crate) fn lower(&self, gauge: Metric, by: u64) {
        // SAFETY: as in `add`.
        unsafe {
            envoy_dynamic_module_callback_http_filter_config_decrement_gauge(self.envoy, gauge.0, null(), 0, by);
        }
    }

    /// Sets a gauge of this configuration.
    pub(crate) fn set(&self, gauge: Metric, value: u64) {
        // SAFETY: as in `add`.
        unsafe {
            envoy_dynamic_module_callback_http_filter_config_set_gauge(self.envoy, gauge.0, null(), 0, value);
        }
    }

    /// Which configuration this is, for the hook in which it ends: Envoy does not say so there.
    pub(crate) fn known(&self) -> KnownConfiguration {
        KnownConfiguration(self.envoy)
    }

    /// What calls `config_scheduled` of this configuration, from any thread. None if Envoy has none.
    pub(crate) fn scheduler(&self) -> Option<ConfigurationScheduler> {
        // SAFETY: the configuration is valid while its hook runs.
        let scheduler = unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_new(self.envoy) };
        NonNull::new(scheduler).map(ConfigurationScheduler)
    }
}

/// The address of a configuration of Envoy's.
pub(crate) struct KnownConfiguration(*mut c_void);

// SAFETY: it is a number to all but the hook in which the configuration ends.
unsafe impl Send for KnownConfiguration {}
// SAFETY: likewise.
unsafe impl Sync for KnownConfiguration {}

/// Calls a hook of a configuration on the main thread.
pub(crate) struct ConfigurationScheduler(NonNull<c_void>);

// SAFETY: Envoy's scheduler may be used by any thread; it is freed once, by `drop`.
unsafe impl Send for ConfigurationScheduler {}
// SAFETY: to commit only reads it, and posts to a queue that has a lock.
unsafe impl Sync for ConfigurationScheduler {}

impl ConfigurationScheduler {
    /// Asks for one call. Must not be called any more once the configuration is destroyed.
    pub(crate) fn commit(&self) {
        // SAFETY: the scheduler lives until `drop`.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_commit(self.0.as_ptr(), 0) }
    }
}

impl Drop for ConfigurationScheduler {
    fn drop(&mut self) {
        // SAFETY: it came from `scheduler_new`, and nobody else frees it.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_delete(self.0.as_ptr()) }
    }
}

/// A stream, while a hook of it runs.
pub(crate) struct Stream<'hook> {
    envoy: *mut c_void,
    hook: PhantomData<&'hook ()>,
}

impl Stream<'_> {
    /// The cluster that the request is routed to. None without a route.
    pub(crate) fn cluster(&self) -> Option<&[u8]> {
        let mut name = EnvoyText::NONE;
        // SAFETY: the stream is valid while its hook runs; `name` outlives the call.
        let found = unsafe { envoy_dynamic_module_callback_http_get_cluster_name(self.envoy, &raw mut name) };
        // SAFETY: valid until the route changes, which takes `&mut self`.
        found.then(|| unsafe { name.bytes() })
    }

    /// The first field of this name, in lower case.
    pub(crate) fn field(&self, fields: Fields, name: &str) -> Option<&[u8]> {
        let mut value = EnvoyText::NONE;
        // SAFETY: the stream is valid while its hook runs; the name and `value` outlive the call; a count may be null.
        let found = unsafe {
            envoy_dynamic_module_callback_http_get_header(
                self.envoy,
                fields as u32,
                ModuleText::of(name.as_bytes()),
                &raw mut value,
                0,
                null_mut(),
            )
        };
        // SAFETY: valid until a field is changed, which takes `&mut self`.
        found.then(|| unsafe { value.bytes() })
    }

    /// All fields, names in lower case, in order; none, if Envoy does not tell them.
    pub(crate) fn fields(&self, fields: Fields) -> Option<Vec<(&[u8], &[u8])>> {
        // SAFETY: the stream is valid while its hook runs.
        let count = unsafe { envoy_dynamic_module_callback_http_get_headers_size(self.envoy, fields as u32) };
        let mut found = vec![EnvoyField { name: EnvoyText::NONE, value: EnvoyText::NONE }; count];
        if count == 0 {
            return Some(Vec::new());
        }
        // SAFETY: there is room for as many fields as Envoy has just counted, and none was added since.
        let told = unsafe { envoy_dynamic_module_callback_http_get_headers(self.envoy, fields as u32, found.as_mut_ptr()) };
        // SAFETY: valid until a field is changed, which takes `&mut self`.
        told.then(|| found.into_iter().map(|field| unsafe { (field.name.bytes(), field.value.bytes()) }).collect())
    }

    /// Sets a field, in place of all of this name. Says whether it is so.
    #[must_use]
    pub(crate) fn set(&mut self, fields: Fields, name: &str, value: &[u8]) -> bool {
        // A null value would remove it; a slice's pointer is never null.
        // SAFETY: the stream is valid while its hook runs; Envoy copies both texts.
        unsafe {
            envoy_dynamic_module_callback_http_set_header(
                self.envoy,
                fields as u32,
                ModuleText::of(name.as_bytes()),
                ModuleText::of(value),
            )
        }
    }

    /// Takes off all fields of this name. Says whether it is so.
    #[must_use]
    pub(crate) fn remove(&mut self, fields: Fields, name: &[u8]) -> bool {
        // SAFETY: the stream is valid while its hook runs; Envoy copies the name; a null value stands for removal.
        unsafe {
            envoy_dynamic_module_callback_http_set_header(self.envoy, fields as u32, ModuleText::of(name), ModuleText::NONE)
        }
    }

    /// Answers the request. This may end the stream before it returns.
    pub(crate) fn answer(self, reply: &Reply) {
        let field = |(name, value): &(&str, Cow<'_, str>)| ModuleField {
            name: ModuleText::of(name.as_bytes()),
            value: ModuleText::of(value.as_bytes()),
        };
        let headers = reply.headers();
        let fields: Vec<ModuleField> = headers.iter().map(field).collect();
        let (body, details) = (reply.body("proxy"), reply::details(reply));
        // SAFETY: the stream is valid while its hook runs, and is not used after this; Envoy copies what it is given.
        unsafe {
            envoy_dynamic_module_callback_http_send_response(
                self.envoy,
                wif_rules::STATUS.into(),
                fields.as_ptr(),
                fields.len(),
                ModuleText::of(body.as_bytes()),
                ModuleText::of(details.as_bytes()),
            );
        }
    }

    /// Lets a paused request go on. This may end the stream before it returns.
    pub(crate) fn resume(self) {
        // SAFETY: the stream is valid while its hook runs, and is not used after this.
        unsafe { envoy_dynamic_module_callback_http_filter_continue_decoding(self.envoy) }
    }

    /// What calls `scheduled` of this stream, from any thread. None if Envoy has none.
    pub(crate) fn scheduler(&self) -> Option<Scheduler> {
        // SAFETY: the stream is valid while its hook runs.
        let scheduler = unsafe { envoy_dynamic_module_callback_http_filter_scheduler_new(self.envoy) };
        NonNull::new(scheduler).map(Scheduler)
    }
}

/// Calls a hook of a stream on the stream's own thread.
pub(crate) struct Scheduler(NonNull<c_void>);

// SAFETY: Envoy's scheduler may be used by any thread, one at a time; it is freed once, by `drop`.
unsafe impl Send for Scheduler {}

impl Scheduler {
    /// Asks for one call, and is used up. Must not be called any more once the stream is destroyed.
    pub(crate) fn commit(self) {
        // SAFETY: the scheduler lives until `drop`.
        unsafe { envoy_dynamic_module_callback_http_filter_scheduler_commit(self.0.as_ptr(), 0) }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: it came from `scheduler_new`, and nobody else frees it. What was committed no longer needs it.
        unsafe { envoy_dynamic_module_callback_http_filter_scheduler_delete(self.0.as_ptr()) }
    }
}

/// Runs a hook of a stream that decides about the request: a panic answers it.
fn guarded_request<R>(stream: *mut c_void, otherwise: R, hook: impl FnOnce(Stream<'_>) -> R) -> R {
    let stream = || Stream { envoy: stream, hook: PhantomData };
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
        // SAFETY: Envoy's text is valid until this hook returns.
        let document = unsafe { document.bytes() };
        match Module::new(document, &Configuration { envoy: configuration, hook: PhantomData }) {
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
        // Envoy's configuration, and its metrics, are there until this hook returns.
        let envoy = module.metrics().configuration().0;
        module.metrics().withdraw(&Configuration { envoy, hook: PhantomData });
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(configuration: *mut c_void, at: *const c_void, _event: u64) {
    // SAFETY: Envoy calls no hook of a configuration that it has destroyed.
    guarded((), || unsafe { module(at) }.metrics().publish(&Configuration { envoy: configuration, hook: PhantomData }));
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
        let filter = unsafe { filter(at) };
        filter.response(&mut Stream { envoy: stream, hook: PhantomData });
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
        let filter = unsafe { filter(at) };
        filter.complete(&mut Stream { envoy: stream, hook: PhantomData });
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
