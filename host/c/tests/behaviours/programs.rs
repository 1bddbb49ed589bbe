//! Programs in C: each is a process of its own, with an emulator for its endpoint.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use wif_emulator::{Emulator, Fault, Options, Outcome, Reason, TokenFile};
#[cfg(target_os = "linux")]
use wif_test_tools::WITHOUT_EXECUTABLE_MEMORY;
use wif_test_tools::not_run;

use crate::installed::{Installed, Link, crate_folder, ended_well, runs};

/// An emulator, and an identity token in a file.
pub(crate) struct World {
    pub(crate) installed: &'static Installed,
    pub(crate) emulator: Emulator,
    pub(crate) file: TokenFile,
    directory: TempDir,
}

impl World {
    /// None, and a line that says so, where a Debian package is missing.
    pub(crate) async fn start(options: Options) -> Option<Self> {
        let installed = tokio::task::spawn_blocking(Installed::here).await.expect("no panic")?;
        let emulator = Emulator::start(options).await.expect("the options are good");
        let directory = tempfile::tempdir().expect("a directory");
        let file = emulator.identity_provider().publish(directory.path().join("token")).expect("the directory is writable");
        Some(Self { installed, emulator, file, directory })
    }

    fn configuration(&self, identity_token: Value) -> Value {
        let options = self.emulator.options();
        json!({
            "base_url": self.emulator.base_url(),
            "federation": {
                "federation_rule_id": options.federation_rule_id,
                "organization_id": options.organization_id,
                "identity_token": identity_token,
            },
        })
    }

    pub(crate) fn with_file(&self) -> Value {
        self.configuration(json!({ "source": "file", "path": self.file.path() }))
    }

    /// A scenario with this configuration.
    fn scenario(&self, name: &str, configuration: &Value, more: &[&str]) -> Command {
        let program = self.installed.compiled(&scenarios(), Link::Shared, more);
        self.run(&program, name, configuration)
    }

    pub(crate) fn run(&self, program: &std::path::Path, name: &str, configuration: &Value) -> Command {
        let mut command = self.installed.command(program);
        command.arg(name).env("CONFIGURATION", configuration.to_string());
        command.env("OPTIONS", json!({ "policy": { "allow_loopback": true } }).to_string());
        command
    }

    /// The program with nothing but the environment that a workload has.
    pub(crate) fn as_a_workload(&self, program: &std::path::Path) -> Command {
        let options = self.emulator.options();
        let mut command = self.installed.command(program);
        command
            .env("HOME", self.directory.path())
            .env("ANTHROPIC_BASE_URL", self.emulator.base_url())
            .env("ANTHROPIC_FEDERATION_RULE_ID", &options.federation_rule_id)
            .env("ANTHROPIC_ORGANIZATION_ID", &options.organization_id)
            .env("ANTHROPIC_IDENTITY_TOKEN_FILE", self.file.path())
            .env("WIF_ALLOW_LOOPBACK", "1");
        command
    }

    fn reused(&self) -> usize {
        self.emulator.history().iter().filter(|entry| entry.reason == Some(Reason::JtiReused)).count()
    }
}

fn scenarios() -> PathBuf {
    crate_folder().join("tests/programs/scenarios.c")
}

/// Runs it without holding up the emulator, and gives what it printed.
pub(crate) async fn ends_well(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output().expect("it starts"));
    ended_well(output.await.expect("no panic"))
}

/// A scenario that needs nothing but a token file; and how many exchanges it made.
async fn holds(name: &str) -> Option<u64> {
    let world = World::start(Options::default()).await?;
    ends_well(world.scenario(name, &world.with_file(), &[])).await;
    Some(world.emulator.counts().exchanges)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_got_read_at_once_and_outlives_its_credential() {
    let Some(exchanges) = holds("token").await else { return };
    assert_eq!(exchanges, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_is_called_once_and_may_not_close_the_credential() {
    let Some(exchanges) = holds("callback").await else { return };
    assert_eq!(exchanges, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_when_the_credential_closes() {
    let Some(world) = World::start(Options::default()).await else { return };
    world.emulator.set_outage(Some(Fault::Delay(Duration::from_secs(60))));
    ends_well(world.scenario("callback-at-close", &world.with_file(), &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_descriptor_becomes_readable_when_something_changes() {
    holds("descriptor").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_of_the_program_supplies_the_identity_token() {
    let Some(world) = World::start(Options::default()).await else { return };
    let source = json!({ "source": "callable", "name": "ours", "freshness": "minted" });
    let mut command = world.scenario("callable", &world.configuration(source), &[]);
    command.env("IDENTITY_TOKEN", world.emulator.identity_provider().mint().expose());
    ends_well(command).await;
    assert_eq!(world.emulator.exchanges_granted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_of_the_program_supplies_the_access_token() {
    let Some(world) = World::start(Options::default()).await else { return };
    let configuration = json!({
        "base_url": world.emulator.base_url(),
        "bearer": { "source": "callable", "name": "ours" },
    });
    ends_well(world.scenario("bearer", &configuration, &[])).await;
    assert_eq!(world.emulator.counts().exchanges, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_supplies_the_identity_token_if_the_options_allow_it() {
    let Some(world) = World::start(Options::default()).await else { return };
    let source = json!({ "source": "executable", "command": ["/bin/cat", world.file.path()] });
    let scenario = |name: &str, program: &str, source_allowed: &str| {
        let mut command = world.scenario(name, &world.configuration(source.clone()), &[]);
        let policy = json!({ "allow_loopback": true, "allow_executables": [program], "allow_sources": [source_allowed] });
        command.env("OPTIONS", json!({ "policy": policy }).to_string());
        command
    };
    for (program, source_allowed, rule) in [
        ("/bin/echo", "executable", "the option policy.allow_executables"),
        ("/bin/cat", "aws", "the option policy.allow_sources"),
    ] {
        let mut command = scenario("not-allowed", program, source_allowed);
        command.env("RULE", rule);
        ends_well(command).await;
    }
    assert_eq!(world.emulator.counts().exchanges, 0);
    ends_well(scenario("token", "/bin/cat", "executable")).await;
    assert_eq!(world.emulator.exchanges_granted(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_fails_or_says_nothing_is_named_in_the_status() {
    let Some(world) = World::start(Options::default()).await else { return };
    let source = json!({ "source": "callable", "name": "ours", "freshness": "minted" });
    ends_well(world.scenario("callables-fail", &world.configuration(source), &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_say_what_is_wrong_and_what_to_do_in_the_words_of_the_header() {
    let Some(world) = World::start(Options::default()).await else { return };
    let mut command = world.scenario("errors", &world.with_file(), &[]);
    command.env("OPTIONS", "{}");
    ends_well(command).await;
    assert_eq!(world.emulator.counts().exchanges, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_waits_no_longer_than_it_says() {
    let Some(world) = World::start(Options::default()).await else { return };
    world.emulator.set_outage(Some(Fault::Delay(Duration::from_secs(60))));
    ends_well(world.scenario("timed-out", &world.with_file(), &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_token_is_replaced_and_a_late_rejection_does_nothing() {
    let Some(world) = World::start(Options::default()).await else { return };
    let mut command = world.scenario("replaced", &world.with_file(), &[]);
    let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut printed = BufReader::new(program.stdout.take().expect("it is piped"));
    tokio::task::spawn_blocking(move || printed.read_line(&mut String::new())).await.expect("no panic").expect("it says so");
    world.emulator.revoke_all();
    world.file.rotate().expect("the directory is writable");
    program.stdin.take().expect("it is piped").write_all(b"\n").expect("it reads");
    let status = tokio::task::spawn_blocking(move || program.wait()).await.expect("no panic").expect("it ends");
    assert!(status.success());
    assert_eq!((world.emulator.exchanges_granted(), world.reused()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_comes_line_by_line_without_a_secret() {
    holds("log").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_goes_on_where_its_parent_was_and_spends_no_identity_token_again() {
    let Some(world) = World::start(Options::default()).await else { return };
    ends_well(world.scenario("forked", &world.with_file(), &[])).await;
    assert_eq!((world.emulator.counts().exchanges, world.reused()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_never_asks_ends_in_good_order() {
    let Some(exchanges) = holds("forked-and-left").await else { return };
    assert_eq!(exchanges, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_child_hangs_though_all_threads_are_at_work_while_it_is_forked() {
    let Some(exchanges) = holds("forked-under-load").await else { return };
    assert_eq!(exchanges, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_share_a_store_make_one_exchange() {
    let Some(world) = World::start(Options::default()).await else { return };
    let mut command = world.scenario("workers", &world.with_file(), &[]);
    let store = world.directory.path().join("store");
    command.env("OPTIONS", json!({ "policy": { "allow_loopback": true }, "store_directory": store }).to_string());
    ends_well(command).await;
    let granted = world.emulator.history().iter().filter(|entry| entry.outcome == Outcome::Granted).count();
    assert_eq!((world.emulator.counts().exchanges, granted), (1, 1), "{:#?}", world.emulator.history());
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_are_left_to_the_program() {
    holds("signals").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_library_is_loaded_let_go_of_and_loaded_again() {
    let Some(world) = World::start(Options::default()).await else { return };
    ends_well(world.scenario("unloaded", &world.with_file(), &[])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_can_be_linked_with_the_static_library() {
    let Some(world) = World::start(Options::default()).await else { return };
    let program = world.installed.compiled(&scenarios(), Link::Static, &[]);
    let mut command = world.run(&program, "token", &world.with_file());
    command.env_remove("LD_LIBRARY_PATH");
    ends_well(command).await;
    assert_eq!(world.emulator.counts().exchanges, 1);
}

/// The README's example.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_gets_a_token_from_the_environment() {
    let Some(world) = World::start(Options::default()).await else { return };
    let program = world.installed.compiled(&crate_folder().join("examples/token.c"), Link::Shared, &[]);
    let printed = ends_well(world.as_a_workload(&program)).await;
    let id = world.emulator.history()[0].access_token_id.as_ref().map(ToString::to_string).expect("it was granted");
    assert!(printed.contains(&format!("token {id}")), "{printed}");
    assert!(printed.starts_with("authorization: ("), "{printed}");
}

/// The library makes nothing executable, for its engine is native. With the sandbox it has to, and says what forbids it.
#[cfg(target_os = "linux")]
#[allow(clippy::disallowed_methods, reason = "python3 is where its user has it")]
#[tokio::test(flavor = "multi_thread")]
async fn without_executable_memory_a_token_is_got_unless_there_is_a_sandbox() {
    let Some(world) = World::start(Options::default()).await else { return };
    let program = world.installed.compiled(&crate_folder().join("examples/token.c"), Link::Shared, &[]);
    let mut command = world.as_a_workload(std::path::Path::new("/usr/bin/env"));
    command
        .args(["python3", "-c", WITHOUT_EXECUTABLE_MEMORY])
        .arg(program)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = tokio::task::spawn_blocking(move || command.output().expect("it starts")).await.expect("no panic");
    // Kernels before 6.3 cannot be asked.
    if output.status.code() == Some(77) {
        return;
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if cfg!(feature = "sandbox") {
        assert!(!output.status.success() && said.contains("this process may not make memory executable"), "{said}");
    } else {
        assert!(ended_well(output).contains("token "), "{said}");
    }
}

/// And no byte is read or written that is not there. Valgrind makes everything so slow that a busy machine may stop the component for
/// taking too long, or a deadline may be over: then the scenario ends early, and is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaks_under_valgrind() {
    if !runs("valgrind") {
        return not_run("valgrind");
    }
    let Some(world) = World::start(Options::default()).await else { return };
    let source = json!({ "source": "callable", "name": "ours", "freshness": "minted" });
    let callable = world.configuration(source);
    for (name, configuration) in [("token", world.with_file()), ("callable", callable), ("errors", world.with_file())] {
        let mut tries = 0;
        loop {
            world.file.rotate().expect("the directory is writable");
            let command = under_valgrind(&world, name, &configuration);
            let output = tokio::task::spawn_blocking(|| { command }.output().expect("it starts")).await.expect("no panic");
            tries += 1;
            if tries < 5 && String::from_utf8_lossy(&output.stderr).contains("not so: ") {
                continue;
            }
            ended_well(output);
            break;
        }
    }
}

fn under_valgrind(world: &World, name: &str, configuration: &Value) -> Command {
    let program = world.installed.compiled(&scenarios(), Link::Shared, &[]);
    let mut command = world.run(&PathBuf::from("/usr/bin/env"), "valgrind", configuration);
    command
        .args(["--quiet", "--leak-check=full", "--show-leak-kinds=definite,indirect"])
        .args(["--errors-for-leak-kinds=definite,indirect", "--error-exitcode=9"])
        .arg(program)
        .arg(name)
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("IDENTITY_TOKEN", world.emulator.identity_provider().mint().expose());
    if name == "errors" {
        command.env("OPTIONS", "{}");
    }
    command
}

/// AddressSanitizer watches the program in C, and its leak checker the library as well.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaks_under_address_sanitizer() {
    let Some(world) = World::start(Options::default()).await else { return };
    for name in ["token", "callback", "log"] {
        world.file.rotate().expect("the directory is writable");
        let command = world.scenario(name, &world.with_file(), &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
        ends_well(command).await;
    }
}
