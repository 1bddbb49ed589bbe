//! What several groups need: a token endpoint, and credentials that use it.

use std::process::Command;

use wif::{Builder, Credential, Policy, Secret};
use wif_emulator::{Emulator, Options};

/// One thread drives the credential, as in a program whose other threads serve requests.
pub(crate) fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

/// A credential for the emulator, with an identity token of its own for each exchange.
pub(crate) fn credential(emulator: &Emulator) -> anyhow::Result<Builder> {
    let options = emulator.options();
    let configuration = serde_json::json!({
        "base_url": emulator.base_url(),
        "federation": {
            "federation_rule_id": options.federation_rule_id,
            "organization_id": options.organization_id,
            "service_account_id": options.service_account_id,
            "identity_token": { "source": "callable", "name": "issuer", "freshness": "minted" },
        },
    });
    let issuer = emulator.identity_provider().clone();
    Ok(Credential::builder()
        .configuration(configuration.to_string())
        .policy(Policy::default().allow_origin(emulator.base_url())?)
        .identity_token("issuer", move |_| {
            let minted = Secret::from(issuer.mint().expose());
            async move { Ok(minted) }
        }))
}

/// This program again, as a workload with nothing in its environment but what discovery reads.
pub(crate) fn child(mode: &str, base_url: &str, options: &Options, token_file: &std::path::Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg(mode)
        .env_clear()
        .env("ANTHROPIC_BASE_URL", base_url)
        .env("ANTHROPIC_FEDERATION_RULE_ID", &options.federation_rule_id)
        .env("ANTHROPIC_ORGANIZATION_ID", &options.organization_id)
        .env("ANTHROPIC_SERVICE_ACCOUNT_ID", &options.service_account_id)
        .env("ANTHROPIC_IDENTITY_TOKEN_FILE", token_file)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped());
    Ok(command)
}

/// Inside such a child: its credential, discovered.
pub(crate) fn discovered() -> anyhow::Result<Credential> {
    Ok(described()?.build()?)
}

/// The same, not yet built.
pub(crate) fn described() -> anyhow::Result<wif::Builder> {
    let policy = Policy::default().allow_origin(&std::env::var("ANTHROPIC_BASE_URL")?)?;
    Ok(Credential::builder().policy(policy))
}
