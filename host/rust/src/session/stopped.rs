//! Why there is no session, or none any more.

use crate::bindings::types;

/// The instance cannot be used any more: it panicked, ran into a limit, or broke the contract. Drop it and open a new one
/// from the newest journal.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the component was stopped: {0}")]
pub struct Trap(pub(crate) String);

/// Why there is no session.
pub(crate) enum Refused {
    Stopped(Stopped),
    Configuration(types::ConfigurationError),
}

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    /// What this session did stopped its instance.
    #[error("{}", .0.why())]
    Trapped(#[from] Trap),
    /// Another session stopped the instance that both were in.
    #[error("another credential of the pool stopped the component's instance that this one shares")]
    ByAnother,
}

impl Trap {
    /// What stopped it, without saying that it was stopped.
    pub(crate) fn why(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Stopped>> From<T> for Refused {
    fn from(stopped: T) -> Self {
        Self::Stopped(stopped.into())
    }
}
