//! The examples are programs that run: against the emulator, with the variables that a workload has.

use std::path::PathBuf;
use std::process::{Command, Output};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tempfile::TempDir;
use tonic_health::pb::health_server::HealthServer;
use wif_emulator::{Emulator, Kind, Options};

struct Workload {
    emulator: Emulator,
    directory: TempDir,
}

impl Workload {
    async fn start() -> Self {
        let workload = Self { emulator: Emulator::start(Options::default()).await.unwrap(), directory: TempDir::new().unwrap() };
        let identity_token = workload.emulator.identity_provider().mint();
        std::fs::write(workload.directory.path().join("token"), identity_token.expose()).unwrap();
        workload
    }

    /// Runs an example that was built with this test.
    async fn run(&self, example: &str, api: &str) -> Output {
        let test = std::env::current_exe().unwrap();
        let name = format!("{example}{}", std::env::consts::EXE_SUFFIX);
        let program: PathBuf = test.ancestors().nth(2).unwrap().join("examples").join(name);
        assert!(program.exists(), "build the examples: cargo build -p wif --examples");
        let options = self.emulator.options();
        let mut command = Command::new(program);
        command
            .arg(api)
            .env_clear()
            .env("HOME", self.directory.path())
            .env("ANTHROPIC_BASE_URL", api)
            .env("ANTHROPIC_FEDERATION_RULE_ID", &options.federation_rule_id)
            .env("ANTHROPIC_ORGANIZATION_ID", &options.organization_id)
            .env("ANTHROPIC_SERVICE_ACCOUNT_ID", &options.service_account_id)
            .env("ANTHROPIC_WORKSPACE_ID", &options.workspace_ids[0])
            .env("ANTHROPIC_IDENTITY_TOKEN_FILE", self.directory.path().join("token"));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        output
    }

    fn requests(&self, kind: Kind) -> usize {
        self.emulator.history().iter().filter(|entry| entry.kind == kind).count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reqwest() {
    let workload = Workload::start().await;
    let output = workload.run("reqwest", workload.emulator.base_url()).await;
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("200 OK\n{"), "{output:?}");
    assert_eq!((workload.requests(Kind::Exchange), workload.requests(Kind::Message)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hyper() {
    let workload = Workload::start().await;
    let output = workload.run("hyper", workload.emulator.base_url()).await;
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("200 OK\n{"), "{output:?}");
    assert_eq!((workload.requests(Kind::Exchange), workload.requests(Kind::Message)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tonic() {
    let workload = Workload::start().await;
    let gateway = grpc_gateway(workload.emulator.base_url().to_owned()).await;
    let output = workload.run("tonic", &gateway).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Serving\n", "{output:?}");
    assert_eq!((workload.requests(Kind::Exchange), workload.requests(Kind::Message)), (1, 1));
}

/// A gateway with a health service for those whose access token the emulator accepts, and the emulator's token endpoint.
async fn grpc_gateway(emulator: String) -> String {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let health: HealthServer<_> = health;
    let router = ::tonic::service::Routes::new(health)
        .into_axum_router()
        .layer(axum::middleware::from_fn_with_state(emulator.clone(), authorized))
        .merge(axum::Router::new().route("/v1/oauth/token", axum::routing::post(exchange)).with_state(emulator));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

fn http_client() -> ::reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    ::reqwest::Client::new()
}

async fn exchange(State(emulator): State<String>, body: String) -> Response {
    let request = http_client().post(format!("{emulator}/v1/oauth/token")).header("content-type", "application/json");
    let response = request.body(body).send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, response.bytes().await.unwrap()).into_response()
}

async fn authorized(State(emulator): State<String>, request: Request, next: Next) -> Response {
    let Some(authorization) = request.headers().get("authorization") else { return StatusCode::UNAUTHORIZED.into_response() };
    let message = http_client()
        .post(format!("{emulator}/v1/messages"))
        .header("authorization", authorization)
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json")
        .body(r#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"?"}]}"#);
    match message.send().await.unwrap().status() {
        StatusCode::OK => next.run(request).await,
        status => status.into_response(),
    }
}
