use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wif_emulator::{Emulator, Options};
use wif_servers::Server;
use wif_servers::cases::{self, Case, Host};

use crate::harness::{Form, Plan, in_forms, in_wasm_forms};

/// A metadata service: answers with what it was told, and keeps what it was asked.
#[derive(Clone, Default)]
struct Metadata(Arc<Mutex<(String, Vec<String>)>>);

impl Metadata {
    async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { break };
                    head.push(byte);
                }
                let answer = {
                    let mut state = service.0.lock().unwrap_or_else(PoisonError::into_inner);
                    state.1.push(String::from_utf8_lossy(&head).into_owned());
                    state.0.clone()
                };
                _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        address
    }

    fn answers(&self, status: &str, body: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    }

    fn asked(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

/// The identity token comes from the metadata service.
fn from_metadata(plugin: &mut Value, member: Option<&str>) {
    plugin["credential"]["federation"]["identity_token"] = json!({ "source": "callable", "freshness": "minted" });
    plugin["callables"] = json!({ "default": {
        "cluster": "metadata",
        "authority": "metadata.google.internal",
        "path": "/identity?audience={audience}&format=full",
        "headers": { "Metadata-Flavor": "Google" },
        "member": member,
    } });
    if member.is_none() {
        plugin["callables"]["default"].as_object_mut().expect("an object").remove("member");
    }
}

in_wasm_forms! {
    /// As Google's answers, and as GitHub's, whose token is a member of a document.
    async fn a_metadata_service_tells_who_the_workload_is(form: Form) {
        for member in [None, Some("value")] {
            let metadata = Metadata::default();
            let address = metadata.start().await;
            let plan = Plan::new(form).setup(move |setup| {
                setup.metadata = Some(address);
                from_metadata(&mut setup.plugin, member);
            });
            let Some(world) = plan.start().await else { return };
            let token = world.emulator.identity_provider().mint();
            match member {
                None => metadata.answers("200 OK", token.expose()),
                Some(member) => metadata.answers("200 OK", &json!({ "count": 1, member: token.expose() }).to_string()),
            }
            assert_eq!(world.caller.message().await.status, 200);
            assert_eq!(world.emulator.counts().exchanges, 1);
            let asked = metadata.asked();
            let [asked] = &asked[..] else { panic!("{asked:?}") };
            assert!(asked.starts_with("GET /identity?audience=https%3A%2F%2Fapi.anthropic.com&format=full HTTP/1.1\r\n"), "{asked}");
            assert!(asked.contains("host: metadata.google.internal\r\n"), "{asked}");
            assert!(asked.contains("metadata-flavor: Google\r\n"), "{asked}");
        }
    }
}

in_wasm_forms! {
    /// A1: the failure says what the service did, and another answer mends it.
    async fn a_metadata_service_that_fails_is_told_and_asked_again(form: Form) {
        let metadata = Metadata::default();
        metadata.answers("404 Not Found", "no such identity");
        let address = metadata.start().await;
        let plan = Plan::new(form).setup(move |setup| {
            setup.metadata = Some(address);
            from_metadata(&mut setup.plugin, Some("value"));
        });
        let Some(world) = plan.start().await else { return };
        let answer = world.caller.message().await;
        assert_eq!((answer.status, &*answer.failure_code()), (503, "identity-token-unreadable"), "{answer:?}");
        world.envoy.until_logged("the service answered 404").await;
        metadata.answers("200 OK", &json!({ "value": world.emulator.identity_provider().mint().expose() }).to_string());
        world.until("it is asked again", async || world.caller.message().await.status == 200).await;
    }
}

in_wasm_forms! {
    /// A10: the configuration itself is a source, and so are variables, for discovery as the vendor's clients do it.
    async fn an_identity_token_in_the_configuration_is_exchanged_once(form: Form) {
        // The one is as good as the other: whoever pushes the configuration pushes the token.
        let literal: fn(&mut Value, &str, &Options) = |plugin, token, _| {
            plugin["credential"]["federation"]["identity_token"] = json!({ "source": "literal", "value": token });
        };
        let variables: fn(&mut Value, &str, &Options) = |plugin, token, options| {
            plugin["credential"] = json!({ "base_url": plugin["credential"]["base_url"], "prefetch": false });
            plugin["variables"] = json!({
                "ANTHROPIC_FEDERATION_RULE_ID": options.federation_rule_id,
                "ANTHROPIC_ORGANIZATION_ID": options.organization_id,
                "ANTHROPIC_IDENTITY_TOKEN": token,
            });
        };
        for change in [literal, variables] {
            let Some(mut world) = Plan::new(form).start().await else { return };
            let token = world.emulator.identity_provider().mint();
            let options = world.emulator.options().clone();
            world.reload(|setup| change(&mut setup.plugin, token.expose(), &options));
            world.until("the reload", async || world.envoy.stat("(lds|cds)\\.update_success$").await >= 3).await;
            world.until("it is exchanged", async || {
                let answers = world.caller.burst(10).await;
                let exchanges = world.exchanges();
                let ours = exchanges.iter().filter(|exchange| exchange.jti.as_deref() == token.jti());
                answers.iter().all(|answer| answer.status == 200) && ours.count() == 1
            })
            .await;
            assert_eq!(world.reused(), 0);
        }
    }
}

/// What a case needs, as the filter is told of it: a cluster for each origin, and one for files.
async fn through_clusters(case: &Case) -> (Vec<Server>, Vec<(String, SocketAddr)>, Value) {
    let files = Server::start(wif_servers::files(&case.files)).await;
    let mut clusters = vec![(format!("files-{}", files.port()), files.address())];
    let mut origins = json!({});
    for server in &case.servers {
        let name = format!("source-{}", server.port());
        origins[server.url()] = json!({ "cluster": name });
        clusters.push((name, server.address()));
    }
    let at = |position: usize| json!({ "cluster": clusters[0].0, "path": format!("/{position}") });
    let read: Value = case.files.iter().enumerate().map(|(position, (path, _))| (path.clone(), at(position))).collect();
    let variables: Value = case.variables.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    (vec![files], clusters, json!({ "origins": origins, "files": read, "variables": variables }))
}

/// Identity tokens of this provider, whoever they are for.
fn mint_of(emulator: &Emulator) -> wif_servers::Mint {
    let provider = emulator.identity_provider().clone();
    Arc::new(move |_| provider.mint().expose().to_owned())
}

in_wasm_forms! {
    /// Each origin of a recipe has its cluster.
    async fn every_source_of_the_table_gives_a_token(form: Form) {
        let Some(mut world) = Plan::new(form).start().await else { return };
        let mint = mint_of(&world.emulator);
        let directory = tempfile::tempdir().expect("a directory");
        for name in cases::all().into_iter().filter(|name| Host::Filter.lacks(name).is_none()) {
            let before = world.emulator.counts().exchanges;
            let case = cases::start(name, directory.path(), &mint).await;
            let (_files, clusters, told) = through_clusters(&case).await;
            world.reload(|setup| {
                setup.sources = clusters;
                setup.plugin["credential"]["federation"]["identity_token"] = case.identity_token.clone();
                for (key, value) in told.as_object().expect("an object") {
                    setup.plugin[key] = value.clone();
                }
            });
            world.until(name, async || {
                world.caller.message().await.status == 200 && world.emulator.counts().exchanges > before
            })
            .await;
            for secret in &case.secrets {
                assert!(!world.envoy.log().contains(secret), "{name}");
            }
        }
    }
}

in_wasm_forms! {
    /// F9: where no cluster is said to lead, nothing goes.
    async fn an_origin_without_a_cluster_is_named(form: Form) {
        let directory = tempfile::tempdir().expect("a directory");
        let emulator = Emulator::start(Options::default()).await.expect("the options are good");
        let case = cases::start("google", directory.path(), &mint_of(&emulator)).await;
        let (identity_token, host) = (case.identity_token.clone(), case.servers[0].authority());
        let plan = Plan::new(form).plugin(move |plugin| {
            plugin["credential"]["federation"]["identity_token"] = identity_token;
            plugin["variables"] = json!({ "GCE_METADATA_HOST": host });
        });
        let Some(world) = plan.start().await else { return };
        let answer = world.caller.message().await;
        assert_eq!((answer.status, &*answer.failure_code()), (503, "denied-by-host"), "{answer:?}");
        world.envoy.until_logged("add it to `origins`").await;
        assert!(world.envoy.log().contains(&case.servers[0].url()), "the log names the origin");
        assert!(case.servers[0].seen().is_empty());
    }
}

in_forms! {
    [module = Module]
    /// The module reads variables and files, and sends requests, by itself.
    async fn every_source_of_the_table_gives_the_module_a_token(form: Form) {
        for name in cases::all().into_iter().filter(|name| Host::Module.lacks(name).is_none()) {
            let directory = tempfile::tempdir().expect("a directory");
            // Those that are given their identity token need one before the world begins.
            let early = Emulator::start(Options::default()).await.expect("the options are good");
            let case = cases::start(name, directory.path(), &mint_of(&early)).await;
            let environment = case.variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            let identity_token = case.identity_token.clone();
            let (base_url, options) = (early.base_url().to_owned(), early.options().clone());
            let plan = Plan::new(form).setup(move |setup| {
                setup.environment = environment;
                setup.api = base_url.trim_start_matches("http://").parse().expect("an address");
                setup.plugin["credential"]["base_url"] = json!(base_url);
                setup.plugin["credential"]["federation"] = json!({
                    "federation_rule_id": options.federation_rule_id,
                    "organization_id": options.organization_id,
                    "service_account_id": options.service_account_id,
                    "identity_token": identity_token,
                });
            });
            let Some(world) = plan.start().await else { return };
            let answer = world.caller.message().await;
            assert_eq!(answer.status, 200, "{name}: {answer:?}\n{}", world.envoy.log());
            assert_eq!(early.counts().exchanges, 1, "{name}");
            for secret in &case.secrets {
                assert!(!world.envoy.log().contains(secret), "{name}");
            }
        }
    }
}
