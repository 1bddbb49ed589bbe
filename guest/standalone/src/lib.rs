//! The engine as a WASI component that does its own I/O.
