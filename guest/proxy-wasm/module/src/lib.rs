//! The module that proxies load: the filter of `wif-proxy-wasm`, and nothing else.

#[cfg(target_arch = "wasm32")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    wif_proxy_wasm::start(wif_proxy_wasm::Make::default());
}
