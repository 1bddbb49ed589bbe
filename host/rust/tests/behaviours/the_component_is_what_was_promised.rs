//! The component that ships: what it can reach, what it weighs, what it gives away.

use std::io::Write as _;

use wasmparser::{Parser, Payload};
use wif::component::{self, Instance, SESSION_INTERFACE};

use crate::support::{START_MS, TestClock, guest, settle, until};

/// F3: what it imports.
#[test]
fn it_imports_nothing() {
    // Inside, its parts import each other; only the outermost level meets the host.
    let mut level = 0;
    for payload in Parser::new(0).parse_all(component::wasm()) {
        match payload.unwrap() {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => level += 1,
            Payload::End(_) => level -= 1,
            Payload::ComponentImportSection(imports) if level == 0 => {
                for import in imports {
                    // Types may be named there: they are no capabilities.
                    let import = import.unwrap();
                    assert!(matches!(import.ty, wasmparser::ComponentTypeRef::Type(_)), "{import:?}");
                }
            }
            _ => {}
        }
    }
}

/// H1: nothing of the machine that built it, so that another machine makes the same bytes.
#[test]
fn it_carries_no_path_of_the_machine_that_built_it() {
    let home = std::env::home_dir().map(|home| home.display().to_string());
    let cargo = std::env::var("CARGO_HOME").ok();
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().display().to_string();
    for path in [home, cargo, Some(workspace)].into_iter().flatten().filter(|path| path.len() > 1) {
        let found = component::wasm().windows(path.len()).any(|bytes| bytes == path.as_bytes());
        assert!(!found, "it carries {path}");
    }
    for fragment in ["registry/src", "/.cargo/"] {
        let found = component::wasm().windows(fragment.len()).any(|bytes| bytes == fragment.as_bytes());
        assert!(!found, "it carries {fragment}");
    }
}

/// F4: a compiled form on a disk could be exchanged by whoever writes there. So none is read: what is loaded is part of the program.
#[test]
fn native_code_comes_from_the_program_alone() {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (mut folders, mut loads) = (vec![sources], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_source = path.extension().is_some_and(|end| end == "rs");
            match path.is_dir() {
                true if !path.ends_with("tests") => folders.push(path),
                false if is_source => {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let calls = [
                        "::deserialize(engine",
                        "deserialize_file(",
                        "deserialize_raw(",
                        "deserialize_open_file(",
                        "::from_file(",
                    ];
                    let lines = text.lines().filter(|line| calls.iter().any(|call| line.contains(call)));
                    loads.extend(lines.map(|line| line.trim().to_owned()));
                }
                _ => {}
            }
        }
    }
    assert!(loads.len() == 1 && loads[0].contains("Component::deserialize(engine(), unpacked())"), "{loads:#?}");
    // As it is, or packed: in both forms it is part of the program.
    let source = include_str!("../../src/component.rs");
    assert_eq!(source.matches("fn unpacked()").count(), 2);
    assert!(source.contains(r#"static PRECOMPILED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plugin.cwasm"));"#));
    assert!(source.contains(r#"let packed = include_bytes!(concat!(env!("OUT_DIR"), "/plugin.cwasm.deflate"));"#));
}

/// Everyone who uses it downloads it, audits it and keeps it in memory. The recipes of the platforms and what runs them are an
/// eighth of it.
#[test]
fn it_does_not_gain_weight() {
    let size = component::plugin_size();
    assert!(size <= 420 * 1024, "it weighs {size} bytes");
    let mut small = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    small.write_all(component::wasm()).unwrap();
    let small = small.finish().unwrap().len();
    assert!(small <= 170 * 1024, "it weighs {small} bytes after gzip");
}

#[test]
fn a_driver_of_ones_own_can_treat_the_contract_as_data() {
    use wasmtime::component::Val;
    let mut instance = Instance::new(component::Component::builtin()).unwrap();
    let text = |text: &str| Val::String(text.to_owned());
    let variant = |case: &str| Val::Variant(case.to_owned(), None);
    let open = [text("{}"), Val::U64(1), Val::List(vec![]), variant("fresh")];
    let opened = instance.call(SESSION_INTERFACE, "[static]session.open", &open).unwrap().unwrap();
    let Val::Result(Ok(Some(session))) = opened else { panic!("{opened:?}") };
    let clock = Val::Record(vec![
        ("wall-ms".to_owned(), Val::U64(0)),
        ("steady-ms".to_owned(), Val::Option(Some(Box::new(Val::U64(0))))),
    ]);
    let step = [(*session).clone(), clock, variant("woken")];
    let output = instance.call(SESSION_INTERFACE, "[method]session.step", &step).unwrap().unwrap();
    let Val::Record(fields) = output else { panic!("{output:?}") };
    assert_eq!(fields[0].0, "access");
    let Val::Resource(session) = *session else { panic!("a session is a resource") };
    instance.close(session).unwrap();
}

/// Each of this component's tokens has for its id the time of the step that brought it: as long as none comes, none is made.
#[tokio::test]
async fn a_request_that_finds_a_good_token_does_not_enter_it() {
    let clock = TestClock::new();
    let builder = wif::Credential::builder().component(guest(wif_test_guests::clock_watching()).unwrap()).configuration("");
    let credential = builder.clock(clock.clone()).build().unwrap();
    let first = credential.token().await.unwrap();
    assert_eq!(u64::from_str_radix(first.id(), 16), Ok(START_MS));
    for _ in 0..1_000 {
        clock.jump(std::time::Duration::from_millis(1));
        settle().await;
        assert_eq!(credential.token().await.unwrap().id(), first.id());
        assert_eq!(credential.try_current().unwrap().id(), first.id());
    }
    // An edge is a step.
    credential.changed();
    let next = || async { credential.try_current().unwrap().id() != first.id() };
    until("it was entered", next).await;
}
