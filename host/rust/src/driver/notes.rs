//! What changed, as events of `tracing`: target `wif`, and the same codes as everywhere.

use tracing::{error, info, warn};

use crate::status::{Availability, Note};
use crate::vocabulary::NoteLevel;

/// One event for each note, and one for what callers may do now if that is new.
pub(super) fn log(availability: &Availability, notes: &[Note], news: bool) {
    for note in notes {
        let code = note.code.as_str();
        let (message, fields) = (&note.message, listed(&note.fields));
        match note.level {
            NoteLevel::Info => info!(target: "wif", code, fields, "{message}"),
            NoteLevel::Warning => warn!(target: "wif", code, fields, "{message}"),
            NoteLevel::Error => error!(target: "wif", code, fields, "{message}"),
        }
    }
    if !news {
        return;
    }
    match availability {
        Availability::Usable { id, standing } => {
            info!(target: "wif", access = "usable", id, standing = standing.as_str(), "there is an access token");
        }
        Availability::Pending(reason) => {
            info!(target: "wif", access = "pending", reason = reason.as_str(), "there is no access token yet");
        }
        Availability::Failed(failure) => {
            warn!(target: "wif", access = "failed", code = failure.code.as_str(), "there is no access token: {}", failure.message);
        }
        Availability::Idle => info!(target: "wif", access = "idle", "nobody has asked for an access token"),
        Availability::Closed => info!(target: "wif", access = "closed", "the credential is closed"),
    }
}

fn listed(fields: &[(String, String)]) -> String {
    let listed: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    listed.join(" ")
}
