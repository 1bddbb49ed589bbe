//! Builds the filter that Envoy loads, and the one that it is compared with.

#![allow(clippy::disallowed_macros, reason = "cargo listens to what is printed")]

use wif_guest_build::{Guest, fail};

/// The package, the variable that names a prebuilt module, and the one by which the program finds the module.
const MODULES: [(&str, &str, &str); 2] = [
    ("wif-proxy-wasm-module", "WIF_PROXY_WASM_MODULE", "WIF_FILTER"),
    ("wif-guest-static-header", "WIF_TEST_GUEST_STATIC_HEADER", "WIF_STATIC_HEADER"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for (package, prebuilt_variable, variable) in MODULES {
        match (Guest { package, prebuilt_variable }).build_module() {
            Ok(module) => println!("cargo::rustc-env={variable}={}", module.path.display()),
            Err(error) => fail(&error),
        }
    }
}
