//! What Envoy is told: a listener for each variant, and everything to the same upstream.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use wif_proxy_wasm_image::{CALLBACKS, HOST_FUNCTIONS};

use super::traffic::STATIC_TOKEN;

/// What the filter needs that sets a header and does nothing else.
const OF_THE_STATIC_FILTER: [&str; 6] = [
    "proxy_get_buffer_bytes",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_request_headers",
    "proxy_replace_header_map_value",
];

/// Where things are.
pub(super) struct Places {
    /// The upstream.
    pub(super) api: SocketAddr,
    /// The token endpoint of this project's filters.
    pub(super) token_endpoint: SocketAddr,
    /// The token endpoint of Envoy's own filter.
    pub(super) client_credentials: SocketAddr,
    /// A server that Envoy asks by HTTP, and one that it asks by gRPC.
    pub(super) authorizer: SocketAddr,
    pub(super) processor: SocketAddr,
    /// The filter that only sets a header.
    pub(super) static_filter: PathBuf,
    /// This project's filter.
    pub(super) filter: PathBuf,
    /// Another build of it.
    pub(super) other_filter: Option<PathBuf>,
    /// The credential's document, with which both of this project's filters exchange.
    pub(super) credential: Value,
}

/// What stands in the way of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Nothing,
    HeaderMutation,
    InjectorGeneric,
    InjectorOauth2,
    StaticFilter,
    StaticFilterLean,
    StaticFilterUpstream,
    Filter,
    FilterNamed,
    FilterUpstream,
    FilterUpstreamNamed,
    Module,
    ModuleNamed,
    ExtAuthz,
    ExtProc,
    OtherFilter,
    OtherFilterUpstream,
}

impl Variant {
    /// In the order of the table.
    pub(super) const ALL: [Self; 17] = [
        Self::Nothing,
        Self::HeaderMutation,
        Self::InjectorGeneric,
        Self::InjectorOauth2,
        Self::StaticFilter,
        Self::StaticFilterLean,
        Self::StaticFilterUpstream,
        Self::Filter,
        Self::FilterNamed,
        Self::FilterUpstream,
        Self::FilterUpstreamNamed,
        Self::Module,
        Self::ModuleNamed,
        Self::ExtAuthz,
        Self::ExtProc,
        Self::OtherFilter,
        Self::OtherFilterUpstream,
    ];

    /// For programs.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::HeaderMutation => "header_mutation",
            Self::InjectorGeneric => "injector_generic",
            Self::InjectorOauth2 => "injector_oauth2",
            Self::StaticFilter => "static_filter",
            Self::StaticFilterLean => "static_filter_lean",
            Self::StaticFilterUpstream => "static_filter_upstream",
            Self::Filter => "filter",
            Self::FilterNamed => "filter_named",
            Self::FilterUpstream => "filter_upstream",
            Self::FilterUpstreamNamed => "filter_upstream_named",
            Self::Module => "module",
            Self::ModuleNamed => "module_named",
            Self::ExtAuthz => "ext_authz",
            Self::ExtProc => "ext_proc",
            Self::OtherFilter => "other_filter",
            Self::OtherFilterUpstream => "other_filter_upstream",
        }
    }

    /// For people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no filter",
            Self::HeaderMutation => "`header_mutation`, a static header",
            Self::InjectorGeneric => "`credential_injector`, a static token",
            Self::InjectorOauth2 => "`credential_injector` with its OAuth2 source",
            Self::StaticFilter => "a WebAssembly filter that only sets a static header",
            Self::StaticFilterLean => "the same, entered for nothing else",
            Self::StaticFilterUpstream => "the same as an upstream filter",
            Self::Filter => "this filter",
            Self::FilterNamed => "this filter, which asks each request for its cluster",
            Self::FilterUpstream => "this filter as an upstream filter",
            Self::FilterUpstreamNamed => "this filter as an upstream filter, which asks each request for its cluster",
            Self::Module => "the dynamic module",
            Self::ModuleNamed => "the dynamic module, which asks each request for its cluster",
            Self::ExtAuthz => "`ext_authz`, a process that sets a header, by HTTP",
            Self::ExtProc => "`ext_proc`, a process that sets a header, by gRPC",
            Self::OtherFilter => "another build of this filter",
            Self::OtherFilterUpstream => "another build of this filter as an upstream filter",
        }
    }

    fn is_upstream(self) -> bool {
        use Variant::{FilterUpstream, FilterUpstreamNamed, OtherFilterUpstream, StaticFilterUpstream};
        matches!(self, StaticFilterUpstream | FilterUpstream | FilterUpstreamNamed | OtherFilterUpstream)
    }

    /// Whether it is the dynamic module.
    pub(super) fn is_module(self) -> bool {
        matches!(self, Self::Module | Self::ModuleNamed)
    }

    /// Whether it is another build.
    pub(super) fn is_other(self) -> bool {
        matches!(self, Self::OtherFilter | Self::OtherFilterUpstream)
    }

    /// Whether another process is asked for each request.
    pub(super) fn asks(self) -> bool {
        matches!(self, Self::ExtAuthz | Self::ExtProc)
    }

    /// Whether it asks requests for their cluster. One of a listener's that does not is on for its route alone.
    fn asks_for_the_cluster(self) -> bool {
        matches!(self, Self::FilterNamed | Self::FilterUpstreamNamed | Self::ModuleNamed)
    }

    fn is_on_by_route(self) -> bool {
        matches!(self, Self::Filter | Self::Module | Self::OtherFilter)
    }

    fn clusters(self) -> Value {
        if self.asks_for_the_cluster() { json!([self.cluster()]) } else { json!("all") }
    }

    /// The cluster that requests leave by. Upstream filters belong to a cluster, so they have one of their own.
    fn cluster(self) -> &'static str {
        if self.is_upstream() { self.id() } else { "anthropic" }
    }

    fn filter(self, places: &Places) -> Option<Value> {
        let authorization = format!("Bearer {STATIC_TOKEN}");
        Some(match self {
            Self::Nothing => return None,
            Self::HeaderMutation => {
                let header = json!({ "key": "authorization", "value": authorization });
                let mutation = json!({ "append": { "header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" } });
                let mutations = json!({ "mutations": { "request_mutations": [mutation] } });
                typed("mutation", "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation", mutations)
            }
            Self::InjectorGeneric => {
                let generic = json!({ "credential": { "name": "token" }, "header_value_prefix": "Bearer " });
                injector("generic", "generic.v3.Generic", generic)
            }
            Self::InjectorOauth2 => {
                let uri = format!("http://{}/token", places.client_credentials);
                let oauth2 = json!({
                    "token_endpoint": { "uri": uri, "cluster": "client_credentials", "timeout": "5s" },
                    "client_credentials": { "client_id": "client", "client_secret": { "name": "secret" } },
                });
                injector("oauth2", "oauth2.v3.OAuth2", oauth2)
            }
            Self::StaticFilter | Self::StaticFilterUpstream => wasm(self.id(), &places.static_filter, &[], &authorization),
            Self::StaticFilterLean => wasm(self.id(), &places.static_filter, &OF_THE_STATIC_FILTER, &authorization),
            Self::Filter
            | Self::FilterNamed
            | Self::FilterUpstream
            | Self::FilterUpstreamNamed
            | Self::OtherFilter
            | Self::OtherFilterUpstream => {
                let code = if self.is_other() { places.other_filter.as_ref()? } else { &places.filter };
                let configuration = json!({
                    "credential": places.credential,
                    "position": if self.is_upstream() { "upstream" } else { "downstream" },
                    "clusters": self.clusters(),
                    "token_endpoint": { "cluster": "token_endpoint" },
                });
                let capabilities: Vec<&str> = CALLBACKS.into_iter().chain(HOST_FUNCTIONS).collect();
                wasm(self.id(), code, &capabilities, &configuration.to_string())
            }
            Self::Module | Self::ModuleNamed => {
                let configuration = json!({ "credential": places.credential, "clusters": self.clusters() });
                let module = json!({
                    "dynamic_module_config": { "name": "wif_envoy" },
                    "filter_name": "wif",
                    "filter_config": string(&configuration.to_string()),
                });
                typed(self.id(), "envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter", module)
            }
            Self::ExtAuthz => {
                let uri = format!("http://{}", places.authorizer);
                let service = json!({
                    "server_uri": { "uri": uri, "cluster": "authorizer", "timeout": "5s" },
                    "authorization_response": { "allowed_upstream_headers": { "patterns": [{ "exact": "authorization" }] } },
                });
                let configuration = json!({ "transport_api_version": "V3", "http_service": service });
                typed(self.id(), "envoy.extensions.filters.http.ext_authz.v3.ExtAuthz", configuration)
            }
            Self::ExtProc => {
                let configuration = json!({
                    "grpc_service": { "envoy_grpc": { "cluster_name": "processor" }, "timeout": "5s" },
                    "message_timeout": "5s",
                    "processing_mode": { "request_header_mode": "SEND", "response_header_mode": "SKIP" },
                });
                typed(self.id(), "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor", configuration)
            }
        })
    }

    fn listener(self, places: &Places) -> Value {
        let mut filters: Vec<Value> = if self.is_upstream() { Vec::new() } else { self.filter(places).into_iter().collect() };
        let mut route = json!({ "match": { "prefix": "/" }, "route": { "cluster": self.cluster(), "timeout": "0s" } });
        if self.is_on_by_route() {
            filters.iter_mut().for_each(|filter| filter["disabled"] = true.into());
            let on = json!({ "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {} });
            route["typed_per_filter_config"] = json!({ self.id(): on });
        }
        filters.push(typed("router", "envoy.extensions.filters.http.router.v3.Router", json!({})));
        let manager = json!({
            "stat_prefix": self.id(),
            "codec_type": "HTTP1",
            "route_config": { "virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [route],
            }] },
            "http_filters": filters,
        });
        let kind = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
        json!({
            "name": self.id(),
            "address": socket("127.0.0.1:0".parse().expect("an address")),
            "filter_chains": [{ "filters": [typed("http_connection_manager", kind, manager)] }],
        })
    }

    fn upstream_cluster(self, places: &Places) -> Option<Value> {
        let filter = self.filter(places).filter(|_| self.is_upstream())?;
        let mut cluster = cluster(self.id(), places.api);
        let codec = typed("codec", "envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec", json!({}));
        cluster["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http_protocol_options": {} },
            "http_filters": [filter, codec],
        } });
        Some(cluster)
    }
}

/// The bootstrap of an Envoy with these variants.
pub(super) fn bootstrap(variants: &[Variant], places: &Places) -> Value {
    let mut clusters = vec![
        cluster("anthropic", places.api),
        cluster("token_endpoint", places.token_endpoint),
        cluster("client_credentials", places.client_credentials),
    ];
    clusters.extend(variants.iter().filter_map(|variant| variant.upstream_cluster(places)));
    clusters.push(cluster("authorizer", places.authorizer));
    let mut processor = cluster("processor", places.processor);
    processor["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} },
    } });
    clusters.push(processor);
    let secret = |name: &str, text: &str| json!({ "name": name, "generic_secret": { "secret": { "inline_string": text } } });
    json!({
        "node": { "id": "bench", "cluster": "bench" },
        "admin": { "address": socket("127.0.0.1:0".parse().expect("an address")) },
        "static_resources": {
            "listeners": variants.iter().map(|variant| variant.listener(places)).collect::<Vec<_>>(),
            "clusters": clusters,
            "secrets": [secret("token", STATIC_TOKEN), secret("secret", "of no use")],
        },
    })
}

fn injector(name: &str, kind: &str, source: Value) -> Value {
    let source = typed(
        &format!("envoy.http.injected_credentials.{name}"),
        &format!("envoy.extensions.http.injected_credentials.{kind}"),
        source,
    );
    let configuration = json!({ "overwrite": true, "credential": source });
    typed("injector", "envoy.extensions.filters.http.credential_injector.v3.CredentialInjector", configuration)
}

/// A filter of WebAssembly. `capabilities`: all that it may do, and be entered for; everything, where there are none.
fn wasm(id: &str, code: &Path, capabilities: &[&str], configuration: &str) -> Value {
    let allowed: Map<String, Value> = capabilities.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    let config = json!({
        "name": id,
        "root_id": "wif",
        "failure_policy": "FAIL_RELOAD",
        "vm_config": {
            "vm_id": id,
            "runtime": "envoy.wasm.runtime.v8",
            "code": { "local": { "filename": code } },
            "capability_restriction_config": { "allowed_capabilities": allowed },
        },
        "configuration": string(configuration),
    });
    typed(id, "envoy.extensions.filters.http.wasm.v3.Wasm", json!({ "config": config }))
}

/// An extension's name and its configuration, of this type.
fn typed(name: &str, kind: &str, mut configuration: Value) -> Value {
    configuration["@type"] = format!("type.googleapis.com/{kind}").into();
    json!({ "name": name, "typed_config": configuration })
}

fn string(text: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": text })
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket(address) } }] }],
        },
    })
}

fn socket(address: SocketAddr) -> Value {
    json!({ "socket_address": { "address": address.ip(), "port_value": address.port() } })
}
