use wif_emulator::Options;

use crate::world::World;

#[tokio::test]
async fn an_access_token_lives_for_twice_what_remains_of_the_identity_token_but_no_longer_than_the_rule_says() {
    let world = World::start().await;
    for (age, remaining, expected) in [
        (468, 132, 264), // The real service was seen to give 261 s for about 132 s.
        (0, 3600, 3600),
        (1799, 1801, 3600),
        (1801, 1799, 3598),
        (569, 31, 62),
        (571, 29, 60),
    ] {
        let answer = world.exchange(&world.token_with(age, remaining)).await;
        assert_eq!(answer.expires_in(), expected, "{remaining} s remain");
    }
}

#[tokio::test]
async fn an_identity_token_within_the_leeway_after_its_end_gives_the_shortest_access_token() {
    let world = World::start().await;
    let token = world.token_with(0, 600);
    world.clock.forward(629);
    assert_eq!(world.exchange(&token).await.expires_in(), 60);
}

#[tokio::test]
async fn a_demonstration_may_have_access_tokens_of_seconds() {
    let world = World::with(Options { token_lifetime_seconds: 5, shortest_lifetime_seconds: 1, ..Options::default() }).await;
    let answer = world.exchange(&world.provider().mint()).await;
    assert_eq!(answer.expires_in(), 5);
    let token = answer.access_token();
    world.clock.forward(4);
    assert_eq!(world.message(&token).await.status, 200);
    world.clock.forward(1);
    assert_eq!(world.message(&token).await.status, 401);
}

#[tokio::test]
async fn an_access_token_outlives_its_identity_token() {
    let world = World::start().await;
    let token = world.exchange(&world.token_with(0, 600)).await.access_token();
    world.clock.forward(1199);
    assert_eq!(world.message(&token).await.status, 200);
    world.clock.forward(1);
    assert_eq!(world.message(&token).await.status, 401);
}
