//! The module that ships: what it can reach, what it weighs, what it gives away.

use std::collections::BTreeSet;

use wasmparser::{ExternalKind, Parser, Payload, TypeRef};
use wif_proxy_wasm_image::{CALLBACKS, HOST_FUNCTIONS, module};

/// What the SDK links in and the filter does not call: its traits have these as methods. The list goes down, never up.
const NEVER_CALLED: [&str; 16] = [
    "proxy_add_header_map_value",
    "proxy_call_foreign_function",
    "proxy_close_stream",
    "proxy_dequeue_shared_queue",
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

/// The SDK's functions that the filter calls, and what they call of the proxy's.
const CALLS: [(&str, &[&str]); 20] = [
    ("define_metric", &["proxy_define_metric"]),
    ("dispatch_http_call", &["proxy_http_call"]),
    ("done", &["proxy_done"]),
    ("get_buffer", &["proxy_get_buffer_bytes"]),
    ("get_current_time", &["proxy_get_current_time_nanoseconds"]),
    ("get_map_bytes", &["proxy_get_header_map_pairs"]),
    ("get_map_value_bytes", &["proxy_get_header_map_value"]),
    ("get_property", &["proxy_get_property"]),
    ("get_shared_data", &["proxy_get_shared_data"]),
    ("increment_metric", &["proxy_increment_metric"]),
    ("log", &["proxy_log"]),
    ("record_metric", &["proxy_record_metric"]),
    ("remove_map_value", &["proxy_remove_header_map_value"]),
    ("resume_http_request", &["proxy_continue_stream"]),
    ("send_http_response", &["proxy_send_local_response"]),
    ("set_effective_context", &["proxy_set_effective_context"]),
    ("set_map_value", &["proxy_replace_header_map_value", "proxy_remove_header_map_value"]),
    ("set_map_value_bytes", &["proxy_replace_header_map_value", "proxy_remove_header_map_value"]),
    ("set_shared_data", &["proxy_set_shared_data"]),
    ("set_tick_period", &["proxy_set_tick_period_milliseconds"]),
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

/// What proxies are told to allow is what the sources call: one function too few, and the filter ends where it calls it.
#[test]
fn the_functions_written_down_are_those_that_it_calls() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("src");
    let mut called = BTreeSet::new();
    for file in std::fs::read_dir(sources).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for call in text.split("hostcalls::").skip(1) {
            let name = call.split(|letter: char| letter != '_' && !letter.is_ascii_lowercase()).next().unwrap();
            if call[name.len()..].starts_with('(') {
                let found = CALLS.iter().find(|(function, _)| *function == name);
                let (_, functions) = found.unwrap_or_else(|| panic!("which of the proxy's functions does {name} call?"));
                called.extend(functions.iter().copied());
            }
        }
    }
    assert_eq!(called, BTreeSet::from(HOST_FUNCTIONS));
}

/// Configurations for users allow the functions that are called and no others; of callbacks, more than these do nothing.
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
    assert!(size <= 570 * 1024, "it weighs {size} bytes");
}
