//! Envoy as a process.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::artifacts;
use super::client::http_client;

/// A running Envoy. It is killed when this is dropped.
pub(crate) struct Envoy {
    process: Child,
    log: PathBuf,
    admin: String,
    client: reqwest::Client,
}

/// An Envoy that ended by itself before it was ready.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

/// How long Envoy may take for anything: far more than it needs, because machines of tests are slow.
const PATIENCE: Duration = Duration::from_secs(60);

impl Envoy {
    /// Starts Envoy with this bootstrap, and waits until it is ready. Its files go to `directory`.
    pub(crate) async fn start(envoy: &Path, bootstrap: &str, concurrency: u32, directory: &Path) -> Result<Self, Ended> {
        Self::start_with(envoy, bootstrap, concurrency, directory, &[]).await
    }

    /// The same, with these variables.
    pub(crate) async fn start_with(
        envoy: &Path,
        bootstrap: &str,
        concurrency: u32,
        directory: &Path,
        environment: &[(String, String)],
    ) -> Result<Self, Ended> {
        // JSON is YAML.
        let file = directory.join("bootstrap.yaml");
        fs::write(&file, bootstrap).expect("the directory is writable");
        let admin_file = directory.join("admin-address");
        // One that ran here before has left it.
        _ = fs::remove_file(&admin_file);
        let log = directory.join("envoy.log");
        let output = File::create(&log).expect("the directory is writable");
        let mut command = Command::new(envoy);
        command.arg("--config-path").arg(&file).arg("--admin-address-path").arg(&admin_file);
        command.args(["--concurrency", &concurrency.to_string(), "--log-level", "info"]);
        // Nothing is shared with the Envoys of other tests.
        command.arg("--disable-hot-restart").env_clear();
        command.env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", artifacts::module_directory());
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        // Where relative paths begin.
        command.current_dir(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).kill_on_drop(true);
        let mut process = command.spawn().expect("it starts");

        let client = http_client(PATIENCE);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut admin = String::new();
        loop {
            if let Some(status) = process.try_wait().expect("it can be waited for") {
                return Err(Ended { status, log: read(&log) });
            }
            if admin.is_empty() {
                admin = fs::read_to_string(&admin_file).unwrap_or_default().trim().to_owned();
            }
            let ready = client.get(format!("http://{admin}/ready")).send();
            if !admin.is_empty() && ready.await.is_ok_and(|answer| answer.status() == 200) {
                return Ok(Self { process, log, admin: format!("http://{admin}"), client });
            }
            assert!(tokio::time::Instant::now() < deadline, "Envoy is not ready:\n{}", read(&log));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// The answer of the administration to a GET.
    pub(crate) async fn admin(&self, path: &str) -> String {
        self.client.get(format!("{}{path}", self.admin)).send().await.expect("it runs").text().await.expect("text")
    }

    /// The answer of the administration to a POST.
    pub(crate) async fn command(&self, path: &str) -> String {
        self.client.post(format!("{}{path}", self.admin)).send().await.expect("it runs").text().await.expect("text")
    }

    /// Where this listener is bound; waits until it is.
    pub(crate) async fn address(&self, listener: &str) -> SocketAddr {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let listeners: Value = serde_json::from_str(&self.admin("/listeners?format=json").await).expect("JSON");
            let statuses = listeners["listener_statuses"].as_array().cloned().unwrap_or_default();
            if let Some(status) = statuses.iter().find(|status| status["name"] == listener) {
                let address = &status["local_address"]["socket_address"];
                let ip = address["address"].as_str().expect("an address").parse().expect("an IP address");
                let port = address["port_value"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
                return SocketAddr::new(ip, port);
            }
            assert!(tokio::time::Instant::now() < deadline, "no listener {listener}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The counters and gauges whose names match this regular expression, with their values.
    pub(crate) async fn stats(&self, filter: &str) -> Vec<(String, u64)> {
        let text = self.admin(&format!("/stats?filter={filter}")).await;
        let lines = text.lines().filter_map(|line| line.rsplit_once(": "));
        lines.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
    }

    /// The sum of the counters and gauges whose names match this regular expression.
    pub(crate) async fn stat(&self, filter: &str) -> u64 {
        self.stats(filter).await.iter().map(|(_, value)| value).sum()
    }

    /// Waits until this text is in the log.
    pub(crate) async fn until_logged(&self, text: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(tokio::time::Instant::now() < deadline, "not logged: {text}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.process.wait()).await.expect("it ends").expect("it can be waited for")
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id().expect("it runs")
    }
}

fn read(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}
