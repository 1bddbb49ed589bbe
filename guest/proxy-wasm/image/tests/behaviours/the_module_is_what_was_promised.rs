//! The module that ships: what it can reach, what it weighs, what it gives away.

use std::collections::BTreeSet;

use wasmparser::{ExternalKind, Parser, Payload, TypeRef};
use wif_proxy_wasm_image::{CALLBACKS, HOST_FUNCTIONS, module};

fn imports() -> Vec<(String, String, TypeRef)> {
    let mut all = Vec::new();
    for payload in Parser::new(0).parse_all(module()) {
        if let Payload::ImportSection(imports) = payload.unwrap() {
            for import in imports.into_imports() {
                let import = import.unwrap();
                all.push((import.module.to_owned(), import.name.to_owned(), import.ty));
            }
        }
    }
    all
}

fn exports() -> Vec<(String, ExternalKind)> {
    let mut all = Vec::new();
    for payload in Parser::new(0).parse_all(module()) {
        if let Payload::ExportSection(exports) = payload.unwrap() {
            all.extend(exports.into_iter().map(Result::unwrap).map(|export| (export.name.to_owned(), export.kind)));
        }
    }
    all
}

#[test]
fn it_is_valid() {
    wasmparser::Validator::new().validate_all(module()).unwrap();
}

/// F3: what it imports.
#[test]
fn it_imports_functions_of_the_proxy_that_are_written_down_and_nothing_else() {
    let imports = imports();
    for (module, name, kind) in &imports {
        assert!(module == "env" && matches!(kind, TypeRef::Func(_)), "{module}.{name}: {kind:?}");
    }
    let imported: BTreeSet<&str> = imports.iter().map(|(_, name, _)| &**name).collect();
    assert_eq!(imported, BTreeSet::from(HOST_FUNCTIONS));
}

#[test]
fn it_exports_what_the_abi_asks_for() {
    let exports = exports();
    let functions: BTreeSet<&str> =
        exports.iter().filter(|(_, kind)| *kind == ExternalKind::Func).map(|(name, _)| &**name).collect();
    let expected = ["_initialize", "malloc", "proxy_abi_version_0_2_1"].into_iter().chain(CALLBACKS);
    assert_eq!(functions, expected.collect());
    assert!(exports.contains(&("memory".to_owned(), ExternalKind::Memory)));
}

/// Configurations for users allow the functions that are called and no others, and every callback that there is.
#[test]
fn the_configurations_allow_what_it_needs() {
    let exports = exports();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap().join("host/envoy/configurations");
    let mut lists = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for list in text.split("allowed_capabilities:\n").skip(1) {
            let entries = list.lines().map_while(|line| line.trim().strip_suffix(": {}"));
            let (callbacks, functions): (BTreeSet<&str>, BTreeSet<&str>) =
                entries.partition(|name| name.starts_with("proxy_on_"));
            assert_eq!(functions, HOST_FUNCTIONS.into(), "{}", path.display());
            assert!(callbacks.is_superset(&CALLBACKS.into()), "{}: {callbacks:?}", path.display());
            let unknown = callbacks.iter().find(|name| !exports.iter().any(|(export, _)| export == *name));
            assert_eq!(unknown, None, "{}", path.display());
            lists += 1;
        }
    }
    assert!(lists >= 2, "{lists} configurations have an allow-list");
}

#[test]
fn the_lists_of_capabilities_are_sorted() {
    assert!(HOST_FUNCTIONS.is_sorted() && CALLBACKS.is_sorted());
}

/// Of the machine that built it, nothing.
#[test]
#[allow(clippy::disallowed_methods, reason = "cargo's home is that of the machine")]
fn it_carries_no_path_of_the_machine_that_built_it() {
    let home = std::env::home_dir().map(|home| home.display().to_string());
    let cargo = std::env::var("CARGO_HOME").ok();
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3).unwrap().display().to_string();
    let carries = |path: &str| module().windows(path.len()).any(|bytes| bytes == path.as_bytes());
    for path in [home, cargo, Some(workspace)].into_iter().flatten().filter(|path| path.len() > 1) {
        // The folder, and no file whose name begins like it.
        let folder = format!("{}/", path.trim_end_matches('/'));
        assert!(!carries(&folder), "it carries {folder}");
    }
    for fragment in ["registry/src", "/.cargo/", "index.crates.io"] {
        assert!(!carries(fragment), "it carries {fragment}");
    }
    // What stands in place of them: the files of dependencies are named, but not where they were.
    assert!(carries("/registry/serde_json-"));
}

/// Whoever takes it loads it into each of the proxy's threads.
#[test]
fn it_does_not_gain_weight() {
    let size = module().len();
    assert!(size <= 506 * 1024, "it weighs {size} bytes");
}
