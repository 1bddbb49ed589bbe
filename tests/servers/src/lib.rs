//! Stand-ins of the platforms that give identity tokens, on loopback. Each checks what the real one checks: mandatory header
//! fields, signatures, sessions, parameters; and refuses in the real one's shape. What is behind them (a VM, a cluster, a tenant)
//! is not here.
//!
//! The tests of `host/cli` let `wif token` use them; the tests of this crate let the platforms' own clients do so.

#![allow(clippy::disallowed_methods, reason = "they judge the times of real requests")]

mod aws;
mod azure;
pub mod cases;
mod ci;
mod google;
mod kubernetes;
mod oauth;
mod scripted;
mod spiffe;
mod vault;

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;

pub use aws::{Keys, container_credentials, instance_metadata, parse_time, security_token_service};
pub use azure::{app_service, entra, instance_metadata as azure_instance_metadata};
pub use ci::github_actions;
pub use google::{iam_credentials as google_iam_credentials, metadata as google_metadata};
pub use kubernetes::{Cluster, api_server};
pub use oauth::{authorization_server, authorization_server_by_key};
pub use spiffe::{SvidMint, WorkloadApi, minted_by};
pub use vault::vault;

/// Makes an identity token for an audience.
pub type Mint = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// A server on a port of its own, until it is dropped.
pub struct Server {
    address: std::net::SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Serves these routes.
    ///
    /// # Panics
    ///
    /// There is no port.
    pub async fn start(router: Router) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let router = router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let record = Arc::clone(&record);
            async move {
                let line = format!("{} {}", request.method(), request.uri().path());
                let answer = next.run(request).await;
                let line = format!("{line} {}", answer.status().as_u16());
                record.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                answer
            }
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
        Self { address, seen, task }
    }

    /// Its origin.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Host and port.
    #[must_use]
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Where it answers.
    #[must_use]
    pub fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// What was asked, and the status of the answer: `GET /path 200`.
    #[must_use]
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The content of files, each at its position: `/0` and so on. For hosts that read files by HTTP.
pub fn files(files: &[(String, String)]) -> Router {
    files.iter().enumerate().fold(Router::new(), |router, (position, (_, content))| {
        let content = content.clone();
        router.route(&format!("/{position}"), axum::routing::get(move || async move { content }))
    })
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn json(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}
