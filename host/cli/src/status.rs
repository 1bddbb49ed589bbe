//! `wif status`.

use std::time::Duration;

use serde_json::{Map, Value, json};
use wif::Status;

use crate::options::{Common, answer, seconds};

/// What `wif status` takes.
#[derive(Debug, clap::Args)]
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

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let mut builder = options.common.builder()?;
    // What is no object is left as it is: the library names the fault better.
    if let Ok(Value::Object(mut document)) = serde_json::from_str(&options.common.document()?) {
        document.insert("prefetch".to_owned(), json!(options.exchange));
        builder = builder.configuration(Value::Object(document).to_string());
    }
    let credential = builder.build()?;
    let result = if options.exchange { credential.token_within(LIMIT).await.map(drop) } else { settled(&credential).await };
    let status = credential.status().await?;
    credential.shutdown().await;
    if options.json {
        answer(&as_json(&status).to_string())?;
    } else {
        as_text(&status).iter().try_for_each(|line| answer(line))?;
    }
    result?;
    Ok(())
}

/// Waits until discovery is over, and gives what it failed with.
async fn settled(credential: &wif::Credential) -> Result<(), wif::Error> {
    let look = async {
        loop {
            let status = credential.status().await?;
            match status.state {
                wif::State::Discovering => tokio::time::sleep(Duration::from_millis(5)).await,
                wif::State::Failed => {
                    let failure = status.failure.map(wif::Error::Unavailable);
                    return failure.map_or(Ok(()), Err);
                }
                _ => return Ok(()),
            }
        }
    };
    let limit = wif::Error::TimedOut { after: LIMIT, waiting_for: Some(wif::PendingReason::Discovering) };
    tokio::time::timeout(LIMIT, look).await.unwrap_or(Err(limit))
}

fn as_text(status: &Status) -> Vec<String> {
    let row = |name: &str, value: String| format!("{name:<22}{value}");
    let mut lines = vec![row("state", format!("{} - {}", status.state, status.summary))];
    lines.extend(status.configuration.iter().map(|(name, value)| row(name, value.clone())));
    if let Some(token) = &status.token {
        lines.push(row("access token", format!("{} ({}) for {}", token.id, token.standing, token.origin)));
        lines.extend(token.lifetime.map(|time| row("  issued for", seconds(time))));
        lines.extend(token.refresh_in.map(|time| row("  refresh in", seconds(time))));
        lines.extend(token.unusable_in.map(|time| row("  unusable in", seconds(time))));
    }
    if let Some(token) = &status.identity_token {
        lines.push(row("identity token", format!("{} ({})", token.id, token.disposition)));
        lines.push(row("  issuer", token.issuer.clone()));
        lines.push(row("  subject", token.subject.clone()));
        lines.push(row("  audience", token.audience.clone()));
        lines.extend(token.expires_in.map(|time| row("  expires in", seconds(time))));
    }
    let when = status.next_in.map(|time| format!(" in {}", seconds(time))).unwrap_or_default();
    lines.push(row("next", format!("{}{when}", status.next)));
    if let Some(failure) = &status.failure {
        lines.push(row("failure", format!("{}: {}", failure.code, failure.message)));
        lines.push(row("  what to do", failure.action.clone()));
    }
    lines.extend(status.warnings.iter().map(|warning| row("warning", warning.clone())));
    lines
}

fn as_json(status: &Status) -> Value {
    let milliseconds = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
    let configuration: Map<String, Value> =
        status.configuration.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "state": status.state.as_str(),
        "summary": status.summary,
        "configuration": configuration,
        "token": status.token.as_ref().map(|token| json!({
            "id": token.id,
            "origin": token.origin,
            "standing": token.standing.as_str(),
            "lifetime_ms": milliseconds(token.lifetime),
            "refresh_in_ms": milliseconds(token.refresh_in),
            "unusable_in_ms": milliseconds(token.unusable_in),
        })),
        "identity_token": status.identity_token.as_ref().map(|token| json!({
            "id": token.id,
            "issuer": token.issuer,
            "subject": token.subject,
            "audience": token.audience,
            "expires_in_ms": milliseconds(token.expires_in),
            "disposition": token.disposition.as_str(),
        })),
        "next": status.next,
        "next_in_ms": milliseconds(status.next_in),
        "failure": status.failure.as_ref().map(|failure| json!({
            "code": failure.code.as_str(),
            "message": failure.message,
            "action": failure.action,
            "retry_in_ms": milliseconds(failure.retry_in),
            "rotation_in_ms": milliseconds(failure.rotation_in),
        })),
        "warnings": status.warnings,
        "exchanges_started": status.exchanges_started,
        "exchanges_succeeded": status.exchanges_succeeded,
        "clock_skew_ms": status.clock_skew_ms,
    })
}
