//! `wif exec`: a program with a fresh token, and with nothing of what the token was made from.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::place::{Place, Run, bare};

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn the_command_has_a_token_that_the_api_takes_and_no_other_credential() {
    let place = Place::new().await;
    let mut command = place.wif();
    command.args(["exec", "--allow-origin", place.emulator.base_url(), "--", "env"]);
    command.env("ANTHROPIC_CONFIG_DIR", "/nowhere").env("CLAUDE_CODE_OAUTH_TOKEN", "").env("OTHER", "kept");
    command
        .env("CLAUDE_CODE_OAUTH_REFRESH_TOKEN", "x")
        .env("CLAUDE_CODE_OAUTH_SCOPES", "x")
        .env("ANTHROPIC_CUSTOM_HEADERS", "x: y");
    let run = Run::of(command).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    let mut named: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("ANTHROPIC_") || name.starts_with("CLAUDE_"))
        .collect();
    named.sort_unstable();
    assert_eq!(named, ["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"]);
    assert!(run.stdout.contains("OTHER=kept"));
    assert!(run.stderr.contains("for 59 min. It is not refreshed while the command runs."), "{}", run.stderr);
    let token = run.stdout.lines().find_map(|line| line.strip_prefix("ANTHROPIC_AUTH_TOKEN=")).expect("a token");
    assert!(place.emulator.revoke(token), "it is a token of the endpoint");
    assert!(!run.stderr.contains(token));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_is_the_commands_and_without_a_token_it_is_not_run() {
    let place = Place::new().await;
    let state = place.path("state");
    for (script, expected) in [("exit 0", 0), ("exit 42", 42), ("kill -KILL $$", 137)] {
        let run = place.run_before(&["exec", "--quiet", "--state", &state], &["sh", "-c", script]).await;
        assert_eq!(run.code, expected, "{script}: {}", run.stderr);
        assert!(!run.stderr.contains("It is not refreshed"));
    }
    assert_eq!(place.run_before(&["exec", "--state", &state], &["no-such-program"]).await.code, 127);
    assert_eq!(place.emulator.counts().exchanges, 1);
    let made = place.path("made");
    let mut command = bare(place.directory.path());
    command.args(["exec", "--", "touch", &made]);
    assert_eq!(Run::of(command).await.code, 3);
    assert!(!std::path::Path::new(&made).exists());
}

/// Whoever runs for hours must not hold up the others.
#[tokio::test(flavor = "multi_thread")]
async fn the_state_file_is_free_while_the_command_runs() {
    let place = Place::new().await;
    let state = place.path("state");
    let inner = ["sh", "-c", "\"$0\" token --allow-loopback --timeout 5 --state \"$1\"", env!("CARGO_BIN_EXE_wif"), &state];
    let run = place.run_before(&["exec", "--quiet", "--state", &state], &inner).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("sk-ant-oat01-"), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_command() {
    let place = Place::new().await;
    // Whoever runs the tests may have had one of them ignored, and then nothing hears it.
    for signal in ["TERM", "INT", "HUP"].into_iter().filter(|signal| !wif_test_tools::ignores(signal)) {
        let state = place.path("state");
        let script = format!("trap 'exit 43' {signal}; echo ready; while :; do sleep 0.05; done");
        let mut command = place.wif();
        command.args(["exec", "--state", &state, "--allow-origin", place.emulator.base_url(), "--", "sh", "-c", &script]);
        // Not in the foreground of a terminal, where the command would have the signal from that.
        command.process_group(0);
        let mut process =
            tokio::process::Command::from(command).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let line = tokio::time::timeout(LIMIT, lines.next_line()).await.expect("in time").expect("it is read");
        assert_eq!(line.as_deref(), Some("ready"));
        let pid = process.id().expect("it runs").to_string();
        let killed = tokio::process::Command::new("kill").args(["-s", signal, &pid]).status().await.expect("kill runs");
        assert!(killed.success());
        let status = tokio::time::timeout(LIMIT, process.wait()).await.expect("it ends").expect("it is waited for");
        assert_eq!(status.code(), Some(43), "{signal}");
    }
}

/// As `nohup` and a shell's `&` have it.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_that_was_ignored_stays_ignored() {
    let place = Place::new().await;
    let script = "trap '' HUP; exec \"$0\" exec --allow-loopback -- sh -c 'kill -s HUP $$; kill -s HUP $PPID; echo alive'";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_wif")]).env_clear();
    command.envs(place.wif().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let run = Run::of(command).await;
    assert_eq!((run.code, run.stdout.trim()), (0, "alive"), "{}", run.stderr);
}

/// The variable may have any name.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_does_not_see_the_variable_that_holds_the_identity_token() {
    let place = Place::new().await;
    let options = place.emulator.options();
    let document = json!({
        "base_url": place.emulator.base_url(),
        "federation": {
            "federation_rule_id": options.federation_rule_id,
            "organization_id": options.organization_id,
            "service_account_id": options.service_account_id,
            "identity_token": { "source": "variable", "name": "CI_TOKEN" },
        },
    });
    let path = place.path("configuration.json");
    std::fs::write(&path, document.to_string()).expect("it is written");
    let identity = std::fs::read_to_string(place.file.path()).expect("it is read");
    let mut command = bare(place.directory.path());
    command.args(["exec", "--configuration", &path, "--allow-origin", place.emulator.base_url(), "--", "env"]);
    command.env("CI_TOKEN", identity.trim()).env("CI_OTHER", "kept");
    let run = Run::of(command).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("CI_OTHER=kept") && run.stdout.contains("ANTHROPIC_AUTH_TOKEN="), "{}", run.stdout);
    assert!(!run.stdout.contains("CI_TOKEN") && !run.stdout.contains(identity.trim()), "{}", run.stdout);
    assert!(!run.stderr.contains("no variable passes on"), "{}", run.stderr);
}

/// A static key is handed on as what it is.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_stays_an_api_key() {
    let place = Place::new().await;
    let mut command = bare(place.directory.path());
    command.args(["exec", "--", "env"]).env("ANTHROPIC_API_KEY", "sk-ant-api03-x");
    let run = Run::of(command).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("ANTHROPIC_API_KEY=sk-ant-api03-x") && !run.stdout.contains("AUTH_TOKEN"), "{}", run.stdout);
}
