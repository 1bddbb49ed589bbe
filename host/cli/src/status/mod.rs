//! `wif status`.

mod chain;
mod identity;
mod show;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};
use wif::{Builder, Credential, Error, Failure, FailureCode, IdentityTokenStatus, Start, Status};

use self::chain::Chain;
use self::identity::Look;
use crate::credential::{Kind, kind_of, may_change, named, place_of};
use crate::options::Common;
use crate::output::answer;
use crate::state_file::{StateFile, is_directory};
use crate::{environment, exit, help, sources, state_server, warnings};

/// What `wif status` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::STATUS)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
    /// Also look into this state file of `wif token`: which access token it holds, and which identity tokens it knows to be spent.
    /// It is not changed.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Exchange the identity token, too, or refresh a login that is due. An identity token that can be exchanged once is spent by it.
    #[arg(long)]
    exchange: bool,
}

/// What the user means in place of a state file. A server's URL is not shown, for it may hold a password.
fn no_file(state: &Path) -> Option<String> {
    let server = state_server::url(state).map(|_| "it is a server".to_owned());
    server.or_else(|| is_directory(state).then(|| format!("{} is a directory", state.display())))
}

/// How long discovery may take, and an exchange.
const LIMIT: Duration = Duration::from_secs(35);

/// What the screen and the document tell.
struct Report {
    status: Status,
    /// The places where a credential can be.
    chain: Chain,
    /// The identity token that the status has seen, or that a look without an exchange has found.
    identity_token: Option<IdentityTokenStatus>,
    /// What the identity token's place holds; none without a federation.
    look: Option<Look>,
    /// The variables that a platform's source reads, and whether each is set.
    reads: Vec<(String, bool)>,
    /// The access token of a login is due: whoever asks for one refreshes it.
    is_due: bool,
    /// Whether a state file was looked into: without one, nothing is known of earlier runs.
    keeps_state: bool,
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
    if let Some(elsewhere) = options.state.as_deref().and_then(no_file) {
        let message = format!("--state: {elsewhere}, and `wif status` looks into a state file only: leave the option out");
        return Err(exit::Usage(message).into());
    }
    let journal = options.state.as_deref().map(|path| StateFile::peek(path, &document)).transpose()?.flatten();
    let builder = with_prefetch(options.common.builder(&document)?, &document, options.exchange);
    let credential = options.common.build(resumed(builder, journal.as_deref()))?;
    let mut changes = credential.changes();
    let mut failure = match options.exchange {
        true => failure_of(&credential, LIMIT).await?,
        false => discovered(&credential).await?,
    };
    if options.exchange {
        // What replaces a login's refresh token has to be written first, or it is lost.
        let _late = tokio::time::timeout(LIMIT, credential.settle()).await;
    }
    let mut status = credential.status().await?;
    let kind = kind_of(&status);
    let origin = place_of(&status).and_then(origin_of);
    let look = named(&status, "identity_token").filter(|_| kind == Kind::Federation).map(Look::at);
    let mut identity_token = status.identity_token.clone();
    let mut is_due = false;
    if failure.is_none() && !options.exchange {
        if matches!(kind, Kind::Federation | Kind::Login) {
            let rehearsal = rehearse(&options.common, &document, journal.as_deref()).await?;
            failure = rehearsal.failure;
            // The one thing that was kept from a login is what its refresh begins with.
            is_due = kind == Kind::Login && failure.take_if(|failure| failure.code == FailureCode::StoreFailed).is_some();
            identity_token = rehearsal.status.identity_token.clone();
            if rehearsal.status.token.is_some() {
                // The state file or the login's file has one, which `wif token` would print.
                status = rehearsal.status;
                failure = None;
            }
        } else {
            // It is there, or it is not: nothing is spent by asking.
            failure = failure_of(&credential, LIMIT).await?;
        }
    }
    let policy = options.common.policy(&document)?;
    let origin_allowed = origin.as_ref().filter(|_| kind != Kind::Unknown).map(|origin| policy.allows_origin(origin));
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
    let noted = warnings::noted(&mut changes).await;
    let members: Value = serde_json::from_str(&document).unwrap_or_default();
    let chain = Chain::look(&members, noted.found_in.as_deref());
    let reads = sources::variables_read(&members, named(&status, "identity_token")).into_iter();
    let mut report = Report {
        shadows: !chain.hidden().is_empty(),
        warnings: status.warnings.clone(),
        keeps_state: options.state.is_some(),
        status,
        chain,
        reads: reads.map(|name| (name.clone(), environment::is_set(&name))).collect(),
        is_due,
        identity_token,
        look,
        trouble,
        origin_allowed,
    };
    report.status.configuration.extend(policy.proxy_origin().map(|proxy| ("proxy".to_owned(), proxy)));
    report.warn(noted.ignored);
    credential.shutdown().await;
    if options.json {
        answer(&show::as_json(&report).to_string())?;
    } else {
        show::as_text(&report).iter().try_for_each(|line| answer(line))?;
    }
    Ok(match &report.trouble {
        Some(trouble) => ExitCode::from(trouble.exit),
        None if report.shadows => ExitCode::from(exit::SHADOWS),
        None => ExitCode::SUCCESS,
    })
}

/// Without an exchange: where the configured identity token is, and whether the component finds the federation at all. For
/// `wif doctor`, which judges the token itself.
pub(crate) async fn configured(common: &Common) -> anyhow::Result<Status> {
    let document = common.document()?;
    let credential = common.build(with_prefetch(common.builder(&document)?, &document, false))?;
    let failure = discovered(&credential).await?;
    let status = credential.status().await?;
    credential.shutdown().await;
    match failure {
        Some(failure) => Err(Error::Unavailable(failure).into()),
        None => Ok(status),
    }
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
    /// Takes what the credential noted of what it ignores, and what the chain hides.
    fn warn(&mut self, ignored: Vec<String>) {
        let hidden = self.chain.hidden();
        let told = |warning: &String| !hidden.is_empty() && warnings::tells_of_a_hidden_credential(warning);
        let ignored: Vec<String> = ignored.into_iter().filter(|warning| !told(warning)).collect();
        for warning in ignored.into_iter().chain(hidden) {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// Where the credential stands, as `wif token` would find it.
    fn state(&self) -> (&str, &str) {
        match (&self.trouble, self.status.state) {
            (Some(_), wif::State::Idle | wif::State::Serving) => ("failed", "There is no access token to be had."),
            (None, _) if self.is_due => ("ready", "The access token of the login is due. Who asks for one refreshes it."),
            (None, wif::State::Idle) => ("ready", "No reason was found why an exchange would fail."),
            (_, state) => (state.as_str(), &self.status.summary),
        }
    }

    /// What happens next, in words, and when.
    fn next(&self) -> (&str, Option<Duration>) {
        match (&self.trouble, self.status.state) {
            (Some(_), wif::State::Idle | wif::State::Serving) => ("nothing, before this is mended", None),
            (None, _) if self.is_due => ("a refresh, when somebody asks for a token", None),
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

fn resumed(builder: Builder, journal: Option<&str>) -> Builder {
    match journal {
        Some(journal) => builder.resume(Start::Resumed(journal.to_owned().into())),
        None => builder,
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

/// What came of an exchange that was not made.
struct Rehearsal {
    failure: Option<Failure>,
    status: Status,
}

/// Looks at the identity token as an exchange would, or at a login as a refresh would, under a policy that lets no request out and
/// no login's file be replaced: what is wrong with it, and what it says.
async fn rehearse(common: &Common, document: &str, journal: Option<&str>) -> anyhow::Result<Rehearsal> {
    tracing::info!(target: "wif", "the exchange that follows is a rehearsal: no request leaves");
    let builder = common.builder(document)?.policy(common.policy(document)?.without_origins());
    let credential = common.build(resumed(with_prefetch(builder, document, true), journal))?;
    let failure = failure_of(&credential, LIMIT).await?;
    let status = credential.status().await?;
    credential.shutdown().await;
    // What the rehearsal itself denies is no failure: requests, and whatever else would reach somebody.
    let rehearsed =
        |failure: &Failure| failure.code == FailureCode::DeniedByHost && failure.message.contains("the policy allows no ");
    Ok(Rehearsal { failure: failure.filter(|failure| !rehearsed(failure)), status })
}

fn origin_of(base_url: &str) -> Option<String> {
    let url: http::Uri = base_url.parse().ok()?;
    Some(format!("{}://{}", url.scheme_str()?, url.authority()?))
}
