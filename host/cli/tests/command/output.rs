//! Where `wif token` puts a token: a shell, a helper of another program, a file that stays fresh.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use wif_emulator::{Emulator, Options};

use crate::place::{Place, Run};

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_takes_the_lines_and_then_has_the_token_alone() {
    let place = Place::new().await;
    let script = "export ANTHROPIC_API_KEY=old; unset WIF_LOG; lines=$(env -u ANTHROPIC_API_KEY \"$0\" token --env --allow-origin $ANTHROPIC_BASE_URL) \
                  && export CLAUDE_CODE_OAUTH_TOKEN=old && unset ANTHROPIC_BASE_URL && eval \"$lines\" \
                  && echo \"${ANTHROPIC_API_KEY-unset} $ANTHROPIC_AUTH_TOKEN ${CLAUDE_CODE_OAUTH_TOKEN-unset} $ANTHROPIC_BASE_URL\"";
    let mut command = std::process::Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_wif")]);
    let with = place.wif();
    command.env_clear().envs(with.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PATH", "/usr/bin:/bin");
    let run = Run::of(command).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    let words: Vec<&str> = run.stdout.split_whitespace().collect();
    let [key, token, other, url] = words[..] else { panic!("four words: {}", run.stdout) };
    assert_eq!((key, other), ("unset", "unset"));
    assert_eq!(url.trim_end_matches('/'), place.emulator.base_url().trim_end_matches('/'));
    assert!(place.emulator.revoke(token), "{}", run.stdout);
}

/// What Claude Code wants of its `apiKeyHelper`: one word of printable ASCII, of at most 16,384 characters, exit code 0; it is run
/// again every few minutes.
#[tokio::test(flavor = "multi_thread")]
async fn the_output_is_fit_for_an_api_key_helper() {
    let place = Place::new().await;
    let state = place.path("state");
    let mut printed = Vec::new();
    for _ in 0..2 {
        let run = place.run(&["token", "--state", &state]).await;
        assert_eq!(run.code, 0, "{}", run.stderr);
        let word = run.stdout.strip_suffix('\n').expect("one line").to_owned();
        assert!(word.len() <= 16_384 && word.bytes().all(|byte| byte.is_ascii_graphic()), "{word}");
        printed.push(word);
    }
    assert_eq!(printed[0], printed[1]);
    assert_eq!(place.emulator.counts().exchanges, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_written_once_for_its_owner_alone() {
    let place = Place::new().await;
    let file = place.path("access");
    let run = place.run(&["token", "--output", &file]).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    let token = std::fs::read_to_string(&file).expect("it is read");
    assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert!(run.stdout.contains("holds the access token") && !run.stdout.contains(token.trim()), "{}", run.stdout);
    assert!(place.emulator.revoke(token.trim()));

    // A place where no file can be costs no identity token.
    place.file.rotate().expect("it rotates");
    let run = place.run(&["token", "--output", place.directory.path().to_str().expect("a path")]).await;
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert_eq!(place.emulator.counts().exchanges, 1);
}

/// Access tokens of twelve seconds, so that a refresh is quick to watch.
#[tokio::test(flavor = "multi_thread")]
async fn a_watched_file_is_replaced_before_its_token_ends_and_the_command_ends_cleanly() {
    let options =
        Options { token_lifetime_seconds: 12, shortest_lifetime_seconds: 1, rotate_when_exchanged: true, ..Options::default() };
    let emulator = Emulator::start(options).await.expect("the emulator starts");
    let directory = tempfile::tempdir().expect("a directory");
    let identity = emulator.identity_provider().publish(directory.path().join("token")).expect("it is published");
    let place = Place { emulator, file: identity, directory };
    let file = place.path("access");
    let mut command = place.wif();
    command.args(["token", "--output", &file, "--watch", "--allow-origin", place.emulator.base_url()]).env("WIF_LOG", "");
    let mut process =
        tokio::process::Command::from(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let line = tokio::time::timeout(LIMIT, lines.next_line()).await.expect("in time").expect("it is read").expect("it runs");
        assert!(line.contains(&file) && line.contains("holds the access token"), "{line}");
        let token = std::fs::read_to_string(&file).expect("it is read").trim().to_owned();
        assert!(!line.contains(&token));
        assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
        tokens.push(token);
    }
    assert_ne!(tokens[0], tokens[1]);
    let pid = process.id().expect("it runs").to_string();
    assert!(tokio::process::Command::new("kill").args(["-s", "TERM", &pid]).status().await.expect("kill runs").success());
    let status = tokio::time::timeout(LIMIT, process.wait()).await.expect("it ends").expect("it is waited for");
    assert_eq!(status.code(), Some(0));
    let left: Vec<_> = std::fs::read_dir(place.directory.path()).expect("it is read").filter_map(Result::ok).collect();
    assert!(left.iter().all(|entry| !entry.file_name().to_string_lossy().ends_with(".new")), "{left:?}");
}

/// A disk that was full, say: the file is written as soon as it can be, and not at the next refresh.
#[tokio::test(flavor = "multi_thread")]
async fn a_watched_file_that_could_not_be_written_is_tried_again() {
    let options =
        Options { token_lifetime_seconds: 24, shortest_lifetime_seconds: 1, rotate_when_exchanged: true, ..Options::default() };
    let emulator = Emulator::start(options).await.expect("the emulator starts");
    let directory = tempfile::tempdir().expect("a directory");
    let identity = emulator.identity_provider().publish(directory.path().join("token")).expect("it is published");
    let place = Place { emulator, file: identity, directory };
    let (here, away) = (place.path("out"), place.path("away"));
    std::fs::create_dir(&here).expect("it is made");
    let file = format!("{here}/access");
    let mut command = place.wif();
    command.args(["token", "--output", &file, "--watch", "--allow-origin", place.emulator.base_url()]).env("WIF_LOG", "");
    let mut process = tokio::process::Command::from(command)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    let mut complaints = BufReader::new(process.stderr.take().expect("a pipe")).lines();
    tokio::time::timeout(LIMIT, lines.next_line()).await.expect("in time").expect("it is read").expect("it runs");
    let first = std::fs::read_to_string(&file).expect("it is read");
    std::fs::rename(&here, &away).expect("it is moved");
    loop {
        let line = tokio::time::timeout(LIMIT, complaints.next_line()).await.expect("in time").expect("it is read");
        if line.expect("it runs").contains("cannot write") {
            break;
        }
    }
    let exchanges = place.emulator.counts().exchanges;
    std::fs::rename(&away, &here).expect("it is moved back");
    tokio::time::timeout(LIMIT, lines.next_line()).await.expect("in time").expect("it is read").expect("it runs");
    assert_ne!(std::fs::read_to_string(&file).expect("it is read"), first);
    assert_eq!(place.emulator.counts().exchanges, exchanges, "it waited for the next refresh");
}
