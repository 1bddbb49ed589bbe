//! Files that processes share, with programs in other languages and with each other: the store in a directory, and the credentials of
//! profiles.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use wif::{DirectoryStore, Policy, Secret, Store as _, Swapped, private};

use crate::program::{LOCKING, Program, Runtime};
use crate::world::World;

/// Deno's, for programs that write below this directory and read what tells who runs them.
fn permissions(directory: &Path) -> Vec<String> {
    let write = format!("--allow-write={}", directory.display());
    let others = ["--allow-net=127.0.0.1", "--allow-read", "--allow-sys=uid", "--allow-env=HOME,ANTHROPIC_*,CI,DEBUG,NODE_ENV"];
    others.iter().map(|&other| other.to_owned()).chain([write]).collect()
}

async fn command(runtime: Runtime, program: &'static str, directory: &Path) -> Command {
    let (permissions, home) = (permissions(directory), directory.to_owned());
    let run = move || runtime.run(program, &permissions.iter().map(String::as_str).collect::<Vec<_>>());
    let mut command = tokio::task::spawn_blocking(run).await.expect("no panic");
    command.env("HOME", home).env_remove("ANTHROPIC_API_KEY").env_remove("ANTHROPIC_AUTH_TOKEN");
    command
}

/// A program with a credential, which shares this directory, if one is given.
async fn sharing(runtime: Runtime, world: &World, configuration: &Value, directory: Option<&Path>) -> Program {
    let mut command = command(runtime, "process.mjs", world.directory.path()).await;
    let base_url = world.emulator.base_url();
    let options = json!({ "configuration": configuration, "policy": { "allowOrigins": [base_url] } });
    command.arg(json!({ "options": options, "baseURL": base_url, "directory": directory }).to_string());
    Program::start(command)
}

async fn files(runtime: Runtime, directory: &Path) -> Program {
    let mut command = command(runtime, "files.mjs", directory).await;
    command.arg(directory);
    Program::start(command)
}

fn federation(world: &World) -> Value {
    json!({ "base_url": world.emulator.base_url(), "federation": world.federation(&world.file_source()) })
}

/// A credential of the Rust host, in this process.
fn in_rust(world: &World, configuration: &Value) -> wif::Builder {
    let policy = Policy::default().allow_origin(world.emulator.base_url()).expect("an origin");
    wif::Credential::builder().configuration(configuration.to_string()).policy(policy)
}

/// The token that six programs, started at once, and a credential in Rust have: one for all of them.
async fn token_of_all(world: &World, configuration: &Value, directory: Option<&Path>, in_rust: &wif::Credential) -> String {
    let mut programs = Vec::new();
    for runtime in LOCKING.iter().cycle().take(6) {
        programs.push(sharing(*runtime, world, configuration, directory).await);
    }
    let mut ids = Vec::new();
    for program in &mut programs {
        ids.push(program.value("token").await);
    }
    let id = in_rust.token().await.expect("a token").id().to_string();
    assert!(ids.iter().all(|known| *known == id.as_str()), "{id}: {ids:?}");
    id
}

/// A8: one identity token, which can be exchanged once, for all of them; and A8b: it is spent, and nobody who comes later needs another.
#[tokio::test(flavor = "multi_thread")]
async fn processes_that_share_a_directory_make_one_exchange() {
    let world = World::start().await;
    let directory = world.directory.path().join("shared");
    let configuration = federation(&world);
    let store = DirectoryStore::new(&directory).expect("a directory");
    let credential = in_rust(&world, &configuration).store(store).build().expect("it is good");
    let id = token_of_all(&world, &configuration, Some(&directory), &credential).await;
    for runtime in LOCKING {
        let mut later = sharing(runtime, &world, &configuration, Some(&directory)).await;
        assert_eq!(later.value("token").await, id.as_str(), "{runtime:?}");
    }
    assert_eq!((world.exchanges(), world.reused()), (1, 0));
}

/// Whoever swaps waits for the one who holds the lock, in whatever language it is; and a lock ends with its process.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_another_program_has_locked_is_waited_for() {
    for runtime in LOCKING {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ab.json");
        let mut program = files(runtime, directory.path()).await;
        let held = private::Lock::of(&file).await.expect("it is free");
        let early = timeout(Duration::from_millis(500), program.value("swap ab none first")).await;
        assert!(early.is_err(), "{runtime:?}: {early:?}");
        drop(held);
        let swapped = program.next().await;
        assert_eq!(swapped["ok"]["done"], true, "{runtime:?}: {swapped}");

        for (gives_back, other) in [(true, Runtime::Bun), (false, Runtime::Deno)] {
            let mut holder = files(other, directory.path()).await;
            holder.value(&format!("hold {}", file.display())).await;
            let early = timeout(Duration::from_millis(300), private::Lock::of(&file)).await;
            assert!(early.is_err(), "{runtime:?}: {early:?}");
            let entry = program.value("load ab").await;
            let swap = format!("swap ab {} next", entry["version"].as_str().expect("a version"));
            let early = timeout(Duration::from_millis(300), program.value(&swap)).await;
            assert!(early.is_err(), "{runtime:?}: {early:?}");
            if gives_back {
                holder.value("release").await;
            } else {
                holder.kill().await;
            }
            let swapped = program.next().await;
            assert_eq!(swapped["ok"]["done"], true, "{runtime:?}: {swapped}");
            let taken = timeout(Duration::from_secs(10), private::Lock::of(&file)).await;
            taken.expect("it is free").expect("it is taken");
        }
        let left = fs::read_dir(directory.path()).expect("a directory").flatten();
        let mut left: Vec<_> = left.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        // Bun leaves folders of its own there.
        left.retain(|name| !name.starts_with('.'));
        left.sort();
        assert_eq!(left, ["ab.json", "ab.json.lock"], "{runtime:?}");
    }
}

/// Of two who compare with the same version one is refused, with the entry that is there.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_replaced_only_where_it_is_the_expected_one() {
    for runtime in LOCKING {
        let directory = tempfile::tempdir().expect("a directory");
        let store = DirectoryStore::new(directory.path()).expect("a directory");
        let mut program = files(runtime, directory.path()).await;
        assert_eq!(program.value("load ab").await, Value::Null);
        let version = match store.swap("ab", None, Secret::from("in Rust")).await.expect("it is written") {
            Swapped::Done(version) => version,
            conflict => panic!("{conflict:?}"),
        };
        let refused = program.value("swap ab none other").await;
        let there = json!({ "version": version, "value": "in Rust" });
        assert_eq!(refused, json!({ "done": false, "entry": there }), "{runtime:?}");
        assert_eq!(program.value(&format!("swap ab {version} other")).await["done"], true, "{runtime:?}");
        let entry = store.load("ab").await.expect("it is read").expect("it is there");
        assert_eq!(entry.value.reveal(), "other");
        let mode = fs::metadata(directory.path().join("ab.json")).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{runtime:?}");
        // What is no entry is replaced, as one that nobody can read.
        fs::write(directory.path().join("ab.json"), "damaged").expect("it is written");
        let entry = program.value("load ab").await;
        assert_eq!(entry["value"], "", "{runtime:?}");
        let swap = format!("swap ab {} mended", entry["version"].as_str().expect("a version"));
        assert_eq!(program.value(&swap).await["done"], true, "{runtime:?}");
    }
}

/// A12. Whoever could read the file has the token, and whoever could write it may have put one of theirs.
#[tokio::test(flavor = "multi_thread")]
async fn what_others_could_have_touched_is_refused() {
    for runtime in LOCKING {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ab.json");
        let mut program = files(runtime, directory.path()).await;
        program.value("swap ab none first").await;
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode is set");
        let refused = async |program: &mut Program, command: &str, why: &str| {
            let answer = program.ask(command).await;
            assert!(answer["message"].as_str().is_some_and(|message| message.contains(why)), "{runtime:?} {why}: {answer}");
        };
        mode(&file, 0o640);
        refused(&mut program, "load ab", "others than its owner can use").await;
        refused(&mut program, "swap ab none second", "(mode 0640): chmod 600 it, or remove it").await;
        mode(&file, 0o600);
        let elsewhere = directory.path().join("elsewhere");
        fs::rename(&file, &elsewhere).expect("it moves");
        symlink(&elsewhere, &file).expect("a link");
        refused(&mut program, "load ab", "ab.json is no regular file: remove it").await;
        refused(&mut program, "swap ab none second", "ab.json is no regular file: remove it").await;
        fs::remove_file(&file).expect("it goes");
        let lock = directory.path().join("ab.json.lock");
        fs::remove_file(&lock).expect("it goes");
        symlink(&elsewhere, &lock).expect("a link");
        refused(&mut program, "swap ab none second", "ab.json.lock is no regular file: remove it").await;
        fs::remove_file(&lock).expect("it goes");
        fs::write(&lock, "something else that is no lock at all").expect("it is written");
        mode(&lock, 0o644);
        refused(&mut program, "swap ab none second", "others than its owner can use").await;
        mode(&lock, 0o600);
        refused(&mut program, "swap ab none second", "ab.json.lock cannot be locked").await;

        mode(directory.path(), 0o770);
        let output = {
            let mut command = command(runtime, "files.mjs", directory.path()).await;
            command.arg(directory.path());
            tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs")
        };
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("take that right away (chmod go-w)"), "{runtime:?}: {said}");
    }
}

/// Killed at any moment, a writer leaves the entry before or the entry after, and its lock to the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_is_killed_loses_nothing() {
    for runtime in LOCKING {
        let directory = tempfile::tempdir().expect("a directory");
        let store = DirectoryStore::new(directory.path()).expect("a directory");
        let mut last = None;
        for round in 0..6 {
            let mut program = files(runtime, directory.path()).await;
            program.value("write ab").await;
            tokio::time::sleep(Duration::from_millis(20 + 7 * round)).await;
            program.kill().await;
            let entry = store.load("ab").await.expect("it is read");
            let Some(entry) = entry else { continue };
            assert_eq!(entry.value.reveal().len(), 10_000, "{runtime:?}: half of an entry");
            let swap = store.swap("ab", Some(&entry.version), Secret::from("x".repeat(10_000)));
            let swapped = timeout(Duration::from_secs(5), swap).await.expect("the lock is free").expect("it is written");
            assert!(matches!(swapped, Swapped::Done(_)), "{runtime:?}: {swapped:?}");
            last = Some(entry);
        }
        assert!(last.is_some(), "{runtime:?}: nothing was written in any round");
    }
}

/// Who was told that nothing was written must not find it written later, and who waited hears for what.
#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_nobody_waits_for_any_more_writes_nothing() {
    for runtime in LOCKING {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("ab.json");
        let mut program = files(runtime, directory.path()).await;
        let held = private::Lock::of(&file).await.expect("it is free");
        assert_eq!(program.value("swap-within 300 ab late").await, "TimeoutError", "{runtime:?}");
        let answer = program.ask(&format!("wait 300 {}", file.display())).await;
        let message = answer["message"].as_str().expect("a message");
        assert!(message.contains("ab.json.lock has been locked by another process for 300 ms"), "{runtime:?}: {message}");
        drop(held);
        assert_eq!(program.value("load ab").await, Value::Null, "{runtime:?}");
        assert_eq!(program.value("swap ab none next").await["done"], true, "{runtime:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_cannot_lock_files_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = command(Runtime::Node, "files.mjs", directory.path()).await;
    command.arg(directory.path());
    let output = tokio::task::spawn_blocking(move || command.stdin(std::process::Stdio::null()).output());
    let output = output.await.expect("no panic").expect("it runs");
    let has = tokio::task::spawn_blocking(|| {
        let asked = Command::new("node").args(["--print", "process.getBuiltinModule?.('node:sqlite') !== undefined"]).output();
        asked.expect("it runs").stdout.starts_with(b"true")
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), has.await.expect("no panic"), "{said}");
    assert!(output.status.success() || said.contains("use Node 22.13, Deno 2.2 or Bun 1.4, or later"), "{said}");
}

/// Below the home directory of programs.
fn profile(world: &World, name: &str, content: &Value) -> PathBuf {
    let path = world.directory.path().join(".config/anthropic").join(name);
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(&path, content.to_string()).expect("it is written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode is set");
    path
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("it is there")).expect("JSON")
}

/// A person logs in with the page that the emulator serves: the answer to the grant. The verifier is the example of RFC 7636.
async fn log_in(world: &World) -> Value {
    const BACK: &str = "http://localhost:1/callback";
    let base_url = world.emulator.base_url();
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let asked = format!(
        "{base_url}/oauth/authorize?decision=allow&response_type=code&client_id=client-1&redirect_uri={BACK}&state=s\
         &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
    );
    let answer = client.post(asked).send().await.expect("it answers");
    let back = answer.headers()["location"].to_str().expect("text").to_owned();
    let code = back.split("code=").nth(1).and_then(|rest| rest.split('&').next()).expect("a code");
    let grant = json!({
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
        "client_id": "client-1",
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    });
    let answer = client.post(format!("{base_url}/v1/oauth/token")).json(&grant).send().await.expect("it answers");
    answer.json().await.expect("JSON")
}

/// A refresh token can be used once: one process refreshes, and all have what it brought, in whatever language they are.
#[tokio::test(flavor = "multi_thread")]
async fn processes_refresh_a_persons_login_once() {
    let world = World::start().await;
    let granted = log_in(&world).await;
    profile(&world, "configs/default.json", &json!({ "authentication": { "type": "user_oauth", "client_id": "client-1" } }));
    let kept = json!({
        "version": "1.0",
        "type": "oauth_token",
        "access_token": granted["access_token"],
        "expires_at": 1_000_000_000,
        "refresh_token": granted["refresh_token"],
        "note_of_another_program": "stays",
    });
    let file = profile(&world, "credentials/default.json", &kept);
    let directory = world.directory.path().join(".config/anthropic");
    let configuration = json!({ "base_url": world.emulator.base_url(), "discover": { "config_dir": directory } });
    let credential = in_rust(&world, &configuration).build().expect("it is good");
    token_of_all(&world, &configuration, None, &credential).await;
    assert_eq!(world.exchanges(), 2, "the login and one refresh");
    let now = read(&file);
    assert_ne!(now["access_token"], granted["access_token"]);
    assert_ne!(now["refresh_token"], granted["refresh_token"]);
    assert_eq!((&now["note_of_another_program"], &now["wif_lease"]), (&json!("stays"), &Value::Null));
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
}

/// A8. Beside the profile, as the vendor's clients keep it; they find the token there, too.
#[tokio::test(flavor = "multi_thread")]
async fn processes_of_one_profile_share_by_its_credentials_file() {
    let world = World::start().await;
    let emulated = world.emulator.options();
    let federation = json!({
        "authentication": {
            "type": "oidc_federation",
            "federation_rule_id": emulated.federation_rule_id,
            "identity_token": { "source": "file", "path": world.file.path() },
        },
        "organization_id": emulated.organization_id,
        "base_url": world.emulator.base_url(),
    });
    profile(&world, "configs/default.json", &federation);
    let file = profile(&world, "credentials/default.json", &json!({}));
    let directory = world.directory.path().join(".config/anthropic");
    let configuration = json!({ "discover": { "config_dir": directory } });
    let credential = in_rust(&world, &configuration).build().expect("it is good");
    token_of_all(&world, &configuration, None, &credential).await;
    assert_eq!((world.exchanges(), world.reused()), (1, 0));
    let kept = read(&file);
    assert!(kept["access_token"].as_str().is_some_and(|token| token.starts_with("sk-ant-oat01-")), "the file has no token");
}
