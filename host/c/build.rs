//! How the shared library is linked.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "cargo speaks through variables, and listens to what is printed"
)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // The name under which programs find it; the number rises when a program has to be compiled again.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libwif.so.0");
        // Once loaded it stays: its threads, or a destructor of a thread's own data, may be in it when somebody calls `dlclose`.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
