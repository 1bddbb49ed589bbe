//! The component inside Envoy, as a dynamic module. **Experimental**: Envoy promises little about the interface, and this module
//! takes one version of Envoy and no other. How it is built and loaded stands in `README.md`, with configurations to copy.
//!
//! It does what the proxy-wasm filter of this project does, with the same configuration where that makes sense, as a downstream
//! and as an upstream HTTP filter. What is different:
//!
//! - The component runs in the Rust host, `wif`, on a thread of the module's own, one for each configuration; files, variables
//!   and the token endpoint are reached from there and not through clusters. A request reads the host's snapshot, which all
//!   worker threads share, and does not enter WebAssembly.
//! - A module is part of Envoy's process. Whoever loads it trusts it with everything that Envoy has.
//!
//! # Configuration
//!
//! ```json
//! {
//!   "credential": { "federation": { "…": "…" } },
//!   "origin": "https://api.anthropic.com",
//!   "clusters": ["anthropic"],
//!   "waiting": { "requests": 1000, "at_most_ms": 30000 }
//! }
//! ```
//!
//! | Key | Meaning |
//! | --- | --- |
//! | `credential` | the configuration document of the component, as it is |
//! | `origin` | where the clusters lead; by default the credential's `base_url`, or else the API. Exchanges go there and nowhere else, and a token for another origin is not put on requests. An origin that stands here may be in a private network |
//! | `clusters` | the names of the clusters by which requests leave that carry the credential; others are not touched. Or `"all"`: no request is asked for its cluster, and whatever passes carries the credential. That holds in the chain of a cluster, and in a listener's where the module is off (`disabled: true`) and on for the API's routes; Envoy does not tell the module where it stands, so nobody notices a mistake |
//! | `waiting` | how many requests of this configuration wait for a token at once, and for how long each at most; beyond that 503 |
//!
//! Any other key is an error. An error is in Envoy's log, names the field, and refuses the configuration.
//!
//! # What it does to requests
//!
//! Requests that Envoy routes to one of the clusters, and with `"all"` those that pass, carry exactly one credential: ours. Every
//! form of the caller's own is taken off, also from trailers. `CONNECT`, `OPTIONS`, `TRACE` and upgrades carry none. Without a
//! token a request is paused, and when there is none to be had it is answered with 503 and `retry-after`, in the form of the
//! API's errors; the header `x-wif-code` says why. A 401 from the API is a rejection of the token that the request carried: as an
//! upstream filter, with the router's retry on 401, the request is sent once more, with another token. With
//! `include_request_attempt_count: true` on the virtual host the module knows such a request, and lets it wait for the other
//! token for as long as `waiting.at_most_ms`; without, for `wait_at_most_ms` of the credential, a second by default, and then it
//! goes with the one that it had.
//!
//! Envoy sends no more than three requests again at a time unless the cluster's `circuit_breakers` say otherwise (`max_retries`):
//! with fewer than there are requests under way, callers see some of the answers to a revoked token. A `hedge_policy` must not be used
//! beside an upstream filter.
//!
//! When the answer begins, or the stream ends, our credential is taken off the request again: an access log or a tap that asks for
//! it finds none. The one exception is an upstream filter whose request is never answered.
//!
//! A redirect that Envoy itself follows to another cluster loses our credential on the way, where `clusters` has names. A mirror
//! (`request_mirror_policies`) beside a downstream filter does not: take the credential off there, by
//! `request_headers_mutations`.
//!
//! As a downstream filter it must be the last before the router, for what comes later may route the request elsewhere.
//!
//! # Metrics
//!
//! Named as the filter's, with `dynamicmodulescustom.` before them: a counter `wif_<code>` for each code of the notes, with `_` for
//! `-`; `wif_requests_waited`, `wif_requests_refused`, `wif_requests_elsewhere`; and two gauges. Configurations in
//! the chains of listeners share them all, and so do those of one `metrics_namespace`, if there are such; in the chain of a cluster
//! `cluster.<name>.` stands before all of them.
//!
//! - `wif_requests_waiting`: the requests that wait for a token, in all configurations that share it.
//! - `wif_token_unusable_at_seconds`: when the first token of all configurations in this process is served no longer, in Unix time,
//!   wherever it is told; zero while one of them has none, unless nobody has asked it for one yet. A token that never ends is served until a moment that nobody lives to see.
//!
//! # What goes on in the process
//!
//! Configurations of one process act as one: they share a store, so that a reload, or a second listener with the same credential,
//! makes no exchange; and a configuration with another identity knows which identity tokens were spent. All that is in memory,
//! tokens included, for as long as the process lives.
//!
//! A panic fails one request, closed, and never ends Envoy. The component's traps are explicit checks: no signal handler is
//! installed. There is no compiler in the module.
//!
//! # Updates
//!
//! Never write over a module that a running Envoy has loaded: that would end Envoy. Put the new one beside it under another name,
//! and name that in the configuration; the old one stays in memory.

#![cfg(unix)]
#![deny(unsafe_code)]

mod abi;
mod filter;
mod guard;
mod hooks;
mod log;
mod metrics;
mod module;
mod process;
mod reply;
mod settings;
mod version;
mod waiting;
