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

/// A host that takes no lines loses them, and so does one that has no room at the moment: nobody waits for it.
fn line(text: &str) {
    let text: String = text.replace(wif_rules::is_unshown, " ");
    let text = format!("wif: {text}\n");
    let stream = stderr::get_stderr();
    if stream.check_write().is_ok_and(|room| room >= text.len() as u64) {
        let _ = stream.write(text.as_bytes()).and_then(|()| stream.flush());
    }
}
