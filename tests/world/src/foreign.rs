//! Sessions behind a library of another language: every vector through them.
//!
//! Such a library stops a step that takes longer than a tenth of a second, which happens on a machine that is busy with something else.

use std::cell::Cell;

use serde_json::{Value, json};

use crate::Opening;
use crate::vector::{Open, Vector, folder, load};

/// So often a vector is run that is stopped.
const TRIES: usize = 20;

thread_local! {
    /// A step was stopped since the vector began.
    static STOPPED: Cell<bool> = const { Cell::new(false) };
}

/// What the libraries take for an opening.
#[must_use]
pub fn opening(opening: &Opening) -> Value {
    json!({ "configuration": opening.configuration, "seed": opening.seed, "can": opening.can, "from": opening.from })
}

/// What a session answered, or null where it was stopped: then the vector is run once more.
///
/// # Panics
///
/// It says that something else is wrong.
pub fn answered(answer: Result<Value, Value>) -> Value {
    answer.unwrap_or_else(|problem| {
        assert_eq!(problem["code"], "component-stopped", "{problem}");
        STOPPED.set(true);
        Value::Null
    })
}

/// Runs all vectors, by sessions that say what [`answered`] gives.
///
/// # Panics
///
/// One does not hold, or a wrong one does.
pub fn every_vector_holds_and_a_wrong_one_fails(open: &Open<'_>) {
    let vectors = load(&folder());
    let (wrong, right): (Vec<_>, Vec<_>) = vectors.iter().partition(|(name, _)| name.starts_with("wrong/"));
    assert!(right.len() >= 170, "{}", right.len());
    let failed: Vec<_> = right.iter().filter_map(|(name, vector)| run(vector, open).err().map(|why| (name, why))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(wrong.len() >= 2 && wrong.iter().all(|(_, vector)| run(vector, open).is_err()));
}

fn run(vector: &Vector, open: &Open<'_>) -> Result<(), String> {
    for _ in 0..TRIES {
        STOPPED.set(false);
        let ended = vector.run_by(open);
        if !STOPPED.get() {
            return ended;
        }
    }
    Err("the component is stopped each time".to_owned())
}
