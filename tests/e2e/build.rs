//! Builds the standalone component and compiles it for this machine's target, so that no compiler is in the tests.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "cargo speaks through variables, and listens to what is printed"
)]

use std::path::Path;
use std::{env, fs};

use wif_guest_build::{Guest, fail};

#[path = "tests/standalone/engine.rs"]
mod engine;

fn main() {
    if let Err(error) = build() {
        fail(&error);
    }
}

fn build() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=tests/standalone/engine.rs");
    let standalone = Guest { package: "wif-standalone", prebuilt_variable: "WIF_STANDALONE_COMPONENT" }.build()?;
    let wasm = fs::read(&standalone.path).map_err(|error| format!("cannot read {}: {error}", standalone.path.display()))?;
    let target = env::var("TARGET").map_err(|error| error.to_string())?;
    let compiled = compile(&wasm, &target).map_err(|error| format!("the component does not compile: {error:#}"))?;
    write("standalone.wasm", &wasm)?;
    write("standalone.cwasm", &compiled)
}

/// A target that is named, even the build machine's own, means its baseline CPU.
fn compile(wasm: &[u8], target: &str) -> wasmtime::Result<Vec<u8>> {
    wasmtime::Engine::new(engine::config().target(target)?)?.precompile_component(wasm)
}

fn write(name: &str, bytes: &[u8]) -> Result<(), String> {
    let out = env::var("OUT_DIR").map_err(|error| error.to_string())?;
    fs::write(Path::new(&out).join(name), bytes).map_err(|error| format!("cannot write {name}: {error}"))
}
