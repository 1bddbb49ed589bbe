//! A local identity provider, token endpoint and Messages API, faithful to the real ones.
//!
//! [`Emulator::start`] listens on loopback and serves, without TLS:
//!
//! | Route | What it does |
//! |---|---|
//! | `POST /v1/oauth/token` | exchanges an identity token for an access token (RFC 7523 section 2.1, with a JSON body) |
//! | `POST /v1/messages` | answers a message, whole or streamed, to whoever holds such an access token |
//! | `GET`, `HEAD /api/hello` | answers 200 |
//!
//! Identity tokens come from [`Emulator::identity_provider`]: JWTs with real signatures by keys made at start, which a
//! [`TokenFile`] publishes in a directory the way a kubelet does. A refused exchange tells its sender nothing, as in
//! production; the true [`Reason`] stands in [`Emulator::history`], which never holds a token.
//!
//! What goes wrong in production can be made to go wrong here: [`Emulator::inject`] scripts [`Fault`]s for the
//! exchanges to come, [`Emulator::set_outage`] keeps one up until it is taken down, and [`Emulator::revoke`] ends an
//! access token early. Time comes from a [`Clock`] that the caller may move.
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
mod envelope;
mod exchange;
mod faults;
mod history;
mod identity;
mod messages;
mod options;
mod random;
mod server;
mod token_id;

pub use clock::{Clock, SystemClock};
pub use emulator::{Emulator, StartError};
pub use exchange::GRANT_TYPE;
pub use faults::Fault;
pub use history::{Counts, Entry, Kind, Outcome, Reason};
pub use identity::{IdentityProvider, IdentityToken, TokenBuilder};
#[cfg(unix)]
pub use identity::{Rotation, TokenFile, TokenFileError};
pub use options::{Algorithm, ErrorShape, Options, OptionsError};
pub use token_id::TokenId;
