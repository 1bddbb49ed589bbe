//! A `tower` layer that puts the credential on requests: for clients and proxies made of `hyper`, `axum`, `tonic` or `reqwest`.
//!
//! ```
//! # async fn example(credential: wif::Credential) -> Result<(), Box<dyn std::error::Error>> {
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use hyper_util::client::legacy::{Client, connect::HttpConnector};
//! use hyper_util::rt::TokioExecutor;
//! use tower::{Layer, ServiceExt};
//! use wif::layer::{Body, CredentialLayer};
//!
//! let client: Client<HttpConnector, Body<Full<Bytes>>> = Client::builder(TokioExecutor::new()).build_http();
//! let service = CredentialLayer::new(credential).layer(client);
//! let request = http::Request::post("https://api.anthropic.com/v1/messages").body(Full::from("{}"))?;
//! let response = service.oneshot(request).await?;
//! # Ok(()) }
//! ```
//!
//! The examples `hyper`, `reqwest` and `tonic` of this crate are whole programs.
//!
//! # What it does
//!
//! **To the token's origin** goes exactly one credential: ours. Every form of the caller's own is taken off, as
//! [`Token::apply`] says, also from trailers and from the URI; a `host` header that names another host is put right. Where a
//! request goes is what its URI says - scheme, host and port, compared as [`Token::is_for`] says - so that is what the inner
//! service must go by. Put whatever changes the URI outside of this layer, and whatever follows redirects, too: a 3xx is
//! returned as it is.
//!
//! **To every other origin** requests go untouched, with whatever they carry.
//!
//! **Without a credential** go `CONNECT`, `OPTIONS` and upgrades. The caller's own is taken off these, too, when the origin is
//! known to be the token's.
//!
//! **Without a token** nothing is sent. The request waits for as long as a token may come, or as
//! [`wait_at_most`](CredentialLayer::wait_at_most) says, and is then answered with [`LayerError::NoToken`]. Before the first
//! token its origin is not known either: requests to elsewhere wait as well, unless [`origin`](CredentialLayer::origin) was
//! told. A request that finds a good token neither waits nor enters WebAssembly.
//!
//! **A 401** from the token's origin (for gRPC also `UNAUTHENTICATED` without a message) is reported as
//! [rejected](Credential::rejected), always. If another token is to be had within a second, and the body has been sent whole and
//! is no longer than [`replay_up_to`](CredentialLayer::replay_up_to), the request is sent once more, with that; the first
//! answer is dropped unread. Otherwise, and the second time, the 401 is the answer. What the body is made of does not matter:
//! what was sent is remembered until the answer begins. Nothing that has begun to be answered otherwise is sent twice.

mod body;
mod error;

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri};
use tower_layer::Layer;
use tower_service::Service;

use crate::credential::Credential;
use crate::error::{Error, PolicyError};
use crate::policy::{Origin, Reach};
use crate::store::BoxError;
use crate::token::{Target, Token, strip};
pub use body::Body;
pub use error::LayerError;

/// So many bytes of a body are remembered, unless [`CredentialLayer::replay_up_to`] says otherwise.
pub const DEFAULT_REPLAY_UP_TO: usize = 1024 * 1024;

/// The status of a gRPC answer that is nothing but a status.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Puts a credential on the requests of a service. See [the module](self) for what it does.
#[derive(Clone)]
pub struct CredentialLayer {
    credential: Credential,
    told: Option<Arc<Told>>,
    wait_at_most: Option<Duration>,
    replay_up_to: usize,
}

/// The origin that the layer was told.
struct Told {
    target: Target,
    text: String,
}

impl CredentialLayer {
    /// With this credential.
    #[must_use]
    pub fn new(credential: Credential) -> Self {
        Self { credential, told: None, wait_at_most: None, replay_up_to: DEFAULT_REPLAY_UP_TO }
    }

    /// Tells the layer the token's origin beforehand. Requests to elsewhere then never wait for a token; and a request whose
    /// URI names no origin is taken to go there, which is for inner services that go nowhere else, such as `tonic`'s `Channel`.
    ///
    /// # Errors
    ///
    /// It is no origin, or plain HTTP to another machine.
    pub fn origin(mut self, origin: &str) -> Result<Self, PolicyError> {
        let origin = Origin::parse(origin, Reach::Public)?;
        let text = origin.as_str().to_owned();
        let target = Target::parse(&text).ok_or_else(|| PolicyError::NotAnOrigin(text.clone()))?;
        self.told = Some(Arc::new(Told { target, text }));
        Ok(self)
    }

    /// A request waits no longer than this for a token. By default it waits for as long as one may come: until the exchange
    /// that is under way has succeeded or failed.
    #[must_use]
    pub fn wait_at_most(mut self, wait: Duration) -> Self {
        self.wait_at_most = Some(wait);
        self
    }

    /// Sends requests once more whose bodies are no longer than this, in bytes; with 0 only those without a body.
    /// [`DEFAULT_REPLAY_UP_TO`] by default. So much memory may be held for each request until its answer begins; of a body
    /// that comes in pieces each piece after the first counts 64 bytes more.
    #[must_use]
    pub fn replay_up_to(mut self, bytes: usize) -> Self {
        self.replay_up_to = bytes;
        self
    }
}

impl<S> Layer<S> for CredentialLayer {
    type Service = CredentialService<S>;

    fn layer(&self, inner: S) -> CredentialService<S> {
        CredentialService { inner, layer: self.clone() }
    }
}

impl fmt::Debug for CredentialLayer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CredentialLayer")
            .field("credential", &self.credential)
            .field("origin", &self.told.as_ref().map(|told| &told.text))
            .field("wait_at_most", &self.wait_at_most)
            .field("replay_up_to", &self.replay_up_to)
            .finish()
    }
}

/// A service whose requests carry a credential. Made by [`CredentialLayer`].
///
/// The inner service takes `http::Request<`[`Body`]`<B>>`, and is cloned for each request, as clients can be.
#[derive(Debug, Clone)]
pub struct CredentialService<S> {
    inner: S,
    layer: CredentialLayer,
}

impl<S, B, R> Service<Request<B>> for CredentialService<S>
where
    S: Service<Request<Body<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = LayerError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, LayerError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LayerError>> {
        self.inner.poll_ready(context).map_err(inner_error)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that is ready is used; its clone, which may not be, stays for the next request.
        let next = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, next);
        Box::pin(self.layer.clone().send(ready, request))
    }
}

impl CredentialLayer {
    async fn send<S, B, R>(self, mut inner: S, request: Request<B>) -> Result<Response<R>, LayerError>
    where
        S: Service<Request<Body<B>>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = Bytes>,
    {
        let (mut head, body) = request.into_parts();
        let token = match self.token_for(&head).await? {
            Plan::Carry(token) => token,
            Plan::Strip(target) => {
                clean(&mut head, &target);
                strip(&mut head.headers);
                let (body, _) = Body::recording(body, None, 0);
                return inner.call(Request::from_parts(head, body)).await.map_err(inner_error);
            }
            Plan::Pass => return inner.call(Request::from_parts(head, Body::passing(body))).await.map_err(inner_error),
        };
        if let Some(target) = token.target() {
            clean(&mut head, target);
        }
        if !token.has_place_in(&mut head.headers) {
            return Err(LayerError::TooManyFields { fields: head.headers.len() });
        }
        let mut again = head.clone();
        token.apply(&mut head.headers);
        let length = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let (body, tape) = Body::recording(body, length, self.replay_up_to);
        let first = inner.call(Request::from_parts(head, body)).await.map_err(inner_error)?;
        let sent = tape.take();
        if !is_rejection(&first) {
            return Ok(first);
        }
        tracing::debug!(target: "wif", token = token.id(), "the API rejected the token");
        let Some(sent) = sent else {
            self.credential.rejected(token.id());
            return Ok(first);
        };
        let Some(other) = self.credential.replacement(token.id()).await.filter(|other| other.target() == token.target()) else {
            return Ok(first);
        };
        drop(first);
        other.apply(&mut again.headers);
        poll_fn(|context| inner.poll_ready(context)).await.map_err(inner_error)?;
        let second = inner.call(Request::from_parts(again, Body::replaying(sent))).await.map_err(inner_error)?;
        if is_rejection(&second) {
            self.credential.rejected(other.id());
        }
        Ok(second)
    }

    async fn token_for(&self, head: &Parts) -> Result<Plan, LayerError> {
        if is_exempt(head) {
            let target = match &self.told {
                Some(told) => Some(told.target.clone()),
                // Which origin it is, only a token tells.
                None => self.token().await?.target().cloned(),
            };
            return Ok(target.filter(|target| self.is_for(target, &head.uri)).map_or(Plan::Pass, Plan::Strip));
        }
        match &self.told {
            None if !names_origin(&head.uri) => return Err(LayerError::NoOrigin),
            Some(told) if !self.is_for(&told.target, &head.uri) => return Ok(Plan::Pass),
            _ => {}
        }
        let token = self.token().await?;
        match &self.told {
            Some(told) if token.target() == Some(&told.target) => Ok(Plan::Carry(token)),
            Some(told) => Err(LayerError::OtherOrigin { token: token.origin().to_owned(), layer: told.text.clone() }),
            None if token.is_for(&head.uri) => Ok(Plan::Carry(token)),
            None => Ok(Plan::Pass),
        }
    }

    async fn token(&self) -> Result<Token, Error> {
        match self.wait_at_most {
            Some(wait) => self.credential.token_within(wait).await,
            None => self.credential.token().await,
        }
    }

    /// Whether a request goes to this target, by its URI or because it can go nowhere else.
    fn is_for(&self, target: &Target, uri: &Uri) -> bool {
        target.contains(uri) || (self.told.is_some() && uri.authority().is_none())
    }
}

/// What becomes of a request.
enum Plan {
    /// It carries this token.
    Carry(Token),
    /// It goes to the token's origin, and carries no credential.
    Strip(Target),
    /// It goes elsewhere.
    Pass,
}

fn names_origin(uri: &Uri) -> bool {
    uri.scheme().is_some() && uri.authority().is_some()
}

/// What is no request to the API as such: tunnels, preflights, other protocols, and `TRACE`, whose answer is the request (RFC 9110
/// section 9.3.8).
fn is_exempt(head: &Parts) -> bool {
    wif_rules::is_exempt_method(head.method.as_str().as_bytes()) || is_upgrade(&head.headers)
}

/// An upgrade is one only if `connection` says so (RFC 9110 section 7.8); else the field means nothing.
fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
        && headers.get_all(CONNECTION).iter().any(|connection| wif_rules::names_upgrade(connection.as_bytes()))
}

/// Takes the caller's credential out of the URI, and makes a `host` header say where the request really goes.
fn clean(head: &mut Parts, target: &Target) {
    if head.uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        parts.authority = Some(target.authority().clone());
        // The parts are those of a URI, so they make one.
        head.uri = Uri::from_parts(parts).unwrap_or_default();
    }
    if head.headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(target.authority().as_str())
    {
        head.headers.insert(HOST, host);
    }
}

/// Whether this is the API's word that it does not accept the token.
fn is_rejection<R>(response: &Response<R>) -> bool {
    response.status() == StatusCode::UNAUTHORIZED
        || response.headers().get(GRPC_STATUS).is_some_and(|status| status == wif_rules::REJECTED_GRPC_STATUS)
}

fn inner_error(error: impl Into<BoxError>) -> LayerError {
    LayerError::Inner(error.into())
}
