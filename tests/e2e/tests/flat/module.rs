//! The module in a plain runtime, as a host in any language calls it.

use std::borrow::Cow;
use std::sync::LazyLock;

use serde_json::Value;
use wasmtime::{Engine, Instance, Memory, Module, Store, StoreLimits, StoreLimitsBuilder, WasmParams};
use wif_world::{Machine, Opening, foreign};

use crate::engine;

/// As it is built.
pub(crate) const WASM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/flat.wasm"));
const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/flat.cwasm"));

/// An instance in the memory that hosts give to one.
pub(crate) struct Flat {
    store: Store<StoreLimits>,
    instance: Instance,
    memory: Memory,
}

impl Flat {
    pub(crate) fn new() -> Self {
        static MODULE: LazyLock<Module> = LazyLock::new(|| {
            let engine = Engine::new(&engine::config()).expect("a configuration");
            // SAFETY: the build script compiled these bytes, with this very configuration.
            unsafe { Module::deserialize(&engine, COMPILED) }.expect("bytes that the build script compiled")
        });
        let authority: Value = serde_json::from_str(include_str!("../../../../wit/authority.json")).expect("JSON");
        let most = authority["limits"]["memory-bytes"].as_u64().expect("a number") as usize;
        let limits = StoreLimitsBuilder::new().memory_size(most).build();
        let mut store = Store::new(MODULE.engine(), limits);
        store.limiter(|limits| limits);
        let instance = Instance::new(&mut store, &MODULE, &[]).expect("it imports nothing");
        let memory = instance.get_memory(&mut store, "memory").expect("it is exported");
        Self { store, instance, memory }
    }

    /// Calls a function that gives a number, or nothing.
    pub(crate) fn call<R: wasmtime::WasmResults>(&mut self, function: &str, parameters: impl WasmParams) -> wasmtime::Result<R> {
        self.instance.get_typed_func(&mut self.store, function)?.call(&mut self.store, parameters)
    }

    /// Writes an argument.
    pub(crate) fn argument(&mut self, text: impl AsRef<[u8]>) -> (u32, u32) {
        let text = text.as_ref();
        let length = u32::try_from(text.len()).expect("a text of a test");
        let address: u32 = self.call("wif_allocate", length).expect("it has memory");
        self.memory.write(&mut self.store, address as usize, text).expect("it lies in the memory");
        (address, length)
    }

    /// Reads the answer of a call.
    pub(crate) fn read(&self, answer: u64) -> &[u8] {
        let (address, length) = parts(answer);
        &self.memory.data(&self.store)[address as usize..][..length as usize]
    }

    /// The answer of a call, which is given back.
    pub(crate) fn answer(&mut self, function: &str, parameters: impl WasmParams) -> Value {
        let answer: u64 = self.call(function, parameters).expect("it does not trap");
        let read = serde_json::from_slice(self.read(answer)).expect("an answer is JSON");
        self.call::<()>("wif_release", parts(answer)).expect("it was not given back before");
        read
    }

    pub(crate) fn open(&mut self, opening: impl AsRef<[u8]>) -> Value {
        let opening = self.argument(opening);
        self.answer("wif_open", opening)
    }

    pub(crate) fn step(&mut self, session: u32, clock: impl AsRef<[u8]>, event: impl AsRef<[u8]>) -> Value {
        let (clock, event) = (self.argument(clock), self.argument(event));
        self.answer("wif_step", (session, clock.0, clock.1, event.0, event.1))
    }

    pub(crate) fn status(&mut self, session: u32, clock: impl AsRef<[u8]>) -> Value {
        let clock = self.argument(clock);
        self.answer("wif_status", (session, clock.0, clock.1))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    /// Whether this text is anywhere in the memory.
    pub(crate) fn holds(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// All memory, as far as it is text.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.bytes())
    }
}

/// Where an answer lies, and its length.
pub(crate) fn parts(answer: u64) -> (u32, u32) {
    ((answer >> 32) as u32, answer as u32)
}

/// A session in an instance of its own.
pub(crate) struct FlatMachine {
    pub(crate) flat: Flat,
    pub(crate) session: u32,
}

impl FlatMachine {
    pub(crate) fn open(opening: &Opening) -> Result<Self, Value> {
        let mut flat = Flat::new();
        let mut answer = flat.open(foreign::opening(opening).to_string());
        match answer["session"].as_u64() {
            Some(session) => Ok(Self { flat, session: u32::try_from(session).expect("a small number") }),
            None if answer["refused"].is_object() => Err(answer["refused"].take()),
            None => panic!("{answer}"),
        }
    }
}

/// The answer, if it is of the contract.
fn well(answer: Value) -> Value {
    assert!(answer.get("form").is_none(), "{answer}");
    answer
}

impl Machine for FlatMachine {
    fn step(&mut self, clock: &Value, event: &Value) -> Value {
        well(self.flat.step(self.session, clock.to_string(), event.to_string()))
    }

    fn status(&mut self, clock: &Value) -> Value {
        well(self.flat.status(self.session, clock.to_string()))
    }

    fn entry_key(&mut self) -> Option<String> {
        well(self.flat.answer("wif_entry_key", self.session)).as_str().map(str::to_owned)
    }
}
