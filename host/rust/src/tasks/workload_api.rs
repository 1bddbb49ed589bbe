//! The SPIFFE Workload API: JWT-SVIDs, by its Unix socket. A build without the feature `spiffe` knows the source and does not ask.

use std::path::{Path, PathBuf};

use serde_json::Value;
#[cfg(feature = "spiffe")]
use spiffe::transport::Endpoint;
#[cfg(feature = "spiffe")]
use spiffe::{SpiffeId, WorkloadApiClient, WorkloadApiError};

use super::DEFAULT_AUDIENCE;
use crate::environment;
use crate::secret::Secret;
#[cfg(feature = "spiffe")]
use crate::transport::words;

/// The callable by which a session asks for it, and the source.
pub(crate) const NAME: &str = "spiffe";

/// The variable of the standard that says where it is.
const SOCKET: &str = "SPIFFE_ENDPOINT_SOCKET";

/// The Workload API, as the configuration means it.
pub(crate) struct WorkloadApi {
    /// Where it is, unless the variable says it.
    socket: Option<String>,
    /// Which of several identities.
    #[cfg_attr(not(feature = "spiffe"), expect(dead_code, reason = "only who asks needs it"))]
    spiffe_id: Option<String>,
    pub(crate) audience: String,
}

impl WorkloadApi {
    /// Whether this build asks it.
    pub(crate) const IS_SPOKEN: bool = cfg!(feature = "spiffe");

    /// What `identity_token` of a configuration means by it. With a `file` it means spiffe-helper.
    pub(crate) fn named_by(identity_token: &Value) -> Option<Self> {
        let text = |name: &str| identity_token[name].as_str().map(str::to_owned);
        let means_it = identity_token["source"] == NAME && identity_token.get("file").is_none();
        let audience = text("audience").unwrap_or_else(|| DEFAULT_AUDIENCE.to_owned());
        means_it.then(|| Self { socket: text("socket"), spiffe_id: text("spiffe_id"), audience })
    }

    /// The path of its socket. An `Err` says what is wrong with what names it.
    pub(crate) fn socket(&self) -> Result<PathBuf, String> {
        let of_variable = || environment::variable(SOCKET).filter(|value| !value.trim().is_empty());
        let (what, value) = match (&self.socket, of_variable()) {
            (Some(socket), _) => ("socket of the configuration".to_owned(), socket.clone()),
            (None, Some(value)) => (format!("the variable {SOCKET}"), value.trim().to_owned()),
            (None, None) => {
                return Err(format!(
                    "neither `socket` nor {SOCKET} says where the Workload API is, such as unix:///run/spire/agent.sock"
                ));
            }
        };
        // The standard has `unix:///path`; SPIRE takes `unix:/path` as well, and people write the path alone.
        let path = value.strip_prefix("unix:").map_or(value.as_str(), |path| path.strip_prefix("//").unwrap_or(path));
        if path.starts_with('/') && path.len() > 1 {
            return Ok(PathBuf::from(path));
        }
        Err(format!(
            "{what} is not the absolute path of a Unix socket, such as unix:///run/spire/agent.sock; no other way is taken"
        ))
    }
}

#[cfg(feature = "spiffe")]
impl WorkloadApi {
    /// Asks for the JWT-SVID: that of the identity that the configuration names, or the first.
    pub(crate) async fn ask(&self, socket: &Path) -> Result<Secret, String> {
        let wanted = self.spiffe_id.as_deref().map(SpiffeId::new).transpose();
        let wanted = wanted.map_err(|error| format!("`spiffe_id` of the configuration is no SPIFFE ID: {error}"))?;
        let client = WorkloadApiClient::connect(Endpoint::Unix(socket.to_owned())).await;
        let client = client.map_err(|error| {
            format!(
                "nothing answers at {}: check that the agent runs, and that its socket is mounted ({})",
                socket.display(),
                words(&error)
            )
        })?;
        let svid = client.fetch_jwt_svid([&self.audience], wanted.as_ref()).await.map_err(|error| self.refused(&error))?;
        // An agent that gives another one than was asked for is not to be trusted with the choice.
        if wanted.as_ref().is_some_and(|wanted| svid.spiffe_id() != wanted) {
            return Err(format!("the Workload API gave the identity {}, which was not asked for", svid.spiffe_id()));
        }
        if !svid.audience().contains(&self.audience) {
            return Err(format!("the Workload API gave a JWT-SVID that is not for the audience {}", self.audience));
        }
        Ok(Secret::from(svid.token()))
    }

    /// What the answers of the standard mean for whoever set this up.
    fn refused(&self, error: &WorkloadApiError) -> String {
        let of_which = self.spiffe_id.as_ref().map_or(String::new(), |id| format!(" {id}"));
        match error {
            WorkloadApiError::NoIdentityIssued | WorkloadApiError::PermissionDenied(_) => format!(
                "the Workload API issues no identity{of_which} to this workload: make a registration entry whose selectors match it ({error})"
            ),
            error if error.is_invalid_argument() => {
                format!("the Workload API does not take the request for the audience {} ({})", self.audience, words(error))
            }
            WorkloadApiError::JwtSvid(_) => "the Workload API gave something that is no JWT-SVID".to_owned(),
            error => format!("the Workload API gave no JWT-SVID{of_which}: {}", words(error)),
        }
    }
}

#[cfg(not(feature = "spiffe"))]
impl WorkloadApi {
    pub(crate) async fn ask(&self, _socket: &Path) -> Result<Secret, String> {
        Err("this build does not speak the Workload API: build the crate with its feature `spiffe`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn socket(text: &str) -> Result<PathBuf, String> {
        WorkloadApi::named_by(&json!({ "source": "spiffe", "socket": text })).unwrap().socket()
    }

    #[test]
    fn a_socket_is_an_absolute_path() {
        for text in ["unix:///run/spire/agent.sock", "unix:/run/spire/agent.sock", "/run/spire/agent.sock"] {
            assert_eq!(socket(text), Ok(PathBuf::from("/run/spire/agent.sock")), "{text}");
        }
        for text in ["tcp://127.0.0.1:8000", "unix://host/run/agent.sock", "unix:agent.sock", "agent.sock", "/", "unix:///"] {
            assert!(socket(text).unwrap_err().contains("not the absolute path of a Unix socket"), "{text}");
        }
    }

    #[test]
    fn a_file_means_spiffe_helper() {
        assert!(WorkloadApi::named_by(&json!({ "source": "spiffe", "file": "/run/token" })).is_none());
        assert!(WorkloadApi::named_by(&json!({ "source": "file" })).is_none());
        let api = WorkloadApi::named_by(&json!({ "source": "spiffe" })).unwrap();
        assert_eq!((api.audience.as_str(), api.socket), (DEFAULT_AUDIENCE, None));
    }
}
