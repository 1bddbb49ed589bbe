//! `wif token`.

mod output_file;
mod wanted;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_stream::StreamExt as _;
use wif::{Availability, Credential, CredentialsFile, Status, Token};

use self::output_file::OutputFile;
pub(crate) use self::wanted::Wanted;
use crate::credential::{Kind, kind_of, named, place_of};
use crate::environment::{API_KEY, AUTH_TOKEN, BASE_URL, CLAUDE_CODE};
use crate::exit::Usage;
use crate::output::{hand_over, say, say_error};
use crate::words::{moment, seconds};
use crate::{exit, help, output, shell};

/// What `wif token` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::TOKEN)]
pub(crate) struct Options {
    #[command(flatten)]
    wanted: Wanted,
    /// Print a JSON object: `token`, the name of its `header`, what requests carry beside it (`other_headers`), its `id` and
    /// `origin`, and when it is to be refreshed and may no longer be used, as moments (`refresh_at`, `unusable_at`, RFC 3339 in UTC) and from now on (`refresh_in_ms`,
    /// `unusable_in_ms`).
    #[arg(long, conflicts_with = "env")]
    json: bool,
    /// Print lines for a shell, which set ANTHROPIC_AUTH_TOKEN and ANTHROPIC_BASE_URL, and unset what would go before them:
    /// eval "$(wif token --env)".
    #[arg(long)]
    env: bool,
    /// The API answered 401 to the token with this id (`id` of --json): print another one. `last` stands for the token that the
    /// state file holds; where several programs share the file give the id, or one rejects what another has just fetched. If the
    /// state file has gone on to another token, that one is printed and nothing is exchanged.
    #[arg(long, value_name = "ID", requires = "state")]
    rejected: Option<String>,
    /// Write it into this file in place of standard output: readable by you alone, and replaced as a whole.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Keep running, and replace the file before its token ends. Prints a line whenever it does, and ends at SIGTERM or Ctrl-C.
    #[arg(long, requires = "output", conflicts_with = "rejected")]
    watch: bool,
}

/// Which token the API rejected.
#[derive(Debug)]
enum Rejected {
    Last,
    Id(String),
}

impl Rejected {
    /// The parser of the command line would repeat what it does not take, and that may be the token.
    fn parse(text: &str) -> Result<Self, Usage> {
        match text {
            "last" => Ok(Self::Last),
            id if id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(Self::Id(id.to_ascii_lowercase())),
            _ => Err(Usage(
                "--rejected takes `last`, or the id of a token (16 hexadecimal digits, `id` of --json), and never a token"
                    .to_owned(),
            )),
        }
    }
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let rejected = options.rejected.as_deref().map(Rejected::parse).transpose()?;
    let file = options.output.as_deref().map(OutputFile::at).transpose()?;
    if file.is_none() {
        // Before anything is spent on an answer that nobody will get.
        output::check()?;
    }
    let mut held = options.wanted.hold().await?;
    let mut waiting = held.waiting();
    let mut token = waiting.token_with_warnings().await?;
    let is_rejected = match &rejected {
        None => false,
        Some(Rejected::Id(id)) => token.id() == id,
        // The one that the state file held, unless this run has exchanged another.
        Some(Rejected::Last) => {
            token.standing() == wif::Standing::Suspect || waiting.credential().status().await?.exchanges_started == 0
        }
    };
    if is_rejected {
        token = waiting.replacement(&token).await?;
    }
    token = waiting.settled(token).await;
    match &file {
        None => hand_over(&options.content(&held.credential, &token).await?)?,
        Some(file) => write(&options, &held.credential, &token, file).await?,
    }
    if let (Some(file), true) = (&file, options.watch) {
        watch(&options, &held.credential, &token, file).await?;
    }
    held.end().await;
    // The token is good all the same; but the next run will not find it.
    held.trouble()
}

impl Options {
    /// What is asked for, without the line feed at its end.
    async fn content(&self, credential: &Credential, token: &Token) -> anyhow::Result<String> {
        let (name, bare) = bare(token)?;
        if self.env {
            return Ok(lines_for_a_shell(&credential.status().await?, &bare));
        }
        if !self.json {
            return Ok(bare);
        }
        // Such as the workspace of a login.
        let others: serde_json::Map<String, serde_json::Value> = token.headers()[1..]
            .iter()
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.into())))
            .collect();
        let lifetimes = credential.status().await.ok().and_then(|status| status.token).filter(|status| status.id == token.id());
        let refresh_in = lifetimes.as_ref().and_then(|token| token.refresh_in);
        let unusable_in = lifetimes.as_ref().and_then(|token| token.unusable_in);
        let milliseconds = |duration: Option<Duration>| duration.map(|duration| duration.as_millis() as u64);
        let document = json!({
            "token": bare,
            "header": name,
            "other_headers": others,
            "id": token.id(),
            "origin": token.origin(),
            "refresh_at": refresh_in.and_then(moment),
            "unusable_at": unusable_in.and_then(moment),
            "refresh_in_ms": milliseconds(refresh_in),
            "unusable_in_ms": milliseconds(unusable_in),
        });
        Ok(document.to_string())
    }
}

/// The name of the header field, and the token without its scheme.
pub(crate) fn bare(token: &Token) -> anyhow::Result<(&str, String)> {
    let (name, value) = token.headers().first().context("the credential has no header")?;
    let value = value.to_str().context("the credential is no text")?;
    Ok((name.as_str(), value.strip_prefix("Bearer ").unwrap_or(value).to_owned()))
}

/// The variable that a client reads such a credential from, and the one that would go before it or beside it. In which header field
/// a key is sent says nothing: a key goes out as a bearer, too.
pub(crate) fn variables_for(status: &Status) -> (&'static str, &'static str) {
    if kind_of(status) == Kind::Key { (API_KEY, AUTH_TOKEN) } else { (AUTH_TOKEN, API_KEY) }
}

fn lines_for_a_shell(status: &Status, bare: &str) -> String {
    let (variable, other) = variables_for(status);
    let place = place_of(status).map(|url| format!("\nexport {BASE_URL}={}", shell::word(url))).unwrap_or_default();
    format!("unset {other} {CLAUDE_CODE}\nexport {variable}={}{place}", shell::word(bare))
}

/// Replaces the file, and says so.
async fn write(options: &Options, credential: &Credential, token: &Token, file: &OutputFile) -> anyhow::Result<()> {
    file.replace(&options.content(credential, token).await?)?;
    let ends = credential.status().await?.token.and_then(|token| token.unusable_in);
    let ends = ends.map(|time| format!(", good for {}", seconds(time))).unwrap_or_default();
    say(&format!("wif: {} holds the access token {}{ends}", file.shown(), token.id()));
    Ok(())
}

/// How long after a file could not be written it is tried again.
const NEXT_WRITE: Duration = Duration::from_secs(5);

/// How often the file of a login is looked at: somebody may log in again, as another person perhaps.
const LOOK: Duration = Duration::from_secs(2);

/// What changes when the file of a login is replaced, or the login in the keychain in its place.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).or_else(|_| std::fs::metadata(CredentialsFile::keychain_mark(path))).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// Keeps the file fresh until somebody ends it.
async fn watch(options: &Options, credential: &Credential, first: &Token, file: &OutputFile) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut changes = credential.changes();
    let mut written = first.id().to_owned();
    let mut failing = None;
    let mut said = String::new();
    let status = credential.status().await?;
    let login = named(&status, "credentials_path").filter(|_| kind_of(&status) == Kind::Login).map(Path::new);
    // The first look counts as a change: the file may have been replaced since the first token was read out of it.
    let mut seen = None;
    loop {
        // Whatever led here: the newest token is what counts.
        if let Some(token) = credential.try_current().filter(|token| token.id() != written) {
            written = token.id().to_owned();
            // A disk that is full now may not be so soon, and until then the file has what it had.
            match write(options, credential, &token, file).await {
                Ok(()) => said.clear(),
                Err(error) => {
                    let line = format!("wif: {error:#}");
                    if line != said {
                        say_error(&line);
                        said = line;
                    }
                    written.clear();
                }
            }
        }
        let change = tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            () = tokio::time::sleep(NEXT_WRITE), if written.is_empty() => continue,
            () = tokio::time::sleep(LOOK), if login.is_some() => {
                let now = login.and_then(stamp);
                if now != std::mem::replace(&mut seen, now) {
                    credential.changed();
                }
                continue;
            }
            change = changes.next() => change.context("the credential has ended")?,
        };
        match change.availability {
            Availability::Failed(failure) if failing != Some(failure.code) => {
                failing = Some(failure.code);
                say_error(&format!("wif: {} keeps what it has: {}", file.shown(), exit::in_own_words(&failure.message)));
            }
            Availability::Usable { .. } => failing = None,
            _ => {}
        }
    }
}
