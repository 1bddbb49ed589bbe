//! What this configuration needs of its host, and nothing else. The policy says what an embedding program allows at all; a
//! component that was tampered with must not get more of that than its work takes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;
use url::Url;

use super::Origin;
use super::sources::{Source, Way};
use crate::environment::variable;
use crate::secret::Secret;
use crate::tasks::{Executable, WorkloadApi};

/// The lists that all hosts share.
static AUTHORITY: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../../wit/authority.json")).unwrap_or_default());

/// A profile is no larger, in bytes.
const MAX_PROFILE_BYTES: usize = 64 << 10;

/// What one configuration names.
pub(crate) struct Grants {
    /// Variables and profiles are looked at.
    discovers: bool,
    /// The directory of profiles, where the configuration names it.
    config_dir: Option<String>,
    /// The identity token's file, where the configuration names it.
    file: Option<String>,
    /// The identity token's variable, where the configuration names it.
    variable: Option<String>,
    /// The sources that the configuration names by their recipes, or discovery finds by their variables.
    sources: Vec<Source>,
    /// The program that the configuration names as the source, and the Workload API.
    executable: Option<Executable>,
    workload_api: Option<WorkloadApi>,
    /// The path before the token endpoint's own, where the configuration names it.
    base_path: Option<String>,
    /// The API's origin, where the configuration names it.
    base_origin: Option<url::Origin>,
    /// What profiles name that were read.
    told: Mutex<Told>,
    /// Where the program was started: what relative paths are relative to.
    started_in: PathBuf,
}

/// What profiles name: files, and the paths of their `base_url`.
#[derive(Default)]
struct Told {
    identity_tokens: BTreeSet<String>,
    credentials: BTreeSet<String>,
    base_paths: BTreeSet<String>,
}

impl Grants {
    /// What this configuration document names. One that is none names nothing, and the component will refuse it.
    pub(crate) fn new(configuration: &Secret) -> Self {
        let document: Value = serde_json::from_str(configuration.reveal()).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let source = &document["federation"]["identity_token"];
        let fixed = document.get("federation").or(document.get("bearer")).is_some();
        let base = text(&document["base_url"]).map(|url| Url::parse(&url));
        let base_path = base.as_ref().and_then(|base| base.as_ref().ok()).map(base_path_of);
        let discovers = document.is_object() && !fixed;
        Self {
            discovers,
            config_dir: text(&document["discover"]["config_dir"]),
            file: text(&source["path"]).filter(|_| source["source"] == "file"),
            variable: text(&source["name"]).filter(|_| source["source"] == "variable"),
            sources: if discovers { Source::discovered() } else { Source::named_by(source) },
            executable: Executable::named_by(source),
            workload_api: WorkloadApi::named_by(source),
            base_path: base_path.or((fixed || !document.is_object()).then(String::new)),
            // What cannot be read names no origin that there is. The component says what is wrong with it.
            base_origin: base.map(|base| base.map_or_else(|_| url::Origin::new_opaque(), |url| url.origin())),
            told: Mutex::default(),
            started_in: std::env::current_dir().unwrap_or_default(),
        }
    }

    /// An `Err` is the rule that refuses.
    pub(crate) fn check_variable(&self, name: &str) -> Result<(), String> {
        let of_a_recipe = || self.sources.iter().any(|source| source.reads_variable(name));
        if self.variable.as_deref() == Some(name) || self.discovers && listed(&AUTHORITY["variables"], name) || of_a_recipe() {
            return Ok(());
        }
        Err(format!("the configuration does not name the variable {name}, and discovery does not read it"))
    }

    /// An `Err` is the rule that refuses.
    pub(crate) fn check_file(&self, path: &str) -> Result<(), String> {
        let of_a_recipe = || self.source_of_file(path).is_some();
        if self.file.as_deref() == Some(path)
            || self.is_profile(path)
            || self.is_credentials(path)
            || self.discovers && self.is_named_elsewhere(path)
            || of_a_recipe()
        {
            return Ok(());
        }
        Err(format!("the configuration does not name the file {path}, and discovery does not read it"))
    }

    /// The platform whose recipe reads this variable. It needs no other leave than that of the source.
    pub(crate) fn platform_of(&self, variable: &str) -> Option<&str> {
        let mut platforms = self.sources.iter().filter(|source| !source.is_own());
        platforms.find(|source| source.reads_variable(variable)).map(Source::name)
    }

    /// The source whose recipe reads this file.
    pub(crate) fn source_of_file(&self, path: &str) -> Option<&str> {
        self.sources.iter().find(|source| source.reads_file(path)).map(Source::name)
    }

    /// Whether a request is one of the source that the configuration names, and its way. An `Err` is the rule that refuses.
    pub(crate) fn check_source(
        &self,
        name: &str,
        method: &str,
        url: &Url,
        headers: &[&str],
        has_body: bool,
    ) -> Result<Way, String> {
        let source = self.sources.iter().find(|source| source.name() == name);
        let source = source.ok_or_else(|| format!("the configuration does not name the source {name}"))?;
        source.check_request(method, url, headers, has_body)
    }

    /// Whether this host itself supplies identity tokens, by the callables of its own.
    pub(crate) fn supplies_identity_tokens(&self) -> bool {
        self.executable.is_some() || self.workload_api.is_some() && WorkloadApi::IS_SPOKEN
    }

    /// The program that is the source, for the audience that the configuration names.
    pub(crate) fn executable(&self, audience: &str) -> Option<&Executable> {
        self.executable.as_ref().filter(|executable| executable.audience == audience)
    }

    /// The Workload API, likewise.
    pub(crate) fn workload_api(&self, audience: &str) -> Option<&WorkloadApi> {
        self.workload_api.as_ref().filter(|api| api.audience == audience)
    }

    /// The path as this process reads it: a relative one begins where the program was started.
    pub(crate) fn absolute(&self, path: &str) -> PathBuf {
        self.started_in.join(path)
    }

    /// A file that discovery reads for itself: `active_config`, or a profile.
    pub(crate) fn is_profile(&self, path: &str) -> bool {
        self.directory_of_profile(path).is_some()
    }

    /// The directory of profiles that this file of discovery is in, and has to be in without links, too.
    pub(crate) fn directory_of_profile(&self, path: &str) -> Option<PathBuf> {
        if !self.discovers {
            return None;
        }
        let of_discovery = |directory: &String| {
            let below = path.strip_prefix(directory.as_str()).and_then(|rest| rest.strip_prefix('/'));
            below.is_some_and(|name| {
                let profile = name.strip_prefix("configs/").and_then(|name| name.strip_suffix(".json"));
                name == "active_config" || profile.is_some_and(|name| !name.is_empty() && !name.contains('/'))
            })
        };
        self.directories().iter().find(|directory| of_discovery(directory)).map(|directory| self.absolute(directory))
    }

    /// The credentials file of a profile, if this is the key of one that the configuration leads to.
    pub(crate) fn credentials_file(&self, key: &str) -> Option<PathBuf> {
        let path = key.strip_prefix("file:")?;
        self.is_credentials(path).then(|| self.absolute(path))
    }

    /// Whether this is the credentials file of a profile.
    pub(crate) fn is_credentials(&self, path: &str) -> bool {
        let beside_a_profile = || {
            self.directories().iter().any(|directory| {
                let below = path.strip_prefix(directory.as_str()).and_then(|rest| rest.strip_prefix("/credentials/"));
                below
                    .and_then(|name| name.strip_suffix(".json"))
                    .is_some_and(|name| !name.is_empty() && !name.contains('/') && !name.starts_with('.'))
            })
        };
        self.discovers
            && (beside_a_profile() || self.told.lock().unwrap_or_else(PoisonError::into_inner).credentials.contains(path))
    }

    /// The content of a profile was handed over.
    pub(crate) fn profile_was_read(&self, content: &str) {
        if content.len() > MAX_PROFILE_BYTES {
            return;
        }
        let Ok(profile) = serde_json::from_str::<Value>(content) else { return };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let authentication = &profile["authentication"];
        let named = |value: &Value| value.as_str().map(|path| expanded(path.trim()));
        told.identity_tokens.extend(named(&authentication["identity_token"]["path"]));
        told.credentials.extend(named(&authentication["credentials_path"]).filter(|path| !path.is_empty()));
        let base = profile["base_url"].as_str().and_then(|url| Url::parse(url).ok());
        told.base_paths.extend(base.as_ref().map(base_path_of));
    }

    /// Whether this path may stand before the token endpoint's own. Where the configuration does not say, a variable or a profile does.
    fn is_base_path(&self, path: &str) -> bool {
        if let Some(base) = &self.base_path {
            return base == path;
        }
        match variable("ANTHROPIC_BASE_URL").filter(|url| !url.trim().is_empty()) {
            Some(url) => Url::parse(url.trim()).is_ok_and(|url| base_path_of(&url) == path),
            None => {
                let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                path.is_empty() || told.base_paths.contains(path)
            }
        }
    }

    fn is_named_elsewhere(&self, path: &str) -> bool {
        let by_variable = variable("ANTHROPIC_IDENTITY_TOKEN_FILE").is_some_and(|named| expanded(named.trim()) == path);
        by_variable || self.told.lock().unwrap_or_else(PoisonError::into_inner).identity_tokens.contains(path)
    }

    fn directories(&self) -> Vec<String> {
        let told = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        if let Some(chosen) = self.config_dir.clone().or_else(|| told("ANTHROPIC_CONFIG_DIR")) {
            let directory = chosen.trim_end_matches('/');
            // The root is nobody's directory of profiles, and a blank names none.
            return if directory.trim().is_empty() { Vec::new() } else { vec![directory.to_owned()] };
        }
        let usual = |(name, path)| told(name).map(|directory| wif_rules::below(&directory, path));
        wif_rules::PROFILE_DIRECTORIES.into_iter().filter_map(usual).collect()
    }

    /// Whether a token may be for this origin, which the policy allows. An `Err` is the rule that refuses.
    pub(crate) fn check_token_origin(&self, origin: &Origin) -> Result<(), String> {
        if self.base_origin.as_ref().is_some_and(|named| !origin.is(&named.ascii_serialization())) {
            return Err(format!("base_url names another origin than {}", origin.as_str()));
        }
        Ok(())
    }

    /// Whether a request is the exchange, by its URL as it was written and as it was parsed: a parser takes out dot segments, tabs, and
    /// what else two readers can differ about. An `Err` is the rule that refuses.
    pub(crate) fn check_exchange(&self, method: &str, written: &str, url: &Url) -> Result<(), String> {
        let exchange = &AUTHORITY["exchange"];
        if exchange["method"] != method {
            return Err("the policy allows the method POST only".to_owned());
        }
        let as_written = written.split_once("://").and_then(|(_, rest)| rest.find(['/', '\\', '?', '#']).map(|at| &rest[at..]));
        if as_written != Some(url.path()) {
            return Err("the URL is ambiguous: two readers may take its path for two".to_owned());
        }
        if self.base_origin.as_ref().is_some_and(|origin| *origin != url.origin()) {
            return Err("base_url names another origin".to_owned());
        }
        let own = exchange["path"].as_str().unwrap_or_default();
        let path = url.path();
        let right = path.strip_suffix(own).is_some_and(|base| self.is_base_path(base));
        // As it is written it is its path: it has no query and no fragment.
        if right && !path.contains('%') {
            return Ok(());
        }
        Err(format!("the policy allows requests to the token endpoint only: {own}, not {path}"))
    }
}

/// Whether a request to the token endpoint has this header field. An `Err` is the rule that refuses.
pub(crate) fn check_exchange_header(name: &str, value: &str) -> Result<(), String> {
    let exchange = &AUTHORITY["exchange"];
    if !listed(&exchange["headers"], name) {
        return Err(format!("an exchange has no header {name}"));
    }
    if name == "content-type" && exchange["content-type"] != value {
        return Err("an exchange is JSON".to_owned());
    }
    Ok(())
}

/// Whether a credential is made of this header field.
pub(crate) fn is_credential(name: &str) -> bool {
    listed(&AUTHORITY["usable"]["set"], name)
}

/// Whether this header field is a credential by itself.
pub(crate) fn is_whole_credential(name: &str) -> bool {
    listed(&AUTHORITY["usable"]["credential"], name)
}

/// Whether this header field's values are added to a caller's own.
pub(crate) fn is_merged(name: &str) -> bool {
    listed(&AUTHORITY["usable"]["merge"], name)
}

/// The path of a `base_url`, without the slash at its end.
fn base_path_of(url: &Url) -> String {
    url.path().trim_end_matches('/').to_owned()
}

fn listed(list: &Value, name: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|listed| listed == name))
}

/// `~` is the home directory, as in the engine's discovery.
fn expanded(path: &str) -> String {
    let home = variable("HOME");
    wif_rules::in_home(path, home.as_deref().map(str::trim).filter(|home| !home.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn grants(document: &str) -> Grants {
        Grants::new(&Secret::from(document))
    }

    const FEDERATION: &str = r#"{"base_url": "https://gateway.example/claude/", "federation": {
        "identity_token": {"source": "file", "path": "/run/token"}}}"#;

    /// F10: nothing that is not named.
    #[test]
    fn what_neither_the_configuration_nor_discovery_names_is_refused() {
        let named = grants(FEDERATION);
        assert_eq!(named.check_file("/run/token"), Ok(()));
        for path in ["/etc/shadow", "/run/token2", "/run/../run/token", ""] {
            assert!(named.check_file(path).is_err(), "{path}");
        }
        assert!(named.check_variable("ANTHROPIC_API_KEY").is_err(), "nothing is discovered");
        let discovers = grants(r#"{"discover": {"config_dir": "/etc/anthropic/"}}"#);
        assert_eq!(discovers.check_variable("ANTHROPIC_API_KEY"), Ok(()));
        assert!(discovers.check_variable("AWS_SECRET_ACCESS_KEY").is_err());
        assert!(discovers.check_variable("ANTHROPIC_ADMIN_KEY").is_err());
        for path in ["/etc/anthropic/active_config", "/etc/anthropic/configs/prod.json"] {
            assert_eq!(discovers.check_file(path), Ok(()), "{path}");
        }
        for path in [
            "/etc/anthropic/configs/../../shadow",
            "/etc/anthropic/configs/a/b.json",
            "/etc/anthropic/configs/.json",
            "/etc/anthropic",
            "/run/token",
        ] {
            assert!(discovers.check_file(path).is_err(), "{path}");
        }
        for directory in ["", " ", "/", "//"] {
            let nowhere = grants(&serde_json::json!({ "discover": { "config_dir": directory } }).to_string());
            assert!(nowhere.check_file("/active_config").is_err(), "{directory:?} names no directory of profiles");
            assert_eq!(nowhere.directories(), [""; 0], "{directory:?}");
        }
        discovers.profile_was_read(r#"{"authentication": {"identity_token": {"path": "/run/token"}}}"#);
        assert_eq!(discovers.check_file("/run/token"), Ok(()));
    }

    #[test]
    fn the_files_of_a_login_are_entries_and_nothing_else_is() {
        let discovers = grants(r#"{"discover": {"config_dir": "/etc/anthropic/"}}"#);
        let file = |key: &str| discovers.credentials_file(key);
        assert_eq!(
            file("file:/etc/anthropic/credentials/me.json").as_deref(),
            Some(Path::new("/etc/anthropic/credentials/me.json"))
        );
        for key in [
            "/etc/anthropic/credentials/me.json",
            "file:/etc/anthropic/configs/me.json",
            "file:/etc/anthropic/credentials/../configs/me.json",
            "file:/etc/anthropic/credentials/a/b.json",
            "file:/etc/anthropic/credentials/.hidden.json",
            "file:/etc/anthropic/credentials/.json",
            "file:/etc/shadow",
            "file:/var/lib/me.json",
        ] {
            assert_eq!(file(key), None, "{key}");
        }
        discovers.profile_was_read(r#"{"authentication": {"credentials_path": "/var/lib/me.json"}, "base_url": "/etc/shadow"}"#);
        assert!(file("file:/var/lib/me.json").is_some());
        assert_eq!(file("file:/etc/shadow"), None, "another member of the profile names it");
        assert_eq!(grants(FEDERATION).credentials_file("file:/run/token"), None);
    }

    #[test]
    fn a_relative_path_begins_where_the_program_was_started() {
        let named = grants(FEDERATION);
        assert_eq!(named.absolute("token"), std::env::current_dir().unwrap().join("token"));
        assert_eq!(named.absolute("/run/token"), Path::new("/run/token"));
    }

    #[test]
    fn a_variable_is_the_one_that_the_configuration_names() {
        let named = grants(r#"{"federation": {"identity_token": {"source": "variable", "name": "CI_TOKEN"}}}"#);
        assert_eq!(named.check_variable("CI_TOKEN"), Ok(()));
        assert!(named.check_variable("HOME").is_err());
        let callable = grants(r#"{"federation": {"identity_token": {"source": "callable", "name": "CI_TOKEN"}}}"#);
        assert!(callable.check_variable("CI_TOKEN").is_err(), "it is the name of a callable");
    }

    /// F9: no more than the purpose needs.
    #[test]
    fn a_request_is_the_exchange_or_nothing() {
        let named = grants(FEDERATION);
        let check = |grants: &Grants, method: &str, url: &str| grants.check_exchange(method, url, &Url::parse(url).unwrap());
        assert_eq!(check(&named, "POST", "https://gateway.example/claude/v1/oauth/token"), Ok(()));
        for (method, url) in [
            ("GET", "https://gateway.example/claude/v1/oauth/token"),
            ("post", "https://gateway.example/claude/v1/oauth/token"),
            ("POST", "https://gateway.example/v1/oauth/token"),
            ("POST", "https://gateway.example/claude/v1/files"),
            ("POST", "https://gateway.example/claude/v1/oauth/token/"),
            ("POST", "https://gateway.example/claude/v1/oauth/token?x=stolen"),
            ("POST", "https://gateway.example/claude/v1/oauth/token#x"),
            ("POST", "https://gateway.example/claude/v1/oauth/token?"),
            ("POST", "https://gateway.example/other/claude/v1/oauth/token"),
            ("POST", "https://gateway.example/claude/v1/files/../oauth/token"),
            ("POST", "https://gateway.example/claude/v1/%66iles/%2e%2e/oauth/token"),
            ("POST", "https://gateway.example\\claude/v1/oauth/token"),
            ("POST", "https://gateway.example/claude/v1/oauth/to\tken"),
            ("POST", "https://api.anthropic.com/claude/v1/oauth/token"),
        ] {
            assert!(check(&named, method, url).is_err(), "{method} {url}");
        }
        let discovers = grants("{}");
        assert_eq!(check(&discovers, "POST", "https://gateway.example/v1/oauth/token"), Ok(()));
        let any = "https://gateway.example/any/v1/oauth/token";
        assert!(check(&discovers, "POST", any).is_err(), "nobody names such a path");
        discovers.profile_was_read(r#"{"base_url": "https://gateway.example/any/"}"#);
        assert_eq!(check(&discovers, "POST", any), Ok(()));
        assert!(check(&discovers, "POST", &any.replace("any", "other")).is_err());
        let large = format!(r#"{{"base_url": "https://gateway.example/large", "x": "{}"}}"#, "x".repeat(MAX_PROFILE_BYTES));
        discovers.profile_was_read(&large);
        assert!(check(&discovers, "POST", &any.replace("any", "large")).is_err(), "no profile is so large");
        assert!(check(&discovers, "POST", "https://gateway.example/v1/files").is_err());
        assert!(check(&discovers, "POST", "https://gateway.example//v1/oauth/token").is_err());
        let escaped = grants(r#"{"base_url": "https://gateway.example/a%2fb", "bearer": {"source": "callable"}}"#);
        assert!(
            check(&escaped, "POST", "https://gateway.example/a%2fb/v1/oauth/token").is_err(),
            "servers differ about an escape"
        );
        let without = grants(r#"{"bearer": {"source": "callable"}}"#);
        assert!(check(&without, "POST", "https://api.anthropic.com/x/v1/oauth/token").is_err());
    }

    /// F9: what cannot be read allows nothing.
    #[test]
    fn a_base_url_that_is_none_names_no_origin() {
        let unreadable = grants(r#"{"base_url": "gateway.example", "bearer": {"source": "callable"}}"#);
        let url = "https://api.anthropic.com/v1/oauth/token";
        assert!(unreadable.check_exchange("POST", url, &Url::parse(url).unwrap()).is_err());
        let api = Origin::parse("https://api.anthropic.com", super::super::Reach::Public).unwrap();
        assert!(unreadable.check_token_origin(&api).is_err());
    }

    #[test]
    fn an_exchange_has_its_own_header_fields_only() {
        for name in ["accept", "user-agent", "anthropic-beta"] {
            assert_eq!(check_exchange_header(name, "x"), Ok(()));
        }
        assert_eq!(check_exchange_header("content-type", "application/json"), Ok(()));
        assert!(check_exchange_header("content-type", "multipart/form-data").is_err());
        for name in ["x-api-key", "authorization", "cookie", "host"] {
            assert!(check_exchange_header(name, "stolen").is_err(), "{name}");
        }
    }
}
