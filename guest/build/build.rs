//! Looks for the target. This crate depends on next to nothing, so `cargo check -p wif-guest-build` tells within a second whether the
//! guests can be built. In a larger build the script may run late: cargo begins with the crates that most others wait for.

#![allow(clippy::disallowed_macros, reason = "cargo listens to what a build script prints")]

#[path = "src/target.rs"]
#[allow(unreachable_pub, reason = "public in the library, which shares the file")]
mod target;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/target.rs");
    // Whoever names prebuilt guests may need no target. The library looks again where it builds one.
    let prebuilt = std::env::vars_os().any(|(name, value)| {
        let name = name.to_string_lossy();
        let names_guest = name.ends_with("_COMPONENT") || name.ends_with("_MODULE") || name.starts_with("WIF_TEST_GUEST_");
        name.starts_with("WIF_") && names_guest && !value.is_empty()
    });
    if prebuilt {
        return;
    }
    if let Err(error) = target::ensure() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
}
