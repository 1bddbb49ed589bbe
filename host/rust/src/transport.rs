//! One request of the component: checked, sent once, and told apart by whether a byte of it may have left.

#[cfg(feature = "http")]
mod client;
#[cfg(feature = "http")]
mod dialer;
#[cfg(feature = "http")]
mod metered;
#[cfg(feature = "http")]
mod names;

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;
use zeroize::Zeroizing;

use crate::bindings::types;
use crate::clock::Clock;
use crate::limits;
use crate::policy::{Grants, Policy, Way, check_exchange_header};
use crate::secret::Secret;
use crate::sender::{SendError, SendRequest, Sender};
#[cfg(feature = "http")]
pub(crate) use client::Client;

pub(crate) struct Transport {
    policy: Arc<Policy>,
    by: By,
    /// A place for each exchange that may be under way, where credentials share them.
    exchanges: Option<Arc<Semaphore>>,
}

/// Who sends requests.
pub(crate) enum By {
    /// The program.
    Program(Sender),
    /// This library.
    #[cfg(feature = "http")]
    Client(Box<Client>),
    /// Nobody: the library was built without a client, and the program gave none.
    Nobody,
}

impl Transport {
    pub(crate) fn new(policy: Arc<Policy>, by: By, exchanges: Option<Arc<Semaphore>>) -> Self {
        Self { policy, by, exchanges }
    }

    pub(crate) async fn send(&self, request: types::HttpRequest, grants: &Grants, clock: &dyn Clock) -> types::Outcome {
        let request = match Checked::new(request, &self.policy, grants) {
            Ok(request) => request,
            Err(rule) => return types::Outcome::Denied(rule),
        };
        let (timeout, began) = (request.timeout, clock.steady_ms());
        let _place = match self.place(&request, clock).await {
            Ok(place) => place,
            Err(reason) => return types::Outcome::Unsent(reason),
        };
        let left = timeout.saturating_sub(Duration::from_millis(clock.steady_ms().saturating_sub(began)));
        let late = || types::Outcome::MaybeSent(format!("no complete answer within {} ms", timeout.as_millis()));
        match &self.by {
            By::Program(sender) => tokio::select! {
                outcome = ask(sender, request, left) => outcome,
                () = clock.sleep(left) => late(),
            },
            #[cfg(feature = "http")]
            By::Client(client) => {
                let dialer = match client.dialer(&request).await {
                    Ok(dialer) => dialer,
                    Err(reason) => return types::Outcome::Unsent(reason),
                };
                let unused = dialer::unused_proxy(&self.policy, &request.url);
                tokio::select! {
                    outcome = client::exchange(&dialer, request) => client::with_a_hint(outcome, unused),
                    () = clock.sleep(left) => late(),
                }
            }
            By::Nobody => types::Outcome::Unsupported,
        }
    }

    /// One of the places for exchanges, where there are so many and no more; within the time that the exchange has.
    async fn place(&self, request: &Checked, clock: &dyn Clock) -> Result<Option<SemaphorePermit<'_>>, String> {
        let Some(exchanges) = self.exchanges.as_ref().filter(|_| request.way.is_none()) else { return Ok(None) };
        tokio::select! {
            // Nobody closes it.
            place = exchanges.acquire() => Ok(place.ok()),
            () = clock.sleep(request.timeout) => {
                let waited = request.timeout.as_millis();
                Err(format!("other exchanges of the pool took all places for {waited} ms"))
            }
        }
    }
}

/// Leaves the request to the program.
async fn ask(sender: &Sender, request: Checked, timeout: Duration) -> types::Outcome {
    let max_response_bytes = request.max_response_bytes;
    let request = match request.for_program(timeout) {
        Ok(request) => request,
        Err(error) => return types::Outcome::Unsent(error.to_string()),
    };
    match sender(request).await {
        Ok(response) => {
            let (head, body) = response.into_parts();
            let body = Zeroizing::new(body);
            if body.len() > max_response_bytes {
                return too_long(max_response_bytes);
            }
            response_of(&head, &body)
        }
        Err(SendError::Unsent(why)) => types::Outcome::Unsent(why),
        Err(SendError::MaybeSent(why)) => types::Outcome::MaybeSent(why),
    }
}

fn too_long(max_response_bytes: usize) -> types::Outcome {
    types::Outcome::MaybeSent(format!("the answer is longer than {max_response_bytes} bytes"))
}

fn response_of(head: &http::response::Parts, body: &[u8]) -> types::Outcome {
    types::Outcome::Response(types::Response {
        status: head.status.as_u16(),
        headers: passed_on(&head.headers),
        body: String::from_utf8_lossy(body).into_owned(),
    })
}

/// A request that the policy allows, and whose parts are what they claim to be.
struct Checked {
    method: http::Method,
    url: Url,
    /// The way of a source's request.
    way: Option<Way>,
    headers: HeaderMap,
    body: Secret,
    timeout: Duration,
    max_response_bytes: usize,
}

impl Checked {
    fn new(mut request: types::HttpRequest, policy: &Policy, grants: &Grants) -> Result<Self, String> {
        let body = Secret::from(std::mem::take(&mut request.body));
        let url = Url::parse(&request.url).map_err(|error| format!("the URL cannot be read: {error}"))?;
        if body.reveal().len() > limits::REQUEST_BYTES || request.headers.len() > limits::REQUEST_HEADERS {
            return Err("the request is too large".to_owned());
        }
        let method = http::Method::from_bytes(request.method.as_bytes()).map_err(|_| "the method is none".to_owned())?;
        let way = if let types::Purpose::Source(name) = &request.purpose {
            Some(check_source(name, &request, &url, policy, grants)?)
        } else {
            let origin = policy.check_origin(&request.origin)?;
            if !origin.contains(&url) {
                return Err(format!("the URL is not one of {}", origin.as_str()));
            }
            grants.check_exchange(&request.method, &request.url, &url)?;
            None
        };
        let mut headers = HeaderMap::new();
        for header in request.headers {
            let (name, value) = header_field(header)?;
            if way.is_none() {
                check_exchange_header(name.as_str(), value.to_str().unwrap_or_default())?;
            }
            headers.append(name, value);
        }
        Ok(Self {
            method,
            url,
            way,
            headers,
            body,
            timeout: Duration::from_millis(policy.clamp_request_ms(request.timeout_ms)),
            max_response_bytes: limits::RESPONSE_BYTES.min(request.max_response_bytes as usize),
        })
    }

    fn for_program(self, timeout: Duration) -> Result<SendRequest, http::Error> {
        let mut request = http::Request::builder().method(self.method).uri(self.url.as_str()).body(self.body)?;
        *request.headers_mut() = self.headers;
        let ca_file = self.way.and_then(|way| way.ca_file);
        Ok(SendRequest { request, timeout, max_response_bytes: self.max_response_bytes, ca_file })
    }
}

/// A request of a source is one that its recipe sends. What the configuration itself holds as a recipe goes to allowed origins
/// only: whoever writes a configuration shall not choose what this machine's network is asked.
fn check_source(name: &str, request: &types::HttpRequest, url: &Url, policy: &Policy, grants: &Grants) -> Result<Way, String> {
    policy.check_source_sends(name)?;
    if Url::parse(&request.origin).ok().is_none_or(|origin| origin.origin() != url.origin()) {
        return Err("the URL is not one of its origin".to_owned());
    }
    if wif_recipes::platform(name).is_none() {
        policy.check_origin(&url.origin().ascii_serialization())?;
    }
    let headers: Vec<&str> = request.headers.iter().map(|header| header.name.as_str()).collect();
    grants.check_source(name, &request.method, url, &headers, !request.body.is_empty())
}

/// A header field that is one by RFC 9110 section 5. The value is marked sensitive.
pub(crate) fn header_field(header: types::Header) -> Result<(HeaderName, HeaderValue), String> {
    let value = Zeroizing::new(header.value);
    let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| "a header's name is none".to_owned())?;
    if name.as_str() != header.name {
        return Err(format!("the header {name} is not in lower case"));
    }
    let visible = value.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')) && value.trim() == value.as_str();
    let parsed = HeaderValue::from_str(&value).ok().filter(|_| visible);
    let mut value = parsed.ok_or_else(|| format!("the value of the header {name} is no field value"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn passed_on(headers: &HeaderMap) -> Vec<types::Header> {
    let field = |name: &&str| {
        let value = headers.get(*name)?.to_str().ok()?;
        Some(types::Header { name: (*name).to_owned(), value: value.to_owned() })
    };
    wif_rules::PASSED_ON.iter().filter_map(field).collect()
}

/// What went wrong, from the outside to the cause. The errors of the transport name hosts and causes, and never hold a
/// header or a body.
pub(crate) fn words(error: &dyn std::error::Error) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "https://api.anthropic.com";

    fn checked(policy: &Policy, change: impl FnOnce(&mut types::HttpRequest)) -> Result<Checked, String> {
        let field = |name: &str, value: &str| types::Header { name: name.to_owned(), value: value.to_owned() };
        let mut request = types::HttpRequest {
            purpose: types::Purpose::Exchange,
            method: "POST".to_owned(),
            url: format!("{API}/v1/oauth/token"),
            origin: API.to_owned(),
            headers: vec![field("content-type", "application/json"), field("anthropic-beta", "a")],
            body: "{}".to_owned(),
            timeout_ms: 1_000,
            max_response_bytes: 1_000,
        };
        change(&mut request);
        Checked::new(request, policy, &Grants::new(&Secret::from(r#"{"federation": {"identity_token": {"source": "google"}}}"#)))
    }

    /// E8: nothing that a request carries is shown by whatever logs requests.
    #[test]
    fn every_header_field_of_a_request_is_marked_as_sensitive() {
        let request = checked(&Policy::default(), |_| {}).unwrap();
        assert_eq!(request.headers.len(), 2);
        assert!(request.headers.values().all(HeaderValue::is_sensitive));
    }

    /// F2, F12: what the component asks for ends at the policy's and the contract's bounds.
    #[test]
    fn a_request_has_no_more_time_and_no_longer_answer_than_any() {
        let policy = Policy::default().request_timeout(Duration::from_secs(5));
        let bounds = |timeout_ms, max_response_bytes| {
            let request = checked(&policy, |request| {
                (request.timeout_ms, request.max_response_bytes) = (timeout_ms, max_response_bytes);
            });
            request.map(|request| (request.timeout, request.max_response_bytes))
        };
        assert_eq!(bounds(3_000, 1_000), Ok((Duration::from_secs(3), 1_000)));
        assert_eq!(bounds(u32::MAX, u32::MAX), Ok((Duration::from_secs(5), limits::RESPONSE_BYTES)));
        assert_eq!(bounds(0, 0), Ok((Duration::from_millis(1), 0)));
    }

    /// F9: a name is written as it is compared, and a value is what every reader takes for it.
    #[test]
    fn a_header_field_is_what_it_is_for_every_reader() {
        for (name, value) in [("Accept", "a"), ("accept", " a"), ("accept", "a "), ("accept", "é"), ("accept", "a\u{7f}")] {
            let refused = checked(&Policy::default(), |request| {
                request.headers.push(types::Header { name: name.to_owned(), value: value.to_owned() });
            });
            assert!(refused.is_err(), "{name}: {value:?}");
        }
    }

    /// F9: a policy that allows no request allows a source none.
    #[test]
    fn a_source_of_a_policy_without_origins_sends_nothing() {
        let of_google = |request: &mut types::HttpRequest| {
            let origin = "http://metadata.google.internal";
            request.purpose = types::Purpose::Source("google".to_owned());
            request.method = "GET".to_owned();
            request.url =
                format!("{origin}/computeMetadata/v1/instance/service-accounts/default/identity?audience=a&format=full");
            request.origin = origin.to_owned();
            request.headers = vec![types::Header { name: "metadata-flavor".to_owned(), value: "Google".to_owned() }];
        };
        assert!(checked(&Policy::default(), of_google).is_ok());
        for refuses in [Policy::default().without_origins(), Policy::default().allow_source("aws")] {
            assert!(checked(&refuses, of_google).is_err(), "{refuses:?}");
        }
        let elsewhere = checked(&Policy::default(), |request| {
            of_google(request);
            request.origin = API.to_owned();
        });
        assert!(elsewhere.is_err());
    }
}
