//! The JavaScript package: what it weighs, how it starts, and what a request costs in Node and in workerd.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::{Value, json};
use wif_javascript::{Platform, WORKERS, Workshop};

use crate::report::{Number, Unit};
use crate::sampler::Samples;

type Measured = BTreeMap<String, Samples>;

pub(crate) fn measure() -> anyhow::Result<Vec<Number>> {
    let workshop = match Workshop::open() {
        Ok(workshop) => workshop,
        Err(why) => {
            eprintln!("the JavaScript package is not measured: {why:#}");
            let number = Number::new("javascript", "The JavaScript package", Unit::Nanoseconds);
            return Ok(vec![number.remark("Node, or the packages, could not be had where this was measured.")]);
        }
    };
    let mut numbers = sizes(&workshop)?;
    let mut program = Command::new("node");
    let node = samples(&serde_json::from_slice(&output(program.arg(workshop.program("bench.mjs")))?)?)?;
    numbers.extend(requests("node", "Node", &node)?);
    numbers.extend(client(&node)?);
    numbers.push(
        number(&node, "started", "javascript.node.start", "Node: from import to the first task", Unit::Nanoseconds)?
            .beside("the import of the vendor's SDK", median(&node, "sdk-imported")?)
            .at_most_times(0.25)
            .remark("In a process of its own. The WebAssembly is compiled in it."),
    );
    numbers.push(number(&node, "imported", "javascript.node.import", "… of this, the import", Unit::Nanoseconds)?.detail());
    let workerd = samples(&in_workerd(&workshop)?)?;
    numbers.extend(requests("workerd", "workerd", &workerd)?);
    numbers.push(
        number(
            &workerd,
            "opened",
            "javascript.workerd.open",
            "workerd: a credential made, its first task asked",
            Unit::Nanoseconds,
        )?
        .remark("The configuration is tried when the credential is made, and opened with the first request: two instances."),
    );
    Ok(numbers)
}

fn sizes(workshop: &Workshop) -> anyhow::Result<Vec<Number>> {
    let folder = tempfile::tempdir()?;
    let small = Platform { minify: true, ..WORKERS };
    let sizes = workshop.bundle(&workshop.program("smallest.mjs"), &small, folder.path())?;
    #[allow(clippy::cast_precision_loss, reason = "less than 2^52")]
    let sum = |suffix: &str, unit: &str| -> f64 {
        let files = sizes.as_object().into_iter().flatten().filter(|(name, _)| name.ends_with(suffix));
        files.filter_map(|(_, size)| size[unit].as_u64()).sum::<u64>() as f64
    };
    Ok(vec![
        Number::new("javascript.bundle", "What a Worker's bundle grows by, after gzip", Unit::Bytes)
            .value(sum("", "gzip"))
            .at_most("≤ 120 KiB", 120.0 * 1024.0)
            .remark(format!(
                "Bytes: component {}, after gzip {}; glue and driver, minified, {}, after gzip {}.",
                sum(".wasm", "bytes"),
                sum(".wasm", "gzip"),
                sum(".mjs", "bytes"),
                sum(".mjs", "gzip")
            )),
    ])
}

fn requests(id: &str, name: &str, measured: &Measured) -> anyhow::Result<Vec<Number>> {
    let median = |sample: &str| median(measured, sample);
    let row = |sample: &str, suffix: &str, what: String| {
        number(measured, sample, &format!("javascript.{id}.{suffix}"), &what, Unit::Nanoseconds)
    };
    Ok(vec![
        row("current", "request", format!("{name}: a request that finds a good token"))?
            .beside("a variable and the clock, in plain JavaScript", median("plain")?),
        row("token-awaited", "awaited", format!("{name}: … awaited"))?
            .beside("the vendor's TypeScript SDK, from its cache", median("sdk-awaited")?)
            .at_most_times(1.0),
        row("applied", "applied", format!("{name}: … applied to headers: stripped, set, merged"))?.detail(),
        row("edge", "edge", format!("{name}: an edge through the component that changes nothing"))?,
    ])
}

/// The vendor's SDK from the call to the socket.
fn client(measured: &Measured) -> anyhow::Result<Vec<Number>> {
    let own = median(measured, "sdk-request")?;
    let row = |sample: &str, suffix: &str, what: &str| {
        let what = format!("Node: the vendor's SDK from `messages.create` to the socket, {what}");
        let number = number(measured, sample, &format!("javascript.node.{suffix}"), &what, Unit::Nanoseconds)?;
        anyhow::Ok(number.beside("its own cache of tokens", own))
    };
    Ok(vec![
        row("credentials-request", "credentials", "with `credentials`")?.at_most_times(1.0),
        row("fetch-request", "fetch", "with `fetch`")?
            .at_most_times(1.0)
            .remark("The caller's headers are copied, and their names looked through."),
        row("copying-request", "copying", "with a `fetch` that only copies the headers and sets one")?.detail(),
        row("middleware-request", "middleware", "with `middleware`")?.detail(),
    ])
}

fn median(measured: &Measured, sample: &str) -> anyhow::Result<f64> {
    measured.get(sample).map(Samples::median).with_context(|| format!("{sample} was not measured"))
}

fn number(measured: &Measured, sample: &str, id: &str, what: &str, unit: Unit) -> anyhow::Result<Number> {
    let samples = measured.get(sample).with_context(|| format!("{sample} was not measured"))?;
    Ok(Number::new(id, what, unit).samples(samples))
}

fn samples(printed: &Value) -> anyhow::Result<Measured> {
    let lists: BTreeMap<String, Vec<f64>> = serde_json::from_value(printed.clone())?;
    let samples = |(name, list): (String, Vec<f64>)| {
        anyhow::ensure!(!list.is_empty(), "{name} was measured at no time");
        Ok((name, Samples::of(list)))
    };
    lists.into_iter().map(samples).collect()
}

/// Without a client of our own: the runtime's host asks its Worker.
fn in_workerd(workshop: &Workshop) -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let (worker, caller) = (folder.path().join("worker"), folder.path().join("caller"));
    workshop.bundle(&workshop.program("bench-worker.mjs"), &WORKERS, &worker)?;
    workshop.bundle(&workshop.program("caller.mjs"), &WORKERS, &caller)?;
    let options = json!({ "worker": worker, "caller": caller, "entry": "bench-worker.mjs", "bindings": {}, "ask": "/" });
    let mut program = Command::new("node");
    program
        .arg(workshop.program("workerd.mjs"))
        .arg(options.to_string())
        .env("MINIFLARE_WORKERD_PATH", workshop.newest_workerd()?);
    let mut running = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    let printed = running.stdout.take().context("it is piped")?;
    BufReader::new(printed).read_line(&mut line)?;
    // It ends with its input.
    drop(running.stdin.take());
    running.wait()?;
    let answer: Value = serde_json::from_str(&line).with_context(|| format!("the Worker did not answer: {line}"))?;
    Ok(answer["answer"].clone())
}

fn output(program: &mut Command) -> anyhow::Result<Vec<u8>> {
    let output = program.output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}
