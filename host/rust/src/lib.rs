//! A workload's credential for the Claude API: from the identity token that the workload has anyway to an access token, and
//! from there to the next, ahead of time.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let credential = wif::Credential::discover()?;
//! let token = credential.token().await?;
//! let mut headers = http::HeaderMap::new();
//! token.apply(&mut headers); // for a request to token.origin(), and no other
//! # Ok(()) }
//! ```
//!
//! Everything is decided in a WebAssembly component that can do nothing by itself; its contract is `wit/session.wit`. This
//! crate loads it, checks what it says against a [`Policy`], does what it asks for, and keeps the current token where
//! requests find it without a lock. If the component is stopped - it panics, loops, or takes too much memory - it is opened
//! again from its journal, and the last token is served meanwhile. `Builder::native` has the same code decide without that sandbox.
//!
//! | Where to look | |
//! | --- | --- |
//! | what a request does | [`Credential::token`], [`Token::apply`], [`Credential::rejected`] |
//! | clients and proxies of `hyper`, `axum`, `tonic` and `reqwest` | [`layer`] |
//! | what may leave the process | [`Policy`] |
//! | identity tokens from a platform, such as AWS or GitHub Actions | `guest/recipes/README.md`, [`Policy::allow_source`] |
//! | why there is no token | [`Error`], [`Failure`], [`Credential::status`] |
//! | logs | events of `tracing` with the target `wif`; no event holds a secret |
//! | many credentials in one process | [`Pool`] |
//! | one exchange for many processes, or for many machines | [`Store`], [`DirectoryStore`], `RedisStore` (feature `redis`) |
//! | programs without tokio | [`blocking`] |
//! | requests by an HTTP client of one's own | [`Builder::send_requests`], and a build without the feature `http` |
//! | no sandbox, and no wasmtime | `Builder::native`, and a build without the feature `sandbox` |
//! | a driver of one's own | the module `component` |

#![cfg_attr(
    not(feature = "http"),
    allow(dead_code, unused_imports, reason = "what only the client asks for stays where it belongs")
)]

#[cfg(feature = "sandbox")]
mod bindings;
#[cfg(not(feature = "sandbox"))]
#[path = "bindings/types.rs"]
mod bindings;
pub mod blocking;
mod builder;
mod callables;
mod clock;
#[cfg(feature = "sandbox")]
pub mod component;
mod credential;
mod driver;
mod environment;
mod error;
pub mod layer;
mod limits;
#[cfg(feature = "native")]
mod native;
mod policy;
mod pool;
mod secret;
mod sender;
mod session;
mod shared;
mod snapshot;
mod status;
mod store;
mod tasks;
mod token;
mod transport;
mod vocabulary;

pub use builder::{Builder, DEFAULT_MAX_WAITERS};
pub use callables::{AssertionRequest, SignRequest, SuppliedToken, TokenRequest};
pub use clock::{BoxFuture, Clock, Reading, SystemClock};
pub use credential::Credential;
pub use driver::Start;
pub use error::{BuildError, Error, PolicyError};
pub use policy::Policy;
pub use pool::{DEFAULT_MAX_EXCHANGES, Pool};
pub use secret::Secret;
pub use sender::{SendError, SendRequest};
pub use status::{Availability, Change, Failure, IdentityTokenStatus, Note, Status, TokenStatus};
pub use store::private;
pub use store::{BoxError, CredentialsFile, DirectoryStore, Entry, MemoryStore, Store, Swapped};
#[cfg(feature = "redis")]
pub use store::{RedisError, RedisServer, RedisStore, SealingKeyError, SealingKeys};
pub use tasks::distrusted;
pub use token::Token;
pub use vocabulary::{Disposition, FailureCode, NoteCode, NoteLevel, PendingReason, Standing, State};

/// The README's program is compiled as a test of the documentation, so that it cannot fall behind.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
