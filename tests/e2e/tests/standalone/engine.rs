// Included by the build script, which compiles with it, and by the test, which loads with it: compiled code is bound to the
// exact configuration.

/// How the standalone component runs. What decides whether compiled code loads is set and not left to a default, for
/// defaults follow cargo features, which differ between the two.
pub(crate) fn config() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        // WASI 0.2 has no asynchronous functions.
        .concurrency_support(false)
        // Otherwise an environment variable decides.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .generate_address_map(true);
    config
}
