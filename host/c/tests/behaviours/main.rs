//! The C library as programs in C meet it, installed as `make install` does, against an emulator.
//!
//! ```text
//! cargo test -p wif-c
//! ```

#![cfg(unix)]

mod header;
mod installed;
mod programs;
mod sending;
mod vectors;
