//! A client as a process, and the world that it meets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use wif_emulator::{Emulator, Options, Reason, TokenFile};
use wif_test_tools::{Missing, node, or_not_run, python};

/// Both clients.
pub(crate) const KINDS: [Kind; 2] = [Kind::Python, Kind::TypeScript];

/// Which SDK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Python,
    TypeScript,
}

/// An emulator and a rotated token file.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) file: TokenFile,
    /// Holds the token file, and is the home of the clients: there is no profile in it.
    directory: TempDir,
}

impl World {
    pub(crate) async fn start(options: Options) -> Self {
        let emulator = Emulator::start(options).await.expect("the options are good");
        let directory = tempfile::tempdir().expect("a directory");
        let file = emulator.identity_provider().publish(directory.path().join("token")).expect("the directory is writable");
        Self { emulator, file, directory }
    }

    /// What leads a client to the emulator.
    pub(crate) fn environment(&self) -> BTreeMap<&'static str, String> {
        let options = self.emulator.options();
        BTreeMap::from([
            ("HOME", self.directory.path().display().to_string()),
            ("ANTHROPIC_BASE_URL", self.emulator.base_url().to_owned()),
            ("ANTHROPIC_FEDERATION_RULE_ID", options.federation_rule_id.clone()),
            ("ANTHROPIC_ORGANIZATION_ID", options.organization_id.clone()),
            ("ANTHROPIC_SERVICE_ACCOUNT_ID", options.service_account_id.clone()),
            ("ANTHROPIC_WORKSPACE_ID", options.workspace_ids.join(",")),
            ("ANTHROPIC_IDENTITY_TOKEN_FILE", self.file.path().display().to_string()),
        ])
    }

    /// How often a spent identity token came again.
    pub(crate) fn reused(&self) -> usize {
        self.emulator.history().iter().filter(|entry| entry.reason == Some(Reason::JtiReused)).count()
    }

    /// Waits for what the history has to show.
    pub(crate) async fn until(&self, is_so: impl Fn() -> bool) {
        let mut history = self.emulator.subscribe();
        let waiting = async {
            while !is_so() {
                history.changed().await.expect("the emulator runs");
            }
        };
        let history = || format!("{:#?}", self.emulator.history());
        tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap_or_else(|_| panic!("{}", history()));
    }
}

/// A running program that does what it is asked for.
pub(crate) struct Client {
    asked: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

/// What came of a request.
pub(crate) struct CallResult(Value);

/// An exception of the SDK.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Its class.
    pub(crate) error: String,
    pub(crate) status: Option<u64>,
    pub(crate) request_id: Option<String>,
    pub(crate) message: String,
}

impl Client {
    /// None, and a line that says so, where a Debian package is missing.
    pub(crate) async fn start(kind: Kind, environment: &BTreeMap<&'static str, String>) -> Option<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        // Fetching takes a while, and no thread of the runtime.
        let program = tokio::task::spawn_blocking(move || program(kind, &here)).await.expect("no panic");
        let mut command = or_not_run(program)?;
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path))).envs(environment);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("it starts");
        let asked = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Some(Self { asked, answers, _process: process })
    }

    /// Asks for one request of the SDK, by the program's name for it.
    pub(crate) async fn ask(&mut self, request: &str) -> CallResult {
        self.asked.write_all(format!("{request}\n").as_bytes()).await.expect("it runs");
        let answer = tokio::time::timeout(Duration::from_secs(60), self.answers.next_line());
        let line = answer.await.expect("it answers in time").expect("it answers text").expect("it runs");
        CallResult(serde_json::from_str(&line).expect("it answers JSON"))
    }
}

impl CallResult {
    /// What the SDK returned.
    pub(crate) fn value(self) -> Value {
        match self.0.get("ok") {
            Some(value) => value.clone(),
            None => panic!("the SDK failed: {}", self.0),
        }
    }

    /// The text that the SDK returned.
    pub(crate) fn text(self) -> String {
        self.value().as_str().expect("a text").to_owned()
    }

    /// The exception that the SDK raised.
    pub(crate) fn failure(self) -> Failure {
        let text = |name: &str| self.0[name].as_str().map(str::to_owned);
        Failure {
            error: text("error").unwrap_or_else(|| panic!("the SDK succeeded: {}", self.0)),
            status: self.0["status"].as_u64(),
            request_id: text("request_id"),
            message: text("message").unwrap_or_default(),
        }
    }
}

fn program(kind: Kind, here: &Path) -> Result<Command, Missing> {
    match kind {
        Kind::Python => {
            let mut command = Command::new(python(&here.join("python/requirements.txt"))?);
            command.arg(here.join("python/client.py"));
            Ok(command)
        }
        Kind::TypeScript => {
            // A program that is given as text finds its packages from the folder that it runs in.
            let folder: PathBuf = node(&here.join("typescript"))?;
            let mut command = Command::new("node");
            command.args(["--input-type=module", "--eval", include_str!("typescript/client.mjs")]).current_dir(folder);
            Ok(command)
        }
    }
}
