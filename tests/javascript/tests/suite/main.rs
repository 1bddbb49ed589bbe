//! The JavaScript package: its driver and its component by the conformance vectors, its duties as a host, and the real runtimes
//! against the emulator.

#![cfg(unix)]

mod bundles;
mod cases;
mod edge;
mod examples;
mod files;
mod processes;
mod program;
mod scenarios;
mod types;
mod workers;
mod world;
