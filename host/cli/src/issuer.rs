//! `wif issuer`: makes the key of a workload that vouches for itself, and says what the Console has to know of it.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::elliptic_curve::rand_core::OsRng;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use url::Url;
use wif::{Secret, private};

use crate::exit::Usage;
use crate::help;
use crate::output::{hand_over, say_error};

/// What `wif issuer` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::ISSUER)]
pub(crate) struct Options {
    /// What identity tokens will have as `iss`. The Console compares it byte for byte.
    #[arg(value_name = "URL")]
    issuer: String,
    /// Where to write the private key, readable by you alone. Nothing is written over.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What identity tokens will have as `sub`.
    #[arg(long, value_name = "NAME", default_value = "workload")]
    subject: String,
}

/// Writes the private key, prints the public one as a JWKS, and tells the rest.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let Options { issuer, key: path, subject } = options;
    check(issuer)?;
    let key = p256::SecretKey::random(&mut OsRng);
    let point = key.public_key().to_encoded_point(false);
    let coordinate = |bytes: Option<&p256::FieldBytes>| bytes.map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes));
    let (Some(x), Some(y)) = (coordinate(point.x()), coordinate(point.y())) else { bail!("no key could be made") };
    // The thumbprint of RFC 7638: the same key has the same id, whoever asks.
    let key_id = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)));
    let pem = key.to_pkcs8_pem(LineEnding::LF).context("the key cannot be written as PEM")?;
    private::create(path, &Secret::from(pem.as_str())).map_err(|error| anyhow!("cannot write the key to {error}"))?;

    let public = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key_id, "x": x, "y": y });
    let source = json!({ "source": "signer", "key_id": key_id, "issuer": issuer, "subject": subject });
    say_error(&format!("The private key is in {}. Its public half, for the Console, is below.", path.display()));
    say_error(&format!(
        "In the Console make an issuer with the URL {issuer} and this JWKS, inline; and a rule for it that matches the subject {subject} \
         and the audience https://api.anthropic.com."
    ));
    say_error(&format!(
        "In the configuration of your program: \"identity_token\": {source}. Give its library a signer with this key, for ES256."
    ));
    hand_over(&format!("{:#}", json!({ "keys": [public] })))
}

/// What the Console would take as an issuer. The message does not repeat the URL, which may have a password in it.
fn check(issuer: &str) -> Result<(), Usage> {
    let form = "name an https URL without user information, query and fragment, such as https://issuer.example";
    let usage = |what: &str| Err(Usage(format!("the issuer {what}: {form}")));
    let Ok(url) = Url::parse(issuer) else { return usage("is no URL") };
    if url.scheme() != "https" || !issuer.starts_with("https://") {
        return usage("is no https URL");
    }
    if issuer.contains('@') {
        return usage("has user information, or an @");
    }
    if issuer.contains(|letter: char| matches!(letter, '?' | '#' | '\\') || letter.is_whitespace() || letter.is_control()) {
        return usage("has a query, a fragment, a backslash or white space");
    }
    Ok(())
}
