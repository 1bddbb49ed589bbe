//! Builds the module that the Go package embeds.

#![allow(clippy::disallowed_macros, reason = "cargo listens to what is printed")]

use wif_guest_build::{Guest, fail};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    match (Guest { package: "wif-flat", prebuilt_variable: "WIF_FLAT_MODULE" }).build_module() {
        Ok(module) => println!("cargo::rustc-env=WIF_FLAT={}", module.path.display()),
        Err(error) => fail(&error),
    }
}
