//! The proxy-wasm filter as it is, but for one thing: a request with the header `x-crash` makes it panic. So tests see what
//! becomes of its VM, of the requests that wait in it, and of the work that it was doing.

#[cfg(target_arch = "wasm32")]
mod filter {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_get_header_map_value(map: u32, name: *const u8, length: usize, data: *mut *mut u8, bytes: *mut usize) -> u32;
    }

    /// The map of a request's headers.
    const REQUEST_HEADERS: u32 = 0;

    const NOT_FOUND: u32 = 1;

    #[unsafe(no_mangle)]
    extern "C" fn _initialize() {
        wif_proxy_wasm::start(wif_proxy_wasm::Make { on_request: Some(crash_on_command), ..Default::default() });
    }

    fn crash_on_command() {
        let (mut data, mut bytes, name) = (std::ptr::null_mut(), 0, "x-crash");
        // SAFETY: the proxy reads the name and writes through both pointers before it returns, and keeps none of them.
        let status =
            unsafe { proxy_get_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len(), &raw mut data, &raw mut bytes) };
        // A proxy may answer for a header that is not there with nothing, too. What it hands over is never freed.
        assert!(status == NOT_FOUND || data.is_null(), "as commanded");
    }
}
