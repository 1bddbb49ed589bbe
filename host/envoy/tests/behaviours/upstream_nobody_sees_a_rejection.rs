//! In the chain of the cluster, with the router's retry on 401: callers never see that a token was revoked.

use wif_emulator::Options;

use crate::world::{BETWEEN_EXCHANGES, Place, World};

/// C7 (many rejections, one exchange), E12 (the API answers 401).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_token_is_replaced_while_the_request_is_retried() {
    let Some(world) = World::start(Place::Upstream, Options::default(), &[|_| {}]).await else { return };
    assert_eq!(world.ask(0).await.0, 200);
    world.file.rotate().expect("the directory is writable");
    tokio::time::sleep(BETWEEN_EXCHANGES).await;
    world.emulator.revoke_all();
    let listener = world.listener(0).await;
    let ask = |_| {
        let request = world.client.get(format!("{listener}/v1/models")).header("anthropic-version", "2023-06-01");
        tokio::spawn(async move { request.send().await.expect("it answers").status().as_u16() })
    };
    let asked: Vec<_> = (0..100).map(ask).collect();
    for status in asked {
        assert_eq!(status.await.expect("no panic"), 200);
    }
    assert_eq!(world.exchanges(), 2);
    world.until("it is counted", async |world| world.stat("wif_token_rejected").await == 1).await;
    assert!(world.stat("upstream_rq_retry").await > 0, "somebody met the revoked token");
}

/// Downstream the 401 has been seen, and the next request has another token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downstream_the_next_request_has_another_token() {
    let Some(world) = World::start(Place::Downstream, Options::default(), &[|_| {}]).await else { return };
    assert_eq!(world.ask(0).await.0, 200);
    world.file.rotate().expect("the directory is writable");
    tokio::time::sleep(BETWEEN_EXCHANGES).await;
    world.emulator.revoke_all();
    assert_eq!(world.ask(0).await.0, 401);
    assert_eq!(world.ask(0).await.0, 200);
    assert_eq!(world.exchanges(), 2);
}
