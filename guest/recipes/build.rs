//! Puts the documents of the platforms into the crate, without what only their readers need, and made small.

#![allow(clippy::disallowed_macros, reason = "cargo listens to what a build script prints")]

#[path = "src/packed.rs"]
mod packed;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use packed::{SHORTEST, unpacked};
use serde_json::Value;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/packed.rs");
    println!("cargo::rerun-if-changed=documents");
    let mut names: Vec<_> =
        fs::read_dir("documents").expect("the documents").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    let mut platforms = String::from("[\n");
    let mut documents = String::new();
    for path in names.iter().filter(|path| path.extension().is_some_and(|extension| extension == "json")) {
        let text = fs::read_to_string(path).expect("a readable document");
        let mut document: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let members = document.as_object_mut().unwrap_or_else(|| panic!("{} is no object", path.display()));
        members.remove("$schema");
        members.remove("$comment");
        let parameters = members.get_mut("parameters").and_then(Value::as_object_mut);
        for about in parameters.into_iter().flat_map(|parameters| parameters.values_mut()) {
            about.as_object_mut().and_then(|about| about.remove("description"));
        }
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        documents += &document.to_string();
        writeln!(platforms, "    ({name:?}, {}),", documents.len()).expect("a string takes all");
    }
    platforms += "]\n";
    let small = packed(&documents);
    assert!(unpacked(&small) == documents, "what was made small comes out as it was");
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    let write = |name: &str, bytes: &[u8]| fs::write(Path::new(&out).join(name), bytes).expect("it is writable");
    write("platforms.rs", platforms.as_bytes());
    write("documents", &small);
}

/// From the end to the beginning, the cheapest way to say the rest: a character, or the longest copy cut to the length that pays most.
fn packed(text: &str) -> Vec<u8> {
    assert!(text.is_ascii(), "the documents are in ASCII");
    let bytes = text.as_bytes();
    // Where each beginning of a copy stands, in order.
    let mut places: HashMap<&[u8], Vec<usize>> = HashMap::new();
    for (at, beginning) in bytes.windows(SHORTEST).enumerate() {
        places.entry(beginning).or_default().push(at);
    }
    // For each position, what the rest costs, and the copy to begin with: length and distance.
    let mut cheapest = vec![(0_usize, (0_usize, 0_usize)); bytes.len() + 1];
    for at in (0..bytes.len()).rev() {
        let mut best = (cheapest[at + 1].0 + 1, (0, 0));
        let (longest, distance) = longest_copy(bytes, at, &places);
        for length in SHORTEST..=longest {
            let cost = cheapest[at + length].0 + 3;
            if cost <= best.0 {
                best = (cost, (length, distance));
            }
        }
        cheapest[at] = best;
    }
    let mut small = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (_, (length, distance)) = cheapest[at];
        if length == 0 {
            small.push(bytes[at]);
            at += 1;
        } else {
            let [low, high, ..] = distance.to_le_bytes();
            small.extend([128 | u8::try_from(length - SHORTEST).expect("it is below 128"), low, high]);
            at += length;
        }
    }
    small
}

/// The longest piece before a position that stands there, too, and how far back it is.
fn longest_copy(bytes: &[u8], at: usize, places: &HashMap<&[u8], Vec<usize>>) -> (usize, usize) {
    let mut longest = (0, 0);
    let begins = bytes.get(at..at + SHORTEST).and_then(|beginning| places.get(beginning));
    for from in begins.into_iter().flatten().copied().take_while(|from| *from < at) {
        let same = bytes[from..].iter().zip(&bytes[at..]).take(127 + SHORTEST).take_while(|(one, other)| one == other).count();
        if same > longest.0 && at - from <= usize::from(u16::MAX) {
            longest = (same, at - from);
        }
    }
    longest
}
