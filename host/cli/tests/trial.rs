//! `wif emulate -- COMMAND`: a command that everything leads to the emulator, and with which the emulator ends.
#![cfg(unix)]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::Command;

const LIMIT: Duration = Duration::from_secs(60);

const WIF: &str = env!("CARGO_BIN_EXE_wif");

fn wif(home: &Path) -> Command {
    let mut command = Command::new(WIF);
    command.env_clear().env("HOME", home).env("TMPDIR", home).env("PATH", "/usr/bin:/bin").current_dir(home).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn outcome(mut command: Command) -> (i32, String, String) {
    let output = tokio::time::timeout(LIMIT, command.output()).await.expect("it ends in time").expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

/// A script of a shell, run against the emulator.
async fn trial(home: &Path, options: &[&str], script: &str) -> (i32, String, String) {
    let mut command = wif(home);
    command.arg("emulate").args(options).args(["--", "sh", "-c", script, WIF]);
    outcome(command).await
}

#[tokio::test]
async fn a_command_is_led_to_the_emulator_as_often_as_it_runs() {
    let home = tempfile::tempdir().expect("a directory");
    // Edit, run, edit, run.
    let (code, stdout, stderr) = trial(home.path(), &[], "\"$0\" token && \"$0\" token && \"$0\" token").await;
    assert_eq!(code, 0, "{stderr}");
    let tokens: Vec<&str> = stdout.lines().collect();
    assert_eq!(tokens.len(), 3, "its standard output is the command's own: {stdout}");
    assert!(tokens.iter().all(|token| token.starts_with("sk-ant-oat01-")) && tokens[0] != tokens[1]);
    assert_eq!(stderr.matches("wif emulate: exchange granted").count(), 3, "{stderr}");
    let left = std::fs::read_dir(home.path()).expect("it is read").count();
    assert_eq!(left, 0, "something is left behind");
}

#[tokio::test]
async fn without_rotation_a_second_run_is_refused_as_in_production() {
    let home = tempfile::tempdir().expect("a directory");
    let script = "\"$0\" token && \"$0\" token --timeout 1";
    let (code, stdout, stderr) = trial(home.path(), &["--rotation", "timed"], script).await;
    assert_eq!((code, stdout.lines().count()), (5, 1), "{stderr}");
    assert!(stderr.contains("exchange denied (jti_reused)"), "{stderr}");
    let (_, _, stderr) = trial(home.path(), &["--quiet"], "\"$0\" token").await;
    assert!(!stderr.contains("exchange granted"), "{stderr}");
}

/// The command has what a shell has that evaluates what `wif emulate` prints.
#[tokio::test]
async fn the_variables_are_those_that_are_printed() {
    let home = tempfile::tempdir().expect("a directory");
    let hides = |command: &mut Command| {
        command.env("ANTHROPIC_API_KEY", "sk-ant-api03-x").env("ANTHROPIC_PROFILE", "p");
    };
    let mut command = wif(home.path());
    hides(&mut command);
    command.args(["emulate", "--", "sh", "-c", "env | grep -E '^(ANTHROPIC|WIF)_' | sort"]);
    let (code, of_the_command, stderr) = outcome(command).await;
    assert_eq!(code, 0, "{stderr}");

    let mut command = wif(home.path());
    hides(&mut command);
    let mut process = command.args(["emulate", "--port", "0", "--admin-port", "0"]).spawn().expect("it starts");
    let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
    let mut script = String::new();
    loop {
        let line = tokio::time::timeout(LIMIT, lines.next_line()).await.expect("in time").expect("it is read").expect("it runs");
        script.push_str(&line);
        script.push('\n');
        if line.starts_with("# then") {
            break;
        }
    }
    let mut shell = Command::new("sh");
    shell.env_clear().env("PATH", "/usr/bin:/bin");
    hides(&mut shell);
    shell.args(["-c", "eval \"$0\"; env | grep -E '^(ANTHROPIC|WIF)_' | sort", &script]).stdin(Stdio::null());
    let (_, evaluated, _) = outcome(shell).await;

    let names = |text: &str| text.lines().filter_map(|line| Some(line.split_once('=')?.0.to_owned())).collect::<Vec<_>>();
    assert_eq!(names(&of_the_command), names(&evaluated));
    assert!(names(&evaluated).contains(&"ANTHROPIC_IDENTITY_TOKEN_FILE".to_owned()), "{evaluated}");
    assert!(!names(&evaluated).contains(&"ANTHROPIC_API_KEY".to_owned()), "{evaluated}");
}

#[tokio::test]
async fn the_exit_code_is_that_of_the_command() {
    let home = tempfile::tempdir().expect("a directory");
    for (script, expected) in [("exit 0", 0), ("exit 42", 42), ("kill -KILL $$", 137)] {
        assert_eq!(trial(home.path(), &[], script).await.0, expected, "{script}");
    }
    for (program, expected, says) in [("no-such-program", 127, "no-such-program"), ("/", 126, "/")] {
        let mut command = wif(home.path());
        command.args(["emulate", "--", program]);
        let (code, _, stderr) = outcome(command).await;
        assert_eq!(code, expected, "{stderr}");
        assert!(stderr.contains(&format!("cannot run {says}")), "{stderr}");
    }
}

#[tokio::test]
async fn signals_reach_the_command_and_the_emulator_ends_with_it() {
    let home = tempfile::tempdir().expect("a directory");
    // Whoever runs the tests may have had one of them ignored, and then nothing hears it.
    for signal in ["TERM", "INT", "HUP"].into_iter().filter(|signal| !wif_test_tools::ignores(signal)) {
        let script = format!("trap 'exit 43' {signal}; echo $ANTHROPIC_BASE_URL; while :; do sleep 0.05; done");
        let mut command = wif(home.path());
        let mut process = command.args(["emulate", "--", "sh", "-c", &script]).spawn().expect("it starts");
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let line = tokio::time::timeout(LIMIT, lines.next_line()).await.expect("in time").expect("it is read");
        let address = line.expect("a line").strip_prefix("http://").expect("plain HTTP").to_owned();
        let pid = process.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().await.expect("kill runs").success());
        let status = tokio::time::timeout(LIMIT, process.wait()).await.expect("it ends").expect("it is waited for");
        assert_eq!(status.code(), Some(43), "{signal}");
        assert!(tokio::net::TcpStream::connect(&address).await.is_err(), "the emulator runs on");
    }
    assert_eq!(std::fs::read_dir(home.path()).expect("it is read").count(), 0, "something is left behind");
}

#[tokio::test]
async fn two_emulators_do_not_share_a_directory() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = wif(home.path());
    let mut first = command.args(["emulate", "--port", "0", "--admin-port", "0"]).spawn().expect("it starts");
    let mut lines = BufReader::new(first.stdout.take().expect("a pipe")).lines();
    while !lines.next_line().await.expect("it is read").expect("it runs").starts_with("# then") {}
    let token = std::fs::read(home.path().join("wif-emulator/token")).expect("a token");

    let mut second = wif(home.path());
    second.args(["emulate", "--port", "0", "--admin-port", "0"]);
    let (code, _, stderr) = outcome(second).await;
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("--directory") && stderr.contains("wif-emulator"), "{stderr}");
    assert_eq!(std::fs::read(home.path().join("wif-emulator/token")).expect("a token"), token);

    // Trials have directories of their own, beside it and beside each other.
    let script = "\"$0\" token > /dev/null && sleep 0.2 && \"$0\" token > /dev/null";
    let trials = tokio::join!(trial(home.path(), &[], script), trial(home.path(), &[], script));
    assert_eq!((trials.0.0, trials.1.0), (0, 0), "{} {}", trials.0.2, trials.1.2);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_the_way_out() {
    let home = tempfile::tempdir().expect("a directory");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    for (option, other) in [("--port", "--admin-port"), ("--admin-port", "--port")] {
        let mut command = wif(home.path());
        command.args(["emulate", option, &port, other, "0"]);
        let (code, _, stderr) = outcome(command).await;
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(&format!("{option} 0 takes a free port")) && stderr.contains(&port), "{stderr}");
    }
}

/// Standard input, too, is the command's own.
#[tokio::test]
async fn the_command_reads_what_is_piped_in() {
    use tokio::io::AsyncWriteExt as _;
    let home = tempfile::tempdir().expect("a directory");
    let mut command = wif(home.path());
    let mut process = command.args(["emulate", "--", "cat"]).stdin(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = process.stdin.take().expect("a pipe");
    stdin.write_all(b"hello").await.expect("it is written");
    drop(stdin);
    let mut said = String::new();
    process.stdout.take().expect("a pipe").read_to_string(&mut said).await.expect("it is read");
    assert_eq!(said, "hello");
    assert!(tokio::time::timeout(LIMIT, process.wait()).await.expect("it ends").expect("it is waited for").success());
}
