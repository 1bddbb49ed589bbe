//! What one run leaves to the next and to those beside it: in a file, and in a directory.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::place::{Place, Run, bare};

/// Gives everything below to this user.
fn hand_over(directory: &Path, user: u32) {
    lchown(directory, Some(user), None).expect("root may");
    for entry in std::fs::read_dir(directory).expect("it is there").flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => hand_over(&entry.path(), user),
            _ => lchown(entry.path(), Some(user), None).expect("root may"),
        }
    }
}

/// Both forms of `--state`.
fn places(place: &Place) -> [String; 2] {
    [place.path("state"), format!("{}/", place.path("states"))]
}

async fn token(place: &Place, state: &str) -> Run {
    place.run(&["token", "--timeout", "30", "--state", state]).await
}

/// Subjects A, B, A at one path: each has its own token, and the one that is refused takes nothing from the other.
#[tokio::test(flavor = "multi_thread")]
async fn subjects_that_share_a_path_keep_their_tokens() {
    let place = Place::new().await;
    let provider = place.emulator.identity_provider();
    let path = place.path("shared");
    for state in places(&place) {
        let with = |content: &str| {
            std::fs::write(&path, content).expect("it is written");
            let mut command = place.wif();
            command.env("ANTHROPIC_IDENTITY_TOKEN_FILE", &path);
            // Five seconds pass between two exchanges.
            command.args(["token", "--timeout", "12", "--state", &state, "--allow-origin", place.emulator.base_url()]);
            Run::of(command)
        };
        let (own, another) = (provider.mint(), provider.token().subject("somebody:else").sign());
        let before = place.emulator.counts().exchanges;
        let first = with(own.expose()).await;
        assert_eq!(first.code, 0, "{}", first.stderr);
        assert_eq!(place.emulator.counts().exchanges, before + 1);
        let refused = with(another.expose()).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (5, ""), "{}", refused.stderr);
        let exchanges = place.emulator.counts().exchanges;
        assert_eq!(exchanges, before + 2, "the other subject's was tried");
        let again = with(own.expose()).await;
        assert_eq!((again.code, &again.stdout), (0, &first.stdout), "{}", again.stderr);
        assert_eq!(place.emulator.counts().exchanges, exchanges, "what was kept serves");
    }
}

/// Many processes start at once on one identity token: one exchange, and all have its token.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_that_start_at_once_make_one_exchange() {
    let place = Arc::new(Place::new().await);
    let state = format!("{}/", place.path("states"));
    start_many(&place, move |place| {
        let mut command = place.wif();
        command.args(["token", "--timeout", "30", "--state", &state]);
        command
    })
    .await;
}

/// The same without a place of their own: they find a profile, and a credentials file beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_that_find_a_profile_with_a_credentials_file_make_one_exchange() {
    let place = Arc::new(Place::new().await);
    place.write_profile("work", &place.emulator.options().federation_rule_id);
    let credentials = place.directory.path().join(".config/anthropic/credentials");
    std::fs::create_dir(&credentials).expect("a directory");
    let file = credentials.join("work.json");
    std::fs::write(&file, r#"{"account_email": "x@example.com"}"#).expect("it is written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its mode is set");
    let token = start_many(&place, of_the_profile).await;
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).expect("it is there")).expect("JSON");
    assert_eq!((&kept["access_token"], &kept["account_email"]), (&token.trim().into(), &"x@example.com".into()));
    assert_eq!(std::fs::metadata(&file).expect("it is there").mode() & 0o777, 0o600);

    // Others could have written it: it is said, and not used.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("its mode is set");
    place.file.rotate().expect("it rotates");
    let mut command = of_the_profile(&place);
    command.args(["--allow-origin", place.emulator.base_url()]);
    let run = Run::of(command).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_ne!(run.stdout, token);
    assert!(
        run.stderr.contains("The profile's credentials file is not used") && run.stderr.contains("chmod 600"),
        "{}",
        run.stderr
    );
}

fn of_the_profile(place: &Place) -> Command {
    let mut command = bare(place.directory.path());
    command.env("ANTHROPIC_PROFILE", "work");
    command.args(["token", "--timeout", "30"]);
    command
}

/// Starts many processes with this command. They make one exchange, and all print its token.
async fn start_many(place: &Arc<Place>, command: impl Fn(&Place) -> Command + Clone + Send + 'static) -> String {
    // As many as a machine of two cores starts at once without ending their components for slowness.
    let at_once = Arc::new(tokio::sync::Semaphore::new(12));
    let runs = (0..48).map(|_| {
        let (place, command, at_once) = (Arc::clone(place), command.clone(), Arc::clone(&at_once));
        tokio::spawn(async move {
            let _turn = at_once.acquire_owned().await.expect("it is open");
            loop {
                let mut command = command(&place);
                command.args(["--allow-origin", place.emulator.base_url()]);
                let run = Run::of(command).await;
                if !run.stderr.contains("wasm trap: interrupt") {
                    return run;
                }
            }
        })
    });
    let mut tokens = std::collections::BTreeSet::new();
    for run in runs.collect::<Vec<_>>() {
        let run = run.await.expect("it ends");
        assert_eq!(run.code, 0, "{}", run.stderr);
        tokens.insert(run.stdout);
    }
    assert_eq!((tokens.len(), place.emulator.counts().exchanges), (1, 1));
    tokens.pop_first().expect("there is one")
}

/// A8b: a place that nobody can write to serves the token that is in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_place_with_a_good_token_serves_it() {
    let place = Place::new().await;
    let program = place.directory.path().join("wif");
    std::fs::copy(env!("CARGO_BIN_EXE_wif"), &program).expect("it is copied");
    // Root may write everywhere: there, somebody else runs the command.
    let somebody = Some(65_534).filter(|_| std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0));
    let token = async |state: &str| {
        let mut command = Command::new(&program);
        let wif = place.wif();
        command.env_clear().envs(wif.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(["token", "--timeout", "30", "--state", state, "--allow-origin", place.emulator.base_url()]);
        if let Some(somebody) = somebody {
            hand_over(place.directory.path(), somebody);
            command.uid(somebody);
        }
        Run::of(command).await
    };
    for state in places(&place) {
        place.file.rotate().expect("it rotates");
        let first = token(&state).await;
        assert_eq!(first.code, 0, "{}", first.stderr);
        let exchanges = place.emulator.counts().exchanges;
        let directory = if state.ends_with('/') { state.clone() } else { place.directory.path().display().to_string() };
        let set =
            |mode: u32| std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(mode)).expect("its mode is set");
        for entry in std::fs::read_dir(&directory).expect("it is there").flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "lock") {
                std::fs::remove_file(entry.path()).expect("it is removed");
            }
        }
        set(0o500);
        let again = token(&state).await;
        set(0o700);
        assert_eq!((again.code, &again.stdout), (0, &first.stdout), "{}", again.stderr);
        assert_eq!(place.emulator.counts().exchanges, exchanges);
    }
}

/// C16: what is damaged is ignored, and said.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_place_is_ignored_and_said() {
    let place = Place::new().await;
    for state in places(&place) {
        place.file.rotate().expect("it rotates");
        assert_eq!(token(&place, &state).await.code, 0);
        let damaged = if state.ends_with('/') {
            let mut files = std::fs::read_dir(&state).expect("it is there").flatten();
            files.find(|file| file.path().extension().is_some_and(|extension| extension == "json")).expect("an entry").path()
        } else {
            state.clone().into()
        };
        std::fs::write(&damaged, "{\"half").expect("it is damaged");
        place.file.rotate().expect("it rotates");
        let run = token(&place, &state).await;
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stderr.contains("wif: warning:") && run.stderr.contains("cannot be read"), "{}", run.stderr);
        let again = token(&place, &state).await;
        assert_eq!((again.code, &again.stdout), (0, &run.stdout), "it is mended: {}", again.stderr);
    }
}

/// A8b, C16: killed at any moment, a run leaves what costs the next one a round trip at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_at_any_moment_costs_the_next_one_a_round_trip_at_most() {
    let place = Place::new().await;
    for state in places(&place) {
        for pause in [0, 10, 20, 30, 45, 60, 80, 120] {
            place.file.rotate().expect("it rotates");
            let mut command = place.wif();
            command.args(["token", "--state", &state, "--allow-origin", place.emulator.base_url()]);
            let mut killed = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let _ended = killed.kill();
            killed.wait().expect("it was running");
            place.file.rotate().expect("it rotates");
            let exchanges = place.emulator.counts().exchanges;
            let run = token(&place, &state).await;
            assert_eq!(run.code, 0, "killed after {pause} ms: {}", run.stderr);
            let made = place.emulator.counts().exchanges - exchanges;
            assert!(made <= 1, "killed after {pause} ms: {made} exchanges");
        }
    }
}

/// A8: what is spent stays spent for the next process, which is told why it waits.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_token_that_another_process_spent_is_not_sent_again() {
    let place = Place::new().await;
    for state in places(&place) {
        place.file.rotate().expect("it rotates");
        let first = token(&place, &state).await;
        assert_eq!(first.code, 0, "{}", first.stderr);
        let exchanges = place.emulator.counts().exchanges;
        // The API rejects what it was exchanged for: another token is wanted, and there is nothing to exchange.
        let id = place.run(&["token", "--json", "--state", &state]).await.json()["id"].as_str().expect("an id").to_owned();
        // Five seconds pass between two exchanges.
        let second = place.run(&["token", "--timeout", "8", "--state", &state, "--rejected", &id]).await;
        assert_eq!((second.code, second.stdout.as_str()), (4, ""), "{}", second.stderr);
        assert!(second.stderr.contains("identity-token-spent"), "{}", second.stderr);
        assert_eq!(place.emulator.counts().exchanges, exchanges, "it was sent again");
        place.file.rotate().expect("it rotates");
        assert_eq!(place.run(&["token", "--timeout", "20", "--state", &state, "--rejected", &id]).await.code, 0);
    }
}
