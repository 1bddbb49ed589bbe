//! The driver in Python: every conformance vector, every sentence of the contract that a driver can break, and a real exchange.
//!
//! ```text
//! cargo test -p wif-python
//! ```

#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use wif_emulator::{Emulator, Options};
use wif_test_tools::{or_not_run, python};

/// Python with the packages of `requirements.txt`, and the component as a file. None, and a line that says so, where a Debian
/// package is missing.
struct Workshop {
    interpreter: PathBuf,
    component: tempfile::NamedTempFile,
}

impl Workshop {
    fn open() -> Option<Self> {
        let interpreter = or_not_run(python(&folder().join("requirements.txt")))?;
        let component = tempfile::NamedTempFile::with_suffix(".wasm").expect("a file");
        std::fs::write(component.path(), wif::component::wasm()).expect("it is writable");
        Some(Self { interpreter, component })
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.arg("-B").arg(folder().join(name)).env("WIF_PLUGIN", self.component.path()).stdin(Stdio::null());
        command
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// What a program that ends well printed: first its output, then its errors.
fn ended_well(output: Output) -> (String, String) {
    let [out, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{out}\n{errors}");
    (out, errors)
}

/// `unittest` says at the end how many tests it ran.
fn ran(errors: &str) -> usize {
    let line = errors.lines().find_map(|line| line.strip_prefix("Ran ")).unwrap_or_else(|| panic!("{errors}"));
    line.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// And each file in `wrong/` fails by the one thing that is not so.
#[test]
fn every_vector_holds_and_a_wrong_one_fails() {
    let Some(workshop) = Workshop::open() else { return };
    let mut program = workshop.program("vectors.py");
    let output = program.arg(workshop.component.path()).arg(folder().join("../vectors")).output().expect("it starts");
    let (printed, _) = ended_well(output);
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let run: Vec<_> = lines.iter().map(|line| (line["name"].as_str().expect("a name"), line["reason"].as_str())).collect();
    let (wrong, right): (Vec<_>, Vec<_>) = run.into_iter().partition(|(name, _)| name.starts_with("wrong/"));
    assert!(right.len() >= 170, "only {} vectors were found", right.len());
    let failed: Vec<_> = right.iter().filter(|(_, reason)| reason.is_some()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let expected = [
        ("wrong/sent-twice", "step 4 (at 3525000 ms): output: .tasks: 0 items, where 1 are expected"),
        ("wrong/served-to-the-last-second", "step 2 (at 400 ms): output: .access.usable.unusable-in-ms: 3594600 is not 3599600"),
    ];
    assert_eq!(wrong.len(), expected.len());
    for ((name, reason), (expected_name, fault)) in wrong.iter().zip(expected) {
        assert_eq!(*name, expected_name);
        assert!(reason.is_some_and(|reason| reason.starts_with(fault)), "{name} should fail otherwise: {reason:?}");
    }
}

/// No trap, and no identity token lost or sent twice where the contract promises that it is not. `wrong.py` begins with the table
/// of sentences and tests.
#[test]
fn a_session_that_is_driven_wrong_keeps_its_promises() {
    let Some(workshop) = Workshop::open() else { return };
    let (_, errors) = ended_well(workshop.program("wrong.py").output().expect("it starts"));
    assert!(ran(&errors) >= 69, "{errors}");
}

/// What callers are told, what happens after a trap, what a component may not get: with sessions that are played.
#[test]
fn the_driver_does_its_own_duties() {
    let Some(workshop) = Workshop::open() else { return };
    let (_, errors) = ended_well(workshop.program("callers.py").output().expect("it starts"));
    assert!(ran(&errors) >= 27, "{errors}");
}

/// C1, C2, C3, C4, E1, E2, E4, E5, E9, E10, E12: the cases that every host runs.
#[test]
fn the_cases_of_requests_and_callers_hold() {
    let Some(workshop) = Workshop::open() else { return };
    let guests = tempfile::tempdir().expect("a directory");
    std::fs::write(guests.path().join("scripted"), wif_test_guests::wasm::scripted()).expect("it is writable");
    let mut program = workshop.program("cases.py");
    let (_, errors) = ended_well(program.env("GUESTS", guests.path()).output().expect("it starts"));
    assert_eq!(ran(&errors), 3, "{errors}");
}

/// F1, F9, F10, F11, F12, F13: components that steal, loop, take memory and flood, in place of ours.
#[test]
fn a_component_that_misbehaves_gets_nothing_and_costs_its_instance() {
    let Some(workshop) = Workshop::open() else { return };
    let guests = tempfile::tempdir().expect("a directory");
    for (name, component) in [
        ("exfiltrating", wif_test_guests::wasm::exfiltrating()),
        ("exhausting", wif_test_guests::wasm::exhausting()),
        ("lying", wif_test_guests::wasm::lying()),
    ] {
        std::fs::write(guests.path().join(name), component).expect("it is writable");
    }
    let mut program = workshop.program("guests.py");
    let (_, errors) = ended_well(program.env("GUESTS", guests.path()).output().expect("it starts"));
    assert!(ran(&errors) >= 5, "{errors}");
}

/// What it costs from Python can be measured; how much it is depends on the machine.
#[test]
fn what_it_costs_can_be_measured() {
    let Some(workshop) = Workshop::open() else { return };
    let mut program = workshop.program("measured.py");
    let (printed, _) = ended_well(program.arg(workshop.component.path()).output().expect("it starts"));
    assert!(printed.lines().count() >= 7, "{printed}");
}

/// Against an emulator, over real sockets: a token is got, refreshed, rejected, and carried to another session.
#[tokio::test(flavor = "multi_thread")]
async fn the_driver_gets_and_keeps_a_token() {
    let Some(workshop) = Workshop::open() else { return };
    let options = Options { admin: Some(([127, 0, 0, 1], 0).into()), shortest_lifetime_seconds: 1, ..Options::default() };
    let emulator = Emulator::start(options).await.expect("the options are good");
    let directory = tempfile::tempdir().expect("a directory");
    let file = emulator.identity_provider().publish(directory.path().join("token")).expect("the directory is writable");
    let options = emulator.options();
    let mut program = workshop.program("live.py");
    program
        .env("EMULATOR", emulator.base_url())
        .env("EMULATOR_ADMIN", emulator.admin_url().expect("it was asked for"))
        .env("IDENTITY_TOKEN_FILE", file.path())
        .env("FEDERATION_RULE_ID", &options.federation_rule_id)
        .env("ORGANIZATION_ID", &options.organization_id);
    let output = tokio::process::Command::from(program).output().await.expect("it starts");
    let (_, errors) = ended_well(output);
    assert!(ran(&errors) >= 11, "{errors}");
}
