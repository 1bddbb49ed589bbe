//! The library's own HTTP client: a connection for each request, of which every byte is counted.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Uri};
use http_body::{Body as _, Frame};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use url::{Position, Url};
use wif_tls::CertificateDer;
use zeroize::Zeroizing;

use super::dialer::Dialer;
use super::metered::Metered;
use super::{Checked, response_of, too_long, words};
use crate::bindings::types;
use crate::policy::{Policy, Way};
use crate::secret::Secret;

/// So much may come beside the body: the answer's header, what stands between the chunks of a body, interim answers.
const BESIDE_THE_BODY_BYTES: usize = 128 << 10;

pub(crate) struct Client {
    policy: Arc<Policy>,
    extra_roots: Vec<CertificateDer<'static>>,
    /// Made with the first request: reading the platform's certificates takes longer than everything else at the start.
    dialer: OnceCell<Arc<Dialer>>,
    /// For plain HTTP to this very machine, which needs no certificates: it may have none.
    plain: OnceCell<Arc<Dialer>>,
}

impl Client {
    pub(crate) fn new(policy: Arc<Policy>, extra_roots: Vec<CertificateDer<'static>>) -> Self {
        Self { policy, extra_roots, dialer: OnceCell::new(), plain: OnceCell::new() }
    }

    /// The one for this request. An `Err` says why there is none.
    pub(super) async fn dialer(&self, request: &Checked) -> Result<Arc<Dialer>, String> {
        let encrypted = request.url.scheme() == "https";
        match &request.way {
            None if encrypted => self.dialer.get_or_try_init(|| self.prepare()).await.cloned(),
            None => self.plain.get_or_try_init(async || Dialer::plain(&self.policy).map(Arc::new)).await.cloned(),
            Some(way) => self.prepare_for_source(way.clone(), encrypted).await,
        }
    }

    async fn prepare(&self) -> Result<Arc<Dialer>, String> {
        let (policy, roots) = (Arc::clone(&self.policy), self.extra_roots.clone());
        // It reads files.
        let made = tokio::task::spawn_blocking(move || Dialer::new(&policy, roots)).await;
        made.map_err(|error| error.to_string())?.map(Arc::new)
    }

    /// For one request: sources are asked once for each exchange, and each has rules of its own.
    async fn prepare_for_source(&self, way: Way, encrypted: bool) -> Result<Arc<Dialer>, String> {
        let (policy, roots) = (Arc::clone(&self.policy), self.extra_roots.clone());
        let made = tokio::task::spawn_blocking(move || Dialer::of_source(&policy, roots, &way, encrypted)).await;
        made.map_err(|error| error.to_string())?.map(Arc::new)
    }
}

/// Behind a proxy nothing comes out without it, and nothing says so.
pub(super) fn with_a_hint(outcome: types::Outcome, unused_proxy: Option<&str>) -> types::Outcome {
    match (outcome, unused_proxy) {
        (types::Outcome::Unsent(why), Some(name)) => {
            types::Outcome::Unsent(format!("{why} ({name} is set and not used: see Policy::proxy_from_environment)"))
        }
        (outcome, _) => outcome,
    }
}

pub(super) async fn exchange(dialer: &Dialer, request: Checked) -> types::Outcome {
    let Checked { method, url, headers, body, max_response_bytes, .. } = request;
    let connection = match Uri::try_from(url.as_str()) {
        Ok(to) => dialer.connect(&to).await,
        Err(error) => Err(error.to_string()),
    };
    let request = match message(method, &url, headers, body) {
        Ok(request) => request,
        Err(error) => return types::Outcome::Unsent(error.to_string()),
    };
    let limit = max_response_bytes.saturating_add(BESIDE_THE_BODY_BYTES);
    let connection = match connection {
        Ok(connection) => TokioIo::new(Metered::new(connection, limit)),
        Err(reason) => return types::Outcome::Unsent(reason),
    };
    let (mut sender, driving) = match http1::handshake(connection).await {
        Ok(ready) => ready,
        Err(error) => return types::Outcome::Unsent(words(&error)),
    };
    // It ends with this function, whoever ends that.
    let mut driver = JoinSet::new();
    driver.spawn(driving);
    let response = match sender.send_request(request).await {
        Ok(response) => response,
        Err(error) => return types::Outcome::MaybeSent(words(&error)),
    };
    let (head, mut incoming) = response.into_parts();
    let mut body = Zeroizing::new(Vec::new());
    while let Some(frame) = poll_fn(|context| Pin::new(&mut incoming).poll_frame(context)).await {
        let chunk = match frame.map(Frame::into_data) {
            Ok(Ok(chunk)) => chunk,
            // Fields after the body.
            Ok(Err(_)) => continue,
            Err(error) => return types::Outcome::MaybeSent(words(&error)),
        };
        if body.len() + chunk.len() > max_response_bytes {
            return too_long(max_response_bytes);
        }
        body.extend_from_slice(&chunk);
    }
    response_of(&head, &body)
}

/// The request as it is sent, to this path.
fn message(method: http::Method, url: &Url, mut headers: HeaderMap, body: Secret) -> Result<Request<String>, http::Error> {
    headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    let mut request = Request::builder()
        .method(method)
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(header::HOST, &url[Position::BeforeHost..Position::AfterPort])
        .body(body.into_revealed())?;
    request.headers_mut().extend(headers);
    Ok(request)
}
