//! The driver of the session: follows the rules of `wit/session.wit`, one call at a time.

use std::mem;

use wasi::clocks::monotonic_clock;
use wasi::io::poll::{self, Pollable};
use wif_engine::contract::{Event, Failure, Status, Usable};

use crate::http::Exchange;
use wif_wasi::clock::{Instant, instant};
use wif_wasi::desk::{Desk, LONGEST_CALL, Next};

/// The session and the requests that are under way for it.
pub(crate) struct Driver {
    desk: Desk,
    exchanges: Vec<(u32, Exchange)>,
}

impl Driver {
    /// Opens the session. Fails when the variable of the configuration holds something that can never work.
    pub(crate) fn open() -> Result<Self, Failure> {
        Ok(Self { desk: Desk::open()?, exchanges: Vec::new() })
    }

    /// A token, from memory where that is allowed.
    pub(crate) fn token(&mut self) -> Result<Usable, Failure> {
        let mut call = self.desk.call(true);
        // First what came since the last call, for it may be all that is needed.
        self.desk.begin();
        self.work();
        self.desk.step(Event::Needed);
        loop {
            self.work();
            match self.desk.next(&mut call) {
                Next::Answer(answer) => return answer,
                Next::Wait(until) => self.pass(until),
            }
        }
    }

    /// The API answered 401 to the token with this id. What this starts is waited for only where others would miss it.
    pub(crate) fn reject(&mut self, id: String) {
        let until = instant().saturating_add(LONGEST_CALL);
        self.desk.begin();
        self.work();
        self.desk.step(Event::Rejected(id));
        self.work();
        while self.desk.owes() && instant() < until {
            self.pass(until);
        }
    }

    /// Where credentials from here may go.
    pub(crate) fn origin(&mut self) -> Result<String, Failure> {
        self.desk.origin()
    }

    /// A glance.
    pub(crate) fn status(&mut self) -> Status {
        self.desk.status()
    }

    /// Waits for what comes next, at most until then.
    fn pass(&mut self, until: Instant) {
        if !self.desk.is_busy() {
            self.wait(until);
            self.work();
            self.desk.step(Event::Woken);
        }
        self.work();
    }

    /// Takes results, answers tasks and sends requests, as far as that goes without waiting.
    fn work(&mut self) {
        self.collect();
        self.desk.work();
        for (number, request) in self.desk.take_outbox() {
            let started = Exchange::start(request, instant()).and_then(|exchange| match exchange.look(instant()) {
                Ok(outcome) => Err(outcome),
                Err(running) => Ok(running),
            });
            match started {
                Ok(running) => self.exchanges.push((number, running)),
                Err(outcome) => self.desk.answered(number, outcome),
            }
        }
    }

    /// Takes the results that are there.
    fn collect(&mut self) {
        for (number, exchange) in mem::take(&mut self.exchanges) {
            match exchange.look(instant()) {
                Ok(outcome) => self.desk.answered(number, outcome),
                Err(running) => self.exchanges.push((number, running)),
            }
        }
    }

    /// Sleeps until something comes in, the session wants to be woken, or `until`.
    fn wait(&self, until: Instant) {
        let ends = self.exchanges.iter().map(|(_, exchange)| exchange.deadline()).chain(self.desk.wake_at());
        let timer = monotonic_clock::subscribe_instant(ends.fold(until, Instant::min));
        let mut pollables: Vec<Pollable> = self.exchanges.iter().map(|(_, exchange)| exchange.subscribe()).collect();
        pollables.push(timer);
        poll::poll(&pollables.iter().collect::<Vec<_>>());
    }
}
