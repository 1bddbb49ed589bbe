use std::net::TcpStream;

use wif_emulator::Kind;

use crate::world::World;

#[tokio::test]
async fn whoever_waits_for_the_history_is_told_of_each_entry() {
    let world = World::start().await;
    let mut recorded = world.emulator.subscribe();
    assert_eq!(*recorded.borrow_and_update(), 0);
    let token = world.access_token().await;
    recorded.changed().await.unwrap();
    let seen = *recorded.borrow_and_update();
    assert_eq!(seen, 1);
    world.message(&token).await;
    recorded.changed().await.unwrap();
    let news = world.emulator.history_since(seen);
    assert_eq!(news.len(), 1);
    assert_eq!((news[0].sequence, news[0].kind), (1, Kind::Message));
    assert_eq!(news[0].time, world.clock.now());
}

#[tokio::test]
async fn a_stopped_emulator_does_not_listen() {
    let world = World::start().await;
    let address = world.emulator.address();
    world.access_token().await;
    world.emulator.shutdown().await;
    assert!(TcpStream::connect(address).is_err());
}
