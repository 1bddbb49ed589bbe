//! What the commands for a credential have in common: the configuration, and what the policy allows.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;
use wif::{BuildError, Builder, Credential, Policy};

use crate::exit::Wrong;
use crate::output::say_error;
use crate::{files, sources};

/// Where the configuration is and what may be reached.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// The configuration document (JSON). Without it the variables ANTHROPIC_* and profiles are used.
    #[arg(long, value_name = "FILE")]
    configuration: Option<PathBuf>,
    /// Another origin than https://api.anthropic.com that identity tokens may be sent to. May be repeated.
    #[arg(long, value_name = "URL")]
    allow_origin: Vec<String>,
    /// The same for a host in a private network: its name may resolve to private addresses. May be repeated.
    #[arg(long, value_name = "URL")]
    allow_private_origin: Vec<String>,
    /// Also allow every port of this very machine (localhost, 127.0.0.1, [::1]), for development against `wif emulate`. Never
    /// allows anything else.
    #[arg(long, env = "WIF_ALLOW_LOOPBACK", value_parser = clap::builder::FalseyValueParser::new())]
    allow_loopback: bool,
    /// Run this program where the configuration names it as the source of identity tokens (`executable`). No other is run. May be
    /// repeated.
    #[arg(long, value_name = "PROGRAM")]
    allow_executable: Vec<String>,
    /// A PEM file with root certificates to trust beside the platform's.
    #[arg(long, value_name = "FILE")]
    extra_roots: Option<PathBuf>,
}

impl Common {
    /// The document in force, as text.
    pub(crate) fn document(&self) -> anyhow::Result<String> {
        match &self.configuration {
            Some(path) => {
                let document = files::read(path)?;
                // Whoever can write it decides where identity tokens are sent.
                let shown = path.display();
                let why = wif::distrusted(path).with_context(|| format!("cannot look at {shown}"))?;
                why.map_or(Ok(document), |why| Err(Wrong(format!("--configuration {shown} is not read: {why}")).into()))
            }
            None => Ok("{}".to_owned()),
        }
    }

    /// A builder for this document, with all of it.
    pub(crate) fn builder(&self, document: &str) -> anyhow::Result<Builder> {
        let mut builder = Credential::builder().configuration(document);
        if let Some(roots) = self.extra_roots()? {
            builder = builder.extra_root_certificate(roots);
        }
        Ok(builder.policy(self.policy(document)?))
    }

    /// The root certificates to trust beside the platform's, as PEM.
    pub(crate) fn extra_roots(&self) -> Result<Option<String>, Wrong> {
        self.extra_roots.as_deref().map(files::read).transpose()
    }

    /// Builds it. What is wrong with the document is said with its name.
    pub(crate) fn build(&self, builder: Builder) -> anyhow::Result<Credential> {
        builder.build().map_err(|error| match (&self.configuration, &error) {
            (Some(path), BuildError::Configuration { .. }) => anyhow::Error::from(error).context(path.display().to_string()),
            _ => error.into(),
        })
    }

    /// What may leave the process.
    pub(crate) fn policy(&self, document: &str) -> anyhow::Result<Policy> {
        let mut policy = Policy::default();
        for origin in &self.allow_origin {
            policy = policy.allow_origin(without_user("--allow-origin", origin)?).context("--allow-origin")?;
        }
        for origin in &self.allow_private_origin {
            let origin = without_user("--allow-private-origin", origin)?;
            policy = policy.allow_private_origin(origin).context("--allow-private-origin")?;
        }
        if self.allow_loopback {
            policy = policy.allow_loopback();
        }
        policy = self.allow_executable.iter().fold(policy, Policy::allow_executable);
        policy = policy.proxy_from_environment()?;
        // Who names a variable in the document means it to be read. What a platform's recipe reads needs no leave.
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        let source = &document["federation"]["identity_token"];
        if source["source"] == "variable" {
            return Ok(policy.allow_variable(source["name"].as_str().unwrap_or_default()));
        }
        let own = if source["source"] == "http" { sources::variables_read_by(source) } else { Vec::new() };
        Ok(own.into_iter().fold(policy, Policy::allow_variable))
    }

    /// Says what is allowed beyond the usual.
    pub(crate) fn announce(&self) {
        if self.allow_loopback {
            say_error("wif: every port of this machine is allowed (--allow-loopback or WIF_ALLOW_LOOPBACK)");
        }
    }
}

/// Whoever refuses an origin repeats it, and a password would be shown.
fn without_user<'a>(option: &str, origin: &'a str) -> Result<&'a str, Wrong> {
    if origin.contains('@') {
        return Err(Wrong(format!(
            "{option}: the origin has user information before an @, which belongs to no origin: leave it out"
        )));
    }
    Ok(origin)
}
