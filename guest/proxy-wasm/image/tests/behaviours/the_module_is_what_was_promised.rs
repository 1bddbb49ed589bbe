//! The module that ships: what it can reach, what it weighs, what it gives away.

use std::collections::BTreeSet;

use wasmparser::{ExternalKind, Parser, Payload, TypeRef};
use wif_proxy_wasm_image::{CALLBACKS, HOST_FUNCTIONS, module};

/// What the SDK links in and the filter does not call: its traits have these as methods. The list goes down, never up.
const NEVER_CALLED: [&str; 16] = [
    "proxy_call_foreign_function",
    "proxy_close_stream",
    "proxy_dequeue_shared_queue",
    "proxy_done",
    "proxy_enqueue_shared_queue",
    "proxy_get_status",
    "proxy_grpc_call",
    "proxy_grpc_cancel",
    "proxy_grpc_close",
    "proxy_grpc_send",
    "proxy_grpc_stream",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
    "proxy_set_buffer_bytes",
    "proxy_set_header_map_pairs",
    "proxy_set_property",
];

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

/// F3.
#[test]
fn it_imports_functions_of_the_proxy_that_are_written_down_and_nothing_else() {
    let imports = imports();
    for (module, name, kind) in &imports {
        assert!(module == "env" && matches!(kind, TypeRef::Func(_)), "{module}.{name}: {kind:?}");
    }
    let imported: BTreeSet<&str> = imports.iter().map(|(_, name, _)| &**name).collect();
    let written: BTreeSet<&str> = HOST_FUNCTIONS.into_iter().chain(NEVER_CALLED).collect();
    assert_eq!(imported, written);
    assert_eq!(written.len(), HOST_FUNCTIONS.len() + NEVER_CALLED.len());
}

#[test]
fn it_exports_what_the_abi_asks_for() {
    let exports = exports();
    let functions: BTreeSet<&str> =
        exports.iter().filter(|(_, kind)| *kind == ExternalKind::Func).map(|(name, _)| &**name).collect();
    for name in ["_initialize", "malloc"].into_iter().chain(CALLBACKS) {
        assert!(functions.contains(name), "it does not export {name}");
    }
    let versions: Vec<&&str> = functions.iter().filter(|name| name.starts_with("proxy_abi_version")).collect();
    assert_eq!(versions, [&"proxy_abi_version_0_2_1"]);
    assert!(exports.contains(&("memory".to_owned(), ExternalKind::Memory)));
}

#[test]
fn the_lists_of_capabilities_are_sorted() {
    assert!(HOST_FUNCTIONS.is_sorted() && CALLBACKS.is_sorted() && NEVER_CALLED.is_sorted());
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
    assert!(carries("/registry/proxy-wasm-"));
}

/// This bound goes down, never up.
#[test]
fn it_does_not_gain_weight() {
    let size = module().len();
    assert!(size <= 815 * 1024, "it weighs {size} bytes");
}
