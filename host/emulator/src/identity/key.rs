//! Signing keys, made at start or at a rotation and never written anywhere.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm as JwtAlgorithm, EncodingKey};
use p256::pkcs8::EncodePrivateKey as _;
use p521::ecdsa::signature::RandomizedSigner as _;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::rand_core::OsRng;
use serde_json::{Map, Value, json};
use thiserror::Error;
use wif_federation::{Algorithm, library_algorithm};
use zeroize::Zeroizing;

use crate::random;

/// A private key, its public half, and the `kid` of both.
pub(crate) struct SigningKey {
    private: Private,
    public: Value,
    algorithm: Algorithm,
    id: String,
}

/// A key could not be made. Try again; if it stays so, the operating system has no randomness.
#[derive(Debug, Error)]
#[error("no signing key could be made: {0}")]
pub struct KeyError(String);

enum Private {
    Library(EncodingKey, JwtAlgorithm),
    /// ES512, which the library does not have.
    P521(p521::ecdsa::SigningKey),
}

impl SigningKey {
    /// A new key. For RS and PS this takes up to seconds of computation.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let id = random::alphanumeric(16);
        let (private, mut public) = match library_algorithm(algorithm) {
            Some(known) => {
                let private = encoding_key(algorithm)?;
                let public = Jwk::from_encoding_key(&private, known).map_err(KeyError::new)?;
                (Private::Library(private, known), serde_json::to_value(public).map_err(KeyError::new)?)
            }
            None => {
                let private = p521::ecdsa::SigningKey::random(&mut OsRng);
                let point = p521::ecdsa::VerifyingKey::from(&private).to_encoded_point(false);
                let coordinate = |bytes: Option<_>| bytes.map(|bytes: &p521::FieldBytes| URL_SAFE_NO_PAD.encode(bytes));
                let public = json!({ "kty": "EC", "crv": "P-521", "x": coordinate(point.x()), "y": coordinate(point.y()) });
                (Private::P521(private), public)
            }
        };
        public["kid"] = id.as_str().into();
        public["use"] = "sig".into();
        public["alg"] = algorithm.name().into();
        Ok(Self { private, public, algorithm, id })
    }

    /// A JWK (RFC 7517 section 4).
    pub(crate) fn public(&self) -> &Value {
        &self.public
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// A JWS in its compact form (RFC 7515 section 3.1).
    pub(super) fn sign(&self, header: &Map<String, Value>, claims: &Map<String, Value>) -> Zeroizing<String> {
        let segment = |members: &Map<String, Value>| {
            URL_SAFE_NO_PAD.encode(serde_json::to_vec(members).expect("members whose names are strings are JSON"))
        };
        let message = format!("{}.{}", segment(header), segment(claims));
        let signature = match &self.private {
            Private::Library(key, algorithm) => jsonwebtoken::crypto::sign(message.as_bytes(), key, *algorithm)
                .expect("the key was made for the algorithm, and has signed for its public half"),
            Private::P521(key) => {
                let signature: p521::ecdsa::Signature = key.sign_with_rng(&mut OsRng, message.as_bytes());
                URL_SAFE_NO_PAD.encode(signature.to_bytes())
            }
        };
        Zeroizing::new(format!("{message}.{signature}"))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl KeyError {
    fn new(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// The size that identity providers use, and the least that RFC 7518 section 3.3 allows.
const RSA_BITS: usize = 2048;

fn encoding_key(algorithm: Algorithm) -> Result<EncodingKey, KeyError> {
    match algorithm {
        Algorithm::Es384 => {
            let key = p384::SecretKey::random(&mut OsRng);
            let document = key.to_pkcs8_der().map_err(KeyError::new)?;
            Ok(EncodingKey::from_ec_der(document.as_bytes()))
        }
        Algorithm::Es256 | Algorithm::Es512 => {
            let key = p256::SecretKey::random(&mut OsRng);
            let document = key.to_pkcs8_der().map_err(KeyError::new)?;
            Ok(EncodingKey::from_ec_der(document.as_bytes()))
        }
        _ => {
            let key = rsa::RsaPrivateKey::new(&mut OsRng, RSA_BITS).map_err(KeyError::new)?;
            let document = key.to_pkcs1_der().map_err(KeyError::new)?;
            Ok(EncodingKey::from_rsa_der(document.as_bytes()))
        }
    }
}
