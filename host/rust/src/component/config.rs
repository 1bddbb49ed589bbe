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
        // The library is a guest in its process: Envoy, interpreters and other runtimes have their own handlers for the signals that
        // would be traps. Explicit checks are instead, of memory accesses, too; and no address space is reserved to save
        // them, but as much as an instance may ever use: so memory never moves, which makes the checks cheaper.
        .signals_based_traps(false)
        .memory_reservation(8 << 20)
        .memory_may_move(false)
        .memory_guard_size(0)
        .memory_reservation_for_growth(0)
        // Two to four times the price of a call, for asynchronous functions that the world does not have.
        .concurrency_support(false)
        // A loop ends with the deadline of its step.
        .epoch_interruption(true)
        // Otherwise an environment variable decides.
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable)
        .generate_address_map(true);
    config
}
