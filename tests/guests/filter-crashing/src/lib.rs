//! The proxy-wasm filter as it is, but for one thing: a request with the header `x-crash` makes it panic. So tests see what
//! becomes of its VM, of the requests that wait in it, and of the work that it was doing.

#[cfg(target_arch = "wasm32")]
mod filter {
    use proxy_wasm::hostcalls::get_map_value;
    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::{Action, ContextType, LogLevel, MapType};
    use wif_proxy_wasm::{Request, Root};

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Info);
        proxy_wasm::set_root_context(|id| Box::new(CrashingRoot(Root::new(id))));
    }}

    /// Hands everything on.
    struct CrashingRoot(Root);

    struct CrashingRequest(Request);

    impl Context for CrashingRoot {
        fn on_http_call_response(&mut self, call: u32, headers: usize, body_bytes: usize, trailers: usize) {
            self.0.on_http_call_response(call, headers, body_bytes, trailers);
        }

        fn on_done(&mut self) -> bool {
            self.0.on_done()
        }
    }

    impl RootContext for CrashingRoot {
        fn on_vm_start(&mut self, bytes: usize) -> bool {
            self.0.on_vm_start(bytes)
        }

        fn on_configure(&mut self, bytes: usize) -> bool {
            self.0.on_configure(bytes)
        }

        fn on_tick(&mut self) {
            self.0.on_tick();
        }

        fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
            self.0.request(id).map(|request| Box::new(CrashingRequest(request)) as Box<dyn HttpContext>)
        }

        fn get_type(&self) -> Option<ContextType> {
            self.0.get_type()
        }
    }

    impl Context for CrashingRequest {
        fn on_done(&mut self) -> bool {
            self.0.on_done()
        }
    }

    impl HttpContext for CrashingRequest {
        fn on_http_request_headers(&mut self, headers: usize, ends: bool) -> Action {
            let command = get_map_value(MapType::HttpRequestHeaders, "x-crash");
            assert!(command.is_ok_and(|command| command.is_none()), "as commanded");
            self.0.on_http_request_headers(headers, ends)
        }

        fn on_http_request_body(&mut self, bytes: usize, ends: bool) -> Action {
            self.0.on_http_request_body(bytes, ends)
        }

        fn on_http_request_trailers(&mut self, trailers: usize) -> Action {
            self.0.on_http_request_trailers(trailers)
        }

        fn on_http_response_headers(&mut self, headers: usize, ends: bool) -> Action {
            self.0.on_http_response_headers(headers, ends)
        }

        fn on_http_response_body(&mut self, bytes: usize, ends: bool) -> Action {
            self.0.on_http_response_body(bytes, ends)
        }

        fn on_http_response_trailers(&mut self, trailers: usize) -> Action {
            self.0.on_http_response_trailers(trailers)
        }

        fn on_log(&mut self) {
            self.0.on_log();
        }
    }
}
