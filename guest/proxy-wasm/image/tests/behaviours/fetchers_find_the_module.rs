//! Whoever pulls an image gets the module's very bytes.

use std::collections::BTreeSet;
use std::io::Read;

use flate2::read::GzDecoder;
use oci_spec::image::{Arch, MediaType, Os};
use sha2::{Digest, Sha256};
use tempfile::{TempDir, tempdir};
use wif_proxy_wasm_image::{ARTIFACT, COMPAT, Error, Images, module};

use crate::reader::{Reader, tree};

fn written() -> (Images, TempDir) {
    let images = Images::of(module());
    let directory = tempdir().unwrap();
    images.write_directory(directory.path()).unwrap();
    (images, directory)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_container_image_has_it_as_a_file_in_its_last_layer() {
    let (images, directory) = written();
    let reader = Reader::open(directory.path());
    assert!(reader.fetch(COMPAT).unwrap() == module());
    let (descriptor, manifest) = reader.image(COMPAT);
    assert_eq!(descriptor.digest().to_string(), images.compat_digest().to_string());
    assert!(reader.as_container_image(&manifest).unwrap() == module());
    assert_eq!(manifest.annotations().as_ref().unwrap()["module.wasm.image/variant"], "compat");
}

#[test]
fn the_container_image_is_one_for_container_engines_too() {
    let (_, directory) = written();
    let reader = Reader::open(directory.path());
    let (_, manifest) = reader.image(COMPAT);
    let configuration = reader.configuration(&manifest);
    assert_eq!((configuration.os(), configuration.architecture()), (&Os::Linux, &Arch::Amd64));
    let mut archive = Vec::new();
    GzDecoder::new(&*reader.blob(&manifest.layers()[0]).unwrap()).read_to_end(&mut archive).unwrap();
    assert_eq!(configuration.rootfs().diff_ids(), &[format!("sha256:{}", sha256(&archive))]);
    assert_eq!(manifest.layers().len(), 1);
    assert_eq!(configuration.history().as_ref().map(Vec::len), Some(1));
}

#[test]
fn the_artifact_has_it_as_one_of_two_layers() {
    let (images, directory) = written();
    let reader = Reader::open(directory.path());
    assert!(reader.fetch(ARTIFACT).unwrap() == module());
    let (descriptor, manifest) = reader.image(ARTIFACT);
    assert_eq!(descriptor.digest().to_string(), images.artifact_digest().to_string());
    // Fetchers try it as a container image first: it must not be one.
    assert!(reader.as_container_image(&manifest).is_err());
    let runtime = reader.blob(&manifest.layers()[0]).unwrap();
    let runtime: serde_json::Value = serde_json::from_slice(&runtime).unwrap();
    assert_eq!((&runtime["type"], &runtime["abiVersions"]), (&"envoy_proxy".into(), &["0.2.1"].as_slice().into()));
    assert_eq!(manifest.config().media_type().to_string(), "application/vnd.module.wasm.config.v1+json");
    reader.blob(manifest.config()).unwrap();
}

/// Fetchers take the first image for linux/amd64, and one without a platform for that.
#[test]
fn whoever_pulls_the_index_gets_the_container_image() {
    let (images, directory) = written();
    let reader = Reader::open(directory.path());
    assert_eq!(reader.index.media_type(), &Some(MediaType::ImageIndex));
    let first = &reader.index.manifests()[0];
    assert_eq!((first.digest().to_string(), first.platform()), (images.compat_digest().to_string(), &None));
}

#[test]
fn they_say_what_they_are_and_not_where_they_come_from() {
    let (_, directory) = written();
    let reader = Reader::open(directory.path());
    let of_index = reader.index.annotations().clone();
    for annotations in [of_index, reader.image(COMPAT).1.annotations().clone(), reader.image(ARTIFACT).1.annotations().clone()] {
        let mut annotations = annotations.unwrap();
        annotations.remove("module.wasm.image/variant");
        let mut about = |name: &str| annotations.remove(&format!("org.opencontainers.image.{name}")).unwrap_or_default();
        assert_eq!(about("title"), "wif-proxy-wasm");
        assert_eq!(about("version"), env!("CARGO_PKG_VERSION"));
        assert_eq!(about("licenses"), "Apache-2.0");
        assert!(about("description").contains("proxy-wasm"));
        assert!(annotations.is_empty(), "{annotations:?}");
    }
}

#[test]
fn the_layout_holds_what_the_images_name_and_nothing_else() {
    let (_, directory) = written();
    let reader = Reader::open(directory.path());
    let mut named = BTreeSet::from(["index.json".to_owned(), "oci-layout".to_owned()]);
    for name in [COMPAT, ARTIFACT] {
        let (descriptor, manifest) = reader.image(name);
        for blob in [descriptor, manifest.config()].into_iter().chain(manifest.layers()) {
            reader.blob(blob).unwrap();
            named.insert(format!("blobs/sha256/{}", blob.digest().digest()));
        }
    }
    let there: BTreeSet<String> = tree(directory.path()).into_iter().map(|(path, _)| path).collect();
    assert_eq!(there, named);
}

#[test]
fn a_blob_that_was_changed_is_not_taken() {
    let (_, directory) = written();
    let path = directory.path().join(format!("blobs/sha256/{}", sha256(module())));
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[module().len() / 2] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let reader = Reader::open(directory.path());
    assert!(reader.fetch(ARTIFACT).unwrap_err().contains("another digest"));
    assert!(reader.fetch(COMPAT).is_ok());
}

#[test]
fn the_archive_is_the_same_layout() {
    let (images, directory) = written();
    let mut archive = Vec::new();
    images.write_archive(&mut archive).unwrap();
    let unpacked = tempdir().unwrap();
    tar::Archive::new(&*archive).unpack(unpacked.path()).unwrap();
    assert!(tree(unpacked.path()) == tree(directory.path()));
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let directory = tempdir().unwrap();
    std::fs::write(directory.path().join("index.json"), "theirs").unwrap();
    let error = Images::of(module()).write_directory(directory.path()).unwrap_err();
    assert!(matches!(error, Error::NotEmpty(_)), "{error}");
    assert_eq!(tree(directory.path()), [("index.json".to_owned(), b"theirs".to_vec())]);
}

#[test]
fn the_digests_printed_are_those_of_the_layout() {
    let directory = tempdir().unwrap();
    let layout = directory.path().join("new/layout");
    let file = directory.path().join("plugin.wasm");
    let archive = directory.path().join("layout.tar");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wif-proxy-wasm-image"));
    let output = command.arg("--layout").arg(&layout).arg("--module").arg(&file).arg("--archive").arg(&archive).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let reader = Reader::open(&layout);
    let digest = |name| reader.image(name).0.digest().digest().to_owned();
    let (compat, artifact) = (digest(COMPAT), digest(ARTIFACT));
    let expected = format!("{}  plugin.wasm\n{compat}  compat\n{artifact}  artifact\n", sha256(module()));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert!(std::fs::read(file).unwrap() == module());
    let mut bytes = Vec::new();
    Images::of(module()).write_archive(&mut bytes).unwrap();
    assert!(std::fs::read(archive).unwrap() == bytes);
}
