//! Waiting.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use crate::bindings::wasi::clocks::monotonic_clock;
use wif_wasi::clock::{Instant, instant};

/// Until then; for ever without one.
pub(crate) async fn sleep_until(end: Option<Instant>) {
    match end {
        // The clocks of WASI 0.2 and 0.3 need not begin at the same moment.
        Some(end) => monotonic_clock::wait_for(end.saturating_sub(instant())).await,
        None => std::future::pending().await,
    }
}

/// What is ready first.
pub(crate) enum First<A, B> {
    One(A),
    Other(B),
}

/// Waits for either, and prefers the first. It can be waited for again; the other is given up.
pub(crate) async fn first<A, B>(mut one: Pin<&mut impl Future<Output = A>>, other: impl Future<Output = B>) -> First<A, B> {
    let mut other = pin!(other);
    poll_fn(|context| {
        if let Poll::Ready(value) = one.as_mut().poll(context) {
            return Poll::Ready(First::One(value));
        }
        other.as_mut().poll(context).map(First::Other)
    })
    .await
}
