//! `wif emulate`.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use wif_emulator::{
    Algorithm, ApiFault, Betas, Emulator, Entry, ErrorShape, Fault, Resources, StartError, Switches, TokenFile, Trial,
};

use crate::environment::{self, BASE_URL, ORGANIZATION, PROFILE, RULE, SERVICE_ACCOUNT, STATIC, TOKEN, TOKEN_FILE, WORKSPACE};
use crate::exit::{Refused, Usage, Wrong};
use crate::output::say;
use crate::{files, help, shell, trial};

/// What `wif emulate` takes.
#[derive(Debug, clap::Args)]
#[command(before_long_help = help::BEFORE_EMULATE, after_long_help = help::EMULATE)]
pub(crate) struct Options {
    /// The command to run, with its arguments. Its standard output is its own; what the emulator is asked goes to standard error.
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["try_out", "print_schema"])]
    command: Vec<OsString>,
    /// The port on 127.0.0.1; 0 for a free one. Default: 8787, and a free one with a COMMAND.
    #[arg(long)]
    port: Option<u16>,
    /// The port of the administration API on 127.0.0.1; 0 for a free one. It turns faults and switches while clients run.
    /// Default: 8788, and a free one with a COMMAND.
    #[arg(long)]
    admin_port: Option<u16>,
    /// The directory for the identity token, made and rotated as a kubelet does it. The token is in the file `token`. Each emulator
    /// needs one of its own. Default: wif-emulator, and with a COMMAND a temporary one that is removed at the end.
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// When the file shows another identity token: `exchanged` as soon as its token was exchanged, so that the next run of a program
    /// has one that is good; `timed` at four fifths of its life, as in production, where a second run without a store has to wait.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Rotation::Exchanged)]
    rotation: Rotation,
    /// With a COMMAND: do not tell what the emulator is asked and why it refuses.
    #[arg(long, requires = "command")]
    quiet: bool,
    /// How long access tokens live, in seconds: 60 to 86400. With --resources the rule says it.
    #[arg(long, default_value_t = 3600, conflicts_with = "resources")]
    lifetime: u64,
    /// How long identity tokens live, in seconds: 1 to 176400. The file is rotated at four fifths of it at the
    /// latest. The issuer takes tokens that live so long; with --resources it has its own limit, which shortens this.
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

/// When the published identity token is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Rotation {
    Exchanged,
    Timed,
}

fn algorithm(name: &str) -> Result<Algorithm, String> {
    Algorithm::of_name(name).ok_or_else(|| "must be RS, PS or ES with 256, 384 or 512, such as ES256".to_owned())
}

fn exchange_fault(name: &str) -> Result<Fault, String> {
    Fault::from_json(&name.into()).map_err(|error| error.to_string())
}

fn api_fault(name: &str) -> Result<ApiFault, String> {
    ApiFault::from_json(&name.into()).map_err(|error| error.to_string())
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    if names_no_command(&options) {
        let mended = "name the command, as in `wif emulate -- sh`, or leave the `--` out to run the emulator until Ctrl-C";
        return Err(Usage(format!("there is no COMMAND after `--`: {mended}")).into());
    }
    if options.print_schema {
        say(Resources::SCHEMA.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let emulator = Emulator::start(emulator_options(&options)?).await.map_err(|error| not_started(error, &options))?;
    let switches = Switches {
        error_shape: if options.older_errors { ErrorShape::OAuth } else { ErrorShape::Envelope },
        clock_skew_seconds: options.clock_skew,
        exchange_betas: Betas { require: options.require_beta.clone(), forbid: options.forbid_beta.clone() },
        ..Switches::default()
    };
    emulator.set_switches(switches).context("--clock-skew")?;
    emulator.set_outage(options.fault.clone());
    emulator.set_api_outage(options.api_fault.clone());
    if let Some(path) = &options.try_out {
        return try_out(emulator, path, options.workspace).await.map(|()| ExitCode::SUCCESS);
    }
    let publication = Publication::begin(&emulator, &options)?;
    let variables = variables(&emulator, publication.file.path());
    let code = match options.command.split_first() {
        None => serve(&emulator, &variables).await.map(|()| ExitCode::SUCCESS),
        Some((program, arguments)) => trial::run(&emulator, program, arguments, &variables, &hiding(), options.quiet).await,
    };
    emulator.shutdown().await;
    code
}

/// Whether the command line ends with the `--` that a command follows: a script's variable was empty, perhaps. The parser takes it for
/// no command at all, with which the emulator would run on and on.
fn names_no_command(options: &Options) -> bool {
    options.command.is_empty() && std::env::args_os().next_back().is_some_and(|last| last == "--")
}

/// What the port can do about it, where that is why.
fn not_started(error: StartError, options: &Options) -> anyhow::Error {
    let StartError::Listen { address, source } = &error else { return error.into() };
    if source.kind() != ErrorKind::AddrInUse {
        return error.into();
    }
    // The ports are taken in this order, so an address that is both is that of the first.
    let option = if Some(address.port()) == ports(options).first().copied() { "--port" } else { "--admin-port" };
    anyhow!("{address} is taken, by another emulator perhaps: {option} 0 takes a free port")
}

/// The port, and that of the administration.
fn ports(options: &Options) -> [u16; 2] {
    let usual = if options.command.is_empty() { [8787, 8788] } else { [0, 0] };
    [options.port.unwrap_or(usual[0]), options.admin_port.unwrap_or(usual[1])]
}

fn emulator_options(options: &Options) -> anyhow::Result<wif_emulator::Options> {
    let [port, admin_port] = ports(options);
    let mut emulator = wif_emulator::Options {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        admin: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, admin_port))),
        algorithm: options.algorithm,
        token_lifetime_seconds: options.lifetime,
        identity_token_lifetime_seconds: options.identity_lifetime,
        // The issuer's default unless no token would be taken with it.
        max_jwt_lifetime_seconds: options.identity_lifetime.max(3600),
        rotate_when_exchanged: options.rotation == Rotation::Exchanged,
        // The same in each run: what was told of an earlier one still leads here, as do files such as `try.yaml` for Envoy.
        federation_rule_id: "fdrl_01cwdPw2yoKNxPhriKBsXHiW".to_owned(),
        organization_id: "8c832564-10af-440b-9e6d-ae77de2768b0".to_owned(),
        service_account_id: "svac_01HDIxGh5IlmWrcTjqAQJei0".to_owned(),
        workspace_ids: vec!["wrkspc_010UySf6dxHSWoFeUTYWWpN9".to_owned()],
        ..wif_emulator::Options::default()
    };
    if options.try_out.is_some() {
        // Nobody is to connect.
        (emulator.listen, emulator.admin) = (SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None);
    }
    if let Some(path) = &options.resources {
        let document = files::read(path)?;
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

/// An identity token in a directory, for as long as this is kept.
struct Publication {
    file: TokenFile,
    _rotation: wif_emulator::Rotation,
    /// Removed with everything in it.
    _temporary: Option<TempDir>,
}

impl Publication {
    fn begin(emulator: &Emulator, options: &Options) -> anyhow::Result<Self> {
        let (directory, temporary) = match &options.directory {
            Some(directory) => (directory.clone(), None),
            None if options.command.is_empty() => ("wif-emulator".into(), None),
            None => {
                let made = tempfile::Builder::new().prefix("wif-emulator-").tempdir();
                let directory = made.context("cannot make a temporary directory for the identity token")?;
                (directory.path().to_owned(), Some(directory))
            }
        };
        std::fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let directory = directory.canonicalize().context("cannot resolve the directory")?;
        let file = emulator.identity_provider().publish(&directory).map_err(|error| match error.is_in_use() {
            true => anyhow!(
                "another emulator publishes its identity token in {}: name another directory with --directory",
                directory.display()
            ),
            false => error.into(),
        })?;
        let lifetime = emulator.options().identity_token_lifetime_seconds;
        let rotation = file.rotate_every(Duration::from_secs((lifetime * 4 / 5).max(1)));
        Ok(Self { file, _rotation: rotation, _temporary: temporary })
    }
}

async fn serve(emulator: &Emulator, variables: &[(&'static str, String)]) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    for name in hiding() {
        say(&format!("unset {name}"));
    }
    for (name, value) in variables {
        say(&format!("export {name}={}", shell::word(value)));
    }
    if let Some(url) = emulator.admin_url() {
        say(&format!("# administration: curl {url}/ lists what it takes"));
    }
    say("# then, where these variables are set: wif token");
    let mut changed = emulator.subscribe();
    let mut shown = 0;
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            changed = changed.changed() => changed.context("the emulator has stopped")?,
        }
        for entry in emulator.history_since(shown) {
            shown = entry.sequence + 1;
            say(&format!("# {}", line_of(&entry)));
        }
    }
}

/// Judges the identity token in the file, by the rule that clients would be led to.
async fn try_out(emulator: Emulator, path: &Path, workspace: Option<String>) -> anyhow::Result<()> {
    let token = std::fs::read_to_string(path).map_err(|error| Wrong(format!("cannot read {}: {error}", path.display())))?;
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

/// The variables that lead a client to the emulator.
fn variables(emulator: &Emulator, token_file: &Path) -> Vec<(&'static str, String)> {
    let options = emulator.options();
    let mut variables = vec![
        (BASE_URL, emulator.base_url().to_owned()),
        (RULE, options.federation_rule_id.clone()),
        (ORGANIZATION, options.organization_id.clone()),
        (SERVICE_ACCOUNT, options.service_account_id.clone()),
    ];
    // A rule for the organization has none.
    variables.extend(options.workspace_ids.first().map(|id| (WORKSPACE, id.clone())));
    variables.push((TOKEN_FILE, token_file.display().to_string()));
    variables.push(("WIF_ALLOW_LOOPBACK", "1".to_owned()));
    variables.extend(emulator.admin_url().map(|url| ("WIF_EMULATOR_ADMIN", url.to_owned())));
    variables
}

/// Variables that are set here and that clients would follow instead.
fn hiding() -> Vec<&'static str> {
    STATIC.into_iter().chain([PROFILE, TOKEN]).filter(|name| environment::is_there(name)).collect()
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
        let detail = detail.replace(wif_rules::is_unshown, " ");
        line.push_str(&format!(" - {detail}"));
    }
    line
}
