//! Cloudflare's runtime, in two versions that differ in what becomes of another request's promise: the older one lets whoever
//! waits for it hang, the newer one fails them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use wif_emulator::{Fault, Jwks, Options};
use wif_javascript::WORKERS;
use wif_test_tools::place;

use crate::program::{Program, node, printed, workshop, workshop_async};
use crate::world::World;

pub(crate) const VERSIONS: [Version; 2] = [Version::Older, Version::Newest];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The one that miniflare brings.
    Older,
    Newest,
}

/// How a Worker is run.
struct Setup {
    version: Version,
    /// The variable SHARING of `programs/worker.mjs`.
    sharing: &'static str,
    source: Value,
    /// More of the Worker's variables.
    bindings: Value,
}

impl Setup {
    fn new(version: Version) -> Self {
        let source = json!({ "source": "callable", "freshness": "minted" });
        Self { version, sharing: "isolate", source, bindings: json!({}) }
    }
}

/// A running Worker.
struct Worker {
    program: Program,
    client: Client,
    url: String,
    /// Holds its storage.
    _storage: TempDir,
}

/// The Workers' bundles, made once.
pub(crate) fn bundle() -> &'static Path {
    static BUNDLE: OnceLock<PathBuf> = OnceLock::new();
    BUNDLE.get_or_init(|| {
        let folder = place(Path::new(env!("CARGO_TARGET_TMPDIR")), "workers");
        for program in ["worker", "caller"] {
            let to = folder.join(program);
            let bundled = workshop().bundle(&workshop().program(&format!("{program}.mjs")), &WORKERS, &to);
            bundled.unwrap_or_else(|missing| panic!("{missing}"));
        }
        folder
    })
}

/// Runs a Worker in this version of the runtime.
pub(crate) fn workerd(version: Version, options: &Value) -> Command {
    let mut command = node("workerd.mjs");
    command.arg(options.to_string());
    if version == Version::Newest {
        let workerd = workshop().newest_workerd().unwrap_or_else(|missing| panic!("{missing}"));
        command.env("MINIFLARE_WORKERD_PATH", workerd);
    }
    command
}

impl Worker {
    async fn start(world: &World, setup: Setup) -> Self {
        workshop_async().await;
        let folder = tokio::task::spawn_blocking(bundle).await.expect("no panic");
        let storage = tempfile::tempdir().expect("a directory");
        let mut bindings = json!({
            "BASE_URL": world.emulator.base_url(),
            "ADMIN_URL": world.admin_url(),
            "FEDERATION": world.federation(&setup.source),
            "SHARING": setup.sharing,
        });
        for (name, value) in setup.bindings.as_object().into_iter().flatten() {
            bindings[name] = value.clone();
        }
        let options = json!({
            "worker": folder.join("worker"),
            "caller": folder.join("caller"),
            "bindings": bindings,
            "object": setup.sharing == "object",
            "kv": setup.sharing == "kv",
            "twin": setup.sharing == "object",
            "persist": storage.path(),
        });
        let mut program = Program::start(workerd(setup.version, &options));
        let url = url(&program.next().await);
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
        Self { program, client, url, _storage: storage }
    }

    async fn get(&self, path: &str) -> Result<Response, reqwest::Error> {
        self.client.get(format!("{}{path}", self.url)).send().await
    }

    async fn post(&self, path: &str, body: &str) -> Result<Response, reqwest::Error> {
        self.client.post(format!("{}{path}", self.url)).body(body.to_owned()).send().await
    }

    async fn status_of(&self, path: &str) -> u16 {
        self.get(path).await.expect("an answer").status().as_u16()
    }

    async fn value(&self, path: &str) -> Value {
        self.get(path).await.expect("an answer").json().await.expect("JSON")
    }

    /// Moves the Worker's clock.
    async fn advance(&self, seconds: u64) {
        self.post("/advance", &(seconds * 1000).to_string()).await.expect("an answer");
    }

    /// All isolates begin anew.
    async fn restart(&mut self) {
        self.url = url(&self.program.ask("restart").await);
    }

    /// So many requests at once, by status.
    async fn burst(&self, path: &'static str, times: usize) -> Vec<u16> {
        let requests: Vec<_> = (0..times)
            .map(|_| {
                let request = self.client.get(format!("{}{path}", self.url)).send();
                tokio::spawn(async move { request.await.expect("an answer").status().as_u16() })
            })
            .collect();
        let mut statuses = Vec::new();
        for request in requests {
            statuses.push(request.await.expect("no panic"));
        }
        statuses.dedup();
        statuses
    }
}

fn url(line: &Value) -> String {
    line["url"].as_str().expect("a URL").to_owned()
}

/// C1. Whatever the isolates share.
#[tokio::test]
async fn a_cold_burst_of_a_hundred_requests_makes_one_exchange() {
    for version in VERSIONS {
        for sharing in ["isolate", "unanchored", "object", "kv", "cache"] {
            let world = World::start().await;
            let worker = Worker::start(&world, Setup { sharing, ..Setup::new(version) }).await;
            assert_eq!(worker.burst("/message", 100).await, [200], "{version:?} {sharing}");
            assert_eq!((world.exchanges(), world.emulator.counts().messages_granted), (1, 100), "{version:?} {sharing}");
        }
    }
}

#[tokio::test]
async fn the_vendors_sdk_works_inside_a_worker_with_each_of_its_options() {
    for version in VERSIONS {
        let world = World::start().await;
        let worker = Worker::start(&world, Setup::new(version)).await;
        for path in ["/sdk", "/sdk-middleware", "/sdk-provider"] {
            assert_eq!(worker.burst(path, 20).await, [200], "{version:?} {path}");
        }
        assert_eq!(world.exchanges(), 1);
    }
}

#[tokio::test]
async fn a_stream_passes_through_a_worker_in_pieces() {
    for version in VERSIONS {
        let world = World::start().await;
        let worker = Worker::start(&world, Setup::new(version)).await;
        let mut answer = worker.get("/stream").await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let (mut pieces, mut text) = (0, Vec::new());
        while let Some(piece) = answer.chunk().await.expect("a piece") {
            pieces += 1;
            text.extend_from_slice(&piece);
        }
        assert!(pieces > 5, "{version:?}: {pieces}");
        assert!(String::from_utf8_lossy(&text).contains("message_stop"));
    }
}

/// What the case is: the first request's client hangs up while its exchange is under way, and others wait.
async fn hang_up_during_the_exchange(world: &World, worker: &Worker, path: &'static str) -> Vec<Result<u16, ()>> {
    world.emulator.inject(Fault::Delay(Duration::from_secs(3)));
    let leader = worker.client.get(format!("{}{path}?after=1000", worker.url)).send();
    let leader = tokio::spawn(async move { leader.await.expect("an answer").status().as_u16() });
    world.until(|world| world.exchanges() == 1).await;
    let joiner = || worker.client.get(format!("{}{path}", worker.url)).timeout(Duration::from_secs(12)).send();
    let joiners: Vec<_> = (0..3).map(|_| tokio::spawn(joiner())).collect();
    assert_eq!(leader.await.expect("no panic"), 499, "the leader was to be hung up");
    let mut statuses = Vec::new();
    for joiner in joiners {
        statuses.push(joiner.await.expect("no panic").map(|answer| answer.status().as_u16()).map_err(|_| ()));
    }
    let later = worker.client.get(format!("{}{path}", worker.url)).timeout(Duration::from_secs(4)).send().await;
    statuses.push(later.map(|answer| answer.status().as_u16()).map_err(|_| ()));
    statuses
}

/// C4. Everybody else is served by the leader's exchange, which goes on; the provider's promise, which the SDK shares between
/// requests, settles too.
#[tokio::test]
async fn a_leader_whose_client_hangs_up_still_brings_the_token() {
    for version in VERSIONS {
        for (sharing, path) in [("isolate", "/message"), ("isolate", "/sdk-provider"), ("object", "/message")] {
            let world = World::start().await;
            let worker = Worker::start(&world, Setup { sharing, ..Setup::new(version) }).await;
            let statuses = hang_up_during_the_exchange(&world, &worker, path).await;
            assert_eq!(statuses, [Ok(200); 4], "{version:?} {sharing} {path}");
            assert_eq!(world.exchanges(), 1, "{version:?} {sharing} {path}");
        }
    }
}

/// The same with the SDK alone, for contrast: those who wait hang or fail, and so does every later request of the isolate.
#[tokio::test]
async fn the_sdk_alone_never_recovers_from_a_leader_whose_client_hangs_up() {
    for version in VERSIONS {
        let world = World::start().await;
        let worker = Worker::start(&world, Setup::new(version)).await;
        let statuses = hang_up_during_the_exchange(&world, &worker, "/sdk-alone").await;
        let expected = match version {
            Version::Older => [Err(()); 4],
            Version::Newest => [Ok(500); 4],
        };
        assert_eq!(statuses, expected, "{version:?}: mended upstream? Then the README has to say so");
        assert_eq!(world.exchanges(), 1);
    }
}

/// C4, C5. Where nothing keeps a request alive its exchange is lost with it: that is noticed after five seconds, and whoever waits
/// takes over. The lost request may have been granted, which spends nothing where the next identity token is another one.
#[tokio::test]
async fn a_leader_that_dies_is_replaced() {
    for version in VERSIONS {
        let world = World::start().await;
        let worker = Worker::start(&world, Setup { sharing: "unanchored", ..Setup::new(version) }).await;
        let statuses = hang_up_during_the_exchange(&world, &worker, "/message").await;
        assert_eq!(statuses, [Ok(200); 4], "{version:?}");
        assert_eq!((world.exchanges(), world.reused()), (2, 0), "{version:?}");
    }
}

/// What the case is: a request finds a token that is due, and has ended long before the exchange that it started.
async fn refresh_behind_a_request(world: &World, worker: &Worker, path: &str) {
    assert_eq!(worker.status_of(path).await, 200);
    // A minute before the end.
    worker.advance(3540).await;
    world.emulator.inject(Fault::Delay(Duration::from_secs(2)));
    assert_eq!(worker.status_of(path).await, 200, "the token is still good");
    // The answer comes when nobody is there, if the exchange itself is still made then.
    tokio::time::sleep(Duration::from_secs(4)).await;
    // The first token is at its end.
    worker.advance(45).await;
}

/// C2 (a refresh holds nobody up), C4 (callers that leave).
#[tokio::test]
async fn a_refresh_goes_on_when_the_request_that_started_it_has_ended() {
    for version in VERSIONS {
        for sharing in ["isolate", "object"] {
            let world = World::start().await;
            let worker = Worker::start(&world, Setup { sharing, ..Setup::new(version) }).await;
            refresh_behind_a_request(&world, &worker, "/message").await;
            assert_eq!(worker.burst("/message", 10).await, [200], "{version:?} {sharing}");
            assert_eq!(world.exchanges(), 2, "{version:?} {sharing}");
        }
    }
}

/// The same with the SDK alone, for contrast.
#[tokio::test]
async fn the_sdk_alone_never_recovers_from_a_refresh_whose_request_has_ended() {
    for version in VERSIONS {
        let world = World::start().await;
        let worker = Worker::start(&world, Setup::new(version)).await;
        refresh_behind_a_request(&world, &worker, "/sdk-alone").await;
        for _ in 0..2 {
            let request = worker.client.get(format!("{}/sdk-alone", worker.url)).timeout(Duration::from_secs(3));
            let answer = request.send().await.map(|answer| answer.status().as_u16());
            assert!(answer.is_err() || answer.is_ok_and(|status| status == 500), "{version:?}: mended upstream?");
        }
        assert!(world.exchanges() <= 2, "{}", world.exchanges());
    }
}

/// E12. And the request, whatever its body is made of, is sent once more.
#[tokio::test]
async fn a_revoked_token_is_replaced_and_the_caller_does_not_notice() {
    for version in VERSIONS {
        for sharing in ["isolate", "object"] {
            let world = World::start().await;
            let worker = Worker::start(&world, Setup { sharing, ..Setup::new(version) }).await;
            assert_eq!(worker.status_of("/message").await, 200);
            worker.advance(10).await;
            world.emulator.revoke_all();
            let body =
                json!({"model": "claude-sonnet-5-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]});
            let answer = worker.post("/request", &body.to_string()).await.expect("an answer");
            assert_eq!(answer.status(), 200, "{version:?} {sharing}");
            assert_eq!(world.exchanges(), 2, "{version:?} {sharing}");
        }
    }
}

/// A8b. Isolates begin anew at any time. What they share is there: in a cache, or with the session itself.
#[tokio::test]
async fn a_new_isolate_takes_up_what_is_shared() {
    for version in VERSIONS {
        for (sharing, exchanges) in [("isolate", 2), ("kv", 1), ("object", 1)] {
            let world = World::start().await;
            let mut worker = Worker::start(&world, Setup { sharing, ..Setup::new(version) }).await;
            assert_eq!(worker.status_of("/message").await, 200);
            worker.restart().await;
            assert_eq!(worker.status_of("/message").await, 200);
            assert_eq!(world.exchanges(), exchanges, "{version:?} {sharing}");
        }
    }
}

/// A8, C7. Two isolates that live at the same time: what one is given and what it is refused, the other knows.
#[tokio::test]
async fn isolates_of_one_object_share_a_token_and_its_rejection() {
    for version in VERSIONS {
        let world = World::start().await;
        let worker = Worker::start(&world, Setup { sharing: "object", ..Setup::new(version) }).await;
        for path in ["/message", "/message?twin"] {
            assert_eq!(worker.status_of(path).await, 200, "{version:?} {path}");
        }
        assert_eq!(world.exchanges(), 1, "{version:?}");
        for path in ["/advance", "/advance?twin"] {
            worker.post(path, "10000").await.expect("an answer");
        }
        world.emulator.revoke_all();
        for path in ["/message?twin", "/message"] {
            assert_eq!(worker.status_of(path).await, 200, "{version:?} {path}");
        }
        assert_eq!(world.exchanges(), 2, "{version:?}");
    }
}

/// A6, A8. A shared identity token that can be exchanged once: an object exchanges it once and remembers; a cache is
/// refused, and so is an isolate's memory alone.
#[tokio::test]
async fn a_single_use_identity_token_is_exchanged_once_by_an_object_and_refused_with_a_cache() {
    let source = json!({ "source": "callable", "freshness": "shared" });
    for version in VERSIONS {
        let world = World::start().await;
        let token = world.file.current();
        let bindings = json!({ "IDENTITY_TOKEN": token.expose() });
        let setup = |sharing| Setup { sharing, source: source.clone(), bindings: bindings.clone(), ..Setup::new(version) };
        for sharing in ["isolate", "kv", "cache"] {
            let worker = Worker::start(&world, setup(sharing)).await;
            let refusal = worker.value("/message").await;
            assert_eq!(refusal["code"], "store-failed", "{refusal}");
            assert!(!refusal.to_string().contains(token.expose()));
        }
        assert_eq!(world.exchanges(), 0);
        let mut worker = Worker::start(&world, setup("object")).await;
        assert_eq!(worker.burst("/message", 50).await, [200], "{version:?}");
        worker.restart().await;
        worker.advance(10).await;
        world.emulator.revoke_all();
        // The API's own answer reaches the caller: there is no other identity token.
        assert_eq!(worker.status_of("/message").await, 401, "{version:?}");
        assert_eq!((world.exchanges(), world.reused()), (1, 0), "{version:?}");
    }
}

/// C2. In real time, for alarms are the runtime's own: half a minute is the least that the object asks for. Nobody calls meanwhile.
#[tokio::test]
async fn an_object_refreshes_its_token_while_nobody_calls() {
    let world = World::with(Options { token_lifetime_seconds: 60, ..Options::default() }).await;
    let worker = Worker::start(&world, Setup { sharing: "object", ..Setup::new(Version::Newest) }).await;
    assert_eq!(worker.status_of("/message").await, 200);
    let mut history = world.emulator.subscribe();
    let refreshed = async {
        while world.exchanges() < 2 {
            history.changed().await.expect("the emulator runs");
        }
    };
    tokio::time::timeout(Duration::from_secs(90), refreshed).await.expect("an alarm comes in time");
    assert_eq!(worker.status_of("/message").await, 200);
}

/// What rests in a cache is of no use to who reads it.
#[tokio::test]
async fn what_rests_in_a_cache_is_sealed() {
    let world = World::start().await;
    let worker = Worker::start(&world, Setup { sharing: "kv", ..Setup::new(Version::Newest) }).await;
    assert_eq!(worker.status_of("/message").await, 200);
    let mut cached = worker.value("/cached").await;
    while cached.as_array().is_none_or(Vec::is_empty) {
        cached = worker.value("/cached").await;
    }
    let text = cached[0]["text"].as_str().expect("text");
    assert!(text.len() > 100 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)), "{text}");
    // What the encoding hides is no text either.
    let decoded = cached[0]["decoded"].as_str().expect("text");
    let readable = decoded.chars().filter(|character| character.is_ascii_graphic()).count();
    assert!(readable * 2 < decoded.chars().count(), "{decoded}");
    assert!(!decoded.contains("sk-ant-"), "{decoded}");
}

/// Workers have no identity of their own: one may vouch for itself with a key that its account holds.
#[tokio::test]
async fn a_worker_signs_its_own_identity_token() {
    for version in VERSIONS {
        let world = World::start().await;
        let keys = tokio::task::spawn_blocking(|| printed(&mut node("keys.mjs")).remove(0)).await.expect("no panic");
        let mut resources = world.emulator.resources();
        resources.organizations[0].federation_issuers[0].jwks = Jwks::Inline { keys: vec![keys["public"].clone()] };
        world.emulator.set_resources(resources).expect("they are good");
        let source = json!({
            "source": "signer",
            "key_id": "worker-1",
            "issuer": world.emulator.base_url(),
            "subject": world.emulator.options().subject,
        });
        let bindings = json!({ "PRIVATE_KEY": keys["private"] });
        let worker = Worker::start(&world, Setup { source, bindings, ..Setup::new(version) }).await;
        assert_eq!(worker.status_of("/message").await, 200, "{version:?}: {:?}", world.emulator.history());
        assert_eq!(world.exchanges(), 1);
    }
}

/// Without a token a Worker answers like a proxy, and tells its author what to do.
#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    for version in VERSIONS {
        for sharing in ["isolate", "object"] {
            let world = World::start().await;
            world.emulator.set_outage(Some(Fault::status(503)));
            let worker = Worker::start(&world, Setup { sharing, ..Setup::new(version) }).await;
            let answer = worker.get("/message").await.expect("an answer");
            assert_eq!(answer.status(), 503, "{version:?} {sharing}");
            assert!(answer.headers().contains_key("retry-after"));
            let told: Value = answer.json().await.expect("JSON");
            assert_eq!((&told["error"], &told["code"]), (&"NoTokenError".into(), &"endpoint-failed".into()), "{told}");
            assert_eq!(world.emulator.counts().messages, 0);
        }
    }
}
