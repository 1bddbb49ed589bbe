//! Identity tokens from platforms, for an application that knows nothing of them.

use std::sync::Arc;

use wif_servers::cases::{self, Host};

use crate::host::{Call, SERVE, World};

#[tokio::test]
async fn every_source_of_the_table_gives_a_token() {
    let mut world = World::start().await;
    let provider = world.emulator.identity_provider().clone();
    let mint: wif_servers::Mint = Arc::new(move |_| provider.mint().expose().to_owned());
    let mut exchanges = 0;
    for name in cases::all().into_iter().filter(|name| Host::Async.lacks(name).is_none()) {
        let case = cases::start(name, world.directory.path(), &mint).await;
        world.sources = case.servers.iter().map(wif_servers::Server::authority).collect();
        // Files are read where they are.
        world.sources.push("nowhere.example".to_owned());
        let mut configuration = world.configuration();
        configuration["federation"]["identity_token"] = case.identity_token.clone();
        let mut variables = case.variables.clone();
        variables.push(("WIF_CONFIGURATION", configuration.to_string()));
        let application = world.serve_given(SERVE, variables);
        let seen = application.call(Call::message(&world)).await;
        assert_eq!(seen["status"], 200, "{name}: {seen}");
        exchanges += 1;
        assert_eq!(world.exchanges(), exchanges, "{name}");
    }
}
