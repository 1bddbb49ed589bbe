//! The plugin's configuration: the credential's own document, and what only a proxy needs to know: which cluster leads where.

use std::collections::BTreeMap;

use serde_json::Value;
use wif_document::{Clusters, Fields, of_a_service};
use wif_engine::contract::{Capability, ConfigurationError};
use wif_engine::{Secret, origin_of};

/// Where the API is unless the document says otherwise.
const API: &str = "https://api.anthropic.com";

/// What is wrong with an exchange through the filter.
const WAITS_FOR_ITSELF: &str =
    "must be a cluster that is not in `clusters`: there the filter's own request would wait for the token that it is to bring";

/// Where a cluster for exchanges would have to be guessed.
const NOT_NAMED: &str = "is missing: where `clusters` names none, say by which cluster exchanges leave";

/// The plugin's configuration, checked.
#[derive(Debug)]
pub struct Settings {
    /// *Secret.* The credential's document, as the engine takes it.
    pub credential: Secret,
    /// Where the filter stands. The proxy does not tell.
    pub position: Position,
    /// The origin that the clusters lead to.
    pub origin: String,
    /// The clusters by which requests leave that carry the credential. Each leads to the origin, whatever a request says: a
    /// dynamic forward proxy does not belong here. Where they are all, no request is asked for its cluster.
    pub clusters: Clusters,
    /// The cluster by which exchanges leave. Not one of `clusters`, unless the filter stands downstream: there an exchange would
    /// pass the filter, which waits for it.
    pub token_endpoint: String,
    /// Files, by path: where their content is to be had.
    pub files: BTreeMap<String, Resource>,
    /// Callables for identity tokens, by name.
    pub callables: BTreeMap<String, Resource>,
    /// The clusters by which a source's own requests leave, by the origin that they go to.
    pub origins: BTreeMap<String, String>,
    /// Variables, by name.
    pub variables: BTreeMap<String, Secret>,
    /// How many requests wait for a token at once, in one worker.
    pub waiting_requests: usize,
    /// How long a request waits for a token, in milliseconds.
    pub waiting_at_most_ms: u64,
}

/// Where a filter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Among a listener's filters, before routing is done.
    Downstream,
    /// Among a cluster's filters, when a request has reached it.
    Upstream,
}

/// Something that is read with a GET through a cluster.
#[derive(Debug)]
pub struct Resource {
    /// The cluster.
    pub cluster: String,
    /// The scheme of the request, `http` or `https`: what it says, for whether there is TLS the cluster decides.
    pub scheme: &'static str,
    /// The authority of the request.
    pub authority: String,
    /// The path and query; `{audience}` stands for the percent-encoded audience.
    pub path: String,
    /// Header fields of the request. A value may be a secret.
    pub headers: Vec<(String, Secret)>,
    /// The member of a JSON answer that holds the content; without it the body is the content.
    pub member: Option<String>,
}

impl Settings {
    /// Reads the document.
    ///
    /// # Errors
    ///
    /// A field is missing, malformed or unknown; the error names it. What is wrong within `credential` the engine says when it
    /// opens a session.
    pub fn parse(document: &str) -> Result<Self, ConfigurationError> {
        let mut fields = Fields::read(document)?;
        let Some(Value::Object(mut credential)) = fields.take("credential") else {
            return Err(fields.error("credential", "is missing: the document that says how the workload is authenticated"));
        };
        of_a_service(&mut credential);
        let position = match fields.choice("position", &["downstream", "upstream"])? {
            Some(0) => Position::Downstream,
            Some(_) => Position::Upstream,
            None => {
                let message = "is missing: `downstream` among a listener's filters, `upstream` among a cluster's";
                return Err(fields.error("position", message));
            }
        };
        let origin = match (fields.origin("origin")?, credential.get("base_url").and_then(Value::as_str)) {
            (Some(origin), _) => origin,
            // What is wrong with it the engine says.
            (None, Some(base_url)) => origin_of(base_url).unwrap_or_default(),
            (None, None) => API.to_owned(),
        };
        let clusters = fields.clusters("clusters")?;
        let token_endpoint = match fields.object("token_endpoint")? {
            Some(mut endpoint) => {
                let cluster = endpoint.text("cluster")?;
                endpoint.finish()?;
                cluster
            }
            None => match (&clusters, position) {
                (Clusters::Named(names), Position::Downstream) => names[0].clone(),
                (Clusters::All, Position::Downstream) => return Err(fields.error("token_endpoint", NOT_NAMED)),
                (_, Position::Upstream) => return Err(fields.error("token_endpoint", WAITS_FOR_ITSELF)),
            },
        };
        let files = resources(&mut fields, "files")?;
        let callables = resources(&mut fields, "callables")?;
        let origins = origins(&mut fields)?;
        let variables = variables(&mut fields)?;
        let (mut waiting_requests, mut waiting_at_most_ms) = (1_000, 30_000);
        if let Some(mut waiting) = fields.object("waiting")? {
            waiting_requests = waiting.number("requests", waiting_requests, 1..=10_000)?;
            waiting_at_most_ms = waiting.number("at_most_ms", waiting_at_most_ms, 1..=300_000)?;
            waiting.finish()?;
        }
        if let (Position::Upstream, Clusters::Named(clusters)) = (position, &clusters) {
            let group = |name: &'static str, group: &BTreeMap<String, Resource>| {
                let cluster = |(key, resource): (&String, &Resource)| (format!("{name}.{key}"), resource.cluster.clone());
                group.iter().map(cluster).collect::<Vec<_>>()
            };
            let own = [("token_endpoint".to_owned(), token_endpoint.clone())];
            let sources = origins.iter().map(|(origin, cluster)| (format!("origins.{origin}"), cluster.clone()));
            let all = own.into_iter().chain(group("files", &files)).chain(group("callables", &callables)).chain(sources);
            for (name, cluster) in all {
                if clusters.contains(&cluster) {
                    return Err(fields.error(&format!("{name}.cluster"), WAITS_FOR_ITSELF));
                }
            }
        }
        fields.finish()?;
        Ok(Self {
            position,
            credential: Secret::from(Value::Object(credential).to_string()),
            origin,
            clusters,
            token_endpoint,
            files,
            callables,
            origins,
            variables,
            waiting_requests: waiting_requests as usize,
            waiting_at_most_ms: waiting_at_most_ms.into(),
        })
    }

    /// *Secret.* Where identity tokens come from, as a document.
    #[must_use]
    pub fn source(&self) -> Secret {
        let credential: Value = serde_json::from_str(self.credential.reveal()).unwrap_or_default();
        Secret::from(credential["federation"]["identity_token"].to_string())
    }

    /// What this driver can do for a session with this configuration.
    #[must_use]
    pub fn capabilities(&self) -> Vec<Capability> {
        let mut can = vec![Capability::Store, Capability::OwnersVanish];
        can.extend((!self.files.is_empty()).then_some(Capability::ReadFile));
        can.extend((!self.variables.is_empty()).then_some(Capability::ReadVariable));
        can.extend((!self.callables.is_empty()).then_some(Capability::SupplyAssertion));
        can
    }
}

fn resources(fields: &mut Fields, name: &'static str) -> Result<BTreeMap<String, Resource>, ConfigurationError> {
    // One by one: to collect them would bring a sort along, of 14 KiB.
    let mut resources = BTreeMap::new();
    for (key, value) in fields.entries(name)? {
        let resource = Resource::parse(&fields.name(name), &key, value)?;
        resources.insert(key, resource);
    }
    Ok(resources)
}

fn origins(fields: &mut Fields) -> Result<BTreeMap<String, String>, ConfigurationError> {
    let mut origins = BTreeMap::new();
    for (origin, value) in fields.entries("origins")? {
        let name = format!("origins.{origin}");
        let mut entry = Fields::of(&name, value)?;
        let cluster = entry.text("cluster")?;
        entry.finish()?;
        let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        if authority.is_none_or(|authority| authority.is_empty() || authority.contains(['/', '?', '#', '@'])) {
            return Err(fields.error(&name, "must be named by an origin, such as http://169.254.169.254"));
        }
        origins.insert(origin, cluster);
    }
    Ok(origins)
}

fn variables(fields: &mut Fields) -> Result<BTreeMap<String, Secret>, ConfigurationError> {
    let mut variables = BTreeMap::new();
    for (name, value) in fields.entries("variables")? {
        let Value::String(value) = value else {
            return Err(fields.error(&format!("variables.{name}"), "must be a string"));
        };
        variables.insert(name, Secret::from(value));
    }
    Ok(variables)
}

impl Resource {
    fn parse(group: &str, key: &str, value: Value) -> Result<Self, ConfigurationError> {
        let mut fields = Fields::of(&format!("{group}.{key}"), value)?;
        let cluster = fields.text("cluster")?;
        let scheme = ["http", "https"][fields.choice("scheme", &["http", "https"])?.unwrap_or(0)];
        let authority = fields.optional_text("authority")?.unwrap_or_else(|| cluster.clone());
        let path = fields.optional_text("path")?.unwrap_or_else(|| "/".to_owned());
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(fields.error("path", "must begin with / and be visible ASCII without spaces"));
        }
        let headers = fields.entries("headers")?.into_iter().map(|(name, value)| match value {
            Value::String(value) if is_field(&name, &value) => Ok((name.to_ascii_lowercase(), Secret::from(value))),
            _ => Err(fields.error(&format!("headers.{name}"), "must be a header's name and its value, as a string of one line")),
        });
        let headers = headers.collect::<Result<_, _>>()?;
        let member = fields.optional_text("member")?;
        fields.finish()?;
        Ok(Self { cluster, scheme, authority, path, headers, member })
    }
}

fn is_field(name: &str, value: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(token) && value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{
        "credential": { "federation": { "federation_rule_id": "fdrl_1" } },
        "position": "upstream",
        "clusters": ["api"],
        "token_endpoint": { "cluster": "exchanges" },
        "files": { "/token": { "cluster": "identity_token" } },
        "callables": { "default": { "cluster": "metadata", "path": "/identity?audience={audience}", "headers": { "Metadata-Flavor": "Google" } } },
        "waiting": { "requests": 10.0 }
    }"#;

    fn error_of(from: &str, to: &str) -> (String, String) {
        assert!(DOCUMENT.contains(from), "{from}");
        let error = Settings::parse(&DOCUMENT.replacen(from, to, 1)).unwrap_err();
        (error.field, error.message)
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let settings = Settings::parse(DOCUMENT).unwrap();
        assert_eq!(settings.origin, "https://api.anthropic.com");
        assert_eq!(settings.token_endpoint, "exchanges");
        assert_eq!((settings.waiting_requests, settings.waiting_at_most_ms), (10, 30_000));
        let file = &settings.files["/token"];
        assert_eq!((&*file.authority, &*file.path), ("identity_token", "/"));
        assert_eq!(settings.callables["default"].headers[0].0, "metadata-flavor");
    }

    /// Control planes send no literal text: what they make of numbers does not matter to the credential's document either.
    #[test]
    fn the_credentials_document_is_handed_on_as_it_is() {
        let settings =
            Settings::parse(&DOCUMENT.replace("{ \"federation\"", "{ \"exchange_timeout_ms\": 5000.0, \"federation\"")).unwrap();
        let credential: Value = serde_json::from_str(settings.credential.reveal()).unwrap();
        assert_eq!(credential["exchange_timeout_ms"], 5000.0);
    }

    #[test]
    fn the_api_is_where_the_credential_says_it_is() {
        let at = |base_url: &str, origin: &str| {
            let document = DOCUMENT.replace("{ \"federation\"", &format!("{{ \"base_url\": \"{base_url}\", \"federation\""));
            Settings::parse(&document.replace("\"clusters\"", &format!("{origin}\"clusters\""))).unwrap().origin
        };
        assert_eq!(at("https://gateway.example:8443/anthropic", ""), "https://gateway.example:8443");
        assert_eq!(at("https://gateway.example", "\"origin\": \"https://other.example\","), "https://other.example");
    }

    #[test]
    fn every_mistake_is_refused_by_its_name() {
        for (from, to, field) in [
            ("\"credential\"", "\"credentials\"", "credential"),
            ("[\"api\"]", "[]", "clusters"),
            ("[\"api\"]", "\"api\"", "clusters"),
            ("[\"api\"]", "[1]", "clusters"),
            ("[\"api\"]", "[\"\"]", "clusters"),
            ("[\"api\"]", "\"ALL\"", "clusters"),
            ("\"token_endpoint\": { \"cluster\": \"exchanges\" },", "", "token_endpoint"),
            ("\"clusters\"", "\"origin\": \"https://api.anthropic.com/v1\", \"clusters\"", "origin"),
            ("\"clusters\"", "\"origin\": \"api.anthropic.com\", \"clusters\"", "origin"),
            ("{ \"cluster\": \"exchanges\" }", "{}", "token_endpoint.cluster"),
            ("\"exchanges\"", "\"api\"", "token_endpoint.cluster"),
            ("{ \"cluster\": \"identity_token\" }", "{ \"cluster\": \"api\" }", "files./token.cluster"),
            ("{ \"cluster\": \"metadata\"", "{ \"cluster\": \"api\"", "callables.default.cluster"),
            ("\"upstream\"", "\"here\"", "position"),
            ("\"position\": \"upstream\",", "", "position"),
            ("\"path\": \"/identity", "\"scheme\": \"ftp\", \"path\": \"/identity", "callables.default.scheme"),
            ("{ \"cluster\": \"identity_token\" }", "{}", "files./token.cluster"),
            ("{ \"cluster\": \"identity_token\" }", "\"identity_token\"", "files./token"),
            ("\"/identity?", "\"identity?", "callables.default.path"),
            ("\"Google\"", "\"Goo\\ngle\"", "callables.default.headers.Metadata-Flavor"),
            ("10.0", "0", "waiting.requests"),
            ("\"requests\"", "\"request\"", "waiting.request"),
            ("\"files\"", "\"file\"", "file"),
            ("\"waiting\"", "\"origins\": { \"http://a\": { \"cluster\": \"api\" } }, \"waiting\"", "origins.http://a.cluster"),
            ("\"waiting\"", "\"origins\": { \"http://a/b\": { \"cluster\": \"m\" } }, \"waiting\"", "origins.http://a/b"),
            ("\"waiting\"", "\"origins\": { \"metadata\": { \"cluster\": \"m\" } }, \"waiting\"", "origins.metadata"),
            ("\"waiting\"", "\"origins\": { \"http://a\": {} }, \"waiting\"", "origins.http://a.cluster"),
            ("\"waiting\"", "\"variables\": { \"A\": 1 }, \"waiting\"", "variables.A"),
        ] {
            assert_eq!(error_of(from, to).0, field, "{to}");
        }
        assert!(error_of("\"files\"", "\"file\"").1.contains("`files`"));
    }

    /// Which cluster is the filter's own nobody knows then.
    #[test]
    fn without_names_of_clusters_the_one_for_exchanges_is_named() {
        let document = DOCUMENT.replace("[\"api\"]", "\"all\"");
        let settings = Settings::parse(&document.replace("\"metadata\"", "\"api\"")).unwrap();
        assert_eq!(settings.clusters, Clusters::All);
        assert!(settings.clusters.lead_to_api(b"whatever"));
        for position in ["upstream", "downstream"] {
            let document = document.replace("\"token_endpoint\": { \"cluster\": \"exchanges\" },", "");
            let error = Settings::parse(&document.replace("\"upstream\"", &format!("\"{position}\""))).unwrap_err();
            assert_eq!(error.field, "token_endpoint", "{position}");
        }
    }

    /// As an upstream filter it stands in the way of whatever goes to its clusters.
    #[test]
    fn only_a_downstream_filter_may_exchange_through_its_own_clusters() {
        let alone = DOCUMENT.replace("\"token_endpoint\": { \"cluster\": \"exchanges\" },", "");
        let error = Settings::parse(&alone).unwrap_err();
        assert_eq!(error.field, "token_endpoint");
        let downstream = alone.replace("\"upstream\"", "\"downstream\"");
        assert_eq!(Settings::parse(&downstream).unwrap().token_endpoint, "api");
    }
}
