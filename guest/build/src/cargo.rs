//! The nested build.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Form, TARGET, toolchain};

/// What ships, whatever the outer build's profile is. Names are kept: [`crate::names`] makes them short.
const PROFILE: [(&str, &str); 11] = [
    ("OPT_LEVEL", "z"),
    ("STRIP", "debuginfo"),
    ("DEBUG", "false"),
    ("PANIC", "abort"),
    ("CODEGEN_UNITS", "1"),
    ("LTO", "true"),
    ("INCREMENTAL", "false"),
    ("DEBUG_ASSERTIONS", "false"),
    ("OVERFLOW_CHECKS", "false"),
    // Macros run for a moment, and leave nothing of themselves in the result.
    ("BUILD_OVERRIDE_OPT_LEVEL", "0"),
    ("BUILD_OVERRIDE_CODEGEN_UNITS", "256"),
];

/// Cargo's variables that say how to reach registries and how many jobs may run. All others of its variables describe the
/// outer build, and would make the result depend on it.
const KEPT: [&str; 8] = [
    "CARGO_HOME",
    "CARGO_MAKEFLAGS",
    "CARGO_NET_",
    "CARGO_HTTP_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
    "CARGO_RESOLVER_",
];

/// Builds the package into `target_dir`.
pub(crate) fn build(package: &str, workspace: &Path, target_dir: &Path, form: Form) -> Result<(), String> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace).args(["build", "--release", "--locked", "--package", package, "--target", TARGET]);
    for (name, _) in env::vars_os() {
        if leaks(&name.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command.env("CARGO_TARGET_DIR", target_dir).env("CARGO_ENCODED_RUSTFLAGS", flags(workspace)?.join("\x1f"));
    if form == Form::Component {
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-component-ld");
    }
    for (key, value) in PROFILE {
        command.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
    }
    let status = command.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("the guest {package} could not be built: {status}")) }
}

fn leaks(name: &str) -> bool {
    const OTHERS: [&str; 4] = ["RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_LINKER", "CLIPPY_ARGS"];
    OTHERS.contains(&name) || (name.starts_with("CARGO_") && !KEPT.iter().any(|kept| name.starts_with(kept)))
}

fn flags(workspace: &Path) -> Result<Vec<String>, String> {
    // The engine's depth is bounded; the linker's default of 1 MiB would only be reserved in vain.
    let mut flags = vec!["-Clink-arg=-zstack-size=65536".to_owned()];
    // Panic messages of dependencies name their files: without this the component would carry home directories, and differ
    // from machine to machine. Of several prefixes that match, the last one counts.
    let cargo_home = cargo_home();
    let mut remap = |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
    remap(&cargo_home, "/cargo");
    for registry in fs::read_dir(cargo_home.join("registry").join("src")).into_iter().flatten().flatten() {
        remap(&registry.path(), "/registry");
    }
    remap(workspace, "/workspace");
    let (sources, public) = toolchain::library_sources()?;
    remap(&sources, &public);
    Ok(flags)
}

fn cargo_home() -> PathBuf {
    let home = || env::home_dir().unwrap_or_default().join(".cargo").into_os_string();
    PathBuf::from(env::var_os("CARGO_HOME").filter(|home: &OsString| !home.is_empty()).unwrap_or_else(home))
}
