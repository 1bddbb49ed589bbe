//! Where a request goes.

use crate::bindings::wasi::http::types::{Request, Scheme};

/// Whether it is ours to care for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The credential's origin.
    Origin,
    Elsewhere,
}

impl Target {
    pub(crate) fn of(request: &Request, origin: &str) -> Self {
        let scheme = request.get_scheme();
        let scheme = match &scheme {
            Some(Scheme::Http) => Some("http"),
            Some(Scheme::Https) => Some("https"),
            Some(Scheme::Other(other)) => Some(other.as_str()),
            None => None,
        };
        Self::among(scheme, request.get_authority().as_deref(), origin)
    }

    /// A request without a scheme goes where the host likes; it is sent on with the origin's own. One without an authority has
    /// no origin to compare, and carries nothing of ours.
    fn among(scheme: Option<&str>, authority: Option<&str>, origin: &str) -> Self {
        let (Some((origins, _)), Some(authority)) = (origin.split_once("://"), authority) else { return Self::Elsewhere };
        let host = without_user(authority);
        let found = wif_engine::origin_of(&format!("{}://{host}", scheme.unwrap_or(origins)));
        // What the engine does not take for an origin can be none that it has a token for.
        if found.is_ok_and(|found| found == origin) { Self::Origin } else { Self::Elsewhere }
    }
}

/// The authority without a name and password, which would be a credential.
pub(crate) fn without_user(authority: &str) -> &str {
    authority.rsplit_once('@').map_or(authority, |(_, host)| host)
}

/// The scheme of an origin.
pub(crate) fn scheme_of(origin: &str) -> Scheme {
    if origin.starts_with("http://") { Scheme::Http } else { Scheme::Https }
}

#[cfg(test)]
mod tests {
    use super::*;

    const API: &str = "https://api.anthropic.com";

    fn goes(scheme: Option<&str>, authority: &str) -> Target {
        Target::among(scheme, Some(authority), API)
    }

    /// E2: where a request goes.
    #[test]
    fn an_origin_is_compared_in_normal_form() {
        for authority in ["api.anthropic.com", "API.Anthropic.com", "api.anthropic.com:443", "user:password@api.anthropic.com"] {
            assert_eq!(goes(Some("https"), authority), Target::Origin, "{authority}");
            assert_eq!(goes(None, authority), Target::Origin, "{authority}");
            assert_eq!(goes(Some("HTTPS"), authority), Target::Origin, "{authority}");
        }
    }

    /// B1 (only the origin itself), E2 (where a request goes).
    #[test]
    fn what_only_resembles_the_origin_is_another() {
        let others = [
            "api.anthropic.com:80",
            "api.anthropic.com:8443",
            "api.anthropic.com.",
            "api.anthropic.com.evil.example",
            "api.anthropic.com@evil.example",
            "evil.example/api.anthropic.com",
            "api.anthropic.com/",
            "api.anthropic.com?",
            "xn--pi-7kc.anthropic.com",
            "[::1]",
            "",
        ];
        for authority in others {
            let target = goes(Some("https"), authority);
            // A path after the authority does not change where it goes; no host takes it for an authority.
            let path = authority == "api.anthropic.com/";
            assert_eq!(target, if path { Target::Origin } else { Target::Elsewhere }, "{authority}");
        }
        assert_eq!(goes(Some("http"), "api.anthropic.com"), Target::Elsewhere);
        assert_eq!(goes(Some("ftp"), "api.anthropic.com"), Target::Elsewhere);
        assert_eq!(Target::among(Some("https"), None, API), Target::Elsewhere);
    }
}
