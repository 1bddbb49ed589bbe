//! What each route does. Bodies are JSON, whatever their content type says; unknown members are errors.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::http::api::presented;
use wif_federation::{Algorithm, Resources, Trial, unix_seconds};

use crate::clock::Clock as _;
use crate::emulator::Services;
use crate::faults::{ApiFault, Fault, Faults};
use crate::history::{Kind, Outcome, Record};
use crate::http::envelope::{ApiError, RequestId};
use crate::switches::Switches;
use crate::token_id::TokenId;

type Shared = State<Arc<Services>>;

/// An answer, or the message of a 400.
type Replied = Result<Json<Value>, Refused>;

/// A request that was not understood.
pub(super) struct Refused {
    message: String,
    request_id: RequestId,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        ApiError::new(StatusCode::BAD_REQUEST, self.message, &self.request_id).into_response()
    }
}

impl Refused {
    fn new(message: impl ToString, request_id: &RequestId) -> Self {
        Self { message: message.to_string(), request_id: request_id.clone() }
    }
}

/// An empty body stands for an object without members.
fn read<T: DeserializeOwned>(body: &Bytes, request_id: &RequestId) -> Result<T, Refused> {
    let body = if body.is_empty() { b"{}".as_slice() } else { body };
    serde_json::from_slice(body).map_err(|error| Refused::new(error, request_id))
}

pub(super) async fn index() -> Json<Value> {
    Json(json!({ "routes": ROUTES.iter().map(|(route, what)| json!({ "route": route, "does": what })).collect::<Vec<_>>() }))
}

pub(super) async fn state(State(state): Shared) -> Json<Value> {
    let counts = state.history.counts();
    let provider = &state.identity_provider;
    let seconds = |time| unix_seconds(time);
    Json(json!({
        "base_url": state.base_url,
        "issuer": provider.issuer(),
        "key_id": provider.key_id(),
        "world_seconds": seconds(state.clocks.now()),
        "service_seconds": seconds(state.clocks.service()),
        "counts": {
            "exchanges": counts.exchanges,
            "exchanges_granted": counts.exchanges_granted,
            "exchanges_refused": counts.exchanges_refused,
            "messages": counts.messages,
            "messages_granted": counts.messages_granted,
        },
    }))
}

pub(super) async fn switches(State(state): Shared) -> Json<Value> {
    Json(serde_json::to_value(state.switches.get()).unwrap_or_default())
}

pub(super) async fn set_switches(State(state): Shared, Extension(id): Extension<RequestId>, body: Bytes) -> Replied {
    state.set_switches(read::<Switches>(&body, &id)?).map_err(|error| Refused::new(error, &id))?;
    Ok(switches(State(state)).await)
}

/// What `PUT /faults` takes: what is left out is cleared.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllFaults {
    #[serde(default)]
    exchange: Script,
    #[serde(default)]
    api: Script,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Script {
    #[serde(default)]
    next: Vec<Value>,
    outage: Option<Value>,
}

/// What `POST /faults` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFault {
    endpoint: Endpoint,
    fault: Value,
    #[serde(default = "once")]
    times: usize,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Endpoint {
    Exchange,
    Api,
}

fn once() -> usize {
    1
}

/// A script longer than this is an outage.
const MOST_TIMES: usize = 10_000;

pub(super) async fn faults(State(state): Shared) -> Json<Value> {
    fn shown<F: Clone>(faults: &Faults<F>, show: impl Fn(&F) -> Value) -> Value {
        let (next, outage) = faults.pending();
        json!({ "next": next.iter().map(&show).collect::<Vec<_>>(), "outage": outage.as_ref().map(&show) })
    }
    Json(json!({
        "exchange": shown(&state.faults, Fault::to_json),
        "api": shown(&state.api_faults, ApiFault::to_json),
    }))
}

pub(super) async fn set_faults(State(state): Shared, Extension(id): Extension<RequestId>, body: Bytes) -> Replied {
    let all: AllFaults = read(&body, &id)?;
    let refused = |error| Refused::new(error, &id);
    // All of them are read before one is set.
    let exchange: Vec<Fault> = all.exchange.next.iter().map(Fault::from_json).collect::<Result<_, _>>().map_err(refused)?;
    let api: Vec<ApiFault> = all.api.next.iter().map(ApiFault::from_json).collect::<Result<_, _>>().map_err(refused)?;
    let exchange_outage = all.exchange.outage.as_ref().map(Fault::from_json).transpose().map_err(refused)?;
    let api_outage = all.api.outage.as_ref().map(ApiFault::from_json).transpose().map_err(refused)?;
    state.faults.set_script(exchange);
    state.faults.set_outage(exchange_outage);
    state.api_faults.set_script(api);
    state.api_faults.set_outage(api_outage);
    Ok(faults(State(state)).await)
}

pub(super) async fn add_fault(State(state): Shared, Extension(id): Extension<RequestId>, body: Bytes) -> Replied {
    let new: NewFault = read(&body, &id)?;
    if !(1..=MOST_TIMES).contains(&new.times) {
        return Err(Refused::new(format!("times: {} is not between 1 and {MOST_TIMES}", new.times), &id));
    }
    match new.endpoint {
        Endpoint::Exchange => {
            let fault = Fault::from_json(&new.fault).map_err(|error| Refused::new(error, &id))?;
            (0..new.times).for_each(|_| state.faults.inject(fault.clone()));
        }
        Endpoint::Api => {
            let fault = ApiFault::from_json(&new.fault).map_err(|error| Refused::new(error, &id))?;
            (0..new.times).for_each(|_| state.api_faults.inject(fault.clone()));
        }
    }
    Ok(faults(State(state)).await)
}

pub(super) async fn clear_faults(State(state): Shared) -> Json<Value> {
    state.faults.set_script(Vec::new());
    state.faults.set_outage(None);
    state.api_faults.set_script(Vec::new());
    state.api_faults.set_outage(None);
    faults(State(state)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    #[serde(default)]
    since: u64,
}

pub(super) async fn history(State(state): Shared, Query(from): Query<Since>) -> Json<Value> {
    let entries: Vec<Value> = state.history.since(from.since).iter().map(|entry| entry.to_json()).collect();
    Json(json!({ "next": *state.history.subscribe().borrow(), "entries": entries }))
}

pub(super) async fn resources(State(state): Shared) -> Json<Value> {
    Json(serde_json::to_value(state.federation().resources()).unwrap_or_default())
}

pub(super) async fn set_resources(State(state): Shared, Extension(id): Extension<RequestId>, body: Bytes) -> Replied {
    let document = std::str::from_utf8(&body).map_err(|error| Refused::new(error, &id))?;
    let read = Resources::read(document).and_then(|resources| state.set_resources(resources));
    read.map_err(|error| Refused::new(error, &id))?;
    Ok(resources(State(state)).await)
}

pub(super) async fn try_out(State(state): Shared, Extension(id): Extension<RequestId>, body: Bytes) -> Replied {
    let exchange: Map<String, Value> = read(&body, &id)?;
    let trial =
        Trial::of(&state.federation(), &exchange, state.clocks.service()).await.map_err(|message| Refused::new(message, &id))?;
    Ok(Json(trial.to_json()))
}

/// What `POST /identity-tokens` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mint {
    federation_rule_id: Option<String>,
    #[serde(default)]
    claims: Map<String, Value>,
    #[serde(default)]
    without_claims: Vec<String>,
    lifetime_seconds: Option<u64>,
    key_id: Option<String>,
}

pub(super) async fn mint(State(state): Shared, Extension(id): Extension<RequestId>, body: Bytes) -> Replied {
    let mint: Mint = read(&body, &id)?;
    let mut token = match &mint.federation_rule_id {
        Some(rule) => state.token_for(rule).ok_or_else(|| Refused::new("federation_rule_id: there is no such rule", &id))?,
        None => state.identity_provider.token(),
    };
    if let Some(seconds) = mint.lifetime_seconds {
        token = token.lifetime(seconds);
    }
    for (name, value) in mint.claims {
        token = token.claim(&name, value);
    }
    for name in &mint.without_claims {
        token = token.without_claim(name);
    }
    if let Some(key_id) = mint.key_id {
        token = token.key_id(key_id);
    }
    let claims = Value::Object(token.claims().clone());
    let token = token.sign();
    Ok(Json(json!({ "identity_token": token.expose(), "id": token.id().as_str(), "claims": claims })))
}

#[cfg(unix)]
pub(super) async fn rotate_files(State(state): Shared, Extension(id): Extension<RequestId>) -> Replied {
    let rotated = state.identity_provider.rotate_files().map_err(|error| Refused::new(error, &id))?;
    Ok(Json(json!({ "rotated": rotated })))
}

#[cfg(not(unix))]
pub(super) async fn rotate_files(Extension(id): Extension<RequestId>) -> Replied {
    Err(Refused::new("identity tokens are published in files on Unix only", &id))
}

/// What `POST /revoke` takes: one of the two.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    access_token_id: Option<String>,
    #[serde(default)]
    all: bool,
}

pub(super) async fn revoke(State(state): Shared, Extension(id): Extension<RequestId>, body: Bytes) -> Replied {
    let revoke: Revoke = read(&body, &id)?;
    let revoked = match (&revoke.access_token_id, revoke.all) {
        (Some(token_id), false) => state.access_tokens.revoke_id(
            &TokenId::parse(token_id)
                .ok_or_else(|| Refused::new("access_token_id: must be the 16 hexadecimal digits that the history has", &id))?,
        ),
        (None, true) => state.access_tokens.revoke_all(state.clocks.service()),
        _ => return Err(Refused::new("either access_token_id or all: true", &id)),
    };
    Ok(Json(json!({ "revoked": revoked })))
}

/// What the routes of keys take.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    algorithm: Option<Algorithm>,
}

pub(super) async fn keys(State(state): Shared) -> Json<Value> {
    let provider = &state.identity_provider;
    Json(json!({ "signing": provider.key_id(), "published": provider.public_keys() }))
}

pub(super) async fn publish_key(State(state): Shared, Extension(id): Extension<RequestId>, body: Bytes) -> Replied {
    new_key(state, id, body, |state, algorithm| state.identity_provider.publish_next_key(algorithm)).await
}

pub(super) async fn rotate_key(State(state): Shared, Extension(id): Extension<RequestId>, body: Bytes) -> Replied {
    new_key(state, id, body, |state, algorithm| state.identity_provider.rotate_key(algorithm)).await
}

async fn new_key(
    state: Arc<Services>,
    id: RequestId,
    body: Bytes,
    make: impl FnOnce(&Services, Algorithm) -> Result<String, crate::identity::KeyError> + Send + 'static,
) -> Replied {
    let new: NewKey = read(&body, &id)?;
    let algorithm = new.algorithm.unwrap_or_else(|| state.identity_provider.signing_algorithm());
    let shared = state.clone();
    // A key of RS or PS takes seconds of computation.
    let made = tokio::task::spawn_blocking(move || make(&shared, algorithm)).await;
    made.map_err(|error| Refused::new(error, &id))?.map_err(|error| Refused::new(error, &id))?;
    Ok(keys(State(state)).await)
}

pub(super) async fn withdraw_keys(State(state): Shared) -> Json<Value> {
    state.identity_provider.withdraw_old_keys();
    keys(State(state)).await
}

pub(super) async fn forget_keys(State(state): Shared) -> Json<Value> {
    state.federation().forget_keys().await;
    Json(json!({}))
}

/// What `POST /clock/advance` takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: u32,
}

pub(super) async fn advance(State(shared): Shared, Extension(id): Extension<RequestId>, body: Bytes) -> Replied {
    let advance: Advance = read(&body, &id)?;
    let advanced = shared.clocks.advance(Duration::from_secs(advance.seconds.into()));
    advanced.map_err(|error| Refused::new(error, &id))?;
    Ok(state(State(shared)).await)
}

/// Whoever comes here has followed a redirect. The tokens that it brought are named, and not kept. A body that cannot be read,
/// or is too large, hides the identity token and not that somebody came.
pub(super) async fn followed(
    State(state): Shared,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = body.ok().and_then(|body| serde_json::from_slice::<Value>(&body).ok());
    let assertion = body.and_then(|body| body["assertion"].as_str().map(TokenId::of));
    state.history.record(Record {
        assertion_id: assertion,
        access_token_id: presented(&headers),
        ..Record::new(state.clocks.service(), &id.0, Kind::FollowedRedirect, Outcome::Denied)
    });
    ApiError::new(StatusCode::FORBIDDEN, "This redirect should not have been followed", &id).into_response()
}

const ROUTES: [(&str, &str); 20] = [
    ("GET /state", "addresses, clocks and counts"),
    ("GET /switches", "the settings in force"),
    ("PUT /switches", "sets all of them: error_shape, clock_skew_seconds, exchange_betas, api_betas, jwks_down"),
    ("GET /faults", "the faults to come, and the outages"),
    ("PUT /faults", "sets all of them: {\"exchange\": {\"next\": [fault], \"outage\": fault}, \"api\": {…}}"),
    ("POST /faults", "adds one: {\"endpoint\": \"exchange\" or \"api\", \"fault\": fault, \"times\": 1}"),
    ("DELETE /faults", "takes all of them back"),
    ("GET /history?since=N", "what happened, and why; from the entry of this number on"),
    ("GET /resources", "organizations, issuers and rules"),
    ("PUT /resources", "replaces them"),
    ("POST /try", "tries an exchange out, and tells which check fails: {\"assertion\", \"federation_rule_id\", …}"),
    (
        "POST /identity-tokens",
        "mints one: {\"federation_rule_id\", \"claims\", \"without_claims\", \"lifetime_seconds\", \"key_id\"}",
    ),
    ("POST /token-file/rotate", "rotates the published identity token"),
    ("POST /revoke", "ends access tokens early: {\"access_token_id\"} or {\"all\": true}"),
    ("GET /keys", "the identity provider's keys"),
    ("POST /keys/publish", "publishes the key of the next rotation: {\"algorithm\"}"),
    ("POST /keys/rotate", "signs with another key from now on: {\"algorithm\"}"),
    ("POST /keys/withdraw", "publishes only the key that signs"),
    ("POST /keys/forget", "makes the service fetch the issuers' keys anew"),
    ("POST /clock/advance", "puts the clocks forward: {\"seconds\"}"),
];
