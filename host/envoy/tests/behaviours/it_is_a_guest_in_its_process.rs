//! What the module brings into Envoy's process, and what it leaves there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use wif_emulator::Options;

use crate::guard::guarded;
use crate::world::{Place, World, module_directory, program};

/// More than the module occupies in memory, as built for tests, and less than it would with a compiler.
const SIZE_LIMIT: u64 = 16 << 20;

fn module() -> PathBuf {
    module_directory().join("libwif_envoy.so")
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What is loaded of a program or a library (System V ABI, chapter 5: program header), in bytes.
fn loaded(library: &[u8]) -> u64 {
    let number =
        |at: usize, length: usize| library[at..at + length].iter().rev().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
    let (headers, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let segments = (0..count).map(|index| (headers + index * size) as usize).filter(|at| number(*at, 4) == 1);
    segments.map(|at| number(at + 40, 8)).sum()
}

#[test]
fn there_is_no_compiler_in_the_module() {
    let library = fs::read(module()).expect("cargo has built it");
    assert!(contains(&library, "wasmtime"), "it runs WebAssembly");
    for compiler in ["cranelift_codegen", "cranelift-codegen", "winch_codegen"] {
        assert!(!contains(&library, compiler), "{compiler}");
    }
    let size = loaded(&library);
    assert!((1 << 20..SIZE_LIMIT).contains(&size), "{size} bytes");
}

/// Traps are checks: Envoy's own handlers of these signals, and those of V8, stay as they are.
#[tokio::test]
async fn no_signal_handler_is_installed() {
    let Some(world) = World::start(Place::Downstream, Options::default(), &[|_| {}]).await else { return };
    let before = world.signals_caught();
    assert_eq!(world.ask(0).await.0, 200);
    assert_eq!(world.signals_caught(), before);
}

/// Threads end with their configuration, and Envoy ends in good order.
#[tokio::test]
async fn nothing_is_left_running() {
    let Some(mut world) = World::start(Place::Downstream, Options::default(), &[|_| {}, |_| {}]).await else { return };
    assert_eq!((world.ask(0).await.0, world.ask(1).await.0), (200, 200));
    assert_eq!(world.threads("wif-credential"), 2);
    world.publish(&[]);
    world.until("no thread is left", async |world| world.threads("wif-credential") == 0).await;
    world.until("nor the one that counts time", async |world| world.threads("wif-ticker") == 0).await;
    world.publish(&[|_| {}]);
    assert_eq!(world.ask(0).await.0, 200);
    let status = world.end().await;
    assert!(status.success(), "{status}\n{}", world.log());
}

/// E8: whoever writes about a request when it has ended finds no credential on it.
#[tokio::test]
async fn an_access_log_that_asks_for_the_credential_sees_none() {
    for place in [Place::Downstream, Place::Upstream] {
        let Some(world) = World::start(place, Options::default(), &[|_| {}]).await else { return };
        assert_eq!(world.ask(0).await.0, 200);
        world.until("it is written", async |world| world.access_log().contains('\n')).await;
        assert_eq!(world.access_log(), "200 via_upstream authorization=-\n", "{place:?}");
    }
}

/// Another build of Envoy, though it has the same interface, is refused, and the log says why.
#[test]
fn another_envoy_is_refused() {
    let Some(program) = program() else { return };
    let mut bytes = fs::read(program).expect("it is there");
    let id = [0x9e, 0x55, 0x80, 0x93, 0x37, 0x39, 0x77, 0x5e];
    let at = bytes[..64 << 10].windows(id.len()).position(|window| window == id).expect("it has a build id");
    bytes[at] ^= 1;
    let directory = tempfile::tempdir().expect("a directory");
    let other = directory.path().join("envoy");
    fs::write(&other, bytes).expect("the directory is writable");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let version = Command::new(&other).arg("--version").output().expect("it runs");
    assert!(version.status.success(), "it is an Envoy all the same");

    let right = r#"{ "credential": {}, "clusters": ["anthropic"] }"#;
    let (status, log) = crate::world::validate(program, right);
    assert!(status.success(), "{log}");
    let (status, log) = crate::world::validate(&other, right);
    assert!(!status.success());
    assert!(log.contains("the module is for Envoy 1.40.0, build 9e55"), "{log}");
    assert!(log.contains("this one is 9f55"), "{log}");
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("once more");
    }
}

/// A panic ends where it began, even one whose payload panics when it is dropped.
#[test]
fn a_panic_does_not_leave_a_hook() {
    assert_eq!(guarded(1, || 2), 2);
    assert_eq!(guarded(1, || panic!("in a hook")), 1);
    assert_eq!(guarded(1, || std::panic::panic_any(Bomb)), 1);
}
