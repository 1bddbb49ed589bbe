//! The files in the README are run as they stand: only addresses, ports and paths are moved.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use wif_emulator::Options;

use crate::world::{BETWEEN_EXCHANGES, World, module_directory};

const README: &str = include_str!("../../README.md");

/// The ids in the README. The emulator has them, too.
const RULE: &str = "fdrl_01ExampleExampleExample";
const ORGANIZATION: &str = "00000000-0000-4000-8000-000000000000";

/// The files of the README, in order.
fn files() -> Vec<&'static str> {
    let blocks = README.split("```yaml\n").skip(1);
    blocks.map(|block| block.split_once("```").expect("the block has an end").0).collect()
}

fn moved(file: &str, moves: &[(&str, &str)]) -> String {
    moves.iter().fold(file.to_owned(), |file, (old, new)| {
        assert!(file.contains(old), "{old} is not in the README's file");
        file.replace(old, new)
    })
}

/// A server of TLS with the API's name, before one that speaks none. Its certificate is written to this file.
async fn front(behind: SocketAddr, certificate: &Path) -> SocketAddr {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["api.anthropic.com".to_owned()]).expect("a certificate");
    fs::write(certificate, cert.pem()).expect("the directory is writable");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    _ = rustls::crypto::ring::default_provider().install_default();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a pair")));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let (Ok(mut outside), Ok(mut inside)) = (acceptor.accept(stream).await, TcpStream::connect(behind).await) else {
                    return;
                };
                _ = copy_bidirectional(&mut outside, &mut inside).await;
            });
        }
    });
    address
}

/// An Envoy with this file.
async fn start(file: &str) -> Option<World> {
    let options = Options { federation_rule_id: RULE.to_owned(), organization_id: ORGANIZATION.to_owned(), ..Options::default() };
    World::start_with(&module_directory(), options, async |emulator, token, directory| {
        let certificate = directory.join("authorities.pem");
        let api = front(emulator.address(), &certificate).await;
        moved(
            file,
            &[
                ("port_value: 9901", "port_value: 0"),
                ("port_value: 8080", "port_value: 0"),
                ("name: api\n    address", "name: gateway-0\n    address"),
                ("address: api.anthropic.com, port_value: 443", &format!("address: 127.0.0.1, port_value: {}", api.port())),
                ("https://api.anthropic.com", emulator.base_url()),
                ("/etc/ssl/certs/ca-certificates.crt", &certificate.display().to_string()),
                ("/var/run/secrets/anthropic.com/token", &token.path().display().to_string()),
            ],
        )
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_clusters_chain_and_nobody_sees_a_revoked_token() {
    let [upstream, _] = files()[..] else { panic!("the README has two files") };
    let Some(world) = start(upstream).await else { return };
    assert_eq!(world.ask(0).await.0, 200, "{}", world.log());
    world.file.rotate().expect("the directory is writable");
    tokio::time::sleep(BETWEEN_EXCHANGES).await;
    assert_eq!(world.emulator.revoke_all(), 1);
    assert_eq!(world.ask(0).await.0, 200, "{}", world.log());
    assert_eq!(world.exchanges(), 2);
    assert!(!world.log().contains("[error]"), "{}", world.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_listeners_chain_and_the_next_request_has_another_token() {
    let [_, downstream] = files()[..] else { panic!("the README has two files") };
    let Some(world) = start(downstream).await else { return };
    assert_eq!(world.ask(0).await.0, 200, "{}", world.log());
    world.file.rotate().expect("the directory is writable");
    tokio::time::sleep(BETWEEN_EXCHANGES).await;
    assert_eq!(world.emulator.revoke_all(), 1);
    assert_eq!(world.ask(0).await.0, 401, "{}", world.log());
    assert_eq!(world.ask(0).await.0, 200, "{}", world.log());
    assert_eq!(world.exchanges(), 2);
    assert!(!world.log().contains("[error]"), "{}", world.log());
}

/// What the README says of the version is what the module checks.
#[test]
fn the_version_is_the_one_that_the_module_takes() {
    let source = include_str!("../../src/version.rs");
    let value = |name: &str| {
        let found = source.split_once(&format!("const {name}: &str = \"")).and_then(|(_, rest)| rest.split_once('"'));
        found.unwrap_or_else(|| panic!("no {name}")).0
    };
    assert!(README.contains(&format!("**{}, as its project has built it**", value("VERSION"))));
    assert!(README.contains(&format!("build ID `{}`", value("COMMIT"))));
}
