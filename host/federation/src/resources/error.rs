//! What is wrong with a document, and where.

use thiserror::Error;

/// A resources document that was refused. Correct the place that is named.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{message}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct ResourcesError {
    path: String,
    message: String,
}

impl ResourcesError {
    /// Where in the document, such as `organizations[0].federation_rules[1].match`; empty for the whole of it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What is wrong there, and what would be right.
    pub fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    pub(super) fn of_form(error: serde_path_to_error::Error<serde_json::Error>) -> Self {
        let path = match error.path().to_string() {
            path if path == "." => String::new(),
            path => path,
        };
        let message = error.into_inner().to_string();
        Self { path, message: with_nearest(message) }
    }
}

/// Adds the known key that an unknown one is nearest to. The message is serde's: ``unknown field `x`, expected one of `y` …``.
fn with_nearest(message: String) -> String {
    if !message.starts_with("unknown ") {
        return message;
    }
    let mut names = message.split('`').skip(1).step_by(2);
    let Some(unknown) = names.next() else {
        return message;
    };
    let nearest = names.map(|name| (strsim::damerau_levenshtein(unknown, name), name)).min();
    match nearest {
        Some((distance, name)) if distance <= unknown.len().max(3) / 2 => format!("{message}; did you mean `{name}`?"),
        _ => message,
    }
}
