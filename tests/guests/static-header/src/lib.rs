//! A proxy-wasm filter that sets `authorization` to the value that is its configuration, on every request, and does nothing
//! else: what WebAssembly costs in a proxy at least.

#[cfg(target_arch = "wasm32")]
mod filter {
    use std::rc::Rc;

    use proxy_wasm::hostcalls::{get_buffer, set_map_value};
    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::{Action, BufferType, ContextType, MapType};

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(Root("".into())));
    }}

    struct Root(Rc<str>);

    struct Request(Rc<str>);

    impl Context for Root {}

    impl RootContext for Root {
        fn on_configure(&mut self, bytes: usize) -> bool {
            let value = get_buffer(BufferType::PluginConfiguration, 0, bytes).ok().flatten();
            let Some(value) = value.and_then(|value| String::from_utf8(value).ok()) else { return false };
            self.0 = value.into();
            true
        }

        fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
            Some(Box::new(Request(Rc::clone(&self.0))))
        }

        fn get_type(&self) -> Option<ContextType> {
            Some(ContextType::HttpContext)
        }
    }

    impl Context for Request {}

    impl HttpContext for Request {
        fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
            let _ = set_map_value(MapType::HttpRequestHeaders, "authorization", Some(&self.0));
            Action::Continue
        }
    }
}
