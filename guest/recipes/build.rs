//! Puts the documents of the platforms into the crate, without what only their readers need.

#![allow(clippy::disallowed_macros, reason = "cargo listens to what a build script prints")]

use std::path::Path;
use std::{env, fs};

use serde_json::Value;

fn main() {
    println!("cargo::rerun-if-changed=documents");
    let mut names: Vec<_> =
        fs::read_dir("documents").expect("the documents").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    let mut source = String::from("[\n");
    for path in names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let text = fs::read_to_string(path).expect("a readable document");
        let mut document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let members = document.as_object_mut().unwrap_or_else(|| panic!("{} is no object", path.display()));
        members.remove("$schema");
        members.remove("$comment");
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        source += &format!("    ({name:?}, {:?}),\n", document.to_string());
    }
    source += "]\n";
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    fs::write(Path::new(&out).join("documents.rs"), source).expect("it is writable");
}
