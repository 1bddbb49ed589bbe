//! Connections to the token endpoint: over TLS that the platform's roots verify, or through the proxy that the policy names.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower_service::Service;

use super::{names, words};
use crate::policy::{Policy, Way};

/// A connection that takes longer is not made; then nothing was sent, which is worth knowing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

type Tcp = HttpConnector<names::Resolver>;
type Stream<T> = MaybeHttpsStream<T>;

/// Bytes to and from the other end.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Makes a connection for each request.
pub(super) struct Dialer {
    tls: Arc<rustls::ClientConfig>,
    tcp: Tcp,
    proxies: Option<Matcher>,
}

impl Dialer {
    /// Reads the platform's certificates.
    pub(super) fn new(policy: &Policy, extra_roots: Vec<CertificateDer<'static>>) -> Result<Self, String> {
        Ok(Self::with(policy, names::Resolver::new(policy), platform_tls(extra_roots)?, true))
    }

    /// For plain HTTP: nobody's certificate is trusted, and none is read.
    pub(super) fn plain(policy: &Policy) -> Result<Self, String> {
        Ok(Self::with(policy, names::Resolver::new(policy), tls_that_trusts(rustls::RootCertStore::empty())?, true))
    }

    /// For a request of a source, which takes this way.
    pub(super) fn of_source(
        policy: &Policy,
        extra_roots: Vec<CertificateDer<'static>>,
        way: &Way,
        encrypted: bool,
    ) -> Result<Self, String> {
        let resolver = names::Resolver::of_source(policy, way.reach);
        match &way.ca_file {
            // Who has certificates of its own is near, and a proxy would not lead there.
            Some(path) => Ok(Self::with(policy, resolver, tls_to(path)?, false)),
            None if !encrypted => Ok(Self::with(policy, resolver, tls_that_trusts(rustls::RootCertStore::empty())?, false)),
            None => Ok(Self::with(policy, resolver, platform_tls(extra_roots)?, true)),
        }
    }

    fn with(policy: &Policy, resolver: names::Resolver, tls: Arc<rustls::ClientConfig>, proxied: bool) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // Plain HTTP is for this very machine and its metadata service, and goes there without a detour.
        let proxies = policy.proxy_url().filter(|_| proxied).map(|proxy| {
            let past = policy.past_the_proxy().unwrap_or_default();
            Matcher::builder().https(proxy.as_str()).no(past).build()
        });
        Self { tls, tcp, proxies }
    }

    /// An `Err` says why not; then no byte of a request has left.
    pub(super) async fn connect(&self, to: &Uri) -> Result<Box<dyn Connection>, String> {
        let made = async {
            match self.proxies.as_ref().and_then(|proxies| proxies.intercept(to)) {
                Some(proxy) => self.connect_through(&proxy, to).await,
                None => dial(self.encrypted(self.tcp.clone()), to).await,
            }
        };
        let late = || format!("no connection within {} s", CONNECT_TIMEOUT.as_secs());
        tokio::time::timeout(CONNECT_TIMEOUT, made).await.unwrap_or_else(|_| Err(late()))
    }

    async fn connect_through(&self, proxy: &Intercept, to: &Uri) -> Result<Box<dyn Connection>, String> {
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.encrypted(self.tcp.clone()));
        if let Some(authorization) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(authorization.clone());
        }
        dial::<_, Stream<Stream<TokioIo<TcpStream>>>>(self.encrypted(tunnel), to).await
    }

    /// With TLS on top where the scheme is `https`.
    fn encrypted<C>(&self, connector: C) -> HttpsConnector<C> {
        let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config((*self.tls).clone());
        builder.https_or_http().enable_http1().wrap_connector(connector)
    }
}

/// What the platform trusts, and these certificates beside it.
fn platform_tls(extra_roots: Vec<CertificateDer<'static>>) -> Result<Arc<rustls::ClientConfig>, String> {
    /// The platform's certificates, parsed, are some 120 KiB. All credentials of a process share them, for as long as one of
    /// them has connected.
    static SHARED: Mutex<Weak<rustls::ClientConfig>> = Mutex::new(Weak::new());
    if !extra_roots.is_empty() {
        return Ok(Arc::new(verified_by_the_platform(extra_roots)?));
    }
    // Whoever comes second waits: it takes a while, and need not be done twice.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(tls) = shared.upgrade() {
        return Ok(tls);
    }
    let tls = Arc::new(verified_by_the_platform(extra_roots)?);
    *shared = Arc::downgrade(&tls);
    Ok(tls)
}

fn verified_by_the_platform(extra_roots: Vec<CertificateDer<'static>>) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra_roots, Arc::clone(&provider))
        .map_err(|error| format!("this machine has no root certificates (Debian: ca-certificates): {error}"))?;
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous() // by name: a verifier of one's own could accept anything; this one is the platform's
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// Trusts the certificates in this file, and no others.
fn tls_to(ca_file: &Path) -> Result<Arc<rustls::ClientConfig>, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("the certificates in {} cannot be used: {error}", ca_file.display());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca_file).map_err(|error| cannot(&error))? {
        let certificate = certificate.map_err(|error| cannot(&error))?;
        roots.add(certificate).map_err(|error| cannot(&error))?;
    }
    tls_that_trusts(roots)
}

fn tls_that_trusts(roots: rustls::RootCertStore) -> Result<Arc<rustls::ClientConfig>, String> {
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(tls))
}

async fn dial<C, T>(mut connector: C, to: &Uri) -> Result<Box<dyn Connection>, String>
where
    C: Service<Uri, Response = T, Error = Box<dyn std::error::Error + Send + Sync>>,
    T: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    let failed = |error: C::Error| words(&*error);
    std::future::poll_fn(|context| connector.poll_ready(context)).await.map_err(failed)?;
    let made = connector.call(to.clone()).await.map_err(failed)?;
    Ok(Box::new(TokioIo::new(made)))
}
