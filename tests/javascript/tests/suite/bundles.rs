//! What the package adds to a program that is bundled for a platform.

use std::fs;

use serde_json::Value;
use wif_javascript::{EDGE, Platform, WORKERS};

use crate::program::{node, printed, workshop};

/// The most that the package may add to a bundle, in bytes. The glue that calls the component is the most of the script; the
/// component is there without the names of its functions. It has the logins of people in it, which Workers have no files for.
const GLUE_AND_DRIVER: u64 = 118 << 10;
const GLUE_AND_DRIVER_GZIP: u64 = 37 << 10;
const COMPONENT: u64 = 424 << 10;
const COMPONENT_GZIP: u64 = 176 << 10;

fn sum(sizes: &Value, suffix: &str, unit: &str) -> u64 {
    let files = sizes.as_object().expect("sizes by name").iter();
    files.filter(|(name, _)| name.ends_with(suffix)).map(|(_, size)| size[unit].as_u64().expect("a number")).sum()
}

/// Wrangler's limit for a free Worker is 3 MiB after gzip: this is a fifteenth of it.
#[test]
fn a_bundle_stays_small_and_needs_nothing_of_node() {
    for platform in [WORKERS, EDGE] {
        let folder = tempfile::tempdir().expect("a directory");
        let small = Platform { minify: true, ..platform };
        let sizes = workshop()
            .bundle(&workshop().program("smallest.mjs"), &small, folder.path())
            .unwrap_or_else(|missing| panic!("{missing}"));
        let (script, component) = (sum(&sizes, ".mjs", "bytes"), sum(&sizes, ".wasm", "bytes"));
        assert!(script <= GLUE_AND_DRIVER && component <= COMPONENT, "{sizes}");
        let (script, component) = (sum(&sizes, ".mjs", "gzip"), sum(&sizes, ".wasm", "gzip"));
        assert!(script <= GLUE_AND_DRIVER_GZIP && component <= COMPONENT_GZIP, "{sizes}");
        let text = fs::read_to_string(folder.path().join("smallest.mjs")).expect("the bundle");
        for forbidden in ["node:", "JCO_DEBUG", "process.env", "base64"] {
            assert!(!text.contains(forbidden), "the bundle for {:?} has {forbidden}", platform.conditions);
        }
    }
}

/// Node takes ES modules from other programs, too, because nothing is awaited while the package is loaded.
#[test]
fn a_program_that_is_no_es_module_can_require_the_package() {
    assert_eq!(printed(&mut node("consumer-require.cjs")), [serde_json::json!(["wif-credential", "function"])]);
}

/// Beside the published files there is nothing that belongs to a machine.
#[test]
fn the_package_holds_no_path_of_the_machine_that_built_it() {
    let mut folders = vec![workshop().package()];
    let here = env!("CARGO_MANIFEST_DIR").trim_end_matches("/tests/javascript");
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).expect("a file");
            let found = bytes.windows(here.len()).any(|window| window == here.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}
