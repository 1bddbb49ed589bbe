//! The desktop's keychain as a place for logins: the Secret Service of D-Bus (GNOME Keyring, KWallet, KeePassXC).
//!
//! It has no compare-and-swap. Who compares holds the lock of the file in whose place the keychain is.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use secret_service::{Collection, EncryptionType, Error, Item, SecretService};
use zeroize::Zeroizing;

use super::BoxError;
use crate::secret::Secret;

/// So long a person may take to open the keychain. Somebody who waits for the lock may give up earlier.
const PATIENCE: Duration = Duration::from_secs(30);

const CONTENT_TYPE: &str = "application/json";

/// Whether a login could be kept: somebody answers, and the keychain opens.
pub(super) async fn check() -> Result<(), BoxError> {
    within(async { default_collection(&connect().await?).await.map(drop) }).await
}

/// The login that the file at this path would hold.
pub(super) async fn load(path: &Path) -> Result<Option<Secret>, BoxError> {
    within(async {
        let service = connect().await?;
        let Some(item) = find(&service, path).await? else { return Ok(None) };
        let secret = Zeroizing::new(item.get_secret().await.map_err(told)?);
        Ok(Some(Secret::from(String::from_utf8_lossy(&secret).into_owned())))
    })
    .await
}

/// Keeps the login that the file at this path would hold, in the place of the one that is there.
pub(super) async fn keep(path: &Path, value: &Secret) -> Result<(), BoxError> {
    within(async {
        let (service, content) = (connect().await?, value.reveal().as_bytes());
        if let Some(item) = find(&service, path).await? {
            return item.set_secret(content, CONTENT_TYPE).await.map_err(told);
        }
        let collection = default_collection(&service).await?;
        let shown = path.display().to_string();
        let label = format!("Login for the Claude API: {shown}");
        collection.create_item(&label, attributes(&shown), content, true, CONTENT_TYPE).await.map(drop).map_err(told)
    })
    .await
}

/// Removes it; whether it was there.
pub(super) async fn remove(path: &Path) -> Result<bool, BoxError> {
    within(async {
        let service = connect().await?;
        let Some(item) = find(&service, path).await? else { return Ok(false) };
        item.delete().await.map(|()| true).map_err(told)
    })
    .await
}

async fn within<T>(work: impl Future<Output = Result<T, BoxError>>) -> Result<T, BoxError> {
    let late = || format!("the keychain did not answer, or was not opened, within {} s", PATIENCE.as_secs()).into();
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(late()))
}

async fn connect() -> Result<SecretService<'static>, BoxError> {
    // Why is of no help: there is no bus, or nobody on it.
    SecretService::connect(EncryptionType::Dh).await.map_err(|_| NOBODY.into())
}

/// The keyring that outlives the session, opened.
async fn default_collection<'a>(service: &'a SecretService<'static>) -> Result<Collection<'a>, BoxError> {
    let collection = service.get_default_collection().await.map_err(|error| match error {
        Error::NoResult => "the keychain has no default keyring: make one with the desktop's own program".into(),
        error => told(error),
    })?;
    if collection.is_locked().await.map_err(told)? {
        collection.unlock().await.map_err(told)?;
    }
    Ok(collection)
}

/// The item of this path, opened.
async fn find<'a>(service: &'a SecretService<'static>, path: &Path) -> Result<Option<Item<'a>>, BoxError> {
    let shown = path.display().to_string();
    let found = service.search_items(attributes(&shown)).await.map_err(told)?;
    if let Some(item) = found.unlocked.into_iter().next() {
        return Ok(Some(item));
    }
    let Some(item) = found.locked.into_iter().next() else { return Ok(None) };
    item.unlock().await.map_err(told)?;
    Ok(Some(item))
}

/// What an item is found by.
fn attributes(path: &str) -> HashMap<&str, &str> {
    HashMap::from([("application", "wif"), ("credentials_path", path)])
}

/// What an error means for the person.
fn told(error: Error) -> BoxError {
    match error {
        Error::Locked | Error::Prompt | Error::PromptDisconnected => "the keychain is locked, and was not opened: open it".into(),
        error => format!("the keychain fails: {error}").into(),
    }
}

/// On servers, in containers and by ssh there is often none.
const NOBODY: &str = "no Secret Service (gnome-keyring, KWallet, KeePassXC) answers on the bus of this session: start one";
