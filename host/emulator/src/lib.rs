//! A local identity provider, token endpoint and API, faithful to the real ones.
//!
//! [`Emulator::start`] listens on loopback and serves, without TLS:
//!
//! | Route | What it does |
//! |---|---|
//! | `POST /v1/oauth/token` | exchanges an identity token for an access token (RFC 7523 section 2.1, with a JSON body) |
//! | | also for a person's login: the grants `authorization_code` (with PKCE) and `refresh_token`, which can be used once |
//! | `GET`, `POST /oauth/authorize`, `GET /oauth/code/callback` | the page that asks a person, and the one that shows a code to paste |
//! | `POST /v1/messages` | answers a message, whole or streamed, to whoever holds such an access token |
//! | `POST /v1/messages/count_tokens`, `GET /v1/models`, `GET /v1/models/{id}` | likewise |
//! | `GET /v1/files` | an empty list; needs the scope `workspace:developer` |
//! | `GET /v1/organizations/me` | the organization; needs the scope `org:admin` |
//! | `GET`, `HEAD /api/hello` | answers 200 |
//! | `GET /.well-known/openid-configuration`, `GET /.well-known/jwks.json` | the identity provider's documents |
//!
//! Identity tokens come from [`Emulator::identity_provider`]: JWTs with real signatures by keys made at start, which a
//! [`TokenFile`] publishes in a directory the way a kubelet does. A refused exchange tells its sender nothing, as in
//! production; the true [`Reason`] stands in [`Emulator::history`], which never holds a token.
//!
//! Who may exchange what is said by [`Resources`], one document with organizations, workspaces, service accounts, issuers and
//! rules; without one there is one of each. [`Emulator::try_out`] tells of an identity token and a rule which check passes and
//! which fails, so that a rule can be tried before it is created.
//!
//! What goes wrong in production can be made to go wrong here: [`Emulator::inject`] scripts [`Fault`]s for the
//! exchanges to come, [`Emulator::set_outage`] keeps one up until it is taken down, [`Emulator::inject_api`] and
//! [`Emulator::set_api_outage`] do the same for the API, [`Emulator::set_switches`] turns what stays turned, and
//! [`Emulator::revoke`] ends an access token early. Time comes from a [`Clock`] that the caller may move.
//!
//! # Administration
//!
//! All of this can be had over HTTP as well, at [`Options::admin`]: for people, and for tests in other languages. The listener
//! is apart from the others, on loopback; it takes no credential, and refuses what names another host or comes from a web
//! page. Bodies are JSON.
//!
//! | Route | What it does |
//! |---|---|
//! | `GET /state` | addresses, clocks and counts |
//! | `GET`, `PUT /switches` | [`Switches`] |
//! | `GET`, `PUT`, `DELETE /faults` | `{"exchange": {"next": [fault], "outage": fault}, "api": {…}}`; names are at [`Fault::from_json`] |
//! | `POST /faults` | adds one: `{"endpoint": "exchange", "fault": "lost_answer", "times": 1}` |
//! | `GET /history?since=N` | [`Entry`], from that number on |
//! | `GET`, `PUT /resources` | [`Resources`] |
//! | `POST /try` | [`Trial`] of an exchange: `{"assertion": …, "federation_rule_id": …, "organization_id": …}` |
//! | `POST /identity-tokens` | mints one: `{"federation_rule_id", "claims", "without_claims", "lifetime_seconds", "key_id"}`, all optional |
//! | `POST /token-file/rotate` | rotates the published identity token |
//! | `POST /revoke` | `{"access_token_id": …}` or `{"all": true}` |
//! | `GET /keys` | the identity provider's keys |
//! | `POST /keys/publish`, `/keys/rotate` | the next key, ahead or at once: `{"algorithm": "ES256"}` |
//! | `POST /keys/withdraw`, `/keys/forget` | the old keys go; the service's cache goes |
//! | `POST /clock/advance` | `{"seconds": 60}` |
//!
//! # What is not as in production
//!
//! - There is no TLS, and only loopback is listened on.
//! - Keys may be fetched by plain HTTP and from any port if the host is loopback.
//! - [`Jwks::Emulator`] exists, so that a rule for an issuer that cannot be reached from here can be tried with tokens of the
//!   emulator's own.
//! - Of the Admin API there is one route; what it would create stands in the document. Fetching keys is never paused.
//! - A message always says the same, whatever the model.
//! - With [`Options::rotate_when_exchanged`] a published identity token rotates as fast as it is used, for those who try a program
//!   again and again.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use wif_emulator::{Emulator, Options};
//!
//! let emulator = Emulator::start(Options::default()).await?;
//! let identity_token = emulator.identity_provider().mint();
//! // … POST identity_token.expose() to {emulator.base_url()}/v1/oauth/token …
//! for entry in emulator.history() {
//!     println!("{} {} {:?}", entry.request_id, entry.kind.code(), entry.reason);
//! }
//! emulator.shutdown().await;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod clock;
mod emulator;
mod exchange;
mod faults;
mod history;
mod http;
mod identity;
mod options;
mod random;
mod switches;
mod token_id;

pub use clock::{Clock, ClockError, SystemClock};
pub use emulator::{Emulator, StartError};
pub use exchange::key_fetcher;
pub use faults::{ApiFault, Fault, FaultError};
pub use history::{Counts, Entry, Kind, Outcome};
pub use identity::{IdentityProvider, IdentityToken, KeyError, TokenBuilder};
#[cfg(unix)]
pub use identity::{Rotation, TokenFile, TokenFileError};
pub use options::{ErrorShape, Options, OptionsError};
pub use switches::{Betas, Switches};
pub use token_id::TokenId;
pub use wif_federation::{
    Algorithm, Check, GRANT_TYPE, Issuer, Jwks, Match, Organization, OrganizationRole, Parties, Reason, Resources,
    ResourcesError, Rule, ServiceAccount, Target, Trial, Workspace,
};
