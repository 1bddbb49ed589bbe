//! Signing keys, made at start and never written anywhere.

use std::fmt;

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm as JwtAlgorithm, EncodingKey};
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::EncodePrivateKey as _;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use thiserror::Error;

use crate::options::Algorithm;
use crate::random;

/// A private key, its public half, and the `kid` of both.
pub(crate) struct SigningKey {
    private: EncodingKey,
    public: Jwk,
    algorithm: JwtAlgorithm,
    id: String,
}

/// A key could not be made.
#[derive(Debug, Error)]
#[error("no signing key could be made: {0}")]
pub(crate) struct KeyError(String);

impl SigningKey {
    /// A new key. For RS256 this takes up to seconds of computation.
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let (private, algorithm) = match algorithm {
            Algorithm::Es256 => {
                let key = p256::SecretKey::try_generate().map_err(KeyError::new)?;
                let document = key.to_pkcs8_der().map_err(KeyError::new)?;
                (EncodingKey::from_ec_der(document.as_bytes()), JwtAlgorithm::ES256)
            }
            Algorithm::Rs256 => {
                let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, RSA_BITS).map_err(KeyError::new)?;
                let document = key.to_pkcs1_der().map_err(KeyError::new)?;
                (EncodingKey::from_rsa_der(document.as_bytes()), JwtAlgorithm::RS256)
            }
        };
        let id = random::alphanumeric(16);
        let mut public = Jwk::from_encoding_key(&private, algorithm).map_err(KeyError::new)?;
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        Ok(Self { private, public, algorithm, id })
    }

    pub(crate) fn private(&self) -> &EncodingKey {
        &self.private
    }

    pub(crate) fn public(&self) -> &Jwk {
        &self.public
    }

    pub(crate) fn algorithm(&self) -> JwtAlgorithm {
        self.algorithm
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
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
