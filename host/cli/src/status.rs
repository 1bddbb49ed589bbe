//! `wif status`.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value, json};
use wif::{Builder, Credential, Error, Failure, FailureCode, IdentityTokenStatus, Status};

use crate::options::{Common, answer, seconds};
use crate::waiting::may_change;
use crate::{exit, help, warnings};

/// What `wif status` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::STATUS)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
    /// Exchange the identity token, too. One that can be exchanged once is spent by it.
    #[arg(long)]
    exchange: bool,
}

/// How long discovery may take, and an exchange.
const LIMIT: Duration = Duration::from_secs(35);

/// What the screen and the document tell.
struct Report {
    status: Status,
    /// The identity token that the status has seen, or that a look without an exchange has found.
    identity_token: Option<IdentityTokenStatus>,
    /// Why `wif token` would give none.
    trouble: Option<Trouble>,
    warnings: Vec<String>,
    /// Whether the policy allows the place that tokens are for; unknown before there is one.
    origin_allowed: Option<bool>,
    shadows: bool,
}

/// Why `wif token` would give none.
struct Trouble {
    code: &'static str,
    message: String,
    action: String,
    retry_in: Option<Duration>,
    rotation_in: Option<Duration>,
    exit: u8,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    options.common.announce();
    let document = options.common.document()?;
    let credential = with_prefetch(options.common.builder(&document)?, &document, options.exchange).build()?;
    let mut changes = credential.changes();
    let mut failure = match options.exchange {
        true => failure_of(&credential, LIMIT).await?,
        false => discovered(&credential).await?,
    };
    let status = credential.status().await?;
    let configured = |name: &str| status.configuration.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let federation = configured("credential") == Some("federation");
    let is_static = !federation && configured("credential") != Some("to be discovered");
    let mut identity_token = status.identity_token.clone();
    if failure.is_none() && !options.exchange {
        if federation {
            (failure, identity_token) = look(&options.common, &document).await?;
        } else {
            // It is there, or it is not: nothing is spent by asking.
            failure = failure_of(&credential, LIMIT).await?;
        }
    }
    let origin = configured("base_url").and_then(origin_of);
    let policy = options.common.policy(&document)?;
    let origin_allowed = origin.as_ref().filter(|_| federation || is_static).map(|origin| policy.allows_origin(origin));
    let mut trouble = failure.map(|failure| Trouble::of(&failure, may_change(&status)));
    if let (None, Some(origin), Some(false)) = (&trouble, &origin, origin_allowed) {
        trouble = Some(Trouble {
            code: FailureCode::DeniedByHost.as_str(),
            message: format!("The policy does not allow {origin}."),
            action: format!("Allow it with --allow-origin {origin}, or mend ANTHROPIC_BASE_URL or base_url."),
            retry_in: None,
            rotation_in: None,
            exit: exit::CONFIGURATION,
        });
    }
    let mut report =
        Report { identity_token, trouble, warnings: status.warnings.clone(), origin_allowed, shadows: false, status };
    report.status.configuration.extend(policy.proxy_origin().map(|proxy| ("proxy".to_owned(), proxy)));
    report.warn(warnings::ignored(&mut changes).await, is_static);
    credential.shutdown().await;
    if options.json {
        answer(&as_json(&report).to_string())?;
    } else {
        as_text(&report).iter().try_for_each(|line| answer(line))?;
    }
    Ok(match &report.trouble {
        Some(trouble) => ExitCode::from(trouble.exit),
        None if report.shadows => ExitCode::from(exit::SHADOWS),
        None => ExitCode::SUCCESS,
    })
}

impl Trouble {
    fn of(failure: &Failure, may_change: bool) -> Self {
        Self {
            code: failure.code.as_str(),
            message: exit::in_own_words(&failure.message),
            action: exit::action(failure),
            retry_in: failure.retry_in,
            rotation_in: failure.rotation_in,
            exit: exit::code_of_failure(failure.code, may_change),
        }
    }
}

impl Report {
    /// Takes what the credential noted of what it ignores.
    fn warn(&mut self, ignored: Vec<String>, is_static: bool) {
        let shadowing = warnings::shadowing().filter(|_| is_static);
        self.shadows = is_static && (shadowing.is_some() || ignored.iter().any(|message| message.contains("goes before")));
        for warning in ignored.into_iter().chain(shadowing) {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// Where the credential stands, as `wif token` would find it.
    fn state(&self) -> (&str, &str) {
        match (&self.trouble, self.status.state) {
            (Some(_), wif::State::Idle | wif::State::Serving) => ("failed", "There is no access token to be had."),
            (_, state) => (state.as_str(), &self.status.summary),
        }
    }

    /// What happens next, in words, and when.
    fn next(&self) -> (&str, Option<Duration>) {
        match (&self.trouble, self.status.state) {
            (Some(_), wif::State::Idle | wif::State::Serving) => ("nothing, before this is mended", None),
            _ => (&self.status.next, self.status.next_in),
        }
    }
}

/// The same builder, with a document that says whether to exchange at once.
fn with_prefetch(builder: Builder, document: &str, prefetch: bool) -> Builder {
    match serde_json::from_str(document) {
        Ok(Value::Object(mut document)) => {
            document.insert("prefetch".to_owned(), json!(prefetch));
            builder.configuration(Value::Object(document).to_string())
        }
        // What is no object is left as it is: the library names the fault better.
        _ => builder,
    }
}

/// Why there is no token, if there is none.
async fn failure_of(credential: &Credential, at_most: Duration) -> Result<Option<Failure>, Error> {
    match credential.token_within(at_most).await {
        Ok(_) => Ok(None),
        Err(Error::Unavailable(failure)) => Ok(Some(failure)),
        Err(error) => Err(error),
    }
}

/// Waits until discovery is over, and gives what it failed with.
async fn discovered(credential: &Credential) -> Result<Option<Failure>, Error> {
    let look = async {
        loop {
            let status = credential.status().await?;
            match status.state {
                wif::State::Discovering => tokio::time::sleep(Duration::from_millis(5)).await,
                wif::State::Failed => return Ok(status.failure),
                _ => return Ok(None),
            }
        }
    };
    let limit = Error::TimedOut { after: LIMIT, waiting_for: Some(wif::PendingReason::Discovering) };
    tokio::time::timeout(LIMIT, look).await.unwrap_or(Err(limit))
}

/// Looks at the identity token as an exchange would, under a policy that lets no request out: what is wrong with it, and
/// what it says.
async fn look(common: &Common, document: &str) -> anyhow::Result<(Option<Failure>, Option<IdentityTokenStatus>)> {
    tracing::info!(target: "wif", "the exchange that follows is a rehearsal: no request leaves");
    let builder = common.builder(document)?.policy(common.policy(document)?.without_origins());
    let credential = with_prefetch(builder, document, true).build()?;
    let failure = failure_of(&credential, LIMIT).await?;
    let status = credential.status().await?;
    credential.shutdown().await;
    // The one thing that was to be denied was the request.
    Ok((failure.filter(|failure| failure.code != FailureCode::DeniedByHost), status.identity_token))
}

fn origin_of(base_url: &str) -> Option<String> {
    let url: http::Uri = base_url.parse().ok()?;
    Some(format!("{}://{}", url.scheme_str()?, url.authority()?))
}

fn as_text(report: &Report) -> Vec<String> {
    let status = &report.status;
    let row = |name: &str, value: String| format!("{name:<22}{value}");
    let (state, summary) = report.state();
    let mut lines = vec![row("state", format!("{state} - {summary}"))];
    for (name, value) in &status.configuration {
        let denied = name == "base_url" && report.origin_allowed == Some(false);
        lines.push(row(name, if denied { format!("{value} (the policy does not allow it)") } else { value.clone() }));
    }
    if let Some(token) = &status.token {
        lines.push(row("access token", format!("{} ({}) for {}", token.id, token.standing, token.origin)));
        lines.extend(token.lifetime.map(|time| row("  issued for", seconds(time))));
        lines.extend(token.refresh_in.map(|time| row("  refresh in", seconds(time))));
        lines.extend(token.unusable_in.map(|time| row("  unusable in", seconds(time))));
    }
    if let Some(token) = &report.identity_token {
        lines.push(row("identity token", format!("{} ({})", token.id, token.disposition)));
        lines.push(row("  issuer", token.issuer.clone()));
        lines.push(row("  subject", token.subject.clone()));
        lines.push(row("  audience", token.audience.clone()));
        lines.extend(token.expires_in.map(|time| row("  expires in", seconds(time))));
    }
    let (next, next_in) = report.next();
    let when = next_in.map(|time| format!(" in {}", seconds(time))).unwrap_or_default();
    lines.push(row("next", format!("{next}{when}")));
    if let Some(trouble) = &report.trouble {
        lines.push(row("failure", format!("{}: {}", trouble.code, trouble.message)));
        lines.push(row("  what to do", trouble.action.clone()));
    }
    lines.extend(report.warnings.iter().map(|warning| row("warning", warning.clone())));
    lines
}

fn as_json(report: &Report) -> Value {
    let status = &report.status;
    let milliseconds = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
    let configuration: Map<String, Value> =
        status.configuration.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let (state, summary) = report.state();
    let (next, next_in) = report.next();
    json!({
        "state": state,
        "summary": summary,
        "configuration": configuration,
        "origin_allowed": report.origin_allowed,
        "token": status.token.as_ref().map(|token| json!({
            "id": token.id,
            "origin": token.origin,
            "standing": token.standing.as_str(),
            "lifetime_ms": milliseconds(token.lifetime),
            "refresh_in_ms": milliseconds(token.refresh_in),
            "unusable_in_ms": milliseconds(token.unusable_in),
        })),
        "identity_token": report.identity_token.as_ref().map(|token| json!({
            "id": token.id,
            "issuer": token.issuer,
            "subject": token.subject,
            "audience": token.audience,
            "expires_in_ms": milliseconds(token.expires_in),
            "disposition": token.disposition.as_str(),
        })),
        "next": next,
        "next_in_ms": milliseconds(next_in),
        "failure": report.trouble.as_ref().map(|trouble| json!({
            "code": trouble.code,
            "message": trouble.message,
            "action": trouble.action,
            "retry_in_ms": milliseconds(trouble.retry_in),
            "rotation_in_ms": milliseconds(trouble.rotation_in),
        })),
        "warnings": report.warnings,
        "shadows": report.shadows,
        "exchanges_started": status.exchanges_started,
        "exchanges_succeeded": status.exchanges_succeeded,
        "clock_skew_ms": status.clock_skew_ms,
    })
}
