//! A driver in Python, in `tests/python`: the example for authors of drivers. Its tests are in `tests/python.rs`.
//!
//! | File | What it holds |
//! | --- | --- |
//! | `component.py` | the component in wasmtime, and the contract's JSON form, made from the component's own types |
//! | `driver.py` | the driver: one thread that steps, a snapshot that callers read, what to do after a trap |
//! | `tasks.py` | requests, files and variables, each granted by `wit/authority.json` and the configuration |
//! | `request.py` | what leaves for a request, by `wit/rules.json` |
//! | `vectors.py` | runs the conformance vectors, on the driver |
//! | `driven.py` | the driver in a test's hands: stepped when it is told to, or on a clock that a test moves |
//! | `cases.py` | the cases of `tests/requests` and `tests/callers` |
//! | `world.py` | a session in virtual time, for the tests |
//! | `wrong.py` | drives a session wrong, as `tests/contract/sentences.md` says |
//! | `callers.py` | the duties of the driver itself, with sessions that are played |
//! | `guests.py` | the driver around components that steal, loop and flood |
//! | `live.py` | the driver against the emulator |
//! | `measured.py` | what a step costs from Python |
