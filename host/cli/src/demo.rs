//! `wif demo`: the whole life of a credential, against a local emulator, with real signatures and real requests.
//!
//! Every line that it prints comes from an event of the engine or from the emulator's history. In the end the two accounts
//! are compared: what the component says it did, and what the server saw.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio_stream::StreamExt as _;
use wif::{Change, Credential, Note, NoteCode, Policy, Token};
use wif_emulator::{Emulator, Entry, Kind, Outcome, TokenFile};

use crate::emulate::line_of;
use crate::options::say;

/// Access tokens live ten seconds, so that what takes an hour otherwise can be watched.
const LIFETIME_S: u64 = 10;

/// No wait in the demonstration is longer.
const LIMIT: Duration = Duration::from_secs(15);

pub(crate) async fn run() -> anyhow::Result<()> {
    let emulator = Emulator::start(wif_emulator::Options {
        token_lifetime_seconds: LIFETIME_S,
        shortest_lifetime_seconds: 1,
        ..wif_emulator::Options::default()
    })
    .await?;
    let directory = tempfile::tempdir().context("no directory for the identity token")?;
    let file = emulator.identity_provider().publish(directory.path())?;
    let credential = Credential::builder()
        .configuration(configuration(&emulator, &file))
        .policy(Policy::default().allow_origin(emulator.base_url())?)
        .build()?;
    let mut account = Account { emulator, credential, notes: BTreeMap::new(), changes: Vec::new(), shown: 0 };
    let result = account.tell(&file).await;
    account.credential.shutdown().await;
    account.emulator.shutdown().await;
    result
}

fn configuration(emulator: &Emulator, file: &TokenFile) -> String {
    let options = emulator.options();
    let document = json!({
        "base_url": emulator.base_url(),
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
    /// What the engine noted, in its order.
    changes: Vec<Note>,
    /// The next entry of the emulator's history.
    shown: u64,
}

impl Account {
    async fn tell(&mut self, file: &TokenFile) -> anyhow::Result<()> {
        let mut changes: Changes = Box::pin(self.credential.changes());
        say("1. An identity token is exchanged, and the access token used for a streamed message.");
        let first = self.credential.token_within(LIMIT).await?;
        let (status, text) = self.message(&first).await?;
        ensure!(status == 200 && !text.is_empty(), "the first message was answered with status {status}");
        say(&format!("   client: the stream said {text:?}"));
        self.catch_up(&mut changes).await;

        say("2. Its owner rotates the identity token; the access token is refreshed ahead of time, beside the callers.");
        file.rotate()?;
        let second = self.next_token(&mut changes, &first, true).await?;

        say("3. The next refresh finds an identity token that is spent, waits for its rotation, and goes on.");
        self.wait_for_rotation(&mut changes).await?;
        file.rotate()?;
        let third = self.next_token(&mut changes, &second, false).await?;

        say("4. The access token is revoked: the API's 401 leads to a new one, and the request is repeated with it.");
        file.rotate()?;
        ensure!(self.emulator.revoke_all() > 0, "there was nothing to revoke");
        let (status, _) = self.message(&third).await?;
        ensure!(status == 401, "the revoked token was answered with status {status}");
        self.credential.rejected(third.id());
        let fourth = self.next_token(&mut changes, &third, false).await?;
        let (status, text) = self.message(&fourth).await?;
        ensure!(status == 200 && !text.is_empty(), "the repeated message was answered with status {status}");
        say(&format!("   client: the stream said {text:?}"));
        self.catch_up(&mut changes).await;
        self.compare()
    }

    /// Sends a streaming message and reads it to its end: the status, and the text of the stream.
    async fn message(&self, token: &Token) -> anyhow::Result<(u16, String)> {
        ensure!(token.origin() == self.emulator.base_url(), "the token belongs to {}", token.origin());
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
        let stream = String::from_utf8_lossy(&stream);
        let deltas = stream.lines().filter_map(|line| line.strip_prefix("data: ")).filter_map(|data| {
            let event: serde_json::Value = serde_json::from_str(data).ok()?;
            event["delta"]["text"].as_str().map(str::to_owned)
        });
        Ok((status, deltas.collect()))
    }

    /// Waits for another token than this one, which is served until then if that happens beside the callers.
    async fn next_token(&mut self, changes: &mut Changes, old: &Token, beside_the_callers: bool) -> anyhow::Result<Token> {
        let wait = async {
            loop {
                match self.credential.try_current() {
                    Some(token) if token.id() != old.id() => return anyhow::Ok(token),
                    Some(_) => self.next_change(changes).await?,
                    None if beside_the_callers => bail!("callers were left without a token"),
                    None => self.next_change(changes).await?,
                }
            }
        };
        let token = tokio::time::timeout(LIMIT, wait).await.context("no new access token came in time")??;
        self.catch_up(changes).await;
        Ok(token)
    }

    /// Waits until the engine waits for the rotation of the identity token that it has exchanged last. It may do so already.
    async fn wait_for_rotation(&mut self, changes: &mut Changes) -> anyhow::Result<()> {
        let wait = async {
            loop {
                let last = |code: NoteCode| self.changes.iter().rposition(|note| note.code == code);
                if last(NoteCode::WaitingForRotation) > last(NoteCode::ExchangeSucceeded) {
                    return anyhow::Ok(());
                }
                self.next_change(changes).await?;
            }
        };
        tokio::time::timeout(LIMIT, wait).await.context("the engine did not wait for a rotation in time")?
    }

    async fn next_change(&mut self, changes: &mut Changes) -> anyhow::Result<()> {
        match changes.next().await {
            Some(change) => self.show(change),
            None => bail!("the credential has ended"),
        }
        Ok(())
    }

    /// Shows what has already happened, on both sides.
    async fn catch_up(&mut self, changes: &mut Changes) {
        while let Ok(Some(change)) = tokio::time::timeout(Duration::from_millis(50), changes.next()).await {
            self.show(change);
        }
        self.show_history();
    }

    fn show(&mut self, change: Change) {
        self.show_history();
        for note in change.notes {
            *self.notes.entry(note.code.as_str()).or_default() += 1;
            let fields: Vec<String> = note.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let what = if fields.is_empty() { note.message.clone() } else { fields.join(" ") };
            say(&format!("   engine: {} {what}", note.code));
            self.changes.push(note);
        }
    }

    fn show_history(&mut self) {
        for entry in self.emulator.history_since(self.shown) {
            self.shown = entry.sequence + 1;
            say(&format!("   server: {}", line_of(&entry)));
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
        for (what, engine, server) in pairs {
            say(&format!("{what}: the engine counts {engine}, the server {server}"));
            ensure!(engine == server, "the accounts differ in {what}");
        }
        ensure!(noted(NoteCode::ExchangeSucceeded) == 4, "four exchanges were to succeed");
        ensure!(seen(Kind::Message, Outcome::Granted) == 2, "two messages were to be answered");
        say("Both accounts agree. The component imports nothing; what it asked for, this host did.");
        Ok(())
    }
}

type Changes = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Change> + Send>>;
