//! Cases that are data: the files of `cases/`. Each says what a host finds on one platform, and what the platform's server checks and
//! answers. A platform that needs more, such as a signature or a second server, has its case in `cases.rs`.
//!
//! | Member | What it is |
//! | --- | --- |
//! | `configuration` | what stands beside `source` in `identity_token` |
//! | `variables`, `files` | what the host's environment holds, and the files in `{directory}` |
//! | `secrets` | what no log may hold |
//! | `requests` | what the server answers. `method` and `path`; any other request is answered 404 |
//! | `refusals` of a request | in order: `unless` a `header`, a field of the `query` or a JSON pointer into the `body` `is` this, or is there, the answer has this `status` and `answer` |
//! | `audience` of a request | where it is asked for: in the `query` or the `body`; `otherwise` names the platform's own |
//! | `answer` | the JSON that is answered |
//!
//! `{directory}` and `{server}` are those of the case. `{token}` is an identity token: in an answer for the audience that was asked for,
//! elsewhere for that of the federation rule.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::Query;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{MethodFilter, on};
use serde_json::{Map, Value};

use crate::cases::{AUDIENCE, Case};
use crate::{Mint, Server, json, text};

/// The sources that have such a case.
pub(crate) fn names() -> Vec<String> {
    let folder = std::fs::read_dir(folder()).expect("the cases");
    let paths = folder.map(|entry| entry.expect("an entry").path());
    paths.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect()
}

/// Starts the stand-in of this case.
pub(crate) async fn start(case: Case, directory: &Path, mint: &Mint) -> Case {
    let path = folder().join(format!("{}.json", case.name));
    let document = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let document: Value = serde_json::from_str(&document).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut case = case;
    let requests = document["requests"].as_array().into_iter().flatten();
    let router = requests.fold(Router::new(), |router, request| route(router, Arc::new(request.clone()), mint));
    let server = Server::start(router).await;
    let holes =
        [("directory", directory.to_str().expect("a path").to_owned()), ("server", server.url()), ("token", mint(AUDIENCE))];
    for (name, value) in members(&document["configuration"]) {
        case.identity_token[name] = filled(value, &holes);
    }
    for (name, value) in members(&document["variables"]) {
        case.variables.push((kept(name), filled(value, &holes).as_str().expect("a text").to_owned()));
    }
    for (name, content) in members(&document["files"]) {
        case = case.file(directory, name, filled(content, &holes).as_str().expect("a text")).0;
    }
    case.secrets
        .extend(document["secrets"].as_array().into_iter().flatten().map(|secret| kept(secret.as_str().expect("a text"))));
    if document["requests"].is_array() { case.beside(server) } else { case }
}

fn route(router: Router, request: Arc<Value>, mint: &Mint) -> Router {
    let member = |name: &str| request[name].as_str().unwrap_or_else(|| panic!("a request has no {name}: {request}"));
    let method = match member("method") {
        "GET" => MethodFilter::GET,
        "PUT" => MethodFilter::PUT,
        _ => MethodFilter::POST,
    };
    let (path, mint) = (member("path").to_owned(), Mint::clone(mint));
    let answer = move |headers: HeaderMap, Query(query): Query<HashMap<String, String>>, body: String| async move {
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        // What was said at the place that a condition names.
        let said = |place: &Value| match (place["header"].as_str(), place["query"].as_str(), place["body"].as_str()) {
            (Some(name), _, _) => Some(text(&headers, name)).filter(|value| !value.is_empty()),
            (_, Some(name), _) => query.get(name).map(String::as_str),
            (_, _, Some(pointer)) => body.pointer(pointer).and_then(Value::as_str),
            _ => None,
        };
        for refusal in request["refusals"].as_array().into_iter().flatten() {
            let condition = &refusal["unless"];
            let holds = said(condition).is_some_and(|said| condition["is"].as_str().is_none_or(|is| is == said));
            if !holds {
                let status = refusal["status"].as_u64().and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
                return json(status.expect("a refusal has a status"), &refusal["answer"]);
            }
        }
        let audience = said(&request["audience"]).or(request["audience"]["otherwise"].as_str()).unwrap_or(AUDIENCE);
        json(StatusCode::OK, &filled(&request["answer"], &[("token", mint(audience))]))
    };
    router.route(&path, on(method, answer))
}

/// A value with its holes filled, wherever they stand.
fn filled(value: &Value, holes: &[(&str, String)]) -> Value {
    match value {
        Value::String(text) => {
            holes.iter().fold(text.clone(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value)).into()
        }
        Value::Array(items) => items.iter().map(|item| filled(item, holes)).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), filled(value, holes))).collect(),
        other => other.clone(),
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// Names live as long as a test's process.
pub(crate) fn kept(name: &str) -> &'static str {
    String::leak(name.to_owned())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}
