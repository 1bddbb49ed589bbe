//! The published JSON Schema and the engine agree about every document.

use serde_json::{Value, json};
use wif_engine::Session;
use wif_engine::contract::{Capability, Start};

const ALL: [Capability; 5] =
    [Capability::ReadFile, Capability::ReadVariable, Capability::SupplyAssertion, Capability::SupplyToken, Capability::Sign];

fn schema() -> jsonschema::Validator {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/configuration.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("the schema is there")).expect("it is JSON");
    jsonschema::validator_for(&schema).expect("it is a JSON Schema")
}

fn federation(identity_token: Value) -> Value {
    json!({ "federation": {
        "federation_rule_id": "fdrl_01AbCd",
        "organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab",
        "identity_token": identity_token,
    } })
}

fn good() -> Vec<Value> {
    let mut documents = vec![
        json!({}),
        json!({ "discover": {} }),
        json!({ "discover": { "profile": "prod-1", "config_dir": "/etc/anthropic" } }),
        json!({ "base_url": "http://127.0.0.1:8080/prefix", "prefetch": false, "wait_at_most_ms": 0.0 }),
        json!({ "bearer": { "source": "literal", "value": "t" }, "exchange_timeout_ms": 5000 }),
        json!({ "bearer": { "source": "callable" } }),
        json!({ "bearer": { "source": "callable", "name": "broker" } }),
    ];
    documents.extend(
        [
            json!({ "source": "file", "path": "/var/run/secrets/anthropic.com/token" }),
            json!({ "source": "variable", "name": "CI_TOKEN" }),
            json!({ "source": "literal", "value": "a.b.c" }),
            json!({ "source": "callable", "freshness": "minted" }),
            json!({ "source": "callable", "name": "vault", "audience": "https://x.example", "freshness": "shared" }),
            json!({ "source": "signer", "key_id": "k", "issuer": "https://i.example", "subject": "s" }),
            json!({ "source": "signer", "key": "hsm", "key_id": "k", "issuer": "i", "subject": "s", "algorithm": "PS256",
                    "audience": "a", "lifetime_s": 60 }),
        ]
        .map(federation),
    );
    documents.push(federation(json!({ "source": "executable", "command": ["/usr/bin/token"] })));
    documents
        .push(federation(json!({ "source": "executable", "command": ["/usr/bin/token", "--for", "a"], "environment": ["HOME"],
        "audience": "a", "freshness": "shared" })));
    documents.push(federation(json!({ "source": "executable", "command": ["C:\\token.exe"] })));
    documents.push(federation(json!({ "source": "spiffe", "socket": "unix:///run/agent.sock", "spiffe_id": "spiffe://a/b" })));
    documents.push(federation(json!({ "source": "auto" })));
    documents.push(federation(json!({ "source": "auto", "audience": "a" })));
    for name in wif_recipes::names() {
        let recipe = wif_recipes::platform(name).expect("it can be read");
        let mut source = json!({ "source": name });
        for parameter in recipe.parameters.iter().filter(|parameter| parameter.required) {
            source[parameter.name.as_str()] = json!("x");
        }
        documents.push(federation(source));
    }
    for (key, value) in
        [("service_account_id", "svac_1"), ("workspace_id", "default"), ("workspace_id", "wrkspc_1"), ("assertion_reuse", "deny")]
    {
        let mut document = federation(json!({ "source": "file", "path": "token" }));
        document["federation"][key] = json!(value);
        documents.push(document);
    }
    documents
}

/// Every good document, spoiled in every place.
fn bad() -> Vec<Value> {
    let mut documents = vec![
        json!([]),
        json!("x"),
        json!({ "discover": {}, "bearer": { "source": "callable" } }),
        json!({ "base_url": "ftp://x.example" }),
        json!({ "base_url": "https://x.example?y" }),
        json!({ "wait_at_most_ms": 30001 }),
        json!({ "wait_at_most_ms": 0.5 }),
        json!({ "exchange_timeout_ms": 999 }),
        json!({ "discover": { "profile": "../x" } }),
        json!({ "bearer": { "source": "callable", "value": "x" } }),
        federation(json!({ "source": "callable" })),
        federation(json!({ "source": "executable" })),
        federation(json!({ "source": "executable", "command": "/usr/bin/token" })),
        federation(json!({ "source": "executable", "command": ["token"] })),
        federation(json!({ "source": "executable", "command": ["/usr/bin/token", ""] })),
        federation(json!({ "source": "executable", "command": ["/usr/bin/token"], "environment": [1] })),
        federation(json!({ "source": "signer", "key_id": "k", "issuer": "i", "subject": "s", "lifetime_s": 59 })),
    ];
    for document in good() {
        let mut paths = Vec::new();
        collect(&document, &mut Vec::new(), &mut paths);
        for path in paths {
            let mut unknown = document.clone();
            let mut wrong = document.clone();
            if let Some(object) = at(&mut unknown, &path).as_object_mut() {
                object.insert("unknown_key".to_owned(), json!(1));
                documents.push(unknown);
            }
            if !path.is_empty() {
                *at(&mut wrong, &path) = json!([]);
                documents.push(wrong);
                let mut empty = document.clone();
                if at(&mut empty, &path).is_string() {
                    *at(&mut empty, &path) = json!("");
                    documents.push(empty);
                }
            }
        }
    }
    documents
}

fn collect(value: &Value, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    paths.push(path.clone());
    for (key, value) in value.as_object().into_iter().flatten() {
        path.push(key.clone());
        collect(value, path, paths);
        path.pop();
    }
}

fn at<'a>(value: &'a mut Value, path: &[String]) -> &'a mut Value {
    path.iter().fold(value, |value, key| &mut value[key.as_str()])
}

fn open(document: &Value) -> Result<Session, wif_engine::contract::ConfigurationError> {
    Session::open(&document.to_string(), 1, &ALL, Start::Fresh)
}

#[test]
fn what_the_schema_allows_the_engine_takes() {
    let schema = schema();
    for document in good() {
        assert!(schema.is_valid(&document), "the schema refuses {document}");
        open(&document).unwrap_or_else(|error| panic!("the engine refuses {document}: {error:?}"));
    }
}

#[test]
fn what_the_schema_forbids_the_engine_refuses_by_name() {
    let schema = schema();
    let documents = bad();
    assert!(documents.len() > 100);
    for document in documents {
        assert!(!schema.is_valid(&document), "the schema allows {document}");
        let error = open(&document).err().unwrap_or_else(|| panic!("the engine takes {document}"));
        assert!(!error.message.is_empty());
        assert!(document.as_object().is_none_or(|object| object.len() > 1 || !error.field.is_empty()), "{document}: {error:?}");
    }
}
