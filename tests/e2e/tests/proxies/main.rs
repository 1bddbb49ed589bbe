//! The filter in proxies of the same ABI that differ from Envoy: in what they compare where a key of their shared data is missing,
//! and in the statuses that they know.

mod callers;
#[path = "../standalone/engine.rs"]
mod engine;
mod proxy;
mod requests;

use proxy::{Proxy, Rule};
use serde_json::json;
use wif_proxy_wasm_image::HOST_FUNCTIONS;

/// The rules by which one worker can be the first.
const FIT: [Rule; 2] = [Rule::ComparedWhereSomethingIs, Rule::ComparedAlways];

/// A status that no SDK knows: a function that a proxy has not.
const UNIMPLEMENTED: u32 = 12;

fn ours(request: &proxy::Request) -> Option<&str> {
    request.headers.get("authorization").map(String::as_str).filter(|value| value.starts_with("Bearer sk-ant-oat01-"))
}

/// A8, C1: the workers make one exchange, and whoever waited goes on with one credential.
#[test]
fn a_cold_start_makes_one_exchange() {
    for rule in FIT {
        let mut proxy = Proxy::new(rule, 4);
        assert!(proxy.configure(), "{rule:?}: {:?}", proxy.around().log);
        let waiting: Vec<u32> = proxy.workers.iter_mut().map(|worker| worker.request("api")).collect();
        proxy.run(5_000);
        for (worker, id) in proxy.workers.iter().zip(waiting) {
            let request = worker.seen(id);
            let log = || proxy.around().log.join("\n");
            assert!(request.passed && request.answered.is_none(), "{rule:?}: {request:?}\n{}", log());
            assert_eq!(ours(&request), Some("Bearer sk-ant-oat01-1"), "{rule:?}");
            assert_eq!(request.headers["anthropic-beta"], "theirs,oauth-2025-04-20", "{rule:?}");
            assert!(!request.headers.contains_key("x-api-key"), "{rule:?}");
        }
        assert_eq!(proxy.counts(), (1, 0), "{rule:?}");
    }
}

/// C6, C7: a 401 that one worker sees makes one exchange, and all go on with what it brings.
#[test]
fn a_rejection_makes_one_exchange() {
    for rule in FIT {
        let mut proxy = Proxy::new(rule, 4);
        assert!(proxy.configure());
        proxy.run(10_000);
        proxy.around().serial += 1;
        let rejected = proxy.workers[0].request("api");
        assert!(ours(&proxy.workers[0].seen(rejected)).is_some(), "{rule:?}");
        proxy.workers[0].respond(rejected, 401);
        proxy.run(10_000);
        for worker in &mut proxy.workers {
            let id = worker.request("api");
            assert_eq!(ours(&worker.seen(id)), Some("Bearer sk-ant-oat01-2"), "{rule:?}");
        }
        assert_eq!(proxy.counts(), (2, 0), "{rule:?}");
    }
}

/// C9: a worker that begins after a rejection, and can have no other token, does as the one that saw it: the API's own answer
/// reaches callers, whichever worker they meet.
#[test]
fn a_worker_that_comes_late_serves_a_rejected_token_on() {
    for rule in FIT {
        let mut proxy = Proxy::with(rule, 2, |settings| settings["credential"]["prefetch"] = json!(false));
        assert!(proxy.configure());
        let first = proxy.workers[0].request("api");
        proxy.run(10_000);
        assert!(proxy.workers[0].seen(first).passed, "{rule:?}");
        // The identity token is spent, and there is no other.
        proxy.workers[0].respond(first, 401);
        proxy.run(1_000);
        let requests: Vec<u32> = proxy.workers.iter_mut().map(|worker| worker.request("api")).collect();
        proxy.run(1_000);
        for (worker, id) in proxy.workers.iter().zip(requests) {
            let request = worker.seen(id);
            assert_eq!(ours(&request), Some("Bearer sk-ant-oat01-1"), "{rule:?}: {request:?}\n{}", proxy.around().log.join("\n"));
            assert!(request.passed && request.answered.is_none(), "{rule:?}: {request:?}");
        }
        assert_eq!(proxy.counts(), (1, 0), "{rule:?}");
    }
}

/// A request that goes elsewhere keeps what its caller set.
#[test]
fn what_goes_elsewhere_is_not_touched() {
    let mut proxy = Proxy::new(Rule::ComparedAlways, 1);
    assert!(proxy.configure());
    let id = proxy.workers[0].request("another");
    let request = proxy.workers[0].seen(id);
    assert!(request.passed && request.headers["authorization"] == "Bearer theirs", "{request:?}");
}

/// A8: where no worker can be the first, the configuration is refused after a bounded number of tries, by the name of the function.
#[test]
fn a_proxy_whose_workers_cannot_share_is_refused() {
    for rule in [Rule::ZeroOverwrites, Rule::NothingIsCreated] {
        let mut proxy = Proxy::new(rule, 1);
        assert!(!proxy.configure(), "{rule:?}");
        let tries = proxy.around().called["proxy_set_shared_data"];
        assert!(tries <= 1_000, "{rule:?}: {tries} tries");
        let log = proxy.around().log.join("\n");
        assert!(
            log.contains("wif: configuration-failed: the proxy's shared data") && log.contains("proxy_set_shared_data"),
            "{log}"
        );
    }
    for function in ["proxy_set_shared_data", "proxy_get_shared_data"] {
        let mut proxy = Proxy::new(Rule::ComparedWhereSomethingIs, 1);
        proxy.around().refused.insert(function.to_owned(), UNIMPLEMENTED);
        assert!(!proxy.configure(), "{function}");
        assert!(proxy.around().log.join("\n").contains("status 12"), "{:?}", proxy.around().log);
    }
}

/// E9: whichever function a proxy does not have, from the start or from some moment on: no VM ends, and no request leaves for the API with
/// another credential than ours, or without one.
#[test]
fn no_status_ends_the_vm_or_lets_a_request_through_without_our_credential() {
    for function in HOST_FUNCTIONS {
        for from_the_start in [true, false] {
            let mut proxy = Proxy::new(Rule::ComparedAlways, 2);
            let refuse = |proxy: &Proxy| proxy.around().refused.insert(function.to_owned(), UNIMPLEMENTED);
            if from_the_start {
                refuse(&proxy);
            }
            if !proxy.configure() {
                continue;
            }
            if !from_the_start {
                proxy.run(3_000);
                refuse(&proxy);
            }
            for round in 0..3 {
                let requests: Vec<u32> = proxy.workers.iter_mut().map(|worker| worker.request("api")).collect();
                proxy.run(3_000);
                for (worker, id) in proxy.workers.iter_mut().zip(requests) {
                    let request = worker.seen(id);
                    let complete = ours(&request).is_some() && !request.headers.contains_key("x-api-key");
                    assert!(!request.passed || complete, "{function}, {from_the_start}, {round}: {request:?}");
                    worker.respond(id, 401);
                }
                proxy.around().serial += 1;
            }
        }
    }
}

/// The suite calls every function that the filter needs: none is left out of what was tried.
#[test]
fn every_function_is_called() {
    let mut proxy = Proxy::new(Rule::ComparedAlways, 1);
    assert!(proxy.configure());
    proxy.workers[0].request("another");
    let waiting = proxy.workers[0].request("api");
    proxy.run(3_000);
    proxy.workers[0].respond(waiting, 401);
    proxy.around().refused.insert("proxy_http_call".to_owned(), UNIMPLEMENTED);
    proxy.run(4_000_000);
    proxy.workers[0].request("api");
    let called = proxy.around().called.clone();
    let missing: Vec<_> = HOST_FUNCTIONS.into_iter().filter(|function| !called.contains_key(function)).collect();
    // A context that ends while an exchange is out, which Envoy's tests have.
    assert_eq!(missing, ["proxy_done"]);
}
