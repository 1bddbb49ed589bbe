//! `wif doctor`: why an exchange is refused, and what will go wrong later.

mod explain;
mod finding;
mod settings;
mod suspects;
mod triage;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde_json::{Map, Value, json};
use wif::{Clock as _, Credential, Error, FailureCode, Policy, Secret, SystemClock};
use wif_federation::{Federation, Issuer, Keys, Reason, Trial};

use self::finding::{Certainty, Finding};
use self::settings::{Configured, Settings};
use self::suspects::{Known, Whence};
use crate::credential::{Kind, file_of, kind_of, named, variable_of};
use crate::jwt::Parts;
use crate::options::Common;
use crate::output::answer;
use crate::{environment, exit, files, help, status};

/// What `wif doctor` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::DOCTOR)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// The file with the identity token, or - for standard input. Default: the configured file or variable.
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// The federation rule (JSON or TOML): as the Admin API shows it, or its `match` block alone, or `rule`, `issuer` and
    /// `service_account` in one, or the document that `wif emulate --resources` takes.
    #[arg(long, value_name = "FILE")]
    rule: Option<PathBuf>,
    /// The federation issuer (JSON or TOML), as the Admin API shows it.
    #[arg(long, value_name = "FILE")]
    issuer: Option<PathBuf>,
    /// Fetch the issuer's keys, from where the service would, and verify the signature. Without it nothing is sent anywhere.
    #[arg(long)]
    online: bool,
    /// The endpoint has refused the exchange: also tell what that can be which cannot be seen from here.
    #[arg(long)]
    refused: bool,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// The largest text that is taken for an identity token, in bytes: larger than the service takes.
const MAX_BYTES: u64 = 1 << 20;

/// Looking at a token by the component takes milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

/// What came of it all.
struct Report {
    findings: Vec<Finding>,
    passed: Vec<String>,
    /// What could not be looked at, and why.
    unseen: Vec<String>,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let settings = Settings::read(options.rule.as_deref(), options.issuer.as_deref())?;
    let (configured, source, trouble) = configured(&options).await?;
    let mut report = Report { findings: Vec::new(), passed: Vec::new(), unseen: Vec::new() };
    report.unseen.extend(settings.unknown.iter().map(|name| format!("{name}: it is not known here")));
    let token = match &source {
        Some(source) => read(source)?,
        None => None,
    };
    match (&source, token) {
        (Some(source), Some(token)) => {
            let whence = source.whence();
            judge(&token, whence, &settings, &configured, &options, &mut report).await?;
        }
        (Some(source), None) => report.findings.push(
            Finding::new(
                "identity_token_missing",
                Certainty::Refused,
                0,
                format!("There is no identity token: {}.", source.words()),
            )
            .change("Look at what should put it there: a mount, a job's permissions, a helper."),
        ),
        (None, _) => {}
    }
    report.findings.extend(trouble);
    if source.is_none() && !report.findings.iter().any(|finding| finding.certainty <= Certainty::Likely) {
        let is_login = report.findings.iter().any(|finding| finding.code == LOGIN);
        let why = if is_login { "a login uses none" } else { "only an exchange asks its source for one" };
        report.unseen.push(format!("the identity token: {why}. Hand one over with --token"));
    }
    report.findings.sort_by_key(|finding| (finding.certainty, finding.rank));
    let refused = report.findings.iter().any(|finding| finding.certainty <= Certainty::Likely);
    if options.json {
        let findings: Vec<Value> = report.findings.iter().map(Finding::to_json).collect();
        let document =
            json!({ "refused": refused, "findings": findings, "passed": report.passed, "not_looked_at": report.unseen });
        answer(&document.to_string())?;
    } else {
        lines(&report).iter().try_for_each(|line| answer(line))?;
    }
    Ok(if refused { ExitCode::from(exit::REFUSED) } else { ExitCode::SUCCESS })
}

fn lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, finding) in report.findings.iter().enumerate() {
        lines.extend(finding.to_lines(at + 1));
    }
    if report.findings.is_empty() {
        lines.push("No reason for a refusal was found from here.".to_owned());
    }
    if !report.passed.is_empty() {
        lines.push(format!("passed: {}", report.passed.join(", ")));
    }
    lines.extend(report.unseen.iter().map(|what| format!("not looked at: {what}")));
    lines
}

/// Where the identity token is.
enum Source {
    File(PathBuf),
    Variable(String),
    Input,
}

impl Source {
    fn whence(&self) -> Whence {
        match self {
            Self::File(_) => Whence::File,
            Self::Variable(_) => Whence::Variable,
            Self::Input => Whence::Input,
        }
    }

    fn words(&self) -> String {
        match self {
            Self::File(path) => format!("the file {} is not there, or empty", path.display()),
            Self::Variable(name) => format!("the variable {name} is not set, or empty"),
            Self::Input => "standard input is empty".to_owned(),
        }
    }
}

/// The ids that an exchange would send, the place of the identity token, and what is wrong with either.
async fn configured(options: &Options) -> anyhow::Result<(Configured, Option<Source>, Option<Finding>)> {
    let given = options.token.as_deref().map(|path| match path == Path::new("-") {
        true => Source::Input,
        false => Source::File(path.to_owned()),
    });
    let status = match status::configured(&options.common).await {
        Ok(status) => status,
        Err(error) => {
            let finding = match error.downcast_ref() {
                Some(Error::Unavailable(failure)) if given.is_none() => Some(
                    Finding::new("configuration", Certainty::Refused, 0, exit::in_own_words(&failure.message))
                        .change(exit::action(failure)),
                ),
                // With a token at hand it is the token that is asked about; the variables may be those of another machine.
                Some(Error::Unavailable(_)) => None,
                _ => return Err(error),
            };
            return Ok((Configured::default(), given, finding));
        }
    };
    let of = |name: &str| named(&status, name).map(str::to_owned);
    let configured = Configured {
        rule: of("federation_rule_id"),
        organization: of("organization_id"),
        service_account: of("service_account_id"),
        workspace: of("workspace_id"),
    };
    let hiding = other_credential(kind_of(&status), &of("credential").unwrap_or_default()).filter(|_| given.is_none());
    let source = given.or_else(|| {
        let source = named(&status, "identity_token")?;
        match (file_of(source), variable_of(source)) {
            (Some(path), _) => Some(Source::File(path.to_owned())),
            (None, Some(name)) => Some(Source::Variable(name.to_owned())),
            (None, None) => None,
        }
    });
    Ok((configured, source, hiding))
}

/// The code of the finding that a login is used.
const LOGIN: &str = "login";

/// A credential that uses no identity token. A login is as good as one, and a secret that does not change is what people want to
/// get rid of.
fn other_credential(kind: Kind, shown: &str) -> Option<Finding> {
    let finding = match kind {
        Kind::Unknown | Kind::Federation => return None,
        Kind::Login => Finding::new(
            LOGIN,
            Certainty::Advice,
            0,
            "No identity token is used: the credential is the login of a person.",
        )
        .change("If a workload is to use its identity, unset ANTHROPIC_PROFILE or choose a profile of a federation: `wif status` has all places."),
        Kind::Key | Kind::Bearer => Finding::new(
            "static_credential",
            Certainty::Refused,
            0,
            "No identity token is used: a static key or token goes before it.",
        )
        .change("Unset ANTHROPIC_API_KEY, ANTHROPIC_AUTH_TOKEN and CLAUDE_CODE_OAUTH_TOKEN. `wif status` has all places, `wif find-keys` the lines."),
    };
    Some(finding.expected("federation").found(shown))
}

/// What the place holds; none if there is nothing.
fn read(source: &Source) -> anyhow::Result<Option<Secret>> {
    let text = match source {
        Source::File(path) if !path.exists() => return Ok(None),
        Source::File(path) => files::read(path)?,
        Source::Variable(name) => environment::raw(name),
        Source::Input => {
            let mut text = Vec::new();
            std::io::stdin().lock().take(MAX_BYTES).read_to_end(&mut text).context("cannot read standard input")?;
            String::from_utf8_lossy(&text).into_owned()
        }
    };
    Ok((!text.trim().is_empty()).then(|| text.into()))
}

async fn judge(
    token: &Secret,
    whence: Whence,
    settings: &Settings,
    configured: &Configured,
    options: &Options,
    report: &mut Report,
) -> anyhow::Result<()> {
    let text = token.reveal().trim_ascii();
    let parts = Parts::of(text).unwrap_or_default();
    let case = settings.case(&parts, configured)?;
    if let Some(why) = case.cannot_be_created(settings) {
        // The compiler of conditions draws its errors over several lines.
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        let finding =
            Finding::new("rule_invalid", Certainty::Refused, 3, format!("The service would not take these settings: {why}."));
        report.findings.push(finding.change("Mend the place that is named."));
    }
    let shape = shape(token).await?;
    let has_form = shape.is_none();
    if let Some((change, what)) = shape {
        report.findings.push(
            Finding::new("assertion_malformed", Certainty::Refused, 0, format!("What should be the identity token {what}."))
                .expected("a JWT: three parts in base64url, with nothing around them")
                .change(change),
        );
    }
    let now = Duration::from_millis(SystemClock::default().now().wall_ms);
    let trial = trial(text, &case, configured, options.online, SystemTime::UNIX_EPOCH + now).await;
    match trial {
        Err(message) => report.findings.push(
            Finding::new("request_malformed", Certainty::Refused, 1, format!("The endpoint answers 400: {message}."))
                .change("Copy the id from the Console, whole."),
        ),
        Ok(trial) => {
            let verifies = options.online || case.has_keys();
            for check in &trial.checks {
                match check.failure {
                    None if matches!(check.name.as_str(), "rule" | "service_account" | "scope") => {}
                    None => report.passed.push(check.name.clone()),
                    Some(Reason::JwksUnavailable) if !verifies => {
                        report.unseen.push("the issuer's keys and the signature: --online fetches them".to_owned());
                    }
                    // The component has named what it is.
                    Some(_) if !has_form && matches!(check.name.as_str(), "form" | "payload" | "signature") => {}
                    Some(reason) => report.findings.push(explain::of(check, reason, &parts, &case, settings)),
                }
            }
        }
    }
    let known =
        Known { token: &parts, case: &case, settings, configured, whence, now: now.as_secs().try_into().unwrap_or(i64::MAX) };
    let is_refused = report.findings.iter().any(|finding| finding.certainty <= Certainty::Likely);
    report.findings.extend(suspects::all(&known));
    if options.refused && !is_refused {
        report.findings.extend(triage::after_a_refusal(Some(&known), options.online));
    }
    for (is_known, what) in [
        (settings.knows_the_rule(), "the rule's match: --rule FILE"),
        (settings.knows_the_issuer(), "the issuer's settings: --issuer FILE"),
    ] {
        if !is_known {
            report.unseen.push(what.to_owned());
        }
    }
    Ok(())
}

/// Judges as the emulator does, and the service.
async fn trial(
    token: &str,
    case: &settings::Case,
    configured: &Configured,
    online: bool,
    now: SystemTime,
) -> Result<Trial, String> {
    let keys: Arc<dyn Keys> = if online { Arc::new(wif_emulator::key_fetcher()) } else { Arc::new(NoKeys) };
    let federation = Federation::new(case.resources.clone(), &keys, 60, None);
    let organization = case.resources.organizations.iter().find(|owner| owner.federation_rules.contains(&case.rule));
    let mut members = Map::new();
    let mut member = |name: &str, value: Option<&str>| {
        members.extend(value.map(|value| (name.to_owned(), Value::from(value))));
    };
    member("assertion", Some(token));
    member("federation_rule_id", Some(&case.rule.id));
    member("organization_id", configured.organization.as_deref().or(organization.map(|owner| owner.id.as_str())));
    member("service_account_id", configured.service_account.as_deref());
    member("workspace_id", configured.workspace.as_deref());
    Trial::of(&federation, &members, now).await
}

/// Asks nobody.
struct NoKeys;

impl Keys for NoKeys {
    fn fetch<'a>(&'a self, _: &'a Issuer) -> Pin<Box<dyn Future<Output = Result<Vec<Value>, String>> + Send + 'a>> {
        Box::pin(async { Err("nothing is fetched without --online".to_owned()) })
    }
}

/// What the component says of a text that is no identity token: it knows what people paste in its place. What to do, and the end
/// of a sentence.
async fn shape(token: &Secret) -> anyhow::Result<Option<(String, String)>> {
    let document = json!({
        "prefetch": true,
        "federation": {
            "federation_rule_id": "fdrl_Unknown",
            "organization_id": "8c832564-10af-440b-9e6d-ae77de2768b0",
            "identity_token": { "source": "callable", "name": "doctor", "freshness": "shared" },
        },
    });
    let text = token.reveal().to_owned();
    let credential = Credential::builder()
        .configuration(document.to_string())
        .policy(Policy::default().without_origins())
        .identity_token("doctor", move |_| {
            let text = text.clone();
            async move { Ok(text.into()) }
        })
        .build()?;
    let outcome = credential.token_within(LIMIT).await;
    credential.shutdown().await;
    let Err(Error::Unavailable(failure)) = outcome else { return Ok(None) };
    if failure.code != FailureCode::IdentityTokenMalformed {
        return Ok(None);
    }
    // The checks name what is missing in a JWT better, with what was found.
    let is_jwt = Parts::of(token.reveal().trim_ascii()).is_some();
    let (_, what) = failure.message.split_once("doctor (shared) ").unwrap_or(("", "cannot be read"));
    let what = what.trim_end_matches('.').to_owned();
    Ok((!is_jwt).then_some(("Hand over the bare token, as the provider gives it.".to_owned(), what)))
}
