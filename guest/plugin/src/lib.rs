//! The engine as a WebAssembly component that imports nothing.
