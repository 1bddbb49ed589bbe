//! A gRPC call with `tonic`: `cargo run -p wif --example tonic -- https://gateway.example`, with the workload's variables
//! `ANTHROPIC_*`. Asks the gateway at that origin, for which `ANTHROPIC_BASE_URL` has the token, for its health.

#![allow(clippy::disallowed_macros, reason = "an example prints")]

use std::error::Error;

use tonic::transport::{ClientTlsConfig, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceBuilder;
use wif::layer::{Body, CredentialLayer};
use wif::{Credential, Policy};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let api = std::env::args().nth(1).ok_or("which origin? give it as the argument")?;
    let credential = Credential::builder().policy(Policy::default().allow_origin(&api)?).build()?;

    let tls = ClientTlsConfig::new().with_enabled_roots();
    let channel = Endpoint::from_shared(api.clone())?.tls_config(tls)?.connect_lazy();
    let service = ServiceBuilder::new()
        // The requests of a generated client name no origin: they go where the channel goes, which the layer is told.
        .layer(CredentialLayer::new(credential).origin(&api)?)
        // A channel takes tonic's own body and no other.
        .map_request(|request: http::Request<Body<tonic::body::Body>>| request.map(tonic::body::Body::new))
        .service(channel);

    let mut health = HealthClient::new(service);
    let answer = health.check(HealthCheckRequest { service: String::new() }).await?;
    println!("{:?}", answer.into_inner().status());
    Ok(())
}
