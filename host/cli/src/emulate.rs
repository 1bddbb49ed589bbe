//! `wif emulate`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use wif_emulator::{Emulator, Entry};

use crate::options::say;

/// What `wif emulate` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The port on 127.0.0.1; 0 for a free one.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// The directory for the identity token, made and rotated as a kubelet does it. The token is in the file `token`.
    #[arg(long, value_name = "DIR", default_value = "wif-emulator")]
    directory: PathBuf,
    /// How long access tokens live, in seconds: 60 to 86400.
    #[arg(long, default_value_t = 3600)]
    lifetime: u64,
    /// How long identity tokens live, in seconds. The file is rotated at four fifths of it.
    #[arg(long, default_value_t = 3600)]
    identity_lifetime: u64,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let emulator = Emulator::start(wif_emulator::Options {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, options.port)),
        token_lifetime_seconds: options.lifetime,
        identity_token_lifetime_seconds: options.identity_lifetime,
        ..wif_emulator::Options::default()
    })
    .await?;
    std::fs::create_dir_all(&options.directory).with_context(|| format!("cannot make {}", options.directory.display()))?;
    let directory = options.directory.canonicalize().context("cannot resolve the directory")?;
    let file = emulator.identity_provider().publish(&directory)?;
    let _rotation = file.rotate_every(Duration::from_secs((options.identity_lifetime * 4 / 5).max(1)));
    for line in variables(&emulator, file.path()) {
        say(&format!("export {line}"));
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

/// The variables that lead a client to the emulator.
pub(crate) fn variables(emulator: &Emulator, token_file: &std::path::Path) -> Vec<String> {
    let options = emulator.options();
    vec![
        format!("ANTHROPIC_BASE_URL={}", emulator.base_url()),
        format!("ANTHROPIC_FEDERATION_RULE_ID={}", options.federation_rule_id),
        format!("ANTHROPIC_ORGANIZATION_ID={}", options.organization_id),
        format!("ANTHROPIC_SERVICE_ACCOUNT_ID={}", options.service_account_id),
        format!("ANTHROPIC_WORKSPACE_ID={}", options.workspace_ids.join(",")),
        format!("ANTHROPIC_IDENTITY_TOKEN_FILE={}", token_file.display()),
    ]
}

/// What the emulator's history says of a request, on a line.
pub(crate) fn line_of(entry: &Entry) -> String {
    let mut line = format!("{} {}", entry.kind.code(), entry.outcome.code());
    if let Some(reason) = &entry.reason {
        line.push_str(&format!(" ({reason})"));
    }
    if let Some(id) = &entry.access_token_id {
        line.push_str(&format!(" access token {id}"));
    }
    if let Some(seconds) = entry.lifetime_seconds {
        line.push_str(&format!(" for {seconds} s"));
    }
    line
}
