//! Callers: many at once, in the windows, and none at all.

use std::collections::HashSet;

use serde_json::json;
use wif_world::both;
use wif_world::drivers::STYLES;
use wif_world::world::{Settings, Weather, World, federation};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// C1: ten thousand callers without a token cause one exchange, and all are served by its answer.
#[test]
fn ten_thousand_cold_callers_make_one_exchange() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind));
        (0..10_000).for_each(|_| world.call(0));
        assert_eq!(world.record.served, 0);
        world.run(401);
        assert_eq!((world.record.served, world.around.requests.len()), (10_000, 1));
    });
}

/// C2: in the advisory window nobody waits, however slow the endpoint.
#[test]
fn a_refresh_holds_nobody_up() {
    both(|kind| {
        for style in STYLES {
            let mut settings = Settings::new(kind).style(style);
            settings.latency_ms = 20 * SECOND;
            let mut world = World::new(settings);
            world.run(25 * SECOND);
            if style.name == "vanishing" {
                world.call(0);
                world.run(25 * SECOND);
            }
            world.traffic(0, 100);
            world.run(HOUR);
            assert_eq!(
                (world.record.waited_ms.iter().max(), world.record.failed.len()),
                (world.record.waited_ms.first(), 0),
                "{}",
                style.name
            );
            assert_eq!(world.around.endpoint.grants.len(), 2, "{}", style.name);
        }
    });
}

/// C3: in the mandatory window a caller waits for the running exchange, at most as long as configured, and is then served
/// the token that is still good.
#[test]
fn in_the_mandatory_window_callers_wait_for_a_bounded_time() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind));
        world.run(10 * SECOND);
        // The refresh hangs: it begins in the advisory window, and is still out in the mandatory one.
        world.around.endpoint.weather = Some(Weather::Silent);
        world.run(3_570 * SECOND - 10 * SECOND);
        world.traffic(0, 100);
        world.run(20 * SECOND);
        assert!(world.record.served > 150, "{} served", world.record.served);
        let longest = world.record.waited_ms.iter().max().copied().unwrap_or_default();
        assert!((1..=SECOND).contains(&longest), "the longest wait was {longest} ms");
        assert_eq!(world.record.failed.len(), 0);
    });
}

/// C3: `wait_at_most_ms` is the program's own choice.
#[test]
fn the_wait_is_configured() {
    both(|kind| {
        let mut settings = Settings::new(kind);
        settings.configuration["wait_at_most_ms"] = json!(150);
        let mut world = World::new(settings);
        assert_eq!(world.output(0)["wait-at-most-ms"], 150);
        world.run(SECOND);
        assert_eq!(world.output(0)["wait-at-most-ms"], 150);
    });
}

/// C6, C7: a thousand 401s for one token cause one exchange; those that come late, for the token before, cause none.
#[test]
fn a_burst_of_rejections_makes_one_exchange() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind).minting());
        world.run(MINUTE);
        let first = world.token(0).expect("a token");
        for _ in 0..1_000 {
            world.tell(0, &json!({ "rejected": first }));
        }
        world.run(SECOND);
        for _ in 0..1_000 {
            world.tell(0, &json!({ "rejected": first }));
        }
        world.run(MINUTE);
        assert_eq!(world.around.requests.len(), 2);
        assert_ne!(world.token(0), Some(first));
    });
}

/// C9: an API that rejects every token, for a reason that no exchange cures: a few forced exchanges in ten minutes, and its
/// own answer reaches the callers all the time.
#[test]
fn a_permission_problem_does_not_burn_identity_tokens() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind).minting());
        world.traffic(0, SECOND);
        let mut seen = HashSet::new();
        for _ in 0..3_600 {
            seen.extend(world.token(0));
            world.revoked.clone_from(&seen);
            world.run(SECOND);
        }
        let requests = world.around.requests.len();
        assert!((4..=16).contains(&requests), "{requests} exchanges in an hour");
        assert!(world.record.unauthorized > 3_000, "the API's answer reached {} callers", world.record.unauthorized);
        assert_eq!(world.record.failed.len(), 0);
    });
}

/// B10: an endpoint that gives the rejected token again and again: it is never good again, and the backoff counts.
#[test]
fn a_rejected_token_is_never_published_again() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind).minting());
        world.around.endpoint.stuck = true;
        world.traffic(0, SECOND);
        world.run(MINUTE);
        let token = world.token(0);
        world.revoked.extend(token);
        for _ in 0..600 {
            world.run(SECOND);
            let usable = world.output(0)["access"]["usable"].clone();
            assert!(usable.is_null() || usable["standing"] == "suspect" || world.around.now_ms < 62 * SECOND, "{usable}");
        }
        assert!(world.around.requests.len() < 40, "{} requests", world.around.requests.len());
    });
}

/// C10: a caller's world sleeps in a backoff of minutes when the file is rotated: the sleeper is woken.
#[test]
fn rotation_wakes_a_sleeper() {
    both(|kind| {
        for style in STYLES {
            let mut world = World::new(Settings::new(kind).style(style));
            world.around.endpoint.next.push_back(Weather::Answer(403, Vec::new()));
            world.traffic(0, SECOND);
            world.run(MINUTE);
            assert_eq!(world.around.requests.len(), 1, "{}", style.name);
            let wall_s = world.around.wall_ms() / 1000;
            world.around.file.rotate(wall_s);
            world.run(10 * SECOND);
            assert!(world.token(0).is_some(), "{}: not woken within ten seconds", style.name);
        }
    });
}

/// C10: so does a hint from a host that watches the file.
#[test]
fn a_hint_wakes_a_sleeper_at_once() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind));
        world.around.endpoint.next.push_back(Weather::Answer(403, Vec::new()));
        world.run(20 * SECOND + 1);
        let wall_s = world.around.wall_ms() / 1000;
        world.around.file.rotate(wall_s);
        world.tell(0, &json!("changed"));
        world.run(SECOND);
        assert!(world.token(0).is_some());
    });
}

/// C10: a restart finds a rotated identity token, and may not exchange it for some seconds yet: callers wait for it, and are
/// not told of the one before.
#[test]
fn after_a_restart_callers_wait_for_the_exchange_of_a_rotated_token() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind));
        world.around.endpoint.next.push_back(Weather::Answer(403, Vec::new()));
        world.run(SECOND);
        assert!(world.output(0)["access"].get("failed").is_some());
        let wall_s = world.around.wall_ms() / 1000;
        world.around.file.rotate(wall_s);
        world.crash(0, false);
        world.open(0);
        world.run(100);
        world.call(0);
        world.run(6 * SECOND);
        assert_eq!((world.record.served, world.record.failed.len()), (1, 0), "{:?}", world.record.failed);
    });
}

/// B11: an endpoint that asks for ten minutes is not asked before them, whatever rotates; and callers are told at once.
#[test]
fn a_rotation_does_not_shorten_what_the_endpoint_asked_for() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind));
        let pause = vec![("retry-after", "600".to_owned())];
        world.around.endpoint.next.push_back(Weather::Answer(429, pause));
        world.run(SECOND);
        let wall_s = world.around.wall_ms() / 1000;
        world.around.file.rotate(wall_s);
        world.run(MINUTE);
        world.call(0);
        assert_eq!(world.record.failed.last().map(|(_, code)| code.as_str()), Some("rate-limited"));
        assert_eq!(world.status(0)["state"], "failed");
        assert_eq!(world.around.requests.len(), 1);
        world.run(10 * MINUTE);
        assert!(world.token(0).is_some());
    });
}

/// C11: a reload with another identity: what the old session's request brings is not published by the new one.
#[test]
fn a_reload_drops_the_old_identity_s_token() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind).minting());
        world.run(MINUTE);
        let old = world.token(0).expect("a token");
        world.crash(0, false);
        let mut other = federation(json!({"source": "callable", "name": "mint", "freshness": "minted"}));
        other["federation"]["federation_rule_id"] = json!("fdrl_other");
        world.configure(other);
        world.open(0);
        assert_eq!(world.token(0), None);
        world.run(10 * SECOND);
        assert_ne!(world.token(0).expect("another token"), old);
    });
}

/// C14: what comes after closing changes nothing, and nothing is started.
#[test]
fn a_closing_session_starts_nothing() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind));
        world.run(100);
        world.tell(0, &json!("closing"));
        world.traffic(0, SECOND);
        world.run(HOUR);
        assert_eq!(world.around.requests.len(), 1);
        assert_eq!(world.token(0), None);
        assert!(world.output(0).get("journal").is_none());
    });
}

/// C15: a forced or early exchange brings a token that dies before the one that is held: the better one stays.
#[test]
fn the_token_that_lives_longer_stays() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind).minting());
        world.run(3_470 * SECOND);
        let held = world.token(0).expect("a token");
        world.around.endpoint.exact_lifetime_s = Some(1);
        world.run(60 * SECOND);
        assert_eq!(world.token(0), Some(held));
        assert_eq!(world.record.expired, 0);
    });
}

/// C13: an adversary who makes the source show ever new identity tokens does not make the state grow without bound.
#[test]
fn the_journal_is_bounded() {
    both(|kind| {
        let mut settings = Settings::new(kind);
        settings.lifetime_s = 60;
        let mut world = World::new(settings);
        world.around.endpoint.exact_lifetime_s = Some(60);
        world.traffic(0, SECOND);
        let mut longest = 0;
        for _ in 0..500 {
            let wall_s = world.around.wall_ms() / 1000;
            world.around.file.rotate(wall_s);
            world.run(30 * SECOND);
            longest = longest.max(world.output(0)["journal"].as_str().map_or(0, str::len));
        }
        assert!(world.around.endpoint.grants.len() > 200);
        assert!(longest < 8 * 1024, "the journal grew to {longest} bytes");
    });
}
