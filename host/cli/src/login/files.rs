//! The two files of a profile, in the vendor's format.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};
use wif::{Clock as _, CredentialsFile, Secret, Swapped, SystemClock, private};

use crate::environment::{self, CONFIG_DIR, PROFILE};
use crate::exit::Wrong;
use crate::files;
use crate::output::say_error;

/// So long another program may hold the lock of a credentials file.
const LOCK: Duration = Duration::from_secs(10);

/// The same, with what a keychain may take.
const LOCK_AND_KEYCHAIN: Duration = Duration::from_secs(45);

/// A profile that a login becomes.
pub(super) struct Profile {
    name: String,
    directory: PathBuf,
    /// Whether somebody chose it by name, so that clients find it without being told.
    by_variable: bool,
}

impl Profile {
    /// The profile of this name, or the one that the environment names.
    pub(super) fn find(name: Option<&str>) -> anyhow::Result<Self> {
        let chosen = environment::text(PROFILE);
        let whence = if name.is_some() { "--profile" } else { PROFILE };
        let by_variable = name.is_none() || chosen.as_deref() == name;
        let name = name.map(str::to_owned).or(chosen).unwrap_or_else(|| "default".to_owned());
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if name.is_empty() || name.len() > 128 || name.starts_with('.') || !name.bytes().all(fine) {
            let what = "a profile's name is 1 to 128 letters, digits, `_`, `-` or `.`, and does not begin with a dot";
            return Err(Wrong(format!("{whence}: {what}")).into());
        }
        Ok(Self { name, directory: directory()?, by_variable })
    }

    /// Every profile with credentials.
    pub(super) fn all() -> anyhow::Result<Vec<Self>> {
        let directory = directory()?;
        let entries = match fs::read_dir(directory.join("credentials")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("cannot list the logins in {}", directory.display())),
        };
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name();
            // A file, or what says that it is in the keychain.
            let name = name.to_str()?;
            name.strip_suffix(".keychain").unwrap_or(name).strip_suffix(".json").map(str::to_owned)
        });
        let names: BTreeSet<String> = names.collect();
        // What else lies there is no profile's.
        Ok(names.iter().filter_map(|name| Self::find(Some(name)).ok()).collect())
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Its own file.
    pub(super) fn config(&self) -> PathBuf {
        self.directory.join("configs").join(format!("{}.json", self.name))
    }

    /// The file that the profile names, or the usual one: whoever uses the profile looks there.
    fn credentials_path(&self, profile: &Value) -> PathBuf {
        let named = profile["authentication"]["credentials_path"].as_str().map(str::trim).filter(|path| !path.is_empty());
        let usual = || self.directory.join("credentials").join(format!("{}.json", self.name));
        named.map_or_else(usual, expanded)
    }

    fn credentials(&self, profile: &Value) -> CredentialsFile {
        CredentialsFile::new(self.credentials_path(profile))
    }

    /// The profile as it is, if there is one. A federation is not overwritten by a login.
    pub(super) fn before(&self) -> anyhow::Result<Value> {
        let path = self.config();
        if !path.exists() {
            return Ok(Value::Null);
        }
        let shown = path.display();
        // It says where the code of the login is sent.
        if let Some(why) = wif::distrusted(&path).with_context(|| format!("cannot look at {shown}"))? {
            return Err(Wrong(format!("the profile {shown} is not read: {why}")).into());
        }
        let profile: Value = serde_json::from_str(&files::read(&path)?)
            .map_err(|_| Wrong(format!("the profile {shown} is not JSON: mend it, or choose another with --profile")))?;
        if profile["authentication"]["type"] != "user_oauth" {
            return Err(Wrong(format!("the profile {shown} is not one of a login: choose another with --profile")).into());
        }
        Ok(profile)
    }

    /// Finds what stands against writing the files, before anybody logs in.
    pub(super) fn prepare(&self, before: &Value) -> anyhow::Result<()> {
        for name in ["credentials", "configs"] {
            make_private(&self.directory.join(name))?;
        }
        // Of the file alone: a keychain that is gone does not stand against another login.
        private::read(&self.credentials_path(before)).map(drop).map_err(|error| Wrong(error.to_string()).into())
    }

    /// Finds what stands against the keychain, before anybody logs in.
    pub(super) async fn check_keychain() -> anyhow::Result<()> {
        let error = CredentialsFile::check_keychain().await.err();
        error.map_or(Ok(()), |error| Err(Wrong(format!("--keychain: {error}, or leave the option out")).into()))
    }

    /// Writes both files: the credentials first, for a profile without them is an error for whoever reads it.
    pub(super) async fn save(&self, answer: &Value, given: &Given, in_keychain: bool) -> anyhow::Result<()> {
        let before = self.before()?;
        self.prepare(&before)?;
        let credentials = self.credentials(&before);
        let value = Secret::from(credentials_of(answer).to_string());
        let kept = async {
            if in_keychain {
                return credentials.keep_in_keychain(value).await.map_err(boxed);
            }
            if let Err(error) = credentials.leave_keychain().await {
                say_error(&format!("wif: warning: the login before stays in the keychain: {error}"));
            }
            self.replace(&before, &value).await
        };
        let asks_keychain = in_keychain || CredentialsFile::keychain_mark(&self.credentials_path(&before)).exists();
        let patience = if asks_keychain { LOCK_AND_KEYCHAIN } else { LOCK };
        let Ok(kept) = tokio::time::timeout(patience, kept).await else {
            let path = self.credentials_path(&before);
            let what = format!("another program holds the lock of {}: end it, and log in again", path.display());
            return Err(Wrong(what).into());
        };
        kept?;
        let path = self.config();
        let profile = given.in_profile(before, answer);
        private::replace_unlocked(&path, &Secret::from(format!("{profile:#}\n"))).context("cannot write the profile")
    }

    async fn replace(&self, before: &Value, value: &Secret) -> anyhow::Result<()> {
        loop {
            let current = self.credentials(before).load().await.map_err(boxed)?;
            let expected = current.map(|entry| entry.version);
            // Somebody who refreshes the login before would write over this one: whoever comes last knows of both.
            match self.credentials(before).swap(expected, value.clone()).await.map_err(boxed)? {
                Swapped::Done(_) => return Ok(()),
                Swapped::Conflict(_) => {}
            }
        }
    }

    /// What is to be done so that clients use it.
    pub(super) fn hint(&self) -> Option<String> {
        let active = fs::read_to_string(self.directory.join("active_config")).unwrap_or_default();
        let is_active = match active.trim() {
            "" => self.name == "default",
            active => active == self.name,
        };
        (!self.by_variable && !is_active).then(|| format!("To use it: export ANTHROPIC_PROFILE={}", self.name))
    }

    /// Removes the credentials. The profile stays, for the next login. Whether there were any.
    pub(super) async fn log_out(&self) -> anyhow::Result<bool> {
        // A profile that cannot be read names no other file.
        let profile = self.before().unwrap_or_default();
        self.credentials(&profile).remove().await.map_err(boxed)
    }
}

/// What the command line and the environment say of a login.
pub(super) struct Given {
    pub(super) client_id: String,
    pub(super) workspace_id: Option<String>,
    pub(super) base_url: Option<String>,
    pub(super) console_url: Option<String>,
}

impl Given {
    /// The profile as it was, with what this login says.
    fn in_profile(&self, before: Value, answer: &Value) -> Value {
        let mut profile = if before.is_null() { json!({}) } else { before };
        profile["version"] = "1.0".into();
        profile["authentication"]["type"] = "user_oauth".into();
        profile["authentication"]["client_id"] = self.client_id.as_str().into();
        if let Some(console_url) = &self.console_url {
            profile["authentication"]["console_url"] = console_url.as_str().into();
        }
        let organization = answer["organization"]["uuid"].as_str();
        for (key, value) in [
            ("organization_id", organization),
            ("workspace_id", self.workspace_id.as_deref()),
            ("base_url", self.base_url.as_deref()),
        ] {
            if let Some(value) = value {
                profile[key] = value.into();
            }
        }
        profile
    }
}

/// What the answer of the token endpoint leaves to clients.
fn credentials_of(answer: &Value) -> Value {
    let lifetime = answer["expires_in"].as_u64().unwrap_or(3600);
    let mut credentials = json!({
        "version": "1.0",
        "type": "oauth_token",
        "access_token": answer["access_token"],
        "refresh_token": answer["refresh_token"],
        "expires_at": (SystemClock::default().now().wall_ms / 1000).saturating_add(lifetime),
    });
    for (key, value) in [
        ("scope", &answer["scope"]),
        ("organization_uuid", &answer["organization"]["uuid"]),
        ("organization_name", &answer["organization"]["name"]),
        ("account_email", &answer["account"]["email_address"]),
    ] {
        if value.is_string() {
            credentials[key] = value.clone();
        }
    }
    credentials
}

/// `~/` is the home directory, as where the profile is read.
fn expanded(path: &str) -> PathBuf {
    wif_rules::in_home(path, environment::text("HOME").as_deref()).into()
}

/// Where profiles are.
fn directory() -> anyhow::Result<PathBuf> {
    if let Some(directory) = environment::text(CONFIG_DIR) {
        return std::path::absolute(directory).context(CONFIG_DIR);
    }
    match environment::text("HOME") {
        Some(home) => Ok(PathBuf::from(home).join(".config/anthropic")),
        None => Err(Wrong("there is no place for a profile: set HOME or ANTHROPIC_CONFIG_DIR".to_owned()).into()),
    }
}

#[cfg(unix)]
fn make_private(directory: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.with_context(|| format!("cannot make {}", directory.display()))
}

#[cfg(not(unix))]
fn make_private(directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))
}

fn boxed(error: wif::BoxError) -> anyhow::Error {
    Wrong(error.to_string()).into()
}
