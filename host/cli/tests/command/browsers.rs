//! A person logs in with a real browser: Debian's Chromium, without a window.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use wif_test_tools::{node, not_run};

use crate::logins::{Login, credentials, person};
use crate::place::{Place, Run};

const CHROMIUM: &str = "chromium-headless-shell";

/// What a person with a browser needs.
struct Browser {
    packages: PathBuf,
    chromium: PathBuf,
    node: PathBuf,
}

impl Browser {
    /// None where a package is missing.
    fn find() -> Option<Self> {
        let Some(chromium) = on_the_path(CHROMIUM) else {
            not_run(CHROMIUM);
            return None;
        };
        let packages = match node(&program().with_file_name("")) {
            Ok(packages) => packages,
            Err(missing) => panic!("{missing}"),
        };
        Some(Self { packages, chromium, node: on_the_path("node").expect("it has just run") })
    }

    /// `wif login`, whose browser does what the person wants: how it ended, and what the browser saw.
    async fn log_in(&self, place: &Place, intent: &str, more: &[&str]) -> (Run, Value) {
        let report = place.directory.path().join("report");
        let script = format!(
            "#!/bin/sh\nTMPDIR='{}' exec '{}' '{}' '{}' '{}' '{intent}' '{}' \"$1\"\n",
            place.directory.path().display(),
            self.node.display(),
            program().display(),
            self.packages.display(),
            self.chromium.display(),
            report.display(),
        );
        let login = Login::begin_by(place, more, &script);
        let run = login.end().await;
        for _ in 0..1_500 {
            if let Ok(seen) = std::fs::read_to_string(&report) {
                std::fs::remove_file(&report).expect("it is there");
                let seen: Value = serde_json::from_str(&seen).expect("it is JSON");
                assert_eq!((&seen["failed"], &seen["asked"]), (&Value::Null, &json!("Log in?")), "{seen} {}", run.stderr);
                return (run, seen);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the browser did not end: {}", run.stderr);
    }
}

fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/person.mjs")
}

fn on_the_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_allows_it_in_a_browser_is_logged_in_and_who_denies_it_is_not() {
    let Some(browser) = Browser::find() else { return };
    let place = Place::new().await;
    let (denied, seen) = browser.log_in(&place, "deny", &[]).await;
    assert_eq!(denied.code, 5, "{}", denied.stderr);
    assert!(denied.stderr.contains("access_denied"), "{}", denied.stderr);
    assert_eq!(seen["told"], "The login was not allowed. You may close this window.");
    assert!(!credentials(&place, "default").exists());

    let (allowed, seen) = browser.log_in(&place, "allow", &[]).await;
    assert_eq!(allowed.code, 0, "{}", allowed.stderr);
    assert_eq!(seen["told"], "You are logged in. You may close this window.");
    assert_eq!(seen["complaints"], json!([]), "neither page asks for what it forbids itself");
    let mut token = person(&place);
    token.args(["token", "--allow-origin", place.emulator.base_url()]);
    let token = Run::of(token).await;
    assert!(token.code == 0 && token.stdout.starts_with("sk-ant-oat01-"), "{}", token.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_comes_with_the_state_of_another_login_is_sent_away_and_the_login_goes_on() {
    let Some(browser) = Browser::find() else { return };
    let place = Place::new().await;
    let (run, seen) = browser.log_in(&place, "allow another login", &[]).await;
    assert_eq!(seen["sentAway"], json!({ "status": 400, "text": "This is not the login that was begun." }));
    assert_eq!((run.code, &seen["told"]), (0, &json!("You are logged in. You may close this window.")), "{}", run.stderr);
    assert_eq!(place.emulator.counts().exchanges, 1, "the other code was given to nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_closed_ends_the_login_when_its_time_is_over() {
    let Some(browser) = Browser::find() else { return };
    let place = Place::new().await;
    let (run, seen) = browser.log_in(&place, "close the window", &["--timeout", "8"]).await;
    assert_eq!((run.code, &seen["told"]), (4, &Value::Null), "{}", run.stderr);
    assert!(run.stderr.contains("nobody logged in within 8 s"), "{}", run.stderr);
    assert!(!credentials(&place, "default").exists());
}

/// The browser would come back to somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_port_is_in_use_no_browser_is_opened() {
    let place = Place::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let opened = place.directory.path().join("opened");
    let script = format!("#!/bin/sh\n: > '{}'\n", opened.display());
    let run = Login::begin_by(&place, &["--callback-port", &port], &script).end().await;
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("--callback-port") && run.stderr.contains(&port), "{}", run.stderr);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!opened.exists());
}
