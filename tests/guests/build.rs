//! Builds and compiles the guests, as the library's build script does with the real one.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "cargo speaks through variables, and listens to what is printed"
)]

use std::path::Path;
use std::{env, fs};

use wif_guest_build::{Guest, fail};

#[path = "../../host/rust/src/component/config.rs"]
#[allow(unreachable_pub, reason = "public in the library, which shares the file")]
mod config;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../host/rust/src/component/config.rs");
    for name in ["crashing", "exfiltrating", "exhausting", "lying", "reaching", "scripted", "telling", "clock-watching"] {
        if let Err(error) = compile(name) {
            fail(&error);
        }
    }
}

fn compile(name: &str) -> Result<(), String> {
    let package = &format!("wif-guest-{name}");
    let prebuilt_variable = &format!("WIF_TEST_GUEST_{}", name.to_ascii_uppercase().replace('-', "_"));
    let component = Guest { package, prebuilt_variable }.build()?;
    let wasm = fs::read(&component.path).map_err(|error| error.to_string())?;
    let target = env::var("TARGET").map_err(|error| error.to_string())?;
    let out = env::var("OUT_DIR").map_err(|error| error.to_string())?;
    fs::write(Path::new(&out).join(name).with_extension("wasm"), &wasm).map_err(|error| error.to_string())?;
    let compiled = (|| {
        let engine = wasmtime::Engine::new(config::config().target(&target)?)?;
        engine.precompile_component(&wasm)
    })();
    let compiled = compiled.map_err(|error| format!("{package} does not compile: {error:#}"))?;
    fs::write(Path::new(&out).join(name).with_extension("cwasm"), compiled).map_err(|error| error.to_string())
}
