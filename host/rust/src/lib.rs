//! Loads the credential component into a Rust program and drives it.
