//! The access tokens that were minted. The tokens themselves are not kept: a digest recognises them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::random;
use crate::token_id::{TokenId, digest};
use wif_federation::Admission;

/// Every access token that was minted and that the API still tells apart from an unknown one.
#[derive(Default)]
pub(crate) struct AccessTokens {
    issued: Mutex<Issued>,
}

/// What the API knows about a bearer token.
pub(crate) enum Standing {
    Good(Holder),
    Unknown,
    Expired,
    Revoked,
}

/// Whom a token stands for, and what it is good for.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) organization_id: String,
    pub(crate) workspace_id: Option<String>,
    pub(crate) scope: String,
}

#[derive(Default)]
struct Issued {
    by_digest: HashMap<[u8; 32], Grant>,
    sweep_at: usize,
}

struct Grant {
    id: TokenId,
    holder: Holder,
    expires_at: SystemTime,
    revoked: bool,
}

impl AccessTokens {
    /// Mints a token that lives from `now`.
    pub(super) fn mint(&self, admission: &Admission, now: SystemTime) -> Zeroizing<String> {
        let token = Zeroizing::new(format!("{PREFIX}{}", *random::url_safe(RANDOM_BYTES)));
        let grant = Grant {
            id: TokenId::of(&token),
            holder: Holder {
                organization_id: admission.organization_id.clone(),
                workspace_id: admission.workspace_id.clone(),
                scope: admission.scope.clone(),
            },
            expires_at: now + Duration::from_secs(admission.lifetime_seconds),
            revoked: false,
        };
        let mut issued = self.lock();
        issued.sweep(now);
        issued.by_digest.insert(digest(&token), grant);
        token
    }

    pub(crate) fn standing(&self, token: &str, now: SystemTime) -> Standing {
        match self.lock().by_digest.get(&digest(token)) {
            None => Standing::Unknown,
            Some(grant) if grant.revoked => Standing::Revoked,
            Some(grant) if grant.expires_at <= now => Standing::Expired,
            Some(grant) => Standing::Good(grant.holder.clone()),
        }
    }

    pub(crate) fn revoke(&self, token: &str) -> bool {
        match self.lock().by_digest.get_mut(&digest(token)) {
            Some(grant) => {
                grant.revoked = true;
                true
            }
            None => false,
        }
    }

    pub(crate) fn revoke_id(&self, id: &TokenId) -> usize {
        self.lock().revoke_where(|grant| grant.id == *id)
    }

    pub(crate) fn revoke_all(&self, now: SystemTime) -> usize {
        self.lock().revoke_where(|grant| !grant.revoked && grant.expires_at > now)
    }

    fn lock(&self) -> MutexGuard<'_, Issued> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Issued {
    fn revoke_where(&mut self, mut chosen: impl FnMut(&Grant) -> bool) -> usize {
        let mut count = 0;
        for grant in self.by_digest.values_mut().filter(|grant| chosen(grant)) {
            grant.revoked = true;
            count += 1;
        }
        count
    }

    /// Forgets tokens that are long over, at each doubling, so that the cost of a request stays constant.
    fn sweep(&mut self, now: SystemTime) {
        if self.by_digest.len() >= self.sweep_at {
            self.by_digest.retain(|_, grant| grant.expires_at + REMEMBERED_AFTER_EXPIRY > now);
            self.sweep_at = (self.by_digest.len() * 2).max(1024);
        }
    }
}

const PREFIX: &str = "sk-ant-oat01-";

/// 88 characters of base64url.
const RANDOM_BYTES: usize = 66;

/// For so long the history says `token_expired` of a token, and then `token_unknown`.
const REMEMBERED_AFTER_EXPIRY: Duration = Duration::from_secs(3600);
