//! An emulator, and what leads a program to it.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use wif_emulator::{Emulator, Options, Reason, TokenFile};

/// An emulator with its administration, and a rotated token file.
pub(crate) struct World {
    pub(crate) emulator: Emulator,
    pub(crate) file: TokenFile,
    pub(crate) directory: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        // The client of the tests has its TLS from the program that it is in.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = Options { admin: Some(([127, 0, 0, 1], 0).into()), ..options };
        let emulator = Emulator::start(options).await.expect("the options are good");
        let directory = tempfile::tempdir().expect("a directory");
        let file = emulator.identity_provider().publish(directory.path().join("token")).expect("the directory is writable");
        Self { emulator, file, directory }
    }

    /// The `federation` of a configuration with this source.
    pub(crate) fn federation(&self, identity_token: &Value) -> Value {
        let options = self.emulator.options();
        json!({
            "federation_rule_id": options.federation_rule_id,
            "organization_id": options.organization_id,
            "identity_token": identity_token,
        })
    }

    /// The source of the published file.
    pub(crate) fn file_source(&self) -> Value {
        json!({ "source": "file", "path": self.file.path() })
    }

    pub(crate) fn admin_url(&self) -> &str {
        self.emulator.admin_url().expect("it was asked for")
    }

    /// So many requests came to the token endpoint.
    pub(crate) fn exchanges(&self) -> u64 {
        self.emulator.counts().exchanges
    }

    /// How often a spent identity token came again.
    pub(crate) fn reused(&self) -> usize {
        self.emulator.history().iter().filter(|entry| entry.reason == Some(Reason::JtiReused)).count()
    }

    /// Waits for what the history has to show.
    pub(crate) async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let mut history = self.emulator.subscribe();
        let waiting = async {
            while !is_so(self) {
                history.changed().await.expect("the emulator runs");
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
        waited.unwrap_or_else(|_| panic!("{:#?}", self.emulator.history()));
    }
}
