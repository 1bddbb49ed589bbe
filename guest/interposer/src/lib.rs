//! Adds the credential to another component's requests: the world `interposer` of `wit/worlds.wit`.
//!
//! Composed with an application (`wac plug application.wasm --plug interposer.wasm`), it stands between the application's client
//! of `wasi:http` and the host's, and asks the component that it is composed with in turn, `wif-standalone-async`, for the
//! credential. It holds no state: what outlives a request is there.
//!
//! ## What it does
//!
//! **To the credential's origin** goes exactly one credential: ours. Every form of the application's own is taken off the
//! fields, the trailers and the URL; the list is the engine's, the same for every host. Whatever comes back has no field and no
//! trailer that holds the token, though the API or who stands before it echoes what it was sent.
//!
//! **To every other origin** requests go untouched, with whatever they carry, and so do their answers. To learn that it is another
//! one starts no exchange.
//!
//! **Without a credential** go `CONNECT`, `OPTIONS`, `TRACE` and upgrades to that origin. The application's own is taken off
//! these, too.
//!
//! **Without a token** nothing is sent: the application gets the answer that a proxy would give, 503 with `Retry-After`, in the
//! form of the API's own errors, which clients know how to meet. An error code would tell them neither when to try again nor
//! why. As long as the configuration does not tell the origin, no request goes anywhere.
//!
//! **A 401** from the origin (for gRPC also `UNAUTHENTICATED` without a message) is reported with the token's id. If another
//! token is to be had, and the body has been sent whole and is no longer than a mebibyte, the request is sent once more with
//! that. Otherwise, and the second time, the 401 is the answer; the next request has the new token.
//!
//! **An application that gives its call up** takes nothing with it that others wait for: the exchange that its call began runs on.
//!
//! ## Instances
//!
//! Runtimes drop instances at will: `wasmtime serve` gives one instance of WASI 0.3 at most 128 requests, 16 at once, and drops it
//! after a second without one; other hosts make one for every request. So name a directory in `WIF_STORE_DIRECTORY` that all of them
//! see, as `wif-standalone` says: then they make one exchange between them. A refresh holds nobody up, and is ended though its
//! instance gets no other request, for the host keeps an instance that still has work.
//!
//! ## What it costs
//!
//! On two busy cores, host code hardly optimised, best of five rounds of 400 calls through an application that collects the
//! answer: 0.5 ms for a call elsewhere and 0.8 ms for one to the API where an instance serves all of them; 1.4 ms and 1.8 ms where
//! each has its own, which reads the token from the directory. `cargo test -p wif-e2e --test interposer cost -- --ignored
//! --nocapture --test-threads=1` measures it. The answer's body is copied through the component, because wasmtime 48 takes the host's
//! own trailers, unsearched, with a stream that it knows again. The component has 196 KiB (66 KiB with gzip), names of
//! functions included.
//!
//! ## What it does not do
//!
//! **Keep the application from what the host gives it.** All components of a composition have one environment and one set of
//! directories. An application that imports `wasi:filesystem` can read the identity token and the directory of the store, if
//! it knows how; one that imports `wasi:cli/environment` sees an identity token or a key in a variable. Keep identity tokens in files,
//! and give the filesystem to no application that you do not trust.
//!
//! **Search bodies.** What the API writes into a body reaches the application as it is.
//!
//! **Send a `GET` without `content-length` before its body begins**, or has ended: nothing else tells whether it has one. The same
//! goes for `HEAD`, `DELETE`, `OPTIONS` and `TRACE`. All other requests are sent at once.
//!
//! **Stand in the way of WASI 0.2.** An application that imports `wasi:http/outgoing-handler` of 0.2 beside the client of 0.3, if only
//! by a library of its own, is composed with half of its calls: those of 0.2 pass by the interposer, unauthenticated and with
//! whatever they carry, and nothing says so. Look before composing: `wasm-tools component wit application.wasm | grep
//! outgoing-handler` must find nothing.
//!
//! **Serve WASI 0.2.** There a request's fields cannot be changed by whoever it is handed to, its body cannot be read, and an
//! answer cannot be made. Applications of WASI 0.2 use a gateway.

#![deny(unsafe_code)]

mod answer;
mod body;
mod exchange;
mod fields;
mod target;

use bindings::exports::wasi::http::client::Guest;
use bindings::wasi::http::client;
use bindings::wasi::http::types::{ErrorCode, Request, Response};
use bindings::wif::interposer::shared_token as token;
use target::Target;

#[allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, reason = "generated; documented in wit/")]
mod bindings {
    wit_bindgen::generate!({ path: ["../../wit", "../../wit/interposer"], world: "wif:interposer/interposer", generate_all });
    export!(Interposer with_types_in self);
    use super::Interposer;
}

struct Interposer;

impl Guest for Interposer {
    async fn send(request: Request) -> Result<Response, ErrorCode> {
        let origin = match token::get_origin() {
            Ok(origin) => origin,
            Err(failure) => return Ok(answer::without_token(&failure)),
        };
        match Target::of(&request, &origin) {
            Target::Elsewhere => client::send(request).await,
            Target::Origin => exchange::send(request, &origin).await,
        }
    }
}
