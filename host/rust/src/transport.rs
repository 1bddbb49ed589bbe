//! One request of the component: checked, sent once, and told apart by whether a byte of it may have left.

mod names;

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect;
use rustls::pki_types::CertificateDer;
use tokio::sync::OnceCell;
use url::Url;
use zeroize::Zeroizing;

use crate::bindings::types;
use crate::clock::Clock;
use crate::limits;
use crate::policy::{Grants, Policy, check_exchange_header, proxy_in_environment};
use crate::secret::Secret;

/// A connection that takes longer is not made; then nothing was sent, which is worth knowing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What the component learns of an answer's header. Others are of no use to it.
const PASSED_ON: [&str; 5] = ["request-id", "retry-after", "date", "content-type", "location"];

pub(crate) struct Transport {
    policy: Policy,
    extra_roots: Vec<CertificateDer<'static>>,
    /// Made with the first request: reading the platform's certificates takes longer than everything else at the start.
    client: OnceCell<reqwest::Client>,
    /// For plain HTTP to this very machine, which needs no certificates: it may have none.
    plain: OnceCell<reqwest::Client>,
}

impl Transport {
    pub(crate) fn new(policy: Policy, extra_roots: Vec<CertificateDer<'static>>) -> Self {
        Self { policy, extra_roots, client: OnceCell::new(), plain: OnceCell::new() }
    }

    pub(crate) async fn send(&self, request: types::HttpRequest, grants: &Grants, clock: &dyn Clock) -> types::Outcome {
        let request = match Checked::new(request, &self.policy, grants) {
            Ok(request) => request,
            Err(rule) => return types::Outcome::Denied(rule),
        };
        let connected = match request.url.scheme() {
            "https" => self.client.get_or_try_init(|| self.connect()).await,
            _ => self.plain.get_or_try_init(async || client(&self.policy, without_certificates()?)).await,
        };
        let client = match connected {
            Ok(client) => client,
            Err(reason) => return types::Outcome::Unsent(reason),
        };
        let timeout = request.timeout;
        tokio::select! {
            outcome = exchange(client, request) => self.with_a_hint(outcome),
            () = clock.sleep(timeout) => {
                types::Outcome::MaybeSent(format!("no complete answer within {} ms", timeout.as_millis()))
            }
        }
    }

    /// Behind a proxy nothing comes out without it, and nothing says so.
    fn with_a_hint(&self, outcome: types::Outcome) -> types::Outcome {
        match (outcome, proxy_in_environment()) {
            (types::Outcome::Unsent(why), Some((name, _))) if self.policy.proxy_url().is_none() => {
                types::Outcome::Unsent(format!("{why} ({name} is set and not used: see Policy::proxy_from_environment)"))
            }
            (outcome, _) => outcome,
        }
    }

    async fn connect(&self) -> Result<reqwest::Client, String> {
        let (policy, roots) = (self.policy.clone(), self.extra_roots.clone());
        // It reads files.
        let connect = move || client(&policy, with_certificates(roots)?);
        tokio::task::spawn_blocking(connect).await.map_err(|error| error.to_string())?
    }
}

/// A request that the policy allows, and whose parts are what they claim to be.
struct Checked {
    url: Url,
    headers: HeaderMap,
    body: Secret,
    timeout: Duration,
    max_response_bytes: usize,
}

impl Checked {
    fn new(request: types::HttpRequest, policy: &Policy, grants: &Grants) -> Result<Self, String> {
        let body = Secret::from(request.body);
        if let types::Purpose::Source(name) = request.purpose {
            return Err(format!("the policy does not allow the source {name}"));
        }
        let origin = policy.check_origin(&request.origin)?;
        let url = Url::parse(&request.url).map_err(|error| format!("the URL cannot be read: {error}"))?;
        if !origin.contains(&url) {
            return Err(format!("the URL is not one of {}", origin.as_str()));
        }
        grants.check_exchange(&request.method, &url)?;
        if body.reveal().len() > limits::REQUEST_BYTES || request.headers.len() > limits::REQUEST_HEADERS {
            return Err("the request is too large".to_owned());
        }
        let mut headers = HeaderMap::new();
        for header in request.headers {
            let (name, value) = header_field(header)?;
            check_exchange_header(name.as_str(), value.to_str().unwrap_or_default())?;
            headers.append(name, value);
        }
        Ok(Self {
            url,
            headers,
            body,
            timeout: Duration::from_millis(policy.clamp_request_ms(request.timeout_ms)),
            max_response_bytes: limits::RESPONSE_BYTES.min(request.max_response_bytes as usize),
        })
    }
}

/// A header field that is one by RFC 9110 section 5. The value is marked sensitive.
pub(crate) fn header_field(header: types::Header) -> Result<(HeaderName, HeaderValue), String> {
    let value = Zeroizing::new(header.value);
    let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| "a header's name is none".to_owned())?;
    if name.as_str() != header.name {
        return Err(format!("the header {name} is not in lower case"));
    }
    let visible = value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    let parsed = HeaderValue::from_str(&value).ok().filter(|_| visible);
    let mut value = parsed.ok_or_else(|| format!("the value of the header {name} is no field value"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// TLS that trusts what the platform does, and these.
fn with_certificates(extra_roots: Vec<CertificateDer<'static>>) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(extra_roots, Arc::clone(&provider))
        .map_err(|error| format!("this machine has no root certificates (Debian: ca-certificates): {error}"))?;
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous() // by name: a verifier of one's own could accept anything; this one is the platform's
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// TLS that trusts nobody.
fn without_certificates() -> Result<rustls::ClientConfig, String> {
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

fn client(policy: &Policy, tls: rustls::ClientConfig) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(0)
        .dns_resolver(names::Resolver::new(policy));
    if let Some(proxy) = policy.proxy_url() {
        // Plain HTTP is for this very machine, and goes there without a detour.
        let past = policy.past_the_proxy().and_then(reqwest::NoProxy::from_string);
        let proxy = reqwest::Proxy::https(proxy.clone()).map_err(|error| error.to_string())?;
        builder = builder.proxy(proxy.no_proxy(past));
    }
    builder.build().map_err(|error| words(&error))
}

async fn exchange(client: &reqwest::Client, request: Checked) -> types::Outcome {
    let Checked { url, headers, body, max_response_bytes, .. } = request;
    let sent = client.post(url).headers(headers).body(body.into_revealed()).send().await;
    let mut response = match sent {
        Ok(response) => response,
        Err(error) if error.is_connect() || error.is_builder() => return types::Outcome::Unsent(words(&error.without_url())),
        Err(error) => return types::Outcome::MaybeSent(words(&error.without_url())),
    };
    let status = response.status().as_u16();
    let headers = passed_on(response.headers());
    let mut body = Zeroizing::new(Vec::new());
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > max_response_bytes => {
                return types::Outcome::MaybeSent(format!("the answer is longer than {max_response_bytes} bytes"));
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return types::Outcome::MaybeSent(words(&error.without_url())),
        }
    }
    types::Outcome::Response(types::Response { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn passed_on(headers: &HeaderMap) -> Vec<types::Header> {
    let field = |name: &&str| {
        let value = headers.get(*name)?.to_str().ok()?;
        Some(types::Header { name: (*name).to_owned(), value: value.to_owned() })
    };
    PASSED_ON.iter().filter_map(field).collect()
}

/// What went wrong, from the outside to the cause. The errors of the transport name hosts and causes, and never hold a
/// header or a body.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !words.ends_with(&next) {
            words = format!("{words}: {next}");
        }
        cause = error.source();
    }
    words
}
