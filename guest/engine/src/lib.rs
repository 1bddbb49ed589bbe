//! The state machine of a workload's credential: from an identity token to an access token, and from there to the next.
//!
//! It is pure: no I/O, no clock, no randomness but a seed, no unsafe code. The contract that its callers keep is written
//! down once, in `wit/session.wit`; [`contract`] holds the same types for Rust.
//!
//! ```
//! use wif_engine::{Session, contract::{Access, Capability, Clock, Event, Start}};
//!
//! let configuration = r#"{ "bearer": { "source": "literal", "value": "token-from-a-broker" } }"#;
//! let mut session = Session::open(configuration, 7, &[Capability::ReadFile], Start::Fresh).unwrap();
//! let output = session.step(Clock { wall_ms: 0, steady_ms: Some(0) }, Event::Woken);
//! assert!(matches!(output.access, Access::Usable(_)));
//! ```
//!
//! Where to look: what is configured, [`configuration`]; precedence and profiles, `discovery`; what an answer means, the table
//! in `answer`; when to refresh, `schedule`; what is known of an identity token, `ledger`; sharing, `lease`.

#![forbid(unsafe_code)]

pub mod contract;
mod secret;

pub use secret::Secret;
