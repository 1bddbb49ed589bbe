//! Every vector through the sessions of the Go package.

use std::cell::{Cell, RefCell};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use serde_json::{Value, json};
use wif_world::vector::{Open, Vector, folder, load};
use wif_world::{Machine, Opening};

/// The program in Go that has one session at a time.
struct Program {
    process: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Program {
    fn start(mut command: Command) -> Self {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let asked = process.stdin.take().expect("it is piped");
        let answers = BufReader::new(process.stdout.take().expect("it is piped"));
        Self { process, asked, answers }
    }

    /// What Go returned, or its error.
    fn ask(&mut self, line: &Value) -> Result<Value, Value> {
        writeln!(self.asked, "{line}").expect("it runs");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("it answers");
        let mut answer: Value = serde_json::from_str(&answer).expect("it answers JSON");
        if answer["error"].is_object() { Err(answer["error"].take()) } else { Ok(answer["ok"].take()) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Session(Rc<RefCell<Program>>);

thread_local! {
    static STOPPED: Cell<bool> = const { Cell::new(false) };
}

impl Session {
    fn open(program: &Rc<RefCell<Program>>, opening: &Opening) -> Result<Self, Value> {
        let opening =
            json!({ "configuration": opening.configuration, "seed": opening.seed, "can": opening.can, "from": opening.from });
        program.borrow_mut().ask(&json!({ "call": "open", "opening": opening })).map(|_| Self(Rc::clone(program)))
    }

    /// A step that takes longer than a tenth of a second is stopped, which happens on a machine that is busy with something else.
    fn ask(&self, line: &Value) -> Value {
        self.0.borrow_mut().ask(line).unwrap_or_else(|problem| {
            assert_eq!(problem["code"], "component-stopped", "{problem}");
            STOPPED.set(true);
            Value::Null
        })
    }
}

impl Machine for Session {
    fn step(&mut self, clock: &Value, event: &Value) -> Value {
        self.ask(&json!({ "call": "step", "clock": clock, "event": event }))
    }

    fn status(&mut self, clock: &Value) -> Value {
        self.ask(&json!({ "call": "status", "clock": clock }))
    }

    fn entry_key(&mut self) -> Option<String> {
        self.ask(&json!({ "call": "entry-key" })).as_str().map(str::to_owned)
    }
}

fn run(vector: &Vector, open: &Open<'_>) -> Result<(), String> {
    for _ in 0..20 {
        STOPPED.set(false);
        let ended = vector.run_by(open);
        if !STOPPED.get() {
            return ended;
        }
    }
    Err("the component is stopped each time".to_owned())
}

/// Runs all of them by this program.
pub(crate) fn hold(command: Command) {
    let program = Rc::new(RefCell::new(Program::start(command)));
    let open = |opening: &Opening| Session::open(&program, opening).map(|session| Box::new(session) as Box<dyn Machine>);
    let vectors = load(&folder());
    let (wrong, right): (Vec<_>, Vec<_>) = vectors.iter().partition(|(name, _)| name.starts_with("wrong/"));
    assert!(right.len() >= 170, "{}", right.len());
    let failed: Vec<_> = right.iter().filter_map(|(name, vector)| run(vector, &open).err().map(|why| (name, why))).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(wrong.len() >= 2 && wrong.iter().all(|(_, vector)| run(vector, &open).is_err()));
}
