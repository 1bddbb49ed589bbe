//! `wif login` and `wif logout`: a person's credential, by the authorization code grant with PKCE (RFC 7636, RFC 8252).
//!
//! What comes of it is a profile in the vendor's format: `configs/NAME.json`, and `credentials/NAME.json` that its owner alone may
//! read. The vendor's clients use it, too. With `--keychain` the desktop's keychain is in the place of the second file.

mod callback;
mod files;

use std::io::{BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::time::Instant;
use url::Url;
use wif_tls::CertificateDer;

use crate::environment::{self, BASE_URL};
use crate::exit::{Refusal, TooLate, Wrong};
use crate::help;
use crate::output::{say, say_error};
use files::{Given, Profile};

/// The application of the vendor's own command.
const CLIENT_ID: &str = "41077d10-94b8-4194-be48-d251e9eb21b4";

/// Where a person logs in.
const CONSOLE: &str = "https://platform.claude.com";

const SCOPE: &str = "user:profile user:inference user:developer";

/// The answer of the endpoint is smaller, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What `wif login` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::LOGIN)]
pub(crate) struct Options {
    /// The profile that the login becomes. Without it the one that ANTHROPIC_PROFILE names, or `default`.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Keep the login in the desktop's keychain, and not in a file. `wif` finds it there, and the vendor's clients do not: they read the
    /// file alone.
    #[arg(long)]
    keychain: bool,
    /// Show the address, and read the code that the page shows: for a machine without a browser.
    #[arg(long)]
    no_browser: bool,
    /// The port of this machine that the browser comes back to. Without it a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    callback_port: u16,
    /// How long to wait for the person, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Requests go to this workspace.
    #[arg(long, value_name = "ID")]
    workspace_id: Option<String>,
    /// Another application than the vendor's command.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// What is asked for.
    #[arg(long, value_name = "SCOPES", default_value = SCOPE, hide_default_value = true)]
    scope: String,
    /// Another place to log in than https://platform.claude.com.
    #[arg(long, value_name = "URL")]
    console_url: Option<String>,
    /// A PEM file with root certificates to trust beside the platform's.
    #[arg(long, value_name = "FILE")]
    extra_roots: Option<PathBuf>,
}

/// What `wif logout` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::LOGOUT)]
pub(crate) struct Logout {
    /// The profile. Without it the one that ANTHROPIC_PROFILE names, or `default`.
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    profile: Option<String>,
    /// Every profile's.
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(options.timeout);
    let profile = Profile::find(options.profile.as_deref())?;
    // What is wrong with it is said before anybody logs in.
    let before = profile.before()?;
    let of_profile = |pointer: &str| before.pointer(pointer)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let client_id = options.client_id.clone().or_else(|| of_profile("/authentication/client_id"));
    let client_id = client_id.unwrap_or_else(|| CLIENT_ID.to_owned());
    let in_profile = |field: &str| format!("{field} of the profile {}", profile.config().display());
    let (console, whence) = match (&options.console_url, of_profile("/authentication/console_url")) {
        (Some(url), _) => (url.clone(), "--console-url".to_owned()),
        (None, Some(url)) => (url, in_profile("authentication.console_url")),
        (None, None) => (CONSOLE.to_owned(), String::new()),
    };
    let console = safe(&console).context(whence)?;
    let (base_url, whence) = match (environment::text(BASE_URL), of_profile("/base_url")) {
        (Some(url), _) => (Some(url), BASE_URL.to_owned()),
        (None, url) => (url, in_profile("base_url")),
    };
    let endpoint = safe(base_url.as_deref().unwrap_or("https://api.anthropic.com")).context(whence)?;
    let client = client(&endpoint, options.extra_roots.as_deref())?;
    if endpoint.host_str() != Some("api.anthropic.com") {
        say_error(&format!("wif: the code of the login will be sent to {}", endpoint.origin().ascii_serialization()));
    }
    profile.prepare(&before)?;
    if options.keychain {
        Profile::check_keychain().await?;
    }
    let verifier = random()?;
    let state = random()?;
    let ask = |redirect_uri: &str| {
        let mut url = below(&console, "/oauth/authorize");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &options.scope)
            .append_pair("state", &state)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier)))
            .append_pair("code_challenge_method", "S256");
        url
    };
    let (code, redirect_uri) = if options.no_browser {
        let redirect_uri = below(&console, "/oauth/code/callback").to_string();
        say_error(&format!("wif: log in here, and paste the code that the page shows:\n\n{}\n", ask(&redirect_uri)));
        (pasted(&state, deadline, options.timeout).await?, redirect_uri)
    } else {
        let listener = TcpListener::bind(("127.0.0.1", options.callback_port)).await.map_err(|error| {
            Wrong(format!(
                "cannot listen on port {} of this machine: {error}; choose another with --callback-port",
                options.callback_port
            ))
        })?;
        let port = listener.local_addr().context("the listener has no address")?.port();
        let redirect_uri = format!("http://localhost:{port}/callback");
        let url = ask(&redirect_uri);
        say_error(&format!("wif: log in here, if no browser opens (without one use --no-browser):\n\n{url}\n"));
        open_browser(&url);
        match tokio::time::timeout_at(deadline, callback::code(listener, &state)).await {
            Ok(code) => (code?, redirect_uri),
            Err(_) => return Err(late(options.timeout).into()),
        }
    };
    let grant = json!({
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": client_id,
        "code_verifier": verifier,
        "state": state,
    });
    let answer = redeem(&client, &below(&endpoint, "/v1/oauth/token"), &grant).await?;
    let given = Given { client_id, workspace_id: options.workspace_id, base_url, console_url: options.console_url };
    profile.save(&answer, &given, options.keychain).await?;
    let place = if options.keychain { ", and its tokens in the keychain" } else { "" };
    say(&format!("Logged in. The profile {} is in {}{place}.", profile.name(), profile.directory().display()));
    if let Some(hint) = profile.hint() {
        say(&hint);
    }
    Ok(())
}

pub(crate) async fn log_out(options: Logout) -> anyhow::Result<()> {
    let profiles = if options.all { Profile::all()? } else { vec![Profile::find(options.profile.as_deref())?] };
    let (mut removed, mut failed) = (0, None);
    for profile in &profiles {
        // One that fails keeps no other.
        match profile.log_out().await {
            Ok(true) => {
                removed += 1;
                say(&format!("Logged out of the profile {}.", profile.name()));
            }
            Ok(false) => {}
            Err(error) => {
                say_error(&format!("wif: the profile {}: {error:#}", profile.name()));
                failed.get_or_insert(error);
            }
        }
    }
    if removed == 0 && failed.is_none() {
        say("There was no login.");
    }
    failed.map_or(Ok(()), Err)
}

/// Reads the code that a person pastes.
async fn pasted(state: &str, deadline: Instant, seconds: u64) -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        say_error("Code: ");
    }
    let (sender, line) = tokio::sync::oneshot::channel();
    // A read from a terminal cannot be ended: the thread goes with the process.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line).map(|_| line);
        let _nobody = sender.send(read);
    });
    let Ok(line) = tokio::time::timeout_at(deadline, line).await else { return Err(late(seconds).into()) };
    let line = line.context("standard input cannot be read")?.context("standard input cannot be read")?;
    let Some((code, of_page)) = line.trim().split_once('#').filter(|(code, _)| !code.is_empty()) else {
        bail!(Wrong("what was pasted is no code: paste the whole of what the page shows, with the # in it".to_owned()));
    };
    if of_page != state {
        bail!(Wrong("the code is of another login: begin anew, with the address that was just shown".to_owned()));
    }
    Ok(code.to_owned())
}

/// The client that gives the code to this endpoint, and trusts these roots beside the platform's.
fn client(endpoint: &Url, extra_roots: Option<&Path>) -> anyhow::Result<reqwest::Client> {
    let roots = extra_roots.map_or(Ok(Vec::new()), roots).context("--extra-roots")?;
    let tls = wif_tls::platform(roots)?;
    let mut client = reqwest::Client::builder()
        .tls_backend_preconfigured(Arc::unwrap_or_clone(tls))
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(30));
    if is_loopback(endpoint) {
        // The code would go to the proxy in the clear, and the proxy's own loopback is another machine.
        client = client.no_proxy();
    }
    client.build().context("cannot make a client")
}

/// The certificates in a PEM file.
fn roots(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let text = crate::files::read(path)?;
    let shown = path.display();
    wif_tls::certificates(text.as_bytes()).map_err(|error| match error {
        wif_tls::Error::NoCertificate => Wrong(format!("{shown} has no certificate")).into(),
        _ => Wrong(format!("{shown} is no PEM file of certificates")).into(),
    })
}

/// Gives the code, and gets tokens. Nothing of the answer is shown but its error.
async fn redeem(client: &reqwest::Client, endpoint: &Url, grant: &Value) -> anyhow::Result<Value> {
    let request = client
        .post(endpoint.clone())
        .header("content-type", "application/json")
        .header("anthropic-beta", "oauth-2025-04-20")
        .body(grant.to_string());
    let mut response =
        request.send().await.map_err(|error| anyhow::anyhow!("the token endpoint cannot be reached: {}", error.without_url()))?;
    let status = response.status();
    let mut body = zeroize::Zeroizing::new(Vec::new());
    while let Some(piece) = response.chunk().await.map_err(reqwest::Error::without_url).context("the answer broke off")? {
        body.extend_from_slice(&piece);
        anyhow::ensure!(body.len() <= MAX_ANSWER_BYTES, "the answer of the token endpoint is too long");
    }
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status != reqwest::StatusCode::OK {
        let kind = answer["error"].as_str().or_else(|| answer["error"]["type"].as_str()).unwrap_or("no reason given");
        let kind: String = kind.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '_').take(64).collect();
        bail!(Refusal(format!("the token endpoint refused the login (status {}): {kind}; begin anew", status.as_u16())));
    }
    for name in ["access_token", "refresh_token"] {
        let plain =
            answer[name].as_str().is_some_and(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
        anyhow::ensure!(plain, "the answer of the token endpoint has no {name}");
    }
    Ok(answer)
}

fn late(seconds: u64) -> TooLate {
    TooLate(format!("nobody logged in within {seconds} s: run `wif login` again, or give more time with --timeout"))
}

/// 32 random bytes, in base64url.
fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("the system has no randomness: {error}"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A URL that secrets may be sent to.
fn safe(text: &str) -> Result<Url, Wrong> {
    // The text may have a password in it.
    let url = Url::parse(text).map_err(|error| Wrong(format!("this is no URL: {error}")))?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    if plain && (url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url)) {
        return Ok(url);
    }
    Err(Wrong(
        "it must begin with https://, and have no user information, query or fragment; http:// is for this machine alone"
            .to_owned(),
    ))
}

/// Whether it is of this very machine.
fn is_loopback(url: &Url) -> bool {
    matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

fn below(url: &Url, path: &str) -> Url {
    let mut below = url.clone();
    below.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    below
}

/// Opens the address, if this machine can. The command that BROWSER names goes first.
fn open_browser(url: &Url) {
    let own = environment::value("BROWSER");
    let usual = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let program = own.unwrap_or_else(|| usual.into());
    let command = std::process::Command::new(program)
        .arg(url.as_str())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    if let Ok(mut browser) = command {
        // Or it would stay as a zombie for as long as this runs.
        std::thread::spawn(move || drop(browser.wait()));
    }
}
