//! What is set and not used: the user learns of it wherever a credential is asked for.

use std::time::Duration;

use tokio_stream::{Stream, StreamExt as _};
use wif::{Change, NoteCode};

use crate::environment::{STATIC, has_federation, is_set};
use crate::output::say_error;

/// What the credential has noted of how it was found.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// Where it is.
    pub(crate) found_in: Option<String>,
    /// What is set and not used, a sentence each.
    pub(crate) ignored: Vec<String>,
}

/// What the credential has noted so far.
pub(crate) async fn noted(changes: &mut (impl Stream<Item = Change> + Unpin)) -> Noted {
    let mut noted = Noted::default();
    while let Ok(Some(change)) = tokio::time::timeout(Duration::ZERO, changes.next()).await {
        for note in change.notes {
            match note.code {
                NoteCode::SourceIgnored | NoteCode::StateIgnored => noted.ignored.push(note.message),
                NoteCode::Configured => {
                    // A platform that is recognised later is noted, too, and stands nowhere else.
                    let found_in = note.fields.into_iter().find(|(name, _)| name == "found-in").map(|(_, by)| by);
                    noted.found_in = found_in.or(noted.found_in);
                }
                _ => {}
            }
        }
    }
    noted
}

/// Prints what is ignored to standard error.
pub(crate) async fn print(changes: &mut (impl Stream<Item = Change> + Unpin)) {
    let ignored = noted(changes).await.ignored;
    for message in &ignored {
        say_error(&format!("wif: warning: {message}"));
    }
    if let Some(message) = shadowing().filter(|_| !ignored.iter().any(|message| tells_of_a_hidden_credential(message))) {
        say_error(&format!("wif: warning: {message}"));
    }
}

/// Whether the component has told of a variable that hides a whole credential: to say that once is enough.
pub(crate) fn tells_of_a_hidden_credential(message: &str) -> bool {
    message.contains(" is set, so it is used instead of ") && message.contains(" Unset ")
}

/// Says that a key or token in a variable hides a complete set of federation variables, if one does.
pub(crate) fn shadowing() -> Option<String> {
    let name = STATIC.into_iter().find(|name| is_set(name)).filter(|_| has_federation())?;
    Some(format!("{name} hides a complete set of federation variables: unset it, and they are used."))
}
