//! What somebody should look at, as lines on `wasi:cli/stderr`. No secret is among it: notes have none.

use wasi::cli::stderr;
use wif_engine::contract::{Note, NoteLevel};

/// A note, unless it is of the course of things.
pub(crate) fn note(note: &Note) {
    let level = match note.level {
        NoteLevel::Info => return,
        NoteLevel::Warning => "warning",
        NoteLevel::Error => "error",
    };
    let fields: String = note.fields.iter().map(|field| format!(" {}={}", field.name, field.value)).collect();
    line(&format!("{level}: {}{fields}", note.message));
}

pub(crate) fn warn(message: &str) {
    line(&format!("warning: {message}"));
}

/// A host that takes no lines loses them.
fn line(text: &str) {
    let text: String = text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    let text = format!("wif: {text}\n");
    let stream = stderr::get_stderr();
    // As much as WASI takes in one call.
    for piece in text.as_bytes().chunks(4096) {
        if stream.blocking_write_and_flush(piece).is_err() {
            return;
        }
    }
}
