//! The forms of ids.

use uuid::Uuid;

/// How the id of a federation rule begins.
pub const RULE_PREFIX: &str = "fdrl_";
/// How the id of a service account begins.
pub const SERVICE_ACCOUNT_PREFIX: &str = "svac_";
/// How the id of a workspace begins.
pub const WORKSPACE_PREFIX: &str = "wrkspc_";

/// Whether `id` is `prefix` and then letters or digits.
pub fn is_tagged(prefix: &str, id: &str) -> bool {
    id.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Whether `id` names a workspace, or is the literal that stands for the organization's default one.
pub fn is_workspace(id: &str) -> bool {
    id == "default" || is_tagged(WORKSPACE_PREFIX, id)
}

/// Whether `text` is a UUID in the hyphenated form and no other.
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}
