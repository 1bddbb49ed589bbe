//! The form of an exchange request.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::ids::{RULE_PREFIX, SERVICE_ACCOUNT_PREFIX, is_tagged, is_uuid, is_workspace};

/// The one `grant_type` that the endpoint takes (RFC 7523 section 2.1).
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A request that does not have its form: the message that its sender is told, with 400. It never repeats what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(pub String);

/// A well-formed exchange request. Members that it does not know are ignored, as the real service does.
pub struct ExchangeRequest {
    /// The identity token.
    pub assertion: Zeroizing<String>,
    /// `fdrl_…`.
    pub federation_rule_id: String,
    /// A UUID.
    pub organization_id: String,
    /// `svac_…`, if it was named.
    pub service_account_id: Option<String>,
    /// `wrkspc_…` or `default`, if it was named.
    pub workspace_id: Option<String>,
}

impl ExchangeRequest {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// With what the sender is told.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return Err(Malformed::of("The request body is not a JSON object"));
        };
        Self::of_members(&members)
    }

    /// Reads the members of a body.
    ///
    /// # Errors
    ///
    /// With what the sender is told.
    pub fn of_members(members: &Map<String, Value>) -> Result<Self, Malformed> {
        if required(members, "grant_type")? != GRANT_TYPE {
            return Err(Malformed::of(format!("grant_type: must be `{GRANT_TYPE}`")));
        }
        let assertion = Zeroizing::new(required(members, "assertion")?);
        let federation_rule_id = required(members, "federation_rule_id")?;
        let organization_id = required(members, "organization_id")?;
        let service_account_id = optional(members, "service_account_id")?;
        let workspace_id = optional(members, "workspace_id")?;

        if !is_tagged(RULE_PREFIX, &federation_rule_id) {
            return Err(Malformed::of("federation_rule_id is not a well-formed fdrl_ tagged ID"));
        }
        if !is_uuid(&organization_id) {
            return Err(Malformed::of("organization_id: must be a UUID"));
        }
        if let Some(id) = &service_account_id {
            if !id.starts_with(SERVICE_ACCOUNT_PREFIX) {
                return Err(Malformed::of("service_account_id: does not have prefix `svac_`"));
            }
            if !is_tagged(SERVICE_ACCOUNT_PREFIX, id) {
                return Err(Malformed::of("service_account_id is not a well-formed svac_ tagged ID"));
            }
        }
        if workspace_id.as_deref().is_some_and(|id| !is_workspace(id)) {
            return Err(Malformed::of("workspace_id: must be a wrkspc_ tagged ID or `default`"));
        }
        Ok(Self { assertion, federation_rule_id, organization_id, service_account_id, workspace_id })
    }
}

impl Malformed {
    fn of(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

fn required(members: &Map<String, Value>, name: &str) -> Result<String, Malformed> {
    match optional(members, name)? {
        Some(value) if !value.is_empty() => Ok(value),
        Some(_) => Err(Malformed::of(format!("{name}: must not be empty"))),
        None => Err(Malformed::of(format!("{name}: Field required"))),
    }
}

/// A member that is `null` counts as absent.
fn optional(members: &Map<String, Value>, name: &str) -> Result<Option<String>, Malformed> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) => Ok(Some(value.clone())),
        Some(_) => Err(Malformed::of(format!("{name}: Input should be a valid string"))),
    }
}
