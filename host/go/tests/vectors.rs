//! Every vector through the sessions of the Go package.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use serde_json::{Value, json};
use wif_world::{Machine, Opening, foreign};

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

impl Session {
    fn open(program: &Rc<RefCell<Program>>, opening: &Opening) -> Result<Self, Value> {
        program
            .borrow_mut()
            .ask(&json!({ "call": "open", "opening": foreign::opening(opening) }))
            .map(|_| Self(Rc::clone(program)))
    }

    fn ask(&self, line: &Value) -> Value {
        foreign::answered(self.0.borrow_mut().ask(line))
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

/// Runs all of them by this program.
pub(crate) fn hold(command: Command) {
    let program = Rc::new(RefCell::new(Program::start(command)));
    let open = |opening: &Opening| Session::open(&program, opening).map(|session| Box::new(session) as Box<dyn Machine>);
    foreign::every_vector_holds_and_a_wrong_one_fails(&open);
}
