//! What `token` and `status` have in common: the configuration, the policy, and the only places that print.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use wif::{Builder, Clock as _, Credential, Policy, SystemClock};

use crate::exit::Wrong;
use crate::files;

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
        if let Some(path) = &self.extra_roots {
            builder = builder.extra_root_certificate(files::read(path)?);
        }
        Ok(builder.policy(self.policy(document)?))
    }

    /// What may leave the process.
    pub(crate) fn policy(&self, document: &str) -> anyhow::Result<Policy> {
        let mut policy = Policy::default();
        for origin in &self.allow_origin {
            policy = policy.allow_origin(origin).context("--allow-origin")?;
        }
        for origin in &self.allow_private_origin {
            policy = policy.allow_private_origin(origin).context("--allow-private-origin")?;
        }
        if self.allow_loopback {
            policy = policy.allow_loopback();
        }
        policy = policy.proxy_from_environment()?;
        // Who names a variable in the document means it to be read.
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        match &document["federation"]["identity_token"] {
            source if source["source"] == "variable" => Ok(policy.allow_variable(source["name"].as_str().unwrap_or_default())),
            source if source["source"] == "http" => {
                let steps = source["recipe"]["steps"].as_array().into_iter().flatten();
                Ok(steps.filter_map(|step| step["variable"].as_str()).fold(policy, Policy::allow_variable))
            }
            _ => Ok(policy),
        }
    }

    /// Says what is allowed beyond the usual.
    pub(crate) fn announce(&self) {
        if self.allow_loopback {
            say_error("wif: every port of this machine is allowed (--allow-loopback or WIF_ALLOW_LOOPBACK)");
        }
    }
}

/// The moment after this time, as RFC 3339 writes it, in UTC.
pub(crate) fn moment(after: Duration) -> Option<String> {
    let now = Duration::from_millis(SystemClock::default().now().wall_ms);
    let at = time::OffsetDateTime::UNIX_EPOCH.checked_add(now.checked_add(after)?.try_into().ok()?)?;
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    Some(format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month)))
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

/// [`answer`], where the answer is the only one there will be: a reader that has gone away did not get it.
pub(crate) fn hand_over(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("cannot write to standard output")
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
