//! Sessions on one store, with its operations in many orders.

use wif_world::Kind;
use wif_world::world::{Dawdling, Settings, World};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// How many orders are tried. Natively a world takes some milliseconds.
const ORDERS: u64 = 600;

fn world(seed: u64, sessions: usize) -> World {
    let mut world = World::new(Settings::new(Kind::Native).sharing(sessions));
    world.around.store.dawdles = Some(Dawdling { seed, at_most_ms: 50 });
    world
}

fn nothing_was_sent_twice(world: &World, grants: usize, seed: u64) {
    let endpoint = &world.around.endpoint;
    assert_eq!((endpoint.grants.len(), endpoint.refusals), (grants, 0), "order {seed}");
    assert_eq!(world.record.spent_sent_again, 0, "order {seed}");
}

/// A8, C1: of eight sessions that start at once, one exchanges, in whatever order the store answers.
#[test]
fn a_cold_start_makes_one_exchange_in_every_order() {
    for seed in 0..ORDERS {
        let mut world = world(seed, 8);
        (0..8).for_each(|seat| world.traffic(seat, 150 + 7 * seat as u64));
        world.run(20 * SECOND);
        nothing_was_sent_twice(&world, 1, seed);
        assert_eq!(world.record.failed.len(), 0, "order {seed}");
    }
}

/// C6, C7: one sees a 401: one exchange follows, of the rotated identity token, in whatever order the store answers.
#[test]
fn a_rejection_makes_one_exchange_in_every_order() {
    for seed in 0..ORDERS {
        let mut world = world(seed, 8);
        (0..8).for_each(|seat| world.traffic(seat, 150 + 7 * seat as u64));
        world.run(10 * SECOND);
        let rejected = world.token(0).expect("a token");
        let wall_s = world.around.wall_ms() / 1000;
        world.around.file.rotate(wall_s);
        world.revoked.insert(rejected.clone());
        world.run(MINUTE);
        nothing_was_sent_twice(&world, 2, seed);
        for seat in 0..8 {
            assert_ne!(world.token(seat), Some(rejected.clone()), "order {seed}, session {seat}");
        }
    }
}

/// C4, C5: the leader dies with its request unsent: another one exchanges, in whatever order the store answers.
#[test]
fn a_dead_leader_is_replaced_by_one_in_every_order() {
    for seed in 0..ORDERS {
        let mut world = world(seed, 4);
        world.around.endpoint.latency_ms = 2_000;
        (0..4).for_each(|seat| world.traffic(seat, 150 + 7 * seat as u64));
        while world.around.requests.is_empty() {
            world.run(10);
        }
        let leader = world.around.requests[0].1;
        world.crash(leader, true);
        world.run(30 * SECOND);
        nothing_was_sent_twice(&world, 1, seed);
    }
}

/// Two hours of refreshes, each by one exchange, with the sessions' clocks up to twenty seconds apart.
#[test]
fn refreshes_make_one_exchange_each_in_every_order() {
    for seed in 0..ORDERS / 10 {
        let mut world = world(seed, 3);
        world.skew_ms = vec![0, 20_000, -20_000];
        (0..3).for_each(|seat| world.traffic(seat, 5 * SECOND));
        world.run(120 * MINUTE);
        assert_eq!((world.around.endpoint.refusals, world.record.spent_sent_again), (0, 0), "order {seed}");
        assert_eq!((world.record.expired, world.record.failed.len()), (0, 0), "order {seed}: {:?}", world.record.failed);
        let grants = world.around.endpoint.grants.len();
        assert!((2..=4).contains(&grants), "order {seed}: {grants} exchanges");
    }
}

/// C5: a leader whose request takes long shows that it lives, and nobody takes its place, in whatever order the store answers.
#[test]
fn a_slow_leader_keeps_its_lease_in_every_order() {
    for seed in 0..ORDERS {
        let mut world = world(seed, 4);
        world.around.endpoint.latency_ms = 16_000;
        (0..4).for_each(|seat| world.traffic(seat, 150 + 7 * seat as u64));
        world.run(30 * SECOND);
        nothing_was_sent_twice(&world, 1, seed);
        assert_eq!(world.noted("lease-taken-over"), 0, "order {seed}");
    }
}
