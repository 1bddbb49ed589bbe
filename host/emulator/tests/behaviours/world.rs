//! An emulator, a clock that only the test moves, and a client.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::header::HeaderMap;
use serde_json::{Map, Value, json};
use wif_emulator::{Emulator, Entry, GRANT_TYPE, IdentityProvider, IdentityToken, Options, Reason, TokenBuilder};

pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) client: reqwest::Client,
    pub(crate) clock: Hand,
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(crate) struct Hand(Arc<AtomicU64>);

pub(crate) struct Received {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let clock = Hand(Arc::new(AtomicU64::new(1_795_258_447)));
        let read = clock.clone();
        let options = Options { clock: Arc::new(move || read.now()), ..options };
        let emulator = Emulator::start(options).await.expect("the options are good");
        Self { emulator, client: client(), clock }
    }

    pub(crate) fn provider(&self) -> &IdentityProvider {
        self.emulator.identity_provider()
    }

    pub(crate) fn token(&self) -> TokenBuilder<'_> {
        self.provider().token()
    }

    /// A token that was issued so many seconds ago and has so many left.
    pub(crate) fn token_with(&self, age: u64, remaining: u64) -> IdentityToken {
        let issued = self.clock.now() - Duration::from_secs(age);
        self.token().valid(issued, age + remaining).sign()
    }

    /// The body of a good request, to be changed.
    pub(crate) fn request(&self, assertion: &str) -> Map<String, Value> {
        let options = self.emulator.options();
        let Value::Object(members) = json!({
            "grant_type": GRANT_TYPE,
            "assertion": assertion,
            "federation_rule_id": options.federation_rule_id,
            "organization_id": options.organization_id,
            "service_account_id": options.service_account_id,
        }) else {
            unreachable!("it is an object")
        };
        members
    }

    pub(crate) async fn exchange(&self, token: &IdentityToken) -> Received {
        self.exchange_text(token.expose()).await
    }

    pub(crate) async fn exchange_text(&self, assertion: &str) -> Received {
        self.post_exchange(&self.request(assertion)).await
    }

    pub(crate) async fn post_exchange(&self, members: &Map<String, Value>) -> Received {
        self.post_raw(serde_json::to_vec(members).unwrap()).await
    }

    pub(crate) async fn post_raw(&self, body: impl Into<reqwest::Body>) -> Received {
        self.try_post_raw(body).await.expect("the emulator answers")
    }

    pub(crate) async fn try_exchange(&self, token: &IdentityToken) -> reqwest::Result<Received> {
        self.try_post_raw(serde_json::to_vec(&self.request(token.expose())).unwrap()).await
    }

    async fn try_post_raw(&self, body: impl Into<reqwest::Body>) -> reqwest::Result<Received> {
        let request = self.client.post(self.url("/v1/oauth/token")).header("content-type", "application/json").body(body);
        Received::of(request.send().await?).await
    }

    /// An access token, for tests about what comes after.
    pub(crate) async fn access_token(&self) -> String {
        self.exchange(&self.provider().mint()).await.access_token()
    }

    pub(crate) async fn message(&self, bearer: &str) -> Received {
        let request = self.message_request().bearer_auth(bearer).header("anthropic-version", "2023-06-01");
        Received::of(request.send().await.unwrap()).await.unwrap()
    }

    pub(crate) fn message_request(&self) -> reqwest::RequestBuilder {
        self.client.post(self.url("/v1/messages")).body(message_body(false).to_string())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.emulator.base_url())
    }

    pub(crate) fn last(&self) -> Entry {
        self.emulator.history().pop().expect("something happened")
    }

    /// The denial that its sender sees, and the reason that the history has.
    pub(crate) async fn denied(&self, assertion: &str) -> Reason {
        let answer = self.exchange_text(assertion).await;
        answer.assert_opaque_denial();
        self.last().reason.expect("a denial has a reason")
    }
}

impl Hand {
    pub(crate) fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::SeqCst))
    }

    pub(crate) fn forward(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Received {
    pub(crate) async fn of(response: reqwest::Response) -> reqwest::Result<Self> {
        Ok(Self { status: response.status().as_u16(), headers: response.headers().clone(), text: response.text().await? })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("JSON, not {:?}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn access_token(&self) -> String {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["access_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn expires_in(&self) -> u64 {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()["expires_in"].as_u64().unwrap()
    }

    #[track_caller]
    pub(crate) fn assert_opaque_denial(&self) {
        assert_eq!(self.status, 401, "{}", self.text);
        let request_id = self.header("request-id").expect("a request id");
        assert_eq!(
            self.json(),
            json!({
                "type": "error",
                "error": { "type": "authentication_error", "message": "Authentication failed" },
                "request_id": request_id,
            })
        );
    }
}

pub(crate) fn message_body(stream: bool) -> Value {
    json!({
        "model": "claude-test",
        "max_tokens": 100,
        "messages": [{ "role": "user", "content": "hello" }],
        "stream": stream,
    })
}

fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::ring::default_provider().install_default().expect("nothing else installs one");
    });
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}
