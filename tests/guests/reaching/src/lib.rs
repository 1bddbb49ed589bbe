//! Wants a clock from its host, which its world does not name; otherwise it is a session that serves one token.

use wif_guest_kit::types::{Access, Clock, Event, Output, Start};
use wif_guest_kit::{Behaviour, component, saying, serving};

#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package ambient:time;
            interface clock { now: func() -> u64; }
            world reaching { import clock; }
        ",
    });
}

struct Reaching;

component!(Reaching);

impl Behaviour for Reaching {
    fn open(_: &str, _: &Start) -> Self {
        Self
    }

    fn step(&mut self, _: &Clock, _: &Event) -> Output {
        saying(Access::Usable(serving(&format!("{:016x}", bindings::ambient::time::clock::now()))))
    }
}
