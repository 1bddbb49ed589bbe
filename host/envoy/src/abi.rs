//! What Envoy's interface of dynamic modules, version `v0.2.0`, lets a module call, written by hand, behind handles that are safe:
//! [`Stream`], [`Scheduler`] and their kin. What Envoy calls stands in [`crate::hooks`]. There is no other unsafe code.
//!
//! What Envoy guarantees, and every block in both rests on:
//!
//! - Pointers to what Envoy owns are valid for as long as the hook runs that was given them; those of a stream until
//!   `http_filter_destroy` of that stream was called, those of a configuration until `http_filter_config_destroy`.
//! - Hooks of one stream are called by one thread, but may be nested: answering a request, or resuming it, calls other hooks of the
//!   same stream before it returns, `http_filter_destroy` among them.
//! - Texts are a pointer and a length, not terminated; a pointer of length 0 may be null. What a callback returns of a stream's header
//!   fields is valid until a field is changed or the hook returns.
//!
#![allow(unsafe_code, reason = "the border to a program in C++")]

use std::borrow::Cow;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::{NonNull, null, null_mut};
use std::slice;

use wif_rules::Reply;

use crate::reply;

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
pub(crate) struct EnvoyText {
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
    pub(crate) unsafe fn bytes<'a>(self) -> &'a [u8] {
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
    /// The configuration behind this pointer.
    ///
    /// # Safety
    ///
    /// Envoy gave it to the hook that runs, or it is a [`KnownConfiguration`] that ends with that hook.
    pub(crate) unsafe fn of_this_hook(envoy: *mut c_void) -> Self {
        Self { envoy, hook: PhantomData }
    }

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

impl KnownConfiguration {
    /// The address, for the hook in which the configuration ends.
    pub(crate) fn address(&self) -> *mut c_void {
        self.0
    }
}

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
    /// The stream behind this pointer.
    ///
    /// # Safety
    ///
    /// Envoy gave it to the hook that runs, and has not ended it within that hook.
    pub(crate) unsafe fn of_this_hook(envoy: *mut c_void) -> Self {
        Self { envoy, hook: PhantomData }
    }

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
