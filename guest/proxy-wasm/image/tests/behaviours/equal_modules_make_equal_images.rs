//! Digests depend on the module, and on nothing else.

use std::io::Read;

use flate2::bufread::GzDecoder;
use tempfile::tempdir;
use wif_proxy_wasm_image::{COMPAT, Images, module};

use crate::reader::{Reader, tree};

#[test]
fn a_layout_written_twice_is_the_same() {
    let [first, second] = [(); 2].map(|()| {
        let (images, directory) = (Images::of(module()), tempdir().unwrap());
        images.write_directory(directory.path()).unwrap();
        let mut archive = Vec::new();
        images.write_archive(&mut archive).unwrap();
        (tree(directory.path()), archive, images.compat_digest().clone(), images.artifact_digest().clone())
    });
    assert!(first == second);
}

#[test]
fn another_module_has_other_digests() {
    let (ours, other) = (Images::of(module()), Images::of(b"\0asm\x01\0\0\0"));
    assert_ne!(ours.module_digest(), other.module_digest());
    assert_ne!(ours.compat_digest(), other.compat_digest());
    assert_ne!(ours.artifact_digest(), other.artifact_digest());
}

#[test]
fn nothing_in_it_tells_when_or_by_whom_it_was_made() {
    let directory = tempdir().unwrap();
    Images::of(module()).write_directory(directory.path()).unwrap();
    let reader = Reader::open(directory.path());
    let (_, manifest) = reader.image(COMPAT);
    let layer = reader.blob(&manifest.layers()[0]).unwrap();

    let mut decoder = GzDecoder::new(&*layer);
    let mut unpacked = Vec::new();
    decoder.read_to_end(&mut unpacked).unwrap();
    let header = decoder.header().unwrap();
    assert_eq!((header.mtime(), header.filename(), header.comment(), header.extra()), (0, None, None, None));
    // The operating system: unknown.
    assert_eq!(header.operating_system(), 255);

    let mut archive = Vec::new();
    Images::of(module()).write_archive(&mut archive).unwrap();
    for bytes in [&unpacked, &archive] {
        for entry in tar::Archive::new(&**bytes).entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.mtime().unwrap(), header.uid().unwrap(), header.gid().unwrap()), (0, 0, 0));
            assert_eq!((header.mode().unwrap(), header.username(), header.groupname()), (0o644, Ok(Some("")), Ok(Some(""))));
        }
    }
    let configuration = reader.configuration(&manifest);
    assert_eq!(configuration.created(), &None);
    assert!(configuration.history().iter().flatten().all(|entry| entry.created().is_none()));
}

/// The digest of this layer changes only with the compressor: then every image changes once, with the same module in it.
#[test]
fn the_compressor_is_the_same_everywhere() {
    let bytes: Vec<u8> = (0..100_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
    let directory = tempdir().unwrap();
    Images::of(&bytes).write_directory(directory.path()).unwrap();
    let reader = Reader::open(directory.path());
    let (_, manifest) = reader.image(COMPAT);
    assert_eq!(
        manifest.layers()[0].digest().to_string(),
        "sha256:4b44795ef711dddceb3e9c694daad4d25b01d580fde2755cdf5bec2d7979c6f1"
    );
}
