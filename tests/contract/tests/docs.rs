//! What the documents name is there: files, headings, packages, tests, variables.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("it is there")
}

/// All files of the project that somebody wrote, by their path from its root.
fn files() -> Vec<PathBuf> {
    let (root, mut found) = (root(), Vec::new());
    gather(&root, &root, &mut found);
    found.sort();
    found
}

fn gather(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if ![".git", "target", "node_modules", "dist", "__pycache__"].contains(&name) {
                gather(root, &path, found);
            }
        } else if path.is_file() {
            found.push(path.strip_prefix(root).expect("below it").to_owned());
        }
    }
}

/// A document and its text.
fn documents() -> Vec<(PathBuf, String)> {
    let markdown = files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    markdown.map(|path| (path.clone(), fs::read_to_string(root().join(&path)).expect("text"))).collect()
}

/// The path of a document's word: seen from the document, or from the root.
fn leads_somewhere(document: &Path, word: &str) -> bool {
    let beside = document.parent().expect("a folder").join(word);
    root().join(beside).exists() || root().join(word).exists()
}

/// The name of a heading in a link.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    kept.chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-' | ' '))
        .collect::<String>()
        .replace(' ', "-")
}

fn headings(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// What stands between backticks on one line, outside blocks of code.
fn quoted(text: &str) -> Vec<&str> {
    let mut block = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            block = !block;
        } else if !block {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

#[test]
fn each_link_leads_to_a_file_and_to_a_heading_of_it() {
    let (mut dead, mut links) = (Vec::new(), 0);
    for (document, text) in documents() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            if link.contains(':') || link.contains(' ') {
                continue;
            }
            links += 1;
            let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
            let target = document.parent().expect("a folder").join(path);
            let target = if path.is_empty() { document.clone() } else { target };
            let target = root().join(if root().join(&target).is_dir() { target.join("README.md") } else { target });
            let there = match heading {
                Some(heading) => fs::read_to_string(&target).is_ok_and(|text| headings(&text).contains(heading)),
                None => root().join(document.parent().expect("a folder")).join(path).exists(),
            };
            if !there {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(links >= 200, "only {links} links were found");
    assert!(dead.is_empty(), "{dead:#?}");
}

/// A word in backticks that begins with a folder of the root is a path.
#[test]
fn each_path_that_is_named_is_there() {
    const FOLDERS: [&str; 5] = ["guest/", "host/", "tests/", "wit/", ".ci/"];
    let (mut missing, mut paths) = (Vec::new(), 0);
    for (document, text) in documents() {
        for word in quoted(&text) {
            let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-@".contains(&byte));
            // A name in capitals stands for any.
            let any = word.split(['/', '.']).any(|part| part == "NAME");
            if !plain || any || !FOLDERS.iter().any(|folder| word.starts_with(folder)) {
                continue;
            }
            paths += 1;
            if !leads_somewhere(&document, word) {
                missing.push(format!("{}: {word}", document.display()));
            }
        }
    }
    assert!(paths >= 60, "only {paths} paths were found");
    assert!(missing.is_empty(), "{missing:#?}");
}

/// All code, for words that a document takes from it.
fn code() -> String {
    let of_code = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        path.starts_with(".ci") && kind.is_empty()
            || ["rs", "ts", "mjs", "py", "go", "h", "c", "json", "yaml", "toml"].contains(&kind) && name != "package-lock.json"
    };
    let texts = files().into_iter().filter(of_code).map(|path| fs::read_to_string(root().join(path)).unwrap_or_default());
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_variable_that_is_named_is_read_by_something() {
    let code = code();
    let (mut unknown, mut known) = (BTreeSet::new(), BTreeSet::new());
    for (document, text) in documents() {
        let words = text.split(|letter: char| !letter.is_ascii_uppercase() && !letter.is_ascii_digit() && letter != '_');
        for word in words.filter(|word| word.starts_with("WIF_") || word.starts_with("ANTHROPIC_") || word.starts_with("CLAUDE_"))
        {
            // `ANTHROPIC_` alone stands for all of them.
            if word.ends_with('_') {
                continue;
            }
            if code.contains(word) {
                known.insert(word.to_owned());
            } else {
                unknown.insert(format!("{}: {word}", document.display()));
            }
        }
    }
    assert!(known.len() >= 20, "{known:?}");
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// `cargo … -p PACKAGE --test NAME`.
#[test]
fn each_package_and_test_that_a_command_names_is_there() {
    let manifests: Vec<(PathBuf, String)> = files()
        .into_iter()
        .filter(|path| path.ends_with("Cargo.toml"))
        .map(|path| (root().join(path.parent().expect("a folder")), fs::read_to_string(root().join(&path)).expect("text")))
        .collect();
    let (mut missing, mut named) = (Vec::new(), 0);
    for (document, text) in documents() {
        for line in text.lines().filter(|line| line.contains("cargo ")) {
            let mut words = line.split(|letter: char| letter.is_whitespace() || matches!(letter, '`' | ',' | '|' | '(' | ')'));
            let mut folder: Option<&Path> = None;
            while let Some(word) = words.next() {
                if matches!(word, "-p" | "--package") {
                    let package = words.next().unwrap_or_default();
                    named += 1;
                    let line = format!("name = \"{package}\"");
                    let found = manifests.iter().find(|(_, manifest)| manifest.lines().any(|found| found == line));
                    folder = found.map(|(folder, _)| folder.as_path());
                    if folder.is_none() {
                        missing.push(format!("{}: -p {package}", document.display()));
                    }
                } else if word == "--test" {
                    let test = words.next().unwrap_or_default();
                    let there = folder.is_none_or(|folder| {
                        let tests = folder.join("tests");
                        tests.join(format!("{test}.rs")).exists() || tests.join(test).join("main.rs").exists()
                    });
                    if !there {
                        missing.push(format!("{}: --test {test}", document.display()));
                    }
                }
            }
        }
    }
    assert!(named >= 30, "only {named} packages were found");
    assert!(missing.is_empty(), "{missing:#?}");
}

/// The table "Get it" of the front page names what `.ci/release` makes.
#[test]
fn each_file_of_a_release_that_the_front_page_names_is_made() {
    let release = fs::read_to_string(root().join(".ci/release")).expect("text");
    let components = fs::read_to_string(root().join("guest/components/src/main.rs")).expect("text");
    let readme = fs::read_to_string(root().join("README.md")).expect("text");
    let (_, table) = readme.split_once("## Get it").expect("its heading");
    let (table, _) = table.split_once("\n## ").expect("the next heading");
    let mut names = 0;
    for word in quoted(table).into_iter().flat_map(str::split_whitespace) {
        let name = word.trim_start_matches("oci-archive:").trim_start_matches("DIR/");
        let made = [".wasm", ".oci.tar", ".yaml"].iter().any(|end| name.ends_with(end));
        if made {
            names += 1;
            let version = env!("CARGO_PKG_VERSION");
            let name = name.replace(version, "$version");
            let stem = name.trim_end_matches(".wasm");
            assert!(release.contains(&name) || components.contains(stem), ".ci/release does not make {name}");
        }
    }
    assert!(names >= 7, "only {names} names were found");
}

/// G8: whoever reaches the administration of a proxy must not have it write tokens into its log. What Istio and Envoy Gateway make of
/// their documents has an administration that is theirs.
#[test]
fn each_published_configuration_with_an_administration_closes_its_log() {
    let folder = root().join("host/envoy/configurations");
    let names = files().into_iter().filter(|path| path.starts_with("host/envoy/configurations"));
    let texts: Vec<(String, String)> = names
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned())
        .map(|name| (name.clone(), fs::read_to_string(folder.join(name)).expect("text")))
        .collect();
    let pages = ["host/envoy/README.md", "host/envoy/configurations/README.md"].into_iter().flat_map(|page| {
        let text = fs::read_to_string(root().join(page)).expect("text");
        text.split("```yaml\n")
            .skip(1)
            .map(|block| (page.to_owned(), block.split("```").next().unwrap_or_default().to_owned()))
            .collect::<Vec<_>>()
    });
    let texts: Vec<(String, String)> = texts.into_iter().chain(pages).collect();
    let with_admin: Vec<&(String, String)> =
        texts.iter().filter(|(_, text)| text.starts_with("admin:") || text.contains("\nadmin:")).collect();
    assert_eq!(with_admin.len(), 5, "sidecar, egress gateway, try, and two of the module's page");
    for (name, text) in with_admin {
        let (_, admin) = text.split_once("admin:\n").expect("its block");
        let admin: Vec<&str> = admin.lines().take_while(|line| line.starts_with(' ')).collect();
        let (_, allowed) =
            admin.split_at(admin.iter().position(|line| line.trim() == "allow_paths:").unwrap_or_else(|| panic!("{name}")));
        assert!(admin.iter().any(|line| line.contains("address: 127.0.0.1")), "{name}: it listens on loopback");
        let paths: Vec<&str> =
            allowed[1..].iter().filter_map(|line| Some(line.split_once(": ")?.1.trim_end_matches(" }"))).collect();
        assert!(paths.len() >= 3, "{name}: {paths:?}");
        for path in paths {
            assert!(path.len() > 1 && path.starts_with('/') && !"/logging".starts_with(path), "{name} allows {path}");
        }
    }
}

/// H2: whoever finds a weakness reads what counts as one, and whom to tell, and the front page leads there.
#[test]
fn whoever_finds_a_weakness_reads_what_counts_and_whom_to_tell() {
    let text = |name: &str| fs::read_to_string(root().join(name)).expect("a document");
    let security = text("SECURITY.md");
    let part = |heading: &str| {
        let (_, rest) = security.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no part \"{heading}\""));
        rest.split("\n## ").next().unwrap_or_default().to_owned()
    };
    assert!(part("Report a vulnerability").contains("report it privately"));
    assert!(part("What counts as a vulnerability").contains("| A vulnerability | Not one |"));
    assert!(text("README.md").contains("(SECURITY.md)"));
}

/// H3: the engine has no unsafe code, and wherever else some is used its reason stands right before it.
#[test]
fn unsafe_code_has_its_reason_beside_it() {
    let sources = files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let mut bare = Vec::new();
    for path in sources {
        let text = fs::read_to_string(root().join(&path)).expect("text");
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        for (at, line) in lines.iter().enumerate().filter(|(_, line)| !line.starts_with("//")) {
            let uses = line.contains(concat!("unsafe ", "{")) || line.contains(concat!("unsafe ", "impl"));
            if uses && !lines[at.saturating_sub(8)..=at].iter().any(|before| before.contains("SAFETY:")) {
                bare.push(format!("{}:{}", path.display(), at + 1));
            }
        }
    }
    assert!(bare.is_empty(), "{bare:#?}");
    for root_of_crate in ["guest/engine/src/lib.rs", "guest/document/src/lib.rs"] {
        let text = fs::read_to_string(root().join(root_of_crate)).expect("a crate");
        assert!(text.lines().any(|line| line == "#![forbid(unsafe_code)]"), "{root_of_crate}");
    }
}

/// Whoever looks for something begins with the map.
#[test]
fn the_map_of_the_house_has_each_folder() {
    let contributing = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("text");
    let (_, map) = contributing.split_once("## The map").expect("its heading");
    let (map, _) = map.split_once("\n## ").expect("the next heading");
    for part in ["guest", "host", "tests"] {
        for entry in fs::read_dir(root().join(part)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            assert!(!path.is_dir() || map.contains(&format!("{name}/")), "{part}/{name} is not on the map");
        }
    }
    let tests = fs::read_to_string(root().join("tests/README.md")).expect("text");
    for entry in fs::read_dir(root().join("tests")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        assert!(!path.is_dir() || tests.contains(&format!("`{name}/`")), "tests/{name} stands in no table of tests/README.md");
    }
}

/// `discover.{a, b}` stands for two names.
fn names_of(cell: &str) -> Vec<String> {
    let name = cell.trim().trim_matches('`');
    match name.split_once('{') {
        Some((before, list)) => list.trim_end_matches('}').split(',').map(|last| format!("{before}{}", last.trim())).collect(),
        None => vec![name.to_owned()],
    }
}

/// The table of the configuration has each key of the schema, with its default.
#[test]
fn the_table_of_the_configuration_has_each_key_and_its_default() {
    let schema = fs::read_to_string(root().join("wit/configuration.schema.json")).expect("text");
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    let page = fs::read_to_string(root().join("wit/configuration.md")).expect("text");
    let (_, table) = page.split_once("| Key | Default |").expect("its head");
    let rows: Vec<Vec<&str>> =
        table.lines().skip(1).take_while(|line| line.starts_with('|')).map(|line| line.split(" | ").collect()).collect();
    let row = |key: &str| rows.iter().find(|row| names_of(row[0].trim_start_matches("| ")).iter().any(|name| name == key));
    let mut keys = 0;
    for (name, about) in schema["properties"].as_object().expect("an object") {
        let inner = about["properties"].as_object().into_iter().flatten();
        let inner: Vec<(String, &serde_json::Value)> = inner.map(|(last, about)| (format!("{name}.{last}"), about)).collect();
        let outer = if inner.is_empty() { vec![(name.clone(), about)] } else { inner };
        for (key, about) in outer {
            keys += 1;
            let row = row(&key).unwrap_or_else(|| panic!("{key} is not in the table"));
            if let Some(default) = about.get("default") {
                let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
                assert!(row[1].contains(&default), "{key}: the default is {default}: {row:?}");
            }
        }
    }
    assert!(keys >= 14, "only {keys} keys were found");
}

/// Whoever handles errors by their codes has a row for each.
#[test]
fn the_tables_of_errors_have_each_code_of_the_contract() {
    let wit = fs::read_to_string(root().join("wit/types.wit")).expect("text");
    let (_, codes) = wit.split_once("enum failure-code {").expect("it is there");
    let (codes, _) = codes.split_once("\n    }").expect("its end");
    let codes = codes.lines().map(str::trim).filter(|line| !line.starts_with("///")).map(|line| line.trim_end_matches(','));
    let codes: Vec<&str> = codes.filter(|code| !code.is_empty()).collect();
    assert!(codes.len() >= 18, "{codes:?}");
    for page in ["host/c/README.md", "host/python/README.md"] {
        let text = fs::read_to_string(root().join(page)).expect("text");
        let quoted: BTreeSet<&str> = quoted(&text).into_iter().collect();
        for code in &codes {
            // `-missing` after `identity-token-…`.
            let short = code.strip_prefix("identity-token").is_some_and(|end| quoted.contains(end));
            assert!(quoted.contains(code) || short, "{page} does not tell of {code}");
        }
    }
}
