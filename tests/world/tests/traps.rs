//! A trap at any moment, and what is left of it.

use std::collections::BTreeSet;

#[cfg(feature = "component")]
use wif_world::Kind;
use wif_world::both;
use wif_world::drivers::STYLES;
use wif_world::vector::{End, Vector, folder, load};
use wif_world::world::{Settings, World};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

fn vectors() -> Vec<(String, Vector)> {
    let mut vectors = load(&folder());
    // Where the wall clock jumps, it matters who else has a clock: drivers without a steady one differ from those with one,
    // and between two sessions there is no other.
    let jumps = |vector: &Vector| vector.steps.iter().any(|step| step.wall_jump_ms != 0);
    vectors.retain(|(name, vector)| !name.starts_with("wrong/") && !vector.steps.is_empty() && !jumps(vector));
    vectors
}

/// C5: whatever step of whatever vector a session is trapped in, the one that is opened from the newest journal ends where the
/// first would have ended, and sends no identity token that is known to be spent.
#[test]
fn a_trap_at_any_step_changes_no_end() {
    both(|kind| {
        let mut failures = Vec::new();
        for (name, vector) in vectors() {
            let straight = vector.replay(kind, STYLES[0], None).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(straight.spent_sent_again, 0, "{name}");
            for step in 0..vector.steps.len() {
                let trapped = vector.replay(kind, STYLES[0], Some(step)).expect("it ran before");
                if let Err(why) = same_end(&straight, &trapped) {
                    failures.push(format!("{name}, trapped at step {step}: {why}\n  {straight:?}\n  {trapped:?}"));
                }
            }
        }
        assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
    });
}

fn same_end(straight: &End, trapped: &End) -> Result<(), &'static str> {
    if trapped.spent_sent_again > 0 {
        return Err("a spent identity token was sent again");
    }
    // A token that was on its way when the trap came is gone, and a source that never rotates has no other.
    if trapped.lost_a_token && trapped.last.code.as_deref() == Some("identity-token-spent") {
        return Ok(());
    }
    if (&straight.last.access, &straight.last.code) != (&trapped.last.access, &trapped.last.code) {
        return Err("another access");
    }
    if straight.last.token != trapped.last.token && !trapped.lost_a_token {
        return Err("another token");
    }
    Ok(())
}

/// In these a step stands where a wake is due. A driver that ticks is half a second later, and meets another answer or another
/// identity token then: the way differs, the end does not.
const DUE_AT_A_STEP: [&str; 9] = [
    "answers/401-after-an-uncertain-request-means-spent",
    "answers/perhaps-sent-is-tried-again-later",
    "identity/a-subject-that-changed-while-it-ran",
    "identity/what-the-journal-left-is-dropped-when-the-source-shows-another",
    "login/a-host-that-keeps-no-files-serves-until-the-end",
    "rejections/during-a-refresh",
    "rotation/a-spent-token-is-awaited",
    "rotation/never-rotated",
    "sessions/from-open-to-closing",
];

/// D9: ticks without timers and callers without either go the same way in every vector, step by step, and come to the same end.
#[test]
fn every_driver_goes_the_same_way() {
    both(|kind| {
        let (mut failures, mut late) = (Vec::new(), BTreeSet::new());
        for (name, vector) in vectors() {
            let exact = vector.replay(kind, STYLES[0], None).expect("it runs");
            for style in &STYLES[1..] {
                let other = vector.replay(kind, *style, None).expect("it runs");
                let ticks = matches!(style.name, "ticking" | "proxy-wasm");
                for (step, (expected, found)) in exact.steps.iter().zip(&other.steps).enumerate() {
                    if expected == found {
                        continue;
                    }
                    late.insert(name.clone());
                    if !ticks || !DUE_AT_A_STEP.contains(&name.as_str()) {
                        failures.push(format!("{name}, {}, step {step}: {found:?}, and not {expected:?}", style.name));
                    }
                }
                let ends = |end: &End| (end.last.access.clone(), end.last.code.clone());
                if ends(&other) != ends(&exact) || other.spent_sent_again > 0 {
                    failures.push(format!("{name}, {}: {:?}, and not {:?}", style.name, other.last, exact.last));
                }
            }
        }
        assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
        assert!(late.iter().eq(DUE_AT_A_STEP), "these go the same way after all: {late:?}");
    });
}

/// C5: a session that is trapped every few seconds for hours: callers are served all the same, and the endpoint sees no
/// storm.
#[test]
fn a_crash_loop_does_not_hammer_the_endpoint() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind));
        world.traffic(0, SECOND);
        for _ in 0..1_000 {
            world.run(7_300);
            world.crash(0, false);
            world.open(0);
        }
        assert!(world.least_gap_ms() >= 5 * SECOND, "{}", world.least_gap_ms());
        assert!(world.around.requests.len() <= 6, "{} requests in two hours", world.around.requests.len());
        assert_eq!((world.record.expired, world.record.spent_sent_again), (0, 0));
    });
}

/// A8b: a restart in place with a file that was not rotated: with the journal the token is served on; without it one
/// refusal is enough to know, and the rotation is awaited in silence.
#[test]
fn a_restart_in_place() {
    both(|kind| {
        let restart = |from: Option<&str>| {
            let mut world = World::new(Settings::new(kind));
            world.run(600 * SECOND);
            world.crash(0, false);
            match from {
                Some(from) => world.open_from(0, from.into()),
                None => world.open(0),
            }
            world.traffic(0, SECOND);
            world.run(1_800 * SECOND);
            world
        };
        let with_journal = restart(None);
        assert_eq!((with_journal.around.requests.len(), with_journal.record.failed.len()), (1, 0));
        let mut lost = restart(Some("lost"));
        assert_eq!((lost.around.requests.len(), lost.around.endpoint.refusals), (2, 1));
        assert_eq!(lost.status(0)["state"], "waiting-for-rotation");
        lost.run(HOUR / 2);
        assert!(lost.token(0).is_some(), "rotated in time");
        assert_eq!(lost.around.endpoint.refusals, 1);
    });
}

/// The components of two openings share nothing: what one does is not seen by the other.
#[cfg(feature = "component")]
#[test]
fn sessions_are_independent() {
    let mut world = World::new(Settings { sessions: 2, ..Settings::new(Kind::Component).minting() });
    world.run(10 * SECOND);
    assert_ne!(world.token(0), world.token(1));
}
