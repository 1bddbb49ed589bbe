//! The recorded sessions under `tests/vectors`, on the engine and through the component.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use wif_world::both;
use wif_world::vector::{folder, load};

#[test]
fn every_vector_holds() {
    let mut vectors = load(&folder());
    vectors.retain(|(name, _)| !name.starts_with("wrong/"));
    assert!(vectors.len() >= 40, "only {} vectors were found", vectors.len());
    both(|kind| {
        let failures: Vec<String> = vectors
            .iter()
            .filter_map(|(name, vector)| vector.run(kind).err().map(|why| format!("{name} ({}): {why}", vector.says)))
            .collect();
        assert!(failures.is_empty(), "{} of {} vectors, {kind:?}:\n\n{}", failures.len(), vectors.len(), failures.join("\n\n"));
    });
}

/// A reader sees at once what is particular about a vector.
#[test]
fn no_vector_repeats_what_a_preset_says_and_every_preset_is_used() {
    let presets: Value = read(&folder().join("presets.json"));
    let whole = |name: &str, key: &str| {
        let preset = &presets[name];
        let below = preset["preset"].as_str().map_or(&Value::Null, |below| &presets[below][key]);
        if preset[key].is_null() { below.clone() } else { preset[key].clone() }
    };
    let mut unused: HashSet<&str> = presets.as_object().expect("presets by name").keys().map(String::as_str).collect();
    let alike = ["configuration", "seed", "can", "wall-ms", "steady-ms"];
    for (name, _) in load(&folder()) {
        let vector = read(&folder().join(format!("{name}.json")));
        let Some(preset) = vector["preset"].as_str() else {
            let is_first = name == "sessions/from-open-to-closing";
            let fits = |preset: &&str| alike.iter().all(|key| vector[*key] == whole(preset, key));
            let fitting = presets.as_object().expect("presets").keys().map(String::as_str).find(fits);
            assert!(is_first || fitting.is_none(), "{name} can begin with the preset {fitting:?}");
            continue;
        };
        unused.remove(preset);
        for key in alike {
            assert!(vector[key].is_null() || vector[key] != whole(preset, key), "{name} repeats {key} of its preset");
        }
    }
    assert!(unused.is_empty(), "{unused:?}");
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("it is JSON")
}

/// A suite that cannot fail proves nothing: each file in `wrong/` expects one thing that is not so, and fails by it.
#[test]
fn a_wrong_vector_fails() {
    let wrong = [
        ("sent-twice", "step 4 (at 3525000 ms): output: .tasks: 0 items, where 1 are expected"),
        ("served-to-the-last-second", "step 2 (at 400 ms): output: .access.usable.unusable-in-ms: 3594600 is not 3599600"),
    ];
    let vectors = load(&folder().join("wrong"));
    assert!(vectors.iter().map(|(name, _)| name.as_str()).eq(wrong.map(|(name, _)| name)));
    both(|kind| {
        for ((name, vector), (_, fault)) in vectors.iter().zip(wrong) {
            let why = vector.run(kind).expect_err(name);
            assert!(why.starts_with(fault), "{name} should fail otherwise: {why}");
        }
    });
}

/// The faults that a session decides about; the others belong to hosts.
///
/// In vectors: A1 A2 A3 A5 A6 A7 A8 A8b A9 A10 A11 A12 A13, B1 B2 B6 B7 B8 B9 B10 B11 B12 B13 B14, C2 C4 C5 C6 C7 C8 C9 C10 C11 C14
/// C16, D1 D2 D3 D4 D5 D6 D7 D8 D9, E2, G1. In scenarios: B15, C1, C3, C13, C15, D10, and most of the above once more.
#[test]
fn every_fault_that_a_session_decides_about_has_its_answer() {
    let faults = "A1 A2 A3 A5 A6 A7 A8 A8b A9 A10 A11 A12 A13 B1 B2 B6 B7 B8 B9 B10 B11 B12 B13 B14 B15 C1 C2 C3 C4 C5 C6 C7 C8 C9 C10 \
                  C11 C13 C14 C15 C16 D1 D2 D3 D4 D5 D6 D7 D8 D9 D10";
    let mut answered: HashSet<String> = load(&folder()).into_iter().flat_map(|(_, vector)| vector.faults).collect();
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for entry in fs::read_dir(scenarios).expect("this folder") {
        let path = entry.expect("this folder").path();
        if path.ends_with("vectors.rs") {
            continue;
        }
        let text = fs::read_to_string(path).expect("text");
        let comments = text.lines().filter_map(|line| line.trim_start().strip_prefix("/// "));
        let words = comments.flat_map(|line| line.split(|character: char| !character.is_ascii_alphanumeric()));
        answered.extend(words.map(str::to_owned));
    }
    let unanswered: Vec<&str> = faults.split_whitespace().filter(|fault| !answered.contains(*fault)).collect();
    assert!(unanswered.is_empty(), "{unanswered:?}");
}
