//! The states that the contract draws, and those that sessions go through.

use std::collections::BTreeSet;

use wif_world::vector::{folder, load};
use wif_world::world::{Settings, Weather, World};
use wif_world::{Kind, changes_of_state};

const MINUTE: u64 = 60_000;

/// The rows under "States" of `wit/session.wit`: from which state to which others.
fn drawn() -> BTreeSet<(String, String)> {
    let contract = include_str!("../../../wit/session.wit");
    let (_, states) = contract.split_once("## States").expect("its first part");
    let (states, _) = states.split_once("## Who calls what when").expect("its second part");
    let rows = states.lines().filter_map(|line| line.trim_start().strip_prefix("/// | `"));
    rows.map(|row| {
        let mut cells = row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
        (cells.next().expect("from"), cells.next().expect("to"))
    })
    .collect()
}

#[test]
fn every_arrow_that_is_drawn_is_taken_and_no_other() {
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
    let (drawn, taken) = (drawn(), changes_of_state());
    let missing: Vec<_> = taken.difference(&drawn).collect();
    assert!(missing.is_empty(), "taken and not drawn: {missing:?}");
    let idle: Vec<_> = drawn.difference(&taken).collect();
    assert!(idle.is_empty(), "drawn and never taken: {idle:?}");
}
