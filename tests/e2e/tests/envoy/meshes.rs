//! The documents for Istio and for Envoy Gateway: all of them against the schemas of their kinds, and in Envoy what they have it
//! do. What the meshes make of them is written here as these make it (Istio 1.29, Envoy Gateway 1.7); the meshes are not run.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use http_body_util::Full;
use serde_json::{Value, json};
use wif_emulator::Fault;
use wif_test_tools::node;

use crate::configurations::{Configuration, Surroundings, started};
use crate::harness::artifacts;
use crate::harness::bootstrap::{connection_manager, typed};
use crate::harness::client::{Caller, Http2, message_body, message_request, send, statuses};
use crate::harness::process::Envoy;

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

    /// A file of the product, as its documents.
    fn read(file: &str) -> Self {
        Self::of(&Configuration::read(file).text())
    }

    /// The documents of this kind.
    fn all(&self, kind: &str) -> Vec<&Value> {
        self.documents.iter().filter(|document| document["kind"] == kind).collect()
    }

    /// The only document of this kind.
    fn document(&self, kind: &str) -> &Value {
        let documents = self.all(kind);
        assert_eq!(documents.len(), 1, "of the kind {kind}");
        documents[0]
    }

    /// The document of this kind and name.
    fn named(&self, kind: &str, name: &str) -> &Value {
        let documents = self.all(kind);
        documents.into_iter().find(|document| document["metadata"]["name"] == name).unwrap_or_else(|| panic!("no {kind} {name}"))
    }
}

#[test]
fn the_documents_are_as_their_schemas_say() {
    for (file, kind) in [("istio.yaml", "WasmPlugin"), ("envoy-gateway.yaml", "EnvoyExtensionPolicy")] {
        let checked = Checked::read(file);
        assert_eq!(checked.errors, [""; 0], "{file}");
        checked.document(kind);
    }
}

#[test]
fn what_is_not_as_the_schemas_say_is_found() {
    let faults = [
        ("istio.yaml", "failStrategy: FAIL_RELOAD", "failStrategy: FAIL_NEVER", "failStrategy"),
        ("istio.yaml", "failStrategy:", "failStrategie:", "failStrategie"),
        ("istio.yaml", "  url: oci://", "  # url: oci://", "url"),
        ("istio.yaml", "applyTo: CLUSTER", "applyTo: CLUSTERS", "applyTo"),
        ("istio.yaml", "exportTo:", "exportsTo:", "exportsTo"),
        ("istio.yaml", "mode: ISTIO_MUTUAL", "mode: ISTIO", "mode"),
        ("istio.yaml", "targetPort: 443", "targetPort: https", "targetPort"),
        ("envoy-gateway.yaml", "rootID: wif", "rootId: wif", "rootId"),
        ("envoy-gateway.yaml", "type: Image", "type: Picture", "type"),
        ("envoy-gateway.yaml", "failOpen: false", "failOpen: never", "failOpen"),
        ("envoy-gateway.yaml", "op: add", "op: append", "op"),
        ("envoy-gateway.yaml", "jsonPath:", "jsonpath:", "jsonpath"),
        ("envoy-gateway.yaml", "streamIdleTimeout: 610s", "streamIdleTimeout: 610", "streamIdleTimeout"),
        ("envoy-gateway.yaml", "requestReceivedTimeout:", "requestTimeout:", "requestTimeout"),
    ];
    for (file, old, new, field) in faults {
        let checked = Checked::of(&Configuration::read(file).replace(old, new).text());
        assert!(checked.errors.iter().any(|error| error.contains(field)), "{new}: {:?}", checked.errors);
    }
}

/// What a file has Envoy do.
struct Given {
    /// The filter, in the listener's chain.
    filter: Value,
    /// What the listener's connection manager says besides.
    manager: Value,
    /// What the route to the API says besides.
    route: Value,
    /// The listener that gives the filter the identity token.
    listener: Value,
    /// The cluster by which the filter reaches it.
    cluster: Value,
    /// The name of the API's cluster.
    api: String,
}

impl Given {
    /// What Istio makes of its file.
    fn by_istio() -> Self {
        let checked = Checked::read("istio.yaml");
        let plugin = checked.document("WasmPlugin");
        let policy = match text(&plugin["spec"]["failStrategy"]) {
            "FAIL_RELOAD" => "FAIL_RELOAD",
            "FAIL_OPEN" => "FAIL_OPEN",
            _ => "FAIL_CLOSED",
        };
        let mut filter = wasm(&qualified(plugin, "."), &plugin["spec"]["pluginName"], &plugin["spec"]["pluginConfig"]);
        filter["typed_config"]["config"]["failure_policy"] = policy.into();
        let patches: Vec<&Value> =
            checked.all("EnvoyFilter").into_iter().flat_map(|filter| list(&filter["spec"]["configPatches"])).collect();
        let patch = |kind: &str| *patches.iter().find(|patch| patch["applyTo"] == kind).unwrap_or_else(|| panic!("no {kind}"));
        let mut manager = json!({ "stream_idle_timeout": "0s" });
        for (name, value) in patch("NETWORK_FILTER")["patch"]["value"]["typed_config"].as_object().expect("a mapping") {
            manager[name] = value.clone();
        }
        manager.as_object_mut().expect("a mapping").remove("@type");
        let route = &checked.named("VirtualService", "api-anthropic-com")["spec"]["http"][0];
        Self {
            filter,
            manager,
            route: json!({ "route": { "timeout": route["timeout"] } }),
            listener: patch("LISTENER")["patch"]["value"].clone(),
            cluster: patch("CLUSTER")["patch"]["value"].clone(),
            api: text(&plugin["spec"]["pluginConfig"]["clusters"][0]).to_owned(),
        }
    }

    /// What Envoy Gateway makes of its file.
    fn by_envoy_gateway() -> Self {
        let checked = Checked::read("envoy-gateway.yaml");
        let policy = checked.document("EnvoyExtensionPolicy");
        let plugin = &policy["spec"]["wasm"][0];
        let vm = format!("envoyextensionpolicy/{}/wasm/0", qualified(policy, "/"));
        let name = format!("envoy.filters.http.wasm/{vm}");
        let mut filter = wasm(&name, &plugin["rootID"], &plugin["config"]);
        // It is off for all routes, and then on for those of the policy.
        filter["disabled"] = true.into();
        let config = &mut filter["typed_config"]["config"];
        config["name"] = plugin["name"].clone();
        config["vm_config"]["vm_id"] = vm.into();
        config["fail_open"] = plugin["failOpen"].clone();
        let gateway = checked.document("Gateway");
        let patched = format!("{}/{}", qualified(gateway, "/"), text(&gateway["spec"]["listeners"][0]["name"]));
        let place = format!("..http_filters[?(@.name=='{name}')].typed_config.config");
        let mut added = Vec::new();
        for patch in list(&checked.document("EnvoyPatchPolicy")["spec"]["jsonPatches"]) {
            let operation = &patch["operation"];
            assert_eq!(operation["op"], "add");
            if operation["path"] == "" {
                added.push((text(&patch["type"]), operation["value"].clone()));
            } else {
                assert_eq!(patch["type"], "type.googleapis.com/envoy.config.listener.v3.Listener");
                assert_eq!((text(&patch["name"]), text(&operation["jsonPath"])), (&*patched, &*place));
                let field = text(&operation["path"]).strip_prefix('/').expect("a pointer");
                config[field] = operation["value"].clone();
            }
        }
        let mut take = |kind: &str| {
            let index = added.iter().position(|(found, _)| found.ends_with(kind)).unwrap_or_else(|| panic!("no {kind}"));
            added.swap_remove(index).1
        };
        let limits = &checked.document("ClientTrafficPolicy")["spec"]["timeout"]["http"];
        let limit = |value: &Value| format!("{}s", seconds(value));
        let route = &checked.document("HTTPRoute")["spec"]["rules"][0];
        let on = json!({ "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {} });
        Self {
            filter,
            manager: json!({
                "stream_idle_timeout": limit(&limits["streamIdleTimeout"]),
                "request_timeout": limit(&limits["requestReceivedTimeout"]),
            }),
            route: json!({
                "route": { "timeout": limit(&route["timeouts"]["request"]) },
                "typed_per_filter_config": { name: on },
            }),
            listener: take(".Listener"),
            cluster: take(".Cluster"),
            api: text(&plugin["config"]["clusters"][0]).to_owned(),
        }
    }

    /// An Envoy that does this, but with this filter, and with this in the place of the time after which an idle stream ends.
    async fn start(mut self, world: &Surroundings, code: &Path, idle: Option<&str>) -> Envoy {
        if let Some(idle) = idle {
            self.manager["stream_idle_timeout"] = idle.into();
        }
        let address = |address: &str, port: u16| json!({ "socket_address": { "address": address, "port_value": port } });
        let tls = json!({
            "sni": "api.anthropic.com",
            "common_tls_context": { "validation_context": { "trusted_ca": { "filename": world.path("authorities.pem") } } },
        });
        let kind = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
        self.route["match"] = json!({ "prefix": "/" });
        self.route["route"]["cluster"] = self.api.as_str().into();
        self.route["route"]["host_rewrite_literal"] = "api.anthropic.com".into();
        self.manager["stat_prefix"] = "api".into();
        self.manager["route_config"] = json!({ "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [self.route] }] });
        let router = typed("router", "envoy.extensions.filters.http.router.v3.Router", json!({}));
        self.manager["http_filters"] = json!([self.filter, router]);
        let chain = json!({ "filters": [connection_manager(&self.manager)] });
        let bootstrap = json!({
            "admin": { "address": address("127.0.0.1", 0) },
            "static_resources": {
                "listeners": [
                    self.listener,
                    { "name": "api", "address": address("127.0.0.1", 0), "filter_chains": [chain] },
                ],
                "clusters": [
                    self.cluster,
                    {
                        "name": self.api,
                        "type": "LOGICAL_DNS",
                        "load_assignment": {
                            "cluster_name": self.api,
                            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address("127.0.0.1", world.api_port()) } }] }],
                        },
                        "transport_socket": typed("tls", kind, tls),
                    },
                ],
            },
        });
        let configuration = Configuration::from(bootstrap.to_string())
            .replace("/etc/envoy/wif.wasm", &code.display().to_string())
            .replace("/var/run/secrets/anthropic.com", &world.token_directory())
            .replace("/var/run/wif/identity-token.sock", &world.path("identity.sock").display().to_string());
        started(world.envoy(&configuration).await)
    }
}

/// The filter, as both meshes make it.
fn wasm(name: &str, root: &Value, plugin: &Value) -> Value {
    let config = json!({
        "name": name,
        "root_id": root,
        "vm_config": { "runtime": "envoy.wasm.runtime.v8", "code": { "local": { "filename": "/etc/envoy/wif.wasm" } } },
        "configuration": { "@type": "type.googleapis.com/google.protobuf.StringValue", "value": plugin.to_string() },
    });
    typed(name, "envoy.extensions.filters.http.wasm.v3.Wasm", json!({ "config": config }))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not a string"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is not a list"))
}

/// A document's namespace and name.
fn qualified(document: &Value, between: &str) -> String {
    format!("{}{between}{}", text(&document["metadata"]["namespace"]), text(&document["metadata"]["name"]))
}

/// A time of one unit.
fn seconds(time: &Value) -> u64 {
    let time = text(time);
    let (number, unit) = time.split_at(time.len() - 1);
    let number: u64 = number.parse().unwrap_or_else(|_| panic!("{time} is not of one unit"));
    number
        * match unit {
            "h" => 3600,
            "m" => 60,
            "s" => 1,
            _ => panic!("the unit of {time} is not known"),
        }
}

/// C5: what waits in a VM that trapped ends, while a stream may pause for as long as the API thinks.
#[test]
fn the_documents_say_after_what_time_a_request_that_waits_is_ended() {
    for given in [Given::by_istio(), Given::by_envoy_gateway()] {
        let idle = seconds(&given.manager["stream_idle_timeout"]);
        assert!((601..=3600).contains(&idle), "{idle}");
        let received = seconds(&given.manager["request_timeout"]);
        assert!((1..=600).contains(&received), "{received}");
    }
    // By 0s, some versions of Envoy Gateway take the end of idle streams away again.
    let checked = Checked::read("envoy-gateway.yaml");
    assert_ne!(seconds(&checked.document("HTTPRoute")["spec"]["rules"][0]["timeouts"]["request"]), 0);
    let limits = &checked.document("ClientTrafficPolicy")["spec"]["targetRefs"][0];
    assert_eq!((&limits["kind"], &limits["name"]), (&json!("Gateway"), &checked.document("Gateway")["metadata"]["name"]));
}

/// C5, E9: neither closed for good nor open.
#[test]
fn the_documents_have_a_filter_loaded_anew_that_trapped() {
    for given in [Given::by_istio(), Given::by_envoy_gateway()] {
        let config = &given.filter["typed_config"]["config"];
        assert_eq!(config["failure_policy"], "FAIL_RELOAD", "{config}");
        assert_ne!(config["fail_open"], true);
    }
}

#[test]
fn the_documents_refer_to_the_image_by_its_digest() {
    let istio = Checked::read("istio.yaml");
    let gateway = Checked::read("envoy-gateway.yaml");
    let image = &gateway.document("EnvoyExtensionPolicy")["spec"]["wasm"][0]["code"]["image"]["url"];
    for url in [&istio.document("WasmPlugin")["spec"]["url"], image] {
        let (_, digits) = text(url).split_once("@sha256:").expect("it has a digest");
        assert!(digits.len() == 64 && digits.chars().all(|digit| matches!(digit, '0'..='9' | 'a'..='f')), "{digits}");
    }
}

#[test]
fn nothing_of_istio_is_exported_to_the_whole_mesh() {
    let checked = Checked::read("istio.yaml");
    for kind in ["ServiceEntry", "DestinationRule", "VirtualService"] {
        for document in checked.all(kind) {
            let namespaces = list(&document["spec"]["exportTo"]);
            assert!(!namespaces.is_empty() && namespaces.iter().all(|name| name != "*" && name != "~"), "{document}");
        }
    }
    for (kind, name) in [("DestinationRule", "api-anthropic-com"), ("VirtualService", "api-anthropic-com")] {
        assert_eq!(checked.named(kind, name)["spec"]["exportTo"], json!(["."]), "only the gateway speaks to the API");
    }
}

/// Each name in one document of Istio is what another one says.
#[test]
fn workloads_are_led_to_the_gateway_and_the_gateway_leads_to_the_api() {
    let checked = Checked::read("istio.yaml");
    let specification = |kind: &str, name: &str| &checked.named(kind, name)["spec"];
    let api = &specification("ServiceEntry", "api-anthropic-com")["hosts"][0];
    let port = &specification("ServiceEntry", "api-anthropic-com")["ports"][0];
    assert_eq!((&port["protocol"], &port["targetPort"]), (&json!("HTTP"), &json!(443)));
    let server = &specification("Gateway", "wif-egress")["servers"][0];
    assert_eq!((&server["hosts"], &server["tls"]["mode"]), (&json!([api]), &json!("ISTIO_MUTUAL")));

    let mesh = specification("VirtualService", "api-anthropic-com-by-the-gateway");
    assert_eq!((&mesh["gateways"], &mesh["hosts"]), (&json!(["mesh"]), &json!([api])));
    assert_eq!(mesh["http"][0]["match"], json!([{ "port": port["number"] }]));
    let to = &mesh["http"][0]["route"][0]["destination"];
    let rule = specification("DestinationRule", "wif-egress");
    assert_eq!((&to["host"], &to["subset"]), (&rule["host"], &rule["subsets"][0]["name"]));
    assert_eq!(to["port"], json!({ "number": server["port"]["number"] }));
    assert_eq!(rule["subsets"][0]["trafficPolicy"]["tls"], json!({ "mode": "ISTIO_MUTUAL", "sni": api }));
    assert_eq!((&mesh["exportTo"], &rule["exportTo"]), (&json!(["workloads"]), &json!(["workloads"])));

    let gateway = specification("VirtualService", "api-anthropic-com");
    assert_eq!((&gateway["gateways"], &gateway["hosts"]), (&json!(["wif-egress"]), &json!([api])));
    assert_eq!(gateway["http"][0]["match"], json!([{ "port": server["port"]["number"] }]));
    assert_eq!(gateway["http"][0]["route"], json!([{ "destination": { "host": api, "port": { "number": port["number"] } } }]));
    let rule = specification("DestinationRule", "api-anthropic-com");
    assert_eq!((&rule["host"], &rule["trafficPolicy"]["tls"]["mode"]), (api, &json!("SIMPLE")));

    let plugin = &checked.document("WasmPlugin")["spec"]["pluginConfig"];
    assert_eq!(plugin["clusters"], json!([format!("outbound|{}||{}", port["number"], text(api))]));
    let timeouts = &specification("EnvoyFilter", "wif-timeouts")["configPatches"][0];
    assert_eq!((&timeouts["match"]["listener"]["filterChain"]["sni"], &timeouts["patch"]["operation"]), (api, &json!("MERGE")));
}

#[test]
fn the_filter_on_a_route_of_envoy_gateway_serves_the_cluster_of_that_route() {
    let checked = Checked::read("envoy-gateway.yaml");
    let route = checked.document("HTTPRoute");
    assert_eq!(Given::by_envoy_gateway().api, format!("httproute/{}/rule/0", qualified(route, "/")));
    let target = &checked.document("EnvoyExtensionPolicy")["spec"]["targetRefs"][0];
    assert_eq!((&target["kind"], &target["name"]), (&json!("HTTPRoute"), &route["metadata"]["name"]));
}

/// All that a file promises of a request, and of one whose VM traps.
async fn serves(given: fn() -> Given) {
    let Some(world) = Surroundings::start().await else { return };
    let envoy = given().start(&world, &artifacts::filter(), None).await;
    let caller = Caller::new(envoy.address("api").await);
    assert_eq!(statuses(&caller.burst(20).await), [200; 20]);
    assert_eq!(world.emulator.counts().exchanges, 1);
    // Everything that the filter does, it is allowed to do. Later Envoys have another place for that list, and say so.
    let told = ["capability", "[error]", "[critical]"];
    let log = envoy.log();
    let mut lines = log.lines().filter(|line| !line.contains("Using deprecated option"));
    assert!(!lines.any(|line| told.iter().any(|word| line.contains(word))), "{log}");
}

/// A trap by the file's own failure policy, while another request waits in the same VM.
async fn recovers(given: fn() -> Given) {
    let Some(world) = Surroundings::start().await else { return };
    // The first exchange, which may begin before any request, spends the identity token and is answered too late.
    world.emulator.inject(Fault::Delay(Duration::from_secs(60)));
    let envoy = given().start(&world, &artifacts::crashing_filter(), Some("4s")).await;
    let gateway = envoy.address("api").await;
    let connection: Http2<Full<bytes::Bytes>> = Http2::connect(gateway).await;
    let message = || message_request(gateway).body(message_body()).expect("it is well-formed");
    let waits = {
        let (connection, message) = (connection.clone(), message());
        tokio::spawn(async move { connection.send(message).await })
    };
    until("the request waits", async || envoy.stat("^http\\.api\\.downstream_rq_active$").await == 1).await;
    until("the identity token is spent", async || world.emulator.exchanges_granted() == 1).await;
    let fatal = message_request(gateway).header("x-crash", "now").body(message_body()).expect("it is well-formed");
    assert!(connection.send(fatal).await.is_ok_and(|answer| answer.status == 503));
    let answer = waits.await.expect("no panic").expect("an answer");
    let limit = Duration::from_millis(3_500)..Duration::from_secs(20);
    assert!(matches!(answer.status, 408 | 503 | 504) && limit.contains(&answer.elapsed), "{answer:?}");

    world.emulator.identity_provider().rotate_files().expect("the directory is writable");
    let caller = Caller::new(gateway);
    until("all workers serve", async || statuses(&caller.burst(40).await) == [200; 40]).await;
    let exchanges = world.emulator.counts().exchanges;
    assert_eq!(send(caller.post("/v1/messages").header("x-crash", "now")).await.status, 503);
    until("all workers serve again", async || statuses(&caller.burst(40).await) == [200; 40]).await;
    assert_eq!(world.emulator.counts().exchanges, exchanges, "the token outlives the VM");
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(40);
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_documents_of_istio_have_envoy_do_works() {
    serves(Given::by_istio).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_documents_of_envoy_gateway_have_envoy_do_works() {
    serves(Given::by_envoy_gateway).await;
}

/// C5: the component stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_the_documents_of_istio_say_a_trap_passes_and_what_waited_in_it_is_ended() {
    recovers(Given::by_istio).await;
}

/// C5: the component stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_the_documents_of_envoy_gateway_say_a_trap_passes_and_what_waited_in_it_is_ended() {
    recovers(Given::by_envoy_gateway).await;
}
