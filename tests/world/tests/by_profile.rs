//! Sessions that found the same profile, in hosts without a store: they share by its credentials file, where somebody has made one, and the
//! vendor's clients find their access token there.

use serde_json::{Value, json};
use wif_world::shared_store::{FIRST, SECOND as SECOND_TOKEN, Sharer, entry, grant, identity_token, identity_token_of};
use wif_world::world::{CREDENTIALS, Dawdling, START_MS, Settings, World, profile};
use wif_world::{Kind, both, jwt};

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

fn parsed(text: &Value) -> Value {
    serde_json::from_str(text.as_str().expect("a text")).expect("a document")
}

/// What sessions share in a file.
fn shared(file: &Value) -> Value {
    parsed(&file["wif_shared"])
}

/// A session that has looked into this file, and what it asks next.
fn beside(kind: Kind, file: &str) -> Sharer {
    let mut session = Sharer::by_profile(kind, 1, &profile("/token"));
    assert_eq!(session.answer("load-entry", &entry("v1", &json!(file))), json!(CREDENTIALS));
    session
}

/// The file after a session has exchanged.
fn with_first(kind: Kind) -> String {
    let mut session = beside(kind, "{}");
    let file = session.exchange("one", FIRST, 3_600, "v2");
    file.as_str().expect("a text").to_owned()
}

/// A8: eight processes, one profile, one identity token.
#[test]
fn eight_sessions_make_one_exchange_for_each_refresh() {
    both(|kind| {
        let mut world = World::new(Settings::new(kind).sharing_by_profile(8));
        (0..8).for_each(|seat| world.traffic(seat, 20 * SECOND));
        world.run(6 * HOUR);
        let grants = world.around.endpoint.grants.len();
        assert!((5..=8).contains(&grants), "{grants} exchanges in six hours");
        assert_eq!((world.around.endpoint.refusals, world.record.spent_sent_again), (0, 0));
        assert_eq!((world.record.failed.len(), world.record.expired), (0, 0), "{:?}", world.record.failed);
        let served = world.token(0);
        assert!((1..8).all(|seat| world.token(seat) == served));
        let file = parsed(&json!(world.around.store.get(CREDENTIALS)));
        assert_eq!(file["access_token"].as_str().map(jwt::id_of), served);
    });
}

/// A8, C1: whatever the order in which the file is read and replaced.
#[test]
fn a_cold_start_makes_one_exchange_in_every_order() {
    for seed in 0..100 {
        let mut world = World::new(Settings::new(Kind::Native).sharing_by_profile(8));
        world.around.store.dawdles = Some(Dawdling { seed, at_most_ms: 100 });
        (0..8).for_each(|seat| world.traffic(seat, 150 + 7 * seat as u64));
        world.run(20 * SECOND);
        assert_eq!((world.around.endpoint.grants.len(), world.around.endpoint.refusals), (1, 0), "order {seed}");
        assert_eq!(world.record.failed.len(), 0, "order {seed}");
    }
}

/// The vendor's clients read what a session has got, and what they wrote beside it stays.
#[test]
fn the_file_holds_the_access_token_as_the_vendors_clients_write_it() {
    both(|kind| {
        let mut session =
            beside(kind, r#"{"version":"1.0","type":"oauth_token","access_token":"old","expires_at":5,"scope":"s"}"#);
        let lease = parsed(&session.answer("swap-entry", &json!({"swapped": "v2"}))["value"]);
        assert_eq!((&lease["access_token"], &lease["expires_at"]), (&json!("old"), &json!(5)), "theirs until there is another");
        assert!(shared(&lease)["lease"].is_object(), "{lease}");
        session.answer("send-request", &grant(FIRST, 3_600));
        let swap = session.answer("swap-entry", &json!({"swapped": "v3"}));
        assert_eq!((&swap["key"], &swap["expected"]), (&json!(CREDENTIALS), &json!("v2")));
        let file = parsed(&swap["value"]);
        let members: Vec<&String> = file.as_object().expect("members").keys().collect();
        assert_eq!(members, ["access_token", "expires_at", "scope", "type", "version", "wif_shared"]);
        assert_eq!(
            (&file["access_token"], &file["type"], &file["version"]),
            (&json!(FIRST), &json!("oauth_token"), &json!("1.0"))
        );
        assert_eq!(file["expires_at"], json!(START_MS / 1_000 + 3_600));
        assert!(shared(&file)["lease"].is_null(), "{file}");
    });
}

/// A session that starts anew serves what an earlier one left, and exchanges nothing.
#[test]
fn a_later_session_serves_the_token_of_the_file() {
    both(|kind| {
        let mut session = beside(kind, &with_first(kind));
        assert_eq!(session.served(), (Some(jwt::id_of(FIRST)), Some("good".into())), "{:#}", session.output);
        assert!(session.open.is_empty(), "{:?}", session.open);
        // It has no more life here than it had there.
        session.at(HOUR, &json!("needed"));
        assert_eq!(session.served(), (None, None));
    });
}

/// The vendor's clients serve it all the same. Nobody knows which rule and workspace it was issued for.
#[test]
fn a_token_that_does_not_say_whose_it_is_is_not_served() {
    both(|kind| {
        let of_others = json!({"access_token": FIRST, "expires_at": START_MS / 1_000 + 3_600}).to_string();
        let session = beside(kind, &of_others);
        assert_eq!(session.served(), (None, None));
        assert!(session.asks("swap-entry"), "{:#}", session.output);
        // The profile was another one when this was written.
        let mut other = Sharer::by_profile(kind, 2, &profile("/token").replace("fdrl_abc123", "fdrl_other"));
        other.answer("load-entry", &entry("v1", &json!(with_first(kind))));
        assert_eq!(other.served(), (None, None));
        // It exchanged this very identity token, which is spent whoever asks.
        assert_eq!(other.output["access"]["failed"]["code"], "identity-token-spent", "{:#}", other.output);
    });
}

/// The place of the identity token shows somebody else's: the session goes on in the same file, and its entry is another one.
#[test]
fn another_subject_shares_by_the_same_file() {
    both(|kind| {
        let mut session = beside(kind, "{}");
        let file = session.exchange("one", FIRST, 3_600, "v2");
        session.at(3_560 * SECOND, &json!("needed"));
        session.answer("load-entry", &entry("v2", &file));
        session.answer("read-file", &identity_token_of("another", "two", session.now_ms));
        assert_eq!(session.answer("load-entry", &entry("v2", &file)), json!(CREDENTIALS));
        assert_eq!(session.served().0, None, "the first subject's token is dropped: {:#}", session.output);
        let lease = parsed(&session.answer("swap-entry", &json!({"swapped": "v3"}))["value"]);
        assert_ne!(shared(&lease)["identity"], shared(&parsed(&file))["identity"]);
        assert!(session.asks("send-request"), "{:#}", session.output);
    });
}

/// Nothing is put on a disk where nobody has asked for it.
#[test]
fn a_file_that_is_not_there_is_not_made() {
    both(|kind| {
        for answer in
            [json!("absent"), json!("unsupported"), json!({"denied": "no"}), json!({"failed": "it is a link"}), json!("lost")]
        {
            let mut session = Sharer::by_profile(kind, 1, &profile("/token"));
            session.answer("load-entry", &answer);
            let told =
                session.output["notes"].as_array().into_iter().flatten().filter(|note| note["code"] == "state-ignored").count();
            assert_eq!(told, usize::from(answer.get("failed").is_some() || answer == "lost"), "{answer}: {:#}", session.output);
            session.answer("send-request", &grant(FIRST, 3_600));
            assert_eq!(session.served().0, Some(jwt::id_of(FIRST)), "{answer}");
            session.at(700 * SECOND, &json!({"rejected": jwt::id_of(FIRST)}));
            assert!(!session.asks("swap-entry"), "{answer}: {:?}", session.open);
            // Somebody may have made it meanwhile. What this host does not do it is asked once.
            let refused = answer == "unsupported" || answer.get("denied").is_some();
            assert_eq!(session.asks("load-entry"), !refused, "{answer}");
        }
    });
}

/// What the file cannot do stops no exchange, and is said once.
#[test]
fn a_file_that_takes_nothing_stops_nothing() {
    both(|kind| {
        for answer in
            [json!({"failed": "a read-only file system"}), json!({"denied": "the policy allows no request"}), json!("lost")]
        {
            let mut session = beside(kind, "{}");
            session.answer("swap-entry", &answer);
            session.answer("send-request", &grant(FIRST, 3_600));
            assert_eq!(session.served().0, Some(jwt::id_of(FIRST)), "{answer}");
            // Others may wait for it: it is tried some times more.
            let tries = if answer.get("denied").is_some() { 0 } else { 3 };
            for nth in 0..tries {
                session.answer("swap-entry", &answer);
                assert!(!session.output["notes"].to_string().contains("not used"), "it was said: {:#}", session.output);
                session.at((nth + 1) * 5 * SECOND, &json!("woken"));
            }
            session.at(60 * SECOND, &json!("woken"));
            assert!(session.open.is_empty(), "{answer}: {:?}", session.open);
        }
        let mut session = beside(kind, "{}");
        session.answer("swap-entry", &json!({"swapped": "v2"}));
        session.answer("send-request", &grant(FIRST, 3_600));
        session.answer("swap-entry", &json!({"failed": "the disk is full"}));
        let notes = session.output["notes"].to_string();
        assert!(notes.contains("The profile's credentials file is not used: the disk is full."), "{notes}");
        assert_eq!(session.served().0, Some(jwt::id_of(FIRST)));
        session.at(5 * SECOND, &json!("woken"));
        let swap = session.answer("swap-entry", &json!({"swapped": "v3"}));
        assert_eq!(parsed(&swap["value"])["access_token"], FIRST, "the disk has room again");
        session.at(60 * SECOND, &json!("woken"));
        assert!(session.open.is_empty(), "{:?}", session.open);
    });
}

/// C4, C5: a sign of life that is not taken while the request is out is no end of it, and the next exchange finds no lease of another.
#[test]
fn a_sign_of_life_that_is_not_taken_loses_no_result() {
    both(|kind| {
        let mut session = beside(kind, "{}");
        let leased = session.answer("swap-entry", &json!({"swapped": "v2"}))["value"].clone();
        for now_ms in (1_400..7_000).step_by(1_400) {
            session.at(now_ms, &json!("woken"));
            session.answer("swap-entry", &json!({"failed": "the disk is full"}));
        }
        session.answer("send-request", &wif_world::shared_store::refused(503));
        session.answer("swap-entry", &json!({"failed": "the disk is full"}));
        // The file still has the lease, which is this session's own.
        session.at(60 * SECOND, &json!("needed"));
        while session.asks("swap-entry") {
            session.answer("swap-entry", &json!({"failed": "the disk is full"}));
            session.at(session.now_ms + 5 * SECOND, &json!("woken"));
        }
        session.answer("load-entry", &entry("v2", &leased));
        assert_ne!(session.output["access"]["pending"], "waiting-for-lease", "{:#}", session.output);
        let notes = session.output["notes"].to_string();
        assert!(!notes.contains("lease-taken-over"), "{notes}");
    });
}

/// Another client has put a newer token there: it stays, until this session has a new one.
#[test]
fn the_token_of_another_client_is_replaced_by_a_new_one_alone() {
    both(|kind| {
        let mut file = parsed(&json!(with_first(kind)));
        file["access_token"] = json!("sk-ant-oat01-of-others");
        let mut session = beside(kind, &file.to_string());
        assert_eq!(session.served().0, Some(jwt::id_of(FIRST)), "it is still its own: {:#}", session.output);
        session.at(3_560 * SECOND, &json!("needed"));
        session.answer("load-entry", &entry("v1", &json!(file.to_string())));
        session.answer("read-file", &identity_token("two", session.now_ms));
        let lease = parsed(&session.answer("swap-entry", &json!({"swapped": "v2"}))["value"]);
        assert_eq!(lease["access_token"], "sk-ant-oat01-of-others");
        session.answer("send-request", &grant(SECOND_TOKEN, 3_600));
        let result = parsed(&session.answer("swap-entry", &json!({"swapped": "v3"}))["value"]);
        assert_eq!(result["access_token"], SECOND_TOKEN);
    });
}

/// What the endpoint gave ends before the token that this session has: that is no news for other clients.
#[test]
fn a_token_of_no_use_is_not_told_to_other_clients() {
    both(|kind| {
        let mut file = parsed(&json!(with_first(kind)));
        file["access_token"] = json!("sk-ant-oat01-of-others");
        let mut session = beside(kind, &file.to_string());
        session.at(3_560 * SECOND, &json!("needed"));
        session.answer("load-entry", &entry("v1", &json!(file.to_string())));
        session.answer("read-file", &identity_token("two", session.now_ms));
        session.answer("swap-entry", &json!({"swapped": "v2"}));
        session.answer("send-request", &grant(SECOND_TOKEN, 5));
        assert_eq!(session.served().0, Some(jwt::id_of(FIRST)), "{:#}", session.output);
        let result = parsed(&session.answer("swap-entry", &json!({"swapped": "v3"}))["value"]);
        assert_eq!(result["access_token"], "sk-ant-oat01-of-others");
    });
}

/// Somebody writes the file without end: no exchange waits for that.
#[test]
fn a_file_that_changes_all_the_time_stops_no_exchange() {
    both(|kind| {
        let mut session = beside(kind, "{}");
        for nth in 0..20 {
            if session.asks("send-request") {
                break;
            }
            if session.asks("read-file") {
                session.answer("read-file", &identity_token("one", 0));
            }
            session.answer("swap-entry", &json!({"conflict": entry(&format!("w{nth}"), &json!("{}"))["entry"]}));
        }
        assert!(session.asks("send-request"), "{:#}", session.output);
        let notes = session.output["notes"].to_string();
        assert!(notes.contains("it keeps changing"), "{notes}");
    });
}

/// A host that has a store of its own has no use for the file.
#[test]
fn a_store_goes_before_the_file() {
    both(|kind| {
        let mut session = Sharer::by_profile_that_can(kind, 1, &["read-file", "store"], &profile("/token"));
        let key = session.answer("load-entry", &json!("absent"));
        assert!(key.as_str().is_some_and(|key| key.bytes().all(|byte| byte.is_ascii_hexdigit())), "{key}");
        assert_eq!(session.answer("swap-entry", &json!({"swapped": "v1"}))["key"], key);
    });
}

/// The profile names another file, with white space around it; or its tokens are for another place than its own, and no other client's.
#[test]
fn which_file_it_is_the_profile_says() {
    both(|kind| {
        let with = |path: &str| {
            let mut profile = parsed(&json!(profile("/token")));
            profile["authentication"]["credentials_path"] = json!(path);
            profile.to_string()
        };
        for (path, expected) in [(" /elsewhere/me.json ", "file:/elsewhere/me.json"), (" ", CREDENTIALS), ("", CREDENTIALS)] {
            let mut session = Sharer::by_profile(kind, 1, &with(path));
            assert_eq!(session.answer("load-entry", &json!("absent")), json!(expected), "{path}");
        }
        let moved = json!({"discover": {"config_dir": "/c", "profile": "p"}, "base_url": "https://gateway.example"});
        let mut session = Sharer::discovering(kind, 1, &["read-file"], &moved, &profile("/token"));
        assert!(session.asks("send-request") && !session.asks("load-entry"), "{:?}", session.open);
        session.answer("send-request", &grant(FIRST, 3_600));
        assert!(session.open.is_empty(), "{:?}", session.open);
    });
}

/// A8: the file could not be read, and the session exchanged by itself: it tells the others as soon as it can.
#[test]
fn what_a_session_got_by_itself_is_told_when_the_file_can_be_read_again() {
    both(|kind| {
        let mut session = Sharer::by_profile(kind, 1, &profile("/token"));
        session.answer("load-entry", &json!({"failed": "an I/O error"}));
        session.answer("send-request", &grant(FIRST, 3_600));
        session.at(1, &json!("woken"));
        session.answer("load-entry", &entry("v1", &json!("{}")));
        let swap = session.answer("swap-entry", &json!({"swapped": "v2"}));
        assert_eq!((&swap["expected"], &parsed(&swap["value"])["access_token"]), (&json!("v1"), &json!(FIRST)));
        session.at(10 * SECOND, &json!("woken"));
        assert!(session.open.is_empty(), "{:?}", session.open);
        // Or it cannot: that was said, and is let go until the next exchange.
        let mut session = Sharer::by_profile(kind, 1, &profile("/token"));
        session.answer("load-entry", &json!({"failed": "an I/O error"}));
        session.answer("send-request", &grant(FIRST, 3_600));
        session.at(1, &json!("woken"));
        session.answer("load-entry", &json!({"failed": "an I/O error"}));
        session.at(10 * SECOND, &json!("woken"));
        assert!(session.open.is_empty(), "{:?}", session.open);
    });
}

/// Another session has the lease, and the file is of no use any more: whoever waited for it goes on by itself.
#[test]
fn nobody_waits_for_a_file_that_is_of_no_use() {
    both(|kind| {
        let lease = beside(kind, "{}").answer("swap-entry", &json!({"swapped": "v2"}))["value"].clone();
        for answer in [json!({"denied": "no"}), json!("absent"), entry("v3", &json!("[]"))] {
            let mut session = Sharer::by_profile(kind, 2, &profile("/token"));
            session.answer("load-entry", &entry("v2", &lease));
            assert_eq!(session.output["access"]["pending"], "waiting-for-lease", "{:#}", session.output);
            session.at(600, &json!("woken"));
            session.answer("load-entry", &answer);
            session.answer("read-file", &identity_token("one", 0));
            assert!(session.asks("send-request"), "{answer}: {:#}", session.output);
        }
        // What fails once may show the other's token the next time, until the lease is over.
        let mut session = Sharer::by_profile(kind, 2, &profile("/token"));
        session.answer("load-entry", &entry("v2", &lease));
        for (now_ms, pending) in [(600, "waiting-for-lease"), (4_700, "reading-identity-token")] {
            session.at(now_ms, &json!("woken"));
            session.answer("load-entry", &json!({"failed": "an I/O error"}));
            assert_eq!(session.output["access"]["pending"], pending, "{:#}", session.output);
        }
        // It has seen a rejection meanwhile, and the file does not take that.
        let mut session = Sharer::by_profile(kind, 2, &profile("/token"));
        session.answer("load-entry", &entry("v1", &json!(with_first(kind))));
        session.at(700 * SECOND, &json!({"rejected": jwt::id_of(FIRST)}));
        session.answer("load-entry", &entry("v2", &lease));
        assert_eq!(session.output["access"]["usable"]["standing"], "suspect", "{:#}", session.output);
        session.answer("swap-entry", &json!({"denied": "the policy allows no request"}));
        let notes = session.output["notes"].to_string();
        assert!(notes.contains("not used: the policy allows no request"), "{notes}");
        session.at(700 * SECOND + 1, &json!("woken"));
        assert!(session.asks("read-file"), "{:#}", session.output);
    });
}

#[test]
fn a_file_that_is_no_document_is_left_as_it_is() {
    both(|kind| {
        let mut session = beside(kind, "canary-not-json");
        let notes = session.output["notes"].to_string();
        assert!(notes.contains("not used: it is not a JSON object.") && !notes.contains("canary"), "{notes}");
        session.answer("send-request", &grant(FIRST, 3_600));
        assert!(session.open.is_empty(), "{:?}", session.open);
    });
}

/// Somebody removes the file while a session is about to replace it: it is not made again.
#[test]
fn a_file_that_is_removed_stays_away() {
    both(|kind| {
        let mut session = beside(kind, "{}");
        session.answer("swap-entry", &json!({"conflict": null}));
        assert!(session.asks("read-file"), "{:#}", session.output);
        session.answer("read-file", &identity_token("one", 0));
        session.answer("send-request", &grant(SECOND_TOKEN, 3_600));
        assert_eq!(session.served().0, Some(jwt::id_of(SECOND_TOKEN)));
        assert!(session.open.is_empty(), "{:?}", session.open);
    });
}

/// C6: one session saw a 401, and the file still shows the token to another one.
#[test]
fn a_rejected_token_of_the_file_is_not_served_as_good() {
    both(|kind| {
        let file = with_first(kind);
        let mut session = beside(kind, &file);
        session.at(700 * SECOND, &json!({"rejected": jwt::id_of(FIRST)}));
        session.answer("load-entry", &entry("v1", &json!(file)));
        assert_eq!(session.served().1.as_deref(), Some("suspect"), "{:#}", session.output);
        let swap = session.answer("swap-entry", &json!({"swapped": "v9"}));
        let other = beside(kind, swap["value"].as_str().expect("a text"));
        assert_ne!(other.served().1.as_deref(), Some("good"), "{:#}", other.output);
    });
}

/// C5: the file did not answer when the lease was to be written, so the request went out without one. What is written while it is out tells
/// others of it all the same.
#[test]
fn a_request_without_a_lease_is_told_by_whatever_is_written_next() {
    both(|kind| {
        let file = with_first(kind);
        let mut session = beside(kind, &file);
        session.at(3_520 * SECOND, &json!("needed"));
        session.answer("load-entry", &entry("v1", &json!(file)));
        session.answer("read-file", &identity_token("two", 3_520 * SECOND));
        assert!(session.asks("swap-entry") && !session.asks("send-request"), "{:#}", session.output);
        session.at(3_525 * SECOND, &json!({"rejected": jwt::id_of(FIRST)}));
        assert!(session.asks("send-request"), "{:#}", session.output);
        let unanswered = session.open.iter().position(|(_, task)| task.get("swap-entry").is_some()).expect("the lease");
        session.open.remove(unanswered);
        let swap = session.answer("swap-entry", &json!({"swapped": "v2"}));
        let mut other = beside(kind, swap["value"].as_str().expect("a text"));
        other.at(3_526 * SECOND, &json!("needed"));
        assert!(!other.asks("send-request") && !other.asks("swap-entry"), "{:?}", other.open);
        assert_eq!(shared(&parsed(&swap["value"]))["lease"]["beat"], 0, "{swap}");
    });
}
