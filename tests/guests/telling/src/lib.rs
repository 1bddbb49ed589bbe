//! Asks for the variable that its configuration names last, and panics with what it is told; before that it fills its memory with it.

use std::hint::black_box;

use wif_guest_kit::types::{Access, Clock, Event, NumberedTask, Outcome, Output, PendingReason, Start, Task};
use wif_guest_kit::{Behaviour, component, saying};

struct Telling {
    name: String,
}

component!(Telling);

impl Behaviour for Telling {
    fn open(configuration: &str, _: &Start) -> Self {
        let name = configuration.rsplit_once(r#""name":""#).map_or(configuration, |(_, name)| name.trim_end_matches(['"', '}']));
        Self { name: name.to_owned() }
    }

    fn step(&mut self, _: &Clock, event: &Event) -> Output {
        if let Event::Finished(result) = event
            && let Outcome::Content(secret) = &result.outcome
        {
            black_box(vec![secret.clone(); 100]);
            panic!("the secret is {secret}");
        }
        let mut output = saying(Access::Pending(PendingReason::Discovering));
        if matches!(event, Event::Woken) {
            output.tasks.push(NumberedTask { number: 1, task: Task::ReadVariable(self.name.clone()) });
        }
        output
    }
}
