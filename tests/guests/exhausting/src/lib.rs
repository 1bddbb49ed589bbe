//! Takes more than it is given: its configuration says for the name of an event `loop`, `recursion`, `memory`, or `list` for an
//! answer that is as large as its memory allows.

use std::hint::black_box;

use wif_guest_kit::types::{Access, Clock, Event, Note, NoteCode, NoteLevel, Output, Start};
use wif_guest_kit::{Behaviour, ID, component, name, saying, serving, word};

struct Exhausting {
    script: String,
}

component!(Exhausting);

impl Behaviour for Exhausting {
    fn open(configuration: &str, _: &Start) -> Self {
        Self { script: configuration.to_owned() }
    }

    fn step(&mut self, _: &Clock, event: &Event) -> Output {
        let mut output = saying(Access::Usable(serving(ID)));
        match word(&self.script, name(event)) {
            Some("loop") => loop {
                black_box(());
            },
            Some("recursion") => {
                black_box(deeper(1));
            }
            Some("memory") => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 1 << 16]);
                    black_box(&hoard);
                }
            }
            Some("list") => {
                let message = "x".repeat(1 << 10);
                let note = || Note {
                    code: NoteCode::StateIgnored,
                    level: NoteLevel::Info,
                    message: message.clone(),
                    fields: Vec::new(),
                };
                output.notes = (0..4_000).map(|_| note()).collect();
            }
            _ => {}
        }
        output
    }
}

#[allow(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    let room = black_box([depth; 64]);
    deeper(depth + 1) + room[7]
}
