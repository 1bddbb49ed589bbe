//! The engine as a component of WASI 0.3 that does its own I/O, for many callers at once: the world `standalone-async` of
//! `wit/interposer/worlds.wit`.
//!
//! It has the same configuration, variables, files and directory as `wif-standalone`, through the same crate, `guest/wasi`. What
//! differs is what callers wait for. There, a call holds the whole instance until it is answered, so that every caller queues behind an
//! exchange. Here any number of callers share one exchange, and callers who have a good token are answered while it runs. Nobody awaits
//! it who need not: it runs on after the call that began it, and the host keeps the instance until it has ended.
//!
//! ## Which of the two
//!
//! | | `wif-standalone` (WASI 0.2) | this one (WASI 0.3) |
//! | --- | --- | --- |
//! | exports | `wif:credential/token` | `wif:interposer/shared-token` |
//! | size, names included; with gzip | 440 KiB; 179 KiB | 499 KiB; 201 KiB |
//! | 64 callers of one instance, no token | queue; one exchange | wait together; one exchange |
//! | the endpoint hangs, the token is good | the caller that tries waits up to 35 s, and its instance with it | nobody waits |
//! | the host drops the instance after the call | the call that began the exchange waits for its end | the exchange runs on, and the instance with it |
//! | `get-token` of a good token, in one runtime that serves both | 14 us | 15 us |
//! | the runtime | any with WASI 0.2 | wasmtime 46 and later, or what is made with it |
//!
//! For what it brings, 59 KiB and a microsecond are little (`cargo test -p wif-e2e --test interposer cost -- --ignored --nocapture
//! --test-threads=1`; where the runtime's support for WASI 0.3 is off, a call of 0.2 takes 9 us). What speaks against it is the age
//! of WASI 0.3: wasmtime's own documentation of version 48 still calls its implementation experimental.
//!
//! ## WASI 0.2 inside
//!
//! Files, variables, random numbers and lines still come through WASI 0.2, which every host of 0.3 has beside it. There a call
//! to a file holds the whole instance until it returns: microseconds in memory, as long as the file system takes where it is
//! remote or busy. To read an identity token is a handful of such calls, and so is each look at the shared entry; a change of the
//! entry also waits for its sync. Callers that are served from memory meanwhile wait for that as well.
//!
//! ## Callers that give up
//!
//! A call that is cancelled takes everything with it that it has begun. So `begin` starts what is due and returns at once: nobody
//! can cancel it afterwards, and the exchange runs on. Call it before `get-token`, as `wif-interposer` does. Where `get-token`
//! is called alone and cancelled, its exchange counts as lost, and the next caller learns so within a second.

#![deny(unsafe_code)]

mod driver;
mod http;
mod time;

use bindings::exports::wif::credential::types::{Failure, Status, Usable};
use bindings::exports::wif::interposer::shared_token::Guest;

#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated; documented in wit/")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../../wit", "../../wit/interposer"],
        world: "wif:interposer/standalone-async",
        generate_all,
    });
    export!(Standalone with_types_in self);
    use super::Standalone;
}

wif_engine::shown_types!(crate::bindings::exports::wif::credential::types);

struct Standalone;

impl Guest for Standalone {
    async fn begin() -> Result<Option<Usable>, Failure> {
        Ok(driver::begin()?.map(Into::into))
    }

    async fn get_token() -> Result<Usable, Failure> {
        Ok(driver::token().await?.into())
    }

    async fn reject_token(id: String) {
        driver::reject(id);
    }

    fn get_origin() -> Result<String, Failure> {
        Ok(driver::origin()?)
    }

    fn get_status() -> Result<Status, Failure> {
        Ok(driver::status()?.into())
    }
}
