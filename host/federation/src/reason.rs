//! Why an exchange is refused, and whom it concerns.

use std::fmt;

/// Who was involved in a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parties {
    /// The rule that an exchange named.
    pub federation_rule_id: Option<String>,
    /// The organization that an exchange named, or that an access token belongs to.
    pub organization_id: Option<String>,
    /// The rule's target.
    pub service_account_id: Option<String>,
    /// The workspace of the access token.
    pub workspace_id: Option<String>,
    /// The `iss` of an identity token whose signature was good.
    pub issuer: Option<String>,
    /// The `sub` of an identity token whose signature was good.
    pub subject: Option<String>,
}

/// The true reason of a refusal. Senders of exchanges are not told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The body, a field or a header does not have its form. The sender is told.
    RequestMalformed,
    /// The body is larger than the endpoint takes.
    RequestTooLarge,
    /// The `anthropic-beta` header does not hold what was asked for by a switch. The sender is told.
    BetaRefused,
    /// There is no such federation rule in that organization.
    RuleNotFound,
    /// The rule is archived.
    RuleArchived,
    /// The rule's issuer is archived.
    IssuerArchived,
    /// The rule's target is archived.
    ServiceAccountArchived,
    /// The service account that was named is not the rule's target.
    ServiceAccountNotFound,
    /// The identity token is larger than 16 KiB.
    AssertionTooLarge,
    /// The identity token is not three segments of base64url, or its header or payload is not a JSON object.
    AssertionMalformed,
    /// The identity token's algorithm is not one of RS, PS and ES, or not that of its key.
    AlgorithmRefused,
    /// The identity token's header has no `kid`.
    KeyIdMissing,
    /// The issuer has no key of that `kid`.
    KeyUnknown,
    /// The issuer's keys could not be fetched.
    JwksUnavailable,
    /// The signature is not the issuer's.
    SignatureInvalid,
    /// `iss` is not the issuer, byte for byte.
    IssuerMismatch,
    /// A required claim is missing.
    ClaimMissing,
    /// A claim does not have its type.
    ClaimMalformed,
    /// `iat` is more than the leeway in the future.
    JwtIssuedInFuture,
    /// `exp` is more than the leeway in the past.
    JwtExpired,
    /// `nbf` is more than the leeway in the future.
    JwtNotYetValid,
    /// `exp - iat` is longer than the issuer's limit.
    JwtLifetimeTooLong,
    /// `aud` does not contain the rule's audience.
    AudienceMismatch,
    /// `sub` is not the rule's.
    MatchSubjectPrefix,
    /// A claim is not the rule's.
    MatchClaims,
    /// The rule's condition is false, or has no answer.
    MatchCondition,
    /// The rule is enabled in several workspaces, and none was named.
    WorkspaceIdRequired,
    /// The rule is not enabled in the workspace that was named, or the service account is not its member.
    WorkspaceNotAccessible,
    /// The rule's scope is more than its target may have, or the access token's less than the endpoint needs.
    InsufficientScope,
    /// An identity token with this `jti` was exchanged before.
    JtiReused,
    /// The request to the API carried no credential.
    CredentialMissing,
    /// The request to the API carried more than one credential.
    CredentialAmbiguous,
    /// `x-api-key` was sent; an access token belongs in `Authorization`.
    ApiKeyInvalid,
    /// The access token was not minted here.
    TokenUnknown,
    /// The access token's lifetime is over.
    TokenExpired,
    /// The access token was revoked.
    TokenRevoked,
}

impl Reason {
    /// A name that stays the same between versions; those of exchanges are the real service's where it has one.
    pub fn code(self) -> &'static str {
        match self {
            Self::RequestMalformed => "request_malformed",
            Self::RequestTooLarge => "request_too_large",
            Self::BetaRefused => "beta_refused",
            Self::RuleNotFound => "rule_not_found",
            Self::RuleArchived => "rule_archived",
            Self::IssuerArchived => "issuer_archived",
            Self::ServiceAccountArchived => "service_account_archived",
            Self::ServiceAccountNotFound => "service_account_not_found",
            Self::AssertionTooLarge => "assertion_too_large",
            Self::AssertionMalformed => "assertion_malformed",
            Self::AlgorithmRefused => "algorithm_refused",
            Self::KeyIdMissing => "key_id_missing",
            Self::KeyUnknown => "key_unknown",
            Self::JwksUnavailable => "jwks_unavailable",
            Self::SignatureInvalid => "signature_invalid",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::ClaimMissing => "claim_missing",
            Self::ClaimMalformed => "claim_malformed",
            Self::JwtIssuedInFuture => "jwt_issued_in_future",
            Self::JwtExpired => "jwt_expired",
            Self::JwtNotYetValid => "jwt_not_yet_valid",
            Self::JwtLifetimeTooLong => "jwt_lifetime_too_long",
            Self::AudienceMismatch => "audience_mismatch",
            Self::MatchSubjectPrefix => "match_subject_prefix",
            Self::MatchClaims => "match_claims",
            Self::MatchCondition => "match_condition",
            Self::WorkspaceIdRequired => "workspace_id_required",
            Self::WorkspaceNotAccessible => "workspace_not_accessible",
            Self::InsufficientScope => "insufficient_scope",
            Self::JtiReused => "jti_reused",
            Self::CredentialMissing => "credential_missing",
            Self::CredentialAmbiguous => "credential_ambiguous",
            Self::ApiKeyInvalid => "api_key_invalid",
            Self::TokenUnknown => "token_unknown",
            Self::TokenExpired => "token_expired",
            Self::TokenRevoked => "token_revoked",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
