//! Instances that share a directory act as one, and those that share nothing say so.

use std::fs;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use wasmtime_wasi::FsPerms;
use wif_emulator::Fault;

use crate::host::bindings::exports::wif::credential::types::{FailureCode, Standing};
use crate::host::{Grant, World};

/// A8, C1: the identity token can be exchanged once, and many start at the same moment. What they share is the file system
/// alone, so that it does not matter to which process an instance belongs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn instances_that_start_together_make_one_exchange_in_every_round() {
    const ROUNDS: u64 = 6;
    let world = World::start().await;
    for round in 1..=ROUNDS {
        let mut calls = JoinSet::new();
        for _ in 0..8 {
            let mut instance = world.sharing_instance().await;
            calls.spawn(async move { instance.get_token().await });
        }
        let credentials = calls.join_all().await;
        let ids: Vec<&str> = credentials.iter().map(|found| found.as_ref().expect("a token").id.as_str()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(world.exchanges(), round);
        world.clock.forward(Duration::from_secs(3600));
        world.file.rotate().unwrap();
    }
    let files: Vec<_> = fs::read_dir(world.shared.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(files.len() <= 20, "old versions go: {files:?}");
    assert!(!files.iter().any(|file| file.to_string_lossy().ends_with(".new")), "{files:?}");
}

#[tokio::test]
async fn an_instance_for_every_call_is_served_from_the_directory() {
    let world = World::start().await;
    let first = world.sharing_instance().await.get_token().await.unwrap();
    for _ in 0..20 {
        let mut instance = world.sharing_instance().await;
        assert_eq!(instance.get_token().await.unwrap().id, first.id);
        assert_eq!(instance.get_status().await.unwrap().exchanges_started, 0);
        assert_eq!(instance.stderr(), "");
    }
    assert_eq!(world.message_with(&first).await, 200);
    assert_eq!(world.exchanges(), 1);
}

/// C4: the instance is dropped after the call; were the exchange still out, its identity token would be spent in vain.
#[tokio::test]
async fn the_call_that_begins_a_refresh_ends_it_and_all_others_are_served_meanwhile() {
    let world = World::start().await;
    let first = world.sharing_instance().await.get_token().await.unwrap();
    world.clock.forward(Duration::from_secs(3600 - 45));
    world.file.rotate().unwrap();
    world.emulator.inject(Fault::Delay(Duration::from_secs(2)));

    let mut leader = world.sharing_instance().await;
    let led = tokio::spawn(async move { leader.get_token().await });
    world.until_exchanges(2).await;
    let mut follower = world.sharing_instance().await;
    let serving = tokio::time::timeout(Duration::from_secs(1), follower.get_token());
    assert_eq!(serving.await.expect("nobody else waits").unwrap().id, first.id);

    let second = led.await.unwrap().unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(world.sharing_instance().await.get_token().await.unwrap().id, second.id);
    assert_eq!(world.exchanges(), 2);
}

/// C7: whoever hears of a rejection first replaces the token for all, though its instance is dropped after the call.
#[tokio::test]
async fn a_rejection_reaches_every_instance() {
    let world = World::start().await;
    let first = world.sharing_instance().await.get_token().await.unwrap();
    world.emulator.revoke_all();
    world.clock.forward(Duration::from_secs(10));
    // Nothing else can be exchanged yet: the token is served on, so that the API's own answer reaches the caller.
    world.sharing_instance().await.reject_token(&first.id).await;
    let suspect = world.sharing_instance().await.get_token().await.unwrap();
    assert_eq!((suspect.id.as_str(), suspect.standing), (first.id.as_str(), Standing::Suspect));

    world.file.rotate().unwrap();
    for _ in 0..3 {
        world.sharing_instance().await.reject_token(&first.id).await;
    }
    let second = world.sharing_instance().await.get_token().await.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(world.message_with(&second).await, 200);
    assert_eq!(world.exchanges(), 2);
}

/// C5: the holder of the lease dies in the middle of its exchange.
#[tokio::test]
async fn a_leader_that_dies_is_replaced() {
    let world = World::start().await;
    world.emulator.inject(Fault::Delay(Duration::from_secs(60)));
    let mut leader = world.sharing_instance().await;
    let led = tokio::spawn(async move { leader.get_token().await });
    world.until_exchanges(1).await;
    led.abort();
    assert!(led.await.unwrap_err().is_cancelled());

    world.file.rotate().unwrap();
    let mut follower = world.sharing_instance().await;
    let token = follower.get_token().await.unwrap();
    assert_eq!(world.message_with(&token).await, 200);
    assert_eq!(world.exchanges(), 2);
    assert!(follower.stderr().contains("Nothing was heard of the session that held the lease"), "{}", follower.stderr());
}

#[tokio::test]
async fn an_instance_without_a_directory_says_what_it_cannot_protect() {
    let world = World::start().await;
    let mut alone = world.instance().await;
    alone.get_token().await.unwrap();
    let text = "Identity tokens that can be exchanged once are not protected";
    assert_eq!(alone.stderr().matches(text).count(), 1, "{}", alone.stderr());
    assert!(alone.stderr().contains("WIF_STORE_DIRECTORY"), "{}", alone.stderr());
    assert!(alone.get_status().await.unwrap().warnings.iter().any(|warning| warning.starts_with(text)));

    let mut sharing = world.sharing_instance().await;
    sharing.get_token().await.unwrap_err();
    assert!(!sharing.stderr().contains(text), "{}", sharing.stderr());
    assert!(!sharing.get_status().await.unwrap().warnings.iter().any(|warning| warning.starts_with(text)));
}

#[tokio::test]
async fn a_directory_that_does_not_serve_is_a_failure_and_no_exchange() {
    let world = World::start().await;
    let failure = world.sharing_instance_with(FsPerms::ReadOnly).await.get_token().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::StoreFailed);
    assert!(failure.message.contains("WIF_STORE_DIRECTORY"), "{}", failure.message);

    let variables =
        vec![("WIF_CONFIGURATION", world.configuration().to_string()), ("WIF_STORE_DIRECTORY", "/elsewhere".to_owned())];
    let failure = world.instance_granted(world.grant(variables)).await.get_token().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::StoreFailed);
    assert!(failure.message.contains("/elsewhere"), "{}", failure.message);
    assert_eq!(world.exchanges(), 0);
}

/// The names of an entry's versions begin with its key.
async fn key(world: &World) -> String {
    world.sharing_instance().await.get_token().await.unwrap();
    let name = fs::read_dir(world.shared.path()).unwrap().next().expect("a version").unwrap().file_name();
    name.to_str().unwrap().split_once('.').unwrap().0.to_owned()
}

/// Neither waited for nor followed.
#[tokio::test]
async fn what_is_no_regular_file_is_refused() {
    let world = World::start().await;
    let newest = world.shared.path().join(format!("{}.1000", key(&world).await));
    let make: [(&str, &dyn Fn()); 2] = [
        ("a pipe", &|| rustix::fs::mkfifoat(rustix::fs::CWD, &newest, rustix::fs::Mode::RUSR).unwrap()),
        ("a link", &|| std::os::unix::fs::symlink(world.directory.path().join("token"), &newest).unwrap()),
    ];
    for (name, make) in make {
        make();
        let mut instance = world.sharing_instance().await;
        let failure = timeout(Duration::from_secs(20), instance.get_token()).await.expect("it is not opened").unwrap_err();
        assert_eq!(failure.code, FailureCode::StoreFailed, "{name}");
        assert!(failure.message.contains("no regular file"), "{name}: {}", failure.message);
        fs::remove_file(&newest).unwrap();
    }
}

/// D4: numbers beyond every range.
#[tokio::test]
async fn a_version_with_the_last_number_is_a_failure() {
    let world = World::start().await;
    fs::write(world.shared.path().join(format!("{}.{}", key(&world).await, u64::MAX)), "").unwrap();
    world.file.rotate().unwrap();
    let failure = world.sharing_instance().await.get_token().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::StoreFailed);
    assert!(failure.message.contains("the last number"), "{}", failure.message);
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the file system's own time")]
async fn entries_that_nobody_uses_any_longer_go() {
    let world = World::start().await;
    let key = key(&world).await;
    let other = key.chars().rev().collect::<String>();
    assert_ne!(key, other);
    let day = Duration::from_secs(86_400);
    let files = [
        (format!("{other}.7"), day + day, false),
        (format!("{other}.00000000000000ff.new"), day + day, false),
        (format!("{other}.8"), day / 2, true),
        ("notes.7".to_owned(), day + day, true),
        (format!("{other}.txt"), day + day, true),
    ];
    let path = |name: &str| world.shared.path().join(name);
    for (name, age, _) in &files {
        fs::File::create(path(name)).unwrap().set_modified(std::time::SystemTime::now() - *age).unwrap();
    }
    world.clock.forward(Duration::from_secs(3600));
    world.file.rotate().unwrap();
    world.sharing_instance().await.get_token().await.unwrap();
    for (name, _, stays) in &files {
        assert_eq!(path(name).exists(), *stays, "{name}");
    }
}

/// C4: the directory is away when the answer comes. Its instance lives until others know of it.
#[tokio::test]
async fn what_an_exchange_brought_is_saved_when_the_directory_is_back() {
    let world = World::start().await;
    let (inner, aside) = (world.shared.path().join("inner"), world.shared.path().join("aside"));
    fs::create_dir(&inner).unwrap();
    let instance = || async {
        let variables =
            vec![("WIF_CONFIGURATION", world.configuration().to_string()), ("WIF_STORE_DIRECTORY", "/shared/inner".to_owned())];
        let shared = Some((world.shared.path(), FsPerms::ReadWrite));
        world.instance_granted(Grant { shared, ..world.grant(variables) }).await
    };
    world.emulator.inject(Fault::Delay(Duration::from_secs(2)));
    let mut leader = instance().await;
    let led = tokio::spawn(async move { leader.get_token().await });
    world.until_exchanges(1).await;
    fs::rename(&inner, &aside).unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    fs::rename(&aside, &inner).unwrap();

    let first = led.await.unwrap().unwrap();
    assert_eq!(instance().await.get_token().await.unwrap().id, first.id);
    assert_eq!(world.exchanges(), 1);
}

/// G1: neither token is in what the component says, and the identity token is not in what it keeps.
#[tokio::test]
async fn no_token_is_in_a_line_and_no_identity_token_in_the_directory() {
    let world = World::start().await;
    let mut instance = world.sharing_instance().await;
    let credential = instance.get_token().await.unwrap();
    world.emulator.revoke_all();
    instance.reject_token(&credential.id).await;
    let said = format!("{}{:?}", instance.stderr(), instance.get_status().await.unwrap());
    let identity_token = world.file.current();
    let access_token = credential.set[0].value.trim_start_matches("Bearer ");
    for secret in [identity_token.expose(), access_token] {
        assert!(!said.contains(secret));
    }
    for file in fs::read_dir(world.shared.path()).unwrap() {
        let content = fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!content.contains(identity_token.expose()));
    }
}
