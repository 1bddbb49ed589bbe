//! A component runtime as others have it, with WASI 0.2 and nothing of this project, and what the component meets there.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;
use wasmtime::Store;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView, default_hooks,
};
use wif_e2e::Clock;
use wif_emulator::{Emulator, Options, TokenFile};

use bindings::exports::wif::credential::token::{Credential, Failure};
use bindings::exports::wif::credential::types::Status;

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated; documented in wit/")]
pub(crate) mod bindings {
    wasmtime::component::bindgen!({ path: "../../wit", world: "standalone", exports: { default: async } });
}

/// The component as its build left it.
pub(crate) const WASM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/standalone.wasm"));
const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/standalone.cwasm"));

/// Where the guest finds the identity token.
const MOUNT: &str = "/var/run/secrets/anthropic";

/// Where it finds what it shares with other instances.
const STORE: &str = "/shared";

/// An emulator and a rotated token file, with a clock that goes on by itself and can be put forward.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) file: TokenFile,
    pub(crate) directory: TempDir,
    /// The directory that instances may share.
    pub(crate) shared: TempDir,
    pub(crate) clock: Clock,
    client: reqwest::Client,
}

/// One instance of the component.
pub(crate) struct Instance {
    store: Store<Host>,
    exports: bindings::Standalone,
    stderr: MemoryOutputPipe,
}

/// What an instance is given.
pub(crate) struct Grant<'a> {
    pub(crate) variables: Vec<(&'a str, String)>,
    /// The directory that the guest sees at `/var/run/secrets/anthropic`.
    pub(crate) mount: Option<&'a Path>,
    /// The directory that the guest sees at `/shared`, and what it may do there.
    pub(crate) shared: Option<(&'a Path, FsPerms)>,
    /// A directory that the guest sees where it is.
    pub(crate) own: Option<&'a Path>,
    /// The one authority that requests may go to.
    pub(crate) authority: String,
    /// Those of sources of identity tokens.
    pub(crate) sources: Vec<String>,
}

struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    gate: Gate,
    table: ResourceTable,
}

/// Lets requests to one authority pass, and to those of sources.
struct Gate {
    authority: String,
    sources: Vec<String>,
}

impl World {
    pub(crate) async fn start() -> Self {
        let clock = Clock::start();
        let read = clock.clone();
        let options = Options { clock: Arc::new(move || UNIX_EPOCH + read.wall()), ..Options::default() };
        let emulator = Emulator::start(options).await.expect("the options are good");
        let directory = tempfile::tempdir().expect("a directory");
        let file = emulator.identity_provider().publish(directory.path()).expect("the directory is writable");
        let shared = tempfile::tempdir().expect("a directory");
        Self { emulator, file, directory, shared, clock, client: client() }
    }

    /// The configuration that fits the emulator.
    pub(crate) fn configuration(&self) -> Value {
        let options = self.emulator.options();
        json!({
            "base_url": self.emulator.base_url(),
            "federation": {
                "federation_rule_id": options.federation_rule_id,
                "organization_id": options.organization_id,
                "service_account_id": options.service_account_id,
                "identity_token": { "source": "file", "path": format!("{MOUNT}/token") },
            },
        })
    }

    pub(crate) fn grant(&self, variables: Vec<(&'static str, String)>) -> Grant<'_> {
        let authority = self.emulator.address().to_string();
        Grant { variables, mount: Some(self.directory.path()), shared: None, own: None, authority, sources: Vec::new() }
    }

    /// An instance that shares the directory.
    pub(crate) async fn sharing_instance(&self) -> Instance {
        self.sharing_instance_with(FsPerms::ReadWrite).await
    }

    pub(crate) async fn sharing_instance_with(&self, perms: FsPerms) -> Instance {
        let configuration = self.configuration().to_string();
        let variables = vec![("WIF_CONFIGURATION", configuration), ("WIF_STORE_DIRECTORY", STORE.to_owned())];
        let shared = Some((self.shared.path(), perms));
        self.instance_granted(Grant { shared, ..self.grant(variables) }).await
    }

    /// An instance with the configuration that fits.
    pub(crate) async fn instance(&self) -> Instance {
        self.instance_with(&self.configuration()).await
    }

    pub(crate) async fn instance_with(&self, configuration: &Value) -> Instance {
        self.instance_granted(self.grant(vec![("WIF_CONFIGURATION", configuration.to_string())])).await
    }

    pub(crate) async fn instance_granted(&self, grant: Grant<'_>) -> Instance {
        Instance::new(grant, &self.clock).await.expect("the component is instantiated")
    }

    /// How many exchanges the emulator has seen.
    pub(crate) fn exchanges(&self) -> u64 {
        self.emulator.counts().exchanges
    }

    /// Waits until the emulator has decided about so many exchanges.
    pub(crate) async fn until_exchanges(&self, count: u64) {
        let mut history = self.emulator.subscribe();
        let asked = async {
            while self.exchanges() < count {
                history.changed().await.expect("the emulator runs");
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked).await.expect("it is asked");
    }

    /// Asks the API for a message with this credential: the status of its answer.
    pub(crate) async fn message_with(&self, credential: &Credential) -> u16 {
        assert_eq!(credential.origin, self.emulator.base_url());
        let mut request =
            self.client.post(format!("{}/v1/messages", self.emulator.base_url())).header("anthropic-version", "2023-06-01").json(
                &json!({ "model": "claude-sonnet-5-5", "max_tokens": 16, "messages": [{ "role": "user", "content": "Hello" }] }),
            );
        for header in credential.set.iter().chain(&credential.merge) {
            request = request.header(&header.name, &header.value);
        }
        request.send().await.expect("the emulator answers").status().as_u16()
    }
}

impl Instance {
    async fn new(grant: Grant<'_>, clock: &Clock) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(&crate::engine::config())?;
        // SAFETY: the build script has compiled it, for this engine, and nobody else writes there.
        #[allow(unsafe_code, reason = "there is no safe way to load compiled code")]
        let component = unsafe { Component::deserialize(&engine, COMPILED) }?;
        let mut linker = Linker::<Host>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;

        let mut wasi = WasiCtx::builder();
        wasi.wall_clock(clock.clone()).monotonic_clock(clock.clone());
        for (name, value) in &grant.variables {
            wasi.env(name, value);
        }
        if let Some(directory) = grant.mount {
            wasi.preopened_dir(directory, MOUNT, FsPerms::ReadOnly)?;
        }
        if let Some((directory, perms)) = grant.shared {
            wasi.preopened_dir(directory, STORE, perms)?;
        }
        if let Some(directory) = grant.own {
            wasi.preopened_dir(directory, directory.to_str().expect("a path"), FsPerms::ReadOnly)?;
        }
        let stderr = MemoryOutputPipe::new(1 << 16);
        wasi.stderr(stderr.clone());
        let host = Host {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            gate: Gate { authority: grant.authority, sources: grant.sources },
            table: ResourceTable::new(),
        };
        let mut store = Store::new(&engine, host);
        let exports = bindings::Standalone::instantiate_async(&mut store, &component, &linker).await?;
        Ok(Self { store, exports, stderr })
    }

    pub(crate) async fn get_token(&mut self) -> Result<Credential, Failure> {
        let token = self.exports.wif_credential_token();
        token.call_get_token(&mut self.store).await.expect("the component does not trap")
    }

    pub(crate) async fn reject_token(&mut self, id: &str) {
        let token = self.exports.wif_credential_token();
        token.call_reject_token(&mut self.store, id).await.expect("the component does not trap");
    }

    pub(crate) async fn get_origin(&mut self) -> Result<String, Failure> {
        let token = self.exports.wif_credential_token();
        token.call_get_origin(&mut self.store).await.expect("the component does not trap")
    }

    pub(crate) async fn get_status(&mut self) -> Result<Status, Failure> {
        let token = self.exports.wif_credential_token();
        token.call_get_status(&mut self.store).await.expect("the component does not trap")
    }

    /// What it has written to `wasi:cli/stderr`.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8(self.stderr.contents().to_vec()).expect("it writes text")
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.gate }
    }
}

/// What tells of an error in the request or the answer after both have begun.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Gate {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        rest: Rest,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Rest), Error>> + Send> {
        let known = |authority: &str| authority == self.authority || self.sources.iter().any(|source| source == authority);
        if request.uri().authority().is_some_and(|authority| known(authority.as_str())) {
            return default_hooks().send_request(request, options, rest);
        }
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("nothing else installs one");
    });
    reqwest::Client::builder().no_proxy().build().expect("a client")
}
