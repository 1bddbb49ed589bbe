//! A program that sends requests by a client of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::BoxFuture;
use crate::secret::Secret;

/// A request that the policy allows, for [`Builder::send_requests`](crate::Builder::send_requests).
#[derive(Debug)]
#[non_exhaustive]
pub struct SendRequest {
    /// The request, with an absolute URL. Its header fields are marked as sensitive. Add what the transport needs and nothing else.
    pub request: http::Request<Secret>,
    /// What is left for the whole of it. An answer that comes later counts for nothing.
    pub timeout: Duration,
    /// A longer body of the answer counts as one that did not arrive: stop reading there.
    pub max_response_bytes: usize,
    /// A file of certificates in PEM. The server's must lead to one of these, in place of the platform's; and the request goes there
    /// without a proxy.
    pub ca_file: Option<PathBuf>,
}

/// Why there is no answer. The texts reach logs, and must hold no secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SendError {
    /// No byte of the request has left: no name, no connection, no handshake. The same identity token is sent again.
    #[error("{0}")]
    Unsent(String),
    /// It may have left. The identity token counts as spent, if it can be exchanged once. If in doubt, this is the one.
    #[error("{0}")]
    MaybeSent(String),
}

/// The program's function.
pub(crate) type Sender = Arc<dyn Fn(SendRequest) -> BoxFuture<'static, Result<http::Response<Vec<u8>>, SendError>> + Send + Sync>;
