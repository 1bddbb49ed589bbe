//! Tokens of every length, over a simulated day.

use std::cell::Cell;

use serde_json::json;
use wif_world::drivers::STYLES;
use wif_world::world::{Settings, World};
use wif_world::{Kind, both};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// B9: whatever the lifetime, no request fails, no token is used past its end, and exchanges are as many as the lifetime asks
/// for: no hot loop.
#[test]
fn a_day_with_each_lifetime() {
    both(|kind| {
        for (lifetime_s, at_least, at_most) in [(60, 1_440, 2_900), (261, 330, 620), (3_600, 23, 26), (86_400, 1, 2)] {
            for style in STYLES {
                let mut settings = Settings::new(kind).minting().style(style);
                settings.lifetime_s = lifetime_s;
                let mut world = World::new(settings);
                world.around.endpoint.exact_lifetime_s = Some(lifetime_s);
                world.traffic(0, 1_100);
                world.run(24 * HOUR);
                let what = format!("{lifetime_s} s, {}", style.name);
                let exchanges = world.around.endpoint.grants.len();
                assert!((at_least..=at_most).contains(&exchanges), "{what}: {exchanges} exchanges");
                assert!(world.least_gap_ms() >= 5 * SECOND, "{what}: {} ms between two", world.least_gap_ms());
                assert!(world.record.failed.is_empty(), "{what}: {:?}", world.record.failed.first());
                assert_eq!((world.record.expired, world.record.spent_sent_again), (0, 0), "{what}");
                let longest = world.record.waited_ms.iter().max().copied().unwrap_or_default();
                assert!(longest <= 2 * SECOND, "{what}: a caller waited {longest} ms");
            }
        }
    });
}

/// B9: lives that are shorter than the pause between two exchanges: callers wait for the next token, and get one each time.
#[test]
fn lives_shorter_than_the_pause_between_exchanges() {
    both(|kind| {
        for lifetime_s in [1, 3] {
            let mut world = World::new(Settings::new(kind).minting());
            world.around.endpoint.exact_lifetime_s = Some(lifetime_s);
            world.traffic(0, 300);
            world.run(10 * MINUTE);
            let exchanges = world.around.endpoint.grants.len();
            assert!((100..=121).contains(&exchanges), "{lifetime_s} s: {exchanges} exchanges");
            assert!(world.least_gap_ms() >= 5 * SECOND, "{lifetime_s} s: {}", world.least_gap_ms());
            assert_eq!(
                (world.record.expired, world.record.failed.len()),
                (0, 0),
                "{lifetime_s} s: {:?}",
                world.record.failed.first()
            );
            let longest = world.record.waited_ms.iter().max().copied().unwrap_or_default();
            assert!(longest <= 6 * SECOND, "{lifetime_s} s: a caller waited {longest} ms");
        }
    });
}

/// B9: a life just under a minute is no special case.
#[test]
fn lives_of_59_seconds() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind).minting());
        world.around.endpoint.exact_lifetime_s = Some(59);
        world.traffic(0, 300);
        world.run(HOUR);
        assert!((60..=125).contains(&world.around.endpoint.grants.len()));
        assert_eq!((world.record.expired, world.record.failed.len()), (0, 0));
    });
}

/// A6: a file that is rotated in time is all that is needed: each identity token is sent once.
#[test]
fn a_day_with_a_rotated_file() {
    both(|kind| {
        for style in STYLES {
            let mut world = World::new(Settings::new(kind).style(style));
            world.traffic(0, SECOND);
            world.run(24 * HOUR);
            assert_eq!((world.around.endpoint.refusals, world.record.spent_sent_again), (0, 0), "{}", style.name);
            assert_eq!((world.record.expired, world.record.failed.len()), (0, 0), "{}", style.name);
            assert_eq!(world.around.requests.len(), world.around.endpoint.grants.len(), "{}", style.name);
        }
    });
}

/// A6: a file that is rotated long after the token has run out: callers are told what is awaited and until when, and are
/// served within seconds of the rotation.
#[test]
fn a_file_that_is_rotated_too_late() {
    both(|kind| {
        let mut settings = Settings::new(kind);
        settings.lifetime_s = 600;
        let mut world = World::new(settings);
        world.traffic(0, SECOND);
        world.run(47 * MINUTE);
        assert_eq!(world.around.requests.len(), 1, "a spent identity token is not sent again");
        assert!(world.record.failed.iter().all(|(at, code)| *at >= 595 * SECOND && code == "identity-token-spent"));
        assert_eq!(world.status(0)["state"], "waiting-for-rotation");
        assert_eq!(world.noted("lifetimes-conflict"), 1);
        // Rotated at 2940 s.
        world.run(2 * MINUTE + 8 * SECOND);
        assert!(world.token(0).is_some());
        assert_eq!((world.around.endpoint.grants.len(), world.around.endpoint.refusals), (2, 0));
    });
}

/// A9: a file that is rotated every few seconds brings no more exchanges than a quiet one.
#[test]
fn rotation_faster_than_the_token_s_life_is_no_reason_to_exchange() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind));
        world.traffic(0, SECOND);
        for _ in 0..600 {
            let wall_s = world.around.wall_ms() / 1000;
            world.around.file.rotate(wall_s);
            world.tell(0, &json!("changed"));
            world.run(10 * SECOND);
        }
        assert_eq!(world.around.endpoint.grants.len(), 2, "in 100 minutes");
        assert_eq!(world.record.failed.len(), 0);
    });
}

/// A10: an identity token in a variable is exchanged once; then there is nothing to loop over.
#[test]
fn a_variable_is_exchanged_once() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind));
        // The file stands for the variable: it is never rotated.
        world.around.file.rotates = false;
        world.traffic(0, SECOND);
        world.run(3 * HOUR);
        assert_eq!(world.around.requests.len(), 1);
        assert_eq!(world.record.spent_sent_again, 0);
    });
}

/// What a session warns of comes true, and nothing else does: over a grid of lifetimes, with identity tokens that are rotated as
/// late as is usual. Nobody is warned of gaps that do not come, no gap is longer than announced, and the advice ends them.
#[test]
fn lifetimes_that_conflict_are_announced_as_they_are() {
    let warned = Cell::new(0);
    both(|kind| {
        for file_life_s in [40, 60, 130, 300, 600, 1_000, 3_600] {
            // At four fifths of its life, and 90 s for the volume to follow; but before it expires.
            let period_s = (file_life_s * 4 / 5 + 90).min(file_life_s);
            for lifetime_s in [60, 75, 120, 300, 420, 600, 1_800, 3_600] {
                let what = format!("identity tokens of {file_life_s} s, access tokens of {lifetime_s} s, {kind:?}");
                let (warning, longest_ms) = gaps(kind, file_life_s, period_s, lifetime_s);
                let Some(warning) = warning else {
                    assert_eq!(longest_ms, 0, "{what}: requests failed, and nobody was warned");
                    continue;
                };
                warned.set(warned.get() + 1);
                let announced_ms = number_after(&warning, "fail for up to ") * SECOND;
                assert!(longest_ms <= announced_ms, "{what}: failed for {longest_ms} ms, where: {warning}");
                // The announcement counts the longest time between two looks at the file, twice; callers come every few seconds.
                let slack_ms = 10 * SECOND + 2 * every_ms(period_s);
                assert!(longest_ms + slack_ms >= announced_ms, "{what}: failed for {longest_ms} ms, where: {warning}");
                let advised_s = number_after(&warning, "token_lifetime_seconds to ");
                let (again, longest_ms) = gaps(kind, file_life_s, period_s, advised_s);
                assert_eq!((again, longest_ms), (None, 0), "{what}: after the advice");
            }
        }
    });
    assert!(warned.get() > 20, "{}", warned.get());
}

/// What callers met in four rotations: the warning, and the longest time in which they failed.
fn gaps(kind: Kind, file_life_s: u64, period_s: u64, lifetime_s: u64) -> (Option<String>, u64) {
    let mut settings = Settings::new(kind);
    (settings.file_life_s, settings.lifetime_s) = (file_life_s, lifetime_s);
    let mut world = World::new(settings);
    world.around.file.period_s = period_s;
    world.traffic(0, every_ms(period_s));
    world.run(period_s * 4 * SECOND + 30 * SECOND);
    let (mut longest_ms, mut begun_ms, mut last_ms) = (0, 0, 0);
    for &(at_ms, _) in &world.record.failed {
        if begun_ms == 0 || at_ms > last_ms + every_ms(period_s) {
            begun_ms = at_ms;
        }
        last_ms = at_ms;
        longest_ms = longest_ms.max(at_ms + 1 - begun_ms);
    }
    let warnings = world.status(0)["warnings"].as_array().cloned().unwrap_or_default();
    let warning = warnings.iter().filter_map(|warning| warning.as_str()).find(|warning| warning.contains("requests fail"));
    (warning.map(str::to_owned), longest_ms)
}

/// How often a caller comes.
fn every_ms(period_s: u64) -> u64 {
    period_s.max(SECOND)
}

fn number_after(text: &str, words: &str) -> u64 {
    let (_, rest) = text.split_once(words).unwrap_or_else(|| panic!("no {words:?} in {text:?}"));
    rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap()
}
