//! The two files of a profile, in the vendor's format.

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

/// So long another program may hold the lock of a credentials file.
const LOCK: Duration = Duration::from_secs(10);

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
        let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".json").map(str::to_owned));
        // What else lies there is no profile's.
        Ok(names.filter_map(|name| Self::find(Some(&name)).ok()).collect())
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
    pub(super) async fn prepare(&self, before: &Value) -> anyhow::Result<()> {
        for name in ["credentials", "configs"] {
            make_private(&self.directory.join(name))?;
        }
        self.credentials(before).load().await.map(drop).map_err(boxed)
    }

    /// Writes both files: the credentials first, for a profile without them is an error for whoever reads it.
    pub(super) async fn save(
        &self,
        answer: &Value,
        client_id: &str,
        workspace_id: Option<&str>,
        base_url: Option<&str>,
        console_url: Option<&str>,
    ) -> anyhow::Result<()> {
        let mut profile = self.before()?;
        self.prepare(&profile).await?;
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
        let value = Secret::from(credentials.to_string());
        loop {
            let current = self.credentials(&profile).load().await.map_err(boxed)?;
            let expected = current.map(|entry| entry.version);
            // Somebody who refreshes the login before would write over this one: whoever comes last knows of both.
            let swap = tokio::time::timeout(LOCK, self.credentials(&profile).swap(expected, value.clone()));
            let Ok(swapped) = swap.await else {
                let path = self.credentials_path(&profile);
                let what = format!("another program holds the lock of {}: end it, and log in again", path.display());
                return Err(Wrong(what).into());
            };
            match swapped.map_err(boxed)? {
                Swapped::Done(_) => break,
                Swapped::Conflict(_) => {}
            }
        }
        if profile.is_null() {
            profile = json!({});
        }
        profile["version"] = "1.0".into();
        profile["authentication"]["type"] = "user_oauth".into();
        profile["authentication"]["client_id"] = client_id.into();
        if let Some(console_url) = console_url {
            profile["authentication"]["console_url"] = console_url.into();
        }
        if let Some(organization) = answer["organization"]["uuid"].as_str() {
            profile["organization_id"] = organization.into();
        }
        if let Some(workspace) = workspace_id {
            profile["workspace_id"] = workspace.into();
        }
        if let Some(base_url) = base_url {
            profile["base_url"] = base_url.into();
        }
        let path = self.config();
        private::replace_unlocked(&path, &Secret::from(format!("{profile:#}\n"))).context("cannot write the profile")
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
