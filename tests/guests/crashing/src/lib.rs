//! Panics on command: its configuration says for the name of an event `panic`, or `panic-if-resumed` for a session that began
//! with a journal. `task=variable` asks for a variable with each `woken`, and serves a token only after a `lost` answer to
//! it, which is survived whatever `finished` says.

use wif_guest_kit::types::{Access, Clock, Event, NumberedTask, Outcome, Output, PendingReason, Start, Task};
use wif_guest_kit::{Behaviour, ID, component, name, saying, serving, word};

struct Crashing {
    script: String,
    resumed: bool,
    tasks: u32,
    lost: bool,
}

component!(Crashing);

impl Behaviour for Crashing {
    fn open(configuration: &str, start: &Start) -> Self {
        let resumed = matches!(start, Start::Resumed(_));
        Self { script: configuration.to_owned(), resumed, tasks: 0, lost: false }
    }

    fn step(&mut self, _: &Clock, event: &Event) -> Output {
        let lost = matches!(event, Event::Finished(result) if matches!(result.outcome, Outcome::Lost));
        self.lost |= lost;
        match word(&self.script, name(event)) {
            _ if lost => {}
            Some("panic") => panic!("as told"),
            Some("panic-if-resumed") if self.resumed => panic!("as told"),
            _ => {}
        }
        let asks = word(&self.script, "task") == Some("variable");
        let mut output = saying(match (asks, self.lost) {
            (true, false) => Access::Pending(PendingReason::Discovering),
            (_, true) => Access::Usable(serving("00000000000010ff")),
            _ => Access::Usable(serving(ID)),
        });
        if asks && matches!(event, Event::Woken) {
            self.tasks += 1;
            let task = Task::ReadVariable("ANTHROPIC_CRASHING".to_owned());
            output.tasks.push(NumberedTask { number: self.tasks, task });
        }
        output
    }
}
