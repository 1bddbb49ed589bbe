//! A message to Claude with `reqwest`: `cargo run -p wif --example reqwest`, with the workload's variables `ANTHROPIC_*`.
//!
//! An argument names another origin of the API, such as that of `wif emulate`.

#![allow(clippy::disallowed_macros, reason = "an example prints")]

use std::error::Error;

use tower::{ServiceBuilder, ServiceExt};
use wif::layer::{Body, CredentialLayer};
use wif::{Credential, Policy};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let api = std::env::args().nth(1).unwrap_or_else(|| "https://api.anthropic.com".to_owned());
    // For the vendor's own origin alone this is Credential::discover().
    let credential = Credential::builder().policy(Policy::default().allow_origin(&api)?).build()?;

    // For reqwest without a TLS provider of its own; superfluous with its default features.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // The client is below the layer, so it must not follow redirects: the credential would go with them.
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let service = ServiceBuilder::new().layer(CredentialLayer::new(credential)).service_fn(
        move |request: http::Request<Body<reqwest::Body>>| {
            let client = client.clone();
            async move {
                let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap))?;
                client.execute(request).await.map(http::Response::<reqwest::Body>::from)
            }
        },
    );

    let message = r#"{"model":"claude-sonnet-5-5","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#;
    let request = http::Request::post(format!("{api}/v1/messages"))
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json")
        .body(reqwest::Body::from(message))?;
    let response = reqwest::Response::from(service.oneshot(request).await?);
    println!("{}", response.status());
    println!("{}", response.error_for_status()?.text().await?);
    Ok(())
}
