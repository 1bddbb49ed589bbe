//! Sessions that share a store act as one.

use serde_json::json;
use wif_world::both;
use wif_world::drivers::STYLES;
use wif_world::world::{Settings, World};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

fn eight(kind: wif_world::Kind) -> Settings {
    Settings::new(kind).sharing(8)
}

fn all_serve_the_same(world: &mut World) -> String {
    let first = world.token(0).expect("a token");
    for seat in 1..8 {
        assert_eq!(world.token(seat).as_deref(), Some(first.as_str()), "session {seat}");
    }
    first
}

/// A8, C1: eight processes with one file that can be exchanged once.
#[test]
fn eight_cold_sessions_make_one_exchange() {
    both(|kind| {
        for style in STYLES {
            let mut world = World::new(eight(kind).style(style));
            (0..8).for_each(|seat| world.traffic(seat, 200));
            world.run(20 * SECOND);
            assert_eq!(world.around.endpoint.grants.len(), 1, "{}", style.name);
            assert_eq!((world.around.endpoint.refusals, world.record.failed.len()), (0, 0), "{}", style.name);
            all_serve_the_same(&mut world);
        }
    });
}

/// A8: and so through a day of refreshes, each after a rotation of the file.
#[test]
fn eight_sessions_make_one_exchange_for_each_refresh() {
    both(|kind| {
        let mut world = World::new(eight(kind));
        (0..8).for_each(|seat| world.traffic(seat, 20 * SECOND));
        world.run(12 * HOUR);
        let grants = world.around.endpoint.grants.len();
        assert!((11..=16).contains(&grants), "{grants} exchanges in twelve hours");
        assert_eq!(world.around.endpoint.refusals, 0);
        assert_eq!((world.record.failed.len(), world.record.expired), (0, 0), "{:?}", world.record.failed);
    });
}

/// C4, C5: the leader dies and its request never left: another takes over within the lease and a few seconds.
#[test]
fn a_leader_that_dies_before_the_request_left_is_replaced() {
    both(|kind| {
        for style in STYLES {
            let mut settings = eight(kind).style(style);
            settings.latency_ms = 2_000;
            let mut world = World::new(settings);
            (0..8).for_each(|seat| world.traffic(seat, 200));
            world.run(100);
            let leader = world.around.requests[0].1;
            world.crash(leader, true);
            world.run(20 * SECOND);
            assert_eq!(world.around.endpoint.grants.len(), 1, "{}", style.name);
            assert_eq!(world.around.endpoint.refusals, 0, "{}", style.name);
            world.open(leader);
            world.run(10 * SECOND);
            all_serve_the_same(&mut world);
            assert_eq!(world.around.endpoint.grants.len(), 1, "{}", style.name);
        }
    });
}

/// C4, C5, A7: the leader dies after its request left, and the token is lost with it. One repeat finds out; then all wait
/// for the rotation, and one exchanges the rotated identity token.
#[test]
fn a_leader_that_dies_after_the_request_left_costs_one_refusal() {
    both(|kind| {
        for style in STYLES {
            let mut settings = eight(kind).style(style);
            settings.latency_ms = 2_000;
            let mut world = World::new(settings);
            (0..8).for_each(|seat| world.traffic(seat, 200));
            world.run(1_500);
            assert_eq!(world.around.endpoint.grants.len(), 1);
            let leader = world.around.requests[0].1;
            world.crash(leader, false);
            world.run(5 * MINUTE);
            assert_eq!(world.around.endpoint.refusals, 1, "{}", style.name);
            world.open(leader);
            world.run(5 * MINUTE);
            assert_eq!(world.around.endpoint.refusals, 1, "{}", style.name);
            let wall_s = world.around.wall_ms() / 1000;
            world.around.file.rotate(wall_s);
            world.run(30 * SECOND);
            assert_eq!((world.around.endpoint.grants.len(), world.around.endpoint.refusals), (2, 1), "{}", style.name);
            all_serve_the_same(&mut world);
        }
    });
}

/// C6, C7: one session sees a 401, and all go on with the token that one exchange brings.
#[test]
fn a_rejection_that_one_sees_is_taken_over_by_all() {
    both(|kind| {
        let mut world = World::new(eight(kind));
        (0..8).for_each(|seat| world.traffic(seat, 500));
        world.run(10 * MINUTE);
        let rejected = all_serve_the_same(&mut world);
        let wall_s = world.around.wall_ms() / 1000;
        world.around.file.rotate(wall_s);
        world.revoked.insert(rejected.clone());
        world.run(MINUTE);
        assert_ne!(all_serve_the_same(&mut world), rejected);
        assert_eq!(world.around.endpoint.grants.len(), 2);
        assert_eq!(world.around.endpoint.refusals, 0);
    });
}

/// A8: a session that starts later finds the token, and exchanges nothing.
#[test]
fn a_session_that_comes_later_takes_the_token_over() {
    both(|kind| {
        let mut world = World::new(eight(kind));
        world.run(10 * SECOND);
        world.crash(3, false);
        world.run(MINUTE);
        world.open_from(3, json!("fresh"));
        world.run(SECOND);
        all_serve_the_same(&mut world);
        assert_eq!(world.around.endpoint.grants.len(), 1);
        assert_eq!(world.noted("token-adopted"), 8, "seven at the start and one that came later");
    });
}

/// A8: without its store a session sends nothing, and says why; with it everything goes on.
#[test]
fn a_store_that_is_down_stops_exchanges_and_nothing_else() {
    both(|kind| {
        let mut world = World::new(eight(kind));
        world.around.store.down = true;
        (0..8).for_each(|seat| world.traffic(seat, SECOND));
        world.run(MINUTE);
        assert_eq!(world.around.requests.len(), 0);
        assert!(world.record.failed.iter().any(|(_, code)| code == "store-failed"));
        world.around.store.down = false;
        world.run(20 * SECOND);
        let token = all_serve_the_same(&mut world);
        world.around.store.down = true;
        let failed = world.record.failed.len();
        world.run(30 * MINUTE);
        assert_eq!(all_serve_the_same(&mut world), token);
        assert_eq!(world.record.failed.len(), failed);
    });
}

/// B11: a refusal that one meets holds for all: they answer their callers at once, and together try no more often than one would.
#[test]
fn a_backoff_is_shared() {
    both(|kind| {
        let mut world = World::new(eight(kind));
        world.around.endpoint.weather = Some(wif_world::world::Weather::Answer(403, Vec::new()));
        world.run(30 * SECOND);
        (0..8).for_each(|seat| world.traffic(seat, SECOND));
        world.run(4 * MINUTE);
        assert!(world.around.requests.len() <= 2, "{} requests", world.around.requests.len());
        assert!(world.record.failed.iter().all(|(_, code)| code == "forbidden"), "{:?}", world.record.failed.last());
        assert!(world.record.failed.len() > 1_000, "callers are answered at once: {}", world.record.failed.len());
    });
}

/// A8, D1: eight machines whose clocks differ by what the server tolerates still make one exchange for each refresh, and use no
/// token past its end.
#[test]
fn clocks_that_differ_do_not_multiply_exchanges() {
    both(|kind| {
        let mut world = World::new(eight(kind));
        world.skew_ms = vec![0, 20_000, -20_000, 10_000, -10_000, 5_000, -5_000, 28_000];
        (0..8).for_each(|seat| world.traffic(seat, 5 * SECOND));
        world.run(6 * HOUR);
        let grants = world.around.endpoint.grants.len();
        assert!((6..=9).contains(&grants), "{grants} exchanges in six hours");
        assert_eq!(world.around.endpoint.refusals, 0);
        assert_eq!((world.record.expired, world.record.failed.len()), (0, 0), "{:?}", world.record.failed.first());
    });
}

/// C6, B10: a token that one session has seen rejected, with no exchange possible, is not taken for a good one by a session that
/// comes later.
#[test]
fn a_rejected_token_is_not_good_for_those_who_come_later() {
    both(|kind| {
        let mut world = World::new(eight(kind));
        world.run(MINUTE);
        let rejected = all_serve_the_same(&mut world);
        world.tell(0, &json!({ "rejected": rejected }));
        world.run(10 * SECOND);
        world.crash(5, false);
        world.open_from(5, json!("fresh"));
        world.run(10 * SECOND);
        let access = world.output(5)["access"].clone();
        assert!(access["usable"].is_null() || access["usable"]["standing"] == "suspect", "{access}");
        assert_eq!(world.around.requests.len(), 1);
    });
}

/// A6, B11: a refusal that takes its time to come proves nothing about the identity token: it is tried again, by whoever leads.
#[test]
fn a_slow_refusal_is_not_taken_for_spent() {
    both(|kind| {
        let mut settings = eight(kind);
        settings.latency_ms = 3_000;
        let mut world = World::new(settings);
        world.around.endpoint.weather = Some(wif_world::world::Weather::Answer(401, Vec::new()));
        (0..8).for_each(|seat| world.traffic(seat, 200));
        world.run(10 * SECOND);
        assert_eq!(world.around.requests.len(), 1);
        // Somebody else leads from here on, and knows of the refusal from the store only.
        let leader = world.around.requests[0].1;
        world.crash(leader, false);
        world.run(2 * MINUTE);
        assert!((2..=4).contains(&world.around.requests.len()), "{} requests", world.around.requests.len());
        let codes: std::collections::BTreeSet<&str> = world.record.failed.iter().map(|(_, code)| code.as_str()).collect();
        assert!(codes.contains("refused") && !codes.contains("identity-token-spent"), "{codes:?}");
        world.around.endpoint.weather = None;
        world.run(6 * MINUTE);
        assert_eq!(world.around.endpoint.grants.len(), 1);
        world.open(leader);
        world.run(10 * SECOND);
        all_serve_the_same(&mut world);
    });
}
