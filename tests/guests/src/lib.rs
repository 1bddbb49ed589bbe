//! Components that misbehave, and one that plays a script, for tests: what a host must survive. Compiled for
//! `wif::component::engine()`, and in [`wasm`] as they were built.

macro_rules! guests {
    ($($(#[$docs:meta])* $name:ident = $file:literal,)*) => {
    $(
        $(#[$docs])*
        #[must_use]
        pub fn $name() -> &'static [u8] {
            include_bytes!(concat!(env!("OUT_DIR"), "/", $file, ".cwasm"))
        }
    )*
        /// For hosts with another runtime.
        pub mod wasm {
            $(
                $(#[$docs])*
                #[must_use]
                pub fn $name() -> &'static [u8] {
                    include_bytes!(concat!(env!("OUT_DIR"), "/", $file, ".wasm"))
                }
            )*
        }
    };
}

guests! {
    /// Panics on command: see `crashing/src/lib.rs`.
    crashing = "crashing",
    /// Reads what is none of its business and sends it away: see `exfiltrating/src/lib.rs`.
    exfiltrating = "exfiltrating",
    /// Takes more time, stack or memory than it is given: see `exhausting/src/lib.rs`.
    exhausting = "exhausting",
    /// Answers what it must not: see `lying/src/lib.rs`.
    lying = "lying",
    /// Imports a clock.
    reaching = "reaching",
    /// Says what a case in `tests/callers` tells it to.
    scripted = "scripted",
    /// Panics with the content of the variable that its configuration names.
    telling = "telling",
    /// Asks the machine for the time: see `clock-watching/src/lib.rs`.
    clock_watching = "clock-watching",
}
