//! State in a Redis server, for runs on many machines.

use std::collections::BTreeSet;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;

use wif_test_tools::{Redis, or_not_run};

use crate::place::{Place, Run};

/// `openssl rand -base64 32` made it.
const KEY: &str = "Hs9zYdYbnr3+DnfWCvJI0fhROOFKnZ4EVpPOdLS3UGg=";

const PASSWORD: &str = "a-password-of-the-tests";

/// A Redis server that asks for a password; none where there is no package.
fn redis() -> Option<Redis> {
    or_not_run(Redis::start(&[&format!("requirepass {PASSWORD}")]))
}

fn url(redis: &Redis) -> String {
    format!("redis://127.0.0.1:{}", redis.port())
}

/// A file that its owner alone can read.
fn file(place: &Place, name: &str, content: &str) -> String {
    let path = place.path(name);
    std::fs::write(&path, content).expect("it is written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode changes");
    path
}

/// `wif token` with the password in its variable.
async fn token(place: &Place, state: &str, more: &[&str]) -> Run {
    let mut command = place.wif();
    command.env("WIF_STATE_PASSWORD", PASSWORD);
    command.args(["token", "--timeout", "30", "--state", state, "--allow-origin", place.emulator.base_url()]).args(more);
    Run::of(command).await
}

/// Many processes start at once, as on many machines: one exchange, and all have its token.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_that_share_a_server_make_one_exchange() {
    let Some(redis) = redis() else { return };
    let place = Arc::new(Place::new().await);
    let (state, key) = (url(&redis), file(&place, "key", KEY));
    // As many as a machine of two cores starts at once without ending their components for slowness.
    let at_once = Arc::new(tokio::sync::Semaphore::new(12));
    let runs = (0..50).map(|_| {
        let (place, state, key, at_once) = (Arc::clone(&place), state.clone(), key.clone(), Arc::clone(&at_once));
        tokio::spawn(async move {
            let _turn = at_once.acquire_owned().await.expect("it is open");
            loop {
                let run = token(&place, &state, &["--state-key", &key]).await;
                if !run.stderr.contains("wasm trap: interrupt") {
                    return run;
                }
            }
        })
    });
    let mut tokens = BTreeSet::new();
    for run in runs.collect::<Vec<_>>() {
        let run = run.await.expect("it ends");
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(!run.stderr.contains(PASSWORD) && !run.stderr.contains(KEY), "{}", run.stderr);
        tokens.insert(run.stdout.trim().to_owned());
    }
    assert_eq!((tokens.len(), place.emulator.counts().exchanges), (1, 1));
    let (token, dump) = (tokens.pop_first().expect("one"), redis.dump());
    assert!(!dump.windows(token.len()).any(|window| window == token.as_bytes()), "it is sealed");
    assert!(!redis.ask(["--scan"]).is_empty());
}

/// What is secret comes from a file or a variable. Other users can read the arguments of a command.
#[tokio::test(flavor = "multi_thread")]
async fn the_password_comes_from_a_file_or_a_variable_and_is_never_shown() {
    let Some(redis) = redis() else { return };
    let place = Place::new().await;
    let (state, key) = (url(&redis), file(&place, "key", KEY));
    let (right, wrong) = (file(&place, "right", &format!("{PASSWORD}\n")), file(&place, "wrong", "canary"));
    let run = place.run(&["token", "--state", &state, "--state-key", &key, "--state-password-file", &right]).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    let again = token(&place, &state, &["--state-key", &key]).await;
    assert_eq!((again.code, &again.stdout), (0, &run.stdout), "{}", again.stderr);
    // As the secret of a pod is mounted.
    symlink(&right, place.path("link")).expect("a link");
    let link = place.path("link");
    let run = place.run(&["token", "--state", &state, "--state-key", &key, "--state-password-file", &link]).await;
    assert_eq!(run.code, 0, "{}", run.stderr);

    for (more, why) in
        [(&["--state-password-file", wrong.as_str()][..], "the user or the password is wrong"), (&[], "or is missing: correct")]
    {
        let arguments = [&["token", "--timeout", "2", "--state", &state, "--state-key", &key], more].concat();
        let run = place.run(&arguments).await;
        assert_eq!((run.code, run.stdout.as_str()), (4, ""), "{}", run.stderr);
        assert!(run.stderr.contains(why) && !run.stderr.contains("canary"), "{}", run.stderr);
    }
    assert_eq!(place.emulator.counts().exchanges, 1, "nothing is exchanged without the store");

    let shown = format!("redis://:canary@127.0.0.1:{}", redis.port());
    let run = token(&place, &shown, &["--state-key", &key]).await;
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("--state-password-file") && !run.stderr.contains("canary"), "{}", run.stderr);

    let mut command = place.wif();
    command.env("WIF_STATE_PASSWORD", PASSWORD).args(["exec", "--state", &state, "--state-key", &key]);
    command.args(["--allow-origin", place.emulator.base_url(), "--", "env"]);
    let run = Run::of(command).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains("ANTHROPIC_AUTH_TOKEN=") && !run.stdout.contains("WIF_STATE_PASSWORD"), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_options_of_a_server_is_said_before_anything_is_sent() {
    let place = Place::new().await;
    let key = file(&place, "key", KEY);
    let (readable, no_key) = (file(&place, "readable", KEY), file(&place, "no-key", "canary"));
    std::fs::set_permissions(&readable, std::fs::Permissions::from_mode(0o644)).expect("its mode changes");
    let (state, elsewhere) = ("redis://127.0.0.1:1", "redis://redis.example");
    for (state, more, code, said) in [
        (state, &[][..], 2, "--state-key FILE; make one with"),
        (state, &["--state-key", "/nowhere/key"], 3, "--state-key: cannot read /nowhere/key"),
        (state, &["--state-key", &readable], 3, "every user can read it"),
        (state, &["--state-key", &no_key], 3, "line 1 is no key of 32 bytes in base64"),
        (state, &["--state-key", &key, "--state-password-file", "/dev/null"], 3, "it is a pipe or a device"),
        (elsewhere, &["--state-key", &key], 3, "the password would go to redis.example in the clear"),
        ("rediss://", &["--state-key", &key], 2, "this is no URL of a Redis server"),
        ("state", &["--state-key", &key], 2, "--state-key is for a server"),
        ("state", &["--state-password-file", &key], 2, "--state-password-file is for a server"),
        // And where nobody answers.
        (state, &["--state-key", &key, "--timeout", "1"], 4, "cannot be reached"),
    ] {
        let state = if state == "state" { place.path("state") } else { state.to_owned() };
        let mut command = place.wif();
        command.env("WIF_STATE_PASSWORD", PASSWORD).args(["token", "--allow-origin", place.emulator.base_url()]);
        let run = Run::of({
            command.args(["--state", &state]).args(more);
            command
        });
        let run = run.await;
        assert_eq!(run.code, code, "{state} {more:?}: {}", run.stderr);
        assert!(run.stderr.contains(said) && !run.stderr.contains("canary"), "{state} {more:?}: {}", run.stderr);
    }
    let run = place.run(&["status", "--state", state]).await;
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("it is a server, and `wif status` looks into a state file only"), "{}", run.stderr);
    assert_eq!(place.emulator.counts().exchanges, 0);
}
