//! An Envoy between callers and the emulator.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use wif_emulator::{Emulator, Entry, Kind, Options, Reason, TokenFile};

use super::bootstrap::{GATEWAY, Setup};
use super::capture::Capture;
use super::client::Caller;
use super::gate::Gate;
use super::process::Envoy;
use super::{Form, Protocol, artifacts};

/// What a scenario has otherwise than the others.
type Change = Box<dyn FnOnce(&mut Setup) + Send>;

/// A world to be.
pub(crate) struct Plan {
    form: Option<Form>,
    options: Options,
    concurrency: u32,
    capture: Option<Protocol>,
    closed: bool,
    changes: Vec<Change>,
}

/// What stands around a running Envoy, and the Envoy.
pub(crate) struct World {
    pub(crate) envoy: Envoy,
    pub(crate) emulator: Emulator,
    pub(crate) file: TokenFile,
    /// Before the token endpoint.
    pub(crate) gate: Gate,
    /// In place of the API, where the plan says so.
    pub(crate) api: Option<Capture>,
    /// Behind a cluster that is not ours.
    pub(crate) elsewhere: Capture,
    pub(crate) gateway: SocketAddr,
    pub(crate) caller: Caller,
    pub(crate) setup: Setup,
    /// Files of Envoy and of the emulator; removed in the end.
    _directory: TempDir,
}

impl Plan {
    /// Two workers, the emulator as token endpoint and API, and a first exchange that waits for the first caller.
    pub(crate) fn new(form: impl Into<Option<Form>>) -> Self {
        Self { form: form.into(), options: Options::default(), concurrency: 2, capture: None, closed: false, changes: Vec::new() }
    }

    pub(crate) fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    pub(crate) fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// The API is an upstream that keeps what reaches it.
    pub(crate) fn capture(mut self, protocol: Protocol) -> Self {
        self.capture = Some(protocol);
        self
    }

    /// The gate before the token endpoint is closed from the beginning.
    pub(crate) fn closed(mut self) -> Self {
        self.closed = true;
        self
    }

    /// Changes what Envoy is told.
    pub(crate) fn setup(mut self, change: impl FnOnce(&mut Setup) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Changes the plugin's configuration.
    pub(crate) fn plugin(self, change: impl FnOnce(&mut Value) + Send + 'static) -> Self {
        self.setup(|setup| change(&mut setup.plugin))
    }

    /// `None`, and a line that says so, where a Debian package is missing.
    pub(crate) async fn start(self) -> Option<World> {
        // Fetching takes a while, and no thread of the runtime.
        let envoy = tokio::task::spawn_blocking(artifacts::envoy).await.expect("no panic")?;
        let directory = tempfile::tempdir().expect("a directory");
        let emulator = Emulator::start(self.options).await.expect("the options are good");
        let file = emulator.identity_provider().publish(directory.path().join("token")).expect("the directory is writable");
        let gate = Gate::start(emulator.address()).await;
        if self.closed {
            gate.close();
        }
        let elsewhere = Capture::start(Protocol::Http1).await;
        let api = match self.capture {
            Some(protocol) => Some(Capture::start(protocol).await),
            None => None,
        };
        let mut setup = Setup {
            form: self.form,
            code: None,
            plugin: plugin(self.form, &emulator, gate.address(), file.path()),
            directory: directory.path().join("xds"),
            api: api.as_ref().map_or(emulator.address(), Capture::address),
            api_protocol: self.capture.unwrap_or(Protocol::Http1),
            token_endpoint: gate.address(),
            elsewhere: elsewhere.address(),
            metadata: None,
            sources: Vec::new(),
            environment: Vec::new(),
            token_file: file.path().to_path_buf(),
            before: Vec::new(),
            routes: Vec::new(),
            api_route: json!({}),
            on_by_route: false,
            capabilities: None,
            stream_idle_timeout: "300s",
            request_timeout: "0s",
            access_log: None,
        };
        for change in self.changes {
            change(&mut setup);
        }
        fs::create_dir(&setup.directory).expect("the directory is writable");
        write(&setup.directory, "lds.json", &setup.listeners());
        write(&setup.directory, "cds.json", &setup.clusters());
        let started = Envoy::start_with(envoy, &setup.bootstrap(), self.concurrency, directory.path(), &setup.environment).await;
        let envoy = started.unwrap_or_else(|ended| panic!("{}\n{}", ended.status, ended.log));
        let gateway = envoy.address(GATEWAY).await;
        let caller = Caller::new(gateway);
        Some(World { envoy, emulator, file, gate, api, elsewhere, gateway, caller, setup, _directory: directory })
    }
}

/// The configuration that leads the plugin to the emulator.
fn plugin(form: Option<Form>, emulator: &Emulator, token_endpoint: SocketAddr, token_file: &Path) -> Value {
    let options = emulator.options();
    let mut plugin = json!({
        "credential": {
            "base_url": format!("http://{token_endpoint}"),
            "prefetch": false,
            "federation": {
                "federation_rule_id": options.federation_rule_id,
                "organization_id": options.organization_id,
                "identity_token": { "source": "file", "path": token_file },
            },
        },
        "clusters": [super::bootstrap::API],
    });
    if !form.is_some_and(Form::is_module) {
        plugin["position"] = json!(if form == Some(Form::Upstream) { "upstream" } else { "downstream" });
        plugin["token_endpoint"] = json!({ "cluster": "token_endpoint" });
        plugin["files"] = json!({ token_file.to_str().expect("UTF-8"): { "cluster": "identity_token" } });
    }
    plugin
}

impl World {
    /// Publishes the changed listener and cluster. Envoy takes them over in its own time.
    pub(crate) fn reload(&mut self, change: impl FnOnce(&mut Setup)) {
        change(&mut self.setup);
        write(&self.setup.directory, "cds.json", &self.setup.clusters());
        write(&self.setup.directory, "lds.json", &self.setup.listeners());
    }

    /// Waits until this is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        self.until_within(Duration::from_secs(45), what, is_so).await;
    }

    /// Waits until this is so, this long at most.
    pub(crate) async fn until_within(&self, time: Duration, what: &str, is_so: impl AsyncFn() -> bool) {
        let deadline = tokio::time::Instant::now() + time;
        while !is_so().await {
            assert!(tokio::time::Instant::now() < deadline, "not within {time:?}: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The exchanges, whatever became of them.
    pub(crate) fn exchanges(&self) -> Vec<Entry> {
        self.emulator.history().into_iter().filter(|entry| entry.kind == Kind::Exchange).collect()
    }

    /// How often a spent identity token came again.
    pub(crate) fn reused(&self) -> usize {
        self.emulator.history().iter().filter(|entry| entry.reason == Some(Reason::JtiReused)).count()
    }

    /// Holds that no request reached the API without a credential, or with more than one, or with another than ours.
    pub(crate) fn nothing_went_without_our_credential(&self) {
        let stray = |entry: &Entry| {
            use Reason::{ApiKeyInvalid, CredentialAmbiguous, CredentialMissing, TokenUnknown};
            matches!(entry.reason, Some(CredentialMissing | CredentialAmbiguous | ApiKeyInvalid | TokenUnknown))
        };
        let strays: Vec<Entry> = self.emulator.history().into_iter().filter(stray).collect();
        assert!(strays.is_empty(), "{strays:#?}");
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.envoy.log();
            let lines: Vec<&str> = log.lines().filter(|line| !line.contains("source/server/server.cc")).collect();
            let end = lines[lines.len().saturating_sub(40)..].join("\n");
            let history: Vec<String> =
                self.emulator.history().iter().rev().take(12).map(|entry| entry.to_json().to_string()).collect();
            _ = writeln!(std::io::stderr(), "Envoy's log ends:\n{end}\nthe history ends, newest first:\n{}", history.join("\n"));
        }
    }
}

/// Puts a file in place as a whole, so that nobody reads half of it.
fn write(directory: &Path, name: &str, document: &Value) {
    let path = directory.join(name);
    let next = path.with_extension("next");
    fs::write(&next, document.to_string()).expect("the directory is writable");
    fs::rename(&next, &path).expect("the directory is writable");
}
