//! What the composed component takes from its host, and how big its parts are.

use wasmparser::{Parser, Payload};

use crate::host::WASM;

const INTERPOSER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/interposer.wasm"));

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
fn the_interposer_is_small() {
    const AT_MOST: usize = 192 * 1024;
    assert!(INTERPOSER.len() <= AT_MOST, "{} bytes", INTERPOSER.len());
}
