//! The recipes of the platforms, their schema, and what the configuration's schema says of them agree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wif_recipes::Recipe;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents() -> Vec<Value> {
    let folder = std::fs::read_dir(root().join("guest/recipes/documents")).expect("the documents");
    folder.map(|entry| read(&entry.expect("an entry").path())).collect()
}

fn schema() -> jsonschema::Validator {
    jsonschema::validator_for(&read(&root().join("wit/recipe.schema.json"))).expect("it is a JSON Schema")
}

#[test]
fn every_document_is_as_the_schema_says() {
    let schema = schema();
    for document in documents() {
        let faults: Vec<String> =
            schema.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", document["name"]);
    }
}

/// What the schema forbids, the parser forbids as well: a recipe of a user's own meets only the parser.
#[test]
fn what_the_schema_forbids_is_refused_by_name() {
    let schema = schema();
    let good = json!({
        "name": "x", "freshness": "minted", "parameters": { "a": { "default": "b" } }, "token": "{t}",
        "steps": [
            { "variable": "{a}", "as": "v", "optional": true },
            { "request": { "method": "GET", "url": "https://x.example/{a}", "take": { "t": "/t" } }, "when": ["v"] }
        ]
    });
    assert!(schema.is_valid(&good) && Recipe::parse(&good).is_ok());
    let spoiled = [
        ("/name", Value::Null),
        ("/freshness", json!("often")),
        ("/parameters", json!([])),
        ("/parameters/a/default", json!(1)),
        ("/token", json!("{t")),
        ("/steps", json!({})),
        ("/steps/0", json!({ "as": "v" })),
        ("/steps/0/as", json!("V")),
        ("/steps/0/optional", json!("yes")),
        ("/steps/0/variable", json!("")),
        ("/steps/1/request/method", json!("DELETE")),
        ("/steps/1/request/url", json!("{")),
        ("/steps/1/request/take/t", json!("t")),
        ("/steps/1/request", json!({ "method": "GET", "url": "https://x.example/", "headers": { "host": "y" } })),
        ("/steps/1/request", json!({ "method": "GET", "url": "https://x.example/", "headers": { "Accept": "y" } })),
        ("/steps/1/request", json!({ "method": "GET", "url": "https://x.example/", "form": {}, "json": {} })),
        ("/steps/1/request", json!({ "method": "GET", "url": "https://x.example/", "follow": true })),
        ("/steps/1/when", json!("v")),
    ];
    for (place, value) in spoiled {
        let mut document = good.clone();
        *document.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) = value.clone();
        assert!(!schema.is_valid(&document), "the schema allows {value} at {place}");
        let error = Recipe::parse(&document).err().unwrap_or_else(|| panic!("the parser takes {value} at {place}"));
        assert!(!error.message.is_empty() && !error.field.is_empty(), "{error:?}");
    }
}

#[test]
fn a_hole_that_nothing_fills_is_refused() {
    for (steps, token) in [
        (json!([]), "{t}"),
        (json!([{ "set": "{t}", "as": "t" }]), "{t}"),
        (json!([{ "set": "x", "as": "t", "when": ["u"] }]), "{t}"),
        (json!([{ "request": { "method": "GET", "url": "https://x.example/", "json": { "a": ["{u}"] } } }]), "x"),
    ] {
        let document = json!({ "name": "x", "freshness": "minted", "steps": steps, "token": token });
        let error = Recipe::parse(&document).err().unwrap_or_else(|| panic!("{document}"));
        assert!(error.message.contains("no earlier step") || error.message.contains("neither a parameter"), "{error:?}");
    }
}

/// A key that the configuration's schema allows for a source is a parameter of its recipe, and the other way round.
#[test]
fn the_configuration_knows_each_platform_and_its_parameters() {
    let schema = read(&root().join("wit/configuration.schema.json"));
    let branches = schema["$defs"]["identity_token"]["oneOf"].as_array().expect("the sources");
    let names =
        |value: &Value| -> BTreeSet<String> { value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect() };
    for document in documents() {
        let name = &document["name"];
        let branch = branches.iter().find(|branch| branch["properties"]["source"]["const"] == *name);
        let branch = branch.unwrap_or_else(|| panic!("configuration.schema.json does not know the source {name}"));
        let mut known = names(&branch["properties"]);
        known.remove("source");
        assert_eq!(known, names(&document["parameters"]), "{name}");
        for (key, parameter) in document["parameters"].as_object().into_iter().flatten() {
            for about in ["default", "description"] {
                assert_eq!(branch["properties"][key][about], parameter[about], "{name}: {about} of {key}");
            }
            let required = branch["required"].as_array().is_some_and(|required| required.iter().any(|one| one == key));
            assert_eq!(required, parameter["required"] == true, "{name}: {key}");
        }
    }
}

#[test]
fn every_platform_has_its_page() {
    let folder = root().join("guest/recipes");
    let readme = std::fs::read_to_string(folder.join("README.md")).expect("the README");
    for name in wif_recipes::names() {
        assert!(readme.contains(&format!("| [`{name}`](platforms/{name}.md) |")), "{name} is not in the table");
        let page = std::fs::read_to_string(folder.join(format!("platforms/{name}.md"))).unwrap_or_default();
        assert!(page.contains(&format!("\"source\": \"{name}\"")), "the page of {name} shows no configuration");
    }
}
