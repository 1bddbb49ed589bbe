//! Memory is wiped when it is freed, and the stack at the end of a call.
//!
//! A text of the boundary holds secrets, and so does what the JSON library copies on its way: a text with an escape, a value of an
//! output. The engine wipes what is its own. This wipes all else, whoever forgets it.

#![allow(unsafe_code, reason = "an allocator takes pointers")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::mem::MaybeUninit;
use std::slice;

use zeroize::Zeroize;

#[global_allocator]
static WIPING: Wiping = Wiping;

struct Wiping;

/// Most of the stack that `guest/build` gives to a module, in words of eight bytes.
const STACK: usize = 48 * 1024 / 8;

/// Wipes what is left on the stack by functions that have returned: a hash, for one, keeps its last block there, and a short key fits into it.
#[inline(never)]
pub(crate) fn wipe_stack() {
    [MaybeUninit::<u64>::uninit(); STACK].zeroize();
}

// SAFETY: the system's allocator gets each layout and each pointer as it came. What grows is moved by the trait's own `realloc`, which
// frees, and so wipes, where it was.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the same rules.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: these bytes were allocated with this layout, and the caller has given up its last pointer to them.
        let freed = unsafe { slice::from_raw_parts_mut(pointer.cast::<MaybeUninit<u8>>(), layout.size()) };
        freed.zeroize();
        // SAFETY: the caller keeps the same rules.
        unsafe { System.dealloc(pointer, layout) }
    }
}
