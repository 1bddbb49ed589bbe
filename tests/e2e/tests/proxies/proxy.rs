//! A proxy of the proxy-wasm ABI, as small as one can be: workers with a VM each, shared data, calls to one endpoint, and time that a
//! test moves. What proxies differ in is a setting.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Index;
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};
use wasmtime::{AsContextMut, Caller, Engine, Extern, Instance, Linker, Memory, Module, Store, TypedFunc};
use wif_test_cases::requests::{self, Field};

use crate::engine;

const COMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/proxy-wasm.cwasm"));

/// The same around a session that says what its configuration tells it to.
const SCRIPTED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/filter-scripted.cwasm"));

/// Where the endpoint and the API are.
pub(crate) const ORIGIN: &str = "https://api.anthropic.com";

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const MISMATCH: u32 = 8;

/// The field that says which cluster a request goes to.
pub(crate) const CLUSTER: &str = "x-cluster";

/// The root context of each VM.
const ROOT: u32 = 1;

/// What a proxy makes of the number that comes with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Envoy's: compared where something is, and only if it is not zero.
    ComparedWhereSomethingIs,
    /// Compared always; what does not exist has the number zero.
    ComparedAlways,
    /// Compared always, and what does not exist has none; with zero anything is overwritten.
    ZeroOverwrites,
    /// What does not exist is never written with a number.
    NothingIsCreated,
}

/// What all workers share, and what is around the proxy.
pub(crate) struct Around {
    rule: Rule,
    /// Functions that answer with this status.
    pub(crate) refused: HashMap<String, u32>,
    data: BTreeMap<String, (Vec<u8>, u32)>,
    pub(crate) now_ms: u64,
    /// The identity token that the file shows.
    pub(crate) serial: u32,
    exchanged: HashSet<String>,
    grants: usize,
    refusals: usize,
    pub(crate) log: Vec<String>,
    /// Which functions were called, and how often.
    pub(crate) called: BTreeMap<&'static str, u32>,
}

#[derive(Clone)]
struct Call {
    context: u32,
    number: u32,
    headers: BTreeMap<String, String>,
    body: String,
    due_ms: u64,
}

/// Fields in order, of which a name may stand there more than once. Each character of a value is one byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields(pub(crate) Vec<Field>);

impl Fields {
    pub(crate) fn get(&self, name: &str) -> Option<&String> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(crate) fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    fn replace(&mut self, name: String, value: String) {
        self.remove(&name);
        self.0.push((name, value));
    }
}

impl Index<&str> for Fields {
    type Output = String;

    fn index(&self, name: &str) -> &String {
        self.get(name).expect("it is there")
    }
}

/// A request, as the filter left it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) headers: Fields,
    pub(crate) trailers: Fields,
    response: Fields,
    /// It was let through.
    pub(crate) passed: bool,
    /// It was answered with this status.
    pub(crate) answered: Option<u32>,
    /// And with these fields.
    pub(crate) reply: BTreeMap<String, String>,
}

/// One worker's VM, as its functions see it.
struct Vm {
    around: Arc<Mutex<Around>>,
    configuration: String,
    context: u32,
    tick_ms: u64,
    next_tick_ms: u64,
    calls: Vec<Call>,
    last_call: u32,
    answer: Option<(u32, String)>,
    requests: BTreeMap<u32, Request>,
}

impl Vm {
    fn around(&self) -> MutexGuard<'_, Around> {
        self.around.lock().expect("no test panics with it")
    }
}

pub(crate) struct Worker {
    store: Store<Vm>,
    instance: Instance,
    last_context: u32,
}

pub(crate) struct Proxy {
    pub(crate) workers: Vec<Worker>,
    pub(crate) around: Arc<Mutex<Around>>,
}

fn identity_token(serial: u32) -> String {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let claims =
        json!({"iss": "https://issuer", "sub": "s", "iat": 1_789_999_000, "exp": 1_790_900_000, "jti": format!("file-{serial}")});
    format!("{}.{}.{}", encode(r#"{"alg":"ES256","kid":"k"}"#), encode(&claims.to_string()), encode("signature"))
}

impl Around {
    /// The API's or the endpoint's answer to a call of a root context.
    fn answer(&mut self, call: &Call) -> (u32, String) {
        if call.headers[":path"] == "/token" {
            return (200, identity_token(self.serial));
        }
        let body: Value = serde_json::from_str(&call.body).expect("an exchange");
        if !self.exchanged.insert(body["assertion"].as_str().expect("an identity token").to_owned()) {
            self.refusals += 1;
            return (401, json!({"type": "error"}).to_string());
        }
        self.grants += 1;
        let token = format!("sk-ant-oat01-{}", self.grants);
        (200, json!({"access_token": token, "token_type": "Bearer", "expires_in": 3_600}).to_string())
    }

    fn write(&mut self, key: String, value: Vec<u8>, number: u32) -> u32 {
        let there = self.data.get(&key).map(|(_, number)| *number);
        let fits = match (self.rule, there) {
            (Rule::ComparedWhereSomethingIs, Some(there)) => number == 0 || number == there,
            (Rule::ComparedWhereSomethingIs, None) => true,
            (Rule::ComparedAlways, there) => number == there.unwrap_or(0),
            (Rule::ZeroOverwrites, there) => number == 0 || Some(number) == there,
            (Rule::NothingIsCreated, there) => Some(number) == there,
        };
        if !fits {
            return MISMATCH;
        }
        self.data.insert(key, (value, there.unwrap_or(0) + 1));
        OK
    }
}

impl Proxy {
    pub(crate) fn new(rule: Rule, workers: usize) -> Self {
        Self::with(rule, workers, |_| {})
    }

    /// With these changes of the plugin's configuration.
    pub(crate) fn with(rule: Rule, workers: usize, change: impl FnOnce(&mut Value)) -> Self {
        let credential = json!({"federation": {
            "federation_rule_id": "fdrl_1", "organization_id": "00000000-0000-4000-8000-000000000001",
            "identity_token": {"source": "file", "path": "/token"}
        }});
        let mut settings = json!({"credential": credential});
        change(&mut settings);
        Self::of(COMPILED, rule, workers, &settings)
    }

    /// One worker whose session follows a script.
    pub(crate) fn scripted(script: &str, waiting: &Value) -> Self {
        let script: Value = serde_json::from_str(script).expect("a script");
        Self::of(SCRIPTED, Rule::ComparedAlways, 1, &json!({"credential": script, "waiting": waiting}))
    }

    fn of(compiled: &[u8], rule: Rule, workers: usize, settings: &Value) -> Self {
        let around = Around {
            rule,
            refused: HashMap::new(),
            data: BTreeMap::new(),
            now_ms: 1_790_000_000_000,
            serial: 0,
            exchanged: HashSet::new(),
            grants: 0,
            refusals: 0,
            log: Vec::new(),
            called: BTreeMap::new(),
        };
        let around = Arc::new(Mutex::new(around));
        let engine = Engine::new(&engine::config()).expect("the build's own configuration");
        // SAFETY: the build script compiled these bytes, with this very configuration.
        let module = unsafe { Module::deserialize(&engine, compiled) }.expect("what the build compiled");
        let linker = linker(&engine);
        let workers = (0..workers).map(|_| Worker::new(&engine, &linker, &module, &around, settings)).collect();
        Self { workers, around }
    }

    pub(crate) fn around(&self) -> MutexGuard<'_, Around> {
        self.around.lock().expect("no test panics with it")
    }

    /// How many identity tokens were exchanged, and how many were refused.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let around = self.around();
        (around.grants, around.refusals)
    }

    /// Whether every worker takes the configuration.
    pub(crate) fn configure(&mut self) -> bool {
        self.workers.iter_mut().all(Worker::configure)
    }

    /// Lets time pass: ticks, and answers to calls.
    pub(crate) fn run(&mut self, ms: u64) {
        let end_ms = self.around().now_ms + ms;
        while self.around().now_ms < end_ms {
            self.around().now_ms += 5;
            self.workers.iter_mut().for_each(Worker::turn);
        }
    }
}

impl Worker {
    fn new(engine: &Engine, linker: &Linker<Vm>, module: &Module, around: &Arc<Mutex<Around>>, settings: &Value) -> Self {
        let mut configuration = json!({
            "position": "downstream",
            "clusters": ["api"],
            "token_endpoint": {"cluster": "endpoint"},
            "origin": ORIGIN,
            "files": {"/token": {"cluster": "files", "path": "/token"}}
        });
        for (name, value) in settings.as_object().expect("settings by name") {
            configuration[name] = value.clone();
        }
        let vm = Vm {
            around: Arc::clone(around),
            configuration: configuration.to_string(),
            context: ROOT,
            tick_ms: 0,
            next_tick_ms: u64::MAX,
            calls: Vec::new(),
            last_call: 0,
            answer: None,
            requests: BTreeMap::new(),
        };
        let mut store = Store::new(engine, vm);
        let instance = linker.instantiate(&mut store, module).expect("it imports nothing else");
        let mut worker = Self { store, instance, last_context: ROOT };
        worker.call::<(), ()>("_initialize", ());
        worker.call::<(u32, u32), ()>("proxy_on_context_create", (ROOT, 0));
        worker
    }

    fn call<A: wasmtime::WasmParams, R: wasmtime::WasmResults>(&mut self, name: &str, arguments: A) -> R {
        let function: TypedFunc<A, R> = self.instance.get_typed_func(&mut self.store, name).expect("a callback of the ABI");
        function.call(&mut self.store, arguments).unwrap_or_else(|trap| {
            let log = self.store.data().around().log.join("\n");
            panic!("{name} ended the VM: {trap:#}\n{log}")
        })
    }

    fn configure(&mut self) -> bool {
        let bytes = self.store.data().configuration.len() as u32;
        self.store.data_mut().context = ROOT;
        self.call::<(u32, u32), u32>("proxy_on_configure", (ROOT, bytes)) == 1
    }

    fn turn(&mut self) {
        let now_ms = self.store.data().around().now_ms;
        let due: Vec<Call> = self.store.data_mut().calls.extract_if(.., |call| call.due_ms <= now_ms).collect();
        for call in due {
            let vm = self.store.data_mut();
            let answer = vm.around().answer(&call);
            let bytes = answer.1.len() as u32;
            vm.answer = Some(answer);
            vm.context = call.context;
            self.call::<(u32, u32, u32, u32, u32), ()>("proxy_on_http_call_response", (call.context, call.number, 1, bytes, 0));
            self.store.data_mut().answer = None;
        }
        if self.store.data().next_tick_ms <= now_ms {
            let vm = self.store.data_mut();
            vm.next_tick_ms = now_ms + vm.tick_ms;
            vm.context = ROOT;
            self.call::<u32, ()>("proxy_on_tick", ROOT);
        }
    }

    /// A request to this cluster, with a credential of its caller's; its number.
    pub(crate) fn request(&mut self, cluster: &str) -> u32 {
        let headers = [
            (":method", "POST"),
            (":path", "/v1/messages"),
            (":authority", "api.anthropic.com"),
            ("authorization", "Bearer theirs"),
            ("x-api-key", "theirs"),
            ("anthropic-beta", "theirs"),
            (CLUSTER, cluster),
        ];
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.send(headers, Vec::new())
    }

    /// A request with these fields and trailers, names in lower case; its number.
    pub(crate) fn send(&mut self, headers: Vec<Field>, trailers: Vec<Field>) -> u32 {
        self.last_context += 1;
        let id = self.last_context;
        let has_trailers = !trailers.is_empty();
        let request = Request { headers: Fields(headers), trailers: Fields(trailers), ..Request::default() };
        self.store.data_mut().requests.insert(id, request);
        self.call::<(u32, u32), ()>("proxy_on_context_create", (id, ROOT));
        self.store.data_mut().context = id;
        let passes = self.call::<(u32, u32, u32), u32>("proxy_on_request_headers", (id, 7, 0)) == 0;
        let request = self.store.data_mut().requests.get_mut(&id).expect("it was just put there");
        request.passed |= passes;
        if has_trailers {
            self.store.data_mut().context = id;
            assert_eq!(self.call::<(u32, u32), u32>("proxy_on_request_trailers", (id, 1)), 0, "they go on");
        }
        id
    }

    /// The API answers a request.
    pub(crate) fn respond(&mut self, id: u32, status: u32) {
        self.answer(id, vec![(":status".to_owned(), status.to_string())]);
    }

    /// The API answers a request with these fields, names in lower case.
    pub(crate) fn answer(&mut self, id: u32, fields: Vec<Field>) {
        let vm = self.store.data_mut();
        vm.context = id;
        if let Some(request) = vm.requests.get_mut(&id) {
            request.response = Fields(fields);
        }
        self.call::<(u32, u32, u32), u32>("proxy_on_response_headers", (id, 1, 0));
        self.call::<u32, u32>("proxy_on_done", id);
        self.call::<u32, ()>("proxy_on_delete", id);
    }

    /// The proxy wants the configuration's context to end.
    pub(crate) fn close(&mut self) {
        self.store.data_mut().context = ROOT;
        self.call::<u32, u32>("proxy_on_done", ROOT);
    }

    pub(crate) fn seen(&self, id: u32) -> Request {
        self.store.data().requests[&id].clone()
    }
}

fn memory(caller: &mut Caller<'_, Vm>) -> Memory {
    caller.get_export("memory").and_then(Extern::into_memory).expect("every module has one")
}

fn read(caller: &mut Caller<'_, Vm>, from: u32, bytes: u32) -> Vec<u8> {
    let memory = memory(caller);
    let from = from as usize;
    memory.data(&mut *caller)[from..from + bytes as usize].to_vec()
}

fn text(caller: &mut Caller<'_, Vm>, from: u32, bytes: u32) -> String {
    String::from_utf8(read(caller, from, bytes)).expect("text")
}

fn store<const N: usize>(caller: &mut Caller<'_, Vm>, at: u32, bytes: [u8; N]) {
    memory(caller).write(caller.as_context_mut(), at as usize, &bytes).expect("within the memory");
}

/// Hands bytes over in memory that the module gives.
fn give(caller: &mut Caller<'_, Vm>, value: &[u8], data: u32, bytes: u32) -> u32 {
    let malloc = caller.get_export("malloc").and_then(Extern::into_func).expect("every module has one");
    let malloc = malloc.typed::<u32, u32>(&mut *caller).expect("it takes a size");
    let place = malloc.call(&mut *caller, value.len() as u32).expect("there is memory");
    memory(caller).write(caller.as_context_mut(), place as usize, value).expect("within the memory");
    store(caller, data, place.to_le_bytes());
    store(caller, bytes, (value.len() as u32).to_le_bytes());
    OK
}

fn fields(bytes: &[u8]) -> Vec<(String, String)> {
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let mut at = 4 + 8 * number(0);
    let mut next = |length: usize| {
        let text = String::from_utf8(bytes[at..at + length].to_vec()).expect("text");
        at += length + 1;
        text
    };
    (0..number(0)).map(|field| (next(number(4 + 8 * field)), next(number(8 + 8 * field)))).collect()
}

fn written(Fields(fields): &Fields) -> Vec<u8> {
    let mut bytes = (fields.len() as u32).to_le_bytes().to_vec();
    let fields: Vec<_> = fields.iter().map(|(name, value)| [requests::bytes(name), requests::bytes(value)]).collect();
    for text in fields.iter().flatten() {
        bytes.extend((text.len() as u32).to_le_bytes());
    }
    for text in fields.iter().flatten() {
        bytes.extend(text);
        bytes.push(0);
    }
    bytes
}

/// The map of this number, of the context that is in effect.
fn map(vm: &mut Vm, map: u32) -> Option<Fields> {
    let context = vm.context;
    match map {
        0 => vm.requests.get(&context).map(|request| request.headers.clone()),
        1 => vm.requests.get(&context).map(|request| request.trailers.clone()),
        2 => vm.requests.get(&context).map(|request| request.response.clone()),
        6 => vm.answer.as_ref().map(|(status, _)| {
            let fields = [(":status", status.to_string()), ("content-type", "application/json".to_owned())];
            Fields(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        }),
        _ => None,
    }
}

fn linker(engine: &Engine) -> Linker<Vm> {
    let mut linker = Linker::new(engine);
    /// A function of the proxy, which may be told to refuse.
    macro_rules! function {
        ($name:literal, |$caller:ident $(, $argument:ident: $kind:ty)*| $body:expr) => {
            let function = |mut $caller: Caller<'_, Vm> $(, $argument: $kind)*| -> u32 {
                let refused = {
                    let mut around = $caller.data().around();
                    *around.called.entry($name).or_default() += 1;
                    around.refused.get($name).copied()
                };
                match refused {
                    Some(status) => status,
                    None => $body,
                }
            };
            linker.func_wrap("env", $name, function).expect("each name once");
        };
    }
    function!("proxy_log", |caller, _level: u32, from: u32, bytes: u32| {
        let line = text(&mut caller, from, bytes);
        caller.data().around().log.push(line);
        OK
    });
    function!("proxy_get_current_time_nanoseconds", |caller, at: u32| {
        let nanos = caller.data().around().now_ms * 1_000_000;
        store(&mut caller, at, nanos.to_le_bytes());
        OK
    });
    function!("proxy_set_tick_period_milliseconds", |caller, period: u32| {
        let now_ms = caller.data().around().now_ms;
        let vm = caller.data_mut();
        vm.tick_ms = period.into();
        vm.next_tick_ms = if period == 0 { u64::MAX } else { now_ms + u64::from(period) };
        OK
    });
    function!("proxy_get_buffer_bytes", |caller, buffer: u32, _from: u32, _most: u32, data: u32, bytes: u32| {
        let value = match buffer {
            7 => Some(caller.data().configuration.clone()),
            4 => caller.data().answer.as_ref().map(|(_, body)| body.clone()),
            _ => None,
        };
        value.map_or(NOT_FOUND, |value| give(&mut caller, value.as_bytes(), data, bytes))
    });
    function!("proxy_get_header_map_pairs", |caller, number: u32, data: u32, bytes: u32| {
        let fields = map(caller.data_mut(), number);
        fields.map_or(NOT_FOUND, |fields| give(&mut caller, &written(&fields), data, bytes))
    });
    function!("proxy_get_header_map_value", |caller, number: u32, name: u32, length: u32, data: u32, bytes: u32| {
        let name = text(&mut caller, name, length);
        let value = map(caller.data_mut(), number).and_then(|fields| fields.get(&name).cloned());
        value.map_or(NOT_FOUND, |value| give(&mut caller, &requests::bytes(&value), data, bytes))
    });
    function!("proxy_replace_header_map_value", |caller, _map: u32, name: u32, length: u32, value: u32, bytes: u32| {
        let (name, value) = (text(&mut caller, name, length), requests::value(&read(&mut caller, value, bytes)));
        let vm = caller.data_mut();
        let context = vm.context;
        vm.requests.get_mut(&context).expect("a request").headers.replace(name, value);
        OK
    });
    function!("proxy_remove_header_map_value", |caller, map: u32, name: u32, length: u32| {
        let name = text(&mut caller, name, length);
        let vm = caller.data_mut();
        let context = vm.context;
        let request = vm.requests.get_mut(&context).expect("a request");
        match map {
            1 => request.trailers.remove(&name),
            2 => request.response.remove(&name),
            _ => request.headers.remove(&name),
        }
        OK
    });
    function!("proxy_get_property", |caller, path: u32, length: u32, data: u32, bytes: u32| {
        let path = text(&mut caller, path, length);
        let context = caller.data().context;
        let value = match &*path {
            "xds\0cluster_name" => caller.data().requests[&context].headers[CLUSTER].clone(),
            "response\0code_details" => "via_upstream".to_owned(),
            _ => return NOT_FOUND,
        };
        give(&mut caller, value.as_bytes(), data, bytes)
    });
    function!("proxy_get_shared_data", |caller, key: u32, length: u32, data: u32, bytes: u32, number: u32| {
        let key = text(&mut caller, key, length);
        let found = caller.data().around().data.get(&key).cloned();
        found.map_or(NOT_FOUND, |(value, last)| {
            store(&mut caller, number, last.to_le_bytes());
            give(&mut caller, &value, data, bytes)
        })
    });
    function!("proxy_set_shared_data", |caller, key: u32, length: u32, value: u32, bytes: u32, number: u32| {
        let (key, value) = (text(&mut caller, key, length), read(&mut caller, value, bytes));
        caller.data().around().write(key, value, number)
    });
    function!("proxy_continue_stream", |caller, _stream: u32| {
        let vm = caller.data_mut();
        let context = vm.context;
        vm.requests.get_mut(&context).expect("a request").passed = true;
        OK
    });
    function!("proxy_send_local_response", |caller,
                                            status: u32,
                                            _d: u32,
                                            _ds: u32,
                                            _b: u32,
                                            _bs: u32,
                                            headers: u32,
                                            size: u32,
                                            _grpc: i32| {
        let reply = fields(&read(&mut caller, headers, size)).into_iter().collect();
        let vm = caller.data_mut();
        let context = vm.context;
        let request = vm.requests.get_mut(&context).expect("a request");
        (request.answered, request.reply) = (Some(status), reply);
        OK
    });
    function!("proxy_http_call", |caller,
                                  _c: u32,
                                  _cs: u32,
                                  headers: u32,
                                  size: u32,
                                  body: u32,
                                  bytes: u32,
                                  _t: u32,
                                  _ts: u32,
                                  _ms: u32,
                                  id: u32| {
        let (headers, body) = (fields(&read(&mut caller, headers, size)), text(&mut caller, body, bytes));
        let due_ms = caller.data().around().now_ms + 20;
        let vm = caller.data_mut();
        vm.last_call += 1;
        let call = Call { context: vm.context, number: vm.last_call, headers: headers.into_iter().collect(), body, due_ms };
        let number = call.number;
        vm.calls.push(call);
        store(&mut caller, id, number.to_le_bytes());
        OK
    });
    function!("proxy_set_effective_context", |caller, context: u32| {
        caller.data_mut().context = context;
        OK
    });
    function!("proxy_done", |caller| {
        caller.data_mut().context = ROOT;
        OK
    });
    function!("proxy_define_metric", |caller, _kind: u32, _name: u32, _bytes: u32, id: u32| {
        store(&mut caller, id, 1_u32.to_le_bytes());
        OK
    });
    function!("proxy_record_metric", |caller, _id: u32, _value: u64| {
        caller.data_mut().context = ROOT;
        OK
    });
    function!("proxy_increment_metric", |caller, _id: u32, _by: u64| {
        let _ = caller.data_mut();
        OK
    });
    linker
}
