//! Builds the standalone component and the application that is composed with it, and compiles them for this machine's target, so
//! that no compiler is in the tests. Builds the modules that Envoy loads, and the one for runtimes that know no components.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "cargo speaks through variables, and listens to what is printed"
)]

use std::path::Path;
use std::{env, fs};

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};
use wif_guest_build::{Guest, fail};

#[path = "tests/standalone/engine.rs"]
mod engine;

#[path = "tests/interposer/engine.rs"]
mod interposer_engine;

fn main() {
    if let Err(error) = build() {
        fail(&error);
    }
}

fn build() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=tests/standalone/engine.rs");
    println!("cargo::rerun-if-changed=tests/interposer/engine.rs");
    let standalone = component("wif-standalone", "WIF_STANDALONE_COMPONENT")?;
    let standalone_async = component("wif-standalone-async", "WIF_STANDALONE_ASYNC_COMPONENT")?;
    let interposer = component("wif-interposer", "WIF_INTERPOSER_COMPONENT")?;
    let calling = component("wif-guest-calling", "WIF_TEST_GUEST_CALLING")?;
    let credential = plug("interposer", &interposer, "standalone", &standalone_async)?;
    let application = plug("application", &calling, "credential", &credential)?;
    write("standalone.cwasm", &compile(engine::config(), &standalone)?)?;
    write("application.cwasm", &compile(interposer_engine::config(), &application)?)?;
    let sample = component("wif-sample-application", "WIF_SAMPLE_APPLICATION")?;
    let sample = plug("sample", &sample, "credential", &credential)?;
    write("sample.cwasm", &compile(interposer_engine::config(), &sample)?)?;
    // Beside each other, to compare what they cost in one runtime.
    write("standalone-beside.cwasm", &compile(interposer_engine::config(), &standalone)?)?;
    write("standalone-async.cwasm", &compile(interposer_engine::config(), &standalone_async)?)?;
    for (name, wasm) in [
        ("standalone.wasm", &standalone),
        ("standalone-async.wasm", &standalone_async),
        ("interposer.wasm", &interposer),
        ("calling.wasm", &calling),
        ("application.wasm", &application),
    ] {
        write(name, wasm)?;
    }
    for (package, prebuilt_variable, name) in MODULES {
        let module = Guest { package, prebuilt_variable }.build_module()?;
        let wasm = fs::read(&module.path).map_err(|error| format!("cannot read {}: {error}", module.path.display()))?;
        write(name, &wasm)?;
        if let Some(compiled_name) = match name {
            "proxy-wasm.wasm" => Some("proxy-wasm.cwasm"),
            "filter-scripted.wasm" => Some("filter-scripted.cwasm"),
            "flat.wasm" => Some("flat.cwasm"),
            _ => None,
        } {
            let compiled =
                engine::config().target(&target()?).and_then(|config| wasmtime::Engine::new(config)?.precompile_module(&wasm));
            write(compiled_name, &compiled.map_err(|error| format!("{name} does not compile: {error:#}"))?)?;
        }
    }
    Ok(())
}

/// Core modules: the package, the variable that names a prebuilt module, and the name in the tests.
const MODULES: [(&str, &str, &str); 5] = [
    ("wif-flat", "WIF_FLAT_MODULE", "flat.wasm"),
    ("wif-proxy-wasm-module", "WIF_PROXY_WASM_MODULE", "proxy-wasm.wasm"),
    ("wif-guest-filter-crashing", "WIF_TEST_GUEST_FILTER_CRASHING", "filter-crashing.wasm"),
    ("wif-guest-filter-scripted", "WIF_TEST_GUEST_FILTER_SCRIPTED", "filter-scripted.wasm"),
    ("wif-guest-filter-prying", "WIF_TEST_GUEST_FILTER_PRYING", "filter-prying.wasm"),
];

fn component(package: &str, prebuilt_variable: &str) -> Result<Vec<u8>, String> {
    let component = Guest { package, prebuilt_variable }.build()?;
    fs::read(&component.path).map_err(|error| format!("cannot read {}: {error}", component.path.display()))
}

/// Gives one component the exports of another, as `wac plug` does.
fn plug(socket: &str, socket_wasm: &[u8], plug: &str, plug_wasm: &[u8]) -> Result<Vec<u8>, String> {
    let compose = || -> Result<Vec<u8>, Box<dyn std::error::Error>> {
        let mut graph = CompositionGraph::new();
        let [socket, plug] = [(socket, socket_wasm), (plug, plug_wasm)].map(|(name, wasm)| {
            let package = Package::from_bytes(&format!("test:{name}"), None, wasm.to_vec(), graph.types_mut());
            Ok::<_, Box<dyn std::error::Error>>(graph.register_package(package?)?)
        });
        wac_graph::plug(&mut graph, vec![plug?], socket?)?;
        Ok(graph.encode(EncodeOptions::default())?)
    };
    compose().map_err(|error| format!("{plug} does not fit into {socket}: {error}"))
}

/// A target that is named, even the build machine's own, means its baseline CPU.
fn target() -> Result<String, String> {
    env::var("TARGET").map_err(|error| error.to_string())
}

fn compile(mut config: wasmtime::Config, wasm: &[u8]) -> Result<Vec<u8>, String> {
    let compiled = config.target(&target()?).and_then(|config| wasmtime::Engine::new(config)?.precompile_component(wasm));
    compiled.map_err(|error| format!("a component does not compile: {error:#}"))
}

fn write(name: &str, bytes: &[u8]) -> Result<(), String> {
    let out = env::var("OUT_DIR").map_err(|error| error.to_string())?;
    fs::write(Path::new(&out).join(name), bytes).map_err(|error| format!("cannot write {name}: {error}"))
}
