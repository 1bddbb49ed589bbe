//! What a token endpoint decides about an exchange: whether an identity token is good, whether a rule matches it, and where it
//! leads. No request is read and none is sent here: the emulator answers by it, and `wif doctor` judges by it.
//!
//! [`Resources`] is what an organization has registered, in one document. [`Federation`] judges by it, in the order of the real
//! service: the rule, the token, what it claims, what the rule matches, the workspace, the scope, and the `jti` last, so that a
//! refusal spends nothing. [`Trial`] makes every check and tells each one. [`Keys`] hands over an issuer's public keys.

#![forbid(unsafe_code)]

mod algorithm;
mod federation;
mod ids;
mod keys;
mod matching;
mod reason;
mod report;
mod request;
mod resources;
mod spent;
mod trial;
mod verification;

pub use algorithm::{Algorithm, library_algorithm};
pub use federation::{Admission, Denial, Federation, unix_seconds};
pub use ids::{RULE_PREFIX, SERVICE_ACCOUNT_PREFIX, WORKSPACE_PREFIX, is_tagged, is_uuid, is_workspace};
pub use keys::Keys;
pub use matching::MEMBERSHIP;
pub use reason::{Parties, Reason};
pub use report::Check;
pub use request::{ExchangeRequest, GRANT_TYPE, Malformed};
pub use resources::{
    DEFAULT_AUDIENCE, DEFAULT_JWT_LIFETIME_SECONDS, Issuer, Jwks, LONGEST_JWT_LIFETIME_SECONDS, Match, Organization,
    OrganizationRole, Resources, ResourcesError, Rule, ServiceAccount, Target, Workspace, fetched_url, is_loopback, named_url,
    without_values,
};
pub use trial::Trial;
pub use verification::{LEEWAY_SECONDS, MOST_ASSERTION_BYTES};
