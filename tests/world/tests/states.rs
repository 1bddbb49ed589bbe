//! The states that the contract draws, and those that sessions go through.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wif_world::shared_store::{FIRST, SECOND, Sharer, entry, grant, identity_token, refused};
use wif_world::vector::{Step, folder, load};
use wif_world::world::{START_MS, Settings, Weather, World};
use wif_world::{Kind, Opening, accesses_of_states, changes_between_steps, changes_of_state, drawn, jwt, listed};

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
    what_another_session_tells_by_the_store();
    an_unusable_token_of_another_subject();
}

/// The source shows another workload's identity token, which has expired: the access token is not that workload's, and there is no other.
fn an_unusable_token_of_another_subject() {
    let minted = json!({"source": "callable", "name": "mint", "freshness": "minted"});
    let mut one = Sharer::with(Kind::Native, 1, &["supply-assertion"], minted);
    one.step(&json!("woken")).answer("supply-assertion", &identity_token("one", 0));
    one.answer("send-request", &grant(FIRST, 3_600));
    let ends = START_MS / 1_000;
    let expired = jwt::jwt(&json!({"iss": "i", "sub": "another", "iat": ends - 3_600, "exp": ends, "jti": "two"}));
    one.at(3_560_000, &json!("needed")).answer("supply-assertion", &json!({ "content": expired }));
    assert_eq!(one.output["access"]["failed"]["code"], "identity-token-expired", "{:#}", one.output);
}

/// Another session has a newer token, or could not replace the one that both have.
fn what_another_session_tells_by_the_store() {
    let conflict = |version: &str, value: &Value| json!({"conflict": entry(version, value)["entry"]});
    // One that has a token, which its store does not take.
    let unheard = || {
        let mut one = Sharer::new(Kind::Native, 1);
        one.begin("one", &json!("absent"));
        one.answer("swap-entry", &json!({"swapped": "v1-lease"}));
        one.answer("send-request", &grant(FIRST, 3_600));
        let with_first = one.answer("swap-entry", &json!({"failed": "the disk"}))["value"].clone();
        (one, with_first)
    };
    // Another one, whose entry begins with this one, and is refused another token for minutes.
    let refused_another = |stored: &Value, rejects: bool| {
        let mut other = Sharer::new(Kind::Native, 3);
        other.begin("other", &entry("v1", stored));
        let refresh_in_ms = other.output["access"]["usable"]["refresh-in-ms"].as_u64().expect("it has that token");
        let event = if rejects { json!({"rejected": jwt::id_of(FIRST)}) } else { json!("needed") };
        other.at(if rejects { 10_000 } else { refresh_in_ms }, &event).answer("load-entry", &entry("v1", stored));
        if rejects {
            other.answer("swap-entry", &json!({"swapped": "v2"}));
        }
        let now_ms = other.now_ms;
        other.answer("read-file", &identity_token("another", now_ms));
        other.answer("swap-entry", &json!({"swapped": "v3"}));
        other.answer("send-request", &refused(403));
        (now_ms, other.answer("swap-entry", &json!({"swapped": "v4"}))["value"].clone())
    };
    let replaced = || {
        let mut other = Sharer::new(Kind::Native, 2);
        other.now_ms = 3_500_000;
        other.begin("other", &json!("absent"));
        other.exchange("other", SECOND, 3_600, "v2")
    };

    // Serving: the other one's refresh was due sooner.
    let (mut one, with_first) = unheard();
    let (now_ms, not_replaced) = refused_another(&with_first, false);
    one.at(now_ms + 1_000, &json!("woken")).answer("swap-entry", &conflict("v4", &not_replaced));

    // Failed: it never had a token.
    let mut one = Sharer::new(Kind::Native, 4);
    one.now_ms = 20_000;
    one.begin("one", &json!("absent"));
    one.answer("swap-entry", &json!({"swapped": "v1"}));
    one.answer("send-request", &refused(503));
    one.answer("swap-entry", &conflict("v4", &refused_another(&with_first, true).1));

    // Retrying: the endpoint is down.
    let (mut one, with_first) = Sharer::with_first(Kind::Native);
    one.at(3_560_000, &json!("needed")).answer("load-entry", &entry("v1", &with_first));
    one.answer("read-file", &identity_token("two", 3_560_000));
    one.answer("swap-entry", &json!({"swapped": "v1-lease"}));
    one.answer("send-request", &refused(503));
    one.answer("swap-entry", &conflict("v2", &replaced()));

    // Waiting for a rotation: the file shows what is spent.
    let (mut one, with_first) = unheard();
    one.at(3_560_000, &json!("needed")).answer("load-entry", &entry("v1", &with_first));
    one.answer("read-file", &identity_token("one", 0));
    one.answer("swap-entry", &conflict("v2", &replaced()));
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

/// That no other is taken is checked at each step of all sessions here, whatever they are tried with.
#[test]
fn every_arrow_that_is_drawn_is_taken_and_no_other() {
    run_all();
    let (drawn, mut taken) = (drawn(), changes_of_state());
    // `closing` leads there from everywhere: see below.
    taken.retain(|(_, to)| to != "closed");
    let missing: Vec<_> = taken.difference(&drawn).collect();
    assert!(missing.is_empty(), "taken and not drawn: {missing:?}");
    let idle: Vec<_> = drawn.difference(&taken).collect();
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
