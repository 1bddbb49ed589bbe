//! The module that proxies load: the filter of `wif-proxy-wasm`, and nothing else.

#![allow(missing_docs, reason = "what the macro exports is the proxy's business alone")]

#[cfg(target_arch = "wasm32")]
proxy_wasm::main! {{
    wif_proxy_wasm::start();
}}
