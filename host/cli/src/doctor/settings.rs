//! What the user knows of the rule and its issuer, out of files in the words of the vendor's Admin API.

use std::path::Path;

use serde_json::{Map, Value, json};
use wif_federation::{
    Issuer, Jwks, Match, Organization, RULE_PREFIX, Resources, Rule, SERVICE_ACCOUNT_PREFIX, ServiceAccount, Workspace,
    is_tagged, is_uuid, without_values,
};

use crate::exit::Wrong;
use crate::files;
use crate::jwt::Parts;

/// What is configured on this side: the ids that an exchange would send.
#[derive(Debug, Default, Clone)]
pub(crate) struct Configured {
    pub(crate) rule: Option<String>,
    pub(crate) organization: Option<String>,
    pub(crate) service_account: Option<String>,
    pub(crate) workspace: Option<String>,
}

/// What is known of the other side. A part that nobody gave is not judged by.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    whole: Option<Resources>,
    rule: Option<Map<String, Value>>,
    issuer: Option<Map<String, Value>>,
    account: Option<Map<String, Value>>,
    /// Members that are not looked at, for the user to see that they are not.
    pub(crate) unknown: Vec<String>,
}

/// Everything that the judge needs.
pub(crate) struct Case {
    pub(crate) resources: Resources,
    pub(crate) rule: Rule,
    pub(crate) issuer: Issuer,
}

const OF_A_RULE: [&str; 11] = [
    "id",
    "name",
    "issuer_id",
    "match",
    "target",
    "oauth_scope",
    "token_lifetime_seconds",
    "workspace_id",
    "workspace_ids",
    "applies_to_all_workspaces",
    "archived",
];
const OF_AN_ISSUER: [&str; 7] = ["id", "name", "issuer_url", "jwks", "check_jti", "max_jwt_lifetime_seconds", "archived"];
const OF_A_MATCH: [&str; 4] = ["subject_prefix", "audience", "claims", "condition"];
/// What the Admin API adds and nobody judges by.
const OF_THE_API: [&str; 8] =
    ["type", "created_at", "updated_at", "archived_at", "description", "attributes", "poll_status", "jwks_polling_disabled_at"];

const UNKNOWN_RULE: &str = "fdrl_unknown";
const UNKNOWN_ACCOUNT: &str = "svac_unknown";
const UNKNOWN_ISSUER: &str = "fdis_unknown";
const UNKNOWN_ORGANIZATION: &str = "00000000-0000-4000-8000-000000000000";
const DEFAULT_WORKSPACE: &str = "wrkspc_thedefaultone";

impl Settings {
    /// Reads the files, JSON or TOML: a rule or its `match` block, an issuer, both in one as `rule` and `issuer`, or a whole
    /// document of resources.
    pub(crate) fn read(rule: Option<&Path>, issuer: Option<&Path>) -> Result<Self, Wrong> {
        let mut settings = Self::default();
        if let Some(path) = rule {
            settings.take(path)?;
        }
        if let Some(path) = issuer {
            let mut members = document(path)?;
            settings.issuer = Some(match members.remove("issuer") {
                Some(Value::Object(issuer)) => issuer,
                _ => members,
            });
        }
        settings.check_names();
        Ok(settings)
    }

    fn take(&mut self, path: &Path) -> Result<(), Wrong> {
        let mut members = document(path)?;
        if members.contains_key("organizations") {
            let text = Value::Object(members).to_string();
            let whole = Resources::read(&text).map_err(|error| Wrong(format!("in {}: {error}", path.display())))?;
            self.whole = Some(whole);
            return Ok(());
        }
        let mut object = |name: &str| match members.remove(name) {
            Some(Value::Object(object)) => Some(object),
            _ => None,
        };
        (self.issuer, self.account) = (object("issuer"), object("service_account"));
        if let Some(rule) = object("rule") {
            self.rule = Some(rule);
            return Ok(());
        }
        let is_match = members.keys().any(|name| OF_A_MATCH.contains(&name.as_str()));
        if is_match && !members.contains_key("match") {
            members = [("match".to_owned(), Value::Object(members))].into_iter().collect();
        }
        if members.contains_key("match") {
            self.rule = Some(members);
        } else if self.issuer.is_none() {
            return Err(Wrong(format!(
                "{} has no rule: it needs a member `match`, or subject_prefix, audience, claims or condition",
                path.display()
            )));
        }
        Ok(())
    }

    fn check_names(&mut self) {
        for (members, known, of) in [(&self.rule, &OF_A_RULE[..], "rule"), (&self.issuer, &OF_AN_ISSUER[..], "issuer")] {
            let names = members.iter().flat_map(|members| members.keys());
            let unknown = names.filter(|name| !known.contains(&name.as_str()) && !OF_THE_API.contains(&name.as_str()));
            self.unknown.extend(unknown.map(|name| format!("{of}.{name}")));
        }
    }

    pub(crate) fn knows_the_rule(&self) -> bool {
        self.whole.is_some() || self.rule.is_some()
    }

    pub(crate) fn knows_the_issuer(&self) -> bool {
        self.whole.is_some() || self.issuer.is_some()
    }

    pub(crate) fn knows_the_workspaces(&self) -> bool {
        let named = ["workspace_id", "workspace_ids", "applies_to_all_workspaces"];
        self.whole.is_some() || self.rule.as_ref().is_some_and(|rule| named.iter().any(|name| rule.contains_key(*name)))
    }

    pub(crate) fn knows_the_members(&self) -> bool {
        self.whole.is_some() || self.account.as_ref().is_some_and(|account| account.contains_key("workspace_ids"))
    }

    /// What an exchange of this token would be judged by: what is known, and for the rest what lets it pass.
    pub(crate) fn case(&self, token: &Parts, configured: &Configured) -> Result<Case, Wrong> {
        if let Some(whole) = &self.whole {
            let (owner, rule) = whole
                .chosen_rule(configured.rule.as_deref().unwrap_or_default())
                .ok_or_else(|| Wrong("the document of resources has no rule".to_owned()))?;
            let issuer = owner.issuer(&rule.issuer_id).cloned();
            let issuer = issuer.ok_or_else(|| Wrong(format!("the rule {} names an issuer that is not there", rule.id)))?;
            return Ok(Case { rule: rule.clone(), issuer, resources: whole.clone() });
        }
        let issuer = self.issuer_of(token)?;
        let rule = self.rule_of(&issuer, configured)?;
        let account_id = rule.service_account_id().to_owned();
        let named: Vec<String> = rule.workspace_ids.iter().chain(&rule.workspace_id).cloned().collect();
        let mut account: ServiceAccount = match &self.account {
            None => serde_json::from_value(json!({ "id": account_id })).map_err(wrong("service_account"))?,
            Some(members) => {
                let mut members = known(members, &["id", "name", "workspace_ids", "organization_role", "archived"]);
                members.entry("id").or_insert_with(|| account_id.clone().into());
                serde_json::from_value(members.into()).map_err(wrong("service_account"))?
            }
        };
        if !self.knows_the_members() {
            // Who is not known not to be a member passes.
            account.workspace_ids = named.iter().chain(&configured.workspace).filter(|id| *id != "default").cloned().collect();
        }
        let ids = named.iter().chain(&account.workspace_ids).chain(&configured.workspace).filter(|id| *id != "default");
        let mut workspaces = vec![Workspace { id: DEFAULT_WORKSPACE.to_owned(), name: "Default".to_owned(), is_default: true }];
        for id in ids {
            if !workspaces.iter().any(|workspace| workspace.id == *id) {
                workspaces.push(Workspace { id: id.clone(), name: String::new(), is_default: false });
            }
        }
        let organization = configured.organization.clone().filter(|id| is_uuid(id));
        let resources = Resources {
            organizations: vec![Organization {
                id: organization.unwrap_or_else(|| UNKNOWN_ORGANIZATION.to_owned()),
                name: String::new(),
                workspaces,
                service_accounts: vec![account],
                federation_issuers: vec![issuer.clone()],
                federation_rules: vec![rule.clone()],
            }],
        };
        Ok(Case { resources, rule, issuer })
    }

    fn issuer_of(&self, token: &Parts) -> Result<Issuer, Wrong> {
        let mut members = self.issuer.as_ref().map(|members| known(members, &OF_AN_ISSUER)).unwrap_or_default();
        let own = token.claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        members.entry("id").or_insert_with(|| UNKNOWN_ISSUER.into());
        members.entry("name").or_insert_with(|| "issuer".into());
        members.entry("issuer_url").or_insert_with(|| own.into());
        serde_json::from_value(members.into()).map_err(wrong("issuer"))
    }

    fn rule_of(&self, issuer: &Issuer, configured: &Configured) -> Result<Rule, Wrong> {
        let mut members = self.rule.as_ref().map(|members| known(members, &OF_A_RULE)).unwrap_or_default();
        let configured_rule = configured.rule.as_deref().filter(|id| is_tagged(RULE_PREFIX, id));
        members.entry("id").or_insert_with(|| configured_rule.unwrap_or(UNKNOWN_RULE).into());
        // One issuer is given with one rule: they belong together.
        members.insert("issuer_id".to_owned(), issuer.id.as_str().into());
        if let Some(matcher) = members.get("match") {
            let parsed: Result<Match, _> = serde_json::from_value(matcher.clone());
            parsed.map_err(wrong("match"))?;
        }
        members.entry("match").or_insert_with(|| json!({}));
        let account =
            configured.service_account.as_deref().filter(|id| is_tagged(SERVICE_ACCOUNT_PREFIX, id)).unwrap_or(UNKNOWN_ACCOUNT);
        members.entry("target").or_insert_with(|| json!({ "type": "service_account", "service_account_id": account }));
        if !self.knows_the_workspaces() {
            let workspace = configured.workspace.as_deref().unwrap_or("default");
            members.insert("workspace_ids".to_owned(), json!([workspace]));
        }
        serde_json::from_value(members.into()).map_err(wrong("rule"))
    }
}

impl Case {
    /// What stands against creating the rule at all.
    pub(crate) fn cannot_be_created(&self, settings: &Settings) -> Option<String> {
        if !settings.knows_the_rule() {
            return None;
        }
        let error = self.resources.check(60).err()?;
        // A path into a document that the user did not write says nothing.
        let place = error.path().rsplit_once("].").map_or("", |(_, place)| place);
        let relevant = settings.whole.is_some() || place.starts_with("match") || settings.knows_the_issuer();
        relevant.then(|| if settings.whole.is_some() { error.to_string() } else { format!("{place}: {}", error.message()) })
    }

    /// Whether the keys of the issuer are at hand without asking anybody.
    pub(crate) fn has_keys(&self) -> bool {
        matches!(self.issuer.jwks, Jwks::Inline { .. })
    }
}

fn known(members: &Map<String, Value>, names: &[&str]) -> Map<String, Value> {
    let kept = members.iter().filter(|(name, value)| names.contains(&name.as_str()) && !value.is_null());
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn wrong(place: &'static str) -> impl Fn(serde_json::Error) -> Wrong {
    move |error| Wrong(format!("{place}: {}", without_values(&error.to_string())))
}

/// The document in a file. What is wrong with it is told by its place: what stands there may be a secret.
fn document(path: &Path) -> Result<Map<String, Value>, Wrong> {
    let text = files::read(path)?;
    let shown = path.display();
    let json: Result<Map<String, Value>, _> = serde_json::from_str(&text);
    let error = match json {
        Ok(members) => return Ok(members),
        Err(error) => error,
    };
    let (is_toml, is_json) = match path.extension().map(|extension| extension.to_ascii_lowercase()) {
        Some(extension) => (extension == "toml", extension == "json"),
        None => (false, text.trim_start().starts_with('{')),
    };
    match toml::from_str::<Map<String, Value>>(&text) {
        Ok(members) if !is_json => Ok(members),
        Err(error) if is_toml => {
            // Its message shows the line.
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let (line, column) =
                (before.matches('\n').count() + 1, before.chars().rev().take_while(|letter| *letter != '\n').count() + 1);
            Err(Wrong(format!("{shown} is no TOML: look at line {line}, column {column}")))
        }
        _ if error.is_data() => Err(Wrong(format!("{shown} is no JSON object: write {{ }} around its members"))),
        _ => {
            let (line, column) = (error.line(), error.column());
            let nor = if is_json { "" } else { ", and no TOML either" };
            Err(Wrong(format!("{shown} is no JSON object: look at line {line}, column {column}{nor}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form of a document of resources has the same names: what is judged here is judged there.
    #[test]
    fn the_members_that_are_known_are_those_of_the_schema() {
        let schema: Value = serde_json::from_str(Resources::SCHEMA).expect("a schema");
        for (definition, known) in [("rule", &OF_A_RULE[..]), ("issuer", &OF_AN_ISSUER), ("match", &OF_A_MATCH)] {
            let properties = schema["$defs"][definition]["properties"].as_object();
            let properties = properties.unwrap_or_else(|| panic!("{definition} is in the schema"));
            let mut named: Vec<&str> = properties.keys().map(String::as_str).filter(|name| !OF_THE_API.contains(name)).collect();
            named.sort_unstable();
            let mut known = known.to_vec();
            known.sort_unstable();
            assert_eq!(known, named, "{definition}");
        }
    }
}
