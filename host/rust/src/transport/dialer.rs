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
use url::Url;
use wif_tls::{CertificateDer, ClientConfig};

use super::{names, words};
use crate::policy::{Policy, Way, past_the_proxy_in_environment, proxy_in_environment};

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

/// The variable that names a proxy for this URL, where the policy names none.
pub(super) fn unused_proxy(policy: &Policy, to: &Url) -> Option<&'static str> {
    if policy.proxy_url().is_some() {
        return None;
    }
    let (name, proxy) = proxy_in_environment()?;
    let past = past_the_proxy_in_environment().unwrap_or_default();
    let to = Uri::try_from(to.as_str()).ok()?;
    Matcher::builder().https(proxy).no(past).build().intercept(&to).map(|_| name)
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

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::policy::Reach;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn authority() -> Authority {
        let mut certificate = CertificateParams::default();
        certificate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority::self_signed(certificate, KeyPair::generate().unwrap()).unwrap()
    }

    /// Shakes hands with whoever comes.
    async fn server(authority: &Authority) -> Uri {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_no_client_auth().with_single_cert(vec![certificate.into()], key.into()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("https://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // Who refuses the certificate is the test's business.
                let _ = acceptor.accept(stream).await;
            }
        });
        at.parse().unwrap()
    }

    /// B4, B5: the server of a source that brings certificates of its own is verified by these alone, and no proxy leads there.
    #[tokio::test]
    async fn a_source_with_certificates_of_its_own_trusts_these_and_no_others() {
        let (ours, another) = (authority(), authority());
        let at = server(&ours).await;
        let directory = tempfile::tempdir().unwrap();
        let ca_file = directory.path().join("ca.crt");
        let policy = Policy::default().proxy("http://proxy.example:3128").unwrap();
        let root = wif_tls::certificates(ours.pem().as_bytes()).unwrap();
        let of_source = |ca_file: Option<&Path>, encrypted| {
            let way = Way { reach: Reach::Private, ca_file: ca_file.map(Path::to_owned) };
            Dialer::of_source(&policy, root.clone(), &way, encrypted)
        };
        let refused = of_source(Some(&ca_file), true).err().unwrap();
        assert!(refused.starts_with(&format!("the certificates in {} cannot be used", ca_file.display())), "{refused}");
        fs::write(&ca_file, another.pem()).unwrap();
        let refused = of_source(Some(&ca_file), true).unwrap().connect(&at).await.err().unwrap();
        assert!(refused.contains("invalid peer certificate"), "{refused}");
        fs::write(&ca_file, ours.pem()).unwrap();
        let near = of_source(Some(&ca_file), true).unwrap();
        assert!(near.proxies.is_none() && of_source(None, false).unwrap().proxies.is_none());
        assert!(of_source(None, true).unwrap().proxies.is_some(), "what is far is reached through the proxy");
        near.connect(&at).await.map(drop).unwrap();
    }
}
