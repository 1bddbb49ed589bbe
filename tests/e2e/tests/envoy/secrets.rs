use std::fs;

use serde_json::json;
use wif_emulator::Fault;

use crate::harness::bootstrap::typed;
use crate::harness::client::statuses;
use crate::harness::{Form, Plan, Protocol, World, in_every_form};
use crate::rejection::BETWEEN_EXCHANGES;

/// How every access token of the emulator begins, and of the API.
const ACCESS_TOKEN: &str = "sk-ant-oat01-";

/// What must not be seen, with the name that a failing test may say.
pub(crate) struct Canaries(Vec<(&'static str, String)>);

impl Canaries {
    /// The access tokens that reached the API, and the identity token that is published.
    pub(crate) fn of(world: &World) -> Self {
        let seen = world.api.as_ref().expect("the plan says so").requests();
        let mut access_tokens: Vec<String> =
            seen.iter().flat_map(|seen| seen.values("authorization")).map(str::to_owned).collect();
        access_tokens.dedup();
        assert!(!access_tokens.is_empty(), "no access token was seen: {seen:?}");
        let mut canaries = Self::of_the_file(world);
        for token in access_tokens {
            canaries.add("an access token", token.strip_prefix("Bearer ").expect("a bearer token"));
        }
        canaries
    }

    /// The identity token that is published, and how every access token begins: for worlds in which nobody sees one.
    pub(crate) fn of_the_file(world: &World) -> Self {
        let mut canaries = Self(vec![("an access token's beginning", ACCESS_TOKEN.to_owned())]);
        canaries.add_identity_token(world.file.current().expose());
        canaries
    }

    pub(crate) fn add_identity_token(&mut self, token: &str) {
        self.add("an identity token", token);
        let signature = token.rsplit('.').next().expect("three segments");
        self.add("an identity token's signature", signature);
    }

    pub(crate) fn add(&mut self, name: &'static str, text: &str) {
        self.0.push((name, text.to_owned()));
        // A log might cut either end off.
        self.0.push((name, text[..text.len() / 2].to_owned()));
        self.0.push((name, text[text.len() / 2..].to_owned()));
    }

    /// Which of them stand in this text.
    pub(crate) fn seen_in(&self, text: &str) -> Vec<&'static str> {
        self.0.iter().filter(|(_, canary)| text.contains(canary)).map(|(name, _)| *name).collect()
    }
}

/// Everything that Envoy says of itself.
pub(crate) async fn sinks(world: &World) -> Vec<(String, String)> {
    let mut sinks = vec![("the log".to_owned(), world.envoy.log())];
    let access_log = fs::read_to_string(world.setup.directory.join("access.log")).unwrap_or_default();
    sinks.push(("the access log".to_owned(), access_log));
    let pages = [
        "/config_dump?include_eds",
        "/stats",
        "/stats/prometheus",
        "/clusters",
        "/listeners",
        "/server_info",
        "/certs",
        "/runtime",
        "/init_dump",
        "/contention",
        "/memory",
    ];
    for page in pages {
        sinks.push((page.to_owned(), world.envoy.admin(page).await));
    }
    let process = format!("/proc/{}", world.envoy.id());
    for file in ["cmdline", "environ"] {
        let content = fs::read(format!("{process}/{file}")).expect("it runs");
        sinks.push((file.to_owned(), String::from_utf8_lossy(&content).into_owned()));
    }
    sinks
}

/// A tap that writes down every request, with Envoy's own filter before ours.
fn tap(world_directory: &std::path::Path) -> serde_json::Value {
    let sink = json!({ "format": "JSON_BODY_AS_STRING", "file_per_tap": { "path_prefix": world_directory.join("tap") } });
    let config = json!({ "match": { "any_match": true }, "output_config": { "sinks": [sink] } });
    typed("tap", "envoy.extensions.filters.http.tap.v3.Tap", json!({ "common_config": { "static_config": config } }))
}

fn taps(world: &World) -> Vec<String> {
    let files = fs::read_dir(&world.setup.directory).expect("it is there").filter_map(Result::ok);
    let taps = files.filter(|file| file.file_name().to_string_lossy().starts_with("tap_"));
    taps.filter_map(|file| fs::read_to_string(file.path()).ok()).collect()
}

in_every_form! {
    /// G1, B13, E8: through an exchange, a rejection, a refusal that tells the identity token, and a reload.
    async fn no_secret_is_in_logs_dumps_or_metrics(form: Form) {
        let Some(mut world) = Plan::new(form).capture(Protocol::Http1).start().await else { return };
        let first = world.file.current();
        let echo = format!(r#"{{"type":"error","error":{{"type":"authentication_error","message":"bad: {}"}}}}"#, first.expose());
        world.emulator.inject(Fault::Status { status: 401, retry_after: None, body: Some(echo.into_bytes()) });
        for answer in world.caller.burst(10).await {
            assert_eq!(answer.failure_code(), "refused");
            assert!(!answer.body.contains(first.expose()) && !answer.body.contains("bad: "), "{answer:?}");
        }
        world.file.rotate().expect("the directory is writable");
        world.until("a token", async || world.caller.message().await.status == 200).await;
        let answers = world.caller.burst(20).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        world.reload(|setup| setup.plugin["waiting"] = json!({ "requests": 7 }));
        world.until("the reload", async || world.envoy.stat("(lds|cds)\\.update_success$").await >= 3).await;
        world.until("a token", async || world.caller.message().await.status == 200).await;

        let mut canaries = Canaries::of(&world);
        canaries.add_identity_token(first.expose());
        // The canaries are such that they would be seen.
        let api = world.api.as_ref().expect("the plan says so").text();
        assert!(canaries.seen_in(&api).contains(&"an access token"));
        assert!(canaries.seen_in(first.expose()).len() >= 3);
        for (sink, text) in sinks(&world).await {
            assert!(!text.is_empty() || matches!(&*sink, "environ" | "/certs"), "{sink} is empty");
            assert_eq!(canaries.seen_in(&text), [""; 0], "in {sink}");
        }
    }
}

/// E8: a tap and an access log see the request as it is in the end, and then our credential is off it again. WebAssembly in Envoy
/// cannot do that: the filter's docs say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn module_a_tap_and_an_access_log_that_ask_for_the_credential_see_none() {
    let plan = Plan::new(Form::Module).capture(Protocol::Http1).setup(|setup| {
        setup.before.push(tap(&setup.directory));
        setup.access_log = Some("authorization=%REQ(AUTHORIZATION)% status=%RESPONSE_CODE%\n".to_owned());
    });
    let Some(mut world) = plan.start().await else { return };
    let answers = world.caller.burst(10).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let canaries = Canaries::of(&world);
    world.until("ten taps", async || taps(&world).len() == 10).await;
    let seen: Vec<&str> = taps(&world).iter().flat_map(|tap| canaries.seen_in(tap)).collect();
    assert_eq!(seen, [""; 0], "in a tap");
    // Envoy writes its access log when it ends, if not before.
    world.envoy.command("/quitquitquit").await;
    world.envoy.ended().await;
    let access_log = fs::read_to_string(world.setup.directory.join("access.log")).expect("it is written");
    assert_eq!(access_log.matches("status=200").count(), 10, "{access_log}");
    assert_eq!(canaries.seen_in(&access_log), [""; 0], "in the access log");
}

in_every_form! {
    /// G8: at the level `debug` Envoy writes the fields of requests. In the cluster's chain the filter comes after that, so our token
    /// is not among them: not with a first exchange, a rejection, another exchange and the request that is sent again. In the
    /// listener's chain it comes before: the README of the configurations declares that, and this shows that a token would be seen.
    async fn at_debug_envoys_log_has_our_token_in_the_listeners_chain_and_none_in_the_clusters(form: Form) {
        let Some(world) = Plan::new(form).start().await else { return };
        let said = world.envoy.command("/logging?level=debug").await;
        assert!(said.contains("http: debug"), "{said}");
        let mut canaries = Canaries::of_the_file(&world);
        assert_eq!(world.caller.message().await.status, 200);
        world.file.rotate().expect("the directory is writable");
        canaries.add_identity_token(world.file.current().expose());
        tokio::time::sleep(BETWEEN_EXCHANGES).await;
        assert_eq!(world.emulator.revoke_all(), 1);
        world.until("another token", async || {
            world.caller.burst(5).await;
            world.emulator.exchanges_granted() == 2
        })
        .await;
        world.until("it is known to all", async || statuses(&world.caller.burst(5).await) == [200; 5]).await;
        let log = world.envoy.log();
        assert!(log.contains("':path', '/v1/messages'"), "the fields of requests are written");
        let seen = canaries.seen_in(&log);
        match form.stands_upstream() {
            true => assert_eq!(seen, [""; 0]),
            false => assert_eq!(seen, ["an access token's beginning"], "what the documentation declares"),
        }
    }
}
