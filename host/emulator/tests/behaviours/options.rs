use std::net::SocketAddr;

use wif_emulator::{Emulator, Options, OptionsError, StartError};

async fn refused(options: Options) -> OptionsError {
    match Emulator::start(options).await {
        Err(StartError::Options(error)) => error,
        other => panic!("refused options, not {other:?}"),
    }
}

#[tokio::test]
async fn only_loopback_addresses_are_listened_on() {
    for address in ["0.0.0.0:0", "192.0.2.1:0", "[::]:0"] {
        let listen: SocketAddr = address.parse().unwrap();
        let error = refused(Options { listen, ..Options::default() }).await;
        assert_eq!(error, OptionsError::NotLoopback(listen));
    }
}

#[tokio::test]
async fn lifetimes_outside_the_services_limits_are_refused() {
    for seconds in [59, 86_401] {
        let error = refused(Options { token_lifetime_seconds: seconds, ..Options::default() }).await;
        assert_eq!(error, OptionsError::OutOfRange { option: "token_lifetime_seconds", value: seconds, least: 60, most: 86_400 });
    }
    let error = refused(Options { max_jwt_lifetime_seconds: 176_401, ..Options::default() }).await;
    assert!(matches!(error, OptionsError::OutOfRange { option: "max_jwt_lifetime_seconds", .. }));
}

#[tokio::test]
async fn ids_that_no_request_could_name_are_refused() {
    let error = refused(Options { federation_rule_id: "rule".to_owned(), ..Options::default() }).await;
    assert!(matches!(error, OptionsError::Malformed { option: "federation_rule_id", .. }));
    let error = refused(Options { workspace_ids: Vec::new(), ..Options::default() }).await;
    assert_eq!(error, OptionsError::Empty("workspace_ids"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let first = Emulator::start(Options::default()).await.unwrap();
    let listen = first.address();
    match Emulator::start(Options { listen, ..Options::default() }).await {
        Err(StartError::Listen { address, .. }) => assert_eq!(address, listen),
        other => panic!("an error that names the port, not {other:?}"),
    }
}
