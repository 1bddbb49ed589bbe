//! Tokens and where they are kept.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use wif_emulator::Fault;

use crate::place::{Place, Run, bare};

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstration_reads_as_a_story() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = bare(home.path());
    command.arg("demo");
    let run = tokio::time::timeout(Duration::from_secs(90), Run::of(command)).await.expect("it ends in time");
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
    // Each line stands after its cause.
    let mut rest = &run.stdout[..];
    for line in [
        "engine: exchange-started",
        "server: exchange granted",
        "engine: exchange-succeeded",
        "client: sends a message",
        "server: message granted",
        "client: read",
        "engine: waiting-for-rotation",
        "client: is served on",
        "platform: publishes another identity token",
        "engine: identity-token-rotated",
        "engine: exchange-started",
        "server: exchange granted",
        "engine: exchange-succeeded",
        "administrator: revokes access token",
        "client: sends a message",
        "server: message denied (token_revoked)",
        "client: got status 401",
        "engine: token-rejected",
        "server: exchange granted",
        "engine: exchange-succeeded",
        "server: message granted",
        "exchanges: the engine counts 3, the server 3",
    ] {
        let (_, after) = rest.split_once(line).unwrap_or_else(|| panic!("{line:?} has no place in\n{}", run.stdout));
        rest = after;
    }
    let longest = run.stdout.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    assert!(longest <= 100, "a line of {longest} columns in\n{}", run.stdout);
    for alarm in ["lifetimes-conflict", "exchange-failed", "token-unusable"] {
        assert!(!run.stdout.contains(alarm), "nothing is wrong, and {alarm} stands in\n{}", run.stdout);
    }
    assert!(!run.stdout.contains("sk-ant-oat01-") && !run.stderr.contains("sk-ant-oat01-"), "the access token was printed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_printed_bare_and_as_json_and_the_logs_do_not_hold_it() {
    let place = Place::new().await;
    let plain = place.run(&["token"]).await;
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    let token = plain.stdout.trim();
    assert!(token.starts_with("sk-ant-oat01-"));
    assert!(plain.stderr.contains("exchange-succeeded"), "the log is empty: {}", plain.stderr);
    assert!(!plain.stderr.contains(token));
    assert!(!plain.stderr.contains(place.file.current().expose()));

    place.file.rotate().expect("it rotates");
    let run = place.run(&["token", "--json"]).await;
    let document = run.json();
    assert_eq!(document["origin"], place.emulator.base_url());
    assert_eq!(document["header"], "authorization");
    assert!(document["unusable_in_ms"].as_u64().is_some_and(|left| left > 3_000_000));
    assert_eq!(document["id"], wif_emulator::TokenId::of(document["token"].as_str().expect("a token")).as_str());
}

/// A8b: with a state file an identity token that can be exchanged once serves more than one run.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_file_spares_the_second_run_its_exchange() {
    let place = Place::new().await;
    let state = place.directory.path().join("state");
    let state = state.to_str().expect("a path");
    let first = place.run(&["token", "--state", state]).await;
    let second = place.run(&["token", "--state", state]).await;
    assert_eq!((first.code, second.code), (0, 0), "{}", second.stderr);
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(place.emulator.counts().exchanges, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_file_in_a_directory_that_is_missing_names_it_and_sends_nothing() {
    let place = Place::new().await;
    let state = place.path("missing/state.json");
    let run = place.run(&["token", "--state", &state]).await;
    assert_ne!(run.code, 0);
    let expected = format!("--state: the directory {} does not exist: make it", place.path("missing"));
    assert!(run.stderr.contains(&expected), "{}", run.stderr);
    assert_eq!(place.emulator.counts().exchanges, 0);
}

/// A8: one state file, two configurations. The one that is refused takes nothing from the other.
#[tokio::test]
async fn a_state_file_keeps_what_each_configuration_has() {
    let place = Place::new().await;
    let state = place.directory.path().join("state");
    let state = state.to_str().expect("a path");
    let first = place.run(&["token", "--state", state]).await;
    let mut other = place.wif();
    other.args(["token", "--timeout", "1", "--state", state, "--allow-origin", place.emulator.base_url()]);
    other.env("ANTHROPIC_WORKSPACE_ID", "wrkspc_other");
    let other = Run::of(other).await;
    assert_ne!(other.code, 0, "{}", other.stdout);
    assert!(!other.stdout.contains("sk-ant"), "{}", other.stdout);
    let again = place.run(&["token", "--state", state]).await;
    assert_eq!((first.code, again.code), (0, 0), "{}", again.stderr);
    assert_eq!(first.stdout, again.stdout);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_token_that_cannot_be_printed_is_an_error() {
    let place = Place::new().await;
    let mut command = place.wif();
    command.args(["token", "--allow-origin", place.emulator.base_url()]);
    let status = tokio::task::spawn_blocking(move || {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
        command.stdout(full).stderr(Stdio::piped()).spawn().expect("it starts").wait_with_output().expect("it ends")
    });
    let output = status.await.expect("it is awaited");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("cannot write to standard output"), "{stderr}");
    assert_eq!(place.emulator.counts().exchanges, 0, "the identity token was spent for nothing");
}

/// Several processes that share a state file and an identity token make one exchange.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_together_share_one_exchange() {
    let place = Place::new().await;
    let state = place.directory.path().join("state");
    let state = state.to_str().expect("a path");
    let arguments = ["token", "--state", state];
    let run = || place.run(&arguments);
    let runs = tokio::join!(run(), run(), run(), run());
    for run in [&runs.0, &runs.1, &runs.2, &runs.3] {
        assert_eq!((run.code, &run.stdout), (0, &runs.0.stdout), "{}", run.stderr);
    }
    assert_eq!(place.emulator.counts().exchanges, 1);
}

/// A7: a run that is killed in the middle of an exchange has written down that it was out: the next run finds out with one
/// repeat, and the one after that sends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_leaves_what_the_next_one_needs_to_know() {
    let place = Place::new().await;
    let state = place.directory.path().join("state");
    let state = state.to_str().expect("a path");
    place.emulator.inject(Fault::Delay(Duration::from_secs(60)));
    let mut command = place.wif();
    command.args(["token", "--state", state, "--allow-origin", place.emulator.base_url()]);
    let mut killed = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut history = place.emulator.subscribe();
    while place.emulator.exchanges_granted() == 0 {
        history.changed().await.expect("the emulator runs");
    }
    killed.kill().and_then(|()| killed.wait()).expect("it was running");

    for exchanges in [2, 2] {
        let run = place.run(&["token", "--timeout", "7", "--state", state]).await;
        assert_eq!(run.code, 4, "{}", run.stderr);
        assert!(run.stderr.contains("can be exchanged once, and was"), "{}", run.stderr);
        assert_eq!(place.emulator.counts().exchanges, exchanges);
    }
    place.file.rotate().expect("it rotates");
    let run = place.run(&["token", "--state", state]).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
}

/// B5: no proxy leads back to the machine that asks it.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_to_this_machine_passes_the_proxy_by() {
    let place = Place::new().await;
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    proxy.set_nonblocking(true).expect("it can");
    let url = format!("http://user:canary@{}", proxy.local_addr().expect("it is bound"));
    let mut command = place.wif();
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(name, &url);
    }
    command.args(["token", "--allow-origin", place.emulator.base_url()]);
    let run = Run::of(command).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(proxy.accept().is_err(), "the proxy was asked");
    assert!(!run.stderr.contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_configured_says_what_to_set() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = bare(home.path());
    command.arg("token");
    let run = Run::of(command).await;
    assert_eq!(run.code, 3);
    assert!(run.stderr.contains("ANTHROPIC_FEDERATION_RULE_ID"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_cannot_work_is_refused_by_the_name_of_its_field() {
    let place = Place::new().await;
    let path = place.directory.path().join("configuration.json");
    let document = json!({ "federation": {
        "federation_rule_id": "fdrl_1", "organization_id": "org_1", "identity_token": { "source": "file", "path": "/token" },
    } });
    for (document, says) in [
        (document.to_string(), "federation.organization_id: must be a bare UUID"),
        ("{".to_owned(), "the configuration is not JSON: the fault is at line 1"),
        ("[]".to_owned(), "the configuration must be an object"),
    ] {
        std::fs::write(&path, document).expect("it is written");
        for command in ["token", "status"] {
            let run = place.run(&[command, "--configuration", path.to_str().expect("a path")]).await;
            assert_eq!(run.code, 3);
            assert!(run.stderr.contains(&format!("{}: {says}", path.display())), "{}", run.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_the_policy_does_not_know_is_not_spoken_to() {
    let place = Place::new().await;
    let mut command = place.wif();
    command.arg("token");
    let run = Run::of(command).await;
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains(&format!("--allow-origin {}", place.emulator.base_url())), "{}", run.stderr);
    assert!(run.stderr.contains("--allow-loopback"), "{}", run.stderr);
    let said = run.stderr.lines().filter(|line| line.starts_with("wif: ") || line.starts_with("     "));
    assert!(said.clone().count() > 0 && said.clone().all(|line| !line.contains("Policy::")), "{}", run.stderr);
    assert_eq!(place.emulator.counts().exchanges, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_tells_the_request_id_and_the_exit_code_tells_it_from_an_outage() {
    let place = Place::new().await;
    let spent = place.run(&["token"]).await;
    assert_eq!(spent.code, 0, "{}", spent.stderr);
    let refused = place.run(&["token", "--timeout", "1"]).await;
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("req_"), "{}", refused.stderr);
    assert!(refused.stderr.contains("already exchanged"), "{}", refused.stderr);
    let said: Vec<&str> = refused.stderr.lines().filter(|line| line.starts_with("     ") && line.contains("rotate")).collect();
    assert!(said.len() == 1 && said[0].contains("--state FILE"), "{}", refused.stderr);

    place.file.rotate().expect("it rotates");
    place.emulator.set_outage(Some(Fault::status(503)));
    let outage = place.run(&["token", "--timeout", "1"]).await;
    assert_eq!(outage.code, 4, "{}", outage.stderr);
    assert!(outage.stdout.is_empty());
}
