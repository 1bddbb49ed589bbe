//! The logins of people: the codes and refresh tokens that are good, and what the grants `authorization_code` and `refresh_token` come
//! to. A refresh token can be used once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use wif_federation::{Admission, Reason};
use zeroize::Zeroizing;

use crate::emulator::Services;
use crate::history::{Kind, Outcome, Record};
use crate::random;
use crate::token_id::{TokenId, digest};

/// A code is good for so long.
const CODE_LIFETIME: Duration = Duration::from_secs(600);

/// What a person may do.
pub(crate) const SCOPE: &str = "workspace:developer";

/// The codes and refresh tokens that are good.
#[derive(Default)]
pub(crate) struct Logins(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// By digest, and until when.
    codes: HashMap<[u8; 32], (Code, SystemTime)>,
    /// By digest, the application that each was issued to.
    refresh_tokens: HashMap<[u8; 32], String>,
}

/// What a code was issued for.
#[derive(PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) client_id: String,
    pub(crate) redirect_uri: String,
    /// The SHA-256 of the verifier, in base64url (RFC 7636 section 4.2).
    pub(crate) challenge: String,
}

/// What a grant of a login brings.
pub(crate) struct Redemption {
    pub(crate) access_token: Zeroizing<String>,
    pub(crate) refresh_token: String,
    pub(crate) lifetime_seconds: u64,
    pub(crate) organization_id: String,
}

/// What a grant of a login comes to; none, if the body is something else. The error is for the one who asks.
pub(crate) fn grant(state: &Services, request_id: &str, body: &[u8]) -> Option<Result<Redemption, &'static str>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let member = |name: &str| body[name].as_str().unwrap_or_default();
    let now = state.clocks.service();
    let granted = match member("grant_type") {
        "authorization_code" => {
            let shown = Code {
                client_id: member("client_id").to_owned(),
                redirect_uri: member("redirect_uri").to_owned(),
                challenge: URL_SAFE_NO_PAD.encode(Sha256::digest(member("code_verifier"))),
            };
            state.logins.redeem(member("code"), &shown, now)
        }
        "refresh_token" => state.logins.refresh(member("refresh_token"), member("client_id")),
        _ => return None,
    };
    let record = |outcome| Record::new(now, request_id, Kind::Exchange, outcome);
    Some(match granted {
        Ok(refresh_token) => {
            let admission = Admission {
                jti: None,
                organization_id: state.federation().an_organization(),
                workspace_id: None,
                scope: SCOPE.to_owned(),
                lifetime_seconds: state.login_lifetime_seconds,
            };
            let access_token = state.access_tokens.mint(&admission, now);
            state.history.record(Record {
                access_token_id: Some(TokenId::of(&access_token)),
                lifetime_seconds: Some(admission.lifetime_seconds),
                ..record(Outcome::Granted)
            });
            let Admission { lifetime_seconds, organization_id, .. } = admission;
            Ok(Redemption { access_token, refresh_token, lifetime_seconds, organization_id })
        }
        Err(what) => {
            state.history.record(Record {
                reason: Some(Reason::RequestMalformed),
                detail: Some(what.to_owned()),
                ..record(Outcome::Denied)
            });
            Err(what)
        }
    })
}

impl Logins {
    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A code for what a person has allowed.
    pub(crate) fn allow(&self, to: Code, now: SystemTime) -> String {
        let code = random::url_safe(24).to_string();
        self.lock().codes.insert(digest(&code), (to, now + CODE_LIFETIME));
        code
    }

    fn redeem(&self, code: &str, shown: &Code, now: SystemTime) -> Result<String, &'static str> {
        let mut known = self.lock();
        let (kept, _) = known.codes.remove(&digest(code)).filter(|(_, until)| now < *until).ok_or("the code is not good")?;
        if kept != *shown {
            return Err("the code was issued for something else");
        }
        Ok(known.issue(&kept.client_id))
    }

    fn refresh(&self, refresh_token: &str, client_id: &str) -> Result<String, &'static str> {
        let mut known = self.lock();
        let of = known.refresh_tokens.remove(&digest(refresh_token)).ok_or("the refresh token is not good")?;
        if of != client_id {
            return Err("the refresh token was issued to another application");
        }
        Ok(known.issue(client_id))
    }
}

impl Known {
    fn issue(&mut self, client_id: &str) -> String {
        let token = format!("sk-ant-ort01-{}", *random::url_safe(48));
        self.refresh_tokens.insert(digest(&token), client_id.to_owned());
        token
    }
}
