//! Connections to the token endpoint: over TLS that the platform's roots verify, or through the proxy that the policy names.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower_service::Service;
use wif_tls::{CertificateDer, ClientConfig};

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
    tls: Arc<ClientConfig>,
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
        Ok(Self::with(policy, names::Resolver::new(policy), no_tls()?, true))
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
            None if !encrypted => Ok(Self::with(policy, resolver, no_tls()?, false)),
            None => Ok(Self::with(policy, resolver, platform_tls(extra_roots)?, true)),
        }
    }

    fn with(policy: &Policy, resolver: names::Resolver, tls: Arc<ClientConfig>, proxied: bool) -> Self {
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

fn platform_tls(extra_roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, String> {
    wif_tls::platform(extra_roots).map_err(|error| error.to_string())
}

/// Trusts nobody.
fn no_tls() -> Result<Arc<ClientConfig>, String> {
    wif_tls::nobody().map_err(|error| error.to_string())
}

/// Trusts the certificates in this file, and no others.
fn tls_to(ca_file: &Path) -> Result<Arc<ClientConfig>, String> {
    let cannot = |error: &dyn fmt::Display| format!("the certificates in {} cannot be used: {error}", ca_file.display());
    let pem = fs::read(ca_file).map_err(|error| cannot(&error))?;
    let certificates = wif_tls::certificates(&pem).map_err(|error| cannot(&error))?;
    wif_tls::only(certificates).map_err(|error| cannot(&error))
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
