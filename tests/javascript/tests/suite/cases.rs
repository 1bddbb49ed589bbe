//! The cases in `tests/requests` and `tests/callers`, in every runtime: the same for every host.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use wif_javascript::{WORKERS, Workshop};

use crate::program::{Program, RUNTIMES, printed, tests, workshop, workshop_async};
use crate::scenarios::none_failed;
use crate::workers::{VERSIONS, bundle, workerd};

/// So many cases of requests at least, each of them twice: whether the origin is told or not.
const REQUESTS: usize = 2 * 55;

/// So many callers at least.
const CALLERS: usize = 60;

/// The package around the component that plays scripts.
fn scripted() -> Workshop {
    let component = include_bytes!(concat!(env!("OUT_DIR"), "/scripted.wasm"));
    Workshop::with(component).unwrap_or_else(|missing| panic!("{missing}"))
}

/// E1 (the caller's own credential), E2 (where a request goes), E4 (upgrades and tunnels), E5 (preflights), E10 (the caller's own
/// betas), E12 (the API answers 401).
#[test]
fn of_requests_in_every_runtime_of_programs() {
    for runtime in RUNTIMES {
        let mut program = runtime.run("cases-run.mjs", &["--allow-all"]);
        none_failed(&printed(program.arg("requests").arg(tests())), REQUESTS);
    }
}

/// C1 (many callers, one exchange), C2 (a refresh holds nobody up), C3 (waiting is bounded), C4 (callers that leave), E9 (there
/// is no token).
#[test]
fn of_callers_in_every_runtime_of_programs() {
    let workshop = scripted();
    for runtime in RUNTIMES {
        let mut program = runtime.run_in(&workshop, "cases-run.mjs", &["--allow-all"]);
        none_failed(&printed(program.arg("callers").arg(tests())), CALLERS);
    }
}

/// The same as in programs.
#[tokio::test]
async fn of_requests_in_workers() {
    workshop_async().await;
    in_workers(workshop().clone(), "requests", REQUESTS).await;
}

/// Likewise.
#[tokio::test]
async fn of_callers_in_workers() {
    let workshop = tokio::task::spawn_blocking(scripted).await.expect("no panic");
    in_workers(workshop, "callers", CALLERS).await;
}

async fn in_workers(workshop: Workshop, what: &str, at_least: usize) {
    let folder = TempDir::new().expect("a directory");
    let (worker, caller) = (folder.path().join("worker"), bundle());
    let to = worker.clone();
    let bundled = move || workshop.bundle(&workshop.program("cases-worker.mjs"), &WORKERS, &to);
    tokio::task::spawn_blocking(bundled).await.expect("no panic").unwrap_or_else(|missing| panic!("{missing}"));
    for version in VERSIONS {
        let options = json!({
            "worker": worker,
            "entry": "cases-worker.mjs",
            "caller": caller.join("caller"),
            "bindings": { "WHAT": what, "DOCUMENTS": documents(what), "RULES": document(&tests().join("../wit/rules.json")) },
            "ask": "/",
        });
        let answer = Program::start(workerd(version, &options)).next().await;
        none_failed(answer["answer"].as_array().unwrap_or_else(|| panic!("{answer}")), at_least);
    }
}

fn document(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The documents of a folder of cases, in order.
fn documents(folder: &str) -> Vec<Value> {
    let entries = std::fs::read_dir(tests().join(folder)).expect("it is there");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths.iter().map(|path| document(path)).collect()
}
