//! Builds a guest crate into a component or a core module, from a build script.
//!
//! A nested `cargo build` runs in a target directory of its own, which all guests of a profile share: the outer cargo holds the
//! lock of its own. The same sources and the same toolchain give the same bytes, wherever the workspace and cargo's home
//! are: paths are remapped, and nothing of the outer build's profile, flags or wrappers reaches the inner one.
//!
//! ```no_run
//! let component = wif_guest_build::Guest {
//!     package: "wif-plugin",
//!     prebuilt_variable: "WIF_PLUGIN_COMPONENT",
//! }
//! .build()
//! .unwrap_or_else(|error| wif_guest_build::fail(&error));
//! println!("cargo::rustc-env=PLUGIN={}", component.path.display());
//! ```

#![allow(clippy::disallowed_macros, reason = "cargo listens to what a build script prints")]

mod cargo;
mod names;
mod target;
mod toolchain;

use std::env;
use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

pub use target::TARGET;

/// A crate of this workspace that becomes a component.
#[derive(Debug, Clone, Copy)]
pub struct Guest<'a> {
    /// The package: a `cdylib`.
    pub package: &'a str,
    /// An environment variable that names a prebuilt component, for those who build and sign it elsewhere. Where it is set
    /// and not empty, nothing is built.
    pub prebuilt_variable: &'a str,
}

/// What a guest is linked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Component,
    Module,
}

/// A component, or a module, on disk.
#[derive(Debug, Clone)]
pub struct Component {
    /// Where it is.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

impl Guest<'_> {
    /// Builds the component, and tells cargo what it was built from. Only for build scripts.
    ///
    /// # Errors
    ///
    /// A sentence for people: the target is not installed, the build failed (cargo's own words stand before it), or the
    /// prebuilt file is not there.
    pub fn build(&self) -> Result<Component, String> {
        self.build_as(Form::Component)
    }

    /// Builds a core module, for hosts that know no components.
    ///
    /// # Errors
    ///
    /// As for [`build`](Self::build).
    pub fn build_module(&self) -> Result<Component, String> {
        self.build_as(Form::Module)
    }

    fn build_as(&self, form: Form) -> Result<Component, String> {
        println!("cargo::rerun-if-env-changed={}", self.prebuilt_variable);
        if let Some(prebuilt) = env::var_os(self.prebuilt_variable).filter(|path| !path.is_empty()) {
            let prebuilt = PathBuf::from(prebuilt);
            println!("cargo::rerun-if-changed={}", prebuilt.display());
            return Component::at(prebuilt);
        }
        let workspace = workspace();
        let out = env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: this library is for build scripts")?;
        let target_dir = target_dir(Path::new(&out), form);
        target::ensure()?;
        // Several build scripts build the same guest at once, and cargo writes its dependency file anew each time.
        let _lock = lock(&target_dir)?;
        cargo::build(self.package, &workspace, &target_dir, form)?;

        let artifact = target_dir.join(TARGET).join("release").join(self.package.replace('-', "_"));
        for input in inputs(&artifact.with_extension("d"), &workspace)? {
            println!("cargo::rerun-if-changed={}", input.display());
        }
        let built = artifact.with_extension("wasm");
        let shipped = target_dir.join("shipped").join(built.file_name().unwrap_or_default());
        ship(&built, &shipped)?;
        Component::at(shipped)
    }
}

/// Ends a build script with this message.
pub fn fail(message: &dyn Display) -> ! {
    println!("cargo::error={message}");
    std::process::exit(1);
}

impl Component {
    fn at(path: PathBuf) -> Result<Self, String> {
        let metadata = fs::metadata(&path).map_err(|error| format!("no component at {}: {error}", path.display()))?;
        Ok(Self { path, size: metadata.len() })
    }
}

/// Writes what was built, with short names, beside what cargo holds for its own.
fn ship(built: &Path, shipped: &Path) -> Result<(), String> {
    let wasm = fs::read(built).map_err(|error| format!("cannot read {}: {error}", built.display()))?;
    let wasm = names::shortened(&wasm).ok_or_else(|| format!("{} is no WebAssembly", built.display()))?;
    let write = || {
        shipped.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(shipped, wasm)
    };
    write().map_err(|error: std::io::Error| format!("cannot write {}: {error}", shipped.display()))
}

/// Beside the folder `build` of the outer profile, or, where cargo lays out its files otherwise, in `OUT_DIR` itself.
fn target_dir(out: &Path, form: Form) -> PathBuf {
    let build = out.ancestors().nth(2).filter(|folder| folder.ends_with("build"));
    build.and_then(Path::parent).unwrap_or(out).join(match form {
        Form::Component => "guests",
        Form::Module => "modules",
    })
}

/// Held from a build until what it wrote is read.
fn lock(target_dir: &Path) -> Result<fs::File, String> {
    let path = target_dir.join("guest-build.lock");
    let lock = || {
        fs::create_dir_all(target_dir)?;
        let file = fs::File::create(&path)?;
        file.lock()?;
        Ok(file)
    };
    lock().map_err(|error: std::io::Error| format!("cannot lock {}: {error}", path.display()))
}

/// This crate is two folders below the root.
fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("guest/build is two folders below the root").to_path_buf()
}

/// The sources that the compiler read, WIT included, by the dependency file beside the artifact; with their manifests and
/// what else decides the result.
fn inputs(dependency_file: &Path, workspace: &Path) -> Result<Vec<PathBuf>, String> {
    let rule =
        fs::read_to_string(dependency_file).map_err(|error| format!("cannot read {}: {error}", dependency_file.display()))?;
    let (_, sources) = rule.split_once(": ").ok_or_else(|| format!("{} is no rule", dependency_file.display()))?;
    // Make's escape of a space; no other character of a path is escaped.
    let sources = sources.replace("\\ ", "\0");
    let mut inputs: Vec<PathBuf> = sources.split_whitespace().map(|source| PathBuf::from(source.replace('\0', " "))).collect();
    let manifests: Vec<PathBuf> = inputs
        .iter()
        .filter_map(|source| source.ancestors().map(|folder| folder.join("Cargo.toml")).find(|file| file.exists()))
        .collect();
    inputs.extend(manifests);
    inputs.extend(["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"].map(|name| workspace.join(name)));
    inputs.sort();
    inputs.dedup();
    Ok(inputs)
}
