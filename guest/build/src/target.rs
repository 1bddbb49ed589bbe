//! The target, and the check that the compiler in use has it. Shared with this crate's build script.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// The one target of guests. It has no operating system, so the component has no imports that its world does not name.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Fails where the target is not installed. Installs nothing: a build changes nothing outside its target directory.
pub(crate) fn ensure() -> Result<(), String> {
    let libraries = rustc(&["--print", "target-libdir", "--target", TARGET])?;
    let sysroot = rustc(&["--print", "sysroot"])?;
    check(Path::new(&libraries), Path::new(&sysroot), env::var_os("RUSTUP_TOOLCHAIN"))
}

/// Runs the compiler in use, and gives what it prints.
pub(crate) fn rustc(arguments: &[&str]) -> Result<String, String> {
    let program = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("cannot run rustc: {error}"))?;
    if !output.status.success() {
        return Err(format!("rustc {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn check(libraries: &Path, sysroot: &Path, chosen: Option<OsString>) -> Result<(), String> {
    if libraries.exists() {
        return Ok(());
    }
    // The folder of a toolchain of rustup's has its name; a toolchain that was linked lies elsewhere.
    let folder = sysroot.parent().filter(|parent| parent.ends_with("toolchains")).and(sysroot.file_name());
    let toolchain = folder.map(ToOwned::to_owned).or(chosen).unwrap_or_else(|| sysroot.into());
    let toolchain = toolchain.to_string_lossy();
    Err(format!("the target {TARGET} is not installed; run `rustup target add {TARGET} --toolchain {toolchain}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MISSING: &str = "/nowhere/lib/rustlib/wasm32-unknown-unknown/lib";

    #[test]
    fn a_missing_target_is_named_with_the_command_that_brings_it_to_the_compiler_in_use() {
        let sysroot = Path::new("/home/somebody/.rustup/toolchains/1.95.0-x86_64-unknown-linux-gnu");
        assert_eq!(
            check(Path::new(MISSING), sysroot, Some("stable".into())).expect_err("it is missing"),
            "the target wasm32-unknown-unknown is not installed; run \
             `rustup target add wasm32-unknown-unknown --toolchain 1.95.0-x86_64-unknown-linux-gnu`"
        );
    }

    #[test]
    fn a_linked_toolchain_is_named_as_it_was_chosen() {
        let message = check(Path::new(MISSING), Path::new("/opt/rust"), Some("mine".into())).expect_err("it is missing");
        assert!(message.ends_with("--toolchain mine`"), "{message}");
    }

    #[test]
    fn a_target_that_is_there_is_no_error() {
        assert_eq!(check(Path::new(env!("CARGO_MANIFEST_DIR")), Path::new("/opt/rust"), None), Ok(()));
    }
}
