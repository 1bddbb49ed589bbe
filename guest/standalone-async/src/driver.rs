//! The driver of the session: follows the rules of `wit/session.wit`, for any number of calls at once.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::task::{Poll, Waker};

use wif_engine::contract::{Event, Failure, HttpRequest, Status, Usable};

use crate::clock::instant;
use crate::desk::{Desk, LONGEST_CALL, Verdict};
use crate::http;
use crate::time::{First, first, sleep_until};

thread_local! {
    /// The one session of this instance. It is borrowed within `with` alone, which nothing waits in.
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
    /// Counts the steps.
    static STEPS: Cell<u64> = const { Cell::new(0) };
    /// Who waits for the next.
    static WAITERS: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// A token, from memory where that is allowed.
pub(crate) async fn token() -> Result<Usable, Failure> {
    let called = instant();
    step(Event::Needed)?;
    loop {
        let steps = STEPS.get();
        // Nobody settles: the host keeps the instance while its exchange runs.
        let (verdict, wake_at) = with(|desk| (desk.verdict(called, called), desk.wake_at()))?;
        match verdict {
            Verdict::Answer(answer) => return answer,
            Verdict::Wait(until) => {
                let until = wake_at.map_or(until, |wake_at| wake_at.min(until));
                if let First::Other(()) = first(pin!(changed(steps)), sleep_until(Some(until))).await {
                    wake()?;
                }
            }
        }
    }
}

/// The API answered 401 to the token with this id. What this starts is not waited for.
pub(crate) fn reject(id: String) {
    // Without a configuration there is no token to reject.
    let _ = step(Event::Rejected(id));
}

/// Where credentials from here may go.
pub(crate) fn origin() -> Result<String, Failure> {
    with(Desk::origin)?
}

/// A glance.
pub(crate) fn status() -> Result<Status, Failure> {
    with(Desk::status)
}

fn with<T>(call: impl FnOnce(&mut Desk) -> T) -> Result<T, Failure> {
    DESK.with_borrow_mut(|slot| {
        let desk = match slot.take() {
            Some(desk) => desk,
            None => Desk::open()?,
        };
        Ok(call(slot.insert(desk)))
    })
}

/// Tells the session, does what it wants done, and tells who waits.
fn step(event: Event) -> Result<(), Failure> {
    change(|desk| desk.step(event))
}

/// The time has come, unless somebody else has said so.
fn wake() -> Result<(), Failure> {
    change(|desk| {
        if desk.wake_at().is_some_and(|wake_at| wake_at <= instant()) {
            desk.step(Event::Woken);
        }
    })
}

fn change(call: impl FnOnce(&mut Desk)) -> Result<(), Failure> {
    let outbox = with(|desk| {
        call(desk);
        while desk.is_busy() {
            desk.work();
        }
        desk.take_outbox()
    })?;
    for (number, request) in outbox {
        wit_bindgen::spawn_local(exchange(number, request));
    }
    STEPS.set(STEPS.get().wrapping_add(1));
    WAITERS.with_borrow_mut(mem::take).into_iter().for_each(Waker::wake);
    Ok(())
}

/// Ready when there was a step after this one.
async fn changed(steps: u64) {
    poll_fn(|context| {
        if STEPS.get() != steps {
            return Poll::Ready(());
        }
        WAITERS.with_borrow_mut(|waiters| waiters.push(context.waker().clone()));
        Poll::Pending
    })
    .await;
}

/// Sends a request, and keeps the session awake until its result is where others find it. Fails never: the session is open.
async fn exchange(number: u32, request: HttpRequest) {
    let mut sending = pin!(http::send(request));
    let outcome = loop {
        let wake_at = with(|desk| desk.wake_at()).ok().flatten();
        match first(sending.as_mut(), sleep_until(wake_at)).await {
            First::One(outcome) => break outcome,
            // The lease must show that its holder lives.
            First::Other(()) => drop(wake()),
        }
    };
    let _ = change(|desk| desk.answered(number, outcome));
    let until = instant().saturating_add(LONGEST_CALL);
    while with(|desk| desk.owes_entry()) == Ok(true) && instant() < until {
        let wake_at = with(|desk| desk.wake_at()).ok().flatten();
        sleep_until(Some(wake_at.map_or(until, |wake_at| wake_at.min(until)))).await;
        let _ = wake();
    }
}
