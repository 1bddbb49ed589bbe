//! Builds the filter that this project's is compared with.

#![allow(clippy::disallowed_macros, reason = "cargo listens to what is printed")]

use wif_guest_build::{Guest, fail};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let guest = Guest { package: "wif-guest-static-header", prebuilt_variable: "WIF_TEST_GUEST_STATIC_HEADER" };
    match guest.build_module() {
        Ok(module) => println!("cargo::rustc-env=WIF_STATIC_HEADER={}", module.path.display()),
        Err(error) => fail(&error),
    }
}
