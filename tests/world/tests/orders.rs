//! Sessions on one store, with its operations in many orders.

use wif_world::Kind;
use wif_world::world::{Dawdling, Settings, World};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// How many orders are tried, the same ones each time. `WIF_ORDERS=20000` tries more, for an hour.
#[allow(clippy::disallowed_methods, reason = "no session sees it")]
fn orders() -> u64 {
    std::env::var("WIF_ORDERS").ok().map_or(300, |orders| orders.parse().expect("WIF_ORDERS is a number"))
}

fn world(seed: u64, sessions: usize) -> World {
    let mut world = World::new(Settings::new(Kind::Native).sharing(sessions));
    world.around.store.dawdles = Some(Dawdling { seed, at_most_ms: 100 });
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
    for seed in 0..orders() {
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
    for seed in 0..orders() {
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
    for seed in 0..orders() {
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
    for seed in 0..orders().div_ceil(10) {
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
    for seed in 0..orders() {
        let mut world = world(seed, 4);
        world.around.endpoint.latency_ms = 16_000;
        (0..4).for_each(|seat| world.traffic(seat, 150 + 7 * seat as u64));
        world.run(30 * SECOND);
        nothing_was_sent_twice(&world, 1, seed);
        assert_eq!(world.noted("lease-taken-over"), 0, "order {seed}");
    }
}

/// A8, C5, C6, C7, H5: eight sessions for an hour of refreshes, with rejections, leaders that die, some that are slow, and sessions that
/// start anew, each at a moment of its own: no identity token is exchanged twice, and everybody is served at the end.
#[test]
fn whatever_happens_makes_one_exchange_for_each_identity_token() {
    for seed in 0..orders().div_ceil(6) {
        let mut chance = Chance(seed);
        let mut world = world(seed, 8);
        world.skew_ms = (0..8).map(|_| chance.up_to(4_000) as i64 - 2_000).collect();
        (0..8).for_each(|seat| world.traffic(seat, 400 + chance.up_to(5_000)));
        let mut lost = 0;
        for _ in 0..6 {
            world.run(chance.up_to(10 * MINUTE));
            world.around.endpoint.latency_ms = 400;
            let seat = chance.up_to(7) as usize;
            match chance.up_to(3) {
                0 => {
                    if let Some(token) = world.token(seat) {
                        world.revoked.insert(token);
                    }
                }
                1 => world.around.endpoint.latency_ms = 16_000,
                2 => {
                    world.crash(seat, true);
                    world.open(seat);
                }
                _ => {
                    // Whoever sends next dies with its request.
                    let (wall_s, sent) = (world.around.wall_ms() / 1000, world.around.requests.len());
                    world.around.file.rotate(wall_s);
                    if let Some(token) = world.token(seat) {
                        world.revoked.insert(token);
                    }
                    for _ in 0..1_000 {
                        world.run(10);
                        if world.around.requests.len() > sent {
                            let leader = world.around.requests[sent].1;
                            world.crash(leader, false);
                            world.run(chance.up_to(20 * SECOND));
                            world.open(leader);
                            lost += 1;
                            break;
                        }
                    }
                }
            }
            let wall_s = world.around.wall_ms() / 1000;
            world.around.file.rotate(wall_s);
        }
        world.around.endpoint.latency_ms = 400;
        // Two rejections stop forced exchanges for ten minutes.
        world.run(25 * MINUTE);
        // An answer that was lost is asked for once more, and refused.
        assert!(world.around.endpoint.refusals <= lost, "order {seed}: {} of {lost}", world.around.endpoint.refusals);
        assert_eq!(world.record.spent_sent_again, 0, "order {seed}");
        for seat in 0..8 {
            let token = world.token(seat);
            assert!(token.is_some_and(|token| !world.revoked.contains(&token)), "order {seed}, session {seat}");
        }
    }
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn up_to(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % (limit + 1)
    }
}
