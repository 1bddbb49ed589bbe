// Included by the build script, which compiles with it, and by the test, which loads with it: compiled code is bound to the
// exact configuration.

/// How components of WASI 0.3 run. What decides whether compiled code loads is set and not left to a default.
pub(crate) fn config() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        .concurrency_support(true)
        .wasm_component_model_async(true)
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .generate_address_map(true);
    config
}
