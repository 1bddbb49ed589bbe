//! Every sentence of the contract that a driver or a session can break has a test: see `sentences.md`.

use std::fs;
use std::path::{Path, PathBuf};

/// Words of a sentence, and the tests beside them.
struct Row {
    file: String,
    words: String,
    tests: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn rows() -> Vec<Row> {
    let mut file = String::new();
    let mut rows = Vec::new();
    for line in text("tests/contract/sentences.md").replace(r"\|", "\u{0}").lines() {
        if let Some(name) = line.strip_prefix("### ") {
            name.clone_into(&mut file);
        }
        let Some((words, tests)) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")?.split_once(" | ")) else {
            continue;
        };
        if words.starts_with("---") || words == "Words of the sentence" {
            continue;
        }
        let tests = tests.split(", ").map(str::to_owned).collect();
        rows.push(Row { file: file.clone(), words: words.replace('\u{0}', "|"), tests });
    }
    rows
}

/// The docs of each item: the code that follows, and the lines.
fn docs(wit: &str) -> Vec<(String, Vec<String>)> {
    let mut all = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for line in wit.lines().map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            lines.push(doc.trim().to_owned());
        } else if !lines.is_empty() && !line.is_empty() && !line.starts_with("@since") {
            all.push((line.to_owned(), std::mem::take(&mut lines)));
        }
    }
    all
}

/// Paragraphs, points of lists and rows of tables, taken apart into sentences.
fn sentences(lines: &[String]) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in lines {
        let point = line.split_once(". ").filter(|(number, _)| number.parse::<u32>().is_ok()).map(|(_, rest)| rest);
        let point = point.or_else(|| line.strip_prefix("- "));
        if line.starts_with('|') {
            let is_head = ["| ---", "| When", "| State"].iter().any(|head| line.starts_with(head));
            parts.extend((!is_head).then(|| line.clone()));
            goes_on = false;
        } else if line.is_empty() || line.starts_with('#') {
            goes_on = false;
        } else if let (true, None, Some(last)) = (goes_on, point, parts.last_mut()) {
            last.push(' ');
            last.push_str(line);
        } else {
            parts.push(point.unwrap_or(line).to_owned());
            goes_on = true;
        }
    }
    parts.iter().flat_map(|part| apart(part)).collect()
}

fn apart(part: &str) -> Vec<String> {
    if part.starts_with('|') {
        return vec![part.to_owned()];
    }
    let mut found = Vec::new();
    let mut rest = part;
    let mut from = 0;
    while let Some(at) = rest[from..].find(". ").map(|at| from + at) {
        let next = rest[at + 2..].chars().next();
        if next.is_some_and(|letter| letter.is_uppercase() || letter == '`' || letter == '*') {
            found.push(rest[..=at].to_owned());
            rest = &rest[at + 2..];
            from = 0;
        } else {
            from = at + 2;
        }
    }
    found.push(rest.to_owned());
    found
}

/// What must stand in the table. Of an item in `types.wit` the first sentence says what it is; and what follows an access, a note or a
/// status is for people.
fn bound() -> Vec<(&'static str, String)> {
    let mut bound = Vec::new();
    let session = docs(&text("wit/session.wit"));
    let parts = ["Who calls what when", "Rules for drivers", "Rules for callers' requests", "Sharing"];
    let mut part = String::new();
    let mut lines: Vec<String> = Vec::new();
    for line in &session[0].1 {
        match line.strip_prefix("## ") {
            Some(name) => name.clone_into(&mut part),
            None if parts.contains(&part.as_str()) => lines.push(line.clone()),
            None => {}
        }
    }
    bound.extend(sentences(&lines).into_iter().map(|sentence| ("session.wit", sentence)));
    for (_, lines) in &session[1..] {
        bound.extend(sentences(lines).into_iter().skip(1).map(|sentence| ("session.wit", sentence)));
    }
    let for_people = [
        "pending-reason",
        "standing",
        "failure",
        "failure-code",
        "progress",
        "note",
        "note-level",
        "field",
        "note-code",
        "status",
        "state",
        "token-status",
        "identity-token-status",
        "disposition",
        "configuration-error",
    ];
    let mut owner = String::new();
    for (item, lines) in &docs(&text("wit/types.wit"))[1..] {
        if let Some((kind, name)) = item.trim_end_matches(" {").split_once(' ')
            && ["record", "variant", "enum"].contains(&kind)
        {
            name.clone_into(&mut owner);
        }
        let secret = |sentence: &String| sentence == "*Secret.*";
        if !for_people.contains(&owner.as_str()) {
            let said = sentences(lines).into_iter().filter(|sentence| !secret(sentence)).skip(1);
            bound.extend(said.map(|sentence| ("types.wit", sentence)));
        }
    }
    bound
}

fn plain(text: &str) -> String {
    let lines = text.lines().map(|line| line.trim().trim_start_matches("///").trim());
    lines.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_sentence_that_can_be_broken_stands_beside_its_tests() {
    let rows = rows();
    assert!(rows.len() > 130, "only {} rows", rows.len());
    let bound = bound();
    assert!(bound.len() > 100, "only {} sentences", bound.len());
    let missing: Vec<_> = bound
        .iter()
        .filter(|(file, sentence)| !rows.iter().any(|row| row.file == *file && sentence.contains(&row.words)))
        .collect();
    assert!(missing.is_empty(), "not in sentences.md: {missing:#?}");
}

#[test]
fn every_row_has_words_of_the_contract() {
    let contract = |file: &str| plain(&text(&format!("wit/{file}")));
    let (session, types) = (contract("session.wit"), contract("types.wit"));
    for row in rows() {
        let file = if row.file == "session.wit" { &session } else { &types };
        assert!(file.contains(&row.words), "{} has no {:?}", row.file, row.words);
    }
}

#[test]
fn every_test_that_is_named_is_there() {
    let python = |file: &str| text(&format!("tests/python/{file}.py"));
    let (wrong, callers, guests, live) = (python("wrong"), python("callers"), python("guests"), python("live"));
    let cases = python("cases");
    let folders = ["tests/world/tests", "host/rust/tests/behaviours", "tests/contract/tests"];
    for row in rows() {
        for test in &row.tests {
            let has = |text: &str, name: &str| text.contains(&format!("def test_{name}(self"));
            let there = match test.split_once('.') {
                Some(("Callers" | "Recovery" | "Policy", name)) => has(&callers, name),
                Some(("Guests", name)) => has(&guests, name),
                Some(("Live", name)) => has(&live, name),
                Some(("Requests", name)) => has(&cases, name),
                Some((_, "rs")) => folders.iter().any(|folder| root().join(folder).join(test).exists()),
                _ if test.contains('/') => root().join("tests").join(test).exists(),
                _ => has(&wrong, test),
            };
            assert!(there, "{:?}: there is no {test}", row.words);
        }
    }
}
