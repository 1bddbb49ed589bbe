// Included by the build script, which compiles with it, and by the library, which loads with it: compiled code is bound to
// the exact configuration.

/// How the component runs.
///
/// Everything that decides whether compiled code loads is set here and not left to a default, for defaults follow cargo
/// features, and another crate of the same program may switch on more of them than the build script has.
#[must_use]
pub fn config() -> wasmtime::Config {
    let mut config = wasmtime::Config::new();
    config
        // Two to four times the price of a call, for asynchronous functions that the world does not have.
        .concurrency_support(false)
        // A loop ends with the deadline of its step.
        .epoch_interruption(true)
        // Otherwise an environment variable decides.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .generate_address_map(true);
    config
}
