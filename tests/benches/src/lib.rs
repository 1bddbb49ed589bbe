//! Measures what the README's table of numbers says, and writes that table.
//!
//! ```sh
//! cargo run --release -p wif-benches
//! ```
//!
//! It takes two minutes, most of them for Envoy, writes `tests/benches/numbers.json`, and renders the README's table from that file; a test fails
//! when the two differ. With the name of a group (`request`, `edges`, `start`, `size`, `callers`, `memory`, `scale`, `python`, `javascript`, `envoy`) it measures
//! that one, prints it and writes nothing; `render` writes the table from the file that is there.
//!
//! # How it is measured
//!
//! - **As ratios, within one run.** Absolute figures belong to the machine that the file describes. What is measured and what
//!   it is compared with take turns, sample by sample, so that whatever else the machine does meets both; the table shows
//!   medians, and the file the quartiles beside them. A finished harness would measure one after the other, which on a shared
//!   machine says more about the neighbours: hence a few lines of our own (`sampler.rs`) instead of one.
//! - **A request** asks the real host for a token that the real component got from the emulator. What it is compared with is
//!   the least that any host could do: load a pointer that another thread may exchange, and read the same clock.
//!   That it takes no lock cannot be measured; that two threads are twice as fast as one can.
//! - **An edge** is one call of `step`, by the very code by which the host's driver makes it: `component` takes the files of
//!   `host/rust`, which keeps them private. The engine as a native library takes the same events in the same cycle. Each
//!   cycle is an hour of a session that lives on: a refresh falls due, the identity token is read, the exchange answered.
//!   What becomes of the output afterwards is the host's, and not counted on either side.
//! - **The start** is that of a process of its own, from before `fork` until it has said that its first exchange was begun, as
//!   its parent sees it; beside it the same program that says so at once.
//! - **Memory** in the component is what its linear memory grew by; in the host, the bytes allocated and not freed; for an
//!   instance and for a whole credential, by what the process grew.
//! - **Many identities** are credentials of one process, from one to ten thousand, each in a new process. All are made at once
//!   against an endpoint on the same machine.
//! - **The vendor's Python SDK** answers from its cache, in a process of its own in the same run, pinned by hash in
//!   `requirements.txt`. Without Python or a package registry that row says so, and the others stand.
//! - **JavaScript** is measured in Node and in workerd, each in a process of its own, where the package, plain JavaScript and the
//!   vendor's SDK take turns. Without Node or a package registry that row says so, and the others stand.
//! - **Envoy** is the real one, one process with one worker, on a core of its own where there are two. It has a listener for
//!   each thing that is compared, all before the same upstream, and they take turns in short rounds, shuffled. Clients and
//!   upstream share another core, and take so little that Envoy is what they wait for. What a request costs is the time that
//!   Envoy's threads ran, divided by the requests of the round; throughput and latency follow from it, and are in the file. Where
//!   two are compared, every round is compared with the other of the same turn. The baseline of this filter is a filter of the same
//!   SDK that sets a header and does nothing else: what V8 and the interface cost at least. This project's has the capabilities
//!   that its configurations for Envoy allow, so it is not entered for bodies; the baseline with its own fewest stands in the file.
//!   A worker's share of memory is what four more workers take, beside Envoy with that baseline and, for the dynamic module, with
//!   no filter. The module weighs what it does without symbols, as it is shipped.
//!   Beside them stands what people use without a filter of their own: a process on the same machine that Envoy asks for each request, by
//!   `ext_authz` and by `ext_proc`, and that only answers with a header. It shares the clients' core.
//!   For who changes the filter: `WIF_OTHER_FILTER` names another build of it, which is measured beside, and `WIF_ENVOY_VARIANTS` names
//!   those that are measured at all, by the ids in the file (`static_filter,filter,other_filter`).
//! - **A build** from nothing is measured by `python3 .ci/build-cost.py`, for this program would have to be built first. This program keeps
//!   the rows of the last such measurement.
#![doc = include_str!("../missed.md")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "it measures the machine's own time, asks for the variables of its children, and is a program that prints"
)]

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

mod allocations;
// The host's own files, which measure what the host's driver does; not all of them is used here.
#[path = "../../../host/rust/src/bindings.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the host")]
mod bindings;
#[path = "../../../host/rust/src/clock.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the host")]
mod clock;
mod component;
mod machine;
mod readme;
mod report;
mod rig;
mod rows;
mod sampler;
#[path = "../../../host/rust/src/session/stopped.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the host")]
mod session;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

pub use machine::Machine;
pub use readme::{headlines, render, splice};
pub use report::{Baseline, Number, Numbers, Unit};

/// Measures a group of numbers.
type Group = fn() -> anyhow::Result<Vec<Number>>;

const GROUPS: [(&str, Group); 10] = [
    ("request", rows::request::measure),
    ("edges", rows::edges::measure),
    ("start", rows::start::measure),
    ("size", rows::size::measure),
    ("callers", rows::callers::measure),
    ("memory", rows::memory::measure),
    ("scale", rows::scale::measure),
    ("python", rows::python::measure),
    ("javascript", rows::javascript::measure),
    ("envoy", rows::envoy::measure),
];

/// The file with the numbers of the last whole run.
#[must_use]
pub fn numbers_file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/numbers.json"))
}

/// The README of the project.
#[must_use]
pub fn readme_file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md"))
}

/// The file with the whole table.
#[must_use]
pub fn table_file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/NUMBERS.md"))
}

/// Reads [`numbers_file`].
///
/// # Errors
///
/// It is not there, or none. Run the command.
pub fn read_numbers() -> anyhow::Result<Numbers> {
    let text = std::fs::read_to_string(numbers_file()).context("no numbers.json: run `cargo run --release -p wif-benches`")?;
    serde_json::from_str(&text).context("numbers.json is not what the command writes: run it again")
}

/// The command.
///
/// # Errors
///
/// A number could not be taken at all, a file not be written. A number that misses its target is no error: it is reported.
pub fn main() -> anyhow::Result<()> {
    let argument = std::env::args().nth(1);
    match argument.as_deref() {
        Some(child) if child.starts_with("child-") => rows::child(child),
        Some("render") => write_tables(&read_numbers()?),
        Some(name) => {
            let Some((_, measure)) = GROUPS.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = GROUPS.iter().map(|(name, _)| *name).collect();
                bail!("no group {name}: there are {}", known.join(", "));
            };
            for number in measure()? {
                println!("{}", serde_json::to_string(&number)?);
            }
            Ok(())
        }
        None => run(),
    }
}

fn run() -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        bail!("numbers of a debug build mean nothing: cargo run --release -p wif-benches");
    }
    let machine = Machine::describe();
    let mut numbers = Vec::new();
    for (name, measure) in GROUPS {
        eprintln!("measuring: {name}");
        numbers.extend(measure().with_context(|| format!("cannot measure {name}"))?);
    }
    rows::python::compare(&mut numbers);
    // Another program measures builds, and seldom, for they take many minutes.
    numbers.extend(read_numbers().map_or_else(|_| Vec::new(), |last| last.numbers).into_iter().filter(Number::is_of_a_build));
    let numbers = Numbers { machine, numbers };
    std::fs::write(numbers_file(), serde_json::to_string_pretty(&numbers)? + "\n").context("cannot write numbers.json")?;
    write_tables(&numbers)?;
    println!("{}", render(&numbers));
    Ok(())
}

fn write_tables(numbers: &Numbers) -> anyhow::Result<()> {
    write_table(&readme_file(), &headlines(numbers))?;
    write_table(&table_file(), &render(numbers))
}

fn write_table(file: &Path, table: &str) -> anyhow::Result<()> {
    let document = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let changed =
        splice(&document, table).with_context(|| format!("{} has lost the markers of its table of numbers", file.display()))?;
    if changed != document {
        std::fs::write(file, changed).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
