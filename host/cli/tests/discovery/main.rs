//! Which credential wins, beside the vendor's clients: random environments, and for each of them what the vendor's Python and
//! TypeScript SDKs resolve and send, and what this command does. Every difference stands in `differences.rs`, with its reason.
//!
//! `WIF_ENVIRONMENTS=5000 WIF_SEED=7 cargo test --workspace --test discovery -- --nocapture` is a longer run.

#![cfg(unix)]

mod differences;
mod environments;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wif_test_tools::{Missing, node, or_not_run, python};

use differences::{Case, DIFFERENCES, Difference, Excuse, Sdk};
use environments::Environment;

/// What came of an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Served(Served),
    /// No request to the API was sent; why, in somebody's words.
    Refused(String),
    /// It did not come to an end as a program ends that says no: a panic, a trap, an error of the runner's own. Like nothing else.
    Broken(String),
}

/// A request to the API, and the exchange before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    /// The token exchange's path and body.
    pub(crate) exchange: Option<(String, Value)>,
    /// The credential's header field.
    pub(crate) header: (String, String),
    /// `anthropic-workspace-id`.
    pub(crate) workspace: Option<String>,
    /// The path before `/v1/messages`; not of this command, which sends no messages.
    pub(crate) base: Option<String>,
}

impl Outcome {
    pub(crate) fn served(&self) -> Option<&Served> {
        match self {
            Self::Served(served) => Some(served),
            Self::Refused(_) | Self::Broken(_) => None,
        }
    }

    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Refused(_), Self::Refused(_)) => true,
            (Self::Served(one), Self::Served(another)) => {
                let base = one.base.is_none() || another.base.is_none() || one.base == another.base;
                base && one.exchange == another.exchange && one.header == another.header && one.workspace == another.workspace
            }
            _ => false,
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "how many cases a test runs is the caller's choice")]
    let value = std::env::var(name);
    value.ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_credential_that_wins_is_the_vendors_but_for_the_listed_differences() {
    let Some(clients) = or_not_run(Clients::install()) else { return };
    let (count, seed) = (setting("WIF_ENVIRONMENTS", 200), setting("WIF_SEED", 1));
    let root = tempfile::tempdir().expect("a directory");
    let root_path = root.path().canonicalize().expect("it is there");
    let endpoint = Endpoint::start().await;
    let environments: Vec<Environment> =
        (0..count).map(|number| Environment::new(number, seed, &root_path, &endpoint.base_url)).collect();

    // The SDKs keep the tokens that they get beside a profile: this command goes first, and theirs are removed after each.
    let ours = ours(&environments, &endpoint).await;
    let mut runners = [Sdk::Python, Sdk::TypeScript].map(|sdk| (sdk, clients.start(sdk)));
    let theirs = runners.each_mut().map(|(sdk, runner)| {
        (*sdk, environments.iter().map(|environment| runner.outcome(*sdk, environment)).collect::<Vec<_>>())
    });
    let other_outcomes = [&theirs[0].1, &theirs[1].1];
    let mut again = |sdk: Sdk, environment: &Environment| {
        let (_, runner) = runners.iter_mut().find(|(of, _)| *of == sdk).expect("it runs");
        runner.outcome(sdk, environment)
    };

    let (mut alike, mut served) = (0, 0);
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let mut unexplained = Vec::new();
    for (sdk, outcomes) in &theirs {
        for ((environment, theirs), ours) in environments.iter().zip(outcomes).zip(&ours) {
            if theirs.is_like(ours) {
                alike += 1;
                served += u64::from(ours.served().is_some());
                continue;
            }
            let other = match sdk {
                Sdk::Python => &other_outcomes[1][environment.number as usize],
                Sdk::TypeScript => &other_outcomes[0][environment.number as usize],
            };
            let explained = because(&Case { sdk: *sdk, environment, theirs, ours, other });
            if let Some(what) = explained {
                *seen.entry(what).or_default() += 1;
                continue;
            }
            // Each client in the environment that is meant for it.
            let (meant, by) = as_if(*sdk, environment);
            let in_meant = again(*sdk, &meant);
            let other_sdk = if *sdk == Sdk::Python { Sdk::TypeScript } else { Sdk::Python };
            let other = again(other_sdk, &as_if(other_sdk, environment).0);
            let because = because(&Case { sdk: *sdk, environment: &meant, theirs: &in_meant, ours, other: &other });
            if !by.is_empty() && in_meant.is_like(ours) || because.is_some() {
                by.into_iter().chain(because).for_each(|what| *seen.entry(what).or_default() += 1);
                continue;
            }
            unexplained.push(format!(
                "{sdk:?} {environment:#?}\n{sdk:?}: {theirs:?}\nours: {ours:?}\nas if {by:?}: {in_meant:?}\nthe other: {other:?}\n"
            ));
        }
    }
    let mut out = std::io::stderr();
    let _unseen = writeln!(out, "of {} comparisons {alike} are alike, in {served} of which a token is served", 2 * count);
    for Difference { what, why, .. } in DIFFERENCES {
        let _unseen = writeln!(out, "{:4}  {what}\n      {why}", seen.get(what).copied().unwrap_or_default());
    }
    let shown = unexplained.iter().take(8).map(String::as_str).collect::<String>();
    assert!(unexplained.is_empty(), "{} differences are not listed, such as:\n{shown}", unexplained.len());
    // Most environments are alike, or the list explains too much.
    assert!(alike > count && served > count / 4, "only {alike} of {} are alike, {served} of them served", 2 * count);
}

/// The first difference that the environment and the outcomes show.
fn because(case: &Case<'_>) -> Option<&'static str> {
    let shows = |difference: &&Difference| matches!(&difference.excuse, Excuse::Because(applies) if applies(case));
    DIFFERENCES.iter().find(shows).map(|difference| difference.what)
}

/// The environment in which this client is to do what this command does in this one, and for which differences.
fn as_if(sdk: Sdk, environment: &Environment) -> (Environment, Vec<&'static str>) {
    let (mut meant, mut by) = (environment.clone(), Vec::new());
    for difference in DIFFERENCES {
        if let Excuse::AsIf(change) = &difference.excuse
            && let Some(changed) = change(sdk, &meant)
        {
            meant = changed;
            by.push(difference.what);
        }
    }
    (meant, by)
}

/// A token that sessions keep beside a profile is one to the vendor's clients, too: they exchange nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_vendors_clients_serve_the_token_that_is_kept_beside_a_profile() {
    let Some(clients) = or_not_run(Clients::install()) else { return };
    let root = tempfile::tempdir().expect("a directory");
    let endpoint = Endpoint::start().await;
    let place = Environment::with_a_place_for_the_token(&root.path().canonicalize().expect("it is there"), &endpoint.base_url);
    let token = async || {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_wif"));
        command.env_clear().envs(&place.variables).current_dir(&place.directory).args(["token", "--allow-loopback"]);
        let output = command.output().await.expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let token = (token().await, token().await);
    assert_eq!(token.0, token.1);
    assert_eq!(endpoint.exchanges.lock().expect("it is not poisoned").len(), 1);
    for sdk in [Sdk::Python, Sdk::TypeScript] {
        let outcome = clients.start(sdk).outcome(sdk, &place);
        let served = outcome.served().unwrap_or_else(|| panic!("{sdk:?}: {outcome:?}"));
        assert_eq!((&served.exchange, &served.header.1), (&None, &format!("Bearer {}", token.0.trim())), "{sdk:?}");
    }
}

/// The vendor's clients, as they are installed.
struct Clients {
    interpreter: std::path::PathBuf,
    /// The program for Node, among the packages that it imports.
    program: tempfile::NamedTempFile,
}

impl Clients {
    fn install() -> Result<Self, Missing> {
        let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/tests/clients");
        let interpreter = python(&clients.join("python/requirements.txt"))?;
        let packages = node(&clients.join("typescript"))?;
        let program = tempfile::Builder::new().suffix(".mjs").tempfile_in(&packages).expect("a file among the packages");
        std::fs::copy(Self::programs().join("typescript.mjs"), program.path()).expect("it is copied");
        Ok(Self { interpreter, program })
    }

    fn programs() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/discovery")
    }

    fn start(&self, sdk: Sdk) -> Runner {
        let mut command = match sdk {
            Sdk::Python => Command::new(&self.interpreter),
            Sdk::TypeScript => Command::new("node"),
        };
        match sdk {
            Sdk::Python => command.arg(Self::programs().join("python.py")),
            Sdk::TypeScript => command.arg(self.program.path()),
        };
        Runner::start(command)
    }
}

/// A client that waits for environments.
struct Runner {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Runner {
    fn start(mut program: Command) -> Self {
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let input = child.stdin.take().expect("it is piped");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Self { child, input, output }
    }

    fn outcome(&mut self, sdk: Sdk, environment: &Environment) -> Outcome {
        let before = credentials(environment);
        let document = json!({ "variables": environment.variables, "directory": environment.directory });
        let line = environment.in_place(|| {
            writeln!(self.input, "{document}").and_then(|()| self.input.flush()).expect("it reads");
            let mut line = String::new();
            self.output.read_line(&mut line).expect("it answers");
            line
        });
        restore(environment, &before);
        outcome_of_sdk(sdk, &serde_json::from_str(&line).expect("a line of JSON"))
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // It has nothing to lose.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The files that clients write, by path.
fn credentials(environment: &Environment) -> HashMap<std::path::PathBuf, Vec<u8>> {
    let places = ["conf", "xdg/anthropic", "home/.config/anthropic"];
    let directories = places.map(|place| environment.directory.join(place).join("credentials"));
    let files = directories.iter().filter_map(|directory| std::fs::read_dir(directory).ok()).flatten().flatten();
    files.filter_map(|file| Some((file.path(), std::fs::read(file.path()).ok()?))).collect()
}

fn restore(environment: &Environment, before: &HashMap<std::path::PathBuf, Vec<u8>>) {
    for (path, content) in credentials(environment) {
        match before.get(&path) {
            Some(was) if *was == content => {}
            Some(was) => std::fs::write(&path, was).expect("it is restored"),
            None => std::fs::remove_file(&path).expect("it is removed"),
        }
    }
}

/// How the errors begin with which a client says no. Anything else is a fault of the client or of its runner.
fn says_no(sdk: Sdk, error: &str) -> bool {
    let known: &[&str] = match sdk {
        Sdk::Python => &[
            "AnthropicError: ",
            "CredentialsError: ",
            "IdentityTokenFileError: ",
            "WorkloadIdentityError: ",
            "TypeError: \"Could not resolve authentication method.",
        ],
        Sdk::TypeScript => &["AnthropicError: ", "WorkloadIdentityError: ", "Error: "],
    };
    known.iter().any(|name| error.starts_with(name))
}

fn outcome_of_sdk(sdk: Sdk, told: &Value) -> Outcome {
    let sent = told["sent"].as_array().cloned().unwrap_or_default();
    let path = |request: &Value| {
        let url = request["url"].as_str().unwrap_or_default();
        let rest = url.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/').map_or("", |at| &rest[at..]).to_owned()
    };
    let exchange = sent.iter().find(|request| request.get("body").is_some());
    let message = sent.iter().find(|request| path(request).ends_with("/v1/messages"));
    let Some(message) = message.filter(|_| told["error"].is_null()) else {
        let error = told["error"].as_str().unwrap_or("no message was sent, and no error told").to_owned();
        return if says_no(sdk, &error) { Outcome::Refused(error) } else { Outcome::Broken(error) };
    };
    let header = ["authorization", "x-api-key"]
        .into_iter()
        .find_map(|name| Some((name.to_owned(), message["headers"][name].as_str()?.to_owned())));
    Outcome::Served(Served {
        exchange: exchange.map(|request| (path(request), request["body"].clone())),
        header: header.unwrap_or_default(),
        workspace: message["headers"]["anthropic-workspace-id"].as_str().map(str::to_owned),
        base: Some(path(message).trim_end_matches("/v1/messages").to_owned()),
    })
}

async fn ours(environments: &[Environment], endpoint: &Endpoint) -> Vec<Outcome> {
    let limit = Arc::new(tokio::sync::Semaphore::new(6));
    let mut running = Vec::new();
    for environment in environments.iter().cloned() {
        let (limit, exchanges) = (Arc::clone(&limit), Arc::clone(&endpoint.exchanges));
        running.push(tokio::spawn(async move {
            let _place = limit.acquire_owned().await.expect("it is open");
            let before = credentials(&environment);
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_wif"));
            command.env_clear().envs(&environment.variables).current_dir(&environment.directory);
            command.args(["token", "--json", "--timeout", "1", "--allow-loopback"]).stdin(Stdio::null());
            let output = command.output().await.expect("it runs");
            restore(&environment, &before);
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                // The codes by which the command says no. A panic has 101, and a trap says so.
                let says_no =
                    matches!(output.status.code(), Some(3..=5)) && !said.contains("panicked") && !said.contains("wasm trap");
                return if says_no { Outcome::Refused(said) } else { Outcome::Broken(said) };
            }
            let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let token = told["token"].as_str().unwrap_or_default();
            let header = told["header"].as_str().unwrap_or_default();
            let value = if header == "authorization" { format!("Bearer {token}") } else { token.to_owned() };
            let of_this = format!("/e{}/", environment.number);
            let exchanges = exchanges.lock().expect("it is not poisoned");
            Outcome::Served(Served {
                exchange: exchanges.iter().find(|(path, _)| path.starts_with(&of_this)).cloned(),
                header: (header.to_owned(), value),
                workspace: told["other_headers"]["anthropic-workspace-id"].as_str().map(str::to_owned),
                base: None,
            })
        }));
    }
    let mut outcomes = Vec::new();
    for one in running {
        outcomes.push(one.await.expect("it does not panic"));
    }
    outcomes
}

/// A token endpoint at every path, which keeps what it is asked.
struct Endpoint {
    base_url: String,
    exchanges: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Endpoint {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://127.0.0.1:{}", listener.local_addr().expect("an address").port());
        let exchanges = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&exchanges);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(answer(socket, Arc::clone(&kept)));
            }
        });
        Self { base_url, exchanges }
    }
}

async fn answer(mut socket: TcpStream, exchanges: Arc<Mutex<Vec<(String, Value)>>>) -> Option<()> {
    let mut request = Vec::new();
    let head = loop {
        socket.read_buf(&mut request).await.ok().filter(|read| *read > 0)?;
        if let Some(at) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).into_owned();
    let length = text.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    while request.len() < head + length.unwrap_or(0_usize) {
        socket.read_buf(&mut request).await.ok().filter(|read| *read > 0)?;
    }
    let path = text.split(' ').nth(1)?.to_owned();
    let body = serde_json::from_slice(&request[head..]).unwrap_or_default();
    exchanges.lock().expect("it is not poisoned").push((path, body));
    let body = r#"{"access_token":"sk-ant-oat01-exchanged","token_type":"Bearer","expires_in":3600}"#;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    socket.write_all(format!("{head}{body}").as_bytes()).await.ok()
}
