//! An issuer's public keys: given, or fetched and cached as the real service caches them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio::sync::Mutex;

use crate::resources::{Issuer, Jwks};

/// Where keys come from that do not stand in the document of resources.
pub trait Keys: Send + Sync + 'static {
    /// The keys of this issuer as they are published now (RFC 7517 section 5), or why they cannot be had.
    fn fetch<'a>(&'a self, issuer: &'a Issuer) -> Pin<Box<dyn Future<Output = Result<Vec<Value>, String>> + Send + 'a>>;
}

/// The keys of one issuer.
pub(crate) struct KeySource {
    origin: Origin,
    cached: Mutex<Cached>,
}

/// What became of looking for a key.
pub(crate) enum Found {
    Key(Value),
    /// The issuer has keys, of these ids, and not that one.
    Unknown(Vec<String>),
    /// The keys could not be fetched, and why.
    Unavailable(String),
}

enum Origin {
    Inline(Vec<Value>),
    Fetched(Box<Issuer>, Arc<dyn Keys>),
}

#[derive(Default)]
struct Cached {
    keys: Option<Vec<Value>>,
    /// When the keys were fetched.
    fetched_at: Option<SystemTime>,
    /// When they were last tried to be.
    tried_at: Option<SystemTime>,
    failure: Option<String>,
}

/// A key that an issuer has just published may be unknown for so long: an unknown `kid` fetches the keys anew, but no more
/// often.
const AT_LEAST_BETWEEN_FETCHES: Duration = Duration::from_secs(60);

/// Keys are fetched anew after this, so that a withdrawn one goes out of use.
const KEPT: Duration = Duration::from_secs(15 * 60);

impl KeySource {
    pub(crate) fn new(issuer: &Issuer, keys: &Arc<dyn Keys>) -> Self {
        let origin = match &issuer.jwks {
            Jwks::Inline { keys } => Origin::Inline(keys.clone()),
            _ => Origin::Fetched(Box::new(issuer.clone()), Arc::clone(keys)),
        };
        Self { origin, cached: Mutex::default() }
    }

    /// The key of this id. Requests that come while the keys are fetched wait for them.
    pub(crate) async fn find(&self, kid: &str, now: SystemTime) -> Found {
        if let Origin::Inline(keys) = &self.origin {
            return find(keys, kid);
        }
        let mut cached = self.cached.lock().await;
        let is_old = cached.fetched_at.is_none_or(|at| age(at, now) >= KEPT);
        let is_unknown = cached.keys.as_ref().is_none_or(|keys| matches!(find(keys, kid), Found::Unknown(_)));
        let may_fetch = cached.tried_at.is_none_or(|at| age(at, now) >= AT_LEAST_BETWEEN_FETCHES);
        if (is_old || is_unknown) && may_fetch {
            let fetched = self.fetch().await;
            // Not before: whoever goes away while the keys are fetched has not tried for the others.
            cached.tried_at = Some(now);
            match fetched {
                Ok(keys) => {
                    cached.keys = Some(keys);
                    cached.fetched_at = Some(now);
                    cached.failure = None;
                }
                Err(failure) => cached.failure = Some(failure),
            }
        }
        let found = cached.keys.as_ref().map(|keys| find(keys, kid));
        match (found, &cached.failure) {
            (Some(Found::Key(key)), _) => Found::Key(key),
            (_, Some(failure)) => Found::Unavailable(failure.clone()),
            (Some(found), None) => found,
            (None, None) => Found::Unavailable("the keys were not fetched yet".to_owned()),
        }
    }

    /// Forgets what was fetched, and that it was.
    pub(crate) async fn forget(&self) {
        *self.cached.lock().await = Cached::default();
    }

    async fn fetch(&self) -> Result<Vec<Value>, String> {
        match &self.origin {
            Origin::Inline(keys) => Ok(keys.clone()),
            Origin::Fetched(issuer, keys) => keys.fetch(issuer).await,
        }
    }
}

fn find(keys: &[Value], kid: &str) -> Found {
    let id = |key: &Value| key["kid"].as_str().map(str::to_owned);
    match keys.iter().find(|key| key["kid"] == kid && key["use"] != "enc") {
        Some(key) => Found::Key(key.clone()),
        None => Found::Unknown(keys.iter().filter_map(id).collect()),
    }
}

/// A clock that went back makes what was fetched old, for its age cannot be told.
fn age(at: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(at).unwrap_or(Duration::MAX)
}
