//! The engine, and this file its host: it sends requests to the stand-ins, and puts a fault in place of one outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use wif_engine::contract::{
    Access, Capability, Clock, Event, Failure, Header, HttpRequest, Outcome, Output, Purpose, Response, Start, Task, TaskResult,
};
use wif_engine::{Secret, Session};
use wif_servers::Mint;
use wif_servers::cases::Case;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    NotFound,
    Refused,
    /// As Azure's metadata service says while it is updated, for more than a minute.
    Gone,
    Throttled,
    ServerError,
    Unreachable,
    Slow,
    Huge,
    WrongType,
    Garbage,
    Empty,
    Redirect,
    /// The server repeats all that it was sent.
    Echo,
}

impl Fault {
    pub(crate) fn outcome(self, request: &HttpRequest) -> Outcome {
        let answer = |status: u16, body: String| {
            let location = Header { name: "location".to_owned(), value: Secret::from("https://elsewhere.example/") };
            Outcome::Response(Response { status, headers: vec![location], body: Secret::from(body) })
        };
        match self {
            Self::NotFound => answer(404, "not found".to_owned()),
            Self::Refused => answer(403, json!({ "error": { "message": "no" } }).to_string()),
            Self::Gone => answer(410, String::new()),
            Self::Throttled => {
                let retry_after = Header { name: "retry-after".to_owned(), value: Secret::from("7") };
                Outcome::Response(Response { status: 429, headers: vec![retry_after], body: Secret::from("too many requests") })
            }
            Self::ServerError => answer(500, "<html>Internal Server Error</html>".to_owned()),
            Self::Unreachable => Outcome::Unsent("connection refused".to_owned()),
            Self::Slow => Outcome::MaybeSent("no complete answer within 10000 ms".to_owned()),
            Self::Huge => Outcome::MaybeSent("the answer is longer than 131072 bytes".to_owned()),
            Self::WrongType => answer(200, "[1, {\"token\": 2}]".to_owned()),
            Self::Garbage => answer(200, "\u{fffd}\0\u{1}\u{fffd}<Token".to_owned()),
            Self::Empty => answer(200, String::new()),
            Self::Redirect => answer(302, String::new()),
            Self::Echo => {
                let fields: Vec<&str> = request.headers.iter().map(|header| header.value.reveal()).collect();
                let words = format!("{} {} {}", request.url, fields.join(" "), request.body.reveal());
                answer(400, json!({ "error": "invalid_request", "error_description": words }).to_string())
            }
        }
    }
}

/// The host: what it finds around it, and the session.
pub(crate) struct World<'a> {
    case: &'a Case,
    client: &'a reqwest::Client,
    session: Session,
    wall_ms: u64,
    pub(crate) requests: usize,
    /// All that anybody may see: failures and notes.
    pub(crate) shown: String,
    /// The identity token that was exchanged last.
    pub(crate) exchanged: String,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) enum End {
    Exchanged,
    Failed(Failure),
}

impl<'a> World<'a> {
    pub(crate) fn new(case: &'a Case, client: &'a reqwest::Client) -> Self {
        let configuration = json!({ "federation": {
            "federation_rule_id": "fdrl_abc123",
            "organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab",
            "service_account_id": "svac_abc123",
            "identity_token": case.identity_token,
        } });
        let can = [Capability::ReadVariable, Capability::ReadFile, Capability::Sign];
        // Another seed for each: two sessions with one would make the same `jti`.
        static SEED: AtomicU64 = AtomicU64::new(1);
        let seed = SEED.fetch_add(1, Ordering::SeqCst);
        let session = Session::open(&configuration.to_string(), seed, &can, Start::Fresh)
            .unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
        Self { case, client, session, wall_ms: now_ms(), requests: 0, shown: String::new(), exchanged: String::new() }
    }

    fn step(&mut self, event: Event) -> Output {
        let output = self.session.step(Clock { wall_ms: self.wall_ms, steady_ms: Some(self.wall_ms) }, event);
        self.shown += &format!("{:?} {:?}\n", output.access, output.notes);
        output
    }

    /// Goes on until there is an access token or a failure; the request of this position meets the fault.
    pub(crate) async fn run(&mut self, first: Event, fault: Option<(usize, Fault)>) -> End {
        let mut output = self.step(first);
        loop {
            let mut tasks = std::mem::take(&mut output.tasks).into_iter();
            let Some(numbered) = tasks.next() else {
                return match output.access {
                    Access::Usable(_) => End::Exchanged,
                    Access::Failed(failure) => End::Failed(failure),
                    other => panic!("{}: it waits for nothing: {other:?}", self.case.name),
                };
            };
            assert!(tasks.next().is_none(), "one task at a time");
            let outcome = self.perform(numbered.task, fault).await;
            output = self.step(Event::Finished(TaskResult { number: numbered.number, outcome }));
        }
    }

    async fn perform(&mut self, task: Task, fault: Option<(usize, Fault)>) -> Outcome {
        match task {
            Task::ReadVariable(name) => {
                let found = self.case.variables.iter().find(|(known, _)| *known == name);
                found.map_or(Outcome::Absent, |(_, value)| Outcome::Content(Secret::from(value.as_str())))
            }
            Task::ReadFile(request) => {
                let found = self.case.files.iter().find(|(known, _)| *known == request.path);
                found.map_or(Outcome::Absent, |(_, content)| Outcome::Content(Secret::from(content.as_str())))
            }
            Task::Sign(request) => {
                let key = EncodingKey::from_ec_pem(self.case.key.as_ref().expect("a key").as_bytes()).expect("a key");
                let signature = jsonwebtoken::crypto::sign(request.input.as_bytes(), &key, Algorithm::ES256).expect("it signs");
                Outcome::Content(Secret::from(signature))
            }
            Task::SendRequest(request) if request.purpose == Purpose::Exchange => {
                let sent: Value = serde_json::from_str(request.body.reveal()).expect("a JSON document");
                self.exchanged = sent["assertion"].as_str().expect("an assertion").to_owned();
                let body = json!({ "access_token": "sk-ant-oat01-local", "token_type": "Bearer", "expires_in": 60 });
                let headers = vec![Header { name: "content-type".to_owned(), value: Secret::from("application/json") }];
                Outcome::Response(Response { status: 200, headers, body: Secret::from(body.to_string()) })
            }
            Task::SendRequest(request) => {
                self.requests += 1;
                match fault {
                    Some((at, fault)) if at + 1 == self.requests => fault.outcome(&request),
                    _ => self.send(request).await,
                }
            }
            other => panic!("no source asks for this: {other:?}"),
        }
    }

    async fn send(&self, request: HttpRequest) -> Outcome {
        let method = reqwest::Method::from_bytes(request.method.as_bytes()).expect("a method");
        let mut sent = self.client.request(method, &request.url).body(request.body.reveal().to_owned());
        for header in &request.headers {
            sent = sent.header(&header.name, header.value.reveal());
        }
        let answer = match sent.send().await {
            Ok(answer) => answer,
            // As with a header field that holds what none may.
            Err(error) => return Outcome::Unsent(error.without_url().to_string()),
        };
        let status = answer.status().as_u16();
        let body = answer.text().await.expect("a whole answer");
        Outcome::Response(Response { status, headers: Vec::new(), body: Secret::from(body) })
    }

    /// The time until the session wants to be woken.
    pub(crate) fn later(&mut self, output_in_ms: u64) {
        self.wall_ms += output_in_ms;
    }
}

#[allow(clippy::disallowed_methods, reason = "the stand-ins judge the times of real requests")]
fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("it fits")
}

/// Each token is another one: `jti` counts.
pub(crate) fn minting() -> Mint {
    let count = AtomicU64::new(0);
    Arc::new(move |audience| token(audience, count.fetch_add(1, Ordering::SeqCst)))
}

pub(crate) fn token(audience: &str, jti: u64) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let now = now_ms() / 1_000;
    let header = part(json!({ "alg": "RS256", "kid": "key", "typ": "JWT" }));
    let claims = part(json!({
        "iss": "https://issuer.example", "sub": "workload", "aud": audience, "jti": jti.to_string(), "iat": now, "exp": now + 3_600,
    }));
    format!("{header}.{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode("canary-signature-canary-signature"))
}

pub(crate) fn client(case: &Case) -> reqwest::Client {
    // One of the tests that run at once is the first.
    _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    if let Some(cluster) = &case.cluster {
        builder = builder.tls_certs_only([reqwest::Certificate::from_pem(cluster.ca.as_bytes()).expect("a certificate")]);
    }
    builder.build().expect("a client")
}
