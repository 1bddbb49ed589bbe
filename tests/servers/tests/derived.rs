//! A source of identity tokens is three files: its document, its page and its case. What else names it follows from them: the tables of
//! `guest/recipes/README.md`, and its branch in `wit/configuration.schema.json`. `WIF_WRITE=1` has these tests write that.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use wif_servers::cases::{self, source_of, table};

const README: &str = "guest/recipes/README.md";
const EXECUTABLE: &str = "executable";
const SCHEMA: &str = "wit/configuration.schema.json";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents as people write them, by name.
fn documents() -> Vec<Value> {
    let mut names: Vec<&str> = wif_recipes::names().collect();
    names.sort_unstable();
    let document = |name| read(&format!("guest/recipes/documents/{name}.json"));
    names.into_iter().map(|name| serde_json::from_str(&document(name)).expect("JSON")).collect()
}

/// What stands between a beginning and an end is this, or is made this.
fn stands(path: &str, begin: &str, end: &str, derived: &str) {
    let whole = read(path);
    let (before, rest) = whole.split_once(begin).unwrap_or_else(|| panic!("{path} has no {begin}"));
    let (found, after) = rest.split_once(end).unwrap_or_else(|| panic!("{path} has no {end}"));
    if found == derived {
        return;
    }
    if std::env::var_os("WIF_WRITE").is_some() {
        fs::write(root().join(path), [before, begin, derived, end, after].concat()).expect("it is writable");
        return;
    }
    let at = found.lines().zip(derived.lines()).take_while(|(found, derived)| found == derived).count();
    let line = |text: &str| text.lines().nth(at).unwrap_or("nothing").trim().to_owned();
    panic!(
        "{path} has {}, and it follows {}. Run WIF_WRITE=1 cargo test -p wif-servers --test derived",
        line(found),
        line(derived)
    );
}

/// One test, for each of its parts writes the same file.
#[test]
fn the_tables_of_the_readme_follow_from_documents_pages_and_cases() {
    stands(README, "<!-- sources -->\n", "<!-- /sources -->", &sources());
    stands(README, "<!-- auto -->\n", "<!-- /auto -->", &detected());
    stands(README, "<!-- hosts -->\n", "<!-- /hosts -->", &table());
}

fn sources() -> String {
    let mut table = "| `source` | Platform | Gives | What it reads |\n| --- | --- | --- | --- |\n".to_owned();
    // A source that is no recipe and has a page all the same.
    let mut documents = documents();
    documents.push(json!({ "name": EXECUTABLE, "freshness": "minted" }));
    documents.sort_by_key(|document| document["name"].to_string());
    for document in documents {
        let name = document["name"].as_str().expect("a name");
        let path = format!("platforms/{name}.md");
        let page = read(&format!("guest/recipes/{path}"));
        let about = page.lines().find_map(|line| line.strip_prefix("**For** ")?.strip_suffix('.')?.split_once(". **Reads** "));
        let (platform, reads) = about.unwrap_or_else(|| panic!("{path} has no line `**For** …. **Reads** ….`"));
        assert!(page.contains(&format!("\"source\": \"{name}\"")), "{path} shows no configuration");
        let gives = if document["freshness"] == "minted" { "mints" } else { "shared" };
        writeln!(table, "| [`{name}`]({path}) | {platform} | {gives} | {reads} |").expect("a string takes all");
    }
    table
}

fn detected() -> String {
    let mut table = "| Source | Its sets of variables |\n| --- | --- |\n".to_owned();
    for document in documents() {
        let set = |variables: &Value| {
            let names: Vec<String> = variables.as_array().into_iter().flatten().map(shown).collect();
            match names.split_last() {
                Some((last, [])) => last.clone(),
                Some((last, others)) => format!("{} and {last}", others.join(", ")),
                None => String::new(),
            }
        };
        let sets: Vec<String> = document["detect"].as_array().into_iter().flatten().map(set).collect();
        if !sets.is_empty() {
            writeln!(table, "| {} | {} |", shown(&document["name"]), sets.join("; ")).expect("a string takes all");
        }
    }
    table
}

fn shown(name: &Value) -> String {
    format!("`{}`", name.as_str().expect("a name"))
}

#[test]
fn the_schema_of_the_configuration_follows_from_the_documents() {
    let begin = "\"recipe\": { \"description\": \"By recipe.schema.json.\", \"type\": \"object\" }\n          }\n        },\n";
    let branches: Vec<String> = documents().iter().map(branch).collect();
    stands(SCHEMA, begin, "\n      ]\n", &branches.join(",\n"));
}

/// What the schema says of one source.
fn branch(document: &Value) -> String {
    let parameters = document["parameters"].as_object();
    let parameters = || parameters.into_iter().flat_map(Map::iter);
    let mut text = format!(
        "        {{\n          \"description\": {},\n          \"additionalProperties\": false,\n",
        Value::from(format!("{}.", document["title"].as_str().expect("a title")))
    );
    let required: Vec<String> =
        parameters().filter(|(_, about)| about["required"] == true).map(|(name, _)| format!("\"{name}\"")).collect();
    if !required.is_empty() {
        text += &format!("          \"required\": [{}],\n", required.join(", "));
    }
    text += &format!("          \"properties\": {{\n            \"source\": {{ \"const\": {} }}", document["name"]);
    for (name, about) in parameters() {
        text += &format!(",\n            \"{name}\": {{ \"description\": {}, \"$ref\": \"#/$defs/text\"", about["description"]);
        if let Some(default) = about.get("default") {
            text += &format!(", \"default\": {default}");
        }
        text += " }";
    }
    text + "\n          }\n        }"
}

#[test]
fn every_platform_has_a_case_and_a_vector_and_every_case_a_platform() {
    let cases = cases::all();
    let vectors = fs::read_dir(root().join("tests/vectors/sources")).expect("the vectors");
    let vectors: String = vectors.map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("text")).collect();
    for name in wif_recipes::names() {
        assert!(cases.iter().any(|case| source_of(case) == name), "nothing runs {name}");
        assert!(vectors.contains(&format!(r#""source": "{name}""#)), "{name} is in no vector");
    }
    for case in cases {
        assert!(wif_recipes::names().chain([EXECUTABLE]).any(|name| name == source_of(case)), "{case} has no document");
    }
}
