//! The same for programs without tokio: a thread of its own drives each credential.
//!
//! Not for use inside an asynchronous runtime, where its methods panic.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder as Runtime, Handle};
use tokio::sync::oneshot;

use crate::builder::Builder;
use crate::error::{BuildError, Error};
use crate::secret::Secret;
use crate::status::Status;
use crate::token::Token;

/// [`crate::Credential`], with methods that block. Cheap to clone; the thread ends with the last clone.
#[derive(Clone)]
pub struct Credential(Arc<Inner>);

struct Inner {
    credential: crate::Credential,
    runtime: Handle,
    /// Dropped with the last handle, which ends the thread.
    _alive: oneshot::Sender<()>,
}

impl Credential {
    /// The credential of this workload: see [`crate::Credential::discover`].
    ///
    /// # Errors
    ///
    /// There is no random seed, or no thread.
    pub fn discover() -> Result<Self, BuildError> {
        Self::build(crate::Credential::builder())
    }

    /// Builds a credential that a new thread drives.
    ///
    /// # Errors
    ///
    /// Those of [`Builder::build`], and [`BuildError::Thread`].
    pub fn build(builder: Builder) -> Result<Self, BuildError> {
        let runtime = Runtime::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let credential = {
            let _inside = runtime.enter();
            builder.build()?
        };
        let (alive, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("wif-credential".to_owned());
        thread.spawn(move || {
            // An error says that the last handle was dropped, which is what is waited for.
            let _ = runtime.block_on(ended);
        })?;
        Ok(Self(Arc::new(Inner { credential, runtime: handle, _alive: alive })))
    }

    /// See [`crate::Credential::token`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn token(&self) -> Result<Token, Error> {
        self.0.runtime.block_on(self.0.credential.token())
    }

    /// See [`crate::Credential::token_within`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn token_within(&self, at_most: Duration) -> Result<Token, Error> {
        self.0.runtime.block_on(self.0.credential.token_within(at_most))
    }

    /// See [`crate::Credential::try_current`].
    #[must_use]
    pub fn try_current(&self) -> Option<Token> {
        self.0.credential.try_current()
    }

    /// See [`crate::Credential::rejected`].
    pub fn rejected(&self, id: &str) {
        self.0.credential.rejected(id);
    }

    /// See [`crate::Credential::status`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn status(&self) -> Result<Status, Error> {
        self.0.runtime.block_on(self.0.credential.status())
    }

    /// See [`crate::Credential::journal`].
    #[must_use]
    pub fn journal(&self) -> Option<Secret> {
        self.0.credential.journal()
    }

    /// See [`crate::Credential::shutdown`].
    pub fn shutdown(&self) {
        self.0.runtime.block_on(self.0.credential.shutdown());
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.credential.fmt(formatter)
    }
}
