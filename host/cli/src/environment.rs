//! The variables that decide which credential a program takes: their names, and whether one is set.
//!
//! Everything in this command that knows one takes it from here. A test compares them with `wit/authority.json`.

use std::ffi::OsString;

pub(crate) const API_KEY: &str = "ANTHROPIC_API_KEY";
pub(crate) const AUTH_TOKEN: &str = "ANTHROPIC_AUTH_TOKEN";
pub(crate) const CLAUDE_CODE: &str = "CLAUDE_CODE_OAUTH_TOKEN";
pub(crate) const PROFILE: &str = "ANTHROPIC_PROFILE";
pub(crate) const CONFIG_DIR: &str = "ANTHROPIC_CONFIG_DIR";
pub(crate) const BASE_URL: &str = "ANTHROPIC_BASE_URL";
pub(crate) const RULE: &str = "ANTHROPIC_FEDERATION_RULE_ID";
pub(crate) const ORGANIZATION: &str = "ANTHROPIC_ORGANIZATION_ID";
pub(crate) const SERVICE_ACCOUNT: &str = "ANTHROPIC_SERVICE_ACCOUNT_ID";
pub(crate) const WORKSPACE: &str = "ANTHROPIC_WORKSPACE_ID";
pub(crate) const TOKEN_FILE: &str = "ANTHROPIC_IDENTITY_TOKEN_FILE";
pub(crate) const TOKEN: &str = "ANTHROPIC_IDENTITY_TOKEN";

/// Each holds a credential itself, and goes before federation; the strongest first.
pub(crate) const STATIC: [&str; 3] = [API_KEY, AUTH_TOKEN, CLAUDE_CODE];

/// Those of the federation.
pub(crate) const FEDERATION: [&str; 6] = [RULE, ORGANIZATION, SERVICE_ACCOUNT, WORKSPACE, TOKEN_FILE, TOKEN];

/// Those that lead to a profile.
pub(crate) const PROFILES: [&str; 2] = [PROFILE, CONFIG_DIR];

/// Clients of the API send what these hold, too, or would refresh a login by it.
pub(crate) const BESIDE: [&str; 4] = [
    "ANTHROPIC_SCOPE",
    "CLAUDE_CODE_OAUTH_REFRESH_TOKEN",
    "CLAUDE_CODE_OAUTH_SCOPES",
    // Header fields of every request, and so perhaps another credential.
    "ANTHROPIC_CUSTOM_HEADERS",
];

/// What the variable holds without white space around it; nothing if that is empty.
pub(crate) fn text(name: &str) -> Option<String> {
    let value = value(name)?.to_string_lossy().trim().to_owned();
    Some(value).filter(|value| !value.is_empty())
}

/// Whether the variable holds more than white space. Nobody here takes another one for set.
pub(crate) fn is_set(name: &str) -> bool {
    text(name).is_some()
}

/// Whether there is such a variable, with or without a value.
pub(crate) fn is_there(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// What the variable holds, as it is, white space and all; empty if there is none.
pub(crate) fn raw(name: &str) -> String {
    std::env::var_os(name).unwrap_or_default().to_string_lossy().into_owned()
}

/// What the variable holds, as it is; nothing if that is nothing or white space. For paths and commands, which need not be text.
pub(crate) fn value(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.to_string_lossy().trim().is_empty())
}

/// Whether the federation variables are all there without which they are no credential.
pub(crate) fn has_federation() -> bool {
    is_set(RULE) && is_set(ORGANIZATION) && (is_set(TOKEN_FILE) || is_set(TOKEN))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What discovery may read stands in the contract's data: no variable of it is forgotten here.
    #[test]
    fn the_variables_are_those_that_discovery_may_read() {
        let authority: serde_json::Value = serde_json::from_str(include_str!("../../../wit/authority.json")).expect("it is JSON");
        let of_the_contract = authority["variables"].as_array().expect("a list").iter().filter_map(|name| name.as_str());
        let of_the_contract: BTreeSet<&str> =
            of_the_contract.filter(|name| name.contains('_') && !name.starts_with("XDG")).collect();
        let known: BTreeSet<&str> = STATIC.into_iter().chain(PROFILES).chain(FEDERATION).chain([BASE_URL]).collect();
        assert_eq!(known, of_the_contract);
    }
}
