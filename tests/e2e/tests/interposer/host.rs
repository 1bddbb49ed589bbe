//! A component runtime with WASI 0.2 and 0.3 that serves HTTP with the instance limits of `wasmtime serve`, by the library behind
//! that command, and what the application meets there.

use std::collections::VecDeque;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tempfile::TempDir;
use wasmtime::component::{Component, Func, GuestTaskId, Linker, ResourceTable, Val};
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx, WasiHttpCtxView,
    WasiHttpHooks, WasiHttpView, default_hooks,
};
use wif_e2e::Clock;
use wif_emulator::{Emulator, Options, TokenFile};
use wif_test_cases::requests::{self, ApiAnswer, Field};

pub(crate) const WASM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/application.wasm"));
const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/application.cwasm"));
const SAMPLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/sample.cwasm"));

const MOUNT: &str = "/var/run/secrets/anthropic";
const STORE: &str = "/shared";

/// Another origin than the API's; what goes there is answered by the host.
pub(crate) const ELSEWHERE: &str = "http://elsewhere.example:8080";

/// An emulator, a rotated token file, and an application in a runtime.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) file: TokenFile,
    pub(crate) seen: Seen,
    pub(crate) clock: Clock,
    /// A field that the runtime lets no component set.
    pub(crate) forbidden: Option<&'static str>,
    /// The authorities of sources of identity tokens.
    pub(crate) sources: Vec<String>,
    pub(crate) directory: TempDir,
    shared: TempDir,
}

/// How often an instance is used before it is dropped, and by how many at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) requests: usize,
    pub(crate) at_once: usize,
}

/// What `wasmtime serve` does with components of WASI 0.3.
pub(crate) const SERVE: Limits = Limits { requests: 128, at_once: 16 };

/// What it does with those of WASI 0.2, and other hosts with all.
pub(crate) const ONE_REQUEST: Limits = Limits { requests: 1, at_once: 1 };

/// An application that is served.
pub(crate) struct Application {
    handler: ProxyHandler<Shared>,
    instances: Arc<AtomicUsize>,
}

/// A standalone component that nothing is composed with.
pub(crate) struct Alone {
    store: Store<Host>,
    function: Func,
}

impl Alone {
    pub(crate) async fn get_token(&mut self) {
        let mut results = [Val::Bool(false)];
        self.function.call_async(&mut self.store, &[], &mut results).await.expect("the component does not trap");
        assert!(matches!(results[0], Val::Result(Ok(_))), "{:?}", results[0]);
    }
}

/// What the application is told to call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) fields: Vec<(&'static str, &'static str)>,
    pub(crate) trailers: Vec<(&'static str, &'static str)>,
    pub(crate) body: Vec<u8>,
    /// More fields and trailers.
    pub(crate) more: Vec<Field>,
    pub(crate) more_trailers: Vec<Field>,
    /// What the application is told beside that.
    pub(crate) told: Vec<(&'static str, String)>,
}

/// A request as it left the composed component.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) fields: HeaderMap,
    pub(crate) trailers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Every request but those to the token endpoint, and what they are answered with, if not by the emulator.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    sent: Arc<Mutex<Vec<Sent>>>,
    answer: Arc<Mutex<Option<ApiAnswer>>>,
}

impl Seen {
    pub(crate) fn all(&self) -> Vec<Sent> {
        self.sent.lock().expect("nobody panics").clone()
    }

    /// From here on every request gets this answer.
    pub(crate) fn answer(&self, answer: ApiAnswer) {
        *self.answer.lock().expect("nobody panics") = Some(answer);
    }

    pub(crate) fn last(&self) -> Sent {
        self.all().pop().expect("something was sent")
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::ring::default_provider().install_default().expect("nothing else installs one");
        });
        let clock = Clock::start();
        let read = clock.clone();
        let options = Options { clock: Arc::new(move || UNIX_EPOCH + read.wall()), ..Options::default() };
        let emulator = Emulator::start(options).await.expect("the options are good");
        let (directory, shared) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let file = emulator.identity_provider().publish(directory.path()).expect("the directory is writable");
        Self { emulator, file, seen: Seen::default(), clock, forbidden: None, sources: Vec::new(), directory, shared }
    }

    pub(crate) fn api(&self, path: &str) -> String {
        format!("{}{path}", self.emulator.base_url())
    }

    /// Waits until the emulator has been asked for so many exchanges.
    pub(crate) async fn until_exchanges(&self, count: u64) {
        let mut history = self.emulator.subscribe();
        let asked = async {
            while self.exchanges() < count {
                history.changed().await.expect("the emulator runs");
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked).await.expect("it is asked");
    }

    pub(crate) fn exchanges(&self) -> u64 {
        self.emulator.counts().exchanges
    }

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

    pub(crate) fn serve(&self, limits: Limits) -> Application {
        self.serve_with(limits, &self.configuration())
    }

    pub(crate) fn serve_with(&self, limits: Limits, configuration: &Value) -> Application {
        let variables = vec![("WIF_CONFIGURATION", configuration.to_string()), ("WIF_STORE_DIRECTORY", STORE.to_owned())];
        self.serve_given(limits, variables)
    }

    /// An application whose instances share nothing.
    pub(crate) fn serve_alone(&self, limits: Limits) -> Application {
        self.serve_given(limits, vec![("WIF_CONFIGURATION", self.configuration().to_string())])
    }

    /// An application that finds its configuration in a profile.
    pub(crate) fn serve_profile(&self, limits: Limits) -> Application {
        self.serve_given(limits, vec![("ANTHROPIC_CONFIG_DIR", MOUNT.to_owned()), ("WIF_STORE_DIRECTORY", STORE.to_owned())])
    }

    pub(crate) fn write_profile(&self) {
        let options = self.emulator.options();
        let profile = json!({
            "base_url": self.emulator.base_url(),
            "organization_id": options.organization_id,
            "authentication": {
                "type": "oidc_federation",
                "federation_rule_id": options.federation_rule_id,
                "service_account_id": options.service_account_id,
                "identity_token": { "source": "file", "path": format!("{MOUNT}/token") },
            },
        });
        let folder = self.directory.path().join("configs");
        std::fs::create_dir(&folder).expect("it is not there yet");
        std::fs::write(folder.join("default.json"), profile.to_string()).expect("it can be written");
    }

    /// A standalone component by itself, which exports this interface.
    pub(crate) async fn alone(&self, compiled: &[u8], interface: &str) -> Alone {
        let variables = vec![("WIF_CONFIGURATION", self.configuration().to_string()), ("WIF_STORE_DIRECTORY", STORE.to_owned())];
        let state = self.serve_given(ONE_REQUEST, variables).handler;
        let state = state.state();
        // SAFETY: the build script has compiled it, for this engine, and nobody else writes there.
        #[allow(unsafe_code, reason = "there is no safe way to load compiled code")]
        let component = unsafe { Component::deserialize(&state.engine, compiled) }.expect("it was compiled for this");
        let mut store = Store::new(&state.engine, state.host().expect("the directories are there"));
        let instance = linker(&state.engine).instantiate_async(&mut store, &component).await.expect("it is instantiated");
        let interface = instance.get_export_index(&mut store, None, interface).expect("it exports the interface");
        let function = instance.get_export_index(&mut store, Some(&interface), "get-token").expect("it has the function");
        let function = instance.get_func(&mut store, function).expect("it is a function");
        Alone { store, function }
    }

    /// The sample application, as its page says.
    pub(crate) fn serve_sample(&self) -> Application {
        let options = self.emulator.options();
        let variables = vec![
            ("ANTHROPIC_BASE_URL", self.emulator.base_url().to_owned()),
            ("ANTHROPIC_FEDERATION_RULE_ID", options.federation_rule_id.clone()),
            ("ANTHROPIC_ORGANIZATION_ID", options.organization_id.clone()),
            ("ANTHROPIC_IDENTITY_TOKEN_FILE", format!("{MOUNT}/token")),
            ("WIF_STORE_DIRECTORY", STORE.to_owned()),
        ];
        self.serve_compiled(SAMPLE, SERVE, variables)
    }

    pub(crate) fn serve_given(&self, limits: Limits, variables: Vec<(&str, String)>) -> Application {
        self.serve_compiled(COMPILED, limits, variables)
    }

    fn serve_compiled(&self, compiled: &[u8], limits: Limits, variables: Vec<(&str, String)>) -> Application {
        let engine = Engine::new(&crate::engine::config()).expect("the configuration is good");
        // SAFETY: the build script has compiled it, for this engine, and nobody else writes there.
        #[allow(unsafe_code, reason = "there is no safe way to load compiled code")]
        let component = unsafe { Component::deserialize(&engine, compiled) }.expect("it was compiled for this");
        let pre = linker(&engine).instantiate_pre(&component).expect("the host has all that it imports");
        let pre = wasmtime_wasi_http::p3::bindings::ServicePre::new(pre).expect("it serves HTTP");
        let instances = Arc::default();
        let shared = Shared {
            pre: ProxyPre::P3(pre),
            engine,
            limits,
            instances: Arc::clone(&instances),
            variables: variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            clock: self.clock.clone(),
            directory: self.directory.path().to_path_buf(),
            shared: self.shared.path().to_path_buf(),
            authority: self.emulator.address().to_string(),
            forbidden: self.forbidden,
            sources: self.sources.clone(),
            seen: self.seen.clone(),
        };
        Application { handler: ProxyHandler::new(shared), instances }
    }
}

impl Call {
    pub(crate) fn get(url: String) -> Self {
        Self { method: "GET", url, ..Self::default() }
    }

    pub(crate) fn message(world: &World) -> Self {
        let document = json!({
            "model": "claude-sonnet-5-5", "max_tokens": 16, "messages": [{ "role": "user", "content": "Hello" }],
        });
        let fields = vec![("content-type", "application/json"), ("anthropic-version", "2023-06-01")];
        Self {
            method: "POST",
            url: world.api("/v1/messages"),
            fields,
            body: document.to_string().into_bytes(),
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.push((name, value));
        self
    }

    /// The application lets the call go then.
    pub(crate) fn giving_up_after(mut self, patience: Duration) -> Self {
        self.told.push(("x-give-up-after", patience.as_millis().to_string()));
        self
    }

    /// The application writes the body when it has the answer's head.
    pub(crate) fn head_first(mut self) -> Self {
        self.told.push(("x-head-first", "1".to_owned()));
        self
    }

    fn request(self, streaming: bool) -> http::Request<WasiBody> {
        let mut request =
            http::Request::post("http://application.example/").header("x-method", self.method).header("x-url", self.url);
        if streaming {
            request = request.header("x-stream", "1");
        }
        for (name, value) in self.told {
            request = request.header(name, value);
        }
        for (prefix, fields) in [("send-", self.fields), ("trailer-", self.trailers)] {
            for (name, value) in fields {
                request = request.header(format!("{prefix}{name}"), value);
            }
        }
        for (prefix, fields) in [("send-", self.more), ("trailer-", self.more_trailers)] {
            for (name, value) in fields {
                request = request.header(format!("{prefix}{name}"), requests::bytes(&value));
            }
        }
        request.body(full(self.body)).expect("it is a request")
    }
}

impl Application {
    /// What the application saw.
    pub(crate) async fn call(&self, call: Call) -> Value {
        let response = self.handler.handle((), call.request(false)).await.expect("the application does not trap");
        let body = response.into_body().collect().await.expect("it ends").to_bytes();
        serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&body)))
    }

    /// What the application saw of calls that all begin in one instance, before any of them has ended.
    pub(crate) async fn call_in_one_instance(&self, calls: Vec<Call>) -> Vec<Value> {
        let Instance { mut store, proxy, .. } = self.handler.state().instantiate().await.expect("it is instantiated");
        let Proxy::P3(service) = proxy else { panic!("it serves WASI 0.3") };
        let requests: Vec<p3::Request> =
            calls.into_iter().map(|call| p3::Request::from_http(store.data_mut().http().hooks, call.request(false)).0).collect();
        let answers = store.run_concurrent(async |accessor| {
            join_all(requests.into_iter().map(async |request| {
                let response = service.handle(accessor, request).await?.expect("the application answers");
                let response = accessor.with(|store| response.into_http(store, async { Ok(()) }))?;
                let body = response.into_body().collect().await.expect("it ends").to_bytes();
                wasmtime::Result::<_>::Ok(serde_json::from_slice(&body).expect("it is a document"))
            }))
            .await
        });
        let answers = answers.await.expect("the application does not trap");
        answers.into_iter().map(|answer| answer.expect("the application does not trap")).collect()
    }

    /// The answer, as it comes.
    pub(crate) async fn stream(&self, call: Call) -> WasiBody {
        let response = self.handler.handle((), call.request(true)).await.expect("the application does not trap");
        response.into_body()
    }

    pub(crate) fn instances(&self) -> usize {
        self.instances.load(Ordering::SeqCst)
    }
}

struct Shared {
    pre: ProxyPre<Host>,
    engine: Engine,
    limits: Limits,
    instances: Arc<AtomicUsize>,
    variables: Vec<(String, String)>,
    clock: Clock,
    directory: PathBuf,
    shared: PathBuf,
    authority: String,
    forbidden: Option<&'static str>,
    sources: Vec<String>,
    seen: Seen,
}

impl Shared {
    /// What an instance is given.
    fn host(&self) -> wasmtime::Result<Host> {
        let mut wasi = WasiCtx::builder();
        wasi.envs(&self.variables).wall_clock(self.clock.clone()).monotonic_clock(self.clock.clone());
        wasi.preopened_dir(&self.directory, MOUNT, FsPerms::ReadOnly)?;
        wasi.preopened_dir(&self.shared, STORE, FsPerms::ReadWrite)?;
        if !self.sources.is_empty() {
            wasi.preopened_dir(&self.directory, self.directory.to_str().expect("a path"), FsPerms::ReadOnly)?;
        }
        let (forbidden, sources) = (self.forbidden, self.sources.clone());
        let gate = Gate { authority: self.authority.clone(), forbidden, sources, seen: self.seen.clone() };
        Ok(Host { wasi: wasi.build(), http: WasiHttpCtx::new(), gate, table: ResourceTable::new() })
    }
}

/// WASI 0.2 and 0.3.
fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    let link = |linker: &mut Linker<Host>| {
        wasmtime_wasi::p2::add_to_linker_async(linker)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
        wasmtime_wasi::p3::add_to_linker(linker)?;
        wasmtime_wasi_http::p3::add_to_linker(linker)
    };
    link(&mut linker).expect("nothing is defined twice");
    linker
}

impl HandlerState for Shared {
    type StoreData = Host;
    type WorkerExpiration = Expiration;
    type WorkerState = Limits;

    async fn instantiate(&self) -> wasmtime::Result<Instance<Host, Expiration, Limits>> {
        self.instances.fetch_add(1, Ordering::SeqCst);
        let mut store = Store::new(&self.engine, self.host()?);
        let proxy = self.pre.instantiate_async(&mut store).await?;
        Ok(Instance { store, proxy, view: <Host as WasiHttpView>::http, expiration: Expiration(None), state: self.limits })
    }
}

impl WorkerState for Limits {
    type StoreData = Host;
    type RequestData = ();

    fn should_accept_request(&self, concurrent_count: usize, total_count: usize) -> ShouldAccept {
        if total_count >= self.requests {
            ShouldAccept::Never
        } else if concurrent_count >= self.at_once {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, Host>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    // A trap reaches the caller as well.
    fn drop(&self, _: Store<Host>, _: wasmtime::Result<()>) {}
}

/// An idle instance is dropped after a second.
pub(crate) struct Expiration(Option<(Instant, Pin<Box<tokio::time::Sleep>>)>);

// A future of tokio is polled by one task at a time.
impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>, state: WorkerStatus, start: Instant) -> Poll<()> {
        if state != WorkerStatus::Idle {
            self.0 = None;
            return Poll::Pending;
        }
        if self.0.as_ref().is_none_or(|(since, _)| *since != start) {
            let end = tokio::time::Instant::from_std(start + Duration::from_secs(1));
            self.0 = Some((start, Box::pin(tokio::time::sleep_until(end))));
        }
        let (_, sleep) = self.0.as_mut().expect("it was just set");
        sleep.as_mut().poll(context)
    }
}

pub(crate) struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    gate: Gate,
    table: ResourceTable,
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

/// Lets requests to the emulator pass, answers some in its place, and remembers all.
struct Gate {
    authority: String,
    /// A field that components must not set, beside those that none may.
    forbidden: Option<&'static str>,
    /// Sources of identity tokens.
    sources: Vec<String>,
    seen: Seen,
}

type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Gate {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        let forbidden = self.forbidden;
        Arc::new(move |name| Some(name.as_str()) == forbidden || DEFAULT_FORBIDDEN_HEADERS.contains(name))
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        rest: Rest,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Rest), Error>> + Send> {
        let api = request.uri().authority().is_some_and(|authority| authority.as_str() == self.authority);
        let source =
            request.uri().authority().is_some_and(|authority| self.sources.iter().any(|known| known == authority.as_str()));
        if source || api && request.uri().path() == "/v1/oauth/token" {
            return default_hooks().send_request(request, options, rest);
        }
        let seen = self.seen.clone();
        Box::new(async move {
            let (head, body) = request.into_parts();
            if head.uri.path() == "/early" {
                // Its body is let go unread.
                return Ok((Response::new(full("early")), nothing_more()));
            }
            let body = body.collect().await?;
            let trailers = body.trailers().cloned().unwrap_or_default();
            let body = body.to_bytes();
            let (method, uri, fields) = (head.method.clone(), head.uri.clone(), head.headers.clone());
            let sent = Sent { method, uri, fields, trailers, body: body.clone() };
            seen.sent.lock().expect("nobody panics").push(sent.clone());
            if let Some(answer) = seen.answer.lock().expect("nobody panics").clone() {
                return Ok((answered(&answer), nothing_more()));
            }
            match sent.uri.path() {
                "/echo" => Ok((echo(&sent), nothing_more())),
                "/drip" => Ok((drip(), nothing_more())),
                "/quick" => Ok((Response::new(full("quick")), nothing_more())),
                _ if api => {
                    let request = http::Request::from_parts(head, full(body));
                    Box::into_pin(default_hooks().send_request(request, options, rest)).await
                }
                _ => Ok((Response::new(full("elsewhere")), nothing_more())),
            }
        })
    }
}

/// What all of them come to.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, result) in running.iter_mut().filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *result = Some(value);
            }
        }
        if running.iter().all(|(_, result)| result.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, result)| result).collect()
}

fn nothing_more() -> Rest {
    Box::new(async { Ok(()) })
}

/// Repeats what it was sent, as debugging proxies do: in fields of the same and of other names, and in trailers.
fn echo(sent: &Sent) -> Response<WasiBody> {
    let authorization = sent.fields.get("authorization").cloned().unwrap_or_else(|| "none".parse().expect("it is a value"));
    let text = authorization.to_str().expect("it is text");
    let trailers = HeaderMap::from_iter([
        ("x-request-authorization".parse().expect("a name"), authorization.clone()),
        ("x-checksum".parse().expect("a name"), "1".parse().expect("a value")),
    ]);
    let frames = VecDeque::from([Frame::data(Bytes::from_static(b"echoed")), Frame::trailers(trailers)]);
    Response::builder()
        .status(StatusCode::OK)
        .header("authorization", &authorization)
        .header("x-echo", format!("authorization={text}; more"))
        .header("x-kept", "kept")
        .header("x-kept", "twice")
        .body(WasiBody::new(Pieces { frames, endless: false }))
        .expect("it is an answer")
}

/// As a case says.
fn answered(answer: &ApiAnswer) -> Response<WasiBody> {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.fields {
        response = response.header(name, requests::bytes(value));
    }
    response.body(full("answered")).expect("it is an answer")
}

/// A first piece, and then nothing for ever.
fn drip() -> Response<WasiBody> {
    let frames = VecDeque::from([Frame::data(Bytes::from_static(b"first"))]);
    Response::new(WasiBody::new(Pieces { frames, endless: true }))
}

type Frame = http_body::Frame<Bytes>;

/// A body of these pieces, after which nothing comes, not even the end, if it is `endless`.
struct Pieces {
    frames: VecDeque<Frame>,
    endless: bool,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame, Error>>> {
        match self.frames.pop_front() {
            None if self.endless => Poll::Pending,
            frame => Poll::Ready(frame.map(Ok)),
        }
    }
}

fn full(content: impl Into<Bytes>) -> WasiBody {
    WasiBody::new(Full::new(content.into()).map_err(|never| match never {}))
}
