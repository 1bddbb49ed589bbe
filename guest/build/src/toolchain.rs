//! The compiler and its target.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::TARGET;

/// Makes sure that the target is installed. Where rustup does not install on demand, a target that `rust-toolchain.toml`
/// names may be missing; one command in the workspace's root brings it.
pub(crate) fn ensure_target(workspace: &Path) -> Result<(), String> {
    if target_is_installed()? {
        return Ok(());
    }
    // A toolchain chosen by the outer proxy would keep rustup from reading the file.
    let _ = Command::new("rustup").args(["toolchain", "install"]).current_dir(workspace).env_remove("RUSTUP_TOOLCHAIN").status();
    if target_is_installed()? {
        return Ok(());
    }
    Err(format!("the target {TARGET} is not installed; run `rustup toolchain install` in {}", workspace.display()))
}

/// Where the standard library's sources are if they are installed, and the path that stands for them in its own binaries.
pub(crate) fn library_sources() -> Result<(PathBuf, String), String> {
    let sysroot = rustc(&["--print", "sysroot"])?;
    let version = rustc(&["--version", "--verbose"])?;
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: ")).unwrap_or("unknown");
    Ok((Path::new(&sysroot).join("lib/rustlib/src/rust"), format!("/rustc/{commit}")))
}

fn target_is_installed() -> Result<bool, String> {
    Ok(Path::new(&rustc(&["--print", "target-libdir", "--target", TARGET])?).exists())
}

fn rustc(arguments: &[&str]) -> Result<String, String> {
    let program = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("cannot run rustc: {error}"))?;
    if !output.status.success() {
        return Err(format!("rustc {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
