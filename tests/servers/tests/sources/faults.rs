//! What each way to an identity token does when one of its steps goes wrong: one table of faults, for every step of every source.

use std::collections::BTreeSet;
use std::sync::Arc;

use wif_engine::contract::{Event, FailureCode};
use wif_servers::Mint;
use wif_servers::cases;

use crate::engine::{End, Fault, World, client, minting, token};

const OF_REQUESTS: [Fault; 13] = [
    Fault::NotFound,
    Fault::Refused,
    Fault::Gone,
    Fault::Throttled,
    Fault::ServerError,
    Fault::Unreachable,
    Fault::Slow,
    Fault::Huge,
    Fault::WrongType,
    Fault::Garbage,
    Fault::Empty,
    Fault::Redirect,
    Fault::Echo,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_goes_wrong_is_told_without_a_secret_and_made_again() {
    let mut held = BTreeSet::new();
    for name in cases::of_recipes() {
        let directory = tempfile::tempdir().expect("a directory");
        let case = cases::start(name, directory.path(), &minting()).await;
        let client = client(&case);
        let mut well = World::new(&case, &client);
        let end = well.run(Event::Needed, None).await;
        assert!(matches!(end, End::Exchanged), "{name}: {end:?}");
        for at in 0..well.requests {
            for fault in OF_REQUESTS {
                let place = format!("{name}, request {at}, {fault:?}");
                let mut world = World::new(&case, &client);
                let End::Failed(failure) = world.run(Event::Needed, Some((at, fault))).await else {
                    panic!("{place}: there is a token")
                };
                use FailureCode::{IdentityTokenMalformed, IdentityTokenUnreadable};
                assert!(matches!(failure.code, IdentityTokenUnreadable | IdentityTokenMalformed), "{place}: {failure:?}");
                assert!(!failure.action.is_empty(), "{place}: {failure:?}");
                // What the platform itself said stands last, as it was said.
                let whole = failure.message.ends_with('.') || failure.message.contains("It says: ");
                assert!(whole, "{place}: {failure:?}");
                let retry = failure.retry_in_ms.unwrap_or_else(|| panic!("{place}: it is not tried again"));
                assert!((1..=120_000).contains(&retry), "{place}: {failure:?}");
                for secret in case.secrets.iter().copied().chain(["canary-signature", "Y2FuYXJ5LXNpZ25hdHVyZQ"]) {
                    assert!(!world.shown.contains(secret), "{place} shows {secret}: {}", world.shown);
                }
                // The next time all is well.
                world.later(retry + 1);
                let end = world.run(Event::Needed, None).await;
                assert!(matches!(end, End::Exchanged), "{place}: {end:?}");
                held.insert(name);
            }
        }
    }
    assert_eq!(held.len(), 16, "{held:?}");
}

/// A step that reads finds nothing, or an empty text: no panic, no secret, and the reason by name.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named() {
    for name in cases::of_recipes() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut case = cases::start(name, directory.path(), &minting()).await;
        let client = client(&case);
        for at in 0..case.variables.len() {
            let (variable, value) = case.variables.remove(at);
            let mut world = World::new(&case, &client);
            // Where a default leads nobody listens, or another way is taken.
            if let End::Failed(failure) = world.run(Event::Needed, Some((0, Fault::Unreachable))).await {
                assert!(!failure.message.is_empty() && !failure.action.is_empty(), "{name} without {variable}: {failure:?}");
            }
            for secret in &case.secrets {
                assert!(!world.shown.contains(secret), "{name} without {variable} shows {secret}: {}", world.shown);
            }
            case.variables.insert(at, (variable, value));
        }
        for at in 0..case.files.len() {
            let (path, content) = case.files[at].clone();
            if path.ends_with("ca.crt") {
                // The host reads it.
                continue;
            }
            case.files[at].1 = String::new();
            let mut world = World::new(&case, &client);
            let End::Failed(failure) = world.run(Event::Needed, None).await else { panic!("{name}: {path} is empty") };
            assert!(failure.message.contains(&path) && failure.message.contains("is empty"), "{name}: {failure:?}");
            case.files[at] = (path, content);
        }
    }
}

/// Some caches give the same identity token again, which can be exchanged once: the failure says who keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_comes_again_is_waited_out_and_its_cache_named() {
    for name in cases::of_recipes() {
        let directory = tempfile::tempdir().expect("a directory");
        let kept: Mint = Arc::new(|audience| token(audience, 1));
        let case = cases::start(name, directory.path(), &kept).await;
        let client = client(&case);
        let mut world = World::new(&case, &client);
        let end = world.run(Event::Needed, None).await;
        assert!(matches!(end, End::Exchanged), "{name}: {end:?}");
        // The access token lives for a minute.
        world.later(120_000);
        let End::Failed(failure) = world.run(Event::Needed, None).await else { panic!("{name}: it was exchanged twice") };
        assert_eq!(failure.code, FailureCode::IdentityTokenSpent, "{name}: {failure:?}");
        let recipe = wif_recipes::platform(case.identity_token["source"].as_str().unwrap_or_default()).expect("a platform");
        assert_eq!(Some(&failure.action), recipe.repeats.as_ref(), "{name}: {failure:?}");
        assert!(world.shown.contains("WaitingForRotation"), "{name}: {}", world.shown);
    }
}
