//! Builds a guest crate into a component, from a build script.
