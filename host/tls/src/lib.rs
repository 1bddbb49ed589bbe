//! TLS of a client: whom it trusts. All clients of this project that send a secret, or fetch what decides about one, are made from
//! here: the library `wif`, the emulator and the command. There is one provider of cryptography, `ring`, and none is installed for the
//! process.

#![forbid(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use rustls::ClientConfig;
pub use rustls::pki_types::CertificateDer;
pub use rustls::pki_types::ServerName;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::Verifier;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no PEM.
    #[error("{0}")]
    NotPem(pem::Error),
    /// The text is PEM, or empty, and has no certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// Nobody can be trusted by a certificate such as this.
    #[error("{0}")]
    Unusable(rustls::Error),
    /// The operating system has no certificates to trust.
    #[error("this machine has no root certificates (Debian: ca-certificates): {0}")]
    NoRoots(rustls::Error),
}

/// The certificates in a PEM text: at least one.
///
/// # Errors
///
/// The text is something else.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(Error::NotPem)?;
    if certificates.is_empty() { Err(Error::NoCertificate) } else { Ok(certificates) }
}

/// Trusts what the platform trusts, and these certificates beside it.
///
/// # Errors
///
/// The platform's certificates cannot be read, or an extra one cannot be used.
pub fn platform(extra_roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, Error> {
    /// The platform's certificates, parsed, are some 120 KiB.
    static SHARED: Shared = Mutex::new(Weak::new());
    if extra_roots.is_empty() {
        shared(&SHARED, || verified_by_the_platform(Vec::new()))
    } else {
        verified_by_the_platform(extra_roots)
    }
}

/// Trusts nobody: for plain HTTP, where no certificate is asked for.
///
/// # Errors
///
/// There are none; the type is that of its siblings.
pub fn nobody() -> Result<Arc<ClientConfig>, Error> {
    /// A client keeps a table of sessions to resume, of some 13 KiB.
    static SHARED: Shared = Mutex::new(Weak::new());
    shared(&SHARED, || only(Vec::new()))
}

/// Trusts these certificates and no others.
///
/// # Errors
///
/// One of them cannot be used.
pub fn only(certificates: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(Error::Unusable)?;
    }
    Ok(Arc::new(builder()?.with_root_certificates(roots).with_no_client_auth()))
}

/// What all clients of a process share, for as long as one of them is there.
type Shared = Mutex<Weak<ClientConfig>>;

fn shared(place: &Shared, make: impl FnOnce() -> Result<Arc<ClientConfig>, Error>) -> Result<Arc<ClientConfig>, Error> {
    // Whoever comes second waits: it may take a while, and need not be done twice.
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(tls) = place.upgrade() {
        return Ok(tls);
    }
    let tls = make()?;
    *place = Arc::downgrade(&tls);
    Ok(tls)
}

fn verified_by_the_platform(extra_roots: Vec<CertificateDer<'static>>) -> Result<Arc<ClientConfig>, Error> {
    let builder = builder()?;
    let provider = Arc::clone(builder.crypto_provider());
    let verifier = Verifier::new_with_extra_roots(extra_roots, provider).map_err(Error::NoRoots)?;
    let tls = builder
        .dangerous() // by name: a verifier of one's own could accept anything; this one is the platform's
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(tls))
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(Error::Unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem() -> String {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate").cert.pem()
    }

    #[test]
    fn a_text_has_every_certificate_that_is_in_it() {
        assert_eq!(certificates([pem(), pem()].concat().as_bytes()).expect("two").len(), 2);
    }

    #[test]
    fn a_text_without_a_certificate_is_an_error() {
        assert!(matches!(certificates(b""), Err(Error::NoCertificate)));
        assert!(matches!(certificates(b"no PEM"), Err(Error::NoCertificate)));
        assert!(matches!(certificates(b"-----BEGIN CERTIFICATE-----\nAAAA\n"), Err(Error::NotPem(_))));
    }

    #[test]
    fn a_certificate_that_is_none_is_trusted_by_nobody() {
        assert!(matches!(only(vec![CertificateDer::from(vec![0; 8])]), Err(Error::Unusable(_))));
        only(certificates(pem().as_bytes()).expect("one")).expect("a client");
    }

    #[test]
    fn clients_of_one_process_share_what_the_platform_trusts() {
        let first = platform(Vec::new()).expect("the machine has certificates");
        assert!(Arc::ptr_eq(&first, &platform(Vec::new()).expect("again")));
        let other = platform(certificates(pem().as_bytes()).expect("one")).expect("a client");
        assert!(!Arc::ptr_eq(&first, &other));
    }
}
