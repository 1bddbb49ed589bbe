//! The states that the contract draws, and those that sessions go through.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wif_world::vector::{Step, folder, load};
use wif_world::world::{START_MS, Settings, Weather, World};
use wif_world::{Kind, Opening, accesses_of_states, changes_between_steps, changes_of_state, drawn, listed};

const MINUTE: u64 = 60_000;

/// Every vector, and an endpoint that fails during a refresh.
fn run_all() {
    for (name, vector) in load(&folder()) {
        if !name.starts_with("wrong/") {
            vector.run(Kind::Native).unwrap_or_else(|why| panic!("{name}: {why}"));
        }
    }
    // An endpoint that fails during a refresh: for a moment, and then for longer than the token lives.
    let mut world = World::new(Settings::new(Kind::Native));
    world.traffic(0, 1_000);
    for good in [55, 60] {
        world.run(good * MINUTE);
        world.around.endpoint.weather = Some(Weather::Answer(503, Vec::new()));
        world.run(if good == 55 { 4 * MINUTE } else { 120 * MINUTE });
        world.around.endpoint.weather = None;
    }
    world.run(10 * MINUTE);
    a_token_of_the_journal_that_is_due();
}

/// A program's token comes back from the journal when its refresh is due.
fn a_token_of_the_journal_that_is_due() {
    let opening = |from: Value| Opening {
        configuration: json!({"bearer": {"source": "callable", "name": "broker"}}).to_string(),
        seed: 1,
        can: vec!["supply-token".to_owned()],
        from,
    };
    let clock = |at_ms: u64| json!({"wall-ms": START_MS + at_ms, "steady-ms": at_ms});
    let mut session = Kind::Native.open(&opening(json!("fresh"))).expect("valid");
    let number = session.step(&clock(0), &json!("woken"))["tasks"][0]["number"].clone();
    let outcome = json!({"token": {"value": "sk-ant-oat01-first", "expires-at-ms": START_MS + 60 * MINUTE}});
    let output = session.step(&clock(0), &json!({"finished": {"number": number, "outcome": outcome}}));
    let mut next = Kind::Native.open(&opening(json!({ "resumed": output["journal"] }))).expect("valid");
    next.step(&clock(59 * MINUTE), &json!("woken"));
}

/// The picture in `wit/README.md`.
#[test]
fn the_picture_has_the_arrows_of_the_table() {
    let readme = include_str!("../../../wit/README.md");
    let (_, picture) = readme.split_once("```mermaid").expect("a picture");
    let (picture, _) = picture.split_once("```").expect("its end");
    let arrows = picture.lines().filter_map(|line| line.trim().split_once(" --> ")).filter(|(from, _)| *from != "[*]");
    let pictured: BTreeSet<(String, String)> = arrows.map(|(from, to)| (from.replace('_', "-"), to.replace('_', "-"))).collect();
    assert_eq!(pictured, drawn());
}

/// What a session hears from the store that it shares, in an order that few runs have: `two_sessions.rs` takes these.
const BY_THE_STORE: [(&str, &str); 4] =
    [("failed", "retrying"), ("serving", "retrying"), ("retrying", "serving"), ("waiting-for-rotation", "serving")];

/// That no other is taken is checked at each step of all sessions here, whatever they are tried with.
#[test]
fn every_arrow_that_is_drawn_is_taken_and_no_other() {
    run_all();
    let (drawn, mut taken) = (drawn(), changes_of_state());
    // `closing` leads there from everywhere: see below.
    taken.retain(|(_, to)| to != "closed");
    let missing: Vec<_> = taken.difference(&drawn).collect();
    assert!(missing.is_empty(), "taken and not drawn: {missing:?}");
    let idle: Vec<_> =
        drawn.difference(&taken).filter(|(from, to)| !BY_THE_STORE.contains(&(from.as_str(), to.as_str()))).collect();
    assert!(idle.is_empty(), "drawn and never taken: {idle:?}");
}

/// The sentences below the arrows.
#[test]
fn a_token_that_runs_out_between_steps_changes_the_state_as_it_is_said() {
    run_all();
    let said = [("refreshing", "starting"), ("retrying", "failed"), ("serving", "idle"), ("serving", "starting")];
    assert_eq!(changes_between_steps(), said.map(|(from, to)| (from.to_owned(), to.to_owned())).into());
}

#[test]
fn closing_leads_from_every_state_to_closed() {
    for (name, vector) in load(&folder()) {
        let reopens = |step: &Step| step.reopen.is_some();
        for steps in 0..=vector.steps.len() {
            let mut cut = vector.clone();
            cut.steps.truncate(steps);
            if name.starts_with("wrong/") || vector.refused.is_some() || cut.steps.last().is_some_and(reopens) {
                continue;
            }
            let at_ms = cut.steps.last().map_or(0, |step| step.at_ms);
            let closing = json!({"at-ms": at_ms, "event": "closing", "status": {"state": "closed"}});
            cut.steps.push(serde_json::from_value(closing).expect("a step"));
            cut.run(Kind::Native).unwrap_or_else(|why| panic!("{name}, closed after {steps} steps: {why}"));
        }
    }
    let from: BTreeSet<String> = changes_of_state().into_iter().filter(|(_, to)| to == "closed").map(|(from, _)| from).collect();
    let states: BTreeSet<String> = drawn().into_iter().flat_map(|(from, to)| [from, to]).collect();
    assert_eq!(from, states);
}

/// The rows under "Rules for callers' requests": in which state a caller meets which access.
#[test]
fn a_caller_meets_the_access_that_stands_beside_the_state() {
    let listed = listed();
    run_all();
    let met = accesses_of_states();
    let missing: Vec<_> = met.difference(&listed).collect();
    assert!(missing.is_empty(), "met and not listed: {missing:?}");
    let never: Vec<_> = listed.difference(&met).collect();
    assert!(never.is_empty(), "listed and never met: {never:?}");
}
