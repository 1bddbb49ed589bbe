//! Lifetimes that cannot work together, told before the first outage.

use crate::configuration::IdentityTokenSource;
use crate::identity_token::About;

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
        let text = "The identity token can be exchanged once and its source does not rotate it: when the access token has run out there is no \
             other. Use a file that its owner rotates, or a callable.";
        warnings.push(Warning { kind: Kind::NeverRotates, text: text.to_owned() });
    }
    warnings
}

/// What they tell beside the lifetime of the access token that was issued for it.
pub(crate) fn of_lifetimes(single_use: bool, about: &About, lifetime_ms: u64, wall_ms: u64) -> Option<Warning> {
    if !single_use {
        return None;
    }
    let rotation = about.rotation_expected_ms();
    let unusable = wall_ms.saturating_add(lifetime_ms).saturating_sub((lifetime_ms / 12).min(5_000));
    if rotation <= unusable {
        return None;
    }
    let text = format!(
        "The access token lives {} s, and the identity token, which can be exchanged once, is expected to rotate only in {} s: requests \
         will fail for {} s before each rotation. Raise the federation rule's token_lifetime_seconds above {} s, or shorten the identity \
         token's life.",
        lifetime_ms / 1000,
        rotation.saturating_sub(wall_ms) / 1000,
        (rotation - unusable) / 1000,
        rotation.saturating_sub(about.issued_at_ms) / 1000 + 120,
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
        assert!(of_lifetimes(true, &about(40), 60_000, 0).is_none(), "whoever lets it live 40 s rotates it in that time");
        assert!(of_lifetimes(false, &about(3600), 600_000, 0).is_none());
    }
}
