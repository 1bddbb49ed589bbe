//! The documents for Istio and for Envoy Gateway: against the schemas of their kinds, and what they give to Envoy in Envoy.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use wif_test_tools::node;

use crate::configurations::{Configuration, Surroundings, started};
use crate::harness::artifacts;
use crate::harness::bootstrap::{connection_manager, typed, wasm};
use crate::harness::client::{Caller, statuses};

/// What the checker says of a file.
struct Checked {
    documents: Vec<Value>,
    errors: Vec<String>,
}

impl Checked {
    /// Asks the schemas.
    fn of(text: &str) -> Self {
        let folder = node(&artifacts::here().join("schemas")).unwrap_or_else(|missing| panic!("{missing}"));
        let mut node = Command::new("node");
        node.args(["--input-type=module", "--eval", include_str!("schemas/check.mjs")]).current_dir(folder);
        let mut process = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        process.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
        let output = process.wait_with_output().expect("it ends");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("it answers JSON");
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        let errors = list("errors").iter().map(|error| error.as_str().unwrap_or_default().to_owned()).collect();
        Self { documents: list("documents"), errors }
    }

    /// The only document of this kind.
    fn document(&self, kind: &str) -> &Value {
        let mut documents = self.documents.iter().filter(|document| document["kind"] == kind);
        let document = documents.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(documents.next().is_none(), "more than one {kind}");
        document
    }
}

#[test]
fn the_documents_are_as_their_schemas_say() {
    for (file, kinds) in [("istio.yaml", &["WasmPlugin", "EnvoyFilter"][..]), ("envoy-gateway.yaml", &["EnvoyExtensionPolicy"])] {
        let checked = Checked::of(&Configuration::read(file).text());
        assert_eq!(checked.errors, [""; 0], "{file}");
        for kind in kinds {
            checked.document(kind);
        }
    }
}

#[test]
fn what_is_not_as_the_schemas_say_is_found() {
    let faults = [
        ("istio.yaml", "failStrategy: FAIL_RELOAD", "failStrategy: FAIL_NEVER", "failStrategy"),
        ("istio.yaml", "failStrategy:", "failStrategie:", "failStrategie"),
        ("istio.yaml", "  url: oci://registry.example/wif-proxy-wasm:0.1.0\n", "", "url"),
        ("istio.yaml", "applyTo: CLUSTER", "applyTo: CLUSTERS", "applyTo"),
        ("envoy-gateway.yaml", "rootID: wif", "rootId: wif", "rootId"),
        ("envoy-gateway.yaml", "type: Image", "type: Picture", "type"),
        ("envoy-gateway.yaml", "failOpen: false", "failOpen: never", "failOpen"),
        ("envoy-gateway.yaml", "op: add", "op: append", "op"),
    ];
    for (file, old, new, field) in faults {
        let checked = Checked::of(&Configuration::read(file).replace(old, new).text());
        assert!(checked.errors.iter().any(|error| error.contains(field)), "{new}: {:?}", checked.errors);
    }
}

/// What a document has Envoy do, in an Envoy.
async fn serves(world: &Surroundings, plugin: &Value, listener: &Value, cluster: &Value) {
    let api = plugin["clusters"][0].as_str().expect("a name");
    let address = |address: &str, port: u16| json!({ "socket_address": { "address": address, "port_value": port } });
    let tls = json!({
        "sni": "api.anthropic.com",
        "common_tls_context": { "validation_context": { "trusted_ca": { "filename": "/etc/ssl/certs/ca-certificates.crt" } } },
    });
    let kind = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    let route = json!({ "cluster": api, "host_rewrite_literal": "api.anthropic.com", "timeout": "0s" });
    let router = typed("router", "envoy.extensions.filters.http.router.v3.Router", json!({}));
    let manager = connection_manager(&json!({
        "stat_prefix": "api",
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [{ "match": { "prefix": "/" }, "route": route }] }] },
        "http_filters": [wasm("wif", std::path::Path::new("/etc/envoy/wif.wasm"), "wif", plugin), router],
    }));
    let bootstrap = json!({
        "admin": { "address": address("127.0.0.1", 0) },
        "static_resources": {
            "listeners": [
                listener,
                { "name": "api", "address": address("127.0.0.1", 0), "filter_chains": [{ "filters": [manager] }] },
            ],
            "clusters": [
                cluster,
                {
                    "name": api,
                    "type": "LOGICAL_DNS",
                    "load_assignment": {
                        "cluster_name": api,
                        "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address("127.0.0.1", world.api_port()) } }] }],
                    },
                    "transport_socket": typed("tls", kind, tls),
                },
            ],
        },
    });
    let configuration = Configuration::from(bootstrap.to_string())
        .replace("/etc/ssl/certs/ca-certificates.crt", &world.path("authorities.pem").display().to_string())
        .replace("/var/run/secrets/anthropic.com", &world.token_directory())
        .replace("/var/run/wif/identity-token.sock", &world.path("identity.sock").display().to_string());
    let envoy = started(world.envoy(&Surroundings::with_filter(configuration)).await);
    let caller = Caller::new(envoy.address("api").await);
    assert_eq!(statuses(&caller.burst(20).await), [200; 20]);
    assert_eq!(world.emulator.counts().exchanges, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_documents_of_istio_have_envoy_do_works() {
    let Some(world) = Surroundings::start().await else { return };
    let checked = Checked::of(&Configuration::read("istio.yaml").text());
    let patches = checked.document("EnvoyFilter")["spec"]["configPatches"].as_array().expect("a list").clone();
    let value = |kind: &str| {
        let patch = patches.iter().find(|patch| patch["applyTo"] == kind);
        patch.unwrap_or_else(|| panic!("no {kind}"))["patch"]["value"].clone()
    };
    let plugin = &checked.document("WasmPlugin")["spec"]["pluginConfig"];
    serves(&world, plugin, &value("LISTENER"), &value("CLUSTER")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_documents_of_envoy_gateway_have_envoy_do_works() {
    let Some(world) = Surroundings::start().await else { return };
    let checked = Checked::of(&Configuration::read("envoy-gateway.yaml").text());
    let patches = checked.document("EnvoyPatchPolicy")["spec"]["jsonPatches"].as_array().expect("a list").clone();
    let value = |kind: &str| {
        let patch = patches.iter().find(|patch| patch["type"].as_str().is_some_and(|found| found.ends_with(kind)));
        patch.unwrap_or_else(|| panic!("no {kind}"))["operation"]["value"].clone()
    };
    let plugin = &checked.document("EnvoyExtensionPolicy")["spec"]["wasm"][0]["config"];
    serves(&world, plugin, &value(".Listener"), &value(".Cluster")).await;
}
