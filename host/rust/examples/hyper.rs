//! A message to Claude with `hyper`: `cargo run -p wif --example hyper`, with the workload's variables `ANTHROPIC_*`.
//!
//! An argument names another origin of the API, such as that of `wif emulate`. A proxy with `axum` does the same, with
//! `axum::body::Body` in the place of `Full<Bytes>`, and answers with `LayerError::answer` where there is no token.

#![allow(clippy::disallowed_macros, reason = "an example prints")]

use std::error::Error;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tower::{Layer, ServiceExt};
use wif::layer::{Body, CredentialLayer};
use wif::{Credential, Policy};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let api = std::env::args().nth(1).unwrap_or_else(|| "https://api.anthropic.com".to_owned());
    // For the vendor's own origin alone this is Credential::discover().
    let credential = Credential::builder().policy(Policy::default().allow_origin(&api)?).build()?;

    let tls = HttpsConnectorBuilder::new()
        .with_provider_and_platform_verifier(rustls::crypto::ring::default_provider())?
        .https_or_http()
        .enable_http1()
        .build();
    let client: Client<HttpsConnector<HttpConnector>, Body<Full<Bytes>>> = Client::builder(TokioExecutor::new()).build(tls);
    let service = CredentialLayer::new(credential).layer(client);

    let message = r#"{"model":"claude-sonnet-5-5","max_tokens":64,"messages":[{"role":"user","content":"Hello"}]}"#;
    let request = http::Request::post(format!("{api}/v1/messages"))
        .header("anthropic-version", "2023-06-01")
        .header("content-type", "application/json")
        .body(Full::from(message))?;
    let response = service.oneshot(request).await?;
    let status = response.status();
    let text = response.into_body().collect().await?.to_bytes();
    println!("{status}");
    println!("{}", String::from_utf8_lossy(&text));
    if status.is_success() { Ok(()) } else { Err(format!("the API answered {status}").into()) }
}
