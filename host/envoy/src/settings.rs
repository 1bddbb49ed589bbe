//! The module's configuration: the keys of the proxy-wasm filter that make sense here, with the same names and meanings.

use std::time::Duration;

use serde_json::Value;
use wif::Secret;
use wif_document::{Clusters, ConfigurationError, Fields, of_a_service, origin_of};

/// Where the API is unless the document says otherwise.
const API: &str = "https://api.anthropic.com";

/// What the filter in a sandbox must be told, and the module reaches by itself.
const OF_THE_FILTER: [&str; 6] = ["callables", "files", "origins", "position", "token_endpoint", "variables"];

/// The configuration, checked. What is wrong within `credential` the component says.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The component's own document.
    pub(crate) credential: Secret,
    /// Where the identity token comes from, as it stands in the document: a name for what was spent from there.
    pub(crate) source: Secret,
    /// The variable that the document reads, if it is not one that discovery may read anyway.
    pub(crate) variable: Option<String>,
    /// The origin that the clusters lead to.
    pub(crate) origin: String,
    /// Whether somebody wrote the origin down for this very proxy.
    pub(crate) origin_is_given: bool,
    /// The clusters by which requests leave that carry the credential.
    pub(crate) clusters: Clusters,
    /// How many requests wait for a token at once.
    pub(crate) waiting_requests: usize,
    /// How long a request waits for a token.
    pub(crate) waiting_at_most: Duration,
}

/// What Envoy's log says of it. Without a field the message is about the whole document.
pub(crate) fn words(error: &ConfigurationError) -> String {
    match error.field.as_str() {
        "" => format!("the module's configuration {}", error.message),
        field => format!("{field}: {}", error.message),
    }
}

impl Settings {
    /// Reads the document.
    ///
    /// # Errors
    ///
    /// A field is missing, malformed or unknown; the error names it.
    pub(crate) fn parse(document: &str) -> Result<Self, ConfigurationError> {
        let mut fields = match serde_json::from_str::<Value>(document) {
            Ok(value) => {
                if let Some(name) = OF_THE_FILTER.into_iter().find(|name| value.get(name).is_some()) {
                    let message = "is for the proxy-wasm filter: this module knows where it stands, reads files and variables, and sends exchanges, by itself";
                    return Err(ConfigurationError { field: name.to_owned(), message: message.to_owned() });
                }
                Fields::of("", value)?
            }
            // It says where.
            Err(_) => Fields::read(document)?,
        };
        let Some(Value::Object(mut credential)) = fields.take("credential") else {
            return Err(fields.error("credential", "is missing: the document that says how the workload is authenticated"));
        };
        of_a_service(&mut credential);
        let given = fields.origin("origin")?;
        let origin_is_given = given.is_some();
        let origin = match (given, credential.get("base_url").and_then(Value::as_str)) {
            (Some(origin), _) => origin,
            // What is wrong with it the component says.
            (None, Some(base_url)) => origin_of(base_url).unwrap_or_else(|_| API.to_owned()),
            (None, None) => API.to_owned(),
        };
        let clusters = fields.clusters("clusters")?;
        let (mut waiting_requests, mut waiting_at_most_ms) = (1_000, 30_000);
        if let Some(mut waiting) = fields.object("waiting")? {
            waiting_requests = waiting.number("requests", waiting_requests, 1..=10_000)?;
            waiting_at_most_ms = waiting.number("at_most_ms", waiting_at_most_ms, 1..=300_000)?;
            waiting.finish()?;
        }
        fields.finish()?;

        let source = credential.get("federation").and_then(|federation| federation.get("identity_token"));
        let variable = source.filter(|source| source["source"] == "variable").and_then(|source| source["name"].as_str());
        Ok(Self {
            // Without one it is whatever the document leads to.
            source: Secret::from(source.map_or_else(|| Value::Object(credential.clone()).to_string(), Value::to_string)),
            variable: variable.map(str::to_owned),
            credential: Secret::from(Value::Object(credential).to_string()),
            origin,
            origin_is_given,
            clusters,
            waiting_requests: waiting_requests as usize,
            waiting_at_most: Duration::from_millis(waiting_at_most_ms.into()),
        })
    }
}
