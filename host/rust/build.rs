//! Brings the credential component and its compiled form for the target, so that no compiler is in the library.
//!
//! In the workspace both are made from the sources. A package has both in its folder `component`, and makes nothing: a target whose
//! form is missing there takes the feature `compiler`.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "cargo speaks through variables, and listens to what is printed"
)]
#![allow(unexpected_cfgs, reason = "the package has no feature `from-source`")]

use std::path::{Path, PathBuf};
use std::{env, fs};

// The library's own configuration names the crate as the library knows it.
#[cfg(feature = "compiler")]
extern crate wif_compiler as wasmtime;

#[cfg(feature = "compiler")]
#[path = "src/component/config.rs"]
#[allow(unreachable_pub, reason = "public in the library, which shares the file")]
mod config;

/// Names a component of the packager's own, for those who build and sign it elsewhere.
const PREBUILT: &str = "WIF_PLUGIN_COMPONENT";

fn main() {
    if let Err(error) = build() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/component/config.rs");
    println!("cargo::rerun-if-env-changed={PREBUILT}");
    if env::var_os("CARGO_FEATURE_SANDBOX").is_none() {
        return Ok(());
    }
    if let Some(folder) = packaged()? {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    let wasm = read(&component()?)?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    let write =
        |name: &str, bytes: &[u8]| fs::write(out.join(name), bytes).map_err(|error| format!("cannot write {name}: {error}"));
    write("plugin.wasm", &wasm)?;
    let compiled = compiled(&wasm)?;
    #[cfg(feature = "compressed")]
    {
        println!("cargo::rustc-env=WIF_COMPILED_BYTES={}", compiled.len());
        write("plugin.cwasm.deflate", &packed(&compiled)?)?;
    }
    write("plugin.cwasm", &compiled)
}

#[cfg(feature = "compressed")]
fn packed(compiled: &[u8]) -> Result<Vec<u8>, String> {
    use std::io::Write as _;
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(compiled).and_then(|()| packed.finish()).map_err(|error| format!("cannot pack the component: {error}"))
}

/// The component's file.
fn component() -> Result<PathBuf, String> {
    if let Some(path) = handed_in() {
        println!("cargo::rerun-if-changed={}", path.display());
        return Ok(path);
    }
    match packaged()? {
        Some(folder) => Ok(folder.join("wif_plugin.wasm")),
        None => from_source(),
    }
}

fn handed_in() -> Option<PathBuf> {
    env::var_os(PREBUILT).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The folder that only a package has.
fn packaged() -> Result<Option<PathBuf>, String> {
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("component");
    Ok(folder.exists().then_some(folder))
}

#[cfg(feature = "from-source")]
fn from_source() -> Result<PathBuf, String> {
    let plugin = wif_guest_build::Guest { package: "wif-plugin", prebuilt_variable: PREBUILT }.build()?;
    Ok(plugin.path)
}

#[cfg(not(feature = "from-source"))]
fn from_source() -> Result<PathBuf, String> {
    Err(format!("there is no component: turn on the feature `from-source` of the crate wif, or name a file in {PREBUILT}"))
}

/// The compiled form that the package has for the target, or one that is made now.
fn compiled(wasm: &[u8]) -> Result<Vec<u8>, String> {
    let target = variable("TARGET")?;
    if let (None, Some(folder)) = (handed_in(), packaged()?) {
        let form = format!("{}-{}.cwasm", variable("CARGO_CFG_TARGET_ARCH")?, variable("CARGO_CFG_TARGET_OS")?);
        if folder.join(&form).exists() {
            return read(&folder.join(form));
        }
    }
    compile(wasm, &target)
}

/// A target that is named, even the build machine's own, means its baseline CPU.
#[cfg(feature = "compiler")]
fn compile(wasm: &[u8], target: &str) -> Result<Vec<u8>, String> {
    let compile = || wasmtime::Engine::new(config::config().target(target)?)?.precompile_component(wasm);
    compile().map_err(|error| {
        format!("the component does not compile for {target} (for another processor than this machine's, turn on the feature `cross-compiler` of the crate wif): {error:#}")
    })
}

#[cfg(not(feature = "compiler"))]
fn compile(_: &[u8], target: &str) -> Result<Vec<u8>, String> {
    Err(format!("there is no compiled form of the component for {target}: turn on the feature `compiler` of the crate wif"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
