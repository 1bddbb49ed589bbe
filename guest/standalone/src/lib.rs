//! The engine as a WASI component that does its own I/O: the world `standalone` of `wit/worlds.wit`.
//!
//! For hosts that already are component runtimes. It imports nothing but WASI 0.2, and exports `wif:credential/token`:
//!
//! | What | Where it comes from |
//! | --- | --- |
//! | the configuration, a JSON document | the variable `WIF_CONFIGURATION`; without it, discovery as in every other host |
//! | variables | `wasi:cli/environment` |
//! | the identity token's file, profiles | the preopened directory with the longest path that is a prefix, links followed |
//! | the exchange, and what a platform is asked for an identity token | `wasi:http/outgoing-handler`, which follows no redirect |
//! | the time, the jitter's seed | `wasi:clocks`, `wasi:random` |
//! | the entry that instances share | files in the directory that the variable `WIF_STORE_DIRECTORY` names, opened for writing |
//! | what somebody should look at | lines on `wasi:cli/stderr`, without secrets |
//!
//! Sources that are callables or keys of an embedding program do not exist here, and are refused when configured.
//!
//! ## What instances share
//!
//! Component runtimes drop instances at will; `wasmtime serve` makes one for every request of WASI 0.2. With
//! `WIF_STORE_DIRECTORY` all instances that see the directory, in however many processes of a machine, act as one: they use one
//! access token, make one exchange at a time, and know which identity tokens are spent. `directory` tells how. The directory is
//! for this alone: give it to nobody else (mode 0700), for it holds the access token, and put it on a file system with hard
//! links, in memory if you can. Without the variable an instance knows nothing of others, and says so on `wasi:cli/stderr`, once,
//! at the first call of whatever function, and in its status. A host that makes an instance for every request gets that line with
//! every request: it is the host for which the directory matters most.
//!
//! The first call of an instance lists the directory and reads one file: 3 ms on two busy cores with host code hardly optimised.
//! Every other takes 9 us (`cargo test -p wif-e2e --test standalone cost -- --ignored --nocapture`).
//!
//! ## What `get-token` waits for
//!
//! Nothing, while there is a token and no refresh is overdue. In the last seconds of a token it waits for a running exchange
//! for `wait_at_most_ms`, by default a second. Without a token it waits until there is one or a reason why not, at most 35
//! seconds; an exchange that takes longer is not given up, and the next call waits for it again. WASI 0.2 holds the whole
//! instance for each call: callers that must not queue behind an exchange need an instance each, or a host that keeps what it
//! was given.
//!
//! Where nothing is shared, an exchange that such a call starts runs on in the host, and the next call takes its result. Where
//! a directory is shared, there may be no next call, and the identity token would be spent in vain: the one caller whose call
//! starts an exchange waits for its end, and all others are served from the entry meanwhile.
//!
//! ## What this world cannot do
//!
//! **Protect identity tokens that can be exchanged once, without a directory.** What was exchanged is remembered in the
//! instance, and dies with it. Use an issuer whose tokens carry no `jti`, keep one instance for as long as the workload lives,
//! name a directory, or use the world `plugin` with a store.
//!
//! **Serve others during an exchange.** That takes WASI 0.3: `wif-standalone-async` is this component for many callers at once.
//!
//! **Tell the dead from the slow at once.** A lease whose holder died is taken over by an instance that saw nothing of it for
//! four seconds. Instances that live for one request do not wait that long while there is a token: the one that finds none
//! does.
//!
//! **Check who may write a profile.** WASI shows no permissions: what is mounted writable by others is the host's to know.
//!
//! **Confine itself.** It sends identity tokens where its configuration says. A host that does not trust who writes the
//! configuration allows requests to the API's origin alone, in its `wasi:http`.

#![deny(unsafe_code)]

mod driver;
mod http;

use std::cell::RefCell;

use bindings::exports::wif::credential::token::{Credential, Failure, Guest};
use bindings::exports::wif::credential::types::Status;
use driver::Driver;
use wif_engine::boundary::all;
use wif_engine::contract;

#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated; documented in wit/")]
mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "standalone" });
    export!(Standalone with_types_in self);
    use super::Standalone;
}

wif_engine::shown_types!(crate::bindings::exports::wif::credential::types);

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

    fn get_origin() -> Result<String, Failure> {
        with_driver(Driver::origin)
    }

    fn get_status() -> Result<Status, Failure> {
        with_driver(|driver| Ok(driver.status().into()))
    }
}

fn with_driver<T>(call: impl FnOnce(&mut Driver) -> Result<T, contract::Failure>) -> Result<T, Failure> {
    DRIVER
        .with_borrow_mut(|slot| {
            let driver = match slot.take() {
                Some(driver) => driver,
                None => Driver::open()?,
            };
            call(slot.insert(driver))
        })
        .map_err(Into::into)
}

impl From<contract::Usable> for Credential {
    fn from(usable: contract::Usable) -> Self {
        Self {
            id: usable.id,
            origin: usable.origin,
            set: all(usable.set),
            merge: all(usable.merge),
            refresh_in_ms: usable.refresh_in_ms,
            unusable_in_ms: usable.unusable_in_ms,
            standing: usable.standing.into(),
        }
    }
}
