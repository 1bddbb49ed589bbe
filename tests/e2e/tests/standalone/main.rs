//! The standalone component in a plain component runtime, against the emulator on loopback.

#![cfg(unix)]

mod cost;
mod engine;
mod host;
mod imports;
mod sharing;
mod sources;

use std::time::Duration;

use host::{
    Grant, World,
    bindings::exports::wif::credential::types::{FailureCode, State},
};
use serde_json::json;
use wif_emulator::{Fault, TokenId};
use wif_test_tools::SwappedMount;

#[tokio::test]
async fn an_identity_token_from_a_mounted_file_is_exchanged_and_the_api_accepts_what_it_brings() {
    let world = World::start().await;
    let credential = world.instance().await.get_token().await.unwrap();

    assert_eq!(world.message_with(&credential).await, 200);
    let history = world.emulator.history();
    assert_eq!(history[0].assertion_id, Some(world.file.current().id()));
    assert_eq!(history[0].access_token_id.as_ref().map(TokenId::as_str), Some(credential.id.as_str()));
    let hour = Duration::from_secs(3600).as_millis() as u64;
    assert!(credential.unusable_in_ms.is_some_and(|left| (hour - 60_000..=hour).contains(&left)));
}

/// A4: a mount is swapped all the time, as a kubelet does it: what it showed before is removed at once. Each instance reads it once.
#[tokio::test(flavor = "multi_thread")]
async fn a_mount_that_is_swapped_while_it_is_read_is_there() {
    let world = World::start().await;
    let mount = SwappedMount::showing([world.file.current().expose(); 2]);
    for _ in 0..600 {
        let grant = world.grant(vec![("WIF_CONFIGURATION", world.configuration().to_string())]);
        let mut instance = world.instance_granted(Grant { mount: Some(mount.path()), ..grant }).await;
        // All of them read the same identity token, which can be exchanged once.
        if let Err(failure) = instance.get_token().await {
            assert_eq!(failure.code, FailureCode::Refused, "{failure:?}");
        }
    }
}

#[tokio::test]
async fn the_second_call_is_served_from_memory() {
    let world = World::start().await;
    let mut instance = world.instance().await;
    let first = instance.get_token().await.unwrap();
    let second = instance.get_token().await.unwrap();
    assert_eq!(first.id, second.id);
    assert_eq!(world.exchanges(), 1);
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once_its_identity_token_has_rotated() {
    let world = World::start().await;
    let mut instance = world.instance().await;
    let first = instance.get_token().await.unwrap();
    world.emulator.revoke_all();
    assert_eq!(world.message_with(&first).await, 401);

    world.file.rotate().unwrap();
    world.clock.forward(Duration::from_secs(10));
    instance.reject_token("0123456789abcdef").await;
    assert_eq!(instance.get_token().await.unwrap().id, first.id, "another id does nothing");

    instance.reject_token(&first.id).await;
    let second = instance.get_token().await.unwrap();
    assert_ne!(first.id, second.id);
    assert_eq!(world.message_with(&second).await, 200);
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn a_refusal_comes_back_as_a_typed_failure() {
    let world = World::start().await;
    let mut configuration = world.configuration();
    configuration["federation"]["federation_rule_id"] = json!("fdrl_01another");
    let failure = world.instance_with(&configuration).await.get_token().await.unwrap_err();

    assert_eq!(failure.code, FailureCode::Refused);
    assert_eq!(failure.status, Some(401));
    assert_eq!(failure.request_id.as_deref(), Some(world.emulator.history()[0].request_id.as_str()));
    assert!(failure.retry_in_ms.is_some_and(|wait| wait > 0));
    assert!(!failure.message.contains(world.file.current().expose()));
}

/// Whatever it is asked, nothing is begun that would be overdue when somebody needs it.
#[tokio::test]
async fn a_glance_starts_nothing() {
    let world = World::start().await;
    for mut instance in [world.instance().await, world.sharing_instance().await] {
        let before = world.exchanges();
        for _ in 0..2 {
            assert_eq!(instance.get_origin().await.unwrap(), world.emulator.base_url());
            let status = instance.get_status().await.unwrap();
            assert_eq!((status.state, status.exchanges_started), (State::Idle, 0), "{}", status.summary);
            world.clock.forward(Duration::from_secs(6));
        }
        assert_eq!(world.exchanges(), before);
        let credential = instance.get_token().await.unwrap();
        assert_eq!(world.message_with(&credential).await, 200);
        assert_eq!(instance.get_status().await.unwrap().exchanges_started, 1);
        world.file.rotate().unwrap();
    }
    // The first glance of another shows what is in the directory.
    let status = world.sharing_instance().await.get_status().await.unwrap();
    assert!(status.token.is_some() && status.exchanges_started == 0, "{}", status.summary);
}

#[tokio::test]
async fn a_refresh_runs_beside_its_callers() {
    let world = World::start().await;
    let mut instance = world.instance().await;
    let first = instance.get_token().await.unwrap();
    // Three quarters of a minute before the end a refresh is due, and there is time for it.
    world.clock.forward(Duration::from_secs(3600 - 45));
    world.file.rotate().unwrap();
    world.emulator.set_outage(Some(Fault::Delay(Duration::from_secs(2))));

    let serving = tokio::time::timeout(Duration::from_secs(1), instance.get_token());
    assert_eq!(serving.await.expect("nobody waits").unwrap().id, first.id);
    // The exchange goes on while nobody calls.
    world.until_exchanges(2).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let second = instance.get_token().await.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn in_the_last_seconds_a_caller_waits_for_the_refresh_but_not_for_long() {
    let world = World::start().await;
    let mut instance = world.instance().await;
    let first = instance.get_token().await.unwrap();
    world.clock.forward(Duration::from_secs(3600 - 20));
    world.file.rotate().unwrap();
    world.emulator.inject(Fault::Delay(Duration::from_secs(3)));

    let (waited, served) = timed(instance.get_token()).await;
    assert_eq!(served.unwrap().id, first.id);
    assert!((900..2_500).contains(&waited.as_millis()), "{waited:?}");

    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut served = instance.get_token().await.unwrap();
    if served.id == first.id {
        served = instance.get_token().await.unwrap();
    }
    assert_ne!(served.id, first.id, "the exchange that was not waited for has ended");
    assert_eq!(world.exchanges(), 2);
}

#[tokio::test]
async fn without_a_token_a_caller_waits_for_a_slow_endpoint() {
    let world = World::start().await;
    world.emulator.inject(Fault::Delay(Duration::from_secs(2)));
    let (waited, served) = timed(async { world.instance().await.get_token().await }).await;
    assert_eq!(world.message_with(&served.unwrap()).await, 200);
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
}

#[tokio::test]
async fn discovery_reads_the_variables() {
    let world = World::start().await;
    let options = world.emulator.options();
    let variables = vec![
        ("ANTHROPIC_BASE_URL", world.emulator.base_url().to_owned()),
        ("ANTHROPIC_FEDERATION_RULE_ID", options.federation_rule_id.clone()),
        ("ANTHROPIC_ORGANIZATION_ID", options.organization_id.clone()),
        ("ANTHROPIC_SERVICE_ACCOUNT_ID", options.service_account_id.clone()),
        ("ANTHROPIC_IDENTITY_TOKEN_FILE", "/var/run/secrets/anthropic/token".to_owned()),
    ];
    let credential = world.instance_granted(world.grant(variables)).await.get_token().await.unwrap();
    assert_eq!(world.message_with(&credential).await, 200);
}

#[tokio::test]
async fn what_the_host_denies_is_named() {
    let world = World::start().await;
    let variables = || vec![("WIF_CONFIGURATION", world.configuration().to_string())];

    let grant = Grant { authority: "api.anthropic.com".to_owned(), ..world.grant(variables()) };
    let failure = world.instance_granted(grant).await.get_token().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::DeniedByHost, "{}", failure.message);

    let grant = Grant { mount: None, ..world.grant(variables()) };
    let failure = world.instance_granted(grant).await.get_token().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::IdentityTokenUnreadable, "{}", failure.message);
    assert!(failure.message.contains("the host has opened no directory that holds it (wasmtime: --dir)"), "{}", failure.message);
    assert_eq!(world.exchanges(), 0);
}

#[tokio::test]
async fn only_regular_files_within_the_mount_are_read() {
    let world = World::start().await;
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(outside.path(), world.directory.path().join("escape")).unwrap();
    std::fs::create_dir(world.directory.path().join("directory")).unwrap();
    std::fs::write(world.directory.path().join("long"), vec![b'x'; 1 << 20]).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, world.directory.path().join("pipe"), rustix::fs::Mode::RUSR).unwrap();

    for name in ["escape", "directory", "long", "pipe"] {
        let mut configuration = world.configuration();
        configuration["federation"]["identity_token"]["path"] = json!(format!("/var/run/secrets/anthropic/{name}"));
        let failure = world.instance_with(&configuration).await.get_token().await.unwrap_err();
        assert_eq!(failure.code, FailureCode::IdentityTokenUnreadable, "{name}: {}", failure.message);
    }
}

#[tokio::test]
async fn a_request_is_told_apart_by_whether_it_left() {
    let world = World::start().await;
    // Answers that do not arrive, or are too long: perhaps spent, and not repeated at once.
    for fault in [Fault::DropBeforeAnswer, Fault::Raw200(vec![b' '; 1 << 20])] {
        world.file.rotate().unwrap();
        let before = world.exchanges();
        world.emulator.inject(fault);
        let failure = world.instance().await.get_token().await.unwrap_err();
        assert_eq!(failure.code, FailureCode::EndpointUnreachable, "{}", failure.message);
        assert_eq!(world.exchanges(), before + 1);
    }
    // A redirect is not followed.
    world.file.rotate().unwrap();
    world.emulator.inject(Fault::Redirect { to: format!("{}/v1/oauth/token", world.emulator.base_url()) });
    let before = world.exchanges();
    let failure = world.instance().await.get_token().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::AnswerUnusable, "{}", failure.message);
    assert_eq!(world.exchanges(), before + 1);

    // Nobody listens: nothing left, and the reason says so.
    let mut configuration = world.configuration();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    configuration["base_url"] = json!(format!("http://{closed}"));
    let grant = Grant { authority: closed.to_string(), ..world.grant(vec![("WIF_CONFIGURATION", configuration.to_string())]) };
    let failure = world.instance_granted(grant).await.get_token().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::EndpointUnreachable);
    assert!(failure.message.contains("refused"), "{}", failure.message);
}

#[tokio::test]
async fn a_configuration_that_can_never_work_names_its_field() {
    let world = World::start().await;
    let mut configuration = world.configuration();
    configuration["federation"]["identity_token"] = json!({ "source": "callable", "name": "mine", "freshness": "minted" });
    let failure = world.instance_with(&configuration).await.get_token().await.unwrap_err();
    assert_eq!(failure.code, FailureCode::Configuration);
    assert!(failure.message.contains("WIF_CONFIGURATION"), "{}", failure.message);
    assert!(failure.message.contains("federation.identity_token.source"), "{}", failure.message);
}

#[allow(clippy::disallowed_methods, reason = "how long a caller is held up is what is tested")]
async fn timed<T>(call: impl Future<Output = T>) -> (Duration, T) {
    let start = std::time::Instant::now();
    let value = call.await;
    (start.elapsed(), value)
}
