//! Builds the module.

#![allow(clippy::disallowed_macros, reason = "cargo listens to what is printed")]

use wif_guest_build::{Guest, fail};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let guest = Guest { package: "wif-proxy-wasm-module", prebuilt_variable: "WIF_PROXY_WASM_MODULE" };
    match guest.build_module() {
        Ok(module) => println!("cargo::rustc-env=WIF_MODULE={}", module.path.display()),
        Err(error) => fail(&error),
    }
}
