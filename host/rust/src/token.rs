//! The credential of one request.

mod fields;
mod target;

use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::vocabulary::Standing;
pub(crate) use fields::strip;
pub(crate) use target::Target;

/// An access token, as headers for requests to one origin. Cheap to clone, and shows no secret under `Debug`.
#[derive(Clone)]
pub struct Token(Arc<Inner>);

struct Inner {
    id: String,
    origin: String,
    target: Option<Target>,
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

    /// Whether a request with this URI goes to [`origin`](Self::origin): the URI names its scheme and authority, and scheme,
    /// host and port are the token's, case and default ports aside. A `host` header has no say.
    #[must_use]
    pub fn is_for(&self, uri: &Uri) -> bool {
        self.0.target.as_ref().is_some_and(|target| target.contains(uri))
    }

    /// Puts the credential on a request to [`origin`](Self::origin): takes off every form of the caller's own, sets ours, and
    /// merges the rest. Doing it twice is the same as doing it once.
    ///
    /// Taken off are, with `-` or `_` and in any number: `authorization`, `proxy-authorization`, `x-api-key`, `api-key`,
    /// `cookie`, `x-goog-…`, `x-amz-security-token`, `x-serverless-authorization`, and `anthropic-workspace-id`, for the
    /// workspace is the credential's and not the caller's. A `connection` header that names one of these, or one of ours, no
    /// longer does.
    ///
    /// # Panics
    ///
    /// The map is so full that it takes no other field: beyond 24,000 names.
    pub fn apply(&self, headers: &mut HeaderMap) {
        let Inner { set, merge, .. } = &*self.0;
        strip(headers);
        fields::keep_through_hops(headers, |name| set.iter().chain(merge).any(|(ours, _)| ours == name));
        for (name, value) in set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in merge {
            fields::merge(headers, name, value);
        }
    }

    /// Whether the map takes our fields beside those that it has.
    pub(crate) fn has_place_in(&self, headers: &mut HeaderMap) -> bool {
        headers.try_reserve(self.0.set.len() + self.0.merge.len()).is_ok()
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
        let target = Target::parse(&origin);
        Self(Arc::new(Inner { id, origin, target, standing, set, merge }))
    }

    pub(crate) fn target(&self) -> Option<&Target> {
        self.0.target.as_ref()
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
