//! Identity tokens from platforms: the component beside a stand-in of each.

use std::sync::Arc;

use wif_servers::cases::{self, Host};

use crate::host::{Grant, World};

#[tokio::test]
async fn every_source_of_the_table_gives_a_token() {
    let world = World::start().await;
    let provider = world.emulator.identity_provider().clone();
    let mint: wif_servers::Mint = Arc::new(move |_| provider.mint().expose().to_owned());
    let mut exchanges = 0;
    for name in cases::all().into_iter().filter(|name| Host::Standalone.lacks(name).is_none()) {
        let directory = tempfile::tempdir().expect("a directory");
        let case = cases::start(name, directory.path(), &mint).await;
        let mut configuration = world.configuration();
        configuration["federation"]["identity_token"] = case.identity_token.clone();
        let mut variables = case.variables.clone();
        variables.push(("WIF_CONFIGURATION", configuration.to_string()));
        let sources = case.servers.iter().map(wif_servers::Server::authority).collect();
        let grant = Grant { own: Some(directory.path()), sources, ..world.grant(variables) };
        let mut instance = world.instance_granted(grant).await;
        let credential = instance.get_token().await.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        assert_eq!(world.message_with(&credential).await, 200, "{name}");
        exchanges += 1;
        assert_eq!(world.exchanges(), exchanges, "{name}");
        for secret in case.secrets {
            assert!(!instance.stderr().contains(secret), "{name}: {}", instance.stderr());
        }
    }
}

/// A runtime that opens no way to a source's server says so.
#[tokio::test]
async fn a_source_that_the_runtime_does_not_let_it_reach_is_named() {
    let world = World::start().await;
    let provider = world.emulator.identity_provider().clone();
    let mint: wif_servers::Mint = Arc::new(move |_| provider.mint().expose().to_owned());
    let directory = tempfile::tempdir().expect("a directory");
    let case = cases::start("google", directory.path(), &mint).await;
    let mut configuration = world.configuration();
    configuration["federation"]["identity_token"] = case.identity_token.clone();
    let mut variables = case.variables.clone();
    variables.push(("WIF_CONFIGURATION", configuration.to_string()));
    let mut instance = world.instance_granted(world.grant(variables)).await;
    let failure = instance.get_token().await.expect_err("nothing lets it");
    assert!(failure.message.contains("google"), "{failure:?}");
    assert!(case.servers[0].seen().is_empty(), "{:?}", case.servers[0].seen());
}
