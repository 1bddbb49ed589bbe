//! TLS around what speaks none: a server with the API's name before the emulator, and callers with certificates.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Issues certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A server of TLS before one that speaks none.
pub(crate) struct Front {
    address: SocketAddr,
    /// It ends with the runtime of its test.
    task: JoinHandle<()>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        // Tests of one program share the provider; the first one installs it.
        _ = rustls::crypto::ring::default_provider().install_default();
        let mut certificate = CertificateParams::default();
        certificate.distinguished_name.push(DnType::CommonName, name);
        certificate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(certificate, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn issue(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = parameters.signed_by(&key, &self.0).expect("a certificate");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts this authority and no other, and shows this certificate.
    pub(crate) fn client(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem().as_bytes()).expect("PEM")).expect("a certificate");
        let builder = ClientConfig::builder().with_root_certificates(roots);
        Arc::new(match identity {
            Some(identity) => builder.with_client_auth_cert(identity.chain(), identity.key()).expect("a pair"),
            None => builder.with_no_client_auth(),
        })
    }
}

impl Identity {
    /// Writes both down.
    pub(crate) fn write(&self, certificate: &Path, key: &Path) {
        std::fs::write(certificate, &self.certificate).expect("the directory is writable");
        std::fs::write(key, &self.key).expect("the directory is writable");
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("PEM")]
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("PEM")
    }
}

impl Front {
    pub(crate) async fn start(identity: &Identity, behind: SocketAddr) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), identity, behind).await
    }

    /// Another server takes this one's place: connections end, and the address stays.
    pub(crate) async fn replace(self, identity: &Identity, behind: SocketAddr) -> Self {
        let Self { address, task } = self;
        task.abort();
        _ = task.await;
        Self::start_at(address, identity, behind).await
    }

    async fn start_at(address: SocketAddr, identity: &Identity, behind: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let address = listener.local_addr().expect("it is bound");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(identity.chain(), identity.key());
        let acceptor = TlsAcceptor::from(Arc::new(config.expect("a pair")));
        let task = tokio::spawn(async move {
            // They end with the server.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let (Ok(mut outside), Ok(mut inside)) = (acceptor.accept(stream).await, TcpStream::connect(behind).await)
                    else {
                        return;
                    };
                    _ = copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        Self { address, task }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Sends these bytes over TLS and returns what comes back until the connection ends; `None` if there is no connection to be had.
pub(crate) async fn raw(client: Arc<ClientConfig>, name: &str, server: SocketAddr, request: &[u8]) -> Option<String> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let stream = TcpStream::connect(server).await.expect("it listens");
    let mut stream = TlsConnector::from(client).connect(name, stream).await.ok()?;
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::new();
    // In TLS 1.3 a server refuses a client's certificate after the client's handshake is done.
    stream.read_to_end(&mut answer).await.ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}
