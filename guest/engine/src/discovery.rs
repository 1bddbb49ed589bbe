//! Which credential, where the configuration leaves it to the environment: variables first, then profiles.
//!
//! The order is the vendor's: a static credential in a variable, the profile that `ANTHROPIC_PROFILE` names, the federation
//! variables, the active profile. Last, and here only: the federation variables without an identity token, where the variables tell the
//! platform that gives one. A host only hands over what it is asked for. Where this differs from the vendor's clients,
//! `host/cli/tests/discovery/differences.rs` says why.

use serde_json::Value;
use wif_document::{BaseUrl, looks_like_jwt, looks_like_key};

use crate::configuration::{
    Bearer, Discover, Federation, IdentityTokenSource, Platform, RecipeSource, Reuse, Shadowing, check_profile_name,
};
use crate::contract::{FileProtection, FileRequest};
use crate::login::Login;
use crate::shapes::in_place_of_a_token;
use crate::{LOGINS, RECIPES, Secret};

const API_KEY: &str = "ANTHROPIC_API_KEY";
const AUTH_TOKEN: &str = "ANTHROPIC_AUTH_TOKEN";
const CLAUDE_CODE: &str = "CLAUDE_CODE_OAUTH_TOKEN";
const PROFILE: &str = "ANTHROPIC_PROFILE";
const CONFIG_DIR: &str = "ANTHROPIC_CONFIG_DIR";
const BASE_URL: &str = "ANTHROPIC_BASE_URL";
const RULE: &str = "ANTHROPIC_FEDERATION_RULE_ID";
const ORGANIZATION: &str = "ANTHROPIC_ORGANIZATION_ID";
const SERVICE_ACCOUNT: &str = "ANTHROPIC_SERVICE_ACCOUNT_ID";
const WORKSPACE: &str = "ANTHROPIC_WORKSPACE_ID";
const TOKEN_FILE: &str = "ANTHROPIC_IDENTITY_TOKEN_FILE";
const TOKEN: &str = "ANTHROPIC_IDENTITY_TOKEN";

/// Every variable that discovery reads.
pub(crate) const VARIABLES: [&str; 15] = [
    API_KEY,
    AUTH_TOKEN,
    CLAUDE_CODE,
    PROFILE,
    CONFIG_DIR,
    BASE_URL,
    RULE,
    ORGANIZATION,
    SERVICE_ACCOUNT,
    WORKSPACE,
    TOKEN_FILE,
    TOKEN,
    "HOME",
    "XDG_CONFIG_HOME",
    "APPDATA",
];

/// Those that hold a credential themselves, the strongest first.
const STATIC: [&str; 3] = [API_KEY, AUTH_TOKEN, CLAUDE_CODE];

/// Those of the federation set: empty ones are errors, where the set would win.
const FEDERATION: [&str; 6] = [RULE, ORGANIZATION, SERVICE_ACCOUNT, WORKSPACE, TOKEN_FILE, TOKEN];

/// Where a federation was found whose ids are in variables.
const BY_VARIABLES: &str = "the federation variables";

const MAX_FILE_BYTES: u32 = 64 * 1024;

/// The file that names the active profile.
const ACTIVE_PROFILE: &str = "active_config";

/// Discovery under way.
#[derive(Debug)]
pub(crate) struct Discovery {
    limits: Discover,
    variables: Vec<(&'static str, Secret)>,
    directories: Vec<String>,
    stage: Stage,
    looked_at: Vec<String>,
    ignored: Vec<String>,
    /// What the host does not show.
    hidden: Vec<&'static str>,
}

#[derive(Debug)]
enum Stage {
    Variables,
    /// Reading `active_config` of the first directory left.
    ActiveProfile,
    /// Reading this profile from the first directory left.
    Profile {
        name: String,
        chosen_by: &'static str,
    },
    /// A variable holds the credential. Looking whether it hides a profile: this one, once the name is known.
    Hidden {
        variable: &'static str,
        bearer: Bearer,
        profile: Option<String>,
    },
}

/// What discovery needs or has found.
#[derive(Debug)]
pub(crate) enum Next {
    Read(FileRequest),
    Found(Found),
    Failed(Problem),
}

/// The credential that the environment describes.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) base_url: Option<BaseUrl>,
    pub(crate) credential: FoundCredential,
    /// The credentials file of the profile that a federation was found in, if its tokens are for the profile's own place.
    pub(crate) credentials: Option<String>,
    /// Where it was found, for people.
    pub(crate) by: String,
    /// What is set and not used, a sentence each.
    pub(crate) ignored: Vec<String>,
}

#[derive(Debug)]
pub(crate) enum FoundCredential {
    Bearer(Bearer),
    Federation(Federation),
}

/// Why there is no credential.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) message: String,
    pub(crate) action: String,
}

/// What became of a file.
#[derive(Debug)]
pub(crate) enum File {
    Content(Secret),
    Absent,
    Unreadable(String),
}

impl Discovery {
    pub(crate) fn new(limits: Discover) -> Self {
        Self {
            limits,
            variables: Vec::new(),
            directories: Vec::new(),
            stage: Stage::Variables,
            looked_at: Vec::new(),
            ignored: Vec::new(),
            hidden: Vec::new(),
        }
    }

    /// Takes a variable's value.
    pub(crate) fn variable(&mut self, name: &'static str, value: Secret) {
        self.variables.push((name, value));
    }

    /// The host does not say whether this variable is set.
    pub(crate) fn hidden(&mut self, name: &'static str) {
        self.hidden.push(name);
    }

    /// Goes on when all variables are there.
    pub(crate) fn variables_read(&mut self) -> Next {
        match self.by_variables() {
            Ok(next) => next,
            Err(problem) => Next::Failed(problem),
        }
    }

    /// Goes on with the file that was asked for.
    pub(crate) fn file(&mut self, file: File) -> Next {
        let next = match core::mem::replace(&mut self.stage, Stage::Variables) {
            Stage::ActiveProfile => self.active_profile(file),
            Stage::Profile { name, chosen_by } => self.profile(file, name, chosen_by),
            Stage::Hidden { variable, bearer, profile } => self.hidden_profile(file, variable, bearer, profile),
            // No file was asked for, so none is answered.
            Stage::Variables => Err(problem("A file was handed over that nobody asked for.", "Mend the host's driver.")),
        };
        next.unwrap_or_else(Next::Failed)
    }

    fn by_variables(&mut self) -> Result<Next, Problem> {
        if !self.hidden.is_empty() {
            let hidden = self.hidden.join(", ");
            self.ignored.push(format!("The host does not show {hidden}: treated as unset."));
        }
        for name in [API_KEY, AUTH_TOKEN, CLAUDE_CODE, PROFILE, CONFIG_DIR, BASE_URL] {
            if self.value(name).is_some_and(str::is_empty) {
                self.ignored.push(format!("The variable {name} is set and empty: treated as unset."));
            }
        }
        self.find_directories();
        if let Err(problem) = self.check_federation_variables() {
            // What is wrong with variables that do not win is worth a warning, and no more.
            let stronger = STATIC.iter().chain([&PROFILE]).any(|name| self.text(name).is_some());
            if self.limits.profile.is_none() && !stronger && self.would_be_the_federation() {
                return Err(problem);
            }
            self.ignored.push(problem.message);
        }
        if let Some(name) = self.limits.profile.clone() {
            return Ok(self.read_profile(name, "the configuration"));
        }
        if let Some((variable, bearer)) = self.static_credential()? {
            return self.shadowed_by(variable, bearer);
        }
        if let Some(name) = self.text(PROFILE) {
            if self.raw(PROFILE).is_some_and(|raw| raw != name) {
                return Err(problem(
                    &format!("The variable {PROFILE} has white space around the profile's name."),
                    "Set it to the name alone.",
                ));
            }
            check_profile_name(name).map_err(|message| {
                problem(&format!("The variable {PROFILE} {message}."), "Name a profile as it is listed in the config directory.")
            })?;
            let name = name.to_owned();
            return Ok(self.read_profile(name, PROFILE));
        }
        if self.text(RULE).is_some() && self.text(ORGANIZATION).is_some() && self.identity_source().is_some() {
            let federation = self.federation(&Value::Null)?;
            return self.found(FoundCredential::Federation(federation), None, BY_VARIABLES.to_owned());
        }
        self.read_active_profile()
    }

    /// Whether the federation is there but for an identity token: the platform is looked for, unless there is a profile.
    fn lacks_only_the_identity_token(&self) -> bool {
        RECIPES && self.text(RULE).is_some() && self.text(ORGANIZATION).is_some() && self.identity_source().is_none()
    }

    /// Whether all variables without which there is no federation are set, were none of them empty; and not all of them are.
    fn would_be_the_federation(&self) -> bool {
        let set = |name: &&str| self.value(name).is_some();
        let source = [TOKEN_FILE, TOKEN];
        [RULE, ORGANIZATION].iter().all(set)
            && source.iter().any(set)
            && [RULE, ORGANIZATION, TOKEN_FILE, TOKEN].iter().any(|name| self.text(name).is_some())
    }

    /// What is wrong with a variable of the federation set, by itself.
    fn check_federation_variables(&mut self) -> Result<(), Problem> {
        for name in FEDERATION {
            if !self.value(name).is_some_and(str::is_empty) {
                continue;
            }
            let problem = problem(
                &format!("The variable {name} is set and empty."),
                "Unset it, or give it its value. An empty variable usually comes from a template that was not filled in.",
            );
            // Of the two that name a source, one is enough.
            let other = match name {
                TOKEN => TOKEN_FILE,
                TOKEN_FILE => TOKEN,
                _ => return Err(problem),
            };
            if self.text(other).is_none() {
                return Err(problem);
            }
            self.ignored.push(problem.message);
        }
        let path = self.value(TOKEN_FILE).unwrap_or_default();
        let Some((what, action)) = in_place_of_a_path(path, "Put the token into ANTHROPIC_IDENTITY_TOKEN.") else {
            return Ok(());
        };
        Err(problem(&format!("The variable {TOKEN_FILE} {what}."), action))
    }

    /// A key or bearer in a variable goes before all but an explicit choice of profile by the configuration.
    fn static_credential(&mut self) -> Result<Option<(&'static str, Bearer)>, Problem> {
        let mut set = STATIC.into_iter().filter(|name| self.text(name).is_some());
        let Some(name) = set.next() else { return Ok(None) };
        let others: Vec<String> = set.map(|other| format!("{name} and {other} are both set: {name} is used.")).collect();
        self.ignored.extend(others);
        let value = self.text(name).map(Secret::from).unwrap_or_default();
        if let Some(what) = in_place_of_a_token(value.reveal()) {
            return Err(problem(&format!("The variable {name} {what}."), "Set it to the bare key or token."));
        }
        crate::answer::check_token(value.reveal()).map_err(|what| {
            problem(&format!("The variable {name} cannot be used: {what}."), "Set it to the bare key or token.")
        })?;
        if name != API_KEY && value.reveal().starts_with("sk-ant-api") {
            self.ignored.push(format!("{name} holds an API key, which is sent as it is: an API key belongs in {API_KEY}."));
        }
        if name == API_KEY && value.reveal().starts_with("sk-ant-oat") {
            self.ignored.push(format!("{API_KEY} holds an access token, which is sent as a key: it belongs in {AUTH_TOKEN}."));
        }
        let bearer = match name {
            API_KEY => Bearer::ApiKey { key: value, in_header: self.limits.api_key_in },
            CLAUDE_CODE => Bearer::LongLived(value),
            _ => Bearer::Literal(value),
        };
        Ok(Some((name, bearer)))
    }

    /// A variable holds the credential: tells what it hides, and goes on to the profile that it may hide.
    fn shadowed_by(&mut self, variable: &'static str, bearer: Bearer) -> Result<Next, Problem> {
        let what = if self.text(PROFILE).is_some() {
            "the profile that ANTHROPIC_PROFILE names"
        } else if self.text(RULE).is_some() && self.text(ORGANIZATION).is_some() && self.identity_source().is_some() {
            BY_VARIABLES
        } else if [RULE, TOKEN_FILE, TOKEN].iter().any(|name| self.text(name).is_some()) {
            // They are incomplete, and hide nothing; the profile may take what it lacks from them.
            self.ignored.push(format!("{variable} is set, so the federation variables are not looked at."));
            return self.look_at_hidden(variable, bearer);
        } else {
            return self.look_at_hidden(variable, bearer);
        };
        self.hides(variable, what)?;
        self.found_by_variable(variable, bearer)
    }

    /// Looks at the profile that would be used without the variable, in the next directory.
    fn look_at_hidden(&mut self, variable: &'static str, bearer: Bearer) -> Result<Next, Problem> {
        let Some(directory) = self.directories.first() else { return self.found_by_variable(variable, bearer) };
        let path = format!("{directory}/active_config");
        self.stage = Stage::Hidden { variable, bearer, profile: None };
        Ok(self.read(path))
    }

    fn found_by_variable(&mut self, variable: &str, bearer: Bearer) -> Result<Next, Problem> {
        self.found(FoundCredential::Bearer(bearer), None, format!("the variable {variable}"))
    }

    /// A file of the profile that the variable hides. Whatever is wrong with it does not matter: it is not used.
    fn hidden_profile(
        &mut self,
        file: File,
        variable: &'static str,
        bearer: Bearer,
        profile: Option<String>,
    ) -> Result<Next, Problem> {
        let content = match file {
            File::Content(content) => Some(content),
            _ => None,
        };
        match (content, profile) {
            (content, None) => {
                let name = content.as_ref().map_or("", |name| name.reveal().trim());
                let name = if check_profile_name(name).is_ok() { name } else { "default" };
                let directory = self.directories.first().cloned().unwrap_or_default();
                self.stage = Stage::Hidden { variable, bearer, profile: Some(name.to_owned()) };
                Ok(self.read(format!("{directory}/configs/{name}.json")))
            }
            (Some(content), Some(_)) => {
                let profile: Value = serde_json::from_str(content.reveal()).unwrap_or_default();
                if profile["authentication"]["type"] == "oidc_federation" {
                    let what = format!("the profile {}", self.last_path());
                    self.hides(variable, &what)?;
                } else if profile["authentication"]["type"] == "user_oauth" {
                    self.ignored.push(format!(
                        "{variable} is set, so it is used instead of the login of the profile {}.",
                        self.last_path()
                    ));
                }
                self.found_by_variable(variable, bearer)
            }
            (None, Some(_)) => {
                if !self.directories.is_empty() {
                    self.directories.remove(0);
                }
                self.look_at_hidden(variable, bearer)
            }
        }
    }

    /// Whether what is read now is only for a warning.
    pub(crate) fn only_warns(&self) -> bool {
        matches!(self.stage, Stage::Hidden { .. }) && self.limits.shadowing == Shadowing::Warn
    }

    /// Tells that a variable goes before a federation. A host may have said that this is an error.
    fn hides(&mut self, variable: &str, what: &str) -> Result<(), Problem> {
        let message = format!("{variable} is set, so it is used instead of {what}.");
        let action =
            format!("Unset {variable} where this program is started: in its shell profile, unit, manifest, container or job.");
        match self.limits.shadowing {
            Shadowing::Warn => self.ignored.push(format!("{message} {action}")),
            Shadowing::Refuse => {
                return Err(problem(
                    &message,
                    &format!("{action} If the static credential is meant, set discover.shadowing to \"warn\"."),
                ));
            }
        }
        Ok(())
    }

    fn find_directories(&mut self) {
        let chosen = self.limits.config_dir.clone().or_else(|| self.text(CONFIG_DIR).map(str::to_owned));
        self.directories = match chosen {
            Some(directory) => vec![directory.trim_end_matches('/').to_owned()],
            None => {
                let usual = |(name, path)| self.text(name).map(|directory| wif_rules::below(directory, path));
                wif_rules::PROFILE_DIRECTORIES.into_iter().filter_map(usual).collect()
            }
        };
        self.directories.dedup();
    }

    fn read_active_profile(&mut self) -> Result<Next, Problem> {
        let Some(directory) = self.directories.first() else { return self.no_profile() };
        let path = format!("{directory}/active_config");
        self.stage = Stage::ActiveProfile;
        Ok(self.read(path))
    }

    fn active_profile(&mut self, file: File) -> Result<Next, Problem> {
        match file {
            File::Content(name) => {
                let name = name.reveal().trim();
                if name.is_empty() {
                    return Ok(self.read_profile("default".to_owned(), ""));
                }
                check_profile_name(name).map_err(|message| {
                    problem(
                        &format!("The profile's name in {} {message}.", self.last_path()),
                        "Write the name of a profile into it.",
                    )
                })?;
                Ok(self.read_profile(name.to_owned(), ACTIVE_PROFILE))
            }
            File::Absent => Ok(self.read_profile("default".to_owned(), "")),
            File::Unreadable(why) => Err(self.unreadable(&why)),
        }
    }

    fn read_profile(&mut self, name: String, chosen_by: &'static str) -> Next {
        let Some(directory) = self.directories.first() else {
            return Next::Failed(problem(
                &format!("There is no config directory in which the profile {name} could be."),
                "Set ANTHROPIC_CONFIG_DIR or HOME.",
            ));
        };
        let path = format!("{directory}/configs/{name}.json");
        self.stage = Stage::Profile { name, chosen_by };
        self.read(path)
    }

    fn profile(&mut self, file: File, name: String, chosen_by: &'static str) -> Result<Next, Problem> {
        let content = match file {
            File::Content(content) => content,
            File::Unreadable(why) => return Err(self.unreadable(&why)),
            File::Absent => {
                self.directories.remove(0);
                return match (self.directories.is_empty(), chosen_by) {
                    (false, "") => self.read_active_profile(),
                    (false, _) => Ok(self.read_profile(name, chosen_by)),
                    (true, "") => self.no_profile(),
                    (true, _) => Err(problem(
                        &format!(
                            "The profile {name}, chosen by {chosen_by}, does not exist: there is no {}.",
                            self.looked_at.join(", no ")
                        ),
                        "Create it, or choose another.",
                    )),
                };
            }
        };
        if let (Some(incomplete), "" | ACTIVE_PROFILE) = (self.incomplete(), chosen_by) {
            self.ignored.push(format!("{incomplete} The profile is used."));
        }
        let path = self.last_path();
        let profile: Value = serde_json::from_str(content.reveal())
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| problem(&format!("The profile {path} is not a JSON object."), "Mend the file."))?;
        let base_url = profile["base_url"].as_str().filter(|url| !url.is_empty()).map(str::to_owned);
        let by = format!("the profile {path}");
        let directory = self.directories.first().map(String::as_str).unwrap_or_default();
        let usual = format!("{directory}/credentials/{name}.json");
        let overriding = self.expanded(profile["authentication"]["credentials_path"].as_str().unwrap_or_default().trim());
        match profile["authentication"]["type"].as_str() {
            Some("oidc_federation") => {
                let federation = self.federation(&profile)?;
                // The token of another place is none for those who read the profile alone.
                let moved = self.text(BASE_URL).is_some_and(|url| base_url.as_deref() != Some(url));
                let mut next = self.found(FoundCredential::Federation(federation), base_url, by)?;
                if let (Next::Found(found), true) = (&mut next, LOGINS && !moved) {
                    found.credentials = Some(if overriding.is_empty() { usual } else { overriding });
                }
                Ok(next)
            }
            Some("user_oauth") if LOGINS => {
                let workspace = profile["workspace_id"].as_str().map(str::trim).filter(|id| !id.is_empty());
                let login = Login::of_profile(
                    &profile["authentication"],
                    &overriding,
                    &usual,
                    workspace.or_else(|| self.text(WORKSPACE)),
                )
                .map_err(|what| problem(&format!("The profile {path} {what}."), "Mend the file, or run `wif login` again."))?;
                self.found(FoundCredential::Bearer(Bearer::Login(Box::new(login))), base_url, by)
            }
            Some("user_oauth") => Err(problem(
                &format!("The profile {path} is an interactive login (user_oauth), which this host does not serve."),
                "Choose a profile whose authentication.type is oidc_federation, or set the federation variables.",
            )),
            _ => Err(problem(
                &format!("The profile {path} has no authentication.type that is known."),
                "Set authentication.type to oidc_federation or user_oauth.",
            )),
        }
    }

    /// The federation of a profile, with what is missing in it from the variables.
    fn federation(&self, profile: &Value) -> Result<Federation, Problem> {
        let authentication = &profile["authentication"];
        let pick = |of: &Value, key: &str, variable: &str| {
            let configured = of[key].as_str().map(str::trim).filter(|value| !value.is_empty());
            configured.or_else(|| self.text(variable)).map(str::to_owned)
        };
        let missing = |what: &str, variable: &str| {
            problem(
                &format!("The federation is incomplete: {what} is missing."),
                &format!("Set {variable}, or {what} in the profile."),
            )
        };
        let identity_token = match &authentication["identity_token"] {
            Value::Null if profile.is_null() && self.lacks_only_the_identity_token() => {
                IdentityTokenSource::Recipe(Box::new(RecipeSource { platform: Platform::Auto, given: Vec::new() }))
            }
            Value::Null => self.identity_source().ok_or_else(|| missing("authentication.identity_token", TOKEN_FILE))?,
            source if source["source"] == "file" => {
                let path = source["path"].as_str().filter(|path| !path.is_empty());
                let path =
                    path.ok_or_else(|| problem("authentication.identity_token.path is missing or empty.", "Name the file."))?;
                if let Some((what, action)) = in_place_of_a_path(path, "Write the token into a file, and name that.") {
                    return Err(problem(&format!("authentication.identity_token.path {what}."), action));
                }
                IdentityTokenSource::File(self.expanded(path))
            }
            _ => {
                return Err(problem(
                    "authentication.identity_token.source is not known.",
                    "Profiles know the source `file`; other sources go into this program's own configuration.",
                ));
            }
        };
        let federation = Federation {
            rule: pick(authentication, "federation_rule_id", RULE).ok_or_else(|| missing("federation_rule_id", RULE))?,
            organization: pick(profile, "organization_id", ORGANIZATION)
                .ok_or_else(|| missing("organization_id", ORGANIZATION))?,
            service_account: pick(authentication, "service_account_id", SERVICE_ACCOUNT),
            workspace: pick(profile, "workspace_id", WORKSPACE),
            identity_token,
            reuse: Reuse::Auto,
        };
        federation.check().map_err(|(field, message)| {
            let variable = match field {
                "federation_rule_id" => RULE,
                "organization_id" => ORGANIZATION,
                "service_account_id" => SERVICE_ACCOUNT,
                _ => WORKSPACE,
            };
            problem(&format!("{field} (variable {variable}, or the profile) {message}."), "Copy it from the console.")
        })?;
        Ok(federation)
    }

    fn identity_source(&self) -> Option<IdentityTokenSource> {
        let file = self.text(TOKEN_FILE).map(|path| IdentityTokenSource::File(self.expanded(path)));
        file.or_else(|| self.text(TOKEN).map(|_| IdentityTokenSource::Variable(TOKEN.to_owned())))
    }

    /// The path with `~` replaced by the home directory, where that is known.
    fn expanded(&self, path: &str) -> String {
        wif_rules::in_home(path, self.text("HOME"))
    }

    fn found(&mut self, credential: FoundCredential, base_url: Option<String>, by: String) -> Result<Next, Problem> {
        let (text, whence) = match (self.text(BASE_URL), base_url) {
            (Some(url), _) => (Some(url.to_owned()), format!("The variable {BASE_URL}")),
            (None, Some(url)) => (Some(url), "The profile's base_url".to_owned()),
            (None, None) => (None, String::new()),
        };
        let base_url = text.map(|text| BaseUrl::parse(&text)).transpose().map_err(|message| {
            problem(&format!("{whence} {message}."), "Give the API's URL, such as https://api.anthropic.com.")
        })?;
        let ignored = core::mem::take(&mut self.ignored);
        Ok(Next::Found(Found { base_url, credential, credentials: None, by, ignored }))
    }

    /// No profile is active. The federation's variables alone are enough where the platform gives identity tokens.
    fn no_profile(&mut self) -> Result<Next, Problem> {
        if !self.lacks_only_the_identity_token() {
            return Err(self.nothing_found());
        }
        let federation = self.federation(&Value::Null)?;
        self.found(FoundCredential::Federation(federation), None, BY_VARIABLES.to_owned())
    }

    fn nothing_found(&self) -> Problem {
        let files = self.looked_at.join(", ");
        let files = if files.is_empty() { String::new() } else { format!(" There is no profile ({files}).") };
        if let Some(incomplete) = self.incomplete() {
            return problem(&format!("{incomplete}{files}"), "Set what is missing.");
        }
        let hidden = self.hidden.join(", ");
        let hidden = if hidden.is_empty() { String::new() } else { format!(" The host does not show {hidden}.") };
        problem(
            &format!("No credential is configured: no ANTHROPIC_* variable for one is set.{files}{hidden}"),
            "Set ANTHROPIC_FEDERATION_RULE_ID, ANTHROPIC_ORGANIZATION_ID and ANTHROPIC_IDENTITY_TOKEN_FILE.",
        )
    }

    /// A sentence about the federation variables where some are set and others are not.
    fn incomplete(&self) -> Option<String> {
        let given: Vec<&str> =
            [RULE, ORGANIZATION, TOKEN_FILE, TOKEN].into_iter().filter(|name| self.text(name).is_some()).collect();
        let mut missing: Vec<&str> = [RULE, ORGANIZATION].into_iter().filter(|name| self.text(name).is_none()).collect();
        if self.identity_source().is_none() {
            missing.push("ANTHROPIC_IDENTITY_TOKEN_FILE (or ANTHROPIC_IDENTITY_TOKEN)");
        }
        let (given, missing) = (given.join(", "), missing.join(", "));
        (!given.is_empty() && !missing.is_empty())
            .then(|| format!("The federation variables are incomplete. Set: {given}. Missing: {missing}."))
    }

    fn read(&mut self, path: String) -> Next {
        self.looked_at.push(path.clone());
        Next::Read(FileRequest { path, max_bytes: MAX_FILE_BYTES, protection: FileProtection::UnwritableByOthers })
    }

    fn unreadable(&self, why: &str) -> Problem {
        problem(&format!("{} cannot be read: {why}.", self.last_path()), "Mend the file or its permissions.")
    }

    fn last_path(&self) -> String {
        self.looked_at.last().cloned().unwrap_or_default()
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.raw(name).map(str::trim)
    }

    /// With white space around it.
    fn raw(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.reveal())
    }
}

/// What stands where the path of an identity token belongs, if it is one of the usual mistakes, and what to do.
fn in_place_of_a_path(path: &str, with_a_token: &'static str) -> Option<(&'static str, &'static str)> {
    if looks_like_jwt(path) {
        Some(("holds an identity token, where only its path belongs", with_a_token))
    } else if looks_like_key(path) {
        Some(("holds a key or a token, where only the path of an identity token belongs", "Write the path of its file."))
    } else if path.starts_with("file:") {
        Some(("is a URL, where only the path belongs", "Write /run/token in place of file:///run/token."))
    } else if path.starts_with(['"', '\'']) {
        Some(("is in quotes", "Leave the quotes out: a file with variables, such as docker's --env-file, keeps them."))
    } else {
        None
    }
}

fn problem(message: &str, action: &str) -> Problem {
    Problem { message: message.to_owned(), action: action.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
    const ORGANIZATION_ID: &str = "3f2b8c1e-0000-4000-8000-1234567890ab";
    const FEDERATED: [(&str, &str); 3] = [(RULE, "fdrl_1"), (ORGANIZATION, ORGANIZATION_ID), (TOKEN_FILE, "/token")];
    const HOME: (&str, &str) = ("HOME", "/home/app");
    const PROFILES: &str = "/home/app/.config/anthropic";
    const OF_FEDERATION: &str = r#"{"authentication": {"type": "oidc_federation"}}"#;

    /// What came of it.
    struct Outcome {
        /// By what the credential was found, or the problem.
        by: Result<String, String>,
        warnings: Vec<String>,
        /// The files that were asked for, and whether only for a warning.
        asked: Vec<(String, bool)>,
    }

    impl Outcome {
        fn warns(&self, of: &str) -> bool {
            self.warnings.iter().any(|warning| warning.contains(of))
        }
    }

    fn with(limits: Discover, variables: &[&[(&'static str, &str)]], files: &[(String, &str)]) -> Outcome {
        let mut discovery = Discovery::new(limits);
        for (name, value) in variables.iter().copied().flatten() {
            discovery.variable(name, Secret::from(*value));
        }
        let mut asked = Vec::new();
        let mut next = discovery.variables_read();
        loop {
            match next {
                Next::Read(file) => {
                    asked.push((file.path.clone(), discovery.only_warns()));
                    let found = files.iter().find(|(path, _)| *path == file.path);
                    next = discovery.file(found.map_or(File::Absent, |(_, content)| File::Content(Secret::from(*content))));
                }
                Next::Found(found) => return Outcome { by: Ok(found.by), warnings: found.ignored, asked },
                Next::Failed(problem) => {
                    let (by, warnings) = (Err(problem.message), core::mem::take(&mut discovery.ignored));
                    return Outcome { by, warnings, asked };
                }
            }
        }
    }

    fn found(variables: &[&[(&'static str, &str)]], files: &[(String, &str)]) -> Outcome {
        with(Discover::default(), variables, files)
    }

    #[test]
    fn what_a_host_does_not_show_is_said() {
        let mut discovery = Discovery::new(Discover::default());
        discovery.hidden("HOME");
        discovery.hidden(PROFILE);
        let Next::Failed(problem) = discovery.variables_read() else { panic!("nothing is configured") };
        assert!(problem.message.ends_with("The host does not show HOME, ANTHROPIC_PROFILE."), "{}", problem.message);
        assert_eq!(discovery.ignored, ["The host does not show HOME, ANTHROPIC_PROFILE: treated as unset."]);
        let shown = found(&[&[(AUTH_TOKEN, "sk-ant-oat01-a")]], &[]);
        assert_eq!((shown.by.as_deref(), shown.warnings.len()), (Ok("the variable ANTHROPIC_AUTH_TOKEN"), 0));
    }

    /// A11: what is wrong with a federation variable is an error where the set would win, and a warning where it does not.
    #[test]
    fn an_empty_federation_variable_is_an_error_where_it_matters() {
        let empty = "The variable ANTHROPIC_WORKSPACE_ID is set and empty.";
        let broken: &[(&str, &str)] = &[FEDERATED[0], FEDERATED[1], FEDERATED[2], (WORKSPACE, "")];
        assert_eq!(found(&[broken], &[]).by, Err(empty.to_owned()));
        let files = [(format!("{PROFILES}/configs/p.json"), OF_FEDERATION)];
        for stronger in [(API_KEY, "key"), (AUTH_TOKEN, "sk-ant-oat01-a"), (PROFILE, "p")] {
            let outcome = found(&[broken, &[stronger, HOME]], &files);
            assert!(outcome.by.as_ref().is_ok_and(|by| by.contains("variable") || by.contains("profile")), "{:?}", outcome.by);
            assert!(outcome.warns(empty), "{:?}", outcome.warnings);
        }
        let limits = Discover { profile: Some("p".to_owned()), ..Discover::default() };
        let outcome = with(limits, &[broken, &[HOME]], &files);
        assert!(outcome.by.is_ok() && outcome.warns(empty), "{:?}", outcome.by);
    }

    /// A11: an incomplete set is no set, whatever is empty in it, and all of it empty is none either.
    #[test]
    fn an_incomplete_federation_is_a_warning_beside_a_profile() {
        let profile =
            (format!("{PROFILES}/configs/default.json"), r#"{"authentication": {"type": "user_oauth", "client_id": "c"}}"#);
        for (variables, warning) in [
            (&[(RULE, "fdrl_1"), (WORKSPACE, "")][..], "The variable ANTHROPIC_WORKSPACE_ID is set and empty."),
            (
                &[FEDERATED[0], FEDERATED[1], (WORKSPACE, "")],
                "Missing: ANTHROPIC_IDENTITY_TOKEN_FILE (or ANTHROPIC_IDENTITY_TOKEN).",
            ),
            (&[FEDERATED[0], FEDERATED[2], (WORKSPACE, "")], "Missing: ANTHROPIC_ORGANIZATION_ID."),
            (&[FEDERATED[1], FEDERATED[2], (WORKSPACE, "")], "Missing: ANTHROPIC_FEDERATION_RULE_ID."),
            (&[(RULE, ""), (ORGANIZATION, ""), (TOKEN_FILE, ""), (TOKEN, "")], "is set and empty."),
        ] {
            let outcome = found(&[variables, &[HOME]], core::slice::from_ref(&profile));
            assert_eq!(outcome.by, Ok(format!("the profile {}", profile.0)), "{variables:?}");
            assert!(outcome.warns(warning), "{variables:?}: {:?}", outcome.warnings);
        }
        let outcome = found(&[&[FEDERATED[0], FEDERATED[2]]], &[]);
        let incomplete =
            "The federation variables are incomplete. Set: ANTHROPIC_FEDERATION_RULE_ID, ANTHROPIC_IDENTITY_TOKEN_FILE.";
        assert!(outcome.by.as_ref().is_err_and(|problem| problem.starts_with(incomplete)), "{:?}", outcome.by);
        assert!(found(&[&FEDERATED[..]], &[]).warnings.is_empty(), "it is complete");
    }

    /// The platform is asked where everything is there but an identity token, and nothing else says where one is.
    #[test]
    fn a_platform_is_looked_for_where_only_the_identity_token_is_missing() {
        let outcome = found(&[&FEDERATED[..2], &[HOME]], &[]);
        assert_eq!(outcome.by.is_ok(), RECIPES, "{:?}", outcome.by);
        assert!(outcome.warnings.is_empty() && outcome.asked.len() == 2, "{:?}", outcome.warnings);
        assert_eq!(found(&[&FEDERATED[..2]], &[]).by.is_ok(), RECIPES, "nowhere is a profile");
        // A profile is whole, or says what it lacks.
        let profile = (format!("{PROFILES}/configs/default.json"), OF_FEDERATION);
        let outcome = found(&[&FEDERATED[..2], &[HOME]], &[profile]);
        assert!(outcome.by.is_err_and(|problem| problem.contains("authentication.identity_token is missing")));
        for named in [&[(PROFILE, "p")][..], &[(TOKEN, "")], &[(TOKEN_FILE, "")]] {
            assert!(found(&[&FEDERATED[..2], &[HOME], named], &[]).by.is_err(), "{named:?}");
        }
    }

    /// Neither makes a federation by itself, whatever the platform is.
    #[test]
    fn a_rule_alone_and_an_organization_alone_are_told_with_all_that_is_missing() {
        let source = "ANTHROPIC_IDENTITY_TOKEN_FILE (or ANTHROPIC_IDENTITY_TOKEN)";
        for (given, missing) in [(FEDERATED[0], ORGANIZATION), (FEDERATED[1], RULE)] {
            let says = format!("The federation variables are incomplete. Set: {}. Missing: {missing}, {source}.", given.0);
            assert_eq!(found(&[&[given]], &[]).by, Err(says));
        }
    }

    /// A11: of the two variables that name a source, the one that is there counts.
    #[test]
    fn an_empty_source_beside_another_one_is_a_warning() {
        for (empty, other, value) in [(TOKEN, TOKEN_FILE, "/token"), (TOKEN_FILE, TOKEN, JWT)] {
            let outcome = found(&[&FEDERATED[..2], &[(empty, ""), (other, value)]], &[]);
            assert_eq!(outcome.by, Ok("the federation variables".to_owned()), "{empty}");
            assert!(outcome.warns(&format!("The variable {empty} is set and empty.")), "{:?}", outcome.warnings);
            let outcome = found(&[&FEDERATED[..2], &[(empty, "")]], &[]);
            assert_eq!(outcome.by, Err(format!("The variable {empty} is set and empty.")));
        }
    }

    #[test]
    fn a_key_among_tokens_and_a_token_among_keys_are_used_with_a_word_about_it() {
        for (name, value, warning) in [
            (API_KEY, "sk-ant-api03-a", None),
            (API_KEY, "sk-ant-oat01-a", Some("ANTHROPIC_API_KEY holds an access token")),
            (AUTH_TOKEN, "sk-ant-oat01-a", None),
            (AUTH_TOKEN, "sk-ant-api03-a", Some("ANTHROPIC_AUTH_TOKEN holds an API key")),
            (CLAUDE_CODE, "sk-ant-api03-a", Some("CLAUDE_CODE_OAUTH_TOKEN holds an API key")),
        ] {
            let outcome = found(&[&[(name, value)]], &[]);
            assert_eq!(outcome.by, Ok(format!("the variable {name}")));
            assert_eq!(outcome.warnings.len(), usize::from(warning.is_some()), "{:?}", outcome.warnings);
            assert!(warning.is_none_or(|warning| outcome.warns(warning)), "{:?}", outcome.warnings);
        }
    }

    /// A static credential hides a federation only if all of it is there.
    #[test]
    fn what_a_key_hides_is_named() {
        let key = (API_KEY, "key");
        for (variables, warning) in [
            (&FEDERATED[..], "used instead of the federation variables"),
            (&[FEDERATED[0], FEDERATED[1]], "the federation variables are not looked at"),
            (&[FEDERATED[0], FEDERATED[2]], "the federation variables are not looked at"),
            (&[FEDERATED[1], FEDERATED[2]], "the federation variables are not looked at"),
            (&[(PROFILE, "p")], "used instead of the profile that ANTHROPIC_PROFILE names"),
        ] {
            let outcome = found(&[&[key], variables], &[]);
            assert_eq!(outcome.warnings.len(), 1, "{variables:?}: {:?}", outcome.warnings);
            assert!(outcome.warns(warning), "{variables:?}: {:?}", outcome.warnings);
        }
        assert!(found(&[&[key]], &[]).warnings.is_empty());
        let default = format!("{PROFILES}/configs/default.json");
        for (profile, warning) in [
            (OF_FEDERATION, Some(format!("used instead of the profile {default}"))),
            (
                r#"{"authentication": {"type": "user_oauth"}}"#,
                Some(format!("used instead of the login of the profile {default}")),
            ),
            (r#"{"authentication": {"type": "another"}}"#, None),
            ("no document", None),
        ] {
            let outcome = found(&[&[key, HOME]], &[(default.clone(), profile)]);
            assert_eq!(outcome.warnings.len(), usize::from(warning.is_some()), "{profile}: {:?}", outcome.warnings);
            assert!(warning.is_none_or(|warning| outcome.warns(&warning)), "{profile}: {:?}", outcome.warnings);
            assert_eq!(outcome.asked, [(format!("{PROFILES}/active_config"), true), (default.clone(), true)]);
        }
    }

    /// Files are looked at for a warning alone only where a warning is all that may come of it.
    #[test]
    fn where_shadowing_is_refused_the_files_decide() {
        let limits = Discover { shadowing: Shadowing::Refuse, ..Discover::default() };
        let default = format!("{PROFILES}/configs/default.json");
        let outcome = with(limits, &[&[(API_KEY, "key"), HOME]], &[(default.clone(), OF_FEDERATION)]);
        let hides = format!("ANTHROPIC_API_KEY is set, so it is used instead of the profile {default}.");
        assert_eq!(outcome.by, Err(hides));
        assert!(outcome.asked.iter().all(|(_, only_warns)| !only_warns), "{:?}", outcome.asked);
        let outcome = found(&[&[HOME]], &[]);
        assert!(outcome.asked.len() == 2 && outcome.asked.iter().all(|(_, only_warns)| !only_warns), "{:?}", outcome.asked);
    }

    #[test]
    fn a_profile_that_is_of_no_use_says_why() {
        let source = |identity_token: &str| {
            format!(
                r#"{{"organization_id": "{ORGANIZATION_ID}", "authentication": {{"type": "oidc_federation",
                    "federation_rule_id": "fdrl_1", "identity_token": {identity_token}}}}}"#
            )
        };
        for (profile, says) in [
            (r#"{"authentication": {"type": "another"}}"#.to_owned(), "has no authentication.type that is known."),
            (source(r#"{"source": "another", "path": "/token"}"#), "authentication.identity_token.source is not known."),
            (source(r#"{"source": "file"}"#), "authentication.identity_token.path is missing or empty."),
        ] {
            let outcome = found(&[&[HOME]], &[(format!("{PROFILES}/configs/default.json"), &profile)]);
            assert!(outcome.by.as_ref().is_err_and(|problem| problem.contains(says)), "{profile}: {:?}", outcome.by);
        }
        let good = source(r#"{"source": "file", "path": "/token"}"#);
        assert!(found(&[&[HOME]], &[(format!("{PROFILES}/configs/default.json"), &good)]).by.is_ok());
    }

    /// A13: the variable is named that an id came from.
    #[test]
    fn an_id_that_is_malformed_is_named_with_its_variable() {
        for (name, field) in [
            (RULE, "federation_rule_id"),
            (ORGANIZATION, "organization_id"),
            (SERVICE_ACCOUNT, "service_account_id"),
            (WORKSPACE, "workspace_id"),
        ] {
            let variables: Vec<_> = FEDERATED.into_iter().filter(|(known, _)| *known != name).collect();
            let outcome = found(&[&variables, &[(name, "x y")]], &[]);
            let begins = format!("{field} (variable {name}, or the profile) ");
            assert!(outcome.by.as_ref().is_err_and(|problem| problem.starts_with(&begins)), "{:?}", outcome.by);
        }
    }
}
