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
            path => path.split('.').map(named).collect::<Vec<_>>().join("."),
        };
        let message = without_values(&error.into_inner().to_string());
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

/// A step of a path, if it looks like a name: what an unknown member is called may be anything.
fn named(step: &str) -> &str {
    let (name, index) = step.split_once('[').unwrap_or((step, ""));
    let fine = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let is_name = (1..=40).contains(&name.len()) && name.bytes().all(fine) && index.len() < 12;
    if is_name { step } else { "…" }
}

/// A message of serde without what stands in the document: that may be a secret. What is kept of it is the kind of a value, and the
/// name of an unknown member if that looks like a name.
pub fn without_values(message: &str) -> String {
    for lead in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some(rest) = message.strip_prefix(lead) {
            let kind: String = rest.chars().take_while(|letter| letter.is_ascii_alphabetic() || *letter == ' ').collect();
            let wanted = rest.rfind(", expected ").map_or("", |at| &rest[at..]);
            return format!("{lead}{}{wanted}", kind.trim_end());
        }
    }
    for lead in ["unknown variant `", "unknown field `"] {
        if let Some(rest) = message.strip_prefix(lead) {
            // The names that are expected are ours.
            let wanted = ["`, expected ", "`, there are no "].iter().find_map(|mark| rest.find(mark)).unwrap_or(0);
            let (name, rest) = (&rest[..wanted], &rest[wanted..]);
            let is_name = (1..=40).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
            return match is_name && lead.contains("field") {
                true => message.to_owned(),
                false => format!("{}{}", lead.trim_end_matches(" `"), rest.trim_start_matches('`')),
            };
        }
    }
    let ours =
        ["missing field ", "duplicate field ", "trailing characters", "EOF while ", "expected ", "key must be ", "recursion "];
    match ours.iter().any(|lead| message.starts_with(lead)) || !message.contains(['`', '"']) {
        true => message.to_owned(),
        false => "the value does not have its form".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_says_what_is_wrong_and_never_what_stands_there() {
        for (message, shown) in [
            (
                "invalid type: string \"canary, expected x\", expected u64 at line 1",
                "invalid type: string, expected u64 at line 1",
            ),
            ("invalid type: integer `7`, expected a string", "invalid type: integer, expected a string"),
            ("invalid type: map, expected a string", "invalid type: map, expected a string"),
            ("unknown variant `canary`, expected `a` or `b`", "unknown variant, expected `a` or `b`"),
            ("unknown field `isuer_id`, expected `issuer_id`", "unknown field `isuer_id`, expected `issuer_id`"),
            ("unknown field `sk-ant-canary`, expected `issuer_id`", "unknown field, expected `issuer_id`"),
            ("missing field `id`", "missing field `id`"),
            ("expected value at line 1 column 2", "expected value at line 1 column 2"),
            ("some other `canary`", "the value does not have its form"),
        ] {
            assert_eq!(without_values(message), shown);
        }
    }
}
