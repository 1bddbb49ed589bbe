//! What is written is what is told of.

use std::fs;
use std::process::Command;

use sha2::{Digest, Sha256};
use wasmparser::{Encoding, Parser, Payload};

#[test]
fn every_file_is_written_and_its_digest_printed() {
    let directory = tempfile::tempdir().unwrap();
    let into = directory.path().join("components");
    let output = Command::new(env!("CARGO_BIN_EXE_wif-components")).arg(&into).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let text = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<(&str, &str)> = text.lines().map(|line| line.split_once("  ").unwrap()).collect();
    let names: Vec<&str> = printed.iter().map(|(_, name)| *name).collect();
    let components = ["wif_plugin.wasm", "wif_standalone.wasm", "wif_standalone_async.wasm", "wif_interposer.wasm"];
    assert_eq!(names, [&components[..], &["wif_flat.wasm"]].concat());
    for (digest, name) in printed {
        let bytes = fs::read(into.join(name)).unwrap();
        let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digest, "{name}");
        let first = Parser::new(0).parse_all(&bytes).next().unwrap().unwrap();
        let Payload::Version { encoding, .. } = first else { panic!("{name}: {first:?}") };
        assert_eq!(encoding == Encoding::Component, components.contains(&name), "{name}: {encoding:?}");
    }
    assert_eq!(fs::read_dir(&into).unwrap().count(), names.len());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_wif-components")).arg(file.path()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains(&*file.path().to_string_lossy()));
}
