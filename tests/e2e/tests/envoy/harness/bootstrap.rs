//! What Envoy is told. Listener and cluster of the filter come from files that Envoy watches, so that they can be changed while
//! it runs.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::{Protocol, artifacts};

/// How the filter stands in Envoy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// The proxy-wasm filter, in the chain of the listener.
    Downstream,
    /// The proxy-wasm filter, in the chain of the cluster; the router sends a request again that was answered with 401.
    Upstream,
    /// The component in a dynamic module, in the chain of the listener.
    Module,
    /// The component in a dynamic module, in the chain of the cluster.
    ModuleUpstream,
}

impl Form {
    /// Whether it stands in the chain of the cluster.
    pub(crate) fn stands_upstream(self) -> bool {
        matches!(self, Self::Upstream | Self::ModuleUpstream)
    }

    /// Whether it is the dynamic module.
    pub(crate) fn is_module(self) -> bool {
        matches!(self, Self::Module | Self::ModuleUpstream)
    }

    /// Whether a 401 of the API is kept from callers.
    pub(crate) fn sends_again(self) -> bool {
        self.stands_upstream()
    }
}

/// Everything that tells one Envoy of this suite from another.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// `None`: no filter at all, to see that what tests look for can be seen.
    pub(crate) form: Option<Form>,
    /// The module or the file of the WebAssembly, for other than the product's.
    pub(crate) code: Option<std::path::PathBuf>,
    /// The plugin's configuration.
    pub(crate) plugin: Value,
    /// The directory that Envoy watches.
    pub(crate) directory: std::path::PathBuf,
    pub(crate) api: SocketAddr,
    pub(crate) api_protocol: Protocol,
    pub(crate) token_endpoint: SocketAddr,
    pub(crate) elsewhere: SocketAddr,
    /// A service that tells a workload who it is, as clouds have them.
    pub(crate) metadata: Option<SocketAddr>,
    /// More clusters, by name.
    pub(crate) sources: Vec<(String, SocketAddr)>,
    /// Envoy's own variables.
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) token_file: std::path::PathBuf,
    /// More HTTP filters of the listener, before ours.
    pub(crate) before: Vec<Value>,
    /// More routes, before those to the API and elsewhere.
    pub(crate) routes: Vec<Value>,
    /// More of what the route to the API says.
    pub(crate) api_route: Value,
    /// Whether the filter of a listener is off, and on for the route to the API alone.
    pub(crate) on_by_route: bool,
    /// All that the WebAssembly and Envoy may call of each other; `None`: everything.
    pub(crate) capabilities: Option<Vec<&'static str>>,
    /// When a stream on which nothing moves is ended.
    pub(crate) stream_idle_timeout: &'static str,
    /// When a request is ended that has not gone on its way as a whole.
    pub(crate) request_timeout: &'static str,
    /// The format of access log entries; `None`: Envoy's own.
    pub(crate) access_log: Option<String>,
}

/// The cluster that leads to the API.
pub(crate) const API: &str = "anthropic";

/// The listener that callers reach.
pub(crate) const GATEWAY: &str = "gateway";

impl Setup {
    /// The whole bootstrap.
    pub(crate) fn bootstrap(&self) -> String {
        let watched = |file: &str| {
            json!({
                "resource_api_version": "V3",
                "path_config_source": {
                    "path": self.directory.join(file),
                    "watched_directory": { "path": self.directory },
                },
            })
        };
        let mut clusters = vec![
            cluster("token_endpoint", &socket(self.token_endpoint)),
            cluster("elsewhere", &socket(self.elsewhere)),
            cluster("identity_token", &pipe(&self.identity_token_socket())),
        ];
        clusters.extend(self.metadata.map(|address| cluster("metadata", &socket(address))));
        json!({
            "node": { "id": "test", "cluster": "test" },
            "admin": { "address": socket("127.0.0.1:0".parse().expect("an address")) },
            "dynamic_resources": { "lds_config": watched("lds.json"), "cds_config": watched("cds.json") },
            "static_resources": {
                "listeners": [self.identity_token_listener()],
                "clusters": clusters,
            },
        })
        .to_string()
    }

    /// The document of listeners.
    pub(crate) fn listeners(&self) -> Value {
        resources("envoy.config.listener.v3.Listener", vec![self.listener()])
    }

    /// The document of clusters.
    pub(crate) fn clusters(&self) -> Value {
        let sources = self.sources.iter().map(|(name, address)| cluster(name, &socket(*address)));
        resources("envoy.config.cluster.v3.Cluster", std::iter::once(self.api_cluster()).chain(sources).collect())
    }

    fn listener(&self) -> Value {
        let mut filters = self.before.clone();
        if let Some(form) = self.form.filter(|form| !form.stands_upstream()) {
            let mut filter = self.filter(form);
            if self.on_by_route {
                filter["disabled"] = true.into();
            }
            filters.push(filter);
        }
        filters.push(typed("router", "envoy.extensions.filters.http.router.v3.Router", json!({})));
        let mut log = json!({ "path": self.directory.join("access.log") });
        if let Some(format) = &self.access_log {
            log["log_format"] = json!({ "text_format_source": { "inline_string": format } });
        }
        let mut api_route = json!({ "cluster": API, "timeout": "0s" });
        for (name, value) in self.api_route.as_object().into_iter().flatten() {
            api_route[name] = value.clone();
        }
        if self.form.is_some_and(Form::stands_upstream) {
            api_route["retry_policy"] =
                json!({ "retry_on": "retriable-status-codes", "retriable_status_codes": [401], "num_retries": 1 });
        }
        let mut routes = self.routes.clone();
        routes.push(json!({ "match": { "prefix": "/elsewhere" }, "route": { "cluster": "elsewhere", "timeout": "0s" } }));
        let mut to_the_api = json!({ "match": { "prefix": "/" }, "route": api_route });
        if self.on_by_route {
            let on = json!({ "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {} });
            to_the_api["typed_per_filter_config"] = json!({ "wif": on });
        }
        routes.push(to_the_api);
        let manager = json!({
            "stat_prefix": GATEWAY,
            "codec_type": "AUTO",
            "http_protocol_options": { "enable_trailers": true },
            "stream_idle_timeout": self.stream_idle_timeout,
            "request_timeout": self.request_timeout,
            "access_log": [typed("log", "envoy.extensions.access_loggers.file.v3.FileAccessLog", log)],
            "route_config": { "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": routes,
                "include_request_attempt_count": true,
            }] },
            "http_filters": filters,
        });
        json!({
            "name": GATEWAY,
            "address": socket("127.0.0.1:0".parse().expect("an address")),
            "filter_chains": [{ "filters": [connection_manager(&manager)] }],
        })
    }

    fn api_cluster(&self) -> Value {
        let mut api = cluster(API, &socket(self.api));
        let protocol = match self.api_protocol {
            Protocol::Http1 => json!({ "http_protocol_options": { "enable_trailers": true } }),
            Protocol::Http2 => json!({ "http2_protocol_options": {} }),
        };
        let mut options = json!({
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": protocol,
        });
        if let Some(form) = self.form.filter(|form| form.stands_upstream()) {
            // Without this Envoy runs three of a cluster's retries at a time, and every request that met a revoked token is one.
            api["circuit_breakers"] = json!({ "thresholds": [{ "max_retries": 1024 }] });
            let codec = typed("codec", "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec", json!({}));
            options["http_filters"] = json!([self.filter(form), codec]);
        }
        api["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options });
        api
    }

    fn filter(&self, form: Form) -> Value {
        match form {
            Form::Downstream | Form::Upstream => {
                let mut filter = wasm("wif", self.code.as_deref().unwrap_or(&artifacts::filter()), "wif-test", &self.plugin);
                if let Some(names) = &self.capabilities {
                    let names: serde_json::Map<String, Value> =
                        names.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
                    let restriction = json!({ "allowed_capabilities": names });
                    filter["typed_config"]["config"]["capability_restriction_config"] = restriction;
                }
                filter
            }
            Form::Module | Form::ModuleUpstream => {
                let module = json!({
                    "dynamic_module_config": { "name": "wif_envoy" },
                    "filter_name": "wif",
                    "filter_config": string(&self.plugin),
                });
                typed("wif", "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter", module)
            }
        }
    }

    fn identity_token_socket(&self) -> std::path::PathBuf {
        self.directory.join("identity.sock")
    }

    fn identity_token_listener(&self) -> Value {
        let directory = self.token_file.parent().expect("the file is in a directory");
        let content = format!("%FILE_CONTENT({}:{})%", self.token_file.display(), directory.display());
        let formatter =
            typed("envoy.formatter.file_content", "envoy.extensions.formatter.file_content.v3.FileContent", json!({}));
        let body = json!({ "text_format_source": { "inline_string": content }, "formatters": [formatter] });
        let manager = json!({
            "stat_prefix": "identity_token",
            "route_config": { "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{ "match": { "path": "/" }, "direct_response": { "status": 200, "body_format": body } }],
            }] },
            "http_filters": [typed("router", "envoy.extensions.filters.http.router.v3.Router", json!({}))],
        });
        json!({
            "name": "identity_token",
            "address": { "pipe": { "path": self.identity_token_socket(), "mode": 0o600 } },
            "filter_chains": [{ "filters": [connection_manager(&manager)] }],
        })
    }
}

/// A filter of WebAssembly.
pub(crate) fn wasm(name: &str, code: &Path, vm_id: &str, configuration: &Value) -> Value {
    let config = json!({
        "name": name,
        "root_id": name,
        "failure_policy": "FAIL_RELOAD",
        "vm_config": {
            "vm_id": vm_id,
            "runtime": "envoy.wasm.runtime.v8",
            "code": { "local": { "filename": code } },
        },
        "configuration": string(configuration),
    });
    typed(name, "envoy.extensions.filters.http.wasm.v3.Wasm", json!({ "config": config }))
}

/// An extension's name and its configuration, of this type.
pub(crate) fn typed(name: &str, kind: &str, mut configuration: Value) -> Value {
    configuration["@type"] = format!("type.googleapis.com/{kind}").into();
    json!({ "name": name, "typed_config": configuration })
}

fn string(document: &Value) -> Value {
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": document.to_string() })
}

/// The filter of a listener that speaks HTTP.
pub(crate) fn connection_manager(configuration: &Value) -> Value {
    let kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    typed("http_connection_manager", kind, configuration.clone())
}

fn cluster(name: &str, address: &Value) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
}

fn pipe(path: &Path) -> Value {
    json!({ "pipe": { "path": path } })
}

fn resources(kind: &str, mut resources: Vec<Value>) -> Value {
    for resource in &mut resources {
        resource["@type"] = format!("type.googleapis.com/{kind}").into();
    }
    json!({ "resources": resources })
}
