//! TLS over real sockets: a server that can be verified gets the request, and no other gets a byte of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::AlertDescription;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
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

/// The API, by its name.
const API: &str = "api.anthropic.com";

/// B5: a corporate proxy that wants a name and a password. It reads where to, and nothing of what goes there.
#[tokio::test]
async fn a_proxy_with_a_password_leads_to_the_server() {
    let authority = authority("ours");
    let server = Server::start(&authority, certificate_for(API)).await;
    let proxy = Proxy::start("http", &server, None).await;
    let token = through(&proxy, "user:pass", Some(&authority)).await.unwrap();
    assert_eq!(token, (format!("https://{API}"), "Bearer sk-ant-oat01-verified".to_owned()));
    let (asked, told) = (proxy.asked(), server.endpoint.last());
    assert!(asked[0].starts_with("CONNECT api.anthropic.com:443 HTTP/1.1\r\n"), "{asked:?}");
    assert!(!asked[0].contains("assertion") && !told.to_lowercase().contains("proxy-authorization"), "{asked:?} {told}");

    let refused = through(&proxy, "user:canary", Some(&authority)).await.unwrap_err();
    assert_eq!(refused.code, FailureCode::EndpointUnreachable, "{refused}");
    assert!(refused.message.contains("proxy") && !refused.message.contains("canary"), "{refused}");
    assert_eq!(server.endpoint.requests(), 1);
}

/// B5: TLS to the proxy, and through it TLS to the API. The password goes to a proxy that is verified, and to no other.
#[tokio::test]
async fn a_proxy_by_tls_is_verified_before_it_is_shown_the_password() {
    let authority = authority("ours");
    let server = Server::start(&authority, certificate_for(API)).await;
    let proxy = Proxy::start("https", &server, Some(acceptor(&authority, certificate_for(HERE)))).await;
    let (origin, _) = through(&proxy, "user:pass", Some(&authority)).await.unwrap();
    assert_eq!((origin, proxy.asked().len()), (format!("https://{API}"), 1));

    let stranger = self::authority("theirs");
    let impostor = Proxy::start("https", &server, Some(acceptor(&stranger, certificate_for(HERE)))).await;
    let refused = through(&impostor, "user:pass", Some(&authority)).await.unwrap_err();
    assert!(refused.message.contains("invalid peer certificate"), "{refused}");
    assert_eq!((impostor.asked().len(), server.endpoint.requests()), (0, 1));
}

/// B4, B5: a proxy that opens what goes through it answers in the API's name, with a certificate of the company's own authority.
#[tokio::test]
async fn a_proxy_that_intercepts_is_told_something_only_if_its_authority_is_trusted() {
    let company = authority("the company's");
    let instead_of_the_api = Server::start(&company, certificate_for(API)).await;
    let proxy = Proxy::start("http", &instead_of_the_api, None).await;
    let refused = through(&proxy, "user:pass", None).await.unwrap_err();
    assert!(refused.message.contains("invalid peer certificate"), "{refused}");
    assert_eq!(instead_of_the_api.endpoint.requests(), 0);

    through(&proxy, "user:pass", Some(&company)).await.unwrap();
    assert_eq!(instead_of_the_api.endpoint.requests(), 1);
}

/// The origin and the header of a token that was got through the proxy.
async fn through(proxy: &Proxy, user: &str, trusted: Option<&Authority>) -> Result<(String, String), wif::Failure> {
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
    let policy = Policy::default().proxy(&proxy.url.replace("://", &format!("://{user}@"))).unwrap();
    let builder = Credential::builder().configuration(configuration(&format!("https://{API}"), &source)).policy(policy);
    let builder = match trusted {
        Some(authority) => builder.extra_root_certificate(authority.pem()),
        None => builder,
    };
    let credential = builder.build().unwrap();
    let answer = credential.token_within(Duration::from_secs(10)).await;
    credential.shutdown().await;
    match answer {
        Ok(token) => Ok((token.origin().to_owned(), token.reveal_authorization().unwrap().to_owned())),
        Err(Error::Unavailable(failure)) => Err(failure),
        Err(other) => panic!("{other:?}"),
    }
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
        let acceptor = acceptor(authority, certificate);
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

/// A forward proxy that wants `user:pass`. It leads every tunnel to one server, by whatever name it is asked.
struct Proxy {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(scheme: &str, server: &Server, tls: Option<TlsAcceptor>) -> Self {
        let leads_to = server.origin.trim_start_matches("https://").to_owned();
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, leads_to, log) = (tls.clone(), leads_to.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    match tls {
                        None => tunnel(stream, &leads_to, &log).await,
                        // Whoever does not trust it has gone.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                tunnel(stream, &leads_to, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self { url, asked }
    }

    /// The heads of the requests that it got.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn tunnel(mut outside: impl AsyncRead + AsyncWrite + Unpin, leads_to: &str, log: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = outside.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    // `user:pass` in base64.
    let is_known = head.to_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz\r\n");
    log.lock().unwrap().push(head);
    if !is_known {
        let _ = outside.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n").await;
        return;
    }
    let mut inside = TcpStream::connect(leads_to).await.unwrap();
    outside.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
    let _ = copy_bidirectional(&mut outside, &mut inside).await;
}

fn acceptor(authority: &Authority, certificate: CertificateParams) -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let certificate = certificate.signed_by(&key, authority).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key.into())
        .unwrap();
    TlsAcceptor::from(Arc::new(tls))
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
