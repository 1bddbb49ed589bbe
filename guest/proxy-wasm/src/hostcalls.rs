//! The proxy's functions that the filter calls. Names, arguments and numbers are those of the proxy-wasm ABI 0.2.1.
//!
//! By hand: the SDK ends the VM at a status that it does not know, and proxies of this ABI have some of their own. Here a status
//! other than success is an error, whatever its number.

#![allow(unsafe_code, reason = "the functions of a proxy take pointers")]

use std::ptr::{null, null_mut};
use std::time::Duration;

/// A status that is not success.
pub(crate) type Refused = u32;

const OK: u32 = 0;

/// There is none.
pub(crate) const NOT_FOUND: Refused = 1;

/// A map of header fields.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum MapType {
    HttpRequestHeaders = 0,
    HttpRequestTrailers = 1,
    HttpResponseHeaders = 2,
    HttpCallResponseHeaders = 6,
}

/// A buffer of bytes.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum BufferType {
    HttpCallResponseBody = 4,
    PluginConfiguration = 7,
}

/// How serious a line of the log is.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum LogLevel {
    Info = 2,
    Warn = 3,
    Error = 4,
    Critical = 5,
}

/// What a metric is.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum MetricType {
    Counter = 0,
    Gauge = 1,
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, bytes: usize, id: *mut u32) -> u32;
    fn proxy_done() -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, from: usize, most: usize, data: *mut *mut u8, bytes: *mut usize) -> u32;
    fn proxy_get_current_time_nanoseconds(nanos: *mut u64) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, bytes: *mut usize) -> u32;
    fn proxy_get_header_map_value(map: u32, name: *const u8, length: usize, data: *mut *mut u8, bytes: *mut usize) -> u32;
    fn proxy_get_property(path: *const u8, length: usize, data: *mut *mut u8, bytes: *mut usize) -> u32;
    fn proxy_get_shared_data(key: *const u8, length: usize, data: *mut *mut u8, bytes: *mut usize, number: *mut u32) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_bytes: usize,
        headers: *const u8,
        headers_bytes: usize,
        body: *const u8,
        body_bytes: usize,
        trailers: *const u8,
        trailers_bytes: usize,
        timeout_ms: u32,
        id: *mut u32,
    ) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_log(level: u32, text: *const u8, bytes: usize) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, length: usize) -> u32;
    fn proxy_replace_header_map_value(map: u32, name: *const u8, length: usize, value: *const u8, bytes: usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_bytes: usize,
        body: *const u8,
        body_bytes: usize,
        headers: *const u8,
        headers_bytes: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_set_shared_data(key: *const u8, length: usize, value: *const u8, bytes: usize, number: u32) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
}

fn checked(status: u32) -> Result<(), Refused> {
    if status == OK { Ok(()) } else { Err(status) }
}

/// What a function hands over in memory of this VM; none, if there is none.
fn taken(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Option<Vec<u8>>, Refused> {
    let (mut data, mut bytes) = (null_mut(), 0);
    match call(&raw mut data, &raw mut bytes) {
        OK if data.is_null() => Ok(None),
        // SAFETY: the proxy has taken this memory from our `malloc`, which gives it a boxed slice of exactly this length. It has
        // written all of it, and nobody else frees it.
        OK => Ok(Some(unsafe { Vec::from_raw_parts(data, bytes, bytes) })),
        NOT_FOUND => Ok(None),
        status => Err(status),
    }
}

/// As the proxy reads it: the number of fields; the lengths of each name and value; each name and value, and a zero after it.
fn map(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = (fields.len() as u32).to_le_bytes().to_vec();
    for (name, value) in fields {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in fields {
        bytes.extend([name.as_bytes(), &[0], value.as_bytes(), &[0]].concat());
    }
    bytes
}

// SAFETY of all that follows: the proxy reads and writes what it is handed before it returns, and keeps no pointer.

pub(crate) fn log(level: LogLevel, text: &str) -> Result<(), Refused> {
    // SAFETY: see above.
    checked(unsafe { proxy_log(level as u32, text.as_ptr(), text.len()) })
}

/// Since 1970, in nanoseconds.
pub(crate) fn get_current_time() -> Result<u64, Refused> {
    let mut nanos = 0;
    // SAFETY: see above.
    checked(unsafe { proxy_get_current_time_nanoseconds(&raw mut nanos) }).map(|()| nanos)
}

pub(crate) fn set_tick_period(period: Duration) -> Result<(), Refused> {
    // SAFETY: no pointer is passed.
    checked(unsafe { proxy_set_tick_period_milliseconds(period.as_millis() as u32) })
}

pub(crate) fn get_buffer(buffer: BufferType, most: usize) -> Result<Option<Vec<u8>>, Refused> {
    // SAFETY: see above.
    taken(|data, bytes| unsafe { proxy_get_buffer_bytes(buffer as u32, 0, most, data, bytes) })
}

/// All fields of a map, in one piece.
pub(crate) fn get_map(map: MapType) -> Result<Option<Vec<u8>>, Refused> {
    // SAFETY: see above.
    taken(|data, bytes| unsafe { proxy_get_header_map_pairs(map as u32, data, bytes) })
}

pub(crate) fn get_map_value(map: MapType, name: &str) -> Result<Option<Vec<u8>>, Refused> {
    // SAFETY: see above.
    taken(|data, bytes| unsafe { proxy_get_header_map_value(map as u32, name.as_ptr(), name.len(), data, bytes) })
}

pub(crate) fn set_map_value(map: MapType, name: &str, value: &[u8]) -> Result<(), Refused> {
    // SAFETY: see above.
    checked(unsafe { proxy_replace_header_map_value(map as u32, name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

pub(crate) fn remove_map_value(map: MapType, name: &[u8]) -> Result<(), Refused> {
    // SAFETY: see above.
    checked(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// The parts of a path have a zero between them.
pub(crate) fn get_property(path: &str) -> Result<Option<Vec<u8>>, Refused> {
    // SAFETY: see above.
    taken(|data, bytes| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, bytes) })
}

/// Whether there is a property of this path, be it empty.
pub(crate) fn has_property(path: &str) -> bool {
    let mut there = false;
    let _ = taken(|data, bytes| {
        // SAFETY: see above.
        let status = unsafe { proxy_get_property(path.as_ptr(), path.len(), data, bytes) };
        there = status == OK;
        status
    });
    there
}

/// A value, and the number of its last write.
pub(crate) fn get_shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>, Refused> {
    let mut number = 0;
    // SAFETY: see above.
    let value = taken(|data, bytes| unsafe { proxy_get_shared_data(key.as_ptr(), key.len(), data, bytes, &raw mut number) })?;
    Ok(value.map(|value| (value, number)))
}

/// Writes a value if the last write has this number.
pub(crate) fn set_shared_data(key: &str, value: &[u8], number: u32) -> Result<(), Refused> {
    // SAFETY: see above.
    checked(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), number) })
}

/// Goes on with the request of the effective context.
pub(crate) fn resume_http_request() -> Result<(), Refused> {
    // SAFETY: no pointer is passed.
    checked(unsafe { proxy_continue_stream(0) })
}

/// Answers the request of the effective context.
pub(crate) fn send_http_response(status: u32, fields: &[(&str, &str)], body: &[u8]) -> Result<(), Refused> {
    let fields = map(fields);
    // SAFETY: see above.
    checked(unsafe { proxy_send_local_response(status, null(), 0, body.as_ptr(), body.len(), fields.as_ptr(), fields.len(), -1) })
}

/// Sends a request through a cluster, and gives the number by which it is answered.
pub(crate) fn dispatch_http_call(cluster: &str, fields: &[(&str, &str)], body: &[u8], timeout: Duration) -> Result<u32, Refused> {
    let (fields, trailers, mut id) = (map(fields), map(&[]), 0);
    // SAFETY: see above.
    checked(unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            fields.as_ptr(),
            fields.len(),
            body.as_ptr(),
            body.len(),
            trailers.as_ptr(),
            trailers.len(),
            timeout.as_millis() as u32,
            &raw mut id,
        )
    })
    .map(|()| id)
}

pub(crate) fn set_effective_context(context: u32) -> Result<(), Refused> {
    // SAFETY: no pointer is passed.
    checked(unsafe { proxy_set_effective_context(context) })
}

/// The context that the proxy wanted to end may end.
pub(crate) fn done() -> Result<(), Refused> {
    // SAFETY: no pointer is passed.
    checked(unsafe { proxy_done() })
}

pub(crate) fn define_metric(kind: MetricType, name: &str) -> Result<u32, Refused> {
    let mut id = 0;
    // SAFETY: see above.
    checked(unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &raw mut id) }).map(|()| id)
}

pub(crate) fn record_metric(id: u32, value: u64) -> Result<(), Refused> {
    // SAFETY: no pointer is passed.
    checked(unsafe { proxy_record_metric(id, value) })
}

pub(crate) fn increment_metric(id: u32, by: i64) -> Result<(), Refused> {
    // SAFETY: no pointer is passed.
    checked(unsafe { proxy_increment_metric(id, by) })
}
