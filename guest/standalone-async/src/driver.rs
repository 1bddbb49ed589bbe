//! The driver of the session: follows the rules of `wit/session.wit`, for any number of calls at once.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem;
use std::pin::pin;
use std::task::{Poll, Waker};

use wif_engine::contract::{Event, Failure, FailureCode, HttpRequest, Outcome, Status, Usable};

use crate::http;
use crate::time::{First, first, sleep_until};
use wif_wasi::clock::{Instant, NANOS_PER_MS, instant};
use wif_wasi::desk::{Desk, LONGEST_CALL, Next};

/// So many callers wait at once; others are told to come again.
const MAX_WAITERS: usize = 256;

/// When they do.
const COME_AGAIN_MS: u64 = 1_000;

/// Who waits looks this often for what a cancelled call has left, in nanoseconds. Its end can wake nobody: among those who wait may
/// be one that ends with it.
const LOOK_EVERY: u64 = 1_000 * NANOS_PER_MS;

thread_local! {
    /// The one session of this instance. It is borrowed within `with` alone, which nothing waits in.
    static DESK: RefCell<Option<Desk>> = const { RefCell::new(None) };
    /// Counts the steps.
    static STEPS: Cell<u64> = const { Cell::new(0) };
    /// Who waits for the next.
    static WAITERS: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    /// How many calls wait for a token.
    static WAITING: Cell<usize> = const { Cell::new(0) };
    /// Requests whose call was cancelled. The session has not been told yet.
    static LOST: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
    /// A call that has returned keeps the session awake until then.
    static KEPT_UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A token, from memory where that is allowed.
pub(crate) async fn token() -> Result<Usable, Failure> {
    // Nobody settles: the host keeps the instance while its exchange runs.
    let mut call = with(|desk| desk.call(false))?;
    // Whoever keeps the session awake has told it already; and what is begun there is not lost with this call.
    if !is_kept() {
        step(Event::Needed)?;
    }
    let mut waiting = None;
    loop {
        let steps = STEPS.get();
        let (next, wake_at) = with(|desk| (desk.next(&mut call), desk.wake_at()))?;
        match next {
            Next::Answer(answer) => return answer,
            Next::Wait(until) => {
                if waiting.is_none() {
                    waiting = Some(Waiting::begin()?);
                }
                let wake_at = wake_at.filter(|_| !is_kept());
                if let First::Other(()) = first(pin!(changed(steps)), sleep_until(Some(next_look(wake_at, until)))).await
                    && !is_kept()
                {
                    wake()?;
                }
            }
        }
    }
}

/// Starts what is due. None if there is something to wait for: that goes on after the call.
pub(crate) fn begin() -> Result<Option<Usable>, Failure> {
    let mut call = with(|desk| desk.call(false))?;
    step(Event::Needed)?;
    match with(|desk| desk.next(&mut call))? {
        Next::Answer(answer) => answer.map(Some),
        Next::Wait(_) => {
            if KEPT_UNTIL.replace(Some(instant().saturating_add(LONGEST_CALL))).is_none() {
                wit_bindgen::spawn_local(keep());
            }
            Ok(None)
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
    let due = with(|desk| desk.wake_at())?.is_some_and(|wake_at| wake_at <= instant());
    if due {
        step(Event::Woken)
    } else if LOST.with_borrow(|lost| !lost.is_empty()) {
        change(|_| {})
    } else {
        Ok(())
    }
}

fn change(call: impl FnOnce(&mut Desk)) -> Result<(), Failure> {
    let outbox = with(|desk| {
        desk.begin();
        for number in LOST.take() {
            desk.answered(number, Outcome::Lost);
        }
        // Whatever is left to do is done before its time is over.
        work(desk);
        call(desk);
        work(desk);
        desk.take_outbox()
    })?;
    for (number, request) in outbox {
        wit_bindgen::spawn_local(exchange(Owed(Some(number)), request));
    }
    STEPS.set(STEPS.get().wrapping_add(1));
    WAITERS.with_borrow_mut(mem::take).into_iter().for_each(Waker::wake);
    Ok(())
}

fn work(desk: &mut Desk) {
    while desk.is_busy() {
        desk.work();
    }
}

/// Ready when there was a step after this one.
async fn changed(steps: u64) {
    poll_fn(|context| {
        if STEPS.get() != steps {
            return Poll::Ready(());
        }
        WAITERS.with_borrow_mut(|waiters| {
            if !waiters.iter().any(|waker| waker.will_wake(context.waker())) {
                waiters.push(context.waker().clone());
            }
        });
        Poll::Pending
    })
    .await;
}

/// When to look again: when the session wants to be woken, but no later than for a cancelled call.
fn next_look(wake_at: Option<Instant>, until: Instant) -> Instant {
    let regular = instant().saturating_add(LOOK_EVERY);
    wake_at.map_or(until, |wake_at| wake_at.min(until)).min(regular)
}

fn is_kept() -> bool {
    KEPT_UNTIL.get().is_some()
}

/// Keeps the session awake for callers that may give up, until there is something to answer them with.
async fn keep() {
    let _end = Kept;
    let Ok(mut call) = with(|desk| desk.call(false)) else { return };
    while let Some(until) = KEPT_UNTIL.get().filter(|until| instant() < *until) {
        let steps = STEPS.get();
        let Ok((Next::Wait(_), wake_at)) = with(|desk| (desk.next(&mut call), desk.wake_at())) else { return };
        if let First::Other(()) = first(pin!(changed(steps)), sleep_until(Some(next_look(wake_at, until)))).await {
            let _ = wake();
        }
    }
}

/// Somebody keeps the session awake.
struct Kept;

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT_UNTIL.set(None);
    }
}

/// A call that waits.
struct Waiting;

impl Waiting {
    fn begin() -> Result<Self, Failure> {
        if WAITING.get() >= MAX_WAITERS {
            return Err(Failure {
                code: FailureCode::EndpointUnreachable,
                message: format!("{MAX_WAITERS} callers of this instance wait for a token already."),
                action: "Try again, or let the host make more instances.".to_owned(),
                retry_in_ms: Some(COME_AGAIN_MS),
                rotation_in_ms: None,
                status: None,
                request_id: None,
            });
        }
        WAITING.set(WAITING.get() + 1);
        Ok(Self)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.set(WAITING.get() - 1);
    }
}

/// The number of a request that the session has not heard of yet.
struct Owed(Option<u32>);

impl Drop for Owed {
    fn drop(&mut self) {
        // The call that sent it was cancelled; whether it left nobody knows.
        LOST.with_borrow_mut(|lost| lost.extend(self.0));
    }
}

/// Sends a request, and keeps the session awake until its result is where others find it. Fails never: the session is open.
async fn exchange(mut owed: Owed, request: HttpRequest) {
    let mut sending = pin!(http::send(request));
    let outcome = loop {
        let wake_at = with(|desk| desk.wake_at()).ok().flatten();
        match first(sending.as_mut(), sleep_until(wake_at)).await {
            First::One(outcome) => break outcome,
            // The lease must show that its holder lives.
            First::Other(()) => drop(wake()),
        }
    };
    if let Some(number) = owed.0.take() {
        let _ = change(|desk| desk.answered(number, outcome));
    }
    while with(|desk| desk.owes_entry()) == Ok(true) {
        let wake_at = with(|desk| desk.wake_at()).ok().flatten();
        sleep_until(Some(next_look(wake_at, Instant::MAX))).await;
        let _ = wake();
    }
}
