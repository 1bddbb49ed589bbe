use wif_emulator::Fault;

use crate::world::World;

/// G1, G2 of the emulator's side: what can be printed holds no token.
#[tokio::test]
async fn nothing_that_can_be_printed_holds_a_token() {
    let world = World::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = world.provider().publish(directory.path()).unwrap();
    let token = file.current();
    let access_token = world.exchange(&token).await.access_token();
    world.message(&access_token).await;
    world.exchange(&token).await;
    world.exchange_text("canary.of.nothing").await;
    world.emulator.inject(Fault::status(500));
    world.exchange(&token).await;
    world.message("sk-ant-oat01-canary").await;

    let printed = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        world.emulator,
        world.emulator.options(),
        world.emulator.history(),
        world.provider(),
        world.token(),
        token,
        file,
    );
    let signature = token.expose().rsplit('.').next().unwrap();
    for secret in [signature, token.expose(), access_token.as_str(), "sk-ant-oat01", "canary"] {
        assert!(!printed.contains(secret));
    }
}
