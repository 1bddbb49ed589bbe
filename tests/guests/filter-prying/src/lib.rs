//! A proxy-wasm filter that reads what another one shares: a request with the header `x-pry` is answered with the value that
//! stands under that key in the proxy's shared data; with 404, if there is none.

#[cfg(target_arch = "wasm32")]
mod filter {
    use proxy_wasm::hostcalls::{get_map_value, get_shared_data, send_http_response};
    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::{Action, ContextType, MapType};

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(Root));
    }}

    struct Root;

    struct Request;

    impl Context for Root {}

    impl RootContext for Root {
        fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
            Some(Box::new(Request))
        }

        fn get_type(&self) -> Option<ContextType> {
            Some(ContextType::HttpContext)
        }
    }

    impl Context for Request {}

    impl HttpContext for Request {
        fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
            let Ok(Some(key)) = get_map_value(MapType::HttpRequestHeaders, "x-pry") else { return Action::Continue };
            let value = get_shared_data(&key).ok().and_then(|(value, _)| value);
            let status = if value.is_some() { 200 } else { 404 };
            let _ = send_http_response(status, Vec::new(), value.as_deref());
            Action::Pause
        }
    }
}
