//! Clocks that jump, stop, go back, or are not there; timers that are late.

use serde_json::json;
use wif_world::drivers::STYLES;
use wif_world::world::{START_MS, Settings, World};
use wif_world::{Opening, both};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// D1: the wall clock jumps by an hour, and back, again and again: with a steady clock no caller notices.
#[test]
fn a_jumping_wall_clock_beside_a_steady_one() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind));
        world.traffic(0, SECOND);
        world.run(10 * SECOND);
        for round in 0..50 {
            world.around.wall_at_start_ms += if round % 2 == 0 { 3_600_000 } else { -3_600_000 };
            world.run(MINUTE);
        }
        assert_eq!((world.record.expired, world.record.failed.len()), (0, 0), "{:?}", world.record.failed.first());
        assert_eq!(world.around.endpoint.grants.len(), 1);
    });
}

/// D1: without a steady clock a jump ahead may cost an exchange, and a jump back never serves a token past its end by more
/// than the jump.
#[test]
fn a_jumping_wall_clock_alone() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind).minting().style(STYLES[1]));
        world.traffic(0, SECOND);
        world.run(10 * MINUTE);
        world.around.wall_at_start_ms += 2 * HOUR.cast_signed();
        world.run(10 * MINUTE);
        assert_eq!((world.record.expired, world.record.failed.len()), (0, 0));
        assert_eq!(world.around.endpoint.grants.len(), 2);
        world.around.wall_at_start_ms -= 30 * SECOND.cast_signed();
        world.run(2 * HOUR);
        assert_eq!(world.record.failed.len(), 0);
        assert!(world.record.expired <= 30, "{} served past the end", world.record.expired);
    });
}

/// D2, D8: nothing ran for two hours: the first caller afterwards is not served the old token.
#[test]
fn after_a_long_sleep_the_first_caller_waits_for_a_new_token() {
    both(|kind| {
        for style in STYLES {
            let mut world = World::new(Settings::new(kind).style(style));
            world.run(MINUTE);
            if style.name == "vanishing" {
                world.call(0);
                world.run(MINUTE);
            }
            let old = world.token(0);
            assert!(old.is_some(), "{}", style.name);
            world.around.now_ms += 2 * HOUR;
            world.call(0);
            world.run(5 * SECOND);
            assert_eq!((world.record.expired, world.record.failed.len()), (0, 0), "{}", style.name);
            assert_ne!(world.token(0), old, "{}", style.name);
        }
    });
}

/// D3, D4: extreme readings of both clocks, in any order, and nothing overflows.
#[test]
fn extreme_readings_do_not_overflow() {
    both(|kind| {
        let opening = Opening {
            configuration: wif_world::world::federation(json!({"source": "callable", "name": "m", "freshness": "minted"}))
                .to_string(),
            seed: u64::MAX,
            can: vec!["supply-assertion".into()],
            from: json!("fresh"),
        };
        let readings = [0, 1, START_MS, u64::from(u32::MAX), i64::MAX as u64, u64::MAX - 1, u64::MAX];
        for steady in [true, false] {
            let mut machine = kind.open(&opening).expect("valid");
            let mut number = 0;
            for first in readings {
                for second in readings {
                    let clock = if steady { json!({"wall-ms": first, "steady-ms": second}) } else { json!({"wall-ms": first}) };
                    for event in [json!("woken"), json!("needed"), json!("changed")] {
                        let output = machine.step(&clock, &event);
                        number = output["tasks"][0]["number"].as_u64().unwrap_or(number);
                        machine.status(&clock);
                    }
                    let body = r#"{"access_token":"sk-ant-oat01-canary","expires_in":1e308}"#;
                    let outcome = json!({"response": {"status": 200, "headers": [], "body": body}});
                    machine.step(&clock, &json!({"finished": {"number": number, "outcome": outcome}}));
                }
            }
        }
    });
}

/// D5, D6: a leap second, and the years 2038 and 2106.
#[test]
fn any_date_is_a_date() {
    both(|kind| {
        for at_s in [2_147_483_640_u64, 4_294_967_290] {
            for style in STYLES {
                let mut world = World::new(Settings::new(kind).minting().style(style));
                world.around.wall_at_start_ms = (at_s * SECOND).cast_signed();
                world.crash(0, true);
                world.open_from(0, json!("fresh"));
                world.traffic(0, SECOND);
                world.run(30 * SECOND);
                world.around.wall_at_start_ms -= SECOND.cast_signed();
                world.run(HOUR);
                assert_eq!((world.record.expired, world.record.failed.len()), (0, 0), "{at_s} {}", style.name);
                assert_eq!(world.around.endpoint.grants.len(), 2, "{at_s} {}", style.name);
            }
        }
    });
}

/// D7: the answer takes twenty seconds: the token's life counts from sending.
#[test]
fn expiry_counts_from_sending() {
    both(|kind| {
        let mut settings = Settings::new(kind).minting();
        settings.latency_ms = 20 * SECOND;
        let mut world = World::new(settings);
        world.around.endpoint.exact_lifetime_s = Some(60);
        world.run(20 * SECOND + 1);
        let unusable = world.output(0)["access"]["usable"]["unusable-in-ms"].as_u64().expect("a token");
        assert!((34_000..=35_000).contains(&unusable), "{unusable}");
    });
}

/// D8, D9: three drivers - timers, ticks, callers' time - serve the same from the same world.
#[test]
fn every_driver_serves_alike() {
    both(|kind| {
        let served = STYLES.map(|style| {
            let mut world = World::new(Settings::new(kind).minting().style(style));
            world.traffic(0, SECOND);
            world.run(6 * HOUR);
            assert_eq!((world.record.failed.len(), world.record.expired), (0, 0), "{}", style.name);
            (world.record.served, world.around.endpoint.grants.len())
        });
        assert!(served.iter().all(|(count, _)| *count == served[0].0), "{served:?}");
        assert!(served.iter().all(|(_, grants)| (6..=7).contains(grants)), "{served:?}");
    });
}

/// C4, D9: owners vanish with what they were doing, all day long: callers are served all the same.
#[test]
fn owners_that_vanish_are_survived() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind).minting().style(STYLES[2]));
        world.traffic(0, 700);
        for _ in 0..(6 * 60) {
            world.run(59_900);
            // In the middle of whatever runs.
            world.vanish(0);
            world.run(100);
        }
        assert_eq!(world.record.expired, 0);
        assert!(world.record.failed.is_empty(), "{:?}", world.record.failed.first());
        assert!(world.around.endpoint.grants.len() < 30, "{}", world.around.endpoint.grants.len());
    });
}
