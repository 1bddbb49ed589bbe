//! The form of an exchange request. Everything here is answered with 400 and a message.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{GRANT_TYPE, Malformed};
use crate::options::{RULE_PREFIX, SERVICE_ACCOUNT_PREFIX, is_tagged, is_workspace};
use crate::random;

/// A well-formed exchange request. Members that it does not know are ignored, as the real service does.
pub(super) struct ExchangeRequest {
    pub(super) assertion: Zeroizing<String>,
    pub(super) federation_rule_id: String,
    pub(super) organization_id: String,
    pub(super) service_account_id: Option<String>,
    pub(super) workspace_id: Option<String>,
}

impl ExchangeRequest {
    pub(super) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
            return Err(Malformed::new("The request body is not a JSON object"));
        };
        Self::of_members(&members)
    }

    pub(super) fn of_members(members: &Map<String, Value>) -> Result<Self, Malformed> {
        if required(members, "grant_type")? != GRANT_TYPE {
            return Err(Malformed::new(format!("grant_type: must be `{GRANT_TYPE}`")));
        }
        let assertion = Zeroizing::new(required(members, "assertion")?);
        let federation_rule_id = required(members, "federation_rule_id")?;
        let organization_id = required(members, "organization_id")?;
        let service_account_id = optional(members, "service_account_id")?;
        let workspace_id = optional(members, "workspace_id")?;

        if !is_tagged(RULE_PREFIX, &federation_rule_id) {
            return Err(Malformed::new("federation_rule_id is not a well-formed fdrl_ tagged ID"));
        }
        if !random::is_uuid(&organization_id) {
            return Err(Malformed::new("organization_id: must be a UUID"));
        }
        if let Some(id) = &service_account_id {
            if !id.starts_with(SERVICE_ACCOUNT_PREFIX) {
                return Err(Malformed::new("service_account_id: does not have prefix `svac_`"));
            }
            if !is_tagged(SERVICE_ACCOUNT_PREFIX, id) {
                return Err(Malformed::new("service_account_id is not a well-formed svac_ tagged ID"));
            }
        }
        if workspace_id.as_deref().is_some_and(|id| !is_workspace(id)) {
            return Err(Malformed::new("workspace_id: must be a wrkspc_ tagged ID or `default`"));
        }
        Ok(Self { assertion, federation_rule_id, organization_id, service_account_id, workspace_id })
    }
}

fn required(members: &Map<String, Value>, name: &str) -> Result<String, Malformed> {
    match optional(members, name)? {
        Some(value) if !value.is_empty() => Ok(value),
        Some(_) => Err(Malformed::new(format!("{name}: must not be empty"))),
        None => Err(Malformed::new(format!("{name}: Field required"))),
    }
}

/// A member that is `null` counts as absent.
fn optional(members: &Map<String, Value>, name: &str) -> Result<Option<String>, Malformed> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(value)) => Ok(Some(value.clone())),
        Some(_) => Err(Malformed::new(format!("{name}: Input should be a valid string"))),
    }
}
