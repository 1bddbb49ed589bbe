//! Holds the files of `wit/` to what they promise: see `tests/`.
