//! A person's login: the credentials file of a `user_oauth` profile, in the vendor's format.
//!
//! The file is the truth, and others write it too: the vendor's clients, `wif login`, other processes of this project. It is read
//! and replaced as the entry `file:PATH` of the host's store, so that a refresh token, which can be used once, is used by one
//! session: it puts its lease into the file first. A host that keeps no such entries lets the file be read; the token in it is
//! then served until it expires.

use serde_json::Value;
use wif_document::BaseUrl;

use crate::answer::{check_token, to_the_endpoint};
use crate::contract::{Field, Header, HttpRequest, Purpose};
use crate::credentials::{Document, key_of};
use crate::json::Writer;
use crate::timeline::Moment;
use crate::{Secret, hash_of};

/// Which session refreshes, in the file. Other programs leave unknown keys as they are.
const LEASE: &str = "wif_lease";

/// A refresh answers within this time, or is given up. In milliseconds.
const REQUEST_MS: u32 = 15_000;

/// A lease is good for so long without a change of the file, in milliseconds: more than a refresh takes.
pub(crate) const LEASE_MS: u64 = 20_000;

/// A login, and how far a look at it has come.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    /// The credentials file.
    pub(crate) path: String,
    /// Whose login it is with the vendor: an application. Without it somebody else keeps the file fresh.
    client_id: Option<String>,
    /// Requests name it, for the token does not.
    workspace: Option<String>,
    pub(crate) stage: Stage,
    /// Tells this session's lease from others'.
    pub(crate) owner: String,
    /// The version with another's lease, and since when it is known.
    pub(crate) watched: Option<(String, Moment)>,
    /// What a refresh brought and the file does not have yet.
    pub(crate) unsaved: Option<Brought>,
    /// A refresh of which nothing was heard, until its number is known.
    pub(crate) given_up: Option<(Box<Credentials>, Moment)>,
    /// A refresh that was given up, by the number of its request: its answer may come yet.
    pub(crate) late: Option<(u32, Box<Credentials>, Moment)>,
    /// Somebody may have logged in again, perhaps as another person: the file is looked at though nothing is due.
    pub(crate) look: bool,
    /// Swaps in a row that met another version.
    pub(crate) conflicts: u32,
}

/// What is being done.
#[derive(Debug, Clone, Default)]
pub(crate) enum Stage {
    #[default]
    Resting,
    /// The entry is being loaded.
    Loading,
    /// The host keeps no such entries: the file is being read.
    Reading,
    /// This session's lease is being put into the file.
    Leasing(Box<Credentials>),
    /// The endpoint is asked.
    Refreshing(Box<Credentials>, Moment),
    /// The file is being replaced.
    Writing,
    /// The lease is being taken out again.
    Releasing,
}

/// What a refresh brought.
#[derive(Debug, Clone)]
pub(crate) struct Brought {
    access_token: Secret,
    refresh_token: Secret,
    expires_at: u64,
    /// The refresh token that it took, which is of no more use.
    used: Secret,
}

/// The content of a credentials file.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    /// As it is there.
    text: Secret,
    /// The version in the host's store; none where the file was only read.
    pub(crate) version: Option<String>,
    pub(crate) access_token: Secret,
    refresh_token: Option<Secret>,
    /// In seconds since 1970.
    pub(crate) expires_at: Option<u64>,
    lease: Option<String>,
}

impl Login {
    /// The login that a profile describes. `overriding` is the path that it names itself. An `Err` says what is wrong with the profile.
    pub(crate) fn of_profile(
        authentication: &Value,
        overriding: &str,
        usual: &str,
        workspace: Option<&str>,
    ) -> Result<Self, &'static str> {
        let text = |name: &str| match &authentication[name] {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
            _ => Err("has an authentication.client_id that is no string"),
        };
        let plain = |text: &str| text.len() <= 256 && text.bytes().all(|byte| byte.is_ascii_graphic());
        let client_id = text("client_id")?;
        if client_id.is_some_and(|id| !plain(id)) {
            return Err("has an authentication.client_id that is no id");
        }
        if workspace.is_some_and(|id| !plain(id)) {
            return Err("has a workspace_id that cannot stand in a header field");
        }
        let path = if overriding.is_empty() { usual } else { overriding };
        Ok(Self {
            path: path.to_owned(),
            client_id: client_id.map(str::to_owned),
            workspace: workspace.map(str::to_owned),
            stage: Stage::Resting,
            owner: String::new(),
            watched: None,
            unsaved: None,
            given_up: None,
            late: None,
            look: false,
            conflicts: 0,
        })
    }

    pub(crate) fn key(&self) -> String {
        key_of(&self.path)
    }

    pub(crate) fn identity(&self) -> String {
        hash_of(&[Some(&self.path), self.client_id.as_deref(), self.workspace.as_deref()])
    }

    pub(crate) fn describe(&self) -> Vec<Field> {
        let field = crate::configuration::field;
        let mut fields = vec![field("credential", "login (user_oauth)"), field("credentials_path", &self.path)];
        fields.extend(self.client_id.as_ref().map(|id| field("client_id", id)));
        fields.extend(self.workspace.as_ref().map(|id| field("workspace_id", id)));
        fields
    }

    /// What requests carry beside the token.
    pub(crate) fn header(&self) -> Option<Header> {
        let workspace = self.workspace.as_deref()?;
        Some(Header { name: "anthropic-workspace-id".to_owned(), value: workspace.into() })
    }

    /// The refresh token to ask with, if this file can be refreshed; otherwise why not.
    pub(crate) fn refreshes<'a>(&self, credentials: &'a Credentials) -> Result<&'a Secret, &'static str> {
        if self.client_id.is_none() {
            return Err("The profile has no client_id, so that another program keeps the file fresh: it has to do so.");
        }
        if credentials.version.is_none() {
            return Err("This host cannot keep what a refresh brings: let a host that can, or `wif`, refresh it.");
        }
        credentials.refresh_token.as_ref().ok_or("The file has no refresh_token: run `wif login` again.")
    }

    /// The request for another token.
    pub(crate) fn request(&self, base_url: &BaseUrl, refresh_token: &Secret, timeout_ms: u32) -> HttpRequest {
        let mut body = Writer::with_capacity(512 + 2 * refresh_token.reveal().len());
        body.raw(r#"{"grant_type":"refresh_token","refresh_token":"#).text(refresh_token.reveal());
        body.raw(r#","client_id":"#).text(self.client_id.as_deref().unwrap_or_default()).raw("}");
        // The beta of the federation leads a refresh astray.
        to_the_endpoint(Purpose::Refresh, base_url, "oauth-2025-04-20", body.end(), timeout_ms.min(REQUEST_MS))
    }
}

impl Credentials {
    /// Reads a file. An `Err` ends a sentence that begins with the file.
    pub(crate) fn read(text: Secret, version: Option<String>) -> Result<Self, &'static str> {
        let document = Document::read(&text).ok_or("is not a JSON object")?;
        match document.0.get("type") {
            None | Some(Value::Null) => {}
            Some(Value::String(kind)) if kind == "oauth_token" => {}
            _ => return Err("has a `type` that is not oauth_token"),
        }
        let secret = |name: &str| match document.0.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Some(Secret::from(text.as_str())),
            _ => None,
        };
        let access_token = secret("access_token").ok_or("has no access_token")?;
        check_token(access_token.reveal()).map_err(|_| "has an access_token that cannot be one")?;
        let expires_at = match document.0.get("expires_at") {
            None | Some(Value::Null) => None,
            Some(value) => {
                let whole = value.as_u64().or_else(|| value.as_f64().filter(|time| *time >= 0.0).map(|time| time as u64));
                Some(whole.ok_or("has an expires_at that is no number of seconds since 1970")?)
            }
        };
        let lease = document.0.get(LEASE).and_then(Value::as_str).map(str::to_owned);
        let refresh_token = secret("refresh_token");
        drop(document);
        Ok(Self { text, version, access_token, refresh_token, expires_at, lease })
    }

    /// Whether another session's lease is in it.
    pub(crate) fn leased_by_another(&self, owner: &str) -> bool {
        self.lease.as_deref().is_some_and(|lease| lease != owner)
    }

    /// *Secret.* The same with this lease in it, or without any.
    pub(crate) fn with_lease(&self, owner: Option<&str>) -> Secret {
        let Some(mut document) = Document::read(&self.text) else { return self.text.clone() };
        match owner {
            Some(owner) => document.put(LEASE, owner.into()),
            None => document.leave_out(LEASE),
        }
        document.write()
    }

    /// *Secret.* The same with what a refresh brought. Everything else in it is kept.
    pub(crate) fn with(&self, brought: &Brought) -> Secret {
        let Some(mut document) = Document::read(&self.text) else { return self.text.clone() };
        document.leave_out(LEASE);
        document.put_token(&brought.access_token, brought.expires_at);
        document.put("refresh_token", brought.refresh_token.reveal().into());
        document.write()
    }

    /// Whether it still has the refresh token that a refresh took.
    pub(crate) fn is_older_than(&self, brought: &Brought) -> bool {
        self.refresh_token.as_ref() == Some(&brought.used)
    }
}

impl Brought {
    /// From the body of the endpoint's answer. Without another refresh token the one that was used stays good.
    pub(crate) fn read(body: &Secret, access_token: Secret, expires_at: u64, used: &Secret) -> Self {
        let document = Document::read(body);
        let given = document.as_ref().and_then(|document| document.0.get("refresh_token")).and_then(Value::as_str);
        let refresh_token = given.filter(|token| !token.is_empty()).map_or_else(|| used.clone(), Secret::from);
        Self { access_token, refresh_token, expires_at, used: used.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Credentials, &'static str> {
        Credentials::read(Secret::from(text), Some("v".to_owned()))
    }

    #[test]
    fn what_is_no_credentials_file_is_told_and_not_shown() {
        for (text, what) in [
            ("canary", "is not a JSON object"),
            ("[]", "is not a JSON object"),
            ("{}", "has no access_token"),
            (r#"{"access_token": ""}"#, "has no access_token"),
            (r#"{"access_token": "a b"}"#, "has an access_token that cannot be one"),
            (r#"{"access_token": "t", "type": "api_key"}"#, "has a `type` that is not oauth_token"),
            (
                r#"{"access_token": "t", "expires_at": "2026-01-01T00:00:00Z"}"#,
                "has an expires_at that is no number of seconds since 1970",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), what, "{text}");
        }
    }

    #[test]
    fn a_lease_and_a_refresh_leave_everything_else_in_the_file() {
        let file = read(r#"{"access_token":"a","refresh_token":"r","expires_at":5,"account_email":"x@example.com"}"#).unwrap();
        let leased = Credentials::read(file.with_lease(Some("me")), None).unwrap();
        assert!(leased.leased_by_another("you") && !leased.leased_by_another("me"));
        let brought = Brought::read(&Secret::from(r#"{"refresh_token":"r2"}"#), Secret::from("a2"), 9, &Secret::from("r"));
        assert!(leased.is_older_than(&brought));
        let text = leased.with(&brought);
        let new: Value = serde_json::from_str(text.reveal()).unwrap();
        let expected = serde_json::json!({"access_token": "a2", "refresh_token": "r2", "expires_at": 9, "type": "oauth_token",
            "version": "1.0", "account_email": "x@example.com"});
        assert_eq!(new, expected);
        assert!(!Credentials::read(text, None).unwrap().is_older_than(&brought));
    }

    #[test]
    fn an_answer_without_a_refresh_token_keeps_the_one_that_was_used() {
        let file = read(r#"{"access_token":"a","refresh_token":"r"}"#).unwrap();
        let brought = Brought::read(&Secret::from("{}"), Secret::from("a2"), 9, &Secret::from("r"));
        let new: Value = serde_json::from_str(file.with(&brought).reveal()).unwrap();
        assert_eq!(new["refresh_token"], "r");
    }

    #[test]
    fn a_profile_of_a_login_is_checked_and_described() {
        let of = |client_id: Value, workspace: Option<&str>| {
            Login::of_profile(&serde_json::json!({ "client_id": client_id }), "", "/c/me.json", workspace)
        };
        let described = |login: &Login| login.describe().into_iter().map(|field| field.value).collect::<Vec<_>>();
        let bare = of(Value::Null, None).unwrap();
        assert_eq!(described(&bare), ["login (user_oauth)", "/c/me.json"]);
        let full = of("c".into(), Some("wrkspc_1")).unwrap();
        assert_eq!(described(&full), ["login (user_oauth)", "/c/me.json", "c", "wrkspc_1"]);
        assert_ne!(bare.identity(), full.identity());
        assert_eq!(full.identity(), of(" c ".into(), Some("wrkspc_1")).unwrap().identity());
        let longest = "c".repeat(256);
        assert!(of(longest.clone().into(), Some(&longest)).is_ok());
        let (no_id, no_string) =
            ("has an authentication.client_id that is no id", "has an authentication.client_id that is no string");
        for (client_id, workspace, why) in [
            (Value::from("a b"), None, no_id),
            (format!("{longest}c").into(), None, no_id),
            (7.into(), None, no_string),
            ("c".into(), Some("a b"), "has a workspace_id that cannot stand in a header field"),
        ] {
            assert_eq!(of(client_id, workspace).map(|login| login.path), Err(why));
        }
    }

    #[test]
    fn an_end_is_a_number_of_seconds() {
        let ends = |at: &str| read(&format!(r#"{{"access_token": "t", "expires_at": {at}}}"#)).map(|read| read.expires_at);
        assert_eq!([ends("null"), ends("5"), ends("5.9"), ends("0")], [Ok(None), Ok(Some(5)), Ok(Some(5)), Ok(Some(0))]);
        assert!(ends("-1").is_err() && ends("-0.5").is_err());
    }
}
