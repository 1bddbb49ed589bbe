//! The API server of a cluster: the TokenRequest API behind a certificate of the cluster's own.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json as document};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{Mint, json, text};

/// A cluster's API, until it is dropped.
pub struct Cluster {
    /// Where it answers.
    pub address: SocketAddr,
    /// The certificate of its authority, as pods find it in `ca.crt`.
    pub ca: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The API with one service account, whose pod has `pod_token` and may create tokens for itself.
///
/// # Panics
///
/// There is no port.
pub async fn api_server(namespace: &str, account: &str, pod_token: &str, mint: Mint) -> Cluster {
    let status = |code: StatusCode, message: &str| {
        json(code, &document!({ "kind": "Status", "status": "Failure", "message": message, "code": code.as_u16() }))
    };
    let (namespace, account, expected) = (namespace.to_owned(), account.to_owned(), format!("Bearer {pod_token}"));
    let answer = move |Path((in_namespace, asked)): Path<(String, String)>, headers: HeaderMap, Json(body): Json<Value>| async move {
        if text(&headers, "authorization") != expected {
            return status(StatusCode::UNAUTHORIZED, "Unauthorized");
        }
        if in_namespace != namespace || asked != account {
            let message = format!("serviceaccounts \"{asked}\" is forbidden: cannot create resource serviceaccounts/token");
            return status(StatusCode::FORBIDDEN, &message);
        }
        let spec = &body["spec"];
        if body["kind"] != "TokenRequest" || spec["expirationSeconds"].as_u64().is_none_or(|seconds| seconds < 600) {
            return status(StatusCode::UNPROCESSABLE_ENTITY, "may not specify a duration less than 10 minutes");
        }
        let audience = spec["audiences"][0].as_str().unwrap_or("https://kubernetes.default.svc");
        json(StatusCode::CREATED, &document!({ "kind": "TokenRequest", "status": { "token": mint(audience) } }))
    };
    let path = "/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token";
    let router = Router::new().route(path, post(answer));

    let authority = KeyPair::generate().expect("a key");
    let mut about = CertificateParams::new(Vec::new()).expect("parameters");
    about.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Another name than the leaf's: some take a certificate that its namesake signed for one that signed itself.
    about.distinguished_name.push(DnType::CommonName, "kubernetes");
    let ca = about.self_signed(&authority).expect("a certificate").pem();
    let issuer = Issuer::new(about, authority);
    let key = KeyPair::generate().expect("a key");
    let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
    let leaf = leaf.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
            tokio::spawn(async move {
                // A client that does not trust the certificate goes away.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    Cluster { address, ca, task }
}
