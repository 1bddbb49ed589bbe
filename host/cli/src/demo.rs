//! `wif demo`: the whole life of a credential, against a local emulator, with real signatures and real requests.
//!
//! It reads as a story: who does something has a line before what comes of it. The engine's lines are its events, and the server's
//! are the emulator's history. In the end the two accounts are compared: what the component says it did, and what the server saw.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio_stream::StreamExt as _;
use wif::{Change, Credential, NoteCode, Policy, Token};
use wif_emulator::{Emulator, Entry, Kind, Outcome, TokenFile};

use crate::emulate::line_of;
use crate::output::say;

/// Access tokens live so short that what takes an hour otherwise can be watched.
const LIFETIME_S: u64 = 24;

/// Identity tokens outlive the moment of the refresh, and end before the access token does: whoever rotates them by then leaves the
/// credential no gap, as it should be.
const IDENTITY_TOKEN_LIFETIME_S: u64 = 17;

/// Where the refresh begins within its window: at its beginning, and in each run alike.
const SEED: u64 = 115;

/// No line is longer.
const COLUMNS: usize = 100;

/// No wait in the demonstration is longer.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn run() -> anyhow::Result<()> {
    let emulator = Emulator::start(wif_emulator::Options {
        token_lifetime_seconds: LIFETIME_S,
        // Else the rest of an identity token's life would shorten the access token's.
        shortest_lifetime_seconds: LIFETIME_S,
        identity_token_lifetime_seconds: IDENTITY_TOKEN_LIFETIME_S,
        ..wif_emulator::Options::default()
    })
    .await?;
    let directory = tempfile::tempdir().context("no directory for the identity token")?;
    let file = emulator.identity_provider().publish(directory.path())?;
    let credential = Credential::builder()
        .configuration(configuration(&emulator, &file))
        .seed(SEED)
        .policy(Policy::default().allow_origin(emulator.base_url())?)
        .build()?;
    let mut account = Account { emulator, credential, notes: BTreeMap::new(), shown: 0 };
    let result = account.tell(&file).await;
    account.credential.shutdown().await;
    account.emulator.shutdown().await;
    result
}

fn configuration(emulator: &Emulator, file: &TokenFile) -> String {
    let options = emulator.options();
    let document = json!({
        "base_url": emulator.base_url(),
        // The story begins with the first request.
        "prefetch": false,
        "federation": {
            "federation_rule_id": options.federation_rule_id,
            "organization_id": options.organization_id,
            "service_account_id": options.service_account_id,
            "workspace_id": options.workspace_ids.first(),
            "identity_token": { "source": "file", "path": file.path() },
        },
    });
    document.to_string()
}

/// Both sides of the story, as they are told.
struct Account {
    emulator: Emulator,
    credential: Credential,
    /// How often the engine noted what.
    notes: BTreeMap<&'static str, u64>,
    /// The next entry of the emulator's history.
    shown: u64,
}

impl Account {
    async fn tell(&mut self, file: &TokenFile) -> anyhow::Result<()> {
        let mut changes: Changes = Box::pin(self.credential.changes());
        say("A workload has an identity token. It needs an access token for the Claude API, and holds no key.");
        say("Here a local emulator plays the platform, the token endpoint and the API.");
        chapter("1. The first request: the identity token is exchanged for an access token.");
        let first = self.credential.token_within(LIMIT).await?;
        self.until(&mut changes, NoteCode::ExchangeSucceeded).await?;
        self.succeeds(&first).await?;

        chapter("2. Half of its life later a refresh is due. The identity token is spent, so nothing is sent.");
        self.until(&mut changes, NoteCode::WaitingForRotation).await?;
        tell("client", &format!("is served on with access token {}", self.current()?.id()));
        rotate(file)?;
        self.until(&mut changes, NoteCode::ExchangeSucceeded).await?;
        let second = self.current()?;
        ensure!(second.id() != first.id(), "the access token is the old one");

        chapter("3. Somebody revokes the access token. The API's 401 leads to another one.");
        rotate(file)?;
        ensure!(self.emulator.revoke_all() > 0, "there was nothing to revoke");
        tell("administrator", &format!("revokes access token {}", second.id()));
        let (status, _) = self.message(&second).await?;
        ensure!(status == 401, "the revoked token was answered with status {status}");
        tell("client", "got status 401, and tells the engine");
        self.credential.rejected(second.id());
        self.until(&mut changes, NoteCode::ExchangeSucceeded).await?;
        let third = self.credential.token_within(LIMIT).await?;
        ensure!(third.id() != second.id(), "the access token is the revoked one");
        self.succeeds(&third).await?;
        self.compare()
    }

    fn current(&self) -> anyhow::Result<Token> {
        self.credential.try_current().context("callers were left without a token")
    }

    /// Sends a message that is answered.
    async fn succeeds(&mut self, token: &Token) -> anyhow::Result<()> {
        let (status, text) = self.message(token).await?;
        ensure!(status == 200 && !text.is_empty(), "the message was answered with status {status}");
        tell("client", &format!("read {text:?}"));
        Ok(())
    }

    /// Sends a streaming message and reads it to its end: the status, and the text of the stream.
    async fn message(&mut self, token: &Token) -> anyhow::Result<(u16, String)> {
        ensure!(token.origin() == self.emulator.base_url(), "the token belongs to {}", token.origin());
        tell("client", &format!("sends a message with access token {}", token.id()));
        let mut headers = http::HeaderMap::new();
        headers.insert("anthropic-version", http::HeaderValue::from_static("2023-06-01"));
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        token.apply(&mut headers);
        let body = json!({
            "model": "claude-demo", "max_tokens": 64, "stream": true,
            "messages": [{ "role": "user", "content": "Say hello." }],
        });
        let mut request = http::Request::post(format!("{}/v1/messages", self.emulator.base_url()));
        if let Some(place) = request.headers_mut() {
            *place = headers;
        }
        // It knows no TLS, for it speaks to loopback alone.
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let response = client.request(request.body(Full::from(body.to_string()))?).await?;
        let status = response.status().as_u16();
        let stream = response.into_body().collect().await?.to_bytes();
        self.show_history();
        let stream = String::from_utf8_lossy(&stream);
        let deltas = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter_map(|data| {
            let event: serde_json::Value = serde_json::from_str(data).ok()?;
            event["delta"]["text"].as_str().map(str::to_owned)
        });
        Ok((status, deltas.collect()))
    }

    /// Shows what the engine notes, until it has noted this.
    async fn until(&mut self, changes: &mut Changes, code: NoteCode) -> anyhow::Result<()> {
        let wait = async {
            loop {
                let Some(change) = changes.next().await else { bail!("the credential has ended") };
                let found = change.notes.iter().any(|note| note.code == code);
                self.show(change);
                if found {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(LIMIT, wait).await.with_context(|| format!("{code} did not come in time"))?
    }

    fn show(&mut self, change: Change) {
        for note in change.notes {
            if matches!(note.code, NoteCode::ExchangeSucceeded | NoteCode::ExchangeFailed) {
                // The server answered before the engine heard of it.
                self.show_history();
            }
            *self.notes.entry(note.code.as_str()).or_default() += 1;
            let fields: Vec<String> = note.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let what = if fields.is_empty() { note.message.clone() } else { fields.join(" ") };
            tell("engine", &format!("{} {what}", note.code));
        }
    }

    fn show_history(&mut self) {
        for entry in self.emulator.history_since(self.shown) {
            self.shown = entry.sequence + 1;
            tell("server", &line_of(&entry));
        }
    }

    /// The two accounts must agree.
    fn compare(&self) -> anyhow::Result<()> {
        let history = self.emulator.history();
        let seen = |kind: Kind, outcome: Outcome| {
            history.iter().filter(|entry: &&Entry| entry.kind == kind && entry.outcome == outcome).count() as u64
        };
        let noted = |code: NoteCode| self.notes.get(code.as_str()).copied().unwrap_or(0);
        let pairs = [
            ("exchanges", noted(NoteCode::ExchangeStarted), self.emulator.counts().exchanges),
            ("access tokens issued", noted(NoteCode::ExchangeSucceeded), seen(Kind::Exchange, Outcome::Granted)),
            ("access tokens rejected", noted(NoteCode::TokenRejected), seen(Kind::Message, Outcome::Denied)),
        ];
        chapter("Both accounts, of the engine and of the server:");
        for (what, engine, server) in pairs {
            say(&format!("   {what}: the engine counts {engine}, the server {server}"));
            ensure!(engine == server, "the accounts differ in {what}");
        }
        ensure!(noted(NoteCode::ExchangeSucceeded) == 3, "three exchanges were to succeed");
        ensure!(seen(Kind::Message, Outcome::Granted) == 2, "two messages were to be answered");
        say("They agree. The component imports nothing; what it asked for, this host did.");
        Ok(())
    }
}

type Changes = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Change> + Send>>;

fn rotate(file: &TokenFile) -> anyhow::Result<()> {
    file.rotate()?;
    tell("platform", "publishes another identity token");
    Ok(())
}

fn chapter(title: &str) {
    say("");
    say(title);
}

/// Says who does what, in as many lines as it takes.
fn tell(who: &str, what: &str) {
    let mut line = format!("   {who}:");
    for word in what.split(' ') {
        if line.len() + 1 + word.len() > COLUMNS {
            say(&line);
            line = "     ".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    say(&line);
}
