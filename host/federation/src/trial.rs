//! Trying a rule out: what would become of an exchange, and why.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::federation::Federation;
use crate::reason::Reason;
use crate::report::Check;
use crate::request::{ExchangeRequest, GRANT_TYPE};

/// An exchange that is tried out and not made: nothing is spent, minted or recorded, and the sender is told everything.
///
/// The checks are those of the exchange itself, in its order. All of them are made that can be: what a token claims is
/// compared even if its signature is not good.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trial {
    /// The first failure, for which an exchange would be refused; `None` if it would be granted.
    pub refused: Option<Reason>,
    /// What was looked at. The token itself is nowhere in it.
    pub checks: Vec<Check>,
    /// The workspace of the access token that would be granted.
    pub workspace_id: Option<String>,
    /// Its scope.
    pub scope: Option<String>,
    /// Its lifetime, in seconds.
    pub lifetime_seconds: Option<u64>,
}

impl Trial {
    /// Tries an exchange out at this time. The members are those of a request; `grant_type` may be left out.
    ///
    /// # Errors
    ///
    /// The message for which the token endpoint would answer 400.
    pub async fn of(federation: &Federation, members: &Map<String, Value>, now: SystemTime) -> Result<Self, String> {
        let mut members = members.clone();
        members.insert("grant_type".to_owned(), GRANT_TYPE.into());
        let request = ExchangeRequest::of_members(&members).map_err(|malformed| malformed.0)?;
        let (checks, admission) = federation.try_out(&request, now).await;
        let refused = checks.iter().find_map(|check| check.failure);
        Ok(Self {
            refused,
            checks,
            workspace_id: admission.as_ref().and_then(|admission| admission.workspace_id.clone()),
            scope: admission.as_ref().map(|admission| admission.scope.clone()),
            lifetime_seconds: admission.as_ref().map(|admission| admission.lifetime_seconds),
        })
    }

    /// The form of the administration API.
    pub fn to_json(&self) -> Value {
        let checks: Vec<Value> = self.checks.iter().map(Check::to_json).collect();
        json!({
            "granted": self.refused.is_none(),
            "refused": self.refused.map(Reason::code),
            "workspace_id": self.workspace_id,
            "scope": self.scope,
            "expires_in": self.lifetime_seconds,
            "checks": checks,
        })
    }
}

impl Check {
    fn to_json(&self) -> Value {
        let mut members = Map::new();
        members.insert("check".to_owned(), self.name.as_str().into());
        members.insert("passed".to_owned(), self.failure.is_none().into());
        let optional = [
            ("reason", self.failure.map(|reason| reason.code().into())),
            ("expected", self.expected.clone()),
            ("found", self.found.clone()),
            ("detail", self.detail.as_deref().map(Value::from)),
        ];
        members.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        members.into()
    }
}
