//! What the composed component takes from its host, and how big its parts are.

use std::path::{Path, PathBuf};

use wasmparser::{Parser, Payload};

use crate::host::WASM;

const INTERPOSER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/interposer.wasm"));

const STANDALONE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/standalone-async.wasm"));

/// Everything that its host has to give, without the versions.
const STANDALONE_IMPORTS: [&str; 12] = [
    "wasi:cli/environment",
    "wasi:cli/stderr",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/types",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/client",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/streams",
    "wasi:random/random",
];

/// The names of the imports and of the exports, without the versions.
fn names(wasm: &[u8]) -> (Vec<String>, Vec<String>) {
    let plain = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.expect("it is a component") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(section.into_iter().map(|import| plain(import.expect("it is valid").name.name)));
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().map(|export| plain(export.expect("it is valid").name.name)));
            }
            _ => {}
        }
    }
    (imports, exports)
}

#[test]
fn the_interposer_has_nothing_but_http_and_the_credential() {
    let (mut imports, exports) = names(INTERPOSER);
    imports.sort_unstable();
    let expected =
        ["wasi:clocks/types", "wasi:http/client", "wasi:http/types", "wif:credential/types", "wif:interposer/shared-token"];
    assert!(imports.iter().all(|import| expected.contains(&import.as_str())), "{imports:?}");
    assert!(imports.iter().any(|import| import == "wif:interposer/shared-token"));
    assert_eq!(exports, ["wasi:http/client"]);
}

#[test]
fn nothing_of_this_project_is_left_to_the_host_of_the_composed_component() {
    let (imports, exports) = names(WASM);
    assert!(imports.iter().all(|import| import.starts_with("wasi:")), "{imports:?}");
    assert_eq!(exports, ["wasi:http/handler"]);
}

#[test]
fn the_standalone_component_for_many_callers_takes_its_network_and_its_timers_from_wasi_0_3() {
    let (imports, exports) = names(STANDALONE);
    let mut names: Vec<&str> = imports.iter().map(String::as_str).collect();
    names.sort_unstable();
    // Beside both versions of what the clocks' types are in.
    names.dedup();
    assert_eq!(names, STANDALONE_IMPORTS);
    assert_eq!(exports, ["wif:credential/types", "wif:interposer/shared-token"]);
}

/// Names of functions included: they are all that a trap leaves.
#[test]
fn the_components_keep_their_sizes() {
    for (name, wasm, at_most) in [("interposer", INTERPOSER, 156), ("standalone-async", STANDALONE, 510)] {
        assert!(wasm.len() <= at_most * 1024, "{name}: {} bytes", wasm.len());
    }
}

#[test]
fn no_path_of_the_machine_that_built_them_is_in_them() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("it is two folders below the root");
    let paths = [Some(workspace.to_path_buf()), std::env::home_dir().filter(|home| home.components().count() > 1)];
    let usual = ["registry/src", ".cargo/", ".rustup/"].map(|path| Some(PathBuf::from(path)));
    for path in paths.into_iter().chain(usual).flatten() {
        let path = path.to_str().expect("it is text").as_bytes();
        for wasm in [INTERPOSER, STANDALONE] {
            assert!(!wasm.windows(path.len()).any(|window| window == path), "{}", String::from_utf8_lossy(path));
        }
    }
}
