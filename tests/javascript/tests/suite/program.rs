//! Programs of `programs/` as processes.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use wif_javascript::Workshop;

/// The package, built once.
pub(crate) fn workshop() -> &'static Workshop {
    static OPENED: OnceLock<Workshop> = OnceLock::new();
    OPENED.get_or_init(|| Workshop::open().unwrap_or_else(|missing| panic!("{missing}")))
}

/// The same where a thread of the runtime must not be held up.
pub(crate) async fn workshop_async() -> &'static Workshop {
    tokio::task::spawn_blocking(workshop).await.expect("no panic")
}

/// What a program that runs to its end prints: a value in each line.
pub(crate) fn printed(command: &mut Command) -> Vec<Value> {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

/// What runs programs outside of a browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    Node,
    /// One that has SQLite. The tests' other one may be too old for that.
    NewerNode,
    Deno,
    Bun,
}

pub(crate) const RUNTIMES: [Runtime; 3] = [Runtime::Node, Runtime::Deno, Runtime::Bun];

/// Those that can lock files.
pub(crate) const LOCKING: [Runtime; 3] = [Runtime::NewerNode, Runtime::Deno, Runtime::Bun];

impl Runtime {
    /// A program of ours; where the runtime has permissions, with these alone. It may install the runtime, which takes a while.
    pub(crate) fn run(self, program: &str, permissions: &[&str]) -> Command {
        self.run_in(workshop(), program, permissions)
    }

    /// The same in another workshop.
    pub(crate) fn run_in(self, workshop: &Workshop, program: &str, permissions: &[&str]) -> Command {
        let installed = |path: Result<PathBuf, _>| path.unwrap_or_else(|missing| panic!("{missing}"));
        let mut command = match self {
            Self::Node => Command::new("node"),
            Self::NewerNode => Command::new(installed(workshop.newer_node())),
            Self::Deno => {
                let mut command = Command::new(installed(workshop.deno()));
                command.args(["run", "--no-prompt", "--node-modules-dir=manual"]).args(permissions);
                command
            }
            Self::Bun => {
                let mut command = Command::new(installed(workshop.bun()));
                command.arg("run");
                command
            }
        };
        command.arg(workshop.program(program));
        command
    }
}

/// A program of ours in Node.
pub(crate) fn node(program: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(workshop().program(program));
    command
}

/// A program that answers each line of its input with one of JSON. It ends when its input does, with all that it started.
pub(crate) struct Program {
    asked: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    process: Child,
    /// What it takes for the system's temporary directory: whatever is left in it goes with it.
    _temporary: TempDir,
}

/// A program ends within this time after its input, or is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

impl Drop for Program {
    #[allow(clippy::disallowed_methods, reason = "a real process takes real time, and nothing can be awaited here")]
    fn drop(&mut self) {
        drop(self.asked.take());
        let begin = std::time::Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) && begin.elapsed() < ENDS_WITHIN {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Program {
    pub(crate) fn start(command: Command) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let mut command = tokio::process::Command::from(command);
        command.env("TMPDIR", temporary.path());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().expect("it starts");
        let asked = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Self { asked: Some(asked), answers, process, _temporary: temporary }
    }

    /// The next line that it prints.
    pub(crate) async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(60), self.answers.next_line());
        let line = line.await.expect("it answers in time").expect("it answers text").expect("it runs");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Ends it at once, whatever it does.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("it runs");
    }

    /// Asks, and gives the answer as it is.
    pub(crate) async fn ask(&mut self, request: &str) -> Value {
        let asked = self.asked.as_mut().expect("it is open until the end");
        asked.write_all(format!("{request}\n").as_bytes()).await.expect("it runs");
        self.next().await
    }

    /// Asks for what must succeed.
    pub(crate) async fn value(&mut self, request: &str) -> Value {
        let answer = self.ask(request).await;
        answer.get("ok").cloned().unwrap_or_else(|| panic!("{request}: {answer}"))
    }
}

/// The project's tests, whose cases every host runs.
pub(crate) fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The project's vectors.
pub(crate) fn vectors() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}
