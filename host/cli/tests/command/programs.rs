//! A program as the source of identity tokens: the command runs it, if it is allowed to, and so does Google's client.

use std::process::Command;

use serde_json::{Value, json};
use wif_servers::cases;
use wif_test_tools::{or_not_run, python};

use crate::place::Run;
use crate::sources::Platform;

/// `wif SUBCOMMAND` with this program, which is allowed if it is said.
async fn run(platform: &Platform, subcommand: &str, identity_token: &Value, allowed: Option<&str>) -> Run {
    let mut command = platform.command(subcommand, identity_token, &[("CANARY", "canary-of-the-environment")]);
    command.args(allowed.into_iter().flat_map(|program| ["--allow-executable", program]));
    Run::of(command).await
}

/// The interpreter with the clients that others wrote, which get an answer from the same servers. None, and a line that says so, where
/// a Debian package is missing.
pub(crate) async fn clients() -> Option<(std::path::PathBuf, std::path::PathBuf)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/servers/clients");
    let requirements = folder.join("requirements.txt");
    or_not_run(tokio::task::spawn_blocking(move || python(&requirements)).await.expect("no panic"))
        .map(|interpreter| (interpreter, folder.join("clients.py")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_run_that_is_allowed_and_no_other() {
    let platform = Platform::new().await;
    let marker = platform.directory.path().join("it-ran");
    let touch = json!({ "source": "executable", "command": ["/usr/bin/touch", marker] });
    for allowed in [None, Some("/usr/bin/touc"), Some("/bin/touch"), Some("touch")] {
        let refused = run(&platform, "token", &touch, allowed).await;
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        let said = "the policy does not allow the program /usr/bin/touch; allow it with --allow-executable /usr/bin/touch";
        assert!(refused.stderr.contains(said), "{}", refused.stderr);
        // Who looks is told the same.
        let status = run(&platform, "status", &touch, allowed).await;
        assert!(status.code == 3 && status.stdout.contains(said), "{} {}", status.stdout, status.stderr);
    }
    // Who looks runs nothing, even where it is allowed.
    let status = run(&platform, "status", &touch, Some("/usr/bin/touch")).await;
    assert!(status.code == 0 && status.stdout.contains("executable (mints)"), "{} {}", status.stdout, status.stderr);
    assert!(!marker.exists(), "it was run");
    let ran = run(&platform, "token", &touch, Some("/usr/bin/touch")).await;
    assert!(ran.code != 0 && ran.stderr.contains("/usr/bin/touch printed nothing to its standard output"), "{}", ran.stderr);
    assert!(marker.exists());
}

/// The answer is that of Google's documentation, and Google's own client takes it from the same program.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_google_s_convention_serves_us_and_google_s_client() {
    let platform = Platform::new().await;
    let case = cases::start("executable", platform.directory.path(), &platform.mint()).await;
    let token = run(&platform, "token", &case.identity_token, case.executable).await;
    platform.gave_a_token(&token, &["canary"]);
    let Some((interpreter, program)) = clients().await else { return };
    let mut command = Command::new(interpreter);
    command.arg(program).arg("executable").arg(case.identity_token.to_string());
    command.env("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1");
    let theirs = Run::of(command).await;
    assert_eq!(theirs.code, 0, "{}", theirs.stderr);
    let answer: Value = serde_json::from_str(&case.files[0].1).expect("JSON");
    assert_eq!(answer["id_token"], theirs.stdout.trim());
}

/// What it says is shown, and no secret with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_fails_is_quoted_without_secrets() {
    let platform = Platform::new().await;
    let token = platform.mint()("https://api.anthropic.com");
    let shell = |script: &str| json!({ "source": "executable", "command": ["/bin/sh", "-c", script], "environment": ["CANARY"] });
    for (script, said) in [
        ("echo no such profile >&2; exit 7", "/bin/sh ended with exit code 7. It says: no such profile"),
        ("echo $CANARY >&2; exit 7", "What it says is withheld, for it repeats a variable"),
        (&format!("echo {token} >&2; exit 7"), "[withheld"),
        ("echo canary and more", "printed more than one word"),
    ] {
        let failed = run(&platform, "token", &shell(script), Some("/bin/sh")).await;
        assert!(failed.code != 0 && failed.stderr.contains(said), "{script}: {}", failed.stderr);
        for secret in ["canary", token.rsplit('.').next().expect("a signature")] {
            assert!(!failed.stderr.contains(secret), "{script}: {}", failed.stderr);
        }
    }
}
