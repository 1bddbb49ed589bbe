//! The component, through wasmtime.

use std::sync::OnceLock;

use serde_json::Value;
use wasmtime::component::{Component, Func, Instance, Linker, ResourceAny, Type, Val};
use wasmtime::{Engine, Store};
use wif::component::json::{to_json, to_val};

use super::{Machine, Opening};

/// Each session has an instance and a store of its own, as in a host that survives traps.
pub(super) struct ComponentMachine {
    store: Store<()>,
    instance: Instance,
    session: ResourceAny,
}

impl ComponentMachine {
    pub(super) fn open(opening: &Opening) -> Result<Self, Value> {
        let (engine, component) = component();
        let mut store = Store::new(engine, ());
        // Nobody moves the epoch here, and a loop would show as a test that hangs.
        store.set_epoch_deadline(1 << 40);
        let instance =
            Linker::new(engine).instantiate(&mut store, component).expect("the component imports nothing and instantiates");
        let function = function(&mut store, &instance, "[static]session.open");
        let arguments =
            [opening.configuration.clone().into(), opening.seed.into(), opening.can.clone().into(), opening.from.clone()];
        match call(&mut store, function, None, &arguments) {
            Val::Result(Ok(Some(session))) => {
                let Val::Resource(session) = *session else { panic!("open gives a session") };
                Ok(Self { store, instance, session })
            }
            Val::Result(Err(Some(error))) => Err(to_json(&error)),
            other => panic!("open gave {other:?}"),
        }
    }

    fn call(&mut self, method: &str, arguments: &[Value]) -> Value {
        let function = function(&mut self.store, &self.instance, method);
        to_json(&call(&mut self.store, function, Some(self.session), arguments))
    }
}

impl Machine for ComponentMachine {
    fn step(&mut self, clock: &Value, event: &Value) -> Value {
        self.call("[method]session.step", &[clock.clone(), event.clone()])
    }

    fn status(&mut self, clock: &Value) -> Value {
        self.call("[method]session.status", std::slice::from_ref(clock))
    }

    fn entry_key(&mut self) -> Option<String> {
        self.call("[method]session.entry-key", &[]).as_str().map(str::to_owned)
    }
}

fn component() -> &'static (Engine, Component) {
    static LOADED: OnceLock<(Engine, Component)> = OnceLock::new();
    LOADED.get_or_init(|| {
        let engine = Engine::new(&wif::component::config()).expect("the host's own configuration");
        // SAFETY: these bytes were precompiled by the build script of `wif`, with this very configuration.
        let component = unsafe { Component::deserialize(&engine, wif::component::precompiled()) };
        let component = component.expect("bytes that the build precompiled");
        (engine, component)
    })
}

fn function(store: &mut Store<()>, instance: &Instance, name: &str) -> Func {
    let interface = instance.get_export_index(&mut *store, None, "wif:credential/session@0.2.0").expect("the interface");
    let index = instance.get_export_index(&mut *store, Some(&interface), name).expect("the function");
    instance.get_func(&mut *store, index).expect("a function")
}

fn call(store: &mut Store<()>, function: Func, this: Option<ResourceAny>, arguments: &[Value]) -> Val {
    let types: Vec<Type> = function.ty(&*store).params().map(|(_, r#type)| r#type).collect();
    let own = this.map(Val::Resource);
    let types = &types[usize::from(own.is_some())..];
    let arguments = arguments
        .iter()
        .zip(types)
        .map(|(argument, r#type)| to_val(argument, r#type).unwrap_or_else(|error| panic!("{argument}: {error}")));
    let arguments: Vec<Val> = own.into_iter().chain(arguments).collect();
    let mut results = [Val::Bool(false)];
    function.call(store, &arguments, &mut results).expect("the component does not trap");
    let [result] = results;
    result
}
