//! Lifetimes that cannot work together, told before the first outage.

use crate::configuration::IdentityTokenSource;
use crate::identity_token::About;
use crate::session::POLL_MS;

/// An issuer accepts no longer lifetime unless it is raised, in milliseconds.
const USUAL_MAX_LIFETIME_MS: u64 = 3_600_000;

/// A conflict of lifetimes. Its numbers change with every token; it is told once.
#[derive(Debug)]
pub(crate) struct Warning {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

/// Which conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    LivesTooLong,
    NeverRotates,
    DiesBeforeRotation,
}

/// What an identity token and its source tell by themselves.
pub(crate) fn of_identity_token(about: &About, source: Option<&IdentityTokenSource>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if about.lifetime_ms() > USUAL_MAX_LIFETIME_MS {
        let text = format!(
            "The identity token lives {} s; issuers accept 3600 s unless max_jwt_lifetime_seconds is raised.",
            about.lifetime_ms() / 1000
        );
        warnings.push(Warning { kind: Kind::LivesTooLong, text });
    }
    if about.has_jti && matches!(source, Some(IdentityTokenSource::Literal(_) | IdentityTokenSource::Variable(_))) {
        let text = "The identity token can be exchanged once, and its source does not rotate it: use a file, or a callable.";
        warnings.push(Warning { kind: Kind::NeverRotates, text: text.to_owned() });
    }
    warnings
}

/// What they tell beside the lifetime of the access token that was issued for it. Requests fail from its last usable moment until
/// the next identity token was found; an exchange that comes late in an identity token's life makes the first gap the shortest.
pub(crate) fn of_lifetimes(single_use: bool, about: &About, lifetime_ms: u64, wall_ms: u64) -> Option<Warning> {
    let usable = lifetime_ms - (lifetime_ms / 12).min(5_000);
    let found = about.rotation_expected_ms().saturating_add(POLL_MS);
    if !single_use || found <= wall_ms.saturating_add(usable) {
        return None;
    }
    let period = found.saturating_sub(about.issued_at_ms);
    let text = format!(
        "The access token lives {} s. The identity token can be exchanged once, and may rotate only after {} s: requests fail for up to \
         {} s before each rotation. Raise the rule's token_lifetime_seconds to {}, or shorten the identity token's life.",
        lifetime_ms / 1000,
        period / 1000,
        period.saturating_sub(usable) / 1000 + 1,
        period / 1000 + 120,
    );
    Some(Warning { kind: Kind::DiesBeforeRotation, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(lifetime_s: u64) -> About {
        About {
            whose: String::new(),
            id: String::new(),
            issuer: String::new(),
            subject: String::new(),
            audience: String::new(),
            issued_at_ms: 0,
            expires_at_ms: lifetime_s * 1000,
            not_before_ms: 0,
            has_jti: true,
        }
    }

    #[test]
    fn a_token_that_dies_before_the_next_rotation_is_warned_of() {
        assert!(of_lifetimes(true, &about(3600), 600_000, 0).is_some());
        assert!(of_lifetimes(true, &about(3600), 3_600_000, 0).is_none());
        assert!(of_lifetimes(true, &about(600), 600_000, 0).is_none());
        assert!(of_lifetimes(true, &about(600), 570_000, 0).is_some(), "it is looked for every five seconds");
        assert!(of_lifetimes(true, &about(600), 577_000, 0).is_some(), "a token is not served in its last five seconds");
        assert!(of_lifetimes(true, &about(40), 60_000, 0).is_none(), "whoever lets it live 40 s rotates it in that time");
        assert!(of_lifetimes(false, &about(3600), 600_000, 0).is_none());
    }
}
