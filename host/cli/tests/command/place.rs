//! An emulator with an identity token on disk, and the command beside it.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use wif_emulator::{Emulator, Options, TokenFile};

/// An emulator with an identity token on disk, and the directory that all of a test's files are in.
pub(crate) struct Place {
    pub(crate) emulator: Emulator,
    pub(crate) file: TokenFile,
    pub(crate) directory: tempfile::TempDir,
}

impl Place {
    pub(crate) async fn new() -> Self {
        let emulator = Emulator::start(Options::default()).await.expect("the emulator starts");
        let directory = tempfile::tempdir().expect("a directory");
        let file = emulator.identity_provider().publish(directory.path().join("token")).expect("the token is published");
        Self { emulator, file, directory }
    }

    /// The command with the federation variables, and no others of the vendor's.
    pub(crate) fn wif(&self) -> Command {
        let mut command = bare(self.directory.path());
        let options = self.emulator.options();
        command
            .env("ANTHROPIC_BASE_URL", self.emulator.base_url())
            .env("ANTHROPIC_FEDERATION_RULE_ID", &options.federation_rule_id)
            .env("ANTHROPIC_ORGANIZATION_ID", &options.organization_id)
            .env("ANTHROPIC_SERVICE_ACCOUNT_ID", &options.service_account_id)
            .env("ANTHROPIC_IDENTITY_TOKEN_FILE", self.file.path());
        command
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("a path").to_owned()
    }

    /// Writes a profile of this name, with this rule.
    pub(crate) fn write_profile(&self, name: &str, rule: &str) {
        let directory = self.directory.path().join(".config/anthropic/configs");
        std::fs::create_dir_all(&directory).expect("a directory");
        let profile = json!({
            "organization_id": self.emulator.options().organization_id,
            "base_url": self.emulator.base_url(),
            "authentication": {
                "type": "oidc_federation",
                "federation_rule_id": rule,
                "identity_token": { "source": "file", "path": self.file.path() },
            },
        });
        std::fs::write(directory.join(format!("{name}.json")), profile.to_string()).expect("it is written");
    }

    /// The command with a command of its own after it.
    pub(crate) async fn run_before(&self, arguments: &[&str], inner: &[&str]) -> Run {
        let mut command = self.wif();
        command.args(arguments).args(["--allow-origin", self.emulator.base_url(), "--"]).args(inner);
        Run::of(command).await
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.wif();
        command.args(arguments).args(["--allow-origin", self.emulator.base_url()]);
        Run::of(command).await
    }
}

pub(crate) fn bare(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wif"));
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", home).env("WIF_LOG", "wif=trace");
    command
}

pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Run {
    pub(crate) async fn of(mut command: Command) -> Self {
        let begin = tokio::time::Instant::now();
        let output: Output =
            tokio::task::spawn_blocking(move || command.output().expect("the command starts")).await.expect("it ends");
        let took = begin.elapsed();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr), took }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("no JSON: {} {}", self.stdout, self.stderr))
    }
}
