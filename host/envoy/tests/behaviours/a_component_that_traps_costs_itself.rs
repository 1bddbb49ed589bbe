//! A trap of the component inside Envoy's process, which has no signal handler for it: it costs the component's instance, and
//! nothing else. F1, C5.
//!
//! The module has its component built in, and no way to be given another. So the bytes of a component that panics on command are
//! put in their place in a copy of the module.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use wif_emulator::Options;

use crate::world::{World, bootstrap, module_directory};

/// What the component serves in the place of a token.
const TOKEN: &str = "canary-5f1c";

/// A folder with a module whose component panics on command.
fn crashing_module() -> TempDir {
    const NAME: &str = "libwif_envoy.so";
    let mut module = fs::read(module_directory().join(NAME)).expect("cargo has built it");
    let (ours, crashing) = (wif::component::precompiled(), wif_test_guests::crashing());
    // Built with the rest of the workspace it is packed, and by itself it is not.
    let forms = [(ours.to_vec(), crashing.to_vec()), (packed(ours), packed(crashing))];
    let there = forms.iter().filter_map(|(ours, crashing)| Some((place_of(ours, &module)?, ours.len(), crashing)));
    let [(at, length, crashing)] = there.collect::<Vec<_>>()[..] else { panic!("the component is not in the module once") };
    assert!(crashing.len() <= length, "{} bytes do not fit into {length}", crashing.len());
    module[at..at + length].fill(0);
    module[at..at + crashing.len()].copy_from_slice(crashing);
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join(NAME), module).expect("the directory is writable");
    directory
}

/// As the build script of the library packs it.
fn packed(compiled: &[u8]) -> Vec<u8> {
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
    packed.write_all(compiled).expect("memory takes it");
    packed.finish().expect("memory takes it")
}

/// Where these bytes stand in the module, if they stand there once.
fn place_of(bytes: &[u8], module: &[u8]) -> Option<usize> {
    let beginnings = module.windows(4).enumerate().filter(|(_, window)| **window == bytes[..4]);
    let places = beginnings.map(|(at, _)| at).filter(|at| module[*at..].starts_with(bytes));
    let [at] = places.collect::<Vec<_>>()[..] else { return None };
    Some(at)
}

/// An API that answers 200, and 401 to what asks for `/rejected`; and the heads of the requests that it got.
async fn api() -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heads = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let heads = Arc::clone(&heads);
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let head = String::from_utf8(head).expect("text");
                let status = if head.starts_with("GET /rejected") { "401 Unauthorized" } else { "200 OK" };
                heads.lock().unwrap_or_else(PoisonError::into_inner).push(head);
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (port, seen)
}

/// An Envoy with that module, whose component panics by this script.
async fn start(modules: &Path, script: &str, api: u16) -> Option<World> {
    let configuration = json!({ "credential": { "script": format!(" {script} ") }, "clusters": ["anthropic"] });
    World::start_with(modules, Options::default(), async |_, _, _| bootstrap(&[("metrics", configuration)], api)).await
}

fn stops(world: &World) -> usize {
    world.log().matches("wif: the component was stopped").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_token_is_served_on() {
    let (modules, (port, seen)) = (crashing_module(), api().await);
    let Some(mut world) = start(modules.path(), "rejected=panic", port).await else { return };
    assert_eq!(world.ask(0).await.0, 200, "{}", world.log());
    let caught = world.signals_caught();
    let gateway = world.listener(0).await;
    // An instance that was stopped is replaced at once, and then after a pause: not every rejection is heard of.
    for _ in 0..5 {
        let rejected = world.client.get(format!("{gateway}/rejected")).send().await.expect("it answers");
        assert_eq!(rejected.status(), 401);
        world.until("the component was stopped", async |world| stops(world) > 0).await;
        let (status, body, code) = world.ask(0).await;
        assert_eq!(status, 200, "{body} {code:?}");
    }
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(seen.len(), 11);
    assert!(seen.iter().all(|head| head.contains(&format!("authorization: Bearer {TOKEN}\r\n"))), "{seen:#?}");
    assert!(!world.log().contains(TOKEN), "{}", world.log());
    assert_eq!(world.signals_caught(), caught);
    let status = world.end().await;
    assert!(status.success(), "{status}\n{}", world.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_requests_fail_closed() {
    let (modules, (port, seen)) = (crashing_module(), api().await);
    let Some(mut world) = start(modules.path(), "woken=panic needed=panic", port).await else { return };
    for _ in 0..3 {
        let (status, body, code) = world.ask(0).await;
        assert_eq!((status, code.as_deref()), (503, Some("component-stopped")), "{body}\n{}", world.log());
    }
    assert!(stops(&world) > 0, "{}", world.log());
    assert!(seen.lock().unwrap_or_else(PoisonError::into_inner).is_empty());
    let status = world.end().await;
    assert!(status.success(), "{status}\n{}", world.log());
}
