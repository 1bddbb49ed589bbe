//! The engine as a core module, behind its flat interface.

#[path = "../standalone/engine.rs"]
mod engine;
mod module;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::LazyLock;

use module::{Flat, FlatMachine, WASM, parts};
use serde_json::{Value, json};
use wasmparser::{ExternalKind, Parser, Payload};
use wif_test_tools::{or_not_run, python};
use wif_world::{Machine, Opening, foreign};

const README: &str = include_str!("../../../../guest/flat/README.md");
const CLOCK: &str = r#"{"wall-ms": 1790000000000, "steady-ms": 5000}"#;
const CANARY: &str = "canary-Zu3iO1";

/// Of a workload whose identity token is in a file.
fn opening() -> Value {
    let configuration = json!({ "federation": {
        "federation_rule_id": "fdrl_abc123",
        "organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab",
        "identity_token": { "source": "file", "path": "/var/run/secrets/anthropic/token" },
    } });
    json!({ "configuration": configuration.to_string(), "seed": u64::MAX, "can": ["read-file"], "from": "fresh" })
}

fn opened() -> Flat {
    let mut flat = Flat::new();
    assert_eq!(flat.open(opening().to_string()), json!({ "session": 1 }));
    flat
}

#[test]
fn every_vector_holds_and_a_wrong_one_fails() {
    let open = |opening: &Opening| FlatMachine::open(opening).map(|machine| Box::new(machine) as Box<dyn Machine>);
    foreign::every_vector_holds_and_a_wrong_one_fails(&open);
}

#[test]
fn it_imports_nothing_and_exports_what_is_written_down() {
    let mut functions = BTreeSet::new();
    let mut others = BTreeSet::new();
    for payload in Parser::new(0).parse_all(WASM) {
        match payload.expect("a module") {
            Payload::ImportSection(imports) => assert_eq!(imports.count(), 0),
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.expect("an export");
                    if export.kind == ExternalKind::Func { &mut functions } else { &mut others }.insert(export.name);
                }
            }
            _ => {}
        }
    }
    let listed = README.lines().filter_map(|line| line.strip_prefix("| `")?.split(['(', '`']).next());
    let listed: BTreeSet<&str> = listed.filter(|name| name.starts_with("wif_")).collect();
    assert_eq!(functions, listed);
    assert_eq!(functions.len(), 7);
    // The last two are numbers of the linker's. It lets nobody leave them out.
    assert_eq!(others, BTreeSet::from(["memory", "__data_end", "__heap_base"]));
}

/// The example of its page.
#[test]
fn a_program_in_python_gets_a_token_by_it() {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("../python/requirements.txt");
    let Some(python) = or_not_run(python(&requirements)) else { return };
    let folder = tempfile::tempdir().expect("a directory");
    std::fs::write(folder.path().join("wif_flat.wasm"), WASM).expect("it is writable");
    let (_, example) = README.split_once("```python\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let output = Command::new(python).current_dir(folder.path()).args(["-B", "-c", example]).output().expect("it starts");
    let [printed, errors] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(printed.contains("'Bearer token-from-a-broker'"), "{printed}{errors}");
}

#[test]
fn a_configuration_is_refused_as_the_contract_says() {
    let mut flat = Flat::new();
    let mut other = opening();
    other["configuration"] = r#"{"federation": {"federation_rule": "x"}}"#.into();
    let answer = flat.open(other.to_string());
    let refused = answer["refused"].as_object().expect("it is refused");
    assert!(refused.keys().eq(["field", "message"]), "{answer}");
    assert_eq!(flat.open(opening().to_string()), json!({ "session": 1 }), "a refused one takes no number");
}

/// A number that was once given is not given to another.
#[test]
fn a_session_that_is_not_open_is_an_error() {
    let mut flat = opened();
    let stale = |flat: &mut Flat, number: u32| {
        let expected = json!({ "form": format!("no session {number} is open") });
        assert_eq!(flat.step(number, CLOCK, r#""woken""#), expected);
        assert_eq!(flat.status(number, CLOCK), expected);
        assert_eq!(flat.answer("wif_entry_key", number), expected);
    };
    for number in [0, 2, u32::MAX] {
        stale(&mut flat, number);
    }
    assert_eq!(flat.open(opening().to_string()), json!({ "session": 2 }));
    for _ in 0..2 {
        flat.call::<()>("wif_close", 2_u32).expect("one that is closed may be closed once more");
        stale(&mut flat, 2);
    }
    assert_eq!(flat.open(opening().to_string()), json!({ "session": 3 }));
    stale(&mut flat, 2);
    assert_eq!(flat.status(1, CLOCK)["state"], "discovering", "the others go on");
}

/// G2: it says where the fault is, and nothing of what was written there.
#[test]
fn what_cannot_be_read_is_an_error_that_quotes_nothing() {
    let mut flat = opened();
    let before = flat.status(1, CLOCK);
    let told = |answer: Value, expected: &str| {
        assert!(!answer.to_string().contains("canary"), "{answer}");
        assert_eq!(answer, json!({ "form": expected }));
    };
    for (event, expected) in [
        (&b"\"canary\xff\""[..], "the event is not UTF-8 from byte 7 on"),
        (b"", "the event ends too early: line 1, column 0"),
        (b"canary", "the event is no JSON: line 1, column 1"),
        (b"\"woken\" canary", "the event is no JSON: line 1, column 9"),
        (b"{\n\"finished\": {\"number\": ", "the event ends too early: line 2, column 23"),
        (b"\"canary\"", "the event is not of the contract's form: line 1, column 8"),
        (b"{\"rejected\": [\"canary\"]}", "the event is not of the contract's form: line 1, column 13"),
        (
            b"{\"finished\": {\"number\": \"canary\", \"outcome\": \"lost\"}}",
            "the event is not of the contract's form: line 1, column 32",
        ),
        (
            b"{\"finished\": {\"number\": 1, \"outcome\": {\"canary\": 1}}}",
            "the event is not of the contract's form: line 1, column 47",
        ),
    ] {
        told(flat.step(1, CLOCK, event), expected);
    }
    told(flat.step(1, r#"{"wall-ms": "canary"}"#, r#""woken""#), "the clock is not of the contract's form: line 1, column 20");
    told(flat.status(1, r#"{"canary": 1}"#), "the clock is not of the contract's form: line 1, column 9");
    for (member, value) in
        [("canary", json!(1)), ("can", json!(["canary"])), ("from", json!("canary")), ("seed", json!("canary"))]
    {
        let mut other = opening();
        other[member] = value;
        let answer = flat.open(other.to_string());
        let form = answer["form"].as_str().unwrap_or_else(|| panic!("{answer}"));
        assert!(form.starts_with("the opening is not of the contract's form: line 1, column "), "{answer}");
        assert!(!form.contains("canary"), "{answer}");
    }
    for member in ["configuration", "seed", "can", "from"] {
        let mut other = opening();
        other.as_object_mut().expect("an object").remove(member);
        assert!(flat.open(other.to_string())["form"].is_string(), "without {member}");
    }
    assert_eq!(flat.status(1, CLOCK), before, "nothing of it was a step");
}

/// A text is where it was allocated, and belongs to one call.
#[test]
fn a_text_that_the_caller_does_not_hold_is_an_error() {
    let mut flat = opened();
    let missing =
        |length: u32| json!({ "form": format!("the clock is not where it is said to be: no text of {length} bytes lies there") });
    let (address, length) = flat.argument(CLOCK);
    assert_eq!(flat.answer("wif_status", (1_u32, address, length - 1)), missing(length - 1));
    assert_eq!(flat.answer("wif_status", (1_u32, address + 1, length)), missing(length));
    assert_eq!(flat.answer("wif_status", (1_u32, 0_u32, length)), missing(length));
    assert!(flat.answer("wif_status", (1_u32, address, length))["state"].is_string());
    assert_eq!(flat.answer("wif_status", (1_u32, address, length)), missing(length), "the call before has freed it");

    // Whoever gives back twice no longer knows what it holds.
    let unused = flat.argument(CLOCK);
    flat.call::<()>("wif_release", unused).expect("an argument may be given back unused");
    flat.call::<()>("wif_release", unused).expect_err("a second time is a trap");
}

/// What is freed is used again.
#[test]
fn the_memory_does_not_grow_from_step_to_step() {
    let mut flat = opened();
    let mut size = 0;
    for step in 0..1_100_u64 {
        let clock = json!({ "wall-ms": 1_790_000_000_000 + step * 1000, "steady-ms": step * 1000 }).to_string();
        flat.step(1, &clock, r#""needed""#);
        flat.step(1, &clock, json!({ "finished": { "number": step, "outcome": { "content": "x".repeat(4000) } } }).to_string());
        flat.step(1, &clock, "no JSON");
        flat.status(1, &clock);
        flat.answer("wif_entry_key", 1_u32);
        let other = flat.open(opening().to_string())["session"].as_u64().expect("a number");
        flat.call::<()>("wif_close", u32::try_from(other).expect("a small one")).expect("it does not trap");
        if step == 100 {
            size = flat.bytes().len();
        }
    }
    assert_eq!(flat.bytes().len(), size);
}

/// G2: also of what cannot be read, and of what is ignored.
#[test]
fn arguments_and_answers_leave_nothing_in_memory() {
    let mut flat = opened();
    // With a character that JSON escapes: such a text is put together in a place of its own.
    let secret = format!("{CANARY}\nand {CANARY}");
    let ignored = json!({ "finished": { "number": 77, "outcome": { "content": secret } } }).to_string();
    let unused = flat.argument(&ignored);
    assert!(flat.holds(CANARY), "an argument lies there until a call has it");
    flat.call::<()>("wif_release", unused).expect("it was not given back before");
    assert!(!flat.holds(CANARY));
    for event in [ignored.as_str(), &ignored[..ignored.len() - 1], &ignored.replace("content", "contents")] {
        flat.step(1, CLOCK, event);
        assert!(!flat.holds(CANARY), "{event}");
    }
    flat.step(1, "no clock", &ignored);
    flat.step(2, CLOCK, &ignored);
    assert!(!flat.holds(CANARY), "also where another argument is wrong");

    let mut bearer = opening();
    bearer["configuration"] = json!({ "bearer": { "source": "literal", "value": CANARY } }).to_string().into();
    assert_eq!(flat.open(bearer.to_string()), json!({ "session": 2 }));
    let (clock, event) = (flat.argument(CLOCK), flat.argument(r#""needed""#));
    let answer: u64 = flat.call("wif_step", (2_u32, clock.0, clock.1, event.0, event.1)).expect("it does not trap");
    flat.call::<()>("wif_close", 2_u32).expect("it does not trap");
    assert!(String::from_utf8_lossy(flat.read(answer)).contains(CANARY));
    let address = parts(answer).0 as usize;
    flat.call::<()>("wif_release", parts(answer)).expect("it was not given back before");
    assert!(!flat.holds(CANARY));
    assert!(flat.bytes()[address..][..1] != *b"{", "the answer is wiped from its first byte on");
}

/// A session whose secrets are looked for in the memory once it is closed.
struct Watched {
    machine: FlatMachine,
    secrets: BTreeSet<String>,
    left: Rc<RefCell<Vec<String>>>,
    watched: Rc<RefCell<usize>>,
}

/// The texts under names that the contract calls secret, whole and as JSON has them.
fn secrets(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| secrets(item, found)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if ["body", "content", "journal", "value"].contains(&&**name) && text.len() >= 12 => {
                        found.extend([text.clone(), value.to_string()]);
                    }
                    _ => secrets(value, found),
                }
            }
        }
        _ => {}
    }
}

impl Machine for Watched {
    fn step(&mut self, clock: &Value, event: &Value) -> Value {
        secrets(event, &mut self.secrets);
        let output = self.machine.step(clock, event);
        // Fields of notes have values, too, and these are no secrets.
        for part in ["access", "journal", "tasks"] {
            secrets(&json!({ part: output[part] }), &mut self.secrets);
        }
        output
    }

    fn status(&mut self, clock: &Value) -> Value {
        self.machine.status(clock)
    }

    fn entry_key(&mut self) -> Option<String> {
        self.machine.entry_key()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // What the program itself says is no secret: a content type, an id that stands in an error as an example.
        static SAID: LazyLock<String> = LazyLock::new(|| String::from_utf8_lossy(WASM).into_owned());
        self.secrets.retain(|secret| !SAID.contains(secret));
        let FlatMachine { flat, session } = &mut self.machine;
        flat.call::<()>("wif_close", *session).expect("it does not trap");
        *self.watched.borrow_mut() += self.secrets.len();
        let memory = flat.text();
        self.left.borrow_mut().extend(self.secrets.iter().filter(|secret| memory.contains(&***secret)).cloned());
    }
}

/// G2: whatever a session was told and has answered, and whatever it remembered.
#[test]
fn a_closed_session_leaves_no_secret_in_memory() {
    let (left, watched) = (Rc::default(), Rc::default());
    let open = |opening: &Opening| {
        let mut found = BTreeSet::new();
        secrets(&json!({ "journal": opening.from["resumed"] }), &mut found);
        let machine = FlatMachine::open(opening)?;
        Ok(Box::new(Watched { machine, secrets: found, left: Rc::clone(&left), watched: Rc::clone(&watched) })
            as Box<dyn Machine>)
    };
    foreign::every_vector_holds_and_a_wrong_one_fails(&open);
    assert!(*watched.borrow() >= 1_000, "only {} secrets were found", watched.borrow());
    assert_eq!(*left.borrow(), Vec::<String>::new());
}
