//! Nothing: the package is in Go, and this crate has its test.
