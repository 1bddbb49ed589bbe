//! Builds the components that misbehave, for the tests.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "cargo speaks through variables, and listens to what is printed"
)]

use std::path::Path;
use std::{env, fs};

use wif_guest_build::{Guest, fail};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["crashing", "exfiltrating", "exhausting", "lying", "scripted", "telling"] {
        if let Err(error) = build(name) {
            fail(&error);
        }
    }
}

fn build(name: &str) -> Result<(), String> {
    let package = &format!("wif-guest-{name}");
    let prebuilt_variable = &format!("WIF_TEST_GUEST_{}", name.to_ascii_uppercase());
    let component = Guest { package, prebuilt_variable }.build()?;
    let out = env::var("OUT_DIR").map_err(|error| error.to_string())?;
    let copied = fs::copy(&component.path, Path::new(&out).join(name).with_extension("wasm"));
    copied.map(|_| ()).map_err(|error| format!("cannot copy {}: {error}", component.path.display()))
}
