//! The token endpoint fails, for a moment or for hours.

use wif_world::drivers::STYLES;
use wif_world::world::{Settings, Weather, World};
use wif_world::{Kind, both};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// What a seven-hour outage looks like from outside.
fn outage(kind: Kind, weather: Weather, callers_every_ms: u64) -> World {
    let mut world = World::new(Settings::new(kind));
    world.traffic(0, callers_every_ms);
    world.run(10 * MINUTE);
    world.around.endpoint.weather = Some(weather);
    world.run(7 * HOUR);
    world.around.endpoint.weather = None;
    world
}

/// B15: a request is served as long as the token is usable, the endpoint is asked as often as the backoff says whatever
/// the callers do, and one backoff step after it is back they are served again.
#[test]
fn seven_hours_without_the_endpoint() {
    both(|kind| {
        for weather in [
            Weather::Unreachable,
            Weather::Silent,
            Weather::Answer(503, Vec::new()),
            Weather::Answer(429, vec![("retry-after", "3".into())]),
        ] {
            let mut world = outage(kind, weather.clone(), SECOND);
            let last = world.record.last_served_ms;
            assert!((3_594 * SECOND..=3_596 * SECOND).contains(&last), "{weather:?}: served until {last}");
            assert!(world.record.failed.iter().all(|(at, _)| *at >= 3_595 * SECOND), "{weather:?}: failed too early");
            assert_eq!((world.record.expired, world.record.spent_sent_again), (0, 0), "{weather:?}");
            // An average pause is half of two minutes; the shortest is five seconds.
            let requests = world.requests_since(10 * MINUTE);
            assert!((100..=900).contains(&requests), "{weather:?}: {requests} requests");
            assert!(
                world.least_gap_ms() >= 5 * SECOND || matches!(weather, Weather::Unreachable),
                "{weather:?}: {}",
                world.least_gap_ms()
            );

            let failed = world.record.failed.len();
            world.run(2 * MINUTE + 40 * SECOND);
            assert!(world.token(0).is_some(), "{weather:?}: {:#}", world.status(0));
            world.run(10 * MINUTE);
            assert!(world.record.failed.len() - failed < 165, "{weather:?}: recovered late");
        }
    });
}

/// B15: a thousand times the callers make not one request more.
#[test]
fn the_rate_of_callers_does_not_reach_the_endpoint() {
    both(|kind| {
        let few = outage(kind, Weather::Answer(500, Vec::new()), 60 * SECOND).requests_since(0);
        let many = outage(kind, Weather::Answer(500, Vec::new()), 200).requests_since(0);
        assert!(many.abs_diff(few) <= few / 4, "{few} requests with few callers, {many} with many");
    });
}

/// B15: notes are rare: for each failure at most one, and no more of them for more callers.
#[test]
fn an_outage_is_noted_and_not_shouted() {
    both(|kind| {
        let world = outage(kind, Weather::Answer(503, Vec::new()), SECOND);
        assert!(world.noted("exchange-failed") <= world.around.requests.len());
        assert_eq!(world.noted("token-unusable"), 1);
    });
}

/// A7: the answer to a request that was carried out is lost. One repeat is refused, the rotation is awaited, and nobody is
/// the worse for it where the token still lives.
#[test]
fn a_lost_answer_costs_one_refusal() {
    both(|kind| {
        for style in STYLES {
            for weather in [Weather::AnswerLost, Weather::Garbage] {
                let mut world = World::new(Settings::new(kind).style(style));
                world.traffic(0, SECOND);
                world.around.endpoint.next.push_back(weather.clone());
                world.run(HOUR);
                assert_eq!(world.around.endpoint.refusals, 1, "{} {weather:?}", style.name);
                assert_eq!(world.record.spent_sent_again, 0, "{} {weather:?}", style.name);
                assert!(world.token(0).is_some(), "the rotated identity token was exchanged");
                let codes: Vec<&str> = world.record.failed.iter().map(|(_, code)| code.as_str()).collect();
                assert!(codes.contains(&"identity-token-spent"), "{} {weather:?}", style.name);
            }
        }
    });
}

/// B11, B14: every kind of failure, once each: the session recovers from all of them.
#[test]
fn every_class_of_answer_is_survived() {
    both(|kind| {
        for status in [301, 307, 400, 401, 403, 404, 408, 409, 418, 425, 429, 500, 502, 503, 504, 529] {
            let mut world = World::new(Settings::new(kind));
            world.traffic(0, SECOND);
            world.around.endpoint.next.push_back(Weather::Answer(status, Vec::new()));
            world.run(11 * MINUTE);
            assert!(world.token(0).is_some(), "{status}: {:#}", world.status(0));
            assert_eq!(world.around.endpoint.grants.len(), 1, "{status}");
            assert!(world.least_gap_ms() >= 5 * SECOND, "{status}: {}", world.least_gap_ms());
        }
        for weather in [Weather::Unreachable, Weather::Silent] {
            let mut world = World::new(Settings::new(kind));
            world.around.endpoint.next.push_back(weather.clone());
            world.run(2 * MINUTE);
            assert!(world.token(0).is_some(), "{weather:?}");
        }
    });
}

/// B11: Retry-After is obeyed within its bounds.
#[test]
fn retry_after_is_obeyed_within_bounds() {
    both(|kind| {
        for (asked, at_least_s, at_most_s) in [("1", 5, 6), ("40", 40, 42), ("999999", 600, 602), ("nonsense", 5, 6)] {
            let mut world = World::new(Settings::new(kind));
            world.around.endpoint.next.push_back(Weather::Answer(429, vec![("retry-after", asked.into())]));
            world.run(11 * MINUTE);
            let gap = world.least_gap_ms();
            assert!((at_least_s * SECOND..=at_most_s * SECOND).contains(&gap), "retry-after {asked}: {gap} ms");
        }
    });
}

/// B12, B13: what the endpoint echoes does not show. The canary is the access token's own text.
#[test]
fn no_token_shows_in_status_or_notes() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind));
        world.traffic(0, SECOND);
        world.run(3 * HOUR);
        let status = world.status(0).to_string();
        assert!(!status.contains("canary") && !status.contains("eyJ"), "{status}");
    });
}
