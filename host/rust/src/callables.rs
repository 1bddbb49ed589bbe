//! What the embedding program supplies: identity tokens, access tokens, signatures.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use crate::clock::BoxFuture;
use crate::secret::Secret;
use crate::store::BoxError;

/// Asked for an identity token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AssertionRequest {
    /// The audience (`aud`) that the identity token must carry.
    pub audience: String,
}

/// Asked for an access token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TokenRequest {
    /// The id of the token that the API rejected, where that is why a new one is wanted: answer from no cache.
    pub rejected: Option<String>,
}

/// Asked for a signature.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignRequest {
    /// The JWS algorithm (RFC 7518 section 3.1), such as `ES256`. Sign with no other.
    pub algorithm: String,
    /// The JWS signing input: ASCII.
    pub input: String,
}

/// An access token that the program has.
#[derive(Debug, Clone)]
pub struct SuppliedToken {
    /// The token.
    pub value: Secret,
    /// When it expires. Without it the token's own `exp` is taken where it is a JWT; with neither the token serves the callers
    /// that were waiting for it, and the next caller asks again.
    pub expires_at: Option<SystemTime>,
}

type Callable<Request, Answer> = Arc<dyn Fn(Request) -> BoxFuture<'static, Result<Answer, BoxError>> + Send + Sync>;

/// All of them, by the names that the configuration uses.
#[derive(Clone, Default)]
pub(crate) struct Callables {
    pub(crate) identity_tokens: HashMap<String, Callable<AssertionRequest, Secret>>,
    pub(crate) access_tokens: HashMap<String, Callable<TokenRequest, SuppliedToken>>,
    pub(crate) signers: HashMap<String, Callable<SignRequest, Vec<u8>>>,
}

pub(crate) fn callable<Request, Answer, F, Fut>(callable: F) -> Callable<Request, Answer>
where
    F: Fn(Request) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer, BoxError>> + Send + 'static,
{
    Arc::new(move |request| Box::pin(callable(request)))
}
