//! Builds the credential component and compiles it for the target, so that no compiler is in the library.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "cargo speaks through variables, and listens to what is printed"
)]

use std::path::Path;
use std::{env, fs};

use wif_guest_build::{Guest, fail};

#[path = "src/component/config.rs"]
#[allow(unreachable_pub, reason = "public in the library, which shares the file")]
mod config;

fn main() {
    if let Err(error) = build() {
        fail(&error);
    }
}

fn build() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/component/config.rs");
    let plugin = Guest { package: "wif-plugin", prebuilt_variable: "WIF_PLUGIN_COMPONENT" }.build()?;

    let wasm = fs::read(&plugin.path).map_err(|error| format!("cannot read {}: {error}", plugin.path.display()))?;
    let target = env::var("TARGET").map_err(|error| error.to_string())?;
    let out = env::var("OUT_DIR").map_err(|error| error.to_string())?;
    let compiled = compile(&wasm, &target).map_err(|error| format!("the component does not compile: {error:#}"))?;
    let write = |name: &str, bytes: &[u8]| {
        fs::write(Path::new(&out).join(name), bytes).map_err(|error| format!("cannot write {name}: {error}"))
    };
    write("plugin.wasm", &wasm)?;
    write("plugin.cwasm", &compiled)
}

/// A target that is named, even the build machine's own, means its baseline CPU.
fn compile(wasm: &[u8], target: &str) -> wasmtime::Result<Vec<u8>> {
    let engine = wasmtime::Engine::new(config::config().target(target)?)?;
    engine.precompile_component(wasm)
}
