//! What the component weighs, and where.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use wasmparser::{KnownCustom, Name, Parser, Payload};

use crate::report::{Number, Unit};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

const NAMES: &str = "function names";

/// What the component may weigh with all sources.
const AIM: f64 = 420.0 * 1024.0;

/// What it may weigh after gzip, as it is downloaded.
const AIM_GZIP: f64 = 160.0 * 1024.0;

pub(crate) fn measure() -> anyhow::Result<Vec<Number>> {
    let wasm = wif::component::wasm();
    let parts = parts(wasm)?;
    // One of a release may be handed in: its names are beside it.
    let named = parts.contains_key(NAMES);
    let released = if named { released(wasm)? } else { wasm.to_vec() };
    #[allow(clippy::cast_precision_loss, reason = "less than 2^52")]
    let (size, small) = (released.len() as f64, compressed(&released)? as f64);
    let mut by_weight: Vec<(&String, &usize)> = parts.iter().collect();
    by_weight.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
    let told: Vec<String> = by_weight.iter().take(14).map(|(part, bytes)| format!("{part} {bytes}")).collect();
    let sources: Vec<String> = sources()?.iter().map(|(source, bytes)| format!("{source} {bytes}")).collect();
    Ok(vec![
        Number::new("size", "Size of the component, as it is released", Unit::Bytes)
            .value(size)
            .at_most("≤ 420 KiB", AIM)
            .remark(match named {
                true => format!("A build of a clone has {}, with names of functions. By part: {}.", wasm.len(), told.join(", ")),
                false => "It was handed in, without names of functions.".to_owned(),
            }),
        Number::new("size.gzip", "… after gzip", Unit::Bytes)
            .value(small)
            .at_most("≤ 160 KiB", AIM_GZIP)
            .remark(format!("The document of each source adds, after gzip: {}.", sources.join(", "))),
    ])
}

/// As `.ci/release` makes it.
fn released(wasm: &[u8]) -> anyhow::Result<Vec<u8>> {
    let root = Path::new(ROOT);
    let builders = wif_test_tools::node(&root.join("host/js"))?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("wif_plugin.wasm");
    fs::write(&file, wasm)?;
    let mut command = Command::new("python3");
    command.arg(root.join(".ci/optimise.py")).arg(builders.join("node_modules/binaryen/bin/wasm-opt")).arg(&file);
    let output = command.output().context("python3 does not run")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(fs::read(&file)?)
}

/// What the document of each source adds to those of the others, in bytes after compression. What only readers need is not in the component.
fn sources() -> anyhow::Result<BTreeMap<String, usize>> {
    let mut documents = BTreeMap::new();
    for entry in fs::read_dir(Path::new(ROOT).join("guest/recipes/documents"))? {
        let path = entry?.path();
        let mut document: Value = serde_json::from_slice(&fs::read(&path)?)?;
        let members = document.as_object_mut().context("a document is an object")?;
        members.retain(|name, _| !name.starts_with('$'));
        for about in members.get_mut("parameters").and_then(Value::as_object_mut).into_iter().flatten() {
            about.1.as_object_mut().map(|about| about.remove("description"));
        }
        documents.insert(path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), document.to_string());
    }
    let weight = |without: &str| {
        let others = documents.iter().filter(|(name, _)| *name != without);
        compressed(others.map(|(_, text)| text.as_str()).collect::<String>().as_bytes())
    };
    let all = weight("")?;
    documents.keys().map(|name| Ok((name.clone(), all - weight(name)?))).collect()
}

fn compressed(bytes: &[u8]) -> std::io::Result<usize> {
    let mut small = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    small.write_all(bytes)?;
    Ok(small.finish()?.len())
}

/// Bytes by crate of the code, and by kind of the rest.
fn parts(wasm: &[u8]) -> anyhow::Result<BTreeMap<String, usize>> {
    let (mut bodies, mut names, mut imported) = (Vec::new(), BTreeMap::new(), 0_u32);
    let mut parts = BTreeMap::new();
    let mut add = |part: &str, bytes: usize| *parts.entry(part.to_owned()).or_default() += bytes;
    // The engine's own module is the one with the most code; the others are a few lines of glue.
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ModuleSection { .. } if bodies.is_empty() => imported = 0,
            Payload::ImportSection(imports) if bodies.is_empty() => imported = imports.count(),
            Payload::CodeSectionEntry(body) => bodies.push(length(&body.range())),
            Payload::DataSection(data) => add("data", length(&data.range())),
            Payload::CustomSection(section) => {
                let KnownCustom::Name(reader) = section.as_known() else {
                    add("custom sections", length(&section.range()));
                    continue;
                };
                add(NAMES, length(&section.range()));
                for name in reader {
                    if let (Name::Function(functions), true) = (name?, names.is_empty()) {
                        for function in functions {
                            let function = function?;
                            names.insert(function.index, function.name.to_owned());
                        }
                    }
                }
            }
            _ => {}
        }
    }
    for (index, bytes) in (imported..).zip(bodies) {
        add(&names.get(&index).map_or_else(|| "standard library and glue".to_owned(), |name| home(name)), bytes);
    }
    let known: usize = parts.values().sum();
    parts.insert("types and tables".to_owned(), wasm.len().saturating_sub(known));
    Ok(parts)
}

fn length(range: &std::ops::Range<u64>) -> usize {
    usize::try_from(range.end - range.start).unwrap_or(usize::MAX)
}

/// The crate, and in the engine the module, that a function belongs to.
fn home(name: &str) -> String {
    let name = &format!("{:#}", rustc_demangle::demangle(name));
    let start = name.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(0);
    let mut path = name[start..].split("::").map(|part| part.trim_end_matches(|letter: char| !letter.is_alphanumeric()));
    let first = path.next().unwrap_or(name);
    let first: String = first.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    match (first.as_str(), path.next()) {
        ("wif_engine", Some(module)) => format!("wif_engine::{module}"),
        _ => first,
    }
}
