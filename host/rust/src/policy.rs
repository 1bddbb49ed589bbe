//! What the component may have done for it. It asks; this decides, whatever it says.

mod grants;
mod origin;
mod sources;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use crate::clock::millis;
use crate::environment::variable;
use crate::error::PolicyError;
pub(crate) use grants::{Grants, check_exchange_header, is_credential, is_merged, is_whole_credential};
pub(crate) use origin::{Origin, Reach};
pub(crate) use sources::{Way, is_metadata};

/// The variables that discovery reads beside those whose names start with [`PREFIX`].
const VARIABLES: [&str; 4] = ["CLAUDE_CODE_OAUTH_TOKEN", "HOME", "XDG_CONFIG_HOME", "APPDATA"];
const PREFIX: &str = "ANTHROPIC_";

/// The variable that allows this machine, for development.
const ALLOW_LOOPBACK: &str = "WIF_ALLOW_LOOPBACK";

/// Limits on everything that leaves or enters on the component's word.
///
/// By default:
///
/// - requests go to the token endpoint at `https://api.anthropic.com` and nowhere else: to its path, by `POST`, with the header
///   fields of an exchange, without redirects and without a proxy; a host's public name that resolves to a private or local
///   address is refused;
/// - files are read that the configuration names or, where it leaves the credential to discovery, that discovery reads, if they
///   are regular files of bounded size; a relative path begins where the program was started; a profile only if nobody but root and
///   this process's user could have written it or put another in its place, and if it is no link out of its directory;
/// - the credentials file of a profile is read and replaced, and never made, if this process's user alone may use it;
/// - environment variables are read that discovery reads, where the configuration leaves the credential to it;
/// - a platform is asked for identity tokens that the configuration names as their source: the variables, files and requests of
///   its recipe, and no others. Plain `http` goes to this machine and its metadata service only, and never through a proxy;
/// - no program is run: a configuration that names one as the source needs [`allow_executable`](Policy::allow_executable), too;
/// - a recipe in the configuration itself (source `http`) reads allowed variables and sends requests to allowed origins only;
/// - a request takes at most a minute, and a callable or a store half a minute.
///
/// ```
/// # fn main() -> Result<(), wif::PolicyError> {
/// let policy = wif::Policy::default()
///     .allow_origin("http://127.0.0.1:8080")?
///     .allow_directory("/var/run/secrets/anthropic.com")
///     .allow_variable("CI_JOB_TOKEN");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Policy {
    origins: Vec<Origin>,
    loopback: bool,
    directories: Option<Vec<PathBuf>>,
    variables: BTreeSet<String>,
    sources: Option<BTreeSet<String>>,
    executables: BTreeSet<String>,
    /// No source may send a request, and no login is refreshed.
    silent: bool,
    request_timeout: Duration,
    callable_timeout: Duration,
    proxy: Option<Url>,
    /// The hosts that are reached without the proxy, as the environment names them.
    past_the_proxy: Option<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            origins: Origin::parse("https://api.anthropic.com", Reach::Public).into_iter().collect(),
            loopback: false,
            directories: None,
            variables: VARIABLES.into_iter().map(str::to_owned).collect(),
            sources: None,
            executables: BTreeSet::new(),
            silent: false,
            request_timeout: Duration::from_secs(60),
            callable_timeout: Duration::from_secs(30),
            proxy: None,
            past_the_proxy: None,
        }
    }
}

/// Without the name and password that the proxy's URL may have.
impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            origins,
            loopback,
            directories,
            variables,
            sources,
            executables,
            silent,
            request_timeout,
            callable_timeout,
            proxy,
            past_the_proxy,
        } = self;
        formatter
            .debug_struct("Policy")
            .field("origins", origins)
            .field("loopback", loopback)
            .field("directories", directories)
            .field("variables", variables)
            .field("sources", sources)
            .field("executables", executables)
            .field("silent", silent)
            .field("request_timeout", request_timeout)
            .field("callable_timeout", callable_timeout)
            .field("proxy", &proxy.as_ref().map(|proxy| proxy.origin().ascii_serialization()))
            .field("past_the_proxy", past_the_proxy)
            .finish()
    }
}

impl Policy {
    /// Allows no origin any longer, no request of a source and no refresh of a login: what a credential finds in variables and files
    /// can be looked at, nothing is sent, and the credentials file of a profile stays as it is.
    #[must_use]
    pub fn without_origins(mut self) -> Self {
        self.origins.clear();
        self.loopback = false;
        self.silent = true;
        self
    }

    /// Also allows requests, and tokens, for this origin: a scheme, a host and perhaps a port. Plain `http` is for
    /// `localhost`, `127.0.0.1` and `[::1]` only.
    ///
    /// # Errors
    ///
    /// It is no origin, or plain HTTP to another machine.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self, PolicyError> {
        self.origins.push(Origin::parse(origin, Reach::Public)?);
        Ok(self)
    }

    /// The same for a host inside a private network: its name may resolve to private addresses (never to link-local ones,
    /// where clouds keep their metadata services).
    ///
    /// # Errors
    ///
    /// As for [`allow_origin`](Self::allow_origin).
    pub fn allow_private_origin(mut self, origin: &str) -> Result<Self, PolicyError> {
        self.origins.push(Origin::parse(origin, Reach::Private)?);
        Ok(self)
    }

    /// Also allows every origin of this very machine, whatever its port: `localhost`, `127.0.0.1` and the like, `[::1]`. For
    /// development, where the port changes with each start. The variable `WIF_ALLOW_LOOPBACK` with `1` or `true` does the same for
    /// every credential of a process, and a warning in the log says so.
    #[must_use]
    pub fn allow_loopback(mut self) -> Self {
        self.loopback = true;
        self
    }

    /// Whether requests, and tokens, for this origin are allowed.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.check_origin(origin).is_ok()
    }

    /// Reads files below this directory only, and below others for which this is called. Symbolic links are followed, and
    /// must end below one of them.
    #[must_use]
    pub fn allow_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directories.get_or_insert_default().push(directory.into());
        self
    }

    /// Also reads this environment variable, where the configuration names it.
    #[must_use]
    pub fn allow_variable(mut self, name: impl Into<String>) -> Self {
        self.variables.insert(name.into());
        self
    }

    /// Asks this source for identity tokens only, such as `aws`, and others for which this is called. By default any source may be
    /// asked that the configuration names. `guest/recipes` lists them.
    #[must_use]
    pub fn allow_source(mut self, name: impl Into<String>) -> Self {
        self.sources.get_or_insert_default().insert(name.into());
        self
    }

    /// Also runs this program where the configuration names it as the source of identity tokens, `executable`, and others for which this
    /// is called. Its path has to be the one that the configuration has. Without it no program is run, whatever a configuration says.
    #[must_use]
    pub fn allow_executable(mut self, program: impl Into<String>) -> Self {
        self.executables.insert(program.into());
        self
    }

    /// Ends requests after this time, even if the component grants them more. A minute by default.
    #[must_use]
    pub fn request_timeout(mut self, at_most: Duration) -> Self {
        self.request_timeout = at_most;
        self
    }

    /// Ends calls of the program's callables, signers and store after this time. Half a minute by default, which is also as long
    /// as the component waits for a callable or a signer; for the store it waits five seconds.
    #[must_use]
    pub fn callable_timeout(mut self, at_most: Duration) -> Self {
        self.callable_timeout = at_most;
        self
    }

    /// Sends requests through this proxy (`http://` or `https://`), but for plain HTTP, which is for this very machine. Without
    /// this no proxy is used, whatever the environment says. Names are then resolved by the proxy, and its own may be private.
    ///
    /// # Errors
    ///
    /// It is no such URL.
    pub fn proxy(mut self, url: &str) -> Result<Self, PolicyError> {
        let url = Url::parse(url).map_err(|error| PolicyError::Proxy(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(PolicyError::Proxy("it must start with http:// or https://".to_owned()));
        }
        self.proxy = Some(url);
        self.past_the_proxy = None;
        Ok(self)
    }

    /// Sends requests through the proxy that the environment names, as curl does: the first of `https_proxy`, `HTTPS_PROXY`,
    /// `all_proxy` and `ALL_PROXY` that is set, but not to the hosts that `no_proxy` or `NO_PROXY` names. Without such a variable
    /// nothing changes. What [`proxy`](Self::proxy) says holds here, too.
    ///
    /// # Errors
    ///
    /// A variable holds no URL of an HTTP proxy; SOCKS is not spoken.
    pub fn proxy_from_environment(self) -> Result<Self, PolicyError> {
        let Some((name, value)) = proxy_in_environment() else { return Ok(self) };
        let url = if value.contains("://") { value } else { format!("http://{value}") };
        let mut policy = self.proxy(&url).map_err(|error| match error {
            PolicyError::Proxy(what) => PolicyError::Proxy(format!("{name}: {what}")),
            other => other,
        })?;
        policy.past_the_proxy = past_the_proxy_in_environment();
        Ok(policy)
    }

    /// The proxy that requests are sent through, without its name and password.
    #[must_use]
    pub fn proxy_origin(&self) -> Option<String> {
        self.proxy.as_ref().map(|proxy| proxy.origin().ascii_serialization())
    }
}

/// The variable that names a proxy, and its value. None where every host is to be reached without it.
pub(crate) fn proxy_in_environment() -> Option<(&'static str, String)> {
    if past_the_proxy_in_environment().is_some_and(|hosts| hosts.trim() == "*") {
        return None;
    }
    let names = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    names.into_iter().find_map(|name| Some((name, set_variable(name)?)))
}

/// The hosts that are reached without it.
pub(crate) fn past_the_proxy_in_environment() -> Option<String> {
    set_variable("no_proxy").or_else(|| set_variable("NO_PROXY"))
}

fn set_variable(name: &str) -> Option<String> {
    variable(name).filter(|value| !value.trim().is_empty())
}

/// What the tasks ask. An `Err` is the rule that refuses, with the way to allow it.
impl Policy {
    pub(crate) fn check_origin(&self, origin: &str) -> Result<Cow<'_, Origin>, String> {
        if let Some(allowed) = self.origins.iter().find(|allowed| allowed.is(origin)) {
            return Ok(Cow::Borrowed(allowed));
        }
        let loopback = self.loopback.then(|| Origin::parse(origin, Reach::Public).ok()).flatten();
        if let Some(origin) = loopback.filter(|origin| origin.reach() == Reach::Loopback) {
            return Ok(Cow::Owned(origin));
        }
        let allowed: Vec<&str> = self.origins.iter().map(Origin::as_str).collect();
        let allowed = if allowed.is_empty() { "no origin".to_owned() } else { format!("{} only", allowed.join(" and ")) };
        Err(format!("the policy allows {allowed}, not {origin}; allow it with Policy::allow_origin(\"{origin}\")"))
    }

    pub(crate) fn check_variable(&self, name: &str) -> Result<(), String> {
        if name.starts_with(PREFIX) || self.variables.contains(name) {
            return Ok(());
        }
        Err(format!("the policy does not allow the variable {name}; allow it with Policy::allow_variable(\"{name}\")"))
    }

    /// Whether a source of identity tokens may be asked, by its name.
    pub(crate) fn check_source(&self, name: &str) -> Result<(), String> {
        if self.sources.as_ref().is_none_or(|sources| sources.contains(name)) {
            return Ok(());
        }
        Err(format!("the policy does not allow the source {name}; allow it with Policy::allow_source(\"{name}\")"))
    }

    /// Whether this program may be run.
    pub(crate) fn check_executable(&self, program: &str) -> Result<(), String> {
        self.check_source("executable")?;
        if !self.executables.contains(program) {
            let call = format!("Policy::allow_executable(\"{program}\")");
            return Err(format!("the policy does not allow the program {program}; allow it with {call}"));
        }
        if self.silent { Err(format!("the policy allows no request, and so no run of {program}")) } else { Ok(()) }
    }

    /// Whether that source may send requests.
    pub(crate) fn check_source_sends(&self, name: &str) -> Result<(), String> {
        self.check_source(name)?;
        if self.silent { Err(format!("the policy allows no request, and so none of the source {name}")) } else { Ok(()) }
    }

    /// Whether the credentials file of a profile may be replaced, which is how a refresh begins.
    pub(crate) fn check_refresh(&self) -> Result<(), String> {
        if self.silent { Err("the policy allows no request, and so no change of a credentials file".to_owned()) } else { Ok(()) }
    }

    /// `resolved` is the path without symbolic links.
    pub(crate) fn check_file(&self, resolved: &Path) -> Result<(), String> {
        let Some(directories) = &self.directories else { return Ok(()) };
        let below = |directory: &PathBuf| directory.canonicalize().is_ok_and(|directory| resolved.starts_with(directory));
        if directories.iter().any(below) {
            return Ok(());
        }
        Err(format!("the policy does not allow {}; allow it with Policy::allow_directory", resolved.display()))
    }

    pub(crate) fn clamp_request_ms(&self, asked_ms: u32) -> u64 {
        u64::from(asked_ms).clamp(1, millis(self.request_timeout).max(1))
    }

    pub(crate) fn allows_loopback(&self) -> bool {
        self.loopback
    }

    /// What the variable for development adds. It never allows another machine, nor a policy that allows no request any.
    pub(crate) fn in_development(mut self) -> Self {
        let says_so = || variable(ALLOW_LOOPBACK).is_some_and(|value| matches!(value.trim(), "1" | "true"));
        if !self.loopback && !self.silent && says_so() {
            tracing::warn!(target: "wif", "every port of this machine is allowed ({ALLOW_LOOPBACK})");
            self.loopback = true;
        }
        self
    }

    pub(crate) fn callables_may_take(&self) -> Duration {
        self.callable_timeout
    }

    pub(crate) fn origins(&self) -> &[Origin] {
        &self.origins
    }

    pub(crate) fn proxy_url(&self) -> Option<&Url> {
        self.proxy.as_ref()
    }

    /// The hosts that are reached without the proxy, in the form of `NO_PROXY`.
    pub(crate) fn past_the_proxy(&self) -> Option<&str> {
        self.past_the_proxy.as_deref()
    }
}
