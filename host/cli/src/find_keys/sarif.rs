//! The document that code scanning takes (SARIF 2.1.0, OASIS).

use serde_json::{Value, json};

use super::{Kind, Place};

pub(super) fn document(places: &[Place]) -> Value {
    let rules = [
        (Kind::Key, "A key of the Claude API stands in a file", "error"),
        (Kind::Set, "A variable for a key of the Claude API is set", "warning"),
        (Kind::Passed, "A variable for a key of the Claude API is passed on", "note"),
    ];
    let level = |kind: Kind| rules.iter().find(|(known, _, _)| *known == kind).map_or("note", |(_, _, level)| level);
    let described: Vec<Value> = rules
        .iter()
        .map(|(kind, what, level)| {
            json!({
                "id": kind.as_str(),
                "shortDescription": { "text": what },
                "defaultConfiguration": { "level": level },
            })
        })
        .collect();
    let results: Vec<Value> = places
        .iter()
        .map(|place| {
            let commit = place.commit.as_ref().map(|commit| format!(" Added by commit {commit}.")).unwrap_or_default();
            json!({
                "ruleId": place.kind.as_str(),
                "level": level(place.kind),
                "message": { "text": format!("{}.{commit}", place.words()) },
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": { "uri": uri(&place.path) },
                        "region": { "startLine": place.line.max(1) },
                    },
                }],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "wif find-keys", "version": env!("CARGO_PKG_VERSION"), "rules": described } },
            "results": results,
        }],
    })
}

/// The path as a relative reference (RFC 3986 section 4.2).
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    path.trim_start_matches("./")
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
