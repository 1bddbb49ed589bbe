//! A login in the desktop's keychain: a real session bus, and GNOME's keychain on it.

use std::path::Path;

use serde_json::{Value, json};
use wif_emulator::Outcome;
use wif_test_tools::{Desktop, or_not_run};

use crate::logins::{Login, credentials, person, press, visit};
use crate::place::{Place, Run};

/// A desktop; none where a package is missing.
fn desktop() -> Option<Desktop> {
    or_not_run(Desktop::start())
}

/// A login, with these options and what leads to the keychain.
async fn log_in(place: &Place, more: &[&str], bus: &[(&str, &str)]) -> Run {
    let login = Login::begin_with(place, more, bus);
    let back = press(&login.address().await, "allow").await;
    assert_eq!(visit("GET", &back).await.0, 200);
    login.end().await
}

/// A command of a person, in this session or in none.
async fn run(place: &Place, arguments: &[&str], bus: &[(&str, &str)]) -> Run {
    let mut command = person(place);
    command.args(arguments).envs(bus.iter().copied());
    Run::of(command).await
}

async fn token(place: &Place, bus: &[(&str, &str)]) -> Run {
    run(place, &["token", "--json", "--timeout", "20", "--allow-origin", place.emulator.base_url()], bus).await
}

/// By what the keychain knows the login.
fn attributes(file: &Path) -> [String; 4] {
    let directory = file.parent().and_then(|directory| directory.canonicalize().ok()).expect("it is there");
    let path = directory.join(file.file_name().expect("a name"));
    ["application", "wif", "credentials_path", path.to_str().expect("text")].map(str::to_owned)
}

/// What the keychain has.
fn kept(desktop: &Desktop, file: &Path) -> Option<Value> {
    let secret = desktop.secret(&attributes(file).each_ref().map(String::as_str))?;
    Some(serde_json::from_str(&secret).expect("it is JSON"))
}

/// Whether a token is in one of the files below.
fn holds_a_token(directory: &Path) -> bool {
    std::fs::read_dir(directory).expect("it is there").flatten().any(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => holds_a_token(&entry.path()),
        Ok(kind) if kind.is_file() => std::fs::read(entry.path())
            .is_ok_and(|content| content.windows(b"sk-ant-o".len()).any(|window| window == b"sk-ant-o")),
        _ => false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_in_the_keychain_is_in_no_file_and_every_command_finds_it() {
    let Some(desktop) = desktop() else { return };
    let (variable, address) = desktop.variable();
    let (bus, place) = ([(variable, address.as_str())], Place::new().await);
    let said = log_in(&place, &["--keychain"], &bus).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("its tokens in the keychain"), "{}", said.stdout);
    let file = credentials(&place, "default");
    let in_keychain = kept(&desktop, &file).expect("it is there");
    assert!(in_keychain["refresh_token"].as_str().is_some_and(|token| token.starts_with("sk-ant-ort01-")));
    assert!(!file.exists() && !holds_a_token(place.directory.path()), "it is in no file");

    let printed = token(&place, &bus).await;
    assert_eq!(printed.code, 0, "{}", printed.stderr);
    assert_eq!(printed.json()["token"], in_keychain["access_token"]);
    let allow = ["--allow-origin", place.emulator.base_url()];
    let status = run(&place, &[&["status", "--json"], &allow[..]].concat(), &bus).await;
    assert_eq!((status.code, &status.json()["state"]), (0, &json!("serving")), "{} {}", status.stdout, status.stderr);
    let child = run(&place, &[&["exec"], &allow[..], &["--", "env"]].concat(), &bus).await;
    let expected = format!("ANTHROPIC_AUTH_TOKEN={}", in_keychain["access_token"].as_str().expect("a token"));
    assert!(child.stdout.contains(&expected), "{}", child.stderr);

    let left = run(&place, &["logout", "--all"], &bus).await;
    assert_eq!((left.code, left.stdout.as_str()), (0, "Logged out of the profile default.\n"), "{}", left.stderr);
    assert_eq!(kept(&desktop, &file), None);
    let none = token(&place, &bus).await;
    assert!(none.code != 0 && none.stderr.contains("wif login"), "{}", none.stderr);
    assert_eq!(run(&place, &["logout"], &bus).await.stdout, "There was no login.\n");
}

/// The refresh token can be used once: what it brought is in the keychain, also after that was ended.
#[tokio::test(flavor = "multi_thread")]
async fn processes_refresh_a_login_in_the_keychain_once_and_what_it_brought_is_kept() {
    let Some(mut desktop) = desktop() else { return };
    let (variable, address) = desktop.variable();
    let (bus, place) = ([(variable, address.as_str())], Place::new().await);
    assert_eq!(log_in(&place, &["--keychain"], &bus).await.code, 0);
    let file = credentials(&place, "default");
    let before = kept(&desktop, &file).expect("it is there");
    let mut expired = before.clone();
    expired["expires_at"] = 1_000_000_000.into();
    desktop.replace_secret(&attributes(&file).each_ref().map(String::as_str), &expired.to_string());
    let runs = tokio::join!(token(&place, &bus), token(&place, &bus), token(&place, &bus), token(&place, &bus));
    let runs = [runs.0, runs.1, runs.2, runs.3];
    for run in &runs {
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.json()["token"], runs[0].json()["token"]);
    }
    let outcomes: Vec<Outcome> = place.emulator.history().iter().map(|entry| entry.outcome).collect();
    assert_eq!(outcomes, [Outcome::Granted, Outcome::Granted], "the login and one refresh");

    desktop.open_keychain();
    let after = kept(&desktop, &file).expect("it is there");
    assert_eq!(after["access_token"], runs[0].json()["token"]);
    assert!(after["refresh_token"] != before["refresh_token"] && after["wif_lease"].is_null(), "it is the next one");
    assert_eq!(token(&place, &bus).await.json()["token"], after["access_token"]);
    assert!(!file.exists() && !holds_a_token(place.directory.path()), "it is in no file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keychain_that_nobody_opens_is_said() {
    let Some(mut desktop) = desktop() else { return };
    let (variable, address) = desktop.variable();
    let (bus, place) = ([(variable, address.as_str())], Place::new().await);
    assert_eq!(log_in(&place, &["--keychain"], &bus).await.code, 0);
    desktop.lock_keychain();
    let none = token(&place, &bus).await;
    assert!(none.code != 0 && none.stderr.contains("the keychain is locked, and was not opened"), "{}", none.stderr);
    let refused = Login::begin_with(&place, &["--keychain"], &bus).end().await;
    assert!(refused.code == 3 && refused.stderr.contains("the keychain is locked"), "{}", refused.stderr);
    desktop.open_keychain();
    assert_eq!(token(&place, &bus).await.code, 0, "it is there as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_keychain_answers_the_error_says_what_to_do() {
    let Some(mut desktop) = desktop() else { return };
    let (variable, address) = desktop.variable();
    let (bus, place) = ([(variable, address.as_str())], Place::new().await);
    // No session, and a session whose bus has no keychain.
    let nowhere = ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere/bus");
    assert_eq!(log_in(&place, &["--keychain"], &bus).await.code, 0);
    desktop.end_keychain();
    for bus in [[nowhere], bus] {
        let refused = Login::begin_with(&place, &["--keychain"], &bus).end().await;
        assert_eq!(refused.code, 3, "{}", refused.stderr);
        assert!(refused.stderr.contains("--keychain: no Secret Service (gnome-keyring"), "{}", refused.stderr);
        assert!(refused.stderr.contains("or leave the option out"), "{}", refused.stderr);
        let none = token(&place, &bus).await;
        assert_ne!(none.code, 0);
        assert!(none.stderr.contains("the login is in the keychain: no Secret Service"), "{}", none.stderr);
        assert!(none.stderr.contains("or log in again without --keychain"), "{}", none.stderr);
        let left = run(&place, &["logout"], &bus).await;
        assert!(left.code == 3 && left.stderr.contains("no Secret Service"), "{}", left.stderr);
    }
    // And so it is: the file counts from now on.
    let said = log_in(&place, &[], &[nowhere]).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("warning: the login before stays in the keychain"), "{}", said.stderr);
    assert!(credentials(&place, "default").exists());
    let printed = token(&place, &[nowhere]).await;
    assert_eq!(printed.code, 0, "{}", printed.stderr);
}
