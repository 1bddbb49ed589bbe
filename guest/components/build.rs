//! Builds the components, and the engine as a core module.

#![allow(clippy::disallowed_macros, reason = "cargo listens to what is printed")]

use wif_guest_build::{Component, Guest, fail};

/// The package, and the variable that names a prebuilt file.
const COMPONENTS: [(&str, &str); 4] = [
    ("wif-plugin", "WIF_PLUGIN_COMPONENT"),
    ("wif-standalone", "WIF_STANDALONE_COMPONENT"),
    ("wif-standalone-async", "WIF_STANDALONE_ASYNC_COMPONENT"),
    ("wif-interposer", "WIF_INTERPOSER_COMPONENT"),
];
const MODULES: [(&str, &str); 1] = [("wif-flat", "WIF_FLAT_MODULE")];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for (package, prebuilt_variable) in COMPONENTS {
        tell(package, Guest { package, prebuilt_variable }.build());
    }
    for (package, prebuilt_variable) in MODULES {
        tell(package, Guest { package, prebuilt_variable }.build_module());
    }
}

/// Where the program finds what was built.
fn tell(package: &str, built: Result<Component, String>) {
    match built {
        Ok(built) => {
            let name = package.replace('-', "_").to_ascii_uppercase();
            println!("cargo::rustc-env={name}={}", built.path.display());
        }
        Err(error) => fail(&error),
    }
}
