//! The same sources give the same module wherever they lie, wherever the results go, and wherever cargo keeps its downloads.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use wif_proxy_wasm_image::{Images, module};

/// Builds the filter once more, from a copy of the workspace.
#[test]
fn a_module_built_elsewhere_is_the_same() {
    let elsewhere = tempfile::Builder::new().prefix("another place ").tempdir().unwrap();
    let sources = elsewhere.path().join("sources");
    copy(Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap(), &sources);

    // Cargo's home under another name, with the same downloads in it.
    let home = elsewhere.path().join("cargo");
    fs::create_dir(&home).unwrap();
    for entry in fs::read_dir(cargo_home()).unwrap() {
        let entry = entry.unwrap();
        std::os::unix::fs::symlink(entry.path(), home.join(entry.file_name())).unwrap();
    }

    let builder = elsewhere.path().join("builder");
    let built = elsewhere.path().join("built.wasm");
    fs::create_dir(&builder).unwrap();
    fs::write(builder.join("Cargo.toml"), MANIFEST).unwrap();
    fs::write(builder.join("lib.rs"), "").unwrap();
    fs::write(builder.join("build.rs"), BUILD_SCRIPT).unwrap();
    fs::copy(sources.join("rust-toolchain.toml"), builder.join("rust-toolchain.toml")).unwrap();
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet"])
        .current_dir(&builder)
        .env("CARGO_HOME", &home)
        .env("CARGO_TARGET_DIR", elsewhere.path().join("target"))
        .env("CARGO_NET_OFFLINE", "true")
        .env("BUILT_MODULE", &built)
        .env_remove("WIF_PROXY_WASM_MODULE")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let again = fs::read(built).unwrap();
    assert!(again == module(), "it differs {}", first_difference(&again, module()));
    assert_eq!(Images::of(&again).compat_digest(), Images::of(module()).compat_digest());
}

const MANIFEST: &str = r#"
[package]
name = "builder"
edition = "2024"

[lib]
path = "lib.rs"

[build-dependencies]
wif-guest-build = { path = "../sources/guest/build" }

[workspace]
"#;

const BUILD_SCRIPT: &str = r#"
fn main() {
    let guest = wif_guest_build::Guest { package: "wif-proxy-wasm-module", prebuilt_variable: "WIF_PROXY_WASM_MODULE" };
    match guest.build_module() {
        Ok(module) => std::fs::copy(module.path, std::env::var_os("BUILT_MODULE").unwrap()).map(drop).unwrap(),
        Err(error) => wif_guest_build::fail(&error),
    }
}
"#;

/// The workspace without results and without history.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let is_left_out = [".git", "target", "node_modules"].iter().any(|left_out| name == OsStr::new(left_out));
        match entry.file_type().unwrap() {
            _ if is_left_out => {}
            kind if kind.is_dir() => copy(&entry.path(), &to.join(name)),
            _ => drop(fs::copy(entry.path(), to.join(name)).unwrap()),
        }
    }
}

fn cargo_home() -> PathBuf {
    env::var_os("CARGO_HOME").map_or_else(|| env::home_dir().unwrap().join(".cargo"), PathBuf::from)
}

fn first_difference(one: &[u8], other: &[u8]) -> String {
    let at = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    format!("from byte {at} of {} and {}", one.len(), other.len())
}
