//! Documents of resources for tests: one good one, to be changed.

use serde_json::{Value, json};
use wif_emulator::{Options, Resources};

use crate::world::{Received, World};

pub(crate) const ORGANIZATION: &str = "7c5f1f64-5b1c-4e0e-9d52-0c6a3f1d2b3a";
pub(crate) const OTHER_ORGANIZATION: &str = "11111111-2222-4333-8444-555555555555";
pub(crate) const RULE: &str = "fdrl_01rule";
pub(crate) const SERVICE_ACCOUNT: &str = "svac_01account";
pub(crate) const DEFAULT_WORKSPACE: &str = "wrkspc_01default";
pub(crate) const MEMBER_WORKSPACE: &str = "wrkspc_01member";
pub(crate) const STRANGE_WORKSPACE: &str = "wrkspc_01strange";

/// Two organizations. The first has three workspaces, and its account is a member of `MEMBER_WORKSPACE` and the default one.
pub(crate) fn document() -> Value {
    json!({ "organizations": [
        {
            "id": ORGANIZATION,
            "name": "Acme",
            "workspaces": [
                { "id": DEFAULT_WORKSPACE, "name": "Default", "default": true },
                { "id": MEMBER_WORKSPACE },
                { "id": STRANGE_WORKSPACE },
            ],
            "service_accounts": [{ "id": SERVICE_ACCOUNT, "workspace_ids": [MEMBER_WORKSPACE] }],
            "federation_issuers": [{
                "id": "fdis_01issuer",
                "name": "issuer",
                "issuer_url": "https://issuer.example",
                "jwks": { "type": "emulator" },
            }],
            "federation_rules": [{
                "id": RULE,
                "issuer_id": "fdis_01issuer",
                "match": { "subject_prefix": "team:*" },
                "target": { "type": "service_account", "service_account_id": SERVICE_ACCOUNT },
                "workspace_ids": [MEMBER_WORKSPACE],
            }],
        },
        {
            "id": OTHER_ORGANIZATION,
            "workspaces": [{ "id": "wrkspc_02default", "default": true }],
            "service_accounts": [{ "id": "svac_02account" }],
            "federation_issuers": [{
                "id": "fdis_02issuer",
                "name": "issuer",
                "issuer_url": "https://issuer.example",
                "jwks": { "type": "emulator" },
            }],
            "federation_rules": [{
                "id": "fdrl_02rule",
                "issuer_id": "fdis_02issuer",
                "match": { "subject_prefix": "team:*" },
                "target": { "type": "service_account", "service_account_id": "svac_02account" },
                "workspace_id": "default",
            }],
        },
    ]})
}

/// The document with the value at this pointer (RFC 6901) replaced or added.
pub(crate) fn with(pointer: &str, value: Value) -> Value {
    changed(document(), pointer, value)
}

pub(crate) fn changed(mut document: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    document.pointer_mut(parent).expect("the parent is there")[name] = value;
    document
}

/// The first rule with one member changed.
pub(crate) fn with_rule(name: &str, value: Value) -> Value {
    with(&format!("/organizations/0/federation_rules/0/{name}"), value)
}

/// The first rule with this as what it matches.
pub(crate) fn matching(matcher: Value) -> Value {
    with_rule("match", matcher)
}

pub(crate) fn parsed(document: &Value) -> Resources {
    Resources::parse(&document.to_string()).expect("the document is good")
}

impl World {
    pub(crate) async fn of(document: Value) -> Self {
        Self::with(Options { resources: Some(parsed(&document)), ..Options::default() }).await
    }

    /// An exchange of this token by the first rule, for a workspace or none.
    pub(crate) async fn exchange_in(&self, assertion: &str, workspace: Option<&str>) -> Received {
        let mut request = self.request(assertion);
        if let Some(workspace) = workspace {
            request.insert("workspace_id".to_owned(), workspace.into());
        }
        self.post_exchange(&request).await
    }

    /// An access token by another rule.
    pub(crate) async fn exchange_by(&self, organization: &str, rule: &str, account: &str) -> Received {
        let token = self.emulator.token_for(rule).map_or_else(|| self.provider().mint(), |token| token.sign());
        let mut request = self.request(token.expose());
        request["organization_id"] = organization.into();
        request["federation_rule_id"] = rule.into();
        request["service_account_id"] = account.into();
        self.post_exchange(&request).await
    }

    pub(crate) async fn get(&self, path: &str, bearer: &str) -> Received {
        let request = self.client.get(self.url(path)).bearer_auth(bearer).header("anthropic-version", "2023-06-01");
        Received::of(request.send().await.unwrap()).await.unwrap()
    }

    pub(crate) async fn post(&self, path: &str, bearer: &str, body: &Value) -> Received {
        let request = self.client.post(self.url(path)).bearer_auth(bearer).header("anthropic-version", "2023-06-01");
        Received::of(request.body(body.to_string()).send().await.unwrap()).await.unwrap()
    }
}
