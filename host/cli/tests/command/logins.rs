//! A person logs in, uses the login and logs out. The test is the browser: it follows the address that the command opens, reads the
//! page, and goes where the page sends it.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use url::Url;
use wif_emulator::Outcome;

use crate::place::{Place, Run, bare};

/// The command without the federation's variables.
pub(crate) fn person(place: &Place) -> Command {
    let mut command = bare(place.directory.path());
    command.env("ANTHROPIC_BASE_URL", place.emulator.base_url());
    command
}

/// `wif login` with a browser that notes the address.
pub(crate) struct Login {
    child: Child,
    address: PathBuf,
}

impl Login {
    pub(crate) fn begin(place: &Place, more: &[&str]) -> Self {
        Self::begin_with(place, more, &[])
    }

    pub(crate) fn begin_with(place: &Place, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let address = place.directory.path().join("address");
        let _earlier = std::fs::remove_file(&address);
        let script = format!("#!/bin/sh\nprintf %s \"$1\" > '{0}.new'\n/bin/mv '{0}.new' '{0}'\n", address.display());
        Self { child: Self::start(place, more, variables, &script), address }
    }

    /// With another browser: this script, which has the address as its argument.
    pub(crate) fn begin_by(place: &Place, more: &[&str], script: &str) -> Self {
        Self { child: Self::start(place, more, &[], script), address: PathBuf::new() }
    }

    fn start(place: &Place, more: &[&str], variables: &[(&str, &str)], script: &str) -> Child {
        let browser = place.directory.path().join("browser");
        std::fs::write(&browser, script).expect("it is written");
        std::fs::set_permissions(&browser, std::fs::Permissions::from_mode(0o755)).expect("it runs");
        let mut command = person(place);
        command.args(["login", "--console-url", place.emulator.base_url()]).args(more).env("BROWSER", &browser);
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("it starts")
    }

    pub(crate) async fn address(&self) -> Url {
        for _ in 0..3_000 {
            if let Ok(address) = std::fs::read_to_string(&self.address) {
                return Url::parse(&address).expect("a URL");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no browser was opened");
    }

    pub(crate) async fn end(self) -> Run {
        let output = tokio::task::spawn_blocking(move || self.child.wait_with_output().expect("it ends")).await.expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            took: Duration::ZERO,
        }
    }
}

/// A request as a browser makes it: the status, where it leads, the page.
pub(crate) async fn visit(method: &str, url: &Url) -> (u16, Option<Url>, String) {
    let (host, port) = (url.host_str().expect("a host"), url.port_or_known_default().expect("a port"));
    let mut socket = TcpStream::connect((host, port)).await.expect("somebody listens");
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let request = format!("{method} {target} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let location = head.lines().find_map(|line| line.strip_prefix("location: ")).map(|to| url.join(to).expect("a URL"));
    (status, location, body.to_owned())
}

/// Presses the button with this id on the page.
pub(crate) async fn press(page_url: &Url, button: &str) -> Url {
    let (status, _, page) = visit("GET", page_url).await;
    assert_eq!(status, 200, "{page}");
    let form = page.split("<form").find(|form| form.contains(&format!("id=\"{button}\""))).expect("the button is there");
    let action = form.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it goes somewhere");
    let action = page_url.join(&action.replace("&amp;", "&")).expect("a URL");
    let (status, location, _) = visit("POST", &action).await;
    assert_eq!(status, 303);
    location.expect("the browser is sent back")
}

pub(crate) fn credentials(place: &Place, profile: &str) -> PathBuf {
    place.directory.path().join(format!(".config/anthropic/credentials/{profile}.json"))
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).expect("it is there")).expect("JSON")
}

async fn log_in(place: &Place, more: &[&str]) {
    let login = Login::begin(place, more);
    let back = press(&login.address().await, "allow").await;
    let (status, _, page) = visit("GET", &back).await;
    assert_eq!(status, 200, "{page}");
    let run = login.end().await;
    assert_eq!(run.code, 0, "{}", run.stderr);
}

async fn token(place: &Place) -> Run {
    let mut command = person(place);
    command.args(["token", "--json", "--timeout", "20", "--allow-origin", place.emulator.base_url()]);
    Run::of(command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_has_a_token_and_logs_out() {
    let place = Place::new().await;
    log_in(&place, &["--workspace-id", "wrkspc_01mine"]).await;
    let file = credentials(&place, "default");
    let kept = read(&file);
    assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!((&kept["type"], &kept["version"]), (&json!("oauth_token"), &json!("1.0")));
    assert!(kept["refresh_token"].as_str().is_some_and(|token| token.starts_with("sk-ant-ort01-")));
    assert_eq!(
        read(&place.directory.path().join(".config/anthropic/configs/default.json"))["authentication"]["type"],
        "user_oauth"
    );

    let run = token(&place).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.json()["token"], kept["access_token"], "it is served as it is");
    assert_eq!(run.json()["other_headers"], json!({ "anthropic-workspace-id": "wrkspc_01mine" }));
    assert_eq!(place.emulator.counts().exchanges, 1, "the code alone was redeemed");
    assert!(!run.stderr.contains("sk-ant-"), "{}", run.stderr);

    let mut command = person(&place);
    command.arg("logout");
    let run = Run::of(command).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!file.exists());
    let run = token(&place).await;
    assert!(run.code != 0 && run.stderr.contains("wif login"), "{}", run.stderr);
}

/// The refresh token can be used once: of many processes one refreshes, and all have what it brought.
#[tokio::test(flavor = "multi_thread")]
async fn processes_refresh_a_login_once() {
    let place = Place::new().await;
    log_in(&place, &[]).await;
    let file = credentials(&place, "default");
    let mut kept = read(&file);
    let before = kept.clone();
    kept["expires_at"] = 1_000_000_000.into();
    kept["note_of_another_program"] = "stays".into();
    std::fs::write(&file, kept.to_string()).expect("it is written");
    let runs = tokio::join!(token(&place), token(&place), token(&place), token(&place), token(&place), token(&place));
    let runs = [runs.0, runs.1, runs.2, runs.3, runs.4, runs.5];
    for run in &runs {
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.json()["token"], runs[0].json()["token"]);
    }
    let history = place.emulator.history();
    let outcomes: Vec<Outcome> = history.iter().map(|entry| entry.outcome).collect();
    assert_eq!(outcomes, [Outcome::Granted, Outcome::Granted], "the login and one refresh");
    let kept = read(&file);
    assert_eq!(kept["access_token"], runs[0].json()["token"]);
    assert_ne!(kept["refresh_token"], before["refresh_token"]);
    assert_eq!((&kept["note_of_another_program"], &kept["wif_lease"]), (&json!("stays"), &Value::Null));
    assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
}

/// A12: whoever else may write there could put another login in its place.
#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_others_could_touch_are_refused() {
    let place = Place::new().await;
    log_in(&place, &[]).await;
    let file = credentials(&place, "default");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("its mode changes");
    let run = token(&place).await;
    assert!(run.code != 0 && run.stderr.contains("chmod 600"), "{}", run.stderr);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("its mode changes");
    let elsewhere = place.directory.path().join("elsewhere");
    std::fs::rename(&file, &elsewhere).expect("it moves");
    symlink(&elsewhere, &file).expect("a link");
    let run = token(&place).await;
    assert!(run.code != 0 && run.stderr.contains("no regular file"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_denies_is_not_logged_in() {
    let place = Place::new().await;
    let login = Login::begin(&place, &[]);
    let back = press(&login.address().await, "deny").await;
    assert!(visit("GET", &back).await.2.contains("not allowed"));
    let run = login.end().await;
    assert_eq!(run.code, 5, "{}", run.stderr);
    assert!(run.stderr.contains("access_denied"), "{}", run.stderr);
    assert!(!credentials(&place, "default").exists());
}

/// Another page may send the browser here with a code of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_with_the_wrong_state_is_sent_away_and_the_login_goes_on() {
    let place = Place::new().await;
    let login = Login::begin(&place, &[]);
    let back = press(&login.address().await, "allow").await;
    for (path, query) in
        [("/callback", "code=stolen&state=another"), ("/callback", "code=stolen"), ("/callback", "error=x&state="), ("/", "")]
    {
        let mut wrong = back.clone();
        wrong.set_path(path);
        wrong.set_query(Some(query));
        assert!(visit("GET", &wrong).await.0 >= 400, "{wrong}");
    }
    assert_eq!(visit("GET", &back).await.0, 200);
    let run = login.end().await;
    assert_eq!(run.code, 0, "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_in_use_and_a_person_who_does_not_come_are_said() {
    let place = Place::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let run = Login::begin(&place, &["--callback-port", &port]).end().await;
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("--callback-port") && run.stderr.contains(&port), "{}", run.stderr);

    let run = Login::begin(&place, &["--timeout", "1"]).end().await;
    assert_eq!(run.code, 4, "{}", run.stderr);
    assert!(run.stderr.contains("nobody logged in within 1 s"), "{}", run.stderr);
}

/// A machine without a browser: somebody else's browser shows a code, and the person pastes it, perhaps with something more.
async fn paste(mut command: Command, more: &'static str) -> Run {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let address = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        while !line.starts_with("http") {
            line.clear();
            assert!(stderr.read_line(&mut line).expect("it says") > 0, "it ended");
        }
        (Url::parse(line.trim()).expect("a URL"), stderr)
    });
    let (address, mut stderr) = address.await.expect("it is there");
    let shown = press(&address, "allow").await;
    let page = visit("GET", &shown).await.2;
    let code = page.split("id=\"code\">").nth(1).and_then(|rest| rest.split('<').next()).expect("a code").to_owned();
    writeln!(child.stdin.take().expect("it is piped"), "{code}{more}").expect("it reads");
    let ended = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        stderr.read_to_string(&mut said).expect("it says");
        let output = child.wait_with_output().expect("it ends");
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: said,
            took: Duration::ZERO,
        }
    });
    ended.await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_can_be_pasted() {
    let place = Place::new().await;
    for (more, code) in [("", 0), ("x", 3)] {
        let mut command = person(&place);
        command.args(["login", "--no-browser", "--profile", "work", "--console-url", place.emulator.base_url()]);
        let run = paste(command, more).await;
        assert_eq!(run.code, code, "{}", run.stderr);
    }
    assert!(credentials(&place, "work").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_a_federation_is_not_overwritten() {
    let place = Place::new().await;
    let configs = place.directory.path().join(".config/anthropic/configs");
    std::fs::create_dir_all(&configs).expect("a directory");
    let profile = r#"{"authentication": {"type": "oidc_federation"}}"#;
    std::fs::write(configs.join("default.json"), profile).expect("it is written");
    let run = Login::begin(&place, &[]).end().await;
    assert_eq!(run.code, 3, "{}", run.stderr);
    assert!(run.stderr.contains("--profile"), "{}", run.stderr);
    assert_eq!(std::fs::read_to_string(configs.join("default.json")).expect("it is there"), profile);
}

/// Makes the login's token one that has run out.
fn expire(file: &Path) -> String {
    let mut kept = read(file);
    kept["expires_at"] = 1_000_000_000.into();
    let text = kept.to_string();
    std::fs::write(file, &text).expect("it is written");
    text
}

/// To look is not to refresh: a refresh token can be used once, and what it brings would be somebody else's to keep.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_login_refreshes_nothing_and_changes_no_file() {
    let place = Place::new().await;
    log_in(&place, &[]).await;
    let file = credentials(&place, "default");
    let status = async |more: &[&str]| {
        let mut command = person(&place);
        command.args(["status", "--json", "--allow-origin", place.emulator.base_url()]).args(more);
        Run::of(command).await
    };
    let good = status(&[]).await;
    assert_eq!((good.code, &good.json()["state"]), (0, &json!("serving")), "{} {}", good.stdout, good.stderr);

    let kept = expire(&file);
    let requests = place.emulator.history().len();
    let directory = file.parent().expect("a directory");
    let entries = || std::fs::read_dir(directory).expect("it is there").count();
    let before = entries();
    for _ in 0..2 {
        let due = status(&[]).await;
        let document = due.json();
        assert_eq!((due.code, &document["state"], &document["token"]), (0, &json!("ready"), &Value::Null), "{}", due.stdout);
        assert!(document["summary"].as_str().is_some_and(|summary| summary.contains("is due")), "{document}");
    }
    assert_eq!(place.emulator.history().len(), requests, "nothing was asked");
    assert_eq!((&std::fs::read_to_string(&file).expect("it is there"), entries()), (&kept, before));

    // What no refresh can mend is told.
    let mut without = read(&file);
    without["refresh_token"] = Value::Null;
    std::fs::write(&file, without.to_string()).expect("it is written");
    let ended = status(&[]).await;
    assert_ne!(ended.code, 0, "{}", ended.stdout);
    assert!(ended.stdout.contains("wif login"), "{}", ended.stdout);

    std::fs::write(&file, &kept).expect("it is written");
    let asked = status(&["--exchange"]).await;
    assert_eq!((asked.code, &asked.json()["state"]), (0, &json!("serving")), "{} {}", asked.stdout, asked.stderr);
    assert_ne!(read(&file)["refresh_token"], serde_json::from_str::<Value>(&kept).expect("JSON")["refresh_token"], "it is kept");
    assert_eq!(place.emulator.history().len(), requests + 1, "who says --exchange means it");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_takes_a_login_for_a_login() {
    let place = Place::new().await;
    log_in(&place, &[]).await;
    let run = async |key: &str| {
        let mut command = person(&place);
        command.args(["doctor", "--json"]);
        if !key.is_empty() {
            command.env("ANTHROPIC_API_KEY", key);
        }
        Run::of(command).await
    };
    let login = run("").await;
    assert_eq!((login.code, &login.json()["findings"][0]["code"]), (0, &json!("login")), "{} {}", login.stdout, login.stderr);
    assert!(login.json()["not_looked_at"].to_string().contains("--token"), "{}", login.stdout);
    let key = run("sk-ant-api03-x").await;
    assert_eq!((key.code, &key.json()["findings"][0]["code"]), (5, &json!("static_credential")), "{} {}", key.stdout, key.stderr);
}

/// Somebody logs in as another person while a program keeps a file fresh: the file has the new token long before the old one ends.
#[tokio::test(flavor = "multi_thread")]
async fn another_persons_login_is_noticed_while_the_token_of_the_first_is_good() {
    let place = Place::new().await;
    log_in(&place, &[]).await;
    let (file, output) = (credentials(&place, "default"), place.path("output"));
    let mut command = person(&place);
    command.args(["token", "--output", &output, "--watch", "--allow-origin", place.emulator.base_url()]);
    let mut watching = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let holds = async |token: &str| {
        for _ in 0..6_000 {
            if std::fs::read_to_string(&output).is_ok_and(|content| content.trim() == token) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    };
    assert!(holds(read(&file)["access_token"].as_str().expect("a token")).await);
    let mut other = read(&file);
    other["access_token"] = "sk-ant-oat01-of-another-person".into();
    other["note"] = "which makes it longer".into();
    let new = file.with_extension("tmp");
    std::fs::write(&new, other.to_string()).expect("it is written");
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).expect("its mode is set");
    std::fs::rename(&new, &file).expect("it is replaced");
    let noticed = holds("sk-ant-oat01-of-another-person").await;
    let _ended = watching.kill();
    watching.wait().expect("it was running");
    assert!(noticed, "{:?}", std::fs::read_to_string(&output));
}

/// What is wrong is named by where it stands: an option, a variable, or a field of the profile's file.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_login_names_the_place_of_what_is_wrong() {
    let place = Place::new().await;
    let configs = place.directory.path().join(".config/anthropic/configs");
    std::fs::create_dir_all(&configs).expect("a directory");
    let file = configs.join("default.json");
    let shown = file.display().to_string();
    let run = async |profile: Value, arguments: &[&str], variables: &[(&str, &str)]| {
        std::fs::write(&file, profile.to_string()).expect("it is written");
        let mut command = bare(place.directory.path());
        command.args(["login", "--no-browser", "--timeout", "1"]).args(arguments).envs(variables.iter().copied());
        let run = Run::of(command).await;
        assert_eq!(run.code, 3, "{}", run.stderr);
        run.stderr
    };
    let login = |console: &str, base: &str| json!({ "base_url": base, "authentication": { "type": "user_oauth", "console_url": console } });
    let said = run(login("ftp://a.example", ""), &[], &[]).await;
    assert!(said.contains("authentication.console_url") && said.contains(&shown) && !said.contains("--console-url"), "{said}");
    let said = run(login("", "ftp://a.example"), &[], &[]).await;
    assert!(said.contains("base_url of the profile") && said.contains(&shown) && !said.contains("ANTHROPIC_BASE_URL"), "{said}");
    let said = run(login("", ""), &["--console-url", "ftp://a.example"], &[]).await;
    assert!(said.contains("--console-url: ") && !said.contains(&shown), "{said}");
    let said = run(login("", ""), &[], &[("ANTHROPIC_BASE_URL", "ftp://a.example")]).await;
    assert!(said.contains("ANTHROPIC_BASE_URL: ") && !said.contains(&shown), "{said}");
    let said = run(login("", ""), &["--profile", "../x"], &[]).await;
    assert!(said.contains("--profile: ") && !said.contains("ANTHROPIC_PROFILE"), "{said}");
    let said = run(login("", ""), &[], &[("ANTHROPIC_PROFILE", "../x")]).await;
    assert!(said.contains("ANTHROPIC_PROFILE: ") && !said.contains("--profile"), "{said}");
    let said = run(login("", ""), &["--extra-roots", &shown], &[]).await;
    assert!(said.contains("--extra-roots: ") && said.contains(&shown), "{said}");
}

/// The code would be read by the proxy, whose own loopback is another machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_login_at_this_machine_passes_the_proxy_by() {
    let place = Place::new().await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = format!("http://{}", nobody.local_addr().expect("an address"));
    drop(nobody);
    let login = Login::begin_with(&place, &[], &[("HTTP_PROXY", &proxy), ("http_proxy", &proxy), ("ALL_PROXY", &proxy)]);
    let back = press(&login.address().await, "allow").await;
    assert_eq!(visit("GET", &back).await.0, 200);
    let run = login.end().await;
    assert_eq!(run.code, 0, "{}", run.stderr);
}

/// A server with a certificate of its own authority: reached with `--extra-roots`, and not without.
#[tokio::test(flavor = "multi_thread")]
async fn the_roots_that_are_named_are_trusted_at_a_login() {
    let place = Place::new().await;
    let mint: wif_servers::Mint = std::sync::Arc::new(|_| String::new());
    let server = wif_servers::api_server("apps", "web", "pod", mint).await;
    let roots = place.path("roots.pem");
    std::fs::write(&roots, &server.ca).expect("it is written");
    for (more, code, said) in
        [(&["--extra-roots", roots.as_str()][..], 5, "refused the login (status 4"), (&[], 1, "cannot be reached")]
    {
        let mut command = bare(place.directory.path());
        command.env("ANTHROPIC_BASE_URL", format!("https://127.0.0.1:{}", server.address.port()));
        command.args(["login", "--no-browser", "--console-url", place.emulator.base_url()]).args(more);
        let pasted = paste(command, "").await;
        assert_eq!(pasted.code, code, "{more:?}: {}", pasted.stderr);
        assert!(pasted.stderr.contains(said), "{more:?}: {}", pasted.stderr);
    }
}
