//! `wif emulate`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value};
use wif_emulator::{Algorithm, ApiFault, Betas, Emulator, Entry, ErrorShape, Fault, Resources, Switches, Trial};

use crate::exit::Refused;
use crate::options::say;

/// What `wif emulate` takes.
#[derive(Debug, clap::Args)]
#[command(before_long_help = BEFORE_HELP, after_long_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The port on 127.0.0.1; 0 for a free one.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// The port of the administration API on 127.0.0.1; 0 for a free one. It turns faults and switches while clients run.
    #[arg(long, default_value_t = 8788)]
    admin_port: u16,
    /// The directory for the identity token, made and rotated as a kubelet does it. The token is in the file `token`.
    #[arg(long, value_name = "DIR", default_value = "wif-emulator")]
    directory: PathBuf,
    /// How long access tokens live, in seconds: 60 to 86400. With --resources the rule says it.
    #[arg(long, default_value_t = 3600, conflicts_with = "resources")]
    lifetime: u64,
    /// How long identity tokens live, in seconds: 1 to 176400. The file is rotated at four fifths of it. The issuer takes tokens
    /// that live so long; with --resources it has its own limit, which shortens this.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=176_400))]
    identity_lifetime: u64,
    /// The algorithm of the identity provider's key: RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or ES512.
    #[arg(long, value_name = "ALG", default_value = "ES256", value_parser = algorithm)]
    algorithm: Algorithm,
    /// Organizations, issuers and rules (JSON). `--print-schema` tells the form. Default: one of each.
    #[arg(long, value_name = "FILE", help_heading = "Rules")]
    resources: Option<PathBuf>,
    /// The rule of the file that clients are led to. Default: the first that is not archived.
    #[arg(long, value_name = "ID", requires = "resources", help_heading = "Rules")]
    rule: Option<String>,
    /// Try the identity token in this file out against the rule: tell which check passes and which fails, and end. The exit
    /// code is 0 if it would be exchanged.
    #[arg(long = "try", value_name = "FILE", help_heading = "Rules")]
    try_out: Option<PathBuf>,
    /// The workspace that the token is tried for.
    #[arg(long, value_name = "ID", requires = "try_out", help_heading = "Rules")]
    workspace: Option<String>,
    /// Print the JSON Schema of --resources, and end.
    #[arg(long, help_heading = "Rules")]
    print_schema: bool,
    /// A fault that strikes every exchange until it is taken down.
    #[arg(long, value_name = "NAME", value_parser = exchange_fault, help_heading = "Faults")]
    fault: Option<Fault>,
    /// A fault that strikes every request to the API until it is taken down.
    #[arg(long, value_name = "NAME", value_parser = api_fault, help_heading = "Faults")]
    api_fault: Option<ApiFault>,
    /// Refuse in the form of before August 2026: 400 with `error` and `error_description`.
    #[arg(long, help_heading = "Faults")]
    older_errors: bool,
    /// How far the service's clock is ahead, in seconds; negative: behind.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, allow_negative_numbers = true, help_heading = "Faults")]
    clock_skew: i64,
    /// A beta that exchanges have to name. May be repeated.
    #[arg(long, value_name = "BETA", help_heading = "Faults")]
    require_beta: Vec<String>,
    /// A beta that exchanges may not name. May be repeated.
    #[arg(long, value_name = "BETA", help_heading = "Faults")]
    forbid_beta: Vec<String>,
}

const BEFORE_HELP: &str = "\
It prints the variables that lead a client to it, for `eval` in a shell or an .env file, and then what it is asked and why it
refuses, as comments, until Ctrl-C. The identity token that it publishes is exchanged as in production: once, and only if the
federation rule matches. With --resources the rules are your own, so that you can try one before you create it; with --try it
judges one identity token by them and ends.";

const AFTER_HELP: &str = "\
Faults of exchanges (--fault):
  lost_answer, cut_answer, lost_request, slow, redirect, oversized, not_json, json_array, empty, html_502, rate_limited,
  overloaded, server_error, server_error_after, extra_members, expires_in_60, expires_in_0, expires_in_negative, expires_in_text,
  expires_in_null, expires_in_huge, expires_in_missing, token_type_lower, token_type_mac, token_type_missing
Faults of the API (--api-fault):
  unauthorized, rate_limited, overloaded, server_error, redirect, slow, lost_answer, cut_stream

While it runs, the administration API does the same and more; its address is printed, and GET / lists what it takes:
  curl -X POST $WIF_EMULATOR_ADMIN/faults -d '{\"endpoint\": \"exchange\", \"fault\": \"lost_answer\", \"times\": 2}'
  curl -X DELETE $WIF_EMULATOR_ADMIN/faults
  curl $WIF_EMULATOR_ADMIN/history
  curl -X POST $WIF_EMULATOR_ADMIN/keys/rotate
  curl -X POST $WIF_EMULATOR_ADMIN/identity-tokens -d '{\"claims\": {\"ref\": \"refs/heads/main\"}}'
  curl -X POST $WIF_EMULATOR_ADMIN/revoke -d '{\"all\": true}'";

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::of_name(name).ok_or_else(|| "must be RS, PS or ES with 256, 384 or 512, such as ES256".to_owned())
}

fn exchange_fault(name: &str) -> Result<Fault, String> {
    Fault::from_json(&name.into()).map_err(|error| error.to_string())
}

fn api_fault(name: &str) -> Result<ApiFault, String> {
    ApiFault::from_json(&name.into()).map_err(|error| error.to_string())
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    if options.print_schema {
        say(Resources::SCHEMA.trim_end());
        return Ok(());
    }
    let emulator = Emulator::start(emulator_options(&options)?).await?;
    let switches = Switches {
        error_shape: if options.older_errors { ErrorShape::OAuth } else { ErrorShape::Envelope },
        clock_skew_seconds: options.clock_skew,
        exchange_betas: Betas { require: options.require_beta, forbid: options.forbid_beta },
        ..Switches::default()
    };
    emulator.set_switches(switches).context("--clock-skew")?;
    emulator.set_outage(options.fault);
    emulator.set_api_outage(options.api_fault);
    match &options.try_out {
        Some(path) => try_out(emulator, path, options.workspace).await,
        None => serve(emulator, &options.directory).await,
    }
}

fn emulator_options(options: &Options) -> anyhow::Result<wif_emulator::Options> {
    let mut emulator = wif_emulator::Options {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)),
        admin: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, options.admin_port))),
        algorithm: options.algorithm,
        token_lifetime_seconds: options.lifetime,
        identity_token_lifetime_seconds: options.identity_lifetime,
        // The issuer's default unless no token would be taken with it.
        max_jwt_lifetime_seconds: options.identity_lifetime.max(3600),
        ..wif_emulator::Options::default()
    };
    if options.try_out.is_some() {
        // Nobody is to connect.
        (emulator.listen, emulator.admin) = (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None);
    }
    if let Some(path) = &options.resources {
        let document = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let resources = Resources::parse(&document).with_context(|| format!("in {}", path.display()))?;
        if let Some(rule) = &options.rule {
            let mut rules = resources.organizations.iter().flat_map(|organization| &organization.federation_rules);
            anyhow::ensure!(rules.any(|known| known.id == *rule), "--rule: {} has no rule {rule}", path.display());
            emulator.federation_rule_id.clone_from(rule);
        }
        emulator.resources = Some(resources);
    }
    Ok(emulator)
}

async fn serve(emulator: Emulator, directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let directory = directory.canonicalize().context("cannot resolve the directory")?;
    let file = emulator.identity_provider().publish(&directory)?;
    let lifetime = emulator.options().identity_token_lifetime_seconds;
    let _rotation = file.rotate_every(Duration::from_secs((lifetime * 4 / 5).max(1)));
    for line in variables(&emulator, file.path()) {
        say(&format!("export {line}"));
    }
    if let Some(url) = emulator.admin_url() {
        say(&format!("export WIF_EMULATOR_ADMIN={url}"));
        say(&format!("# administration: curl {url}/ lists what it takes"));
    }
    say(&format!("# then: wif token --allow-origin {}", emulator.base_url()));
    let mut changed = emulator.subscribe();
    let mut shown = 0;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => break,
            changed = changed.changed() => changed.context("the emulator has stopped")?,
        }
        for entry in emulator.history_since(shown) {
            shown = entry.sequence + 1;
            say(&format!("# {}", line_of(&entry)));
        }
    }
    emulator.shutdown().await;
    Ok(())
}

/// Judges the identity token in the file, by the rule that clients would be led to.
async fn try_out(emulator: Emulator, path: &Path, workspace: Option<String>) -> anyhow::Result<()> {
    let token = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let options = emulator.options();
    let mut exchange = Map::new();
    let mut member = |name: &str, value: &str| exchange.insert(name.to_owned(), value.into());
    member("assertion", token.trim_ascii());
    member("federation_rule_id", &options.federation_rule_id);
    member("organization_id", &options.organization_id);
    member("service_account_id", &options.service_account_id);
    if let Some(workspace) = workspace.as_ref().or(options.workspace_ids.first()) {
        member("workspace_id", workspace);
    }
    let trial = emulator.try_out(&exchange).await.map_err(anyhow::Error::msg)?;
    for line in lines_of(&trial) {
        say(&line);
    }
    emulator.shutdown().await;
    match trial.refused {
        None => Ok(()),
        Some(reason) => Err(Refused(reason).into()),
    }
}

/// A trial for people: a line for each check.
fn lines_of(trial: &Trial) -> Vec<String> {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = |check: &wif_emulator::Check| {
        let mut line = format!("{} {}", if check.failure.is_some() { "FAIL" } else { "pass" }, check.name);
        if let Some(reason) = check.failure {
            line.push_str(&format!(" ({reason})"));
        }
        if let Some(found) = &check.found {
            line.push_str(&format!(": {}", shown(found)));
        }
        if let (Some(_), Some(expected)) = (check.failure, &check.expected) {
            line.push_str(&format!(" - expected: {}", shown(expected)));
        }
        if let Some(detail) = &check.detail {
            line.push_str(&format!(" - {detail}"));
        }
        line
    };
    let mut lines: Vec<String> = trial.checks.iter().map(line).collect();
    if let (Some(scope), Some(seconds)) = (&trial.scope, trial.lifetime_seconds) {
        let place = trial.workspace_id.as_deref().unwrap_or("the organization");
        lines.push(format!("it would be exchanged for {seconds} s of {scope} in {place}"));
    }
    lines
}

/// The variables that lead a client to the emulator, for a shell to read.
pub(crate) fn variables(emulator: &Emulator, token_file: &Path) -> Vec<String> {
    let options = emulator.options();
    let mut variables = vec![
        format!("ANTHROPIC_BASE_URL={}", emulator.base_url()),
        format!("ANTHROPIC_FEDERATION_RULE_ID={}", options.federation_rule_id),
        format!("ANTHROPIC_ORGANIZATION_ID={}", options.organization_id),
        format!("ANTHROPIC_SERVICE_ACCOUNT_ID={}", options.service_account_id),
    ];
    // A rule for the organization has none.
    variables.extend(options.workspace_ids.first().map(|id| format!("ANTHROPIC_WORKSPACE_ID={id}")));
    let token_file = token_file.display().to_string();
    variables.push(format!("ANTHROPIC_IDENTITY_TOKEN_FILE={}", crate::shell::word(&token_file)));
    variables
}

/// What the emulator's history says of a request, on a line.
pub(crate) fn line_of(entry: &Entry) -> String {
    let mut line = format!("{} {}", entry.kind.code(), entry.outcome.code());
    if let Some(reason) = &entry.reason {
        line.push_str(&format!(" ({reason})"));
    }
    if let Some(fault) = entry.fault {
        line.push_str(&format!(" [{fault}]"));
    }
    if let Some(id) = &entry.access_token_id {
        line.push_str(&format!(" access token {id}"));
    }
    if let Some(seconds) = entry.lifetime_seconds {
        line.push_str(&format!(" for {seconds} s"));
    }
    if let Some(detail) = &entry.detail {
        // What a stranger's token says may hold anything.
        let detail: String = detail.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        line.push_str(&format!(" - {detail}"));
    }
    line
}
