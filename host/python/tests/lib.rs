//! Nothing: the package is in Python, and this crate has its tests.
