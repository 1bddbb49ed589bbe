//! The cases in `tests/requests` and `tests/callers`, which every host runs: their format, and the checks that they ask for, for hosts
//! in Rust. The format itself is written down beside the cases; hosts in other languages read the files.

pub mod callers;
pub mod requests;

use std::fs;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

/// The documents of a folder beside this crate, by name and in order.
///
/// # Panics
///
/// One of them is not in the format.
fn documents<T: DeserializeOwned>(folder: &str) -> Vec<(String, T)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let document = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (name, document)
    };
    paths.into_iter().map(read).collect()
}

/// Fails with all that failed, by name.
///
/// # Panics
///
/// Something did.
pub fn all_hold(ran: usize, at_least: usize, failed: &[String]) {
    assert!(failed.is_empty(), "{} of {ran} failed:\n{}", failed.len(), failed.join("\n"));
    assert!(ran >= at_least, "only {ran} cases were run");
}
