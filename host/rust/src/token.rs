//! The credential of one request.

use std::fmt;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::vocabulary::Standing;

/// The two headers in which a caller may have put a credential of its own.
const CREDENTIALS: [HeaderName; 2] = [AUTHORIZATION, HeaderName::from_static("x-api-key")];

/// An access token, as headers for requests to one origin. Cheap to clone, and shows no secret under `Debug`.
#[derive(Clone)]
pub struct Token(Arc<Inner>);

struct Inner {
    id: String,
    origin: String,
    standing: Standing,
    set: Vec<(HeaderName, HeaderValue)>,
    merge: Vec<(HeaderName, HeaderValue)>,
}

impl Token {
    /// The first 16 hexadecimal digits of SHA-256 of the token. Safe to log, and what
    /// [`rejected`](crate::Credential::rejected) takes.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The only origin that this token may go to, such as `https://api.anthropic.com`. Compare it with where the request
    /// really goes, after routing.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.0.origin
    }

    /// Whether the API has rejected it. A suspect token is served where none better can be had, so that the API's own answer
    /// reaches the caller.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.0.standing
    }

    /// The headers to set, replacing every value that is there. Their values are marked sensitive, which keeps them out of
    /// `Debug` and of HPACK's table.
    #[must_use]
    pub fn headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.set
    }

    /// The headers whose comma-separated values are added where not yet present, such as `anthropic-beta`.
    #[must_use]
    pub fn merged_headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.merge
    }

    /// Puts the credential on a request to [`origin`](Self::origin): takes off the caller's own (`authorization` and
    /// `x-api-key`), sets ours, and merges the rest. Doing it twice is the same as doing it once.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for credential in &CREDENTIALS {
            headers.remove(credential);
        }
        for (name, value) in &self.0.set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.0.merge {
            merge(headers, name, value);
        }
    }

    /// The value of the header that carries the secret: `Bearer` and the token. For clients that take no header map.
    #[must_use]
    pub fn reveal_authorization(&self) -> Option<&str> {
        self.0.set.iter().find(|(name, _)| name == AUTHORIZATION).and_then(|(_, value)| value.to_str().ok())
    }

    pub(crate) fn new(
        id: String,
        origin: String,
        standing: Standing,
        mut set: Vec<(HeaderName, HeaderValue)>,
        merge: Vec<(HeaderName, HeaderValue)>,
    ) -> Self {
        for (_, value) in &mut set {
            value.set_sensitive(true);
        }
        Self(Arc::new(Inner { id, origin, standing, set, merge }))
    }
}

/// Adds the elements of a comma-separated value that no field of this name has yet, in one field, in order, each once.
fn merge(headers: &mut HeaderMap, name: &HeaderName, ours: &HeaderValue) {
    let theirs: Option<Vec<&str>> = headers.get_all(name).iter().map(|value| value.to_str().ok()).collect();
    let (Some(theirs), Ok(ours_text)) = (theirs, ours.to_str()) else {
        // Not text, so not a list that could be read: it stays as it is, and ours stands beside it.
        headers.append(name.clone(), ours.clone());
        return;
    };
    let mut elements: Vec<&str> = Vec::new();
    for element in theirs.into_iter().chain([ours_text]).flat_map(|value| value.split(',')).map(str::trim) {
        if !element.is_empty() && !elements.contains(&element) {
            elements.push(element);
        }
    }
    // Made of parts of valid values and commas.
    if let Ok(merged) = HeaderValue::from_str(&elements.join(",")) {
        headers.insert(name.clone(), merged);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { id, origin, standing, .. } = &*self.0;
        formatter
            .debug_struct("Token")
            .field("id", id)
            .field("origin", origin)
            .field("standing", standing)
            .finish_non_exhaustive()
    }
}
