//! The recorded sessions under `tests/vectors`, on the engine and through the component.

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

/// A suite that cannot fail proves nothing: each file in `wrong/` expects one thing that is not so.
#[test]
fn a_wrong_vector_fails() {
    let vectors = load(&folder().join("wrong"));
    assert!(!vectors.is_empty());
    both(|kind| {
        for (name, vector) in &vectors {
            assert!(vector.run(kind).is_err(), "{name} should not hold");
        }
    });
}
