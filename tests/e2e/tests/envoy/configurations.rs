//! The files that users copy, as they stand: only addresses, ports and paths are moved.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use wif_emulator::{Emulator, Options, TokenFile};

use crate::harness::artifacts;
use crate::harness::client::{Caller, raw, statuses};
use crate::harness::process::{Ended, Envoy};
use crate::harness::tls::{self, Authority, Front};

/// The ids in the files. The emulator has them, too.
const RULE: &str = "fdrl_01ExampleExampleExample";
const ORGANIZATION: &str = "00000000-0000-4000-8000-000000000000";

/// A file in which things are moved.
pub(crate) struct Configuration(String);

impl From<String> for Configuration {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Configuration {
    pub(crate) fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/envoy/configurations");
        Self(fs::read_to_string(folder.join(name)).expect("it is there"))
    }

    /// Replaces every one of these, of which there has to be one at least.
    pub(crate) fn replace(self, old: &str, new: &str) -> Self {
        assert!(self.0.contains(old), "{old} is not in the file");
        Self(self.0.replace(old, new))
    }

    pub(crate) fn text(&self) -> String {
        self.0.clone()
    }
}

/// What the files expect to find.
pub(crate) struct Surroundings {
    pub(crate) emulator: Emulator,
    file: TokenFile,
    authority: Authority,
    front: Front,
    directory: TempDir,
    envoy: &'static Path,
}

impl Surroundings {
    pub(crate) async fn start() -> Option<Self> {
        let envoy = tokio::task::spawn_blocking(artifacts::envoy).await.expect("no panic")?;
        let options =
            Options { federation_rule_id: RULE.to_owned(), organization_id: ORGANIZATION.to_owned(), ..Options::default() };
        let emulator = Emulator::start(options).await.expect("the options are good");
        let directory = tempfile::tempdir().expect("a directory");
        let file = emulator.identity_provider().publish(directory.path().join("token")).expect("the directory is writable");
        let authority = Authority::new("everybody's");
        fs::write(directory.path().join("authorities.pem"), authority.pem()).expect("the directory is writable");
        let front = Front::start(&authority.issue("api.anthropic.com"), emulator.address()).await;
        Some(Self { emulator, file, authority, front, directory, envoy })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the emulator speaks TLS.
    pub(crate) fn api_port(&self) -> u16 {
        self.front.address().port()
    }

    /// Where the identity token is mounted.
    pub(crate) fn token_directory(&self) -> String {
        self.file.path().parent().expect("it is in a directory").display().to_string()
    }

    /// Moves what all files have. The API's name becomes another one, which may have addresses that lead nowhere: nobody listens
    /// with IPv6.
    fn moved(&self, configuration: Configuration, port: u16) -> Configuration {
        let (token, api) = (self.token_directory(), self.api_port());
        configuration
            .replace("port_value: 9901", "port_value: 0")
            .replace(&format!("port_value: {port}"), "port_value: 0")
            .replace("address: api.anthropic.com, port_value: 443", &format!("address: localhost, port_value: {api}"))
            .replace("/etc/ssl/certs/ca-certificates.crt", &self.path("authorities.pem").display().to_string())
            .replace("/var/run/secrets/anthropic.com", &token)
            .replace("/run/envoy/identity-token.sock", &self.path("identity.sock").display().to_string())
    }

    pub(crate) fn with_filter(configuration: Configuration) -> Configuration {
        configuration.replace("/etc/envoy/wif.wasm", &artifacts::filter().display().to_string())
    }

    pub(crate) async fn envoy(&self, configuration: &Configuration) -> Result<Envoy, Ended> {
        Envoy::start(self.envoy, &configuration.0, 2, self.directory.path()).await
    }

    fn sidecar(&self) -> Configuration {
        Self::with_filter(self.moved(Configuration::read("sidecar.yaml"), 8080))
    }

    fn egress_gateway(&self, server: &Authority, callers: &Authority) -> Configuration {
        server.issue("egress.example").write(&self.path("server.pem"), &self.path("server.key"));
        fs::write(self.path("callers.pem"), callers.pem()).expect("the directory is writable");
        let configuration = self.moved(Configuration::read("egress-gateway.yaml"), 8443);
        Self::with_filter(configuration)
            .replace("address: 0.0.0.0", "address: 127.0.0.1")
            .replace("/etc/envoy/tls", &self.directory.path().display().to_string())
    }
}

pub(crate) fn started(envoy: Result<Envoy, Ended>) -> Envoy {
    envoy.unwrap_or_else(|ended| panic!("{}\n{}", ended.status, ended.log))
}

#[test]
#[should_panic(expected = "port_value: 8081 is not in the file")]
fn nothing_is_moved_that_is_not_there() {
    Configuration::read("sidecar.yaml").replace("port_value: 8081", "port_value: 0");
}

/// Beside `wif emulate`, whose ids are in the file. A restart in place, with an identity token that is spent and not rotated, is
/// refused, and the log says all that the endpoint and the engine know about it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_try_runs_as_it_stands_and_a_restart_in_place_says_why_it_is_refused() {
    let Some(envoy) = tokio::task::spawn_blocking(artifacts::envoy).await.expect("no panic") else { return };
    let configuration = Configuration::read("try.yaml");
    let text = configuration.text();
    let id = |name: &str| {
        text.split(&format!(r#""{name}": ""#)).nth(1).and_then(|rest| rest.split('"').next()).expect(name).to_owned()
    };
    let (federation_rule_id, organization_id) = (id("federation_rule_id"), id("organization_id"));
    let emulator = Emulator::start(Options { federation_rule_id, organization_id, ..Options::default() }).await;
    let emulator = emulator.expect("the options are good");
    let directory = tempfile::tempdir().expect("a directory");
    let folder = directory.path();
    let file = emulator.identity_provider().publish(folder.join("wif-emulator")).expect("the directory is writable");
    fs::copy(artifacts::filter(), folder.join("wif_proxy_wasm.wasm")).expect("the directory is writable");
    let configuration = configuration
        .replace("http://127.0.0.1:8787", emulator.base_url())
        .replace("port_value: 8787", &format!("port_value: {}", emulator.address().port()))
        .replace("port_value: 8080", "port_value: 0")
        .replace("port_value: 9901", "port_value: 0");
    let running = started(Envoy::start(envoy, &configuration.text(), 2, folder).await);
    let caller = Caller::new(running.address("api").await);
    assert_eq!(statuses(&caller.burst(20).await), [200; 20]);
    let log = running.log();
    assert!(!log.contains("[error]") && !log.contains("[critical]"), "{log}");
    assert_eq!(emulator.counts().exchanges, 1);
    drop(running);

    let running = started(Envoy::start(envoy, &configuration.text(), 2, folder).await);
    let caller = Caller::new(running.address("api").await);
    assert_eq!(caller.message().await.status, 503);
    running.until_logged("wif: exchange-failed: ").await;
    let log = running.log();
    let line = log.lines().find(|line| line.contains("wif: exchange-failed: ")).expect("it was logged");
    for part in [" request-id=req_", " action=The Console's authentication events show", "before a restart."] {
        assert!(line.contains(part), "{part} is missing in {line}");
    }
    drop(file);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sidecar_serves_its_workload_and_hides_a_revoked_token() {
    let Some(world) = Surroundings::start().await else { return };
    let envoy = started(world.envoy(&world.sidecar()).await);
    let caller = Caller::new(envoy.address("api").await);
    assert_eq!(statuses(&caller.burst(50).await), [200; 50]);
    assert_eq!(world.emulator.counts().exchanges, 1);
    // G8: at the level debug a proxy writes what it sends.
    let refused = envoy.command("/logging?level=debug").await;
    assert!(!refused.contains("active loggers"), "{refused}");

    world.file.rotate().expect("the directory is writable");
    // Longer than the least time between two exchanges, which no event shortens.
    tokio::time::sleep(Duration::from_millis(5_500)).await;
    assert_eq!(world.emulator.revoke_all(), 1);
    assert_eq!(statuses(&caller.burst(50).await), [200; 50]);
    assert_eq!(world.emulator.counts().exchanges, 2);

    // Everything that the filter does, it is allowed to do.
    let log = envoy.log();
    assert!(!log.contains("capability") && !log.contains("[error]") && !log.contains("[critical]"), "{log}");
    // No other user reaches the identity token.
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(world.path("identity.sock")).expect("it is there"));
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_egress_gateway_serves_callers_with_certificates_of_the_mesh_and_nobody_else() {
    let Some(world) = Surroundings::start().await else { return };
    let mesh = Authority::new("the mesh's");
    let envoy = started(world.envoy(&world.egress_gateway(&mesh, &mesh)).await);
    let gateway = envoy.address("egress").await;
    let body = json!({ "model": "claude", "max_tokens": 8, "messages": [{ "role": "user", "content": "Hi." }] }).to_string();
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nHost: egress.example\r\nx-api-key: mine\r\nanthropic-version: 2023-06-01\r\n\
         Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let workload = mesh.issue("workload.example");
    for _ in 0..3 {
        let answer = tls::raw(mesh.client(Some(&workload)), "egress.example", gateway, request.as_bytes()).await;
        assert!(answer.as_deref().is_some_and(|answer| answer.starts_with("HTTP/1.1 200")), "{answer:?}");
    }
    assert_eq!((world.emulator.counts().exchanges, world.emulator.counts().messages_granted), (1, 3));

    let stranger = Authority::new("another").issue("workload.example");
    for identity in [None, Some(&stranger)] {
        let answer = tls::raw(mesh.client(identity), "egress.example", gateway, request.as_bytes()).await;
        assert!(answer.as_deref().is_none_or(str::is_empty), "{answer:?}");
    }
    let plain = raw(gateway, request.as_bytes()).await;
    assert_eq!(plain, "");
    assert_eq!(world.emulator.counts().messages, 3);
    let log = envoy.log();
    assert!(!log.contains("[error]") && !log.contains("[critical]"), "{log}");
}

/// B4: neither a token, where there is one, nor an identity token, where there is none yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_show_that_it_is_the_api_is_told_nothing() {
    let stranger = Authority::new("another");
    for has_token in [true, false] {
        let Some(mut world) = Surroundings::start().await else { return };
        let impostors = [stranger.issue("api.anthropic.com"), world.authority.issue("api.anthropic.com.evil.example")];
        let [first, second] = &impostors;
        if !has_token {
            world.front = world.front.replace(first, world.emulator.address()).await;
        }
        let envoy = started(world.envoy(&world.sidecar()).await);
        let caller = Caller::new(envoy.address("api").await);
        let cluster = if has_token { "anthropic" } else { "anthropic_token_endpoint" };
        if has_token {
            assert_eq!(caller.message().await.status, 200);
        }
        let told = world.emulator.history().len();
        for impostor in [first, second] {
            world.front = world.front.replace(impostor, world.emulator.address()).await;
            let refused = format!("^cluster\\.{cluster}\\.ssl\\.fail_verify");
            let before = envoy.stat(&refused).await;
            let deadline = tokio::time::Instant::now() + Duration::from_secs(45);
            while envoy.stat(&refused).await == before {
                assert_eq!(caller.message().await.status, 503);
                assert!(tokio::time::Instant::now() < deadline, "{cluster}: nobody was refused\n{}", envoy.log());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        assert_eq!(world.emulator.history().len(), told, "{:?}", world.emulator.history());
    }
}

/// A13: a configuration that is there from the start and wrong ends Envoy, with the field in its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_does_not_start_with_a_bad_configuration_and_names_its_field() {
    let Some(world) = Surroundings::start().await else { return };
    let changes = [
        (r#""clusters": "all""#, r#""clusters": []"#, "clusters"),
        (r#""federation_rule_id""#, r#""federation_rule""#, "credential.federation.federation_rule"),
        (r#""source": "file""#, r#""source": "fail""#, "credential.federation.identity_token"),
        (r#""credential": {"#, r#""credential": { "prefetch": 1,"#, "credential.prefetch"),
    ];
    for (old, new, field) in changes {
        let configuration = world.sidecar().replace(old, new);
        let Err(ended) = world.envoy(&configuration).await else { panic!("Envoy runs with {new}") };
        assert!(!ended.status.success());
        let line = ended.log.lines().find(|line| line.contains("configuration-failed"));
        assert!(line.is_some_and(|line| line.contains(field)), "{field}: {line:?}");
    }
}
