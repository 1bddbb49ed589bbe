//! What a session takes from a store, and what not: two sessions, one of which is this test.

use serde_json::{Value, json};
use wif_world::shared_store::{FIRST, SECOND, Sharer, entry, grant, identity_token, identity_token_of, refused};
use wif_world::world::START_MS;
use wif_world::{both, jwt};

/// C6, B10: the API rejected a token; another session, which has not heard of it, still has it in the store.
#[test]
fn a_rejected_token_is_not_taken_from_the_store_as_good() {
    both(|kind| {
        let (mut session, with_first) = Sharer::with_first(kind);
        session.at(700_000, &json!({"rejected": jwt::id_of(FIRST)}));
        session.answer("load-entry", &entry("v1", &with_first));
        // What this session knows of the rejection is written while it reads its source; another one wrote before.
        session.answer("swap-entry", &json!({"conflict": entry("v2", &with_first)["entry"]}));
        assert_eq!(session.served(), (Some(jwt::id_of(FIRST)), Some("suspect".into())), "{:#}", session.output);
        session.answer("swap-entry", &json!({"swapped": "v3"}));
        session.exchange("two", SECOND, 60, "v4");
        assert_eq!(session.served(), (Some(jwt::id_of(SECOND)), Some("good".into())));
        // The second one runs out, and the first one, with an hour to go, is still what the store shows.
        session.at(900_000, &json!("needed"));
        session.answer("load-entry", &entry("v5", &with_first));
        // Without another it is served on, but as what it is.
        assert_eq!(session.served(), (Some(jwt::id_of(FIRST)), Some("suspect".into())), "{:#}", session.output);
        assert!(session.asks("read-file"));
    });
}

/// F12: a store that never takes anything, and whose entry nobody can read.
#[test]
fn a_store_that_refuses_every_swap_is_asked_less_and_told_of_once() {
    both(|kind| {
        let mut session = Sharer::new(kind, 1);
        session.step(&json!("woken"));
        let (mut swaps, mut told) = (0, 0);
        for now_ms in (0..60_000).step_by(10) {
            session.at(now_ms, &json!("woken"));
            for _ in 0..20 {
                told += session.output["notes"].as_array().map_or(0, Vec::len);
                let refused = format!("v{swaps}");
                if session.asks("load-entry") {
                    session.answer("load-entry", &entry(&refused, &json!("x")));
                } else if session.asks("read-file") {
                    session.answer("read-file", &identity_token("one", 0));
                } else if session.asks("swap-entry") {
                    swaps += 1;
                    session.answer("swap-entry", &json!({"conflict": entry(&refused, &json!("x"))["entry"]}));
                } else {
                    break;
                }
            }
        }
        assert!((30..=140).contains(&swaps), "{swaps} swaps in a minute");
        assert!(told <= 4, "{told} notes in a minute");
    });
}

/// C15: what the store shows is older than what this session holds.
#[test]
fn an_older_token_does_not_replace_a_newer_one() {
    both(|kind| {
        let (mut session, with_first) = Sharer::with_first(kind);
        session.at(3_560_000, &json!("needed")).answer("load-entry", &entry("v1", &with_first));
        session.exchange("two", SECOND, 3_600, "v2");
        session.at(3_570_000, &json!("changed")).answer("load-entry", &entry("v3", &with_first));
        assert_eq!(session.served(), (Some(jwt::id_of(SECOND)), Some("good".into())));
    });
}

/// C6: one session sees the 401; the other one, which serves the same token, hears of it from the store.
#[test]
fn a_rejection_in_the_store_makes_the_held_token_suspect() {
    both(|kind| {
        let (mut one, with_first) = Sharer::with_first(kind);
        let mut other = Sharer::new(kind, 2);
        other.begin("one", &entry("v1", &with_first));
        assert_eq!(other.served(), (Some(jwt::id_of(FIRST)), Some("good".into())));
        one.at(700_000, &json!({"rejected": jwt::id_of(FIRST)}));
        one.answer("load-entry", &entry("v1", &with_first));
        let rejected = one.answer("swap-entry", &json!({"swapped": "v2"}))["value"].clone();
        other.at(700_100, &json!("changed")).answer("load-entry", &entry("v2", &rejected));
        assert_eq!(other.served(), (Some(jwt::id_of(FIRST)), Some("suspect".into())));
    });
}

/// C9: two rejections within ten minutes, one seen by each session: neither forces another exchange.
#[test]
fn rejections_that_different_sessions_saw_count_together() {
    both(|kind| {
        let (mut one, with_first) = Sharer::with_first(kind);
        one.at(700_000, &json!({"rejected": jwt::id_of(FIRST)}));
        one.answer("load-entry", &entry("v1", &with_first));
        one.answer("swap-entry", &json!({"swapped": "v2"}));
        let with_second = one.exchange("two", SECOND, 3_600, "v3");
        let mut other = Sharer::new(kind, 2);
        other.now_ms = 710_000;
        other.begin("two", &entry("v3", &with_second));
        other.at(720_000, &json!({"rejected": jwt::id_of(SECOND)}));
        let told = other.output["notes"]
            .as_array()
            .is_some_and(|notes| notes.iter().any(|note| note["code"] == "forced-exchanges-stopped"));
        assert!(told, "{:#}", other.output);
        assert!(!other.asks("load-entry"), "{:#}", other.output);
    });
}

/// One operation at a time: of two, the older one's answer could come last.
#[test]
fn a_store_is_asked_one_thing_at_a_time() {
    both(|kind| {
        let (mut session, _) = Sharer::with_first(kind);
        session.at(700_000, &json!({"rejected": jwt::id_of(FIRST)}));
        for now_ms in [700_001, 700_002, 700_003] {
            session.at(now_ms, &json!("changed")).at(now_ms, &json!("needed"));
            // What is due and has to wait for the answer wakes nobody.
            assert!(session.output["wake-in-ms"].as_u64().is_some_and(|wake| wake > 1_000), "{:#}", session.output);
            let out = session.open.iter().filter(|(_, task)| task.get("load-entry").or(task.get("swap-entry")).is_some()).count();
            assert_eq!(out, 1, "{:?}", session.open);
        }
    });
}

/// C12: an exchange takes longer than it may, and meanwhile the file has become another workload's. The late answer's token is the
/// first one's, and is not served.
#[test]
fn a_late_token_of_another_subject_is_dropped() {
    both(|kind| {
        let mut session = Sharer::that_can(kind, 1, &["read-file"]);
        session.step(&json!("woken")).answer("read-file", &identity_token("one", 0));
        session.at(36_000, &json!("woken"));
        assert_eq!(session.output["abandon"].as_array().map(Vec::len), Some(1), "{:#}", session.output);
        session.at(300_000, &json!("needed")).answer("read-file", &identity_token_of("another", "two", 300_000));
        // The older of the two that are out.
        session.answer("send-request", &grant(FIRST, 3_600));
        assert_eq!(session.served(), (None, None));
        assert!(session.output["journal"].as_str().is_some_and(|journal| !journal.contains(FIRST)), "{:#}", session.output);
        session.answer("send-request", &grant(SECOND, 3_600));
        assert_eq!(session.served(), (Some(jwt::id_of(SECOND)), Some("good".into())));
    });
}

/// C12: a store of which an operation is out when the source shows another subject: its answer is of the old entry, and means nothing.
#[test]
fn an_answer_of_the_old_entry_means_nothing_for_another_subject() {
    both(|kind| {
        let (mut session, with_first) = Sharer::with_first(kind);
        session.at(700_000, &json!({"rejected": jwt::id_of(FIRST)}));
        session.answer("load-entry", &entry("v1", &with_first));
        assert!(session.asks("swap-entry"), "what is known of the rejection is written while the source is read");
        session.answer("read-file", &identity_token_of("another", "two", 700_000));
        assert_eq!(session.served(), (None, None));
        assert!(session.asks("load-entry"), "nobody waits for what the old entry says");
        session.answer("swap-entry", &json!({"conflict": entry("v2", &with_first)["entry"]}));
        assert_eq!(session.served(), (None, None));
        session.answer("load-entry", &json!("absent"));
        let lease = session.answer("swap-entry", &json!({"swapped": "w1"}));
        assert_eq!(lease["expected"], Value::Null, "the new entry has no version yet");
        session.answer("send-request", &grant(SECOND, 3_600));
        assert_eq!(session.served(), (Some(jwt::id_of(SECOND)), Some("good".into())));
    });
}

/// C9: one session stops forcing exchanges, for two tokens were rejected; another one, which comes later, takes the stop over with the
/// token, and forces none either.
#[test]
fn a_stop_of_forced_exchanges_holds_for_those_who_come_later() {
    both(|kind| {
        let (mut one, with_first) = Sharer::with_first(kind);
        one.at(700_000, &json!({"rejected": jwt::id_of(FIRST)}));
        one.answer("load-entry", &entry("v1", &with_first));
        one.answer("swap-entry", &json!({"swapped": "v2"}));
        one.exchange("two", SECOND, 3_600, "v3");
        one.at(710_000, &json!({"rejected": jwt::id_of(SECOND)}));
        let stopped = one.answer("swap-entry", &json!({"swapped": "v4"}))["value"].clone();
        let mut other = Sharer::new(kind, 2);
        other.now_ms = 700_200;
        other.begin("two", &entry("v3", &with_first));
        assert_eq!(other.served(), (Some(jwt::id_of(FIRST)), Some("good".into())));
        other.at(720_000, &json!("changed")).answer("load-entry", &entry("v4", &stopped));
        assert_eq!(other.served(), (Some(jwt::id_of(FIRST)), Some("suspect".into())));
        assert!(!other.asks("load-entry") && !other.asks("read-file"), "{:#}", other.output);
        // Ten minutes after the second rejection it may be forced again.
        other.at(1_310_001, &json!("woken"));
        assert!(other.asks("load-entry"), "{:#}", other.output);
    });
}

/// A6, A8: while this session waits to take the lease, an answer of the store tells that another one has exchanged the very identity token
/// that it read before.
#[test]
fn what_another_exchanged_in_the_meantime_is_not_sent() {
    both(|kind| {
        let (mut one, with_first) = Sharer::with_first(kind);
        let mut other = Sharer::new(kind, 2);
        other.now_ms = 3_560_000;
        other.begin("two", &entry("v1", &with_first));
        one.at(3_560_000, &json!("needed")).answer("load-entry", &entry("v1", &with_first));
        let with_second = other.exchange("two", SECOND, 60, "v2");
        one.step(&json!({"rejected": jwt::id_of(FIRST)}));
        one.answer("read-file", &identity_token("two", 3_560_000));
        one.answer("swap-entry", &json!({"conflict": entry("v2", &with_second)["entry"]}));
        for version in ["v3", "v4"] {
            if one.asks("swap-entry") {
                one.answer("swap-entry", &json!({ "swapped": version }));
            }
        }
        assert!(!one.asks("send-request"), "{:#}", one.output);
    });
}

/// C6, C15: a token that was rejected makes room for any that was not, also for one that ends sooner.
#[test]
fn a_suspect_token_is_replaced_by_one_that_ends_sooner() {
    both(|kind| {
        let (mut one, _) = Sharer::with_first(kind);
        let mut other = Sharer::new(kind, 2);
        // It has not seen the first one, which would outlive its own.
        other.now_ms = 3_560_000;
        other.begin("two", &json!("absent"));
        let with_second = other.exchange("two", SECOND, 30, "v2");
        one.at(3_560_000, &json!({"rejected": jwt::id_of(FIRST)}));
        one.answer("load-entry", &entry("v2", &with_second));
        assert_eq!(one.served(), (Some(jwt::id_of(SECOND)), Some("good".into())), "{:#}", one.output);
    });
}

/// C5: whoever was taken for dead, and is not, leaves the lease to the one that has it now.
#[test]
fn a_lease_that_was_lost_is_not_taken_back() {
    both(|kind| {
        let owner = |value: &Value| {
            let document: Value = serde_json::from_str(value.as_str().expect("text")).expect("a document");
            document["lease"]["owner"].clone()
        };
        let mut one = Sharer::new(kind, 1);
        one.begin("one", &json!("absent"));
        let taken = one.answer("swap-entry", &json!({"swapped": "v1"}))["value"].clone();
        assert!(one.asks("send-request"));
        let mut other = Sharer::new(kind, 2);
        other.begin("one", &entry("v1", &taken));
        other.at(4_100, &json!("woken")).answer("load-entry", &entry("v1", &taken));
        other.answer("read-file", &identity_token("one", 0));
        let lost = other.answer("swap-entry", &json!({"swapped": "v2"}))["value"].clone();
        assert_ne!(owner(&taken), owner(&lost));
        one.at(1_400, &json!("woken"));
        one.now_ms = 4_200;
        one.answer("swap-entry", &json!({"conflict": entry("v2", &lost)["entry"]}));
        let told = one.answer("swap-entry", &json!({"swapped": "v3"}))["value"].clone();
        assert_eq!(owner(&told), owner(&lost));
    });
}

/// The lease in what a session wants to be in the store.
fn lease(swap: &Value) -> Value {
    let document: Value = serde_json::from_str(swap["value"].as_str().expect("text")).expect("a document");
    document["lease"].clone()
}

/// C9: two rejections of one subject's tokens stop no exchange for another subject.
#[test]
fn a_stop_of_forced_exchanges_ends_with_its_subject() {
    both(|kind| {
        // Another session has seen the other subject's token rejected, long ago, and had no identity token to get a new one.
        let mut other = Sharer::new(kind, 2);
        other.step(&json!("woken")).answer("read-file", &identity_token_of("another", "other", 0));
        other.answer("load-entry", &json!("absent"));
        let third = "sk-ant-oat01-third";
        let with_third = other.exchange("other", third, 3_600, "w1");
        other.at(10_000, &json!({"rejected": jwt::id_of(third)})).answer("load-entry", &entry("w1", &with_third));
        let with_suspect = other.answer("swap-entry", &json!({"swapped": "w2"}))["value"].clone();

        let (mut one, with_first) = Sharer::with_first(kind);
        one.at(700_000, &json!({"rejected": jwt::id_of(FIRST)})).answer("load-entry", &entry("v1", &with_first));
        one.answer("swap-entry", &json!({"swapped": "v2"}));
        let with_second = one.exchange("two", SECOND, 60, "v3");
        one.at(701_000, &json!({"rejected": jwt::id_of(SECOND)}));
        one.answer("swap-entry", &json!({"swapped": "v4"}));
        assert!(!one.asks("load-entry"), "no exchange is forced: {:#}", one.output);
        one.at(735_000, &json!("woken")).answer("load-entry", &entry("v4", &with_second));
        one.answer("read-file", &identity_token_of("another", "three", 735_000));
        one.answer("load-entry", &entry("w2", &with_suspect));
        assert_eq!(one.served(), (Some(jwt::id_of(third)), Some("suspect".into())), "{:#}", one.output);
        one.answer("swap-entry", &json!({"swapped": "w3"}));
        assert!(one.asks("send-request"), "{:#}", one.output);
    });
}

/// C5, C12: a lease that was watched in one subject's entry says nothing of the lease in another's, whose version is by chance the same.
#[test]
fn how_long_a_lease_was_watched_counts_for_its_own_entry() {
    both(|kind| {
        let leased = |subject: &str| {
            let mut leader = Sharer::new(kind, 2);
            leader.step(&json!("woken")).answer("read-file", &identity_token_of(subject, "leader's", 0));
            leader.answer("load-entry", &json!("absent"));
            leader.answer("swap-entry", &json!({"swapped": "7"}))["value"].clone()
        };
        let mut one = Sharer::new(kind, 1);
        one.begin("one", &entry("7", &leased("s")));
        one.at(3_900, &json!("woken")).answer("load-entry", &json!("absent"));
        one.at(5_000, &json!("woken")).answer("read-file", &identity_token_of("another", "two", 5_000));
        one.answer("load-entry", &entry("7", &leased("another")));
        assert!(!one.asks("read-file") && !one.asks("swap-entry"), "its leader has 4 s from now on: {:#}", one.output);
        one.at(9_000, &json!("woken")).answer("load-entry", &entry("7", &leased("another")));
        assert!(one.asks("read-file"), "{:#}", one.output);
    });
}

/// B11: two sessions hold the same token, and the refresh of one was refused: the other one tries no sooner, and knows why.
#[test]
fn why_a_refresh_failed_is_known_to_whoever_holds_the_same_token() {
    both(|kind| {
        let (mut one, with_first) = Sharer::with_first(kind);
        let mut other = Sharer::new(kind, 2);
        other.begin("one", &entry("v1", &with_first));
        other.at(3_560_000, &json!("needed")).answer("load-entry", &entry("v1", &with_first));
        other.answer("read-file", &identity_token("two", 3_560_000));
        other.answer("swap-entry", &json!({"swapped": "v2"}));
        other.answer("send-request", &refused(403));
        let failed = other.answer("swap-entry", &json!({"swapped": "v3"}))["value"].clone();
        one.at(3_561_000, &json!("needed")).answer("load-entry", &entry("v3", &failed));
        assert_eq!(one.status()["failure"]["code"], "forbidden", "{:#}", one.status());
    });
}

/// A6: an answer comes long after its time, and its token has run out. What is under way meanwhile goes on.
#[test]
fn a_late_answer_of_no_use_stops_nothing_that_is_under_way() {
    both(|kind| {
        let source = json!({"source": "callable", "name": "mint", "freshness": "minted"});
        let mut session = Sharer::with(kind, 1, &["supply-assertion"], source);
        session.step(&json!("woken")).answer("supply-assertion", &identity_token("one", 0));
        session.at(301_000, &json!("woken"));
        session.at(310_000, &json!("woken")).answer("supply-assertion", &identity_token("two", 310_000));
        // The first request's answer.
        session.answer("send-request", &grant(FIRST, 1));
        assert_eq!(session.output["access"]["pending"], "exchanging", "{:#}", session.output);
        session.at(330_000, &json!("woken"));
        assert!(!session.asks("supply-assertion"), "one exchange at a time: {:#}", session.output);
        session.answer("send-request", &grant(SECOND, 3_600));
        assert_eq!(session.served().0, Some(jwt::id_of(SECOND)), "{:#}", session.output);
    });
}

/// F12: entries that nobody can read are told of once, though the source shows another subject meanwhile.
#[test]
fn a_store_that_makes_no_sense_is_told_of_once_for_all_subjects() {
    both(|kind| {
        let unreadable = |version: &str| entry(version, &json!("x"));
        let mut one = Sharer::new(kind, 1);
        let mut told = 0;
        let mut count = |one: &Sharer| {
            let notes = one.output["notes"].as_array().into_iter().flatten();
            told += notes.filter(|note| note["code"] == "state-ignored").count();
            told
        };
        one.begin("one", &unreadable("v1"));
        assert_eq!(count(&one), 1, "{:#}", one.output);
        one.answer("swap-entry", &json!({"conflict": unreadable("v2")["entry"]}));
        one.answer("read-file", &identity_token_of("another", "two", 0));
        one.answer("load-entry", &unreadable("w1"));
        assert_eq!(count(&one), 1, "{:#}", one.output);
    });
}

/// What is read while the store is asked something else waits for the answer, and is not read again after it.
#[test]
fn an_identity_token_that_waits_for_the_store_is_exchanged_after_its_answer() {
    both(|kind| {
        let (mut one, with_first) = Sharer::with_first(kind);
        one.at(700_000, &json!({"rejected": jwt::id_of(FIRST)})).answer("load-entry", &entry("v1", &with_first));
        one.answer("read-file", &identity_token("two", 700_000));
        assert_eq!(lease(&one.answer("swap-entry", &json!({"swapped": "v2"}))), Value::Null, "it tells of the rejection");
        assert!(!one.asks("read-file") && !one.asks("load-entry"), "{:#}", one.output);
        assert_ne!(lease(&one.answer("swap-entry", &json!({"swapped": "v3"}))), Value::Null);
        assert!(one.asks("send-request"));
    });
}

/// C7: the answer that an identity token waits for brings a token that another session has exchanged meanwhile: one is enough.
#[test]
fn an_identity_token_that_waits_for_the_store_stays_unspent_if_the_store_has_a_token() {
    both(|kind| {
        let (mut one, with_first) = Sharer::with_first(kind);
        let mut other = Sharer::new(kind, 2);
        // Long enough ago that another exchange could begin.
        other.now_ms = 690_000;
        other.begin("other", &json!("absent"));
        let with_second = other.exchange("other", SECOND, 3_600, "v2");
        one.at(700_000, &json!({"rejected": jwt::id_of(FIRST)})).answer("load-entry", &entry("v1", &with_first));
        one.answer("read-file", &identity_token("two", 700_000));
        one.answer("swap-entry", &json!({"conflict": entry("v2", &with_second)["entry"]}));
        assert_eq!(one.served(), (Some(jwt::id_of(SECOND)), Some("good".into())), "{:#}", one.output);
        while one.asks("swap-entry") {
            assert_eq!(lease(&one.answer("swap-entry", &json!({"swapped": "v3"}))), Value::Null);
        }
        assert!(!one.asks("send-request"));
    });
}

/// What the journal says went wrong last.
fn failure(session: &Sharer) -> Value {
    let journal = session.output["journal"].as_str().unwrap_or_else(|| panic!("a journal: {:#}", session.output));
    serde_json::from_str::<Value>(journal).expect("a document")["failure"]["code"].clone()
}

/// B11, C10: during a backoff the source of a shared identity token is looked at, for it may show another; one that mints is left alone.
#[test]
fn in_a_backoff_a_shared_source_is_looked_at_and_a_minting_one_is_not() {
    both(|kind| {
        let minted = json!({"source": "callable", "name": "m", "freshness": "minted"});
        for (source, asks, looks) in
            [(json!({"source": "file", "path": "/token"}), "read-file", true), (minted, "supply-assertion", false)]
        {
            let mut one = Sharer::with(kind, 1, &["read-file", "supply-assertion", "store"], source);
            one.step(&json!("woken")).answer(asks, &identity_token("one", 0));
            one.answer("load-entry", &json!("absent"));
            one.answer("swap-entry", &json!({"swapped": "v1"}));
            one.answer("send-request", &refused(403));
            let backoff = one.answer("swap-entry", &json!({"swapped": "v2"}))["value"].clone();
            // Longer than any interval between two requests, and far from the end of the backoff.
            one.at(20_000, &json!("needed")).at(20_001, &json!("changed"));
            one.answer("load-entry", &entry("v2", &backoff));
            assert_eq!(one.asks(asks), looks, "{asks}: {:#}", one.output);
        }
    });
}

/// A good token from the store ends the trouble to get one; one that the API has rejected does not.
#[test]
fn a_failure_ends_with_a_good_token_of_the_store() {
    both(|kind| {
        let mut other = Sharer::new(kind, 2);
        other.begin("other", &json!("absent"));
        let with_good = other.exchange("other", FIRST, 3_600, "v3");
        other.at(1_000, &json!({"rejected": jwt::id_of(FIRST)}));
        let with_suspect = other.answer("swap-entry", &json!({"swapped": "v4"}))["value"].clone();
        for (stored, code) in [(with_good, Value::Null), (with_suspect, json!("forbidden"))] {
            let mut one = Sharer::new(kind, 1);
            one.begin("one", &json!("absent"));
            one.answer("swap-entry", &json!({"swapped": "v1"}));
            one.answer("send-request", &refused(403));
            one.answer("swap-entry", &json!({"swapped": "v2"}));
            one.at(20_000, &json!("needed")).at(20_001, &json!("changed"));
            one.answer("load-entry", &entry("v4", &stored));
            assert_eq!(one.served().0, Some(jwt::id_of(FIRST)), "{:#}", one.output);
            assert_eq!(failure(&one), code);
        }
    });
}

/// Each failure of the store says what the host said of it, and a store that goes on failing is noted once.
#[test]
fn why_the_store_fails_is_said_once() {
    both(|kind| {
        for (outcome, says) in [
            (json!({"denied": "the policy"}), "does not answer: the policy."),
            (json!({"failed": "the disk"}), "does not answer: the disk."),
            (json!({"unkept": "no space"}), "does not answer: the host could not keep the journal before: no space."),
            (json!("unsupported"), "does not answer: this host has none."),
            (json!("lost"), "does not answer: no answer."),
        ] {
            let mut one = Sharer::new(kind, 1);
            let mut noted = 0;
            for now_ms in [0, 10_000, 20_000] {
                one.at(now_ms, &json!("woken"));
                if one.asks("read-file") {
                    one.answer("read-file", &identity_token("one", 0));
                }
                one.answer("load-entry", &outcome);
                let message = one.output["access"]["failed"]["message"].as_str().unwrap_or_default();
                assert!(message.ends_with(says), "{message}");
                let notes = one.output["notes"].as_array().into_iter().flatten();
                noted += notes.filter(|note| note["code"] == "exchange-failed").count();
            }
            assert_eq!(noted, 1, "{outcome}");
        }
    });
}

/// A8: while another session has the lease, status says what is waited for.
#[test]
fn a_follower_looks_at_the_store_again() {
    both(|kind| {
        let mut leader = Sharer::new(kind, 2);
        leader.begin("one", &json!("absent"));
        let leased = leader.answer("swap-entry", &json!({"swapped": "v1"}))["value"].clone();
        let mut one = Sharer::new(kind, 1);
        one.begin("one", &entry("v1", &leased));
        let status = one.status();
        assert_eq!(status["next"], "the store is looked at again");
        assert!(status["next-in-ms"].as_u64().is_some_and(|wait| (375..=500).contains(&wait)), "{status}");
    });
}

/// C9: another session could not replace the token before; this one has done so since, and nothing is wrong with its own.
#[test]
fn a_failure_to_replace_an_older_token_is_none_of_a_newer_one() {
    both(|kind| {
        let (mut one, with_first) = Sharer::with_first(kind);
        let mut other = Sharer::new(kind, 2);
        other.now_ms = 3_560_000;
        other.begin("other", &entry("v1", &with_first));
        other.answer("swap-entry", &json!({"swapped": "v2"}));
        other.answer("send-request", &refused(403));
        let not_replaced = other.answer("swap-entry", &json!({"swapped": "v3"}))["value"].clone();

        one.at(3_561_000, &json!("needed")).answer("load-entry", &entry("v1", &with_first));
        one.answer("read-file", &identity_token("two", 3_561_000));
        one.answer("swap-entry", &json!({"swapped": "v2"}));
        one.answer("send-request", &grant(SECOND, 3_600));
        one.answer("swap-entry", &json!({"conflict": entry("v3", &not_replaced)["entry"]}));
        let status = one.status();
        assert_eq!((&status["state"], &status["failure"]), (&json!("serving"), &Value::Null), "{status:#}");
    });
}

/// D3: a token that has run out has no second life, though the store still has it, the wall clock has gone back since, and the session
/// was opened anew, before the token's end or after it.
#[test]
fn a_restart_and_a_wall_clock_that_goes_back_lengthen_no_life() {
    both(|kind| {
        for restart_ms in [600_000, 3_596_000] {
            let (mut session, first) = Sharer::with_first(kind);
            session.at(restart_ms, &json!("needed"));
            session.put_back_ms = 300_000;
            session.restart(kind).step(&json!("woken"));
            for now_ms in [restart_ms, 3_596_000] {
                session.at(now_ms, &json!("needed"));
                for _ in 0..4 {
                    match ["read-file", "load-entry"].into_iter().find(|task| session.asks(task)) {
                        Some("read-file") => session.answer("read-file", &identity_token("one", 0)),
                        Some(_) => session.answer("load-entry", &entry("v1", &first)),
                        None => break,
                    };
                }
                let left_ms = 3_595_000_u64.saturating_sub(now_ms);
                let served_ms = session.output["access"]["usable"]["unusable-in-ms"].as_u64();
                assert_eq!(served_ms, Some(left_ms).filter(|left| *left > 0), "restarted at {restart_ms}: {:#}", session.output);
            }
        }
    });
}

/// D10: the clock of a machine ran ahead and was put right. The entry that it wrote tells of pauses that were over then.
#[test]
fn a_pause_that_was_over_when_it_was_written_holds_nobody_up() {
    both(|kind| {
        let (_, first) = Sharer::with_first(kind);
        for (over_ms, goes_on) in [(60_000, true), (0, true), (-1_000, false)] {
            let mut stored: Value = serde_json::from_str(first.as_str().expect("a text")).expect("a document");
            let ends_ms = i64::try_from(START_MS).expect("a time") + 700_000;
            stored["token"] = Value::Null;
            stored["written_wall_ms"] = json!(ends_ms + over_ms);
            (stored["pace"]["retry_wall_ms"], stored["pace"]["floor_wall_ms"]) = (json!(ends_ms), json!(ends_ms));
            let mut session = Sharer::new(kind, 2);
            session.now_ms = 400_000;
            session.begin("two", &entry("v1", &json!(stored.to_string())));
            assert_eq!(session.asks("swap-entry"), goes_on, "over for {over_ms} ms: {:#}", session.output);
        }
    });
}

/// A8: a request never left, and is repeated at once. Its lease ends with it: what is found meanwhile may make the repeat needless.
#[test]
fn a_request_that_never_left_gives_its_lease_back() {
    both(|kind| {
        let (_, first) = Sharer::with_first(kind);
        let mut session = Sharer::new(kind, 2);
        session.begin("two", &json!("absent"));
        session.answer("swap-entry", &json!({"swapped": "v1"}));
        session.answer("send-request", &json!({"unsent": "refused"}));
        let swap = session.answer("swap-entry", &json!({"swapped": "v2"}));
        assert!(lease(&swap).is_null(), "{swap}");
        session.answer("load-entry", &entry("v3", &first));
        assert_eq!(session.served(), (Some(jwt::id_of(FIRST)), Some("good".into())), "{:#}", session.output);
        session.at(10_000, &json!("woken"));
        assert!(!session.asks("swap-entry"), "nothing is out whose owner must show that it lives: {:?}", session.open);
    });
}
