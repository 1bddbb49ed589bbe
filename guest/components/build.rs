//! Builds the components.

#![allow(clippy::disallowed_macros, reason = "cargo listens to what is printed")]

use wif_guest_build::{Guest, fail};

/// The package, and the variable that names a prebuilt component.
const COMPONENTS: [(&str, &str); 4] = [
    ("wif-plugin", "WIF_PLUGIN_COMPONENT"),
    ("wif-standalone", "WIF_STANDALONE_COMPONENT"),
    ("wif-standalone-async", "WIF_STANDALONE_ASYNC_COMPONENT"),
    ("wif-interposer", "WIF_INTERPOSER_COMPONENT"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for (package, prebuilt_variable) in COMPONENTS {
        match (Guest { package, prebuilt_variable }).build() {
            Ok(component) => {
                let name = package.replace('-', "_").to_ascii_uppercase();
                println!("cargo::rustc-env={name}={}", component.path.display());
            }
            Err(error) => fail(&error),
        }
    }
}
