//! What the component takes from its host, and what it carries.

use std::path::{Path, PathBuf};

use wasmparser::{Parser, Payload};

use crate::host::WASM;

/// Everything that a host has to give, without the versions.
const IMPORTS: [&str; 12] = [
    "wasi:cli/environment",
    "wasi:cli/stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/random",
];

#[test]
fn it_imports_what_its_documentation_says_and_nothing_else() {
    let mut imports = Vec::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(WASM) {
        match payload.expect("it is a component") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|import| import.expect("it is valid").name.name));
            }
            _ => {}
        }
    }
    assert!(imports.iter().all(|import| import.contains("@0.2.")), "{imports:?}");
    let mut names: Vec<&str> = imports.iter().map(|import| import.split('@').next().unwrap_or_default()).collect();
    names.sort_unstable();
    assert_eq!(names, IMPORTS);
}

#[test]
fn no_path_of_the_machine_that_built_it_is_in_it() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("it is two folders below the root");
    let paths = [Some(workspace.to_path_buf()), std::env::home_dir().filter(|home| home.components().count() > 1)];
    let usual = ["registry/src", ".cargo/", ".rustup/"].map(|path| Some(PathBuf::from(path)));
    for path in paths.into_iter().chain(usual).flatten() {
        let path = path.to_str().expect("it is text");
        assert!(!contains(WASM, path.as_bytes()), "{path}");
    }
}

/// Names of functions included: they are all that a trap leaves.
#[test]
fn it_keeps_its_size() {
    assert!(WASM.len() <= 450 * 1024, "{} bytes", WASM.len());
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
