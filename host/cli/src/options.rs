//! What `token` and `status` have in common: the configuration, the policy, and the only places that print.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use wif::{Builder, Credential, Policy};

/// Where the configuration is and what may be reached.
#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// The configuration document (JSON). Without it the variables ANTHROPIC_* and profiles are used.
    #[arg(long, value_name = "FILE")]
    configuration: Option<PathBuf>,
    /// Another origin than https://api.anthropic.com that identity tokens may be sent to. May be repeated.
    #[arg(long, value_name = "URL")]
    allow_origin: Vec<String>,
    /// A PEM file with root certificates to trust beside the platform's.
    #[arg(long, value_name = "FILE")]
    extra_roots: Option<PathBuf>,
}

impl Common {
    /// A builder with all of it.
    pub(crate) fn builder(&self) -> anyhow::Result<Builder> {
        let mut builder = Credential::builder();
        let mut policy = Policy::default();
        for origin in &self.allow_origin {
            policy = policy.allow_origin(origin)?;
        }
        if let Some(path) = &self.configuration {
            let document = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            builder = builder.configuration(document);
        }
        if let Some(path) = &self.extra_roots {
            let pem = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            builder = builder.extra_root_certificate(pem);
        }
        Ok(builder.policy(policy))
    }

    /// The document in force, as text.
    pub(crate) fn document(&self) -> anyhow::Result<String> {
        match &self.configuration {
            Some(path) => std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display())),
            None => Ok("{}".to_owned()),
        }
    }
}

/// Writes a line to standard output. Nothing depends on it: a story that nobody can read goes on.
pub(crate) fn say(line: &str) {
    let _unread = answer(line);
}

/// Writes to standard output what the command was called for. A reader that has gone away has what it wanted; any other failure
/// is an error, for what was asked is lost.
pub(crate) fn answer(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// Writes a line to standard error.
pub(crate) fn say_error(line: &str) {
    let _gone = writeln!(std::io::stderr().lock(), "{line}");
}

/// A duration for people.
pub(crate) fn seconds(duration: std::time::Duration) -> String {
    let tenths = duration.as_millis() / 100;
    if tenths < 1_200 { format!("{}.{} s", tenths / 10, tenths % 10) } else { format!("{} min", tenths / 600) }
}
