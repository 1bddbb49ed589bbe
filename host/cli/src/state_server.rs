//! State in a Redis server, for runs on many machines.
//!
//! The server is named on the command line, so no policy is asked for it. A password never is: other users can read the arguments of a
//! command.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use wif::{RedisServer, RedisStore, SealingKeys, Secret};

use crate::environment;
use crate::exit::{Usage, Wrong};
use crate::files;

/// The variable that holds the password of the server.
pub(crate) const PASSWORD: &str = "WIF_STATE_PASSWORD";

/// What opens the state in a server.
#[derive(Debug, clap::Args)]
pub(crate) struct StateServer {
    /// Where --state is a server: seal what is kept there with the key in this file, 32 bytes in base64 (`openssl rand -base64 32`).
    /// It may have several, one a line: the first seals, and each opens.
    #[arg(long, value_name = "FILE", requires = "state")]
    state_key: Option<PathBuf>,
    /// The password of the server is in this file. Without it the one in WIF_STATE_PASSWORD is taken, if there is one.
    #[arg(long, value_name = "FILE", requires = "state")]
    state_password_file: Option<PathBuf>,
}

/// The URL, where the user means a server.
pub(crate) fn url(state: &Path) -> Option<&str> {
    let url = state.to_str()?;
    let (scheme, _) = url.split_once("://")?;
    ["redis", "rediss", "valkey", "valkeys"].contains(&scheme).then_some(url)
}

impl StateServer {
    /// The store in the server of this URL. `extra_roots` are trusted beside the platform's certificates.
    pub(crate) fn store(&self, url: &str, extra_roots: Option<String>) -> anyhow::Result<RedisStore> {
        let key = self.state_key.as_deref().ok_or_else(|| {
            let how = "make one with `umask 077; openssl rand -base64 32 > FILE`, and give it to all machines";
            Usage(format!(
                "--state is a server, and what is kept there has to be sealed: name the key with --state-key FILE; {how}"
            ))
        })?;
        let keys = SealingKeys::read(&secret_in("--state-key", key)?)
            .map_err(|error| Wrong(format!("--state-key {}: {error}", key.display())))?;
        let refused = |error: wif::RedisError| {
            let apart = "--state-password-file FILE or the variable WIF_STATE_PASSWORD";
            match error {
                wif::RedisError::PasswordInUrl => {
                    Usage(format!("--state: the URL holds a password, which others can read: take it out, and use {apart}"))
                        .into()
                }
                wif::RedisError::NotAUrl => anyhow::Error::from(Usage(format!("--state: {error}"))),
                error => Wrong(format!("--state: {error}")).into(),
            }
        };
        let mut server = RedisServer::at(url).map_err(refused)?;
        if let Some(password) = self.password()? {
            server = server.password(password);
        }
        if let Some(roots) = extra_roots {
            server = server.extra_root_certificate(roots);
        }
        RedisStore::new(server, keys).map_err(refused)
    }

    /// Nothing is sealed, and nobody asked, where the state is a file.
    pub(crate) fn check_unused(&self) -> Result<(), Usage> {
        let given = [(&self.state_key, "--state-key"), (&self.state_password_file, "--state-password-file")];
        match given.into_iter().find(|(file, _)| file.is_some()) {
            Some((_, option)) => Err(Usage(format!("{option} is for a server, such as --state rediss://HOST: leave it out"))),
            None => Ok(()),
        }
    }

    fn password(&self) -> anyhow::Result<Option<Secret>> {
        let Some(path) = &self.state_password_file else { return Ok(environment::text(PASSWORD).map(Secret::from)) };
        let text = secret_in("--state-password-file", path)?;
        let password = text.reveal().trim();
        if password.is_empty() {
            return Err(Wrong(format!("--state-password-file {}: it is empty", path.display())).into());
        }
        Ok(Some(Secret::from(password)))
    }
}

/// The content of a file that nobody else can write or, but for a group of this user's, read. Links are followed, for the secrets of a
/// Kubernetes pod are links.
fn secret_in(option: &str, path: &Path) -> anyhow::Result<Secret> {
    let shown = path.display();
    let text = Secret::from(files::read(path).map_err(|Wrong(why)| Wrong(format!("{option}: {why}")))?);
    let why = wif::distrusted(path).with_context(|| format!("{option}: cannot look at {shown}"))?;
    let why = why.or_else(|| others_can_read(path).then(|| "every user can read it: chmod o-r mends it".to_owned()));
    why.map_or(Ok(text), |why| Err(Wrong(format!("{option} {shown} is not used: {why}")).into()))
}

#[cfg(unix)]
fn others_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_path: &Path) -> bool {
    false
}
