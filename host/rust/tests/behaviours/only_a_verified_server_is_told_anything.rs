//! TLS over real sockets: a server that can be verified gets the request, and no other gets a byte of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::AlertDescription;
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use wif::{Builder, Credential, Error, FailureCode, Policy};

use crate::support::{Endpoint, Reply, TokenFile, configuration, identity_token, now_s, until};

/// Where the server is, by the only name that it has.
const HERE: &str = "127.0.0.1";

#[tokio::test]
async fn an_extra_root_certificate_is_trusted() {
    let authority = authority("ours");
    let server = Server::start(&authority, certificate_for(HERE)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let credential = credential(&server, &file).extra_root_certificate(authority.pem()).build().unwrap();
    let token = credential.token_within(Duration::from_secs(10)).await.unwrap();
    assert_eq!(token.reveal_authorization(), Some("Bearer sk-ant-oat01-verified"));
    assert_eq!(token.origin(), server.origin);
    assert_eq!(server.endpoint.requests(), 1);
    assert!(server.endpoint.last().starts_with("POST /v1/oauth/token HTTP/1.1\r\n"), "{}", server.endpoint.last());
    assert_eq!(server.refusals(), []);
}

/// B4: a server that is not verified.
#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    let server = Server::start(&authority("ours"), certificate_for(HERE)).await;
    refuses(&server, None, AlertDescription::UnknownCA).await;
    // Nor does it help to trust somebody else.
    let server = Server::start(&authority("ours"), certificate_for(HERE)).await;
    refuses(&server, Some(authority("theirs").pem()), AlertDescription::UnknownCA).await;
}

/// B4: a server that is not verified.
#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = authority("ours");
    let server = Server::start(&authority, certificate_for("api.anthropic.com")).await;
    refuses(&server, Some(authority.pem()), AlertDescription::BadCertificate).await;
}

/// B4: a server that is not verified.
#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = authority("ours");
    let mut certificate = certificate_for(HERE);
    certificate.not_after = date_time_ymd(2020, 1, 1);
    let server = Server::start(&authority, certificate).await;
    refuses(&server, Some(authority.pem()), AlertDescription::CertificateExpired).await;
}

/// The credential fails, every connection ended with this alert, and nothing came after it: neither the request nor an
/// attempt without TLS.
async fn refuses(server: &Server, root: Option<String>, alert: AlertDescription) {
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let builder = credential(server, &file);
    let builder = match root {
        Some(pem) => builder.extra_root_certificate(pem),
        None => builder,
    };
    let credential = builder.build().unwrap();
    let failure = match credential.token_within(Duration::from_secs(10)).await {
        Err(Error::Unavailable(failure)) => failure,
        other => panic!("{other:?}"),
    };
    assert_eq!(failure.code, FailureCode::EndpointUnreachable, "{failure}");
    assert!(failure.message.contains("invalid peer certificate"), "{failure}");
    credential.shutdown().await;
    until("the server has seen the end of it", || async { !server.refusals().is_empty() }).await;
    for refusal in server.refusals() {
        assert_eq!(refusal, Refusal { why: Some(rustls::Error::AlertReceived(alert)), then: Vec::new() });
    }
    assert_eq!(server.endpoint.requests(), 0);
}

/// A handshake that failed, as the server saw it.
#[derive(Debug, Clone, PartialEq)]
struct Refusal {
    /// None if the connection just ended.
    why: Option<rustls::Error>,
    /// What else the client sent.
    then: Vec<u8>,
}

/// A token endpoint behind TLS.
struct Server {
    origin: String,
    /// Gets what came through TLS.
    endpoint: Endpoint,
    refusals: Arc<Mutex<Vec<Refusal>>>,
}

impl Server {
    async fn start(authority: &Authority, certificate: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = certificate.signed_by(&key, authority).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], key.into())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-verified", 3600)).await;
        let behind = endpoint.origin.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let origin = format!("https://{}", listener.local_addr().unwrap());
        let refusals = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&refusals);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, behind, log) = (acceptor.clone(), behind.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    match acceptor.accept(stream).into_fallible().await {
                        Ok(mut outside) => {
                            let mut inside = TcpStream::connect(behind).await.unwrap();
                            let _ = copy_bidirectional(&mut outside, &mut inside).await;
                        }
                        Err((error, mut stream)) => {
                            let mut then = Vec::new();
                            let _ = stream.read_to_end(&mut then).await;
                            log.lock().unwrap().push(Refusal { why: error.downcast().ok(), then });
                        }
                    }
                });
            }
        });
        Self { origin, endpoint, refusals }
    }

    fn refusals(&self) -> Vec<Refusal> {
        self.refusals.lock().unwrap().clone()
    }
}

/// Not yet built; trusts no more than the platform does.
fn credential(server: &Server, file: &TokenFile) -> Builder {
    let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
    Credential::builder()
        .configuration(configuration(&server.origin, &source))
        .policy(Policy::default().allow_origin(&server.origin).unwrap())
        .seed(1)
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut certificate = CertificateParams::default();
    certificate.distinguished_name.push(DnType::CommonName, name);
    certificate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Authority::self_signed(certificate, KeyPair::generate().unwrap()).unwrap()
}

/// Valid for longer than any test.
fn certificate_for(name: &str) -> CertificateParams {
    CertificateParams::new(vec![name.to_owned()]).unwrap()
}
