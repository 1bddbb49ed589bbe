//! Panics on command: its configuration says for the name of an event `panic`, or `panic-if-resumed` for a session that began
//! with a journal. `task=variable` asks for a variable with each `woken`, and serves a token only after a `lost` answer to
//! it, which is survived whatever `finished` says. `task=callable` asks a callable once, in a session that began without a journal.
//!
//! The id of its token tells what it knows: `id=journal`, how many steps its journal and those before it tell of; `id=seed`, its seed;
//! `id=results`, how many results it was given. `serves=fresh` has a token only in a session that began without a journal.

use wif_guest_kit::types::{Access, AssertionRequest, Clock, Event, NumberedTask, Outcome, Output, PendingReason, Start, Task};
use wif_guest_kit::{Behaviour, ID, component, name, saying, serving, word};

struct Crashing {
    script: String,
    resumed: bool,
    seed: u64,
    /// Of this session and those before it.
    steps: u64,
    results: u64,
    tasks: u32,
    lost: bool,
}

component!(Crashing);

impl Behaviour for Crashing {
    fn open(configuration: &str, start: &Start) -> Self {
        let resumed = matches!(start, Start::Resumed(_));
        let steps = if let Start::Resumed(journal) = start { journal.parse().unwrap_or_default() } else { 0 };
        Self { script: configuration.to_owned(), resumed, seed: 0, steps, results: 0, tasks: 0, lost: false }
    }

    fn seeded(&mut self, seed: u64) {
        self.seed = seed;
    }

    fn step(&mut self, _: &Clock, event: &Event) -> Output {
        let lost = matches!(event, Event::Finished(result) if matches!(result.outcome, Outcome::Lost));
        self.lost |= lost;
        self.results += u64::from(matches!(event, Event::Finished(_)));
        match word(&self.script, name(event)) {
            _ if lost => {}
            Some("panic") => panic!("as told"),
            Some("panic-if-resumed") if self.resumed => panic!("as told"),
            _ => {}
        }
        self.steps += 1;
        let mut output = saying(self.access());
        output.journal = Some(self.steps.to_string());
        if matches!(event, Event::Woken)
            && let Some(task) = self.task()
        {
            self.tasks += 1;
            output.tasks.push(NumberedTask { number: self.tasks, task });
        }
        output
    }
}

impl Crashing {
    fn access(&self) -> Access {
        if word(&self.script, "task") == Some("variable") && !self.lost
            || word(&self.script, "serves") == Some("fresh") && self.resumed
        {
            return Access::Pending(PendingReason::Discovering);
        }
        let number = match word(&self.script, "id") {
            Some("journal") => self.steps,
            Some("seed") => self.seed,
            Some("results") => self.results,
            _ if self.lost => 0x10ff,
            _ => return Access::Usable(serving(ID)),
        };
        Access::Usable(serving(&format!("{number:016x}")))
    }

    fn task(&self) -> Option<Task> {
        match word(&self.script, "task")? {
            "variable" => Some(Task::ReadVariable("ANTHROPIC_CRASHING".to_owned())),
            "callable" if !self.resumed => {
                let request = AssertionRequest { name: "slow".to_owned(), audience: String::new() };
                Some(Task::SupplyAssertion(request))
            }
            _ => None,
        }
    }
}
