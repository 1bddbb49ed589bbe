//! What the documents of proxies have beside the engine's.

use serde_json::{Map, Value};

/// What a service takes where its configuration leaves it open: a static credential in a variable that hides a federation is an
/// error there, for nobody reads a warning. `credential` is the engine's document.
pub fn of_a_service(credential: &mut Map<String, Value>) {
    if credential.contains_key("federation") || credential.contains_key("bearer") {
        return;
    }
    if let Value::Object(discover) = credential.entry("discover").or_insert_with(|| Value::Object(Map::new())) {
        discover.entry("shadowing").or_insert_with(|| "refuse".into());
    }
}

/// The clusters by which requests leave that carry the credential, as a proxy's configuration states them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clusters {
    /// These: each request is asked for its own.
    Named(Vec<String>),
    /// Whatever cluster a request goes to: whoever configured the proxy has seen to it that no others pass.
    All,
}

impl Clusters {
    /// Whether requests to this cluster carry the credential.
    #[must_use]
    pub fn lead_to_api(&self, cluster: &[u8]) -> bool {
        match self {
            Self::Named(names) => names.iter().any(|name| name.as_bytes() == cluster),
            Self::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_refuses_what_hides_a_federation_unless_it_is_told_otherwise() {
        for (given, expected) in [
            ("{}", r#"{"discover":{"shadowing":"refuse"}}"#),
            (r#"{"discover":{"profile":"p"}}"#, r#"{"discover":{"profile":"p","shadowing":"refuse"}}"#),
            (r#"{"discover":{"shadowing":"warn"}}"#, r#"{"discover":{"shadowing":"warn"}}"#),
            (r#"{"bearer":{}}"#, r#"{"bearer":{}}"#),
            (r#"{"federation":{}}"#, r#"{"federation":{}}"#),
            // What is wrong with it is said when a session is opened.
            (r#"{"discover":7}"#, r#"{"discover":7}"#),
        ] {
            let mut document: Map<String, Value> = serde_json::from_str(given).unwrap();
            of_a_service(&mut document);
            assert_eq!(Value::Object(document).to_string(), expected);
        }
    }

    #[test]
    fn requests_to_the_clusters_of_the_api_carry_the_credential_and_no_others() {
        let named = Clusters::Named(vec!["api".to_owned(), "api-2".to_owned()]);
        assert!(named.lead_to_api(b"api") && named.lead_to_api(b"api-2"));
        assert!(!named.lead_to_api(b"") && !named.lead_to_api(b"ap") && !named.lead_to_api(b"api-3"));
        assert!(Clusters::All.lead_to_api(b"anything"));
    }
}
