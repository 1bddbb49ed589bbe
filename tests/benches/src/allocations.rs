//! Counts what is allocated, while it is told to.
//!
//! A library that counts all the time would take part in every other number: it was a tenth of the shortest ones.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};

static COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LIVE_BYTES: AtomicI64 = AtomicI64::new(0);

/// The system's allocator, and a switch.
pub(crate) struct Counting;

/// What a piece of work allocated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allocated {
    /// How often.
    pub(crate) times: u64,
    /// How much of it is still there, in bytes.
    pub(crate) live_bytes: i64,
}

/// Counts all threads of the process while this works.
pub(crate) fn count(work: impl FnOnce()) -> Allocated {
    let before = Allocated { times: ALLOCATIONS.load(Relaxed), live_bytes: LIVE_BYTES.load(Relaxed) };
    COUNTING.store(true, Relaxed);
    work();
    COUNTING.store(false, Relaxed);
    Allocated { times: ALLOCATIONS.load(Relaxed) - before.times, live_bytes: LIVE_BYTES.load(Relaxed) - before.live_bytes }
}

fn note(times: u64, bytes: i64) {
    if COUNTING.load(Relaxed) {
        ALLOCATIONS.fetch_add(times, Relaxed);
        LIVE_BYTES.fetch_add(bytes, Relaxed);
    }
}

#[allow(clippy::cast_possible_wrap, reason = "no layout is larger than isize::MAX")]
fn size(layout: Layout) -> i64 {
    layout.size() as i64
}

// SAFETY: everything is the system allocator's own doing; the counters beside it allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, size(layout));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, size(layout));
        // SAFETY: likewise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(1, i64::try_from(new_size).unwrap_or(i64::MAX) - size(layout));
        // SAFETY: likewise.
        unsafe { System.realloc(old, layout, new_size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        note(0, -size(layout));
        // SAFETY: likewise.
        unsafe { System.dealloc(old, layout) }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_allocation_is_counted_and_its_end_too() {
        let kept = std::cell::RefCell::new(Vec::<u8>::new());
        let counted = super::count(|| *kept.borrow_mut() = std::hint::black_box(Vec::with_capacity(1 << 20)));
        // Other tests of this process may allocate meanwhile.
        assert!(counted.times >= 1 && counted.live_bytes >= 1 << 19, "{counted:?}");
    }
}
