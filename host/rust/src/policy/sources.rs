//! What the configured source of identity tokens may ask for: what its recipe names, and nothing else.
//!
//! The recipe is read here, and not by the component: it says which variables, files and requests there are. What only an answer
//! can tell (a role's name, a token) is taken as it comes, but never for the server that a request goes to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::{Value, json};
use url::{Host, Url};
use wif_recipes::{Action, Part, Recipe, Request, Step, Template};

use super::Reach;
use crate::environment::variable;

/// Stands in a text for what nobody knows before an answer.
const ANY: &str = "any0thing0";

/// More readings of one value than a recipe can mean.
const MAX_READINGS: usize = 32;

/// The one name behind which a metadata service answers by plain HTTP.
const METADATA_HOST: &str = "metadata.google.internal";

/// A source that the configuration names.
pub(crate) struct Source {
    recipe: Recipe,
    given: BTreeMap<String, String>,
    /// It was found by its variables.
    auto: bool,
}

/// The way that a request takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Way {
    /// Where the host's name may lead.
    pub(crate) reach: Reach,
    /// The certificates that the server's must lead to, in place of the platform's.
    pub(crate) ca_file: Option<PathBuf>,
}

type Readings = BTreeMap<String, Vec<String>>;

impl Source {
    /// Those whose variables are set, where discovery looks for the platform: the variables of a federation lack the identity token alone.
    pub(crate) fn discovered() -> Vec<Self> {
        let is_set = |name: &&str| variable(name).is_some_and(|value| !value.trim().is_empty());
        let ids = ["ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_ORGANIZATION_ID"];
        let tokens = ["ANTHROPIC_IDENTITY_TOKEN_FILE", "ANTHROPIC_IDENTITY_TOKEN"];
        let lacking = ids.iter().all(is_set) && !tokens.iter().any(is_set);
        if lacking { Self::named_by(&json!({ "source": "auto" })) } else { Vec::new() }
    }

    /// Those that `identity_token` of a configuration names: none, one, or with `auto` those whose variables are set.
    pub(crate) fn named_by(identity_token: &Value) -> Vec<Self> {
        let given = |skip: &[&str]| -> BTreeMap<String, String> {
            let members = identity_token.as_object().into_iter().flatten();
            let texts = members.filter(|(name, _)| !skip.contains(&name.as_str()));
            texts.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
        };
        match identity_token["source"].as_str() {
            Some("http") => {
                let Ok(mut recipe) = Recipe::parse(&identity_token["recipe"]) else { return Vec::new() };
                // Whatever it calls itself: it must not pass for a platform.
                "http".clone_into(&mut recipe.name);
                vec![Self { recipe, given: given(&["source", "recipe"]), auto: false }]
            }
            Some("auto") => {
                let set = |name: &String| variable(name).is_some_and(|value| !value.trim().is_empty());
                let found = |recipe: &Recipe| recipe.detected_by.iter().any(|names| names.iter().all(set));
                let platforms = wif_recipes::platforms().filter(found);
                platforms.map(|recipe| Self { recipe, given: given(&["source"]), auto: true }).collect()
            }
            Some(name) => {
                let recipe = wif_recipes::platform(name);
                recipe.map(|recipe| Self { recipe, given: given(&["source"]), auto: false }).into_iter().collect()
            }
            None => Vec::new(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.recipe.name
    }

    /// Whether it is a recipe of the configuration's own, and no platform's.
    pub(crate) fn is_own(&self) -> bool {
        self.recipe.name == "http"
    }

    pub(crate) fn reads_variable(&self, name: &str) -> bool {
        let readings = self.readings();
        let tells = self.recipe.detected_by.iter().flatten().any(|tells| tells == name);
        tells && self.auto
            || self.recipe.steps.iter().any(|step| match &step.action {
                Action::Variable(template) => fill(template, &readings, false).iter().any(|reading| reading == name),
                _ => false,
            })
    }

    pub(crate) fn reads_file(&self, path: &str) -> bool {
        let readings = self.readings();
        self.recipe.steps.iter().any(|step| match &step.action {
            Action::File(template) => fill(template, &readings, false).iter().any(|reading| reading == path),
            _ => false,
        })
    }

    /// Whether the recipe sends such a request, and the way that it takes. An `Err` is the rule that refuses.
    pub(crate) fn check_request(&self, method: &str, url: &Url, headers: &[&str], has_body: bool) -> Result<Way, String> {
        let readings = self.readings();
        let sends = |request: &&Request| {
            request.method == method
                && (request.has_body() || !has_body)
                && fill(&request.url, &readings, true).iter().any(|reading| leads_to(reading, request, url))
                && headers.iter().all(|header| request.header_names().any(|name| name == *header))
        };
        let request = self.recipe.requests().find(sends).ok_or_else(|| {
            let place = url.origin().ascii_serialization();
            format!("the source {} sends no such request: {method} {place}{}", self.recipe.name, url.path())
        })?;
        let reach = reach(url).ok_or_else(|| {
            format!(
                "plain http is for this machine and its metadata service only, not for {}",
                url.host_str().unwrap_or_default()
            )
        })?;
        let ca_file = match &request.ca_file {
            None => None,
            // Without its file any server that the platform trusts could answer.
            Some(template) => {
                let path = fill(template, &readings, false).into_iter().next();
                Some(path.ok_or_else(|| {
                    format!("the source {} names a ca_file, and what stands in its path is not known", self.recipe.name)
                })?)
            }
        };
        Ok(Way { reach, ca_file: ca_file.map(PathBuf::from) })
    }

    /// Every value that a run can know under a name, with the variables as they are now.
    fn readings(&self) -> Readings {
        let mut readings = Readings::new();
        for parameter in &self.recipe.parameters {
            if let Some(value) = self.given.get(&parameter.name).or(parameter.default.as_ref()) {
                readings.insert(parameter.name.clone(), vec![value.clone()]);
            }
        }
        for step in &self.recipe.steps {
            let (names, values) = gives(step, &readings);
            for name in names {
                let known = readings.entry(name).or_default();
                known.extend(values.iter().cloned());
                known.sort();
                known.dedup();
                known.truncate(MAX_READINGS);
            }
        }
        readings
    }
}

/// The names that a step gives, and their values.
fn gives(step: &Step, readings: &Readings) -> (Vec<String>, Vec<String>) {
    let name = step.name.iter().cloned().collect();
    match &step.action {
        Action::Variable(template) => {
            let set = |name: &String| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
            (name, fill(template, readings, false).iter().filter_map(set).collect())
        }
        Action::Set { value, encoded } => {
            let form = |value: String| if *encoded { wif_recipes::percent_encoded(&value) } else { value };
            (name, fill(value, readings, false).into_iter().map(form).collect())
        }
        Action::File(_) | Action::Sign(_) => (name, vec![ANY.to_owned()]),
        Action::Request(request) => (request.taken().map(str::to_owned).collect(), vec![ANY.to_owned()]),
        Action::Fail(_) => (Vec::new(), Vec::new()),
    }
}

/// All texts that a template can become.
fn fill(template: &Template, readings: &Readings, url: bool) -> Vec<String> {
    let mut texts = vec![String::new()];
    for part in template.parts() {
        match part {
            Part::Text(part) => texts.iter_mut().for_each(|text| wif_recipes::append(text, part, url)),
            Part::Hole(name) => {
                let known = readings.get(name).map(Vec::as_slice).unwrap_or_default();
                let more = |text: &String| -> Vec<String> {
                    let form = |value: &String| if url { wif_recipes::in_url(text, value) } else { value.clone() };
                    known.iter().map(|value| format!("{text}{}", form(value))).collect()
                };
                texts = texts.iter().flat_map(more).take(MAX_READINGS).collect();
            }
        }
    }
    texts
}

/// Whether a URL is what the recipe means by `reading`: the same server, path and names in the query.
fn leads_to(reading: &str, request: &Request, url: &Url) -> bool {
    let Ok(meant) = Url::parse(reading) else { return false };
    // What an answer tells must not choose the server.
    if meant.host_str().is_none_or(|host| host.contains(ANY)) || meant.origin() != url.origin() {
        return false;
    }
    let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    let (meant_path, path): (Vec<&str>, Vec<&str>) = (meant.path().split('/').collect(), url.path().split('/').collect());
    let same = |(meant, segment): (&&str, &&str)| match meant.split_once(ANY) {
        Some((before, after)) => {
            segment.len() > before.len() + after.len()
                && segment.starts_with(before)
                && segment.ends_with(after)
                && !climbs(segment)
        }
        None => meant == segment,
    };
    let in_query =
        |name: &str| meant.query_pairs().any(|(known, _)| known == name) || request.query.iter().any(|(known, _)| known == name);
    bare && meant_path.len() == path.len()
        && meant_path.iter().zip(&path).all(same)
        && url.query_pairs().all(|(name, _)| in_query(&name))
}

/// Whether a server that decodes this part of a path before it takes it apart would find a way up in it.
fn climbs(segment: &str) -> bool {
    let decoded = segment.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "\\");
    decoded.split(['/', '\\']).any(|part| part == "." || part == "..")
}

/// Where the URL's host may lead; none where it may not be asked at all.
fn reach(url: &Url) -> Option<Reach> {
    if url.scheme() == "https" {
        // A Vault, an identity provider, the cluster's own API: the certificate says who answers.
        return Some(Reach::Private);
    }
    match url.host()? {
        Host::Domain("localhost") => Some(Reach::Loopback),
        Host::Domain(METADATA_HOST) => Some(Reach::Metadata),
        Host::Domain(_) => None,
        Host::Ipv4(address) => of_address(address.into()),
        Host::Ipv6(address) => of_address(address.into()),
    }
}

fn of_address(address: IpAddr) -> Option<Reach> {
    if address.is_loopback() {
        return Some(Reach::Loopback);
    }
    is_metadata(address).then_some(Reach::Metadata)
}

/// Whether a metadata service answers there: link-local addresses, and those that AWS has for the same in IPv6.
pub(crate) fn is_metadata(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[..2] == [0xfd00, 0x0ec2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(identity_token: &Value) -> Source {
        Source::named_by(identity_token).pop().expect("it names one")
    }

    fn check(source: &Source, method: &str, url: &str, headers: &[&str]) -> Result<Way, String> {
        source.check_request(method, &Url::parse(url).unwrap(), headers, false)
    }

    const IDENTITY: &str = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity";

    /// F9: of a server that a source asks, a component gets what the recipe asks for, and nothing else.
    #[test]
    fn a_request_is_one_that_the_recipe_sends() {
        let google = source(&json!({ "source": "google" }));
        let way = check(&google, "GET", &format!("{IDENTITY}?audience=a&format=full"), &["metadata-flavor"]).unwrap();
        assert_eq!(way, Way { reach: Reach::Metadata, ca_file: None });
        let token = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token";
        for (method, url, headers) in [
            ("POST", IDENTITY, &["metadata-flavor"][..]),
            ("GET", token, &["metadata-flavor"]),
            ("GET", &format!("{IDENTITY}/"), &["metadata-flavor"]),
            ("GET", &format!("{IDENTITY}?audience=a&stolen=b"), &["metadata-flavor"]),
            ("GET", &format!("{IDENTITY}#stolen"), &["metadata-flavor"]),
            ("GET", &IDENTITY.replace("//", "//stolen@"), &["metadata-flavor"]),
            ("GET", IDENTITY, &["metadata-flavor", "x-stolen"]),
            ("GET", &IDENTITY.replace("google.internal", "google.internal.evil.example"), &["metadata-flavor"]),
            ("GET", &IDENTITY.replace("http:", "https:"), &["metadata-flavor"]),
            ("GET", &IDENTITY.replace(".internal", ".internal:81"), &["metadata-flavor"]),
        ] {
            assert!(check(&google, method, url, headers).is_err(), "{method} {url} {headers:?}");
        }
    }

    /// What an answer tells fills one part of a path, and chooses no server.
    #[test]
    fn an_answer_chooses_no_server() {
        let role = "http://169.254.169.254/latest/meta-data/iam/security-credentials/role-1";
        let aws = source(&json!({ "source": "aws", "region": "eu-central-1" }));
        assert!(check(&aws, "GET", role, &["x-aws-ec2-metadata-token"]).is_ok());
        for url in [
            &format!("{role}/more"),
            &role.replace("/role-1", ""),
            "http://169.254.169.254/latest/user-data",
            // A server may decode a part of a path before it takes the path apart.
            &role.replace("role-1", "..%2f..%2f..%2fuser-data"),
            &role.replace("role-1", "%2E%2e%5Cuser-data"),
        ] {
            assert!(check(&aws, "GET", url, &["x-aws-ec2-metadata-token"]).is_err(), "{url}");
        }
        let url = Url::parse(role).unwrap();
        assert!(aws.check_request("GET", &url, &["x-aws-ec2-metadata-token"], true).is_err(), "the recipe sends no body");
        let own = source(&json!({ "source": "http", "recipe": {
            "name": "aws", "freshness": "minted", "token": "{token}", "steps": [
                { "request": { "method": "GET", "url": "https://ci.example/where", "take": { "server": "body" } } },
                { "request": { "method": "GET", "url": "https://{server}/token", "take": { "token": "body" } } },
                { "request": { "method": "GET", "url": "{server}", "take": { "token": "body" } } },
            ],
        } }));
        assert_eq!(own.name(), "http", "it must not pass for a platform");
        assert!(check(&own, "GET", "https://ci.example/where", &[]).is_ok());
        for url in ["https://evil.example/token", "https://evil.example/", "https://any0thing0/token"] {
            assert!(check(&own, "GET", url, &[]).is_err(), "{url}");
        }
    }

    /// F9: without the file that its recipe names, any server that the platform trusts could answer.
    #[test]
    fn a_request_whose_ca_file_is_not_known_is_refused() {
        let source = |variable: &str| {
            source(&json!({ "source": "http", "recipe": {
                "name": "own", "freshness": "minted", "token": "{token}", "steps": [
                    { "variable": variable, "as": "folder" },
                    { "request": { "method": "GET", "url": "https://ci.example/token", "ca_file": "{folder}/ca.crt",
                        "take": { "token": "body" } } },
                ],
            } }))
        };
        let way = check(&source("CARGO_MANIFEST_DIR"), "GET", "https://ci.example/token", &[]).unwrap();
        assert_eq!(way.ca_file, Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("ca.crt")));
        let refused = check(&source("SET_BY_NOBODY"), "GET", "https://ci.example/token", &[]).unwrap_err();
        assert!(refused.contains("ca_file"), "{refused}");
    }

    /// F9, B3: plain HTTP leads to this machine and to its metadata service.
    #[test]
    fn plain_http_stays_near() {
        let asked = |base: &str| {
            let url = format!("{base}/token");
            let source = source(&json!({ "source": "client-credentials", "token_url": url, "client_id": "c",
                "client_secret_variable": "S" }));
            check(&source, "POST", &url, &["authorization", "content-type"]).map(|way| way.reach)
        };
        for (base, reach) in [
            ("https://idp.example", Reach::Private),
            ("http://127.0.0.1:8080", Reach::Loopback),
            ("http://localhost", Reach::Loopback),
            ("http://[::1]", Reach::Loopback),
            ("http://169.254.170.2", Reach::Metadata),
            ("http://[fd00:ec2::23]", Reach::Metadata),
        ] {
            assert_eq!(asked(base), Ok(reach), "{base}");
        }
        for base in
            ["http://idp.example", "http://10.0.0.1", "http://[fd00::1]", "http://localhost.evil.example", "http://8.8.8.8"]
        {
            assert!(asked(base).is_err(), "{base}");
        }
    }

    /// F10: nothing that is not named.
    #[test]
    fn files_and_variables_are_those_of_the_recipe() {
        let vault = source(&json!({ "source": "vault", "role": "r", "login_role": "app", "login_file": "/run/pod" }));
        assert!(vault.reads_file("/run/pod") && vault.reads_variable("VAULT_TOKEN"));
        for path in ["/etc/shadow", "/run/pod2", "/run/../run/pod"] {
            assert!(!vault.reads_file(path), "{path}");
        }
        assert!(!vault.reads_variable("AWS_SECRET_ACCESS_KEY"));
        let named = |name: &str| Source::named_by(&json!({ "source": name })).len();
        assert_eq!([named("file"), named("callable"), named("nonsense")], [0, 0, 0]);
    }
}
