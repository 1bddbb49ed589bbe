//! The engine as a WASI component that does its own I/O: the world `standalone` of `wit/worlds.wit`.
//!
//! For hosts that already are component runtimes. It imports nothing but WASI 0.2, and exports `wif:credential/token`:
//!
//! | What | Where it comes from |
//! | --- | --- |
//! | the configuration, a JSON document | the variable `WIF_CONFIGURATION`; without it, discovery as in every other host |
//! | variables | `wasi:cli/environment` |
//! | the identity token's file, profiles | the preopened directory with the longest path that is a prefix, links followed |
//! | the exchange | `wasi:http/outgoing-handler`, which follows no redirect |
//! | the time, the jitter's seed | `wasi:clocks`, `wasi:random` |
//!
//! Sources that are callables or keys of an embedding program do not exist here, and are refused when configured.
//!
//! ## What `get-token` waits for
//!
//! Nothing, while there is a token and no refresh is overdue: an exchange that such a call starts runs on in the host, and
//! the next call takes its result. In the last seconds of a token it waits for a running exchange for `wait_at_most_ms`, by
//! default a second. Without a token it waits until there is one or a reason why not, at most 35 seconds; an exchange that
//! takes longer is not given up, and the next call waits for it again. WASI 0.2 holds the whole instance for each call:
//! callers that must not queue behind an exchange need an instance each, or a host that keeps what it was given.
//!
//! ## What this world cannot do
//!
//! **Protect identity tokens that can be exchanged once.** What was exchanged is remembered in the instance, and dies with it.
//! Where the host drops instances at will, or runs several, each of them exchanges the identity token that it finds, and all
//! but the first are refused until it rotates. Use an issuer whose tokens carry no `jti`, keep one instance for as long as the
//! workload lives, or use the world `plugin` with a store.
//!
//! **Check who may write a profile.** WASI shows no permissions: what is mounted writable by others is the host's to know.
//!
//! **Confine itself.** It sends identity tokens where its configuration says. A host that does not trust who writes the
//! configuration allows requests to the API's origin alone, in its `wasi:http`.

#![deny(unsafe_code)]

mod clock;
mod driver;
mod environment;
mod files;
mod http;

use std::cell::RefCell;

use bindings::exports::wif::credential::token::{Credential, Failure, Guest};
use bindings::exports::wif::credential::types::{FailureCode, Header, Standing};
use driver::Driver;
use wif_engine::contract;

#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated; documented in wit/")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "standalone" });
    export!(Standalone with_types_in self);
    use super::Standalone;
}

struct Standalone;

thread_local! {
    /// The one session of this instance. The host cannot call into an instance that is already being called, so the cell is
    /// never borrowed twice.
    static DRIVER: RefCell<Option<Driver>> = const { RefCell::new(None) };
}

impl Guest for Standalone {
    fn get_token() -> Result<Credential, Failure> {
        with_driver(|driver| Ok(driver.token()?.into()))
    }

    fn reject_token(id: String) {
        // Without a configuration there is no token to reject.
        let _ = with_driver(|driver| {
            driver.reject(id);
            Ok(())
        });
    }
}

fn with_driver<T>(call: impl FnOnce(&mut Driver) -> Result<T, Failure>) -> Result<T, Failure> {
    DRIVER.with_borrow_mut(|slot| {
        let driver = match slot.take() {
            Some(driver) => driver,
            None => Driver::open()?,
        };
        call(slot.insert(driver))
    })
}

impl From<contract::Usable> for Credential {
    fn from(usable: contract::Usable) -> Self {
        let all = |headers: Vec<contract::Header>| headers.into_iter().map(Into::into).collect();
        Self {
            id: usable.id,
            origin: usable.origin,
            set: all(usable.set),
            merge: all(usable.merge),
            refresh_in_ms: usable.refresh_in_ms,
            unusable_in_ms: usable.unusable_in_ms,
            standing: match usable.standing {
                contract::Standing::Good => Standing::Good,
                contract::Standing::Suspect => Standing::Suspect,
            },
        }
    }
}

impl From<contract::Header> for Header {
    fn from(header: contract::Header) -> Self {
        Self { name: header.name, value: header.value.into_revealed() }
    }
}

impl From<contract::Failure> for Failure {
    fn from(failure: contract::Failure) -> Self {
        Self {
            code: failure.code.into(),
            message: failure.message,
            action: failure.action,
            retry_in_ms: failure.retry_in_ms,
            status: failure.status,
            request_id: failure.request_id,
        }
    }
}

impl From<contract::FailureCode> for FailureCode {
    fn from(code: contract::FailureCode) -> Self {
        use contract::FailureCode as Code;
        match code {
            Code::Configuration => Self::Configuration,
            Code::IdentityTokenMissing => Self::IdentityTokenMissing,
            Code::IdentityTokenUnreadable => Self::IdentityTokenUnreadable,
            Code::IdentityTokenMalformed => Self::IdentityTokenMalformed,
            Code::IdentityTokenExpired => Self::IdentityTokenExpired,
            Code::IdentityTokenNotYetValid => Self::IdentityTokenNotYetValid,
            Code::IdentityTokenSpent => Self::IdentityTokenSpent,
            Code::Refused => Self::Refused,
            Code::RequestInvalid => Self::RequestInvalid,
            Code::Forbidden => Self::Forbidden,
            Code::RateLimited => Self::RateLimited,
            Code::EndpointFailed => Self::EndpointFailed,
            Code::EndpointUnreachable => Self::EndpointUnreachable,
            Code::AnswerUnusable => Self::AnswerUnusable,
            Code::TokenSourceFailed => Self::TokenSourceFailed,
            Code::StoreFailed => Self::StoreFailed,
            Code::DeniedByHost => Self::DeniedByHost,
            Code::UnsupportedByHost => Self::UnsupportedByHost,
        }
    }
}
