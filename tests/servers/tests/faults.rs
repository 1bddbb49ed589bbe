//! What each way to an identity token does when one of its steps goes wrong: one table of faults, for every step of every source.
//!
//! The engine runs natively here, and this file is its host: it sends requests to the stand-ins, and puts the fault in place of
//! one outcome.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use wif_engine::contract::{
    Access, Capability, Clock, Event, Failure, FailureCode, Header, HttpRequest, Outcome, Output, Purpose, Response, Start, Task,
    TaskResult,
};
use wif_engine::{Secret, Session};
use wif_servers::Mint;
use wif_servers::cases::{self, CASES, Case};

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy)]
enum Fault {
    NotFound,
    Refused,
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

const OF_REQUESTS: [Fault; 11] = [
    Fault::NotFound,
    Fault::Refused,
    Fault::ServerError,
    Fault::Unreachable,
    Fault::Slow,
    Fault::Huge,
    Fault::WrongType,
    Fault::Garbage,
    Fault::Empty,
    Fault::Redirect,
    Fault::Echo,
];

impl Fault {
    fn outcome(self, request: &HttpRequest) -> Outcome {
        let answer = |status: u16, body: String| {
            let location = Header { name: "location".to_owned(), value: Secret::from("https://elsewhere.example/") };
            Outcome::Response(Response { status, headers: vec![location], body: Secret::from(body) })
        };
        match self {
            Self::NotFound => answer(404, "not found".to_owned()),
            Self::Refused => answer(403, json!({ "error": { "message": "no" } }).to_string()),
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
struct World<'a> {
    case: &'a Case,
    client: &'a reqwest::Client,
    session: Session,
    wall_ms: u64,
    requests: usize,
    /// All that anybody may see: failures and notes.
    shown: String,
}

/// How a run ended.
#[derive(Debug)]
enum End {
    Exchanged,
    Failed(Failure),
}

impl<'a> World<'a> {
    fn new(case: &'a Case, client: &'a reqwest::Client) -> Self {
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
        Self { case, client, session, wall_ms: now_ms(), requests: 0, shown: String::new() }
    }

    fn step(&mut self, event: Event) -> Output {
        let output = self.session.step(Clock { wall_ms: self.wall_ms, steady_ms: Some(self.wall_ms) }, event);
        self.shown += &format!("{:?} {:?}\n", output.access, output.notes);
        output
    }

    /// Goes on until there is an access token or a failure; the request of this position meets the fault.
    async fn run(&mut self, first: Event, fault: Option<(usize, Fault)>) -> End {
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
    fn later(&mut self, output_in_ms: u64) {
        self.wall_ms += output_in_ms;
    }
}

#[allow(clippy::disallowed_methods, reason = "the stand-ins judge the times of real requests")]
fn now_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("it fits")
}

/// Each token is another one: `jti` counts.
fn minting() -> Mint {
    let count = AtomicU64::new(0);
    Arc::new(move |audience| token(audience, count.fetch_add(1, Ordering::SeqCst)))
}

fn token(audience: &str, jti: u64) -> String {
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let now = now_ms() / 1_000;
    let header = part(json!({ "alg": "RS256", "kid": "key", "typ": "JWT" }));
    let claims = part(json!({
        "iss": "https://issuer.example", "sub": "workload", "aud": audience, "jti": jti.to_string(), "iat": now, "exp": now + 3_600,
    }));
    format!("{header}.{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode("canary-signature-canary-signature"))
}

fn client(case: &Case) -> reqwest::Client {
    // One of the tests that run at once is the first.
    _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    if let Some(cluster) = &case.cluster {
        builder = builder.tls_certs_only([reqwest::Certificate::from_pem(cluster.ca.as_bytes()).expect("a certificate")]);
    }
    builder.build().expect("a client")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_goes_wrong_is_told_without_a_secret_and_made_again() {
    let mut held = BTreeSet::new();
    for name in CASES {
        let directory = tempfile::tempdir().expect("a directory");
        let case = cases::start(name, directory.path(), &minting()).await;
        let client = client(&case);
        let mut well = World::new(&case, &client);
        let end = well.run(Event::Needed, None).await;
        assert!(matches!(end, End::Exchanged), "{name}: {end:?}");
        for at in 0..well.requests {
            for fault in OF_REQUESTS {
                let place = format!("{name}, request {at}, {fault:?}");
                let mut world = World::new(&case, &client);
                let End::Failed(failure) = world.run(Event::Needed, Some((at, fault))).await else {
                    panic!("{place}: there is a token")
                };
                use FailureCode::{IdentityTokenMalformed, IdentityTokenUnreadable};
                assert!(matches!(failure.code, IdentityTokenUnreadable | IdentityTokenMalformed), "{place}: {failure:?}");
                assert!(
                    !failure.action.is_empty() && failure.message.ends_with('.') || failure.message.contains("It says: "),
                    "{place}: {failure:?}"
                );
                let retry = failure.retry_in_ms.unwrap_or_else(|| panic!("{place}: it is not tried again"));
                assert!((1..=120_000).contains(&retry), "{place}: {failure:?}");
                for secret in case.secrets.iter().copied().chain(["canary-signature", "Y2FuYXJ5LXNpZ25hdHVyZQ"]) {
                    assert!(!world.shown.contains(secret), "{place} shows {secret}: {}", world.shown);
                }
                // The next time all is well.
                world.later(retry + 1);
                let end = world.run(Event::Needed, None).await;
                assert!(matches!(end, End::Exchanged), "{place}: {end:?}");
                held.insert(name);
            }
        }
    }
    assert!(held.len() >= 14, "{held:?}");
}

/// A step that reads finds nothing, or an empty text: no panic, no secret, and the reason by name.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named() {
    for name in CASES {
        let directory = tempfile::tempdir().expect("a directory");
        let mut case = cases::start(name, directory.path(), &minting()).await;
        let client = client(&case);
        for at in 0..case.variables.len() {
            let (variable, value) = case.variables.remove(at);
            let mut world = World::new(&case, &client);
            // Where a default leads nobody listens, or another way is taken.
            if let End::Failed(failure) = world.run(Event::Needed, Some((0, Fault::Unreachable))).await {
                assert!(!failure.message.is_empty() && !failure.action.is_empty(), "{name} without {variable}: {failure:?}");
            }
            for secret in &case.secrets {
                assert!(!world.shown.contains(secret), "{name} without {variable} shows {secret}: {}", world.shown);
            }
            case.variables.insert(at, (variable, value));
        }
        for at in 0..case.files.len() {
            let (path, content) = case.files[at].clone();
            if path.ends_with("ca.crt") {
                // The host reads it.
                continue;
            }
            case.files[at].1 = String::new();
            let mut world = World::new(&case, &client);
            let End::Failed(failure) = world.run(Event::Needed, None).await else { panic!("{name}: {path} is empty") };
            assert!(failure.message.contains(&path) && failure.message.contains("is empty"), "{name}: {failure:?}");
            case.files[at] = (path, content);
        }
    }
}

/// Some caches give the same identity token again, which can be exchanged once: the failure says who keeps it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_comes_again_is_waited_out_and_its_cache_named() {
    for name in CASES {
        let directory = tempfile::tempdir().expect("a directory");
        let kept: Mint = Arc::new(|audience| token(audience, 1));
        let case = cases::start(name, directory.path(), &kept).await;
        let client = client(&case);
        let mut world = World::new(&case, &client);
        let end = world.run(Event::Needed, None).await;
        assert!(matches!(end, End::Exchanged), "{name}: {end:?}");
        // The access token lives for a minute.
        world.later(120_000);
        let End::Failed(failure) = world.run(Event::Needed, None).await else { panic!("{name}: it was exchanged twice") };
        assert_eq!(failure.code, FailureCode::IdentityTokenSpent, "{name}: {failure:?}");
        let recipe = wif_recipes::platform(case.identity_token["source"].as_str().unwrap_or_default()).expect("a platform");
        assert_eq!(Some(&failure.action), recipe.repeats.as_ref(), "{name}: {failure:?}");
        assert!(world.shown.contains("WaitingForRotation"), "{name}: {}", world.shown);
    }
}
