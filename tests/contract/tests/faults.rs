//! The catalogue of faults and the tests that cite it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Cited in comments of code and of the stages of `.ci/run`, and under `faults` in vectors.
fn cited() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["guest", "host", "tests"] {
        gather(&root().join(folder), &mut files);
    }
    // What a change has to pass beside the tests.
    let stages = ["run", "first-command"].map(|name| root().join(".ci").join(name));
    files.extend(stages);
    let mut cited = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        let is_code = file.extension().is_none_or(|extension| extension != "json");
        let lines = text.lines().map(str::trim_start).filter(|line| match is_code {
            true => line.starts_with("//") || line.starts_with('#'),
            false => line.starts_with(r#""faults""#),
        });
        cited.extend(lines.flat_map(words).filter(|word| is_id(word)).map(str::to_owned));
    }
    cited
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !["target", "node_modules", "dist"].contains(&name) {
                gather(&path, files);
            }
        } else if ["rs", "mjs", "ts", "py", "json"].iter().any(|extension| name.ends_with(&format!(".{extension}"))) {
            files.push(path);
        }
    }
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '/' && letter != '_')
}

/// A capital from A to H and a number; a `b` after it tells a second from the first.
fn is_id(word: &str) -> bool {
    let Some(number) = word.strip_prefix(|letter: char| ('A'..='H').contains(&letter)) else { return false };
    let number = number.strip_suffix('b').unwrap_or(number);
    (1..=2).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn every_fault_that_is_cited_stands_in_the_catalogue_and_every_other_is_listed_as_not_held() {
    let catalogue = std::fs::read_to_string(root().join("tests/faults.md")).expect("the catalogue");
    let (tables, not_held) = catalogue.split_once("## Not held by a test yet").expect("its last part");
    let (tables, _) = tables.split_once("## Where each is held").expect("the part before it");
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let known: BTreeSet<String> = rows.filter(|word| is_id(word)).map(str::to_owned).collect();
    let not_held: BTreeSet<String> = words(not_held).filter(|word| is_id(word)).map(str::to_owned).collect();
    let cited = cited();
    let unknown: Vec<_> = cited.difference(&known).collect();
    assert!(unknown.is_empty(), "cited and not in the catalogue: {unknown:?}");
    let held: BTreeSet<String> = known.difference(&not_held).cloned().collect();
    let silent: Vec<_> = held.difference(&cited).collect();
    assert!(silent.is_empty(), "in the catalogue and cited nowhere: {silent:?}");
    let wrong: Vec<_> = not_held.intersection(&cited).collect();
    assert!(wrong.is_empty(), "listed as not held, and cited: {wrong:?}");
}

/// Each id that is held has a row, and each test in it is there and cites the id.
#[test]
fn the_tests_that_are_named_beside_an_id_are_there_and_cite_it() {
    let catalogue = std::fs::read_to_string(root().join("tests/faults.md")).expect("the catalogue");
    let (_, held) = catalogue.split_once("## Where each is held").expect("its part");
    let (held, _) = held.split_once("## Not held by a test yet").expect("its last part");
    let rows: Vec<(&str, &str)> = held.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | ")).collect();
    let named: BTreeSet<String> = rows.iter().map(|(id, _)| (*id).to_owned()).filter(|id| is_id(id)).collect();
    let missing: Vec<_> = cited().difference(&named).cloned().collect();
    assert!(missing.is_empty(), "cited, and without a row: {missing:?}");
    for (id, tests) in rows.into_iter().filter(|(id, _)| is_id(id)) {
        for test in tests.split('`').skip(1).step_by(2) {
            let (path, function) = test.split_once(": ").map_or((test, None), |(path, function)| (path, Some(function)));
            let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{id}: {path}: {error}"));
            assert!(words(&text).any(|word| word == id), "{path} does not cite {id}");
            assert!(function.is_none_or(|name| text.contains(&format!("fn {name}("))), "{path} has no test {name}", name = test);
        }
    }
}

/// Whoever reads a test sees what an id stands for.
#[test]
fn no_comment_is_an_id_alone() {
    let mut files = Vec::new();
    for folder in ["guest", "host", "tests"] {
        gather(&root().join(folder), &mut files);
    }
    let mut bare = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("text");
        for line in text.lines().map(str::trim_start).filter(|line| line.starts_with("//")) {
            let mut said = words(line).filter(|word| !word.chars().all(|letter| letter == '/')).peekable();
            if said.peek().is_some() && said.all(is_id) {
                bare.push(format!("{}: {line}", file.display()));
            }
        }
    }
    assert!(bare.is_empty(), "{bare:#?}");
}
