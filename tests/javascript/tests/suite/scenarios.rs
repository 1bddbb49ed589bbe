//! Scenarios that run inside a runtime: the conformance vectors, and the duties of a host.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use wif_javascript::Workshop;

use crate::program::{RUNTIMES, node, printed, vectors, workshop};

/// Name and why it failed.
fn reasons(lines: &[Value]) -> Vec<(&str, Option<&str>)> {
    lines.iter().map(|line| (line["name"].as_str().expect("a name"), line["reason"].as_str())).collect()
}

fn all_hold(program: &str, at_least: usize) {
    hold(&mut node(program), at_least);
}

fn hold(program: &mut Command, at_least: usize) {
    none_failed(&printed(program), at_least);
}

/// Each of these lines has a name and why it failed, or null.
pub(crate) fn none_failed(lines: &[Value], at_least: usize) {
    let scenarios = reasons(lines);
    assert!(scenarios.len() >= at_least, "only {} scenarios were run", scenarios.len());
    let failed: Vec<String> =
        scenarios.iter().filter_map(|(name, reason)| reason.map(|reason| format!("{name}: {reason}"))).collect();
    assert!(failed.is_empty(), "{} of {}:\n\n{}", failed.len(), scenarios.len(), failed.join("\n\n"));
}

/// In every runtime. What a program may do is not the question here.
fn hold_everywhere(program: &str, at_least: usize) {
    for runtime in RUNTIMES {
        hold(&mut runtime.run(program, &["--allow-all"]), at_least);
    }
}

/// Every vector, through the driver and the component; and each file in `wrong/` fails by the one thing that is not so.
#[test]
fn every_vector_holds_and_a_wrong_one_fails() {
    for runtime in RUNTIMES {
        let lines = printed(runtime.run("vectors.mjs", &["--allow-all"]).arg(workshop().package()).arg(vectors()));
        let run = reasons(&lines);
        assert!(run.len() >= 160, "{runtime:?}: only {} vectors were found", run.len());
        let (wrong, right): (Vec<_>, Vec<_>) = run.into_iter().partition(|(name, _)| name.starts_with("wrong/"));
        let failed: Vec<_> = right.iter().filter(|(_, reason)| reason.is_some()).collect();
        assert!(failed.is_empty(), "{runtime:?}: {failed:#?}");
        let expected = [
            ("wrong/sent-twice", "step 4 (at 3525000 ms): output: .tasks: 0 items, where 1 are expected"),
            (
                "wrong/served-to-the-last-second",
                "step 2 (at 400 ms): output: .access.usable.unusable-in-ms: 3594600 is not 3599600",
            ),
        ];
        assert_eq!(wrong.len(), expected.len());
        for ((name, reason), (expected_name, fault)) in wrong.iter().zip(expected) {
            assert_eq!(*name, expected_name);
            assert!(
                reason.is_some_and(|reason| reason.starts_with(fault)),
                "{runtime:?}: {name} should fail otherwise: {reason:?}"
            );
        }
    }
}

/// C5, F1, F2. Traps, broken contracts, journals that cannot be kept: see `programs/driver.mjs`.
#[test]
fn a_component_that_misbehaves_costs_its_instance_and_nothing_else() {
    hold_everywhere("driver.mjs", 26);
}

/// F12, F13. Time, notes and requests of a component have an end: see `programs/pacing.mjs`.
#[test]
fn a_component_that_takes_a_little_too_much_again_and_again_is_held_back() {
    hold_everywhere("pacing.mjs", 10);
}

/// A credential for each request must not leave its exchanges behind: see `programs/dropped.mjs`.
#[test]
fn what_nobody_holds_is_let_go() {
    all_hold("dropped.mjs", 2);
}

/// What leaves through `fetch`, what is asked of the token endpoint, files, variables, stores: see `programs/requests.mjs`.
#[test]
fn whatever_leaves_or_enters_is_checked() {
    hold_everywhere("requests.mjs", 88);
}

/// Where a streamed body is answered with 401, the `fetch` of this Node throws unless it is told otherwise.
#[test]
fn the_same_holds_in_a_newer_node() {
    let newer = workshop().newer_node().unwrap_or_else(|missing| panic!("{missing}"));
    hold(Command::new(newer).arg(workshop().program("requests.mjs")), 87);
}

/// A8, C3, C7, D1. What is lost, late or too much between isolates and the object that has the session: see `programs/shared.mjs`.
#[test]
fn isolates_and_their_object_lose_nothing_to_each_other() {
    all_hold("shared.mjs", 10);
}

/// A6, C1, D1. The build for runtimes that the package does not know: see `programs/isolate.mjs`.
#[test]
fn an_unknown_runtime_has_isolates() {
    hold_everywhere("isolate.mjs", 4);
}

/// F1, F2, F5, F9, F10, F11, F12, F13. Real components that trap, lie, take more than they are given, steal or tell what they were told, in place
/// of ours: see `programs/guests.mjs`.
#[test]
fn a_real_component_that_misbehaves_costs_its_instance_and_nothing_else() {
    const GUESTS: [(&str, &[u8], usize); 5] = [
        ("crashing", include_bytes!(concat!(env!("OUT_DIR"), "/crashing.wasm")), 4),
        ("exfiltrating", include_bytes!(concat!(env!("OUT_DIR"), "/exfiltrating.wasm")), 86),
        ("exhausting", include_bytes!(concat!(env!("OUT_DIR"), "/exhausting.wasm")), 4),
        ("lying", include_bytes!(concat!(env!("OUT_DIR"), "/lying.wasm")), 59),
        ("telling", include_bytes!(concat!(env!("OUT_DIR"), "/telling.wasm")), 1),
    ];
    for (name, component, scenarios) in GUESTS {
        let workshop = Workshop::with(component).unwrap_or_else(|missing| panic!("{missing}"));
        let mut program = Command::new("node");
        let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests");
        hold(program.arg(workshop.program("guests.mjs")).arg(lists).arg(name), scenarios);
    }
}
