//! What the command line names may be anything.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::place::{Place, Run, bare};

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_no_regular_file_is_an_error_at_once() {
    let place = Place::new().await;
    let fifo = place.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    for (path, says) in [
        (place.path("nope.json"), "No such file"),
        (fifo, "a pipe or a device"),
        ("/dev/zero".to_owned(), "a pipe or a device"),
        (place.path("."), "a directory"),
    ] {
        for command in ["token", "status"] {
            let arguments = [command, "--configuration", &path];
            let run = tokio::time::timeout(Duration::from_secs(20), place.run(&arguments)).await.expect("it ends");
            assert_eq!(run.code, 3, "{command} {path}: {}", run.stderr);
            assert!(run.stderr.contains(&path) && run.stderr.contains(says), "{command} {path}: {}", run.stderr);
        }
    }
}

/// Pipes and devices hold nobody up, wherever the command line names them.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_a_lock_or_an_output_that_is_no_regular_file_is_an_error_at_once() {
    let place = Place::new().await;
    for name in ["fifo", "locked.lock"] {
        assert!(Command::new("mkfifo").arg(place.path(name)).status().expect("mkfifo runs").success());
    }
    std::os::unix::fs::symlink("/dev/zero", place.path("link")).expect("it is made");
    let [fifo, locked, link, directory] = ["fifo", "locked", "link", "."].map(|name| place.path(name));
    let nowhere = place.path("nowhere/state");
    for (option, path, says) in [
        ("--state", &*fifo, "no regular file"),
        ("--state", &*locked, "locked.lock is no regular file"),
        ("--state", &*link, "no regular file"),
        ("--state", &*nowhere, "nowhere does not exist: make it"),
        ("--output", &*fifo, "no regular file"),
        ("--output", "/dev/full", "no regular file"),
        ("--output", &*link, "no regular file"),
        ("--output", &*directory, "a directory"),
        ("--output", &*nowhere, "nowhere/state"),
    ] {
        let arguments = ["token", "--timeout", "600", option, path];
        let run = tokio::time::timeout(Duration::from_secs(30), place.run(&arguments)).await.expect("it ends");
        assert!(run.code != 0 && run.stdout.is_empty(), "{option} {path}: {} {}", run.code, run.stderr);
        assert!(run.stderr.contains(says), "{option} {path}: {}", run.stderr);
    }
    for beside in ["fifo.lock", "link.lock"] {
        assert!(!std::path::Path::new(&place.path(beside)).exists(), "{beside} was left");
    }
    assert_eq!(place.emulator.counts().exchanges, 0);
}

/// People paste URLs with a password in them.
#[tokio::test(flavor = "multi_thread")]
async fn no_error_repeats_the_password_of_a_url() {
    let place = Place::new().await;
    let url = "https://me:canary@gateway.example";
    for arguments in [
        ["token", "--allow-origin", url],
        ["status", "--allow-private-origin", url],
        ["login", "--console-url", url],
        ["login", "--console-url", "me:canary@gateway.example"],
    ] {
        let mut command = place.wif();
        command.args(arguments);
        let run = Run::of(command).await;
        assert_eq!(run.code, 3, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(arguments[1]), "{arguments:?}: {}", run.stderr);
        assert!(!run.stderr.contains("canary") && !run.stdout.contains("canary"), "{arguments:?}: {}", run.stderr);
    }
    for subcommand in ["token", "status", "doctor", "login"] {
        let mut command = place.wif();
        command.arg(subcommand).env("ANTHROPIC_BASE_URL", url);
        let run = Run::of(command).await;
        assert_ne!(run.code, 0, "{subcommand}: {}", run.stderr);
        assert!(!run.stderr.contains("canary") && !run.stdout.contains("canary"), "{subcommand}: {}", run.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_is_not_asked_for() {
    let place = Place::new().await;
    let mut command = place.wif();
    command.args(["token", "--allow-origin", place.emulator.base_url()]);
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = tokio::task::spawn_blocking(move || {
        command.stdout(writer).stderr(Stdio::piped()).spawn().expect("it starts").wait_with_output().expect("it ends")
    });
    let output = output.await.expect("it is awaited");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(place.emulator.counts().exchanges, 0);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_closed_is_an_error_before_anything_is_spent() {
    let place = Place::new().await;
    for command in ["token", "status"] {
        let wif = place.wif();
        let mut shell = Command::new("sh");
        shell.env_clear().envs(wif.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.args(["-c", "exec \"$0\" \"$@\" >&-"]).arg(wif.get_program());
        shell.args([command, "--allow-origin", place.emulator.base_url()]);
        let run = Run::of(shell).await;
        assert_eq!(run.code, 1, "{command}: {}", run.stderr);
        assert!(run.stderr.contains("cannot write to standard output: it is closed"), "{command}: {}", run.stderr);
    }
    assert_eq!(place.emulator.counts().exchanges, 0, "the identity token was spent for nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn this_machine_can_be_allowed_as_a_whole_and_it_is_said() {
    let place = Place::new().await;
    let mut by_variable = place.wif();
    by_variable.arg("token").env("WIF_ALLOW_LOOPBACK", "1");
    let mut by_flag = place.wif();
    by_flag.args(["token", "--allow-loopback"]);
    // The name of this machine is another origin than its address.
    by_flag.env("ANTHROPIC_BASE_URL", place.emulator.base_url().replace("127.0.0.1", "localhost"));
    for command in [by_variable, by_flag] {
        let run = Run::of(command).await;
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stderr.contains("every port of this machine is allowed"), "{}", run.stderr);
        place.file.rotate().expect("it rotates");
    }
    let mut elsewhere = place.wif();
    elsewhere.args(["token", "--allow-loopback"]).env("ANTHROPIC_BASE_URL", "https://gateway.example");
    assert_eq!(Run::of(elsewhere).await.code, 3, "it allows loopback and nothing else");
    let mut off = place.wif();
    off.arg("token").env("WIF_ALLOW_LOOPBACK", "0");
    assert_eq!(Run::of(off).await.code, 3);
}

/// The commands that the help lists.
async fn commands(home: &std::path::Path) -> Vec<String> {
    let mut command = bare(home);
    command.arg("--help");
    let help = Run::of(command).await.stdout;
    let (_, listed) = help.split_once("Commands:\n").expect("a list");
    // Descriptions go on further to the right.
    let lines = listed.lines().take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    let names: Vec<String> = lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    assert!(names.len() >= 12, "{names:?}");
    names.into_iter().filter(|name| name != "help").collect()
}

/// A page that names an option which is not there leads its reader nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn each_command_has_its_row_and_each_option_that_a_page_names_is_there() {
    let home = tempfile::tempdir().expect("a directory");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("host/cli/README.md")).expect("text");
    let mut options = std::collections::BTreeSet::new();
    for name in commands(home.path()).await {
        let row = |line: &str| line.starts_with('|') && line.contains(&format!("`wif {name}"));
        assert!(readme.lines().any(row), "wif {name} has no row");
        let mut command = bare(home.path());
        command.args([&name, "--help"]);
        let help = Run::of(command).await.stdout;
        let words = help.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
        options.extend(words.filter(|word| word.starts_with("--") && word.len() > 2).map(str::to_owned));
    }
    let (mut named, mut unknown) = (0, Vec::new());
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for folder in
        ["host/cli", "host/emulator", "host/envoy/configurations", "host/js", "guest/recipes", "guest/recipes/platforms"]
    {
        let entries = std::fs::read_dir(root.join(folder)).expect("a folder").map(|entry| entry.expect("an entry").path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    for page in pages {
        let text = std::fs::read_to_string(&page).expect("text");
        // From `wif` to the end of the line or of what is quoted, or to the command that it runs.
        for rest in text.split("wif ").skip(1) {
            let end = rest.find(['`', '\n', '|', '&', ')']).unwrap_or(rest.len());
            let own = rest[..end].split(" -- ").next().unwrap_or_default();
            for word in own.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
                named += 1;
                let word = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
                if !options.contains(word) {
                    unknown.push(format!("{}: {word}", page.display()));
                }
            }
        }
    }
    assert!(named >= 30, "only {named} options were found");
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_help_fits_the_terminal_and_ends_with_codes_variables_and_an_example() {
    let home = tempfile::tempdir().expect("a directory");
    let help = async |arguments: &[&str]| {
        let mut command = bare(home.path());
        command.args(arguments).arg("--help");
        let run = Run::of(command).await;
        assert_eq!(run.code, 0, "{arguments:?}: {}", run.stderr);
        run
    };
    // The command itself says which commands there are.
    let whole = help(&[]).await.stdout;
    let (_, list) = whole.split_once("\nCommands:\n").expect("the commands are listed");
    let list = list.split("\n\n").next().unwrap_or_default();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(names.len() >= 12 && names.contains(&"logout") && names.contains(&"issuer"), "{names:?}");
    let readme = include_str!("../../README.md");
    for name in &names {
        assert!(readme.contains(&format!("`wif {name}")), "README has no row for wif {name}");
    }
    for arguments in names.iter().map(|name| vec![*name]).chain([Vec::new()]) {
        let run = help(&arguments).await;
        let places = ["Exit codes:", "Variables", "Example"].map(|heading| run.stdout.rfind(&format!("\n{heading}")));
        let places = places.map(|place| place.unwrap_or_else(|| panic!("{arguments:?}: {}", run.stdout)));
        assert!(places.is_sorted(), "{arguments:?}: {}", run.stdout);
        for line in run.stdout.lines() {
            assert!(line.chars().count() <= 100, "{arguments:?}: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shells_complete_the_command_and_man_shows_it() {
    let home = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let mut command = bare(home.path());
        command.args(["completions", shell]);
        let run = Run::of(command).await;
        assert_eq!(run.code, 0, "{shell}: {}", run.stderr);
        for word in ["emulate", "allow-loopback", "rejected"] {
            assert!(run.stdout.contains(word), "{shell} does not know {word}");
        }
    }
    let pages = home.path().join("man1");
    let mut command = bare(home.path());
    command.arg("man").arg(&pages);
    let run = Run::of(command).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    for (page, word) in [("wif.1", "HTTPS_PROXY"), ("wif-token.1", "rejected"), ("wif-emulate.1", "rotation")] {
        let page = std::fs::read_to_string(pages.join(page)).expect("a page");
        assert!(page.contains(word), "{word} is missing in {page}");
    }
    // A file is in the way.
    let mut command = bare(home.path());
    command.arg("man").arg(pages.join("wif.1"));
    let run = Run::of(command).await;
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("cannot write to "), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_said_once() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = bare(home.path());
    command.arg("token").env_remove("WIF_LOG");
    let run = Run::of(command).await;
    assert_eq!(run.code, 3);
    assert_eq!(run.stderr.matches("No credential is configured").count(), 1, "{}", run.stderr);
    assert_eq!(run.stderr.matches("Set ANTHROPIC_FEDERATION_RULE_ID").count(), 1, "{}", run.stderr);
}

/// A12: a profile goes by what ssh asks of its files.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_in_a_directory_that_others_may_write_is_refused_with_the_command_that_mends_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new().await;
    let options = place.emulator.options();
    let profile = serde_json::json!({
        "version": "1.0",
        "base_url": place.emulator.base_url(),
        "organization_id": options.organization_id,
        "authentication": {
            "type": "oidc_federation",
            "federation_rule_id": options.federation_rule_id,
            "service_account_id": options.service_account_id,
            "identity_token": { "source": "file", "path": place.file.path() },
        },
    });
    let folder = place.path(".config/anthropic/configs");
    std::fs::create_dir_all(&folder).expect("it is made");
    std::fs::write(format!("{folder}/default.json"), profile.to_string()).expect("it is written");
    let set_mode = |path: &str, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("it is ours");
    set_mode(&format!("{folder}/default.json"), 0o600);
    let run = async || {
        let mut command = bare(place.directory.path());
        command.args(["token", "--allow-origin", place.emulator.base_url()]);
        Run::of(command).await
    };
    set_mode(&folder, 0o777);
    let refused = run().await;
    assert_eq!(refused.code, 3, "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("chmod go-w {folder} mends it")), "{}", refused.stderr);
    assert_eq!(place.emulator.counts().exchanges, 0);
    set_mode(&folder, 0o755);
    let taken = run().await;
    assert_eq!(taken.code, 0, "{}", taken.stderr);
}

/// A12: whoever can write the configuration decides where identity tokens go.
#[cfg(unix)]
#[tokio::test]
async fn a_configuration_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = crate::place::Place::new().await;
    let path = place.path("configuration.json");
    std::fs::write(&path, "{}").expect("it is written");
    let set = |path: &str, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("its mode is set");
    for (at, mode, usual) in [(path.as_str(), 0o666, 0o644), (place.directory.path().to_str().expect("a path"), 0o777, 0o700)] {
        set(at, mode);
        let run = place.run(&["token", "--configuration", &path]).await;
        assert_eq!(run.code, 3, "{}", run.stderr);
        assert!(run.stderr.contains("chmod go-w") && run.stderr.contains("--configuration"), "{}", run.stderr);
        set(at, usual);
    }
    assert_eq!(place.emulator.counts().exchanges, 0);
}
