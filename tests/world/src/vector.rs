//! Recorded sessions with expectations, in files that any host's driver can run. `tests/vectors/README.md` describes the
//! format.

mod matching;
mod names;
mod replay;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Kind, Machine, Opening};
use matching::matches;
pub use names::Names;
pub(crate) use names::secrets_in;
pub use replay::{End, Moment};

/// A file under `tests/vectors`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Vector {
    /// What the session does, and why.
    pub says: String,
    /// The faults of the catalogue that this shows the answer to.
    #[serde(default)]
    pub faults: Vec<String>,
    /// What it begins with; [`load`] has put it in.
    #[serde(default)]
    pub preset: Option<String>,
    /// The configuration: a document, or a string that is taken as it is.
    pub configuration: Value,
    /// The seed.
    pub seed: u64,
    /// Capabilities.
    pub can: Vec<String>,
    /// A `start`; `fresh` unless told.
    #[serde(default = "fresh")]
    pub start: Value,
    /// The wall clock at `at-ms` 0.
    pub wall_ms: u64,
    /// The steady clock at `at-ms` 0. Without it there is none.
    pub steady_ms: Option<u64>,
    /// Values that steps refer to.
    #[serde(default)]
    pub names: BTreeMap<String, Value>,
    /// Instead of steps: what is expected of the `configuration-error`.
    pub refused: Option<Value>,
    /// What happens, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// One thing that happens: exactly one of `event`, `variables` and `reopen`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Step {
    /// When, since the start of the vector.
    pub at_ms: u64,
    /// By how much the wall clock jumps before this step, and stays shifted.
    #[serde(default)]
    pub wall_jump_ms: i64,
    /// An `event`.
    pub event: Option<Value>,
    /// Answers every open `read-variable` task, in order: these have a content, all others are absent. Expectations are
    /// about the output of the last answer.
    pub variables: Option<BTreeMap<String, Value>>,
    /// The session is dropped as by a trap, and another is opened.
    pub reopen: Option<Reopen>,
    /// What is expected of the output.
    pub expect: Option<Value>,
    /// What is expected of the status after it.
    pub status: Option<Value>,
    /// What is expected of the entry key after it.
    pub entry_key: Option<Value>,
}

/// How another session is opened.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Reopen {
    /// Its seed.
    pub seed: u64,
    /// Its `start`; from the newest journal unless told.
    pub start: Option<Value>,
    /// Its configuration; the same unless told.
    pub configuration: Option<Value>,
}

fn fresh() -> Value {
    "fresh".into()
}

/// The folder of vectors.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

/// The file of presets, which is no vector.
const PRESETS: &str = "presets.json";

/// Every vector below a folder, with its path from there, in the order of paths.
///
/// # Panics
///
/// If a file is no vector.
pub fn load(below: &Path) -> Vec<(String, Vector)> {
    let presets = read(&folder().join(PRESETS));
    let mut files = Vec::new();
    let mut folders = vec![below.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") && !path.ends_with(PRESETS) {
                files.push(path);
            }
        }
    }
    files.sort();
    let load = |path: PathBuf| {
        let name = path.strip_prefix(below).expect("found below it").with_extension("").display().to_string();
        let whole = with_preset(read(&path), &presets);
        (name.clone(), serde_json::from_value(whole).unwrap_or_else(|error| panic!("{name}: {error}")))
    };
    files.into_iter().map(load).collect()
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What a vector, or a preset, says together with the preset that it begins with.
fn with_preset(mut vector: Value, presets: &Value) -> Value {
    let Some(name) = vector["preset"].as_str() else { return vector };
    let preset = presets.get(name).unwrap_or_else(|| panic!("no preset is called {name}"));
    let mut whole = with_preset(preset.clone(), presets);
    let own = vector.as_object_mut().expect("an object");
    for (key, value) in std::mem::take(own) {
        match (key.as_str(), value) {
            ("names", Value::Object(names)) if whole["names"].is_object() => {
                whole["names"].as_object_mut().expect("an object").extend(names);
            }
            ("steps", Value::Array(steps)) if whole["steps"].is_array() => {
                whole["steps"].as_array_mut().expect("a list").extend(steps);
            }
            (_, value) => whole[key] = value,
        }
    }
    whole
}

/// A configuration as the session takes it.
pub fn configuration_text(configuration: &Value) -> String {
    configuration.as_str().map_or_else(|| configuration.to_string(), str::to_owned)
}

impl Vector {
    /// Runs it, and says what was not as expected.
    pub fn run(&self, kind: Kind) -> Result<(), String> {
        self.run_by(&|opening| kind.open(opening))
    }

    /// The same around whatever opens its sessions: another driver.
    pub fn run_by(&self, open: &Open<'_>) -> Result<(), String> {
        if let Some(expected) = &self.refused {
            let mut names = Names::new(&self.names)?;
            return match open(&self.opening(&names)?) {
                Err(error) => matches(&error, expected, &mut names).map_err(|why| format!("refusal: {why}")),
                Ok(_) => Err("the configuration was accepted".into()),
            };
        }
        let mut run = self.begin(open)?;
        let mut jumped = 0;
        for (index, step) in self.steps.iter().enumerate() {
            jumped += step.wall_jump_ms;
            let clock = self.clock(step.at_ms, jumped);
            run.take(step, &clock).map_err(|why| format!("step {index} (at {} ms): {why}", step.at_ms))?;
        }
        Ok(())
    }

    fn opening(&self, names: &Names) -> Result<Opening, String> {
        Ok(Opening {
            configuration: configuration_text(&names.expand(&self.configuration, &[])?),
            seed: self.seed,
            can: self.can.clone(),
            from: names.expand(&self.start, &[])?,
        })
    }

    fn begin<'a>(&self, open: &'a Open<'a>) -> Result<Run<'a>, String> {
        let names = Names::new(&self.names)?;
        let opening = self.opening(&names)?;
        let machine = open(&opening).map_err(|error| format!("the configuration was refused: {error}"))?;
        Ok(Run { open, machine, opening, names, tasks: Vec::new(), journal: None, output: json!({}), secrets: Vec::new() })
    }

    /// The clock of a moment of this vector.
    pub fn clock(&self, at_ms: u64, jumped_ms: i64) -> Value {
        let wall = (self.wall_ms + at_ms).saturating_add_signed(jumped_ms);
        match self.steady_ms {
            Some(steady) => json!({"wall-ms": wall, "steady-ms": steady + at_ms}),
            None => json!({"wall-ms": wall}),
        }
    }
}

/// Opens a session, or says why not: a `configuration-error`.
pub type Open<'a> = dyn Fn(&Opening) -> Result<Box<dyn Machine>, Value> + 'a;

struct Run<'a> {
    open: &'a Open<'a>,
    machine: Box<dyn Machine>,
    opening: Opening,
    names: Names,
    /// Tasks that are not answered: number and task.
    tasks: Vec<(u64, Value)>,
    journal: Option<Value>,
    output: Value,
    /// Every secret that was given to the session.
    secrets: Vec<String>,
}

impl Run<'_> {
    fn take(&mut self, step: &Step, clock: &Value) -> Result<(), String> {
        match (&step.event, &step.variables, &step.reopen) {
            (Some(event), None, None) => {
                let event = self.names.expand(event, &self.tasks)?;
                self.step(clock, &event);
            }
            (None, Some(variables), None) => self.answer_variables(clock, variables)?,
            (None, None, Some(reopen)) => self.reopen(reopen)?,
            _ => return Err("a step has exactly one of event, variables and reopen".into()),
        }
        let status = self.machine.status(clock);
        if let Some(expected) = &step.expect {
            matches(&self.output, expected, &mut self.names).map_err(|why| format!("output: {why}\n{:#}", self.output))?;
        }
        if let Some(expected) = &step.status {
            matches(&status, expected, &mut self.names).map_err(|why| format!("status: {why}\n{status:#}"))?;
        }
        if let Some(expected) = &step.entry_key {
            let key = self.machine.entry_key().map_or(Value::Null, Value::String);
            matches(&key, expected, &mut self.names).map_err(|why| format!("entry key: {why}"))?;
        }
        let public = [&self.output["notes"], &self.output["access"]["failed"], &status].map(Value::to_string).concat();
        match self.secrets.iter().find(|secret| public.contains(secret.as_str())) {
            Some(secret) => Err(format!("the secret {secret} shows in {public}")),
            None => Ok(()),
        }
    }

    fn step(&mut self, clock: &Value, event: &Value) {
        self.secrets.extend(secrets_in(event));
        if let Some(number) = event["finished"]["number"].as_u64() {
            self.tasks.retain(|(open, _)| *open != number);
        }
        self.output = self.machine.step(clock, event);
        for task in self.output["tasks"].as_array().into_iter().flatten() {
            self.tasks.push((task["number"].as_u64().unwrap_or_default(), task["task"].clone()));
        }
        if let Some(journal) = self.output.get("journal") {
            self.journal = Some(journal.clone());
        }
    }

    fn answer_variables(&mut self, clock: &Value, variables: &BTreeMap<String, Value>) -> Result<(), String> {
        let mut unasked: Vec<&String> = variables.keys().collect();
        while let Some((number, name)) =
            self.tasks.iter().find_map(|(number, task)| Some((*number, task.get("read-variable")?.clone())))
        {
            let name = name.as_str().unwrap_or_default();
            unasked.retain(|unasked| *unasked != name);
            let outcome = match variables.get(name) {
                Some(content) => json!({"content": self.names.expand(content, &[])?}),
                None => json!("absent"),
            };
            self.step(clock, &json!({"finished": {"number": number, "outcome": outcome}}));
        }
        if unasked.is_empty() { Ok(()) } else { Err(format!("the variables {unasked:?} were not asked for")) }
    }

    fn reopen(&mut self, reopen: &Reopen) -> Result<(), String> {
        self.opening.seed = reopen.seed;
        self.opening.from = match (&reopen.start, &self.journal) {
            (Some(start), _) => self.names.expand(start, &[])?,
            (None, Some(journal)) => json!({ "resumed": journal }),
            (None, None) => fresh(),
        };
        if let Some(configuration) = &reopen.configuration {
            self.opening.configuration = configuration_text(&self.names.expand(configuration, &[])?);
        }
        self.tasks.clear();
        self.output = json!({});
        self.machine = (self.open)(&self.opening).map_err(|error| format!("reopening was refused: {error}"))?;
        Ok(())
    }
}
