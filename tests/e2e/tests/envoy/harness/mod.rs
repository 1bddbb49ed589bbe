//! What the scenarios stand on: a real Envoy, the emulator, a gate before its token endpoint, an upstream that records what
//! reaches it, and clients.

pub(crate) mod artifacts;
pub(crate) mod bootstrap;
pub(crate) mod capture;
pub(crate) mod client;
pub(crate) mod gate;
pub(crate) mod process;
pub(crate) mod tls;
pub(crate) mod world;

pub(crate) use self::bootstrap::Form;
pub(crate) use self::capture::Protocol;
pub(crate) use self::client::{Received, Traffic};
pub(crate) use self::world::{Plan, World};

/// A scenario, and a test for each of these forms of the filter.
macro_rules! in_forms {
    ([$($test:ident = $kind:ident),+] $(#[$docs:meta])* async fn $name:ident($form:ident: Form) $body:block) => {
        $(#[$docs])*
        mod $name {
            use super::*;

            async fn scenario($form: Form) $body

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    scenario(Form::$kind).await;
                }
            )+
        }
    };
}

/// A scenario that every form of the filter has to pass: a test for each.
macro_rules! in_every_form {
    ($($scenario:tt)*) => {
        $crate::harness::in_forms! {
            [downstream = Downstream, upstream = Upstream, module = Module, module_upstream = ModuleUpstream] $($scenario)*
        }
    };
}

/// A scenario that only makes sense where the filter is WebAssembly.
macro_rules! in_wasm_forms {
    ($($scenario:tt)*) => {
        $crate::harness::in_forms! { [downstream = Downstream, upstream = Upstream] $($scenario)* }
    };
}

pub(crate) use in_every_form;
pub(crate) use in_forms;
pub(crate) use in_wasm_forms;
