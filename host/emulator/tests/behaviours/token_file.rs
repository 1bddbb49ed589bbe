use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use wif_emulator::Options;

use crate::world::World;

#[tokio::test]
async fn a_token_is_published_as_a_kubelet_does() {
    let world = World::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = world.provider().publish(directory.path().join("tokens")).unwrap();
    let directory = directory.path().join("tokens");
    assert_eq!(file.path(), directory.join("token"));
    assert_eq!(fs::read_link(file.path()).unwrap(), Path::new("..data/token"));
    let generation = fs::read_link(directory.join("..data")).unwrap();
    assert!(generation.to_str().unwrap().starts_with("..2026_11_21_"));
    assert_eq!(fs::read_to_string(file.path()).unwrap(), file.current().expose());
    assert_eq!(world.exchange_text(&fs::read_to_string(file.path()).unwrap()).await.status, 200);
}

#[tokio::test]
async fn rotation_replaces_a_spent_token_by_a_fresh_one() {
    let world = World::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = world.provider().publish(directory.path()).unwrap();
    let read = || fs::read_to_string(file.path()).unwrap();
    assert_eq!(world.exchange_text(&read()).await.status, 200);
    assert_eq!(world.exchange_text(&read()).await.status, 401);
    let fresh = file.rotate().unwrap();
    assert_eq!(read(), fresh.expose());
    assert_eq!(world.exchange_text(&read()).await.status, 200);
}

#[tokio::test]
async fn a_published_token_may_rotate_as_fast_as_it_is_exchanged() {
    let world = World::with(Options { rotate_when_exchanged: true, ..Options::default() }).await;
    let directory = tempfile::tempdir().unwrap();
    let file = world.provider().publish(directory.path()).unwrap();
    let read = || fs::read_to_string(file.path()).unwrap();
    for _ in 0..3 {
        let token = read();
        assert_eq!(world.exchange_text(&token).await.status, 200);
        assert_ne!(read(), token, "the answer is there, and the token has not rotated");
    }
    // A refusal spends nothing, and what is not published rotates nothing.
    let token = read();
    assert_eq!(world.exchange_text("no.identity.token").await.status, 401);
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 200);
    assert_eq!(read(), token);
}

#[tokio::test]
async fn two_emulators_do_not_publish_in_one_directory() {
    let (one, other) = (World::start().await, World::start().await);
    let directory = tempfile::tempdir().unwrap();
    let file = one.provider().publish(directory.path()).unwrap();
    let error = other.provider().publish(directory.path()).unwrap_err();
    assert!(error.is_in_use() && error.to_string().contains("another emulator"), "{error}");
    assert_eq!(fs::read_to_string(file.path()).unwrap(), file.current().expose());
    drop(file);
    let file = other.provider().publish(directory.path()).unwrap();
    assert_eq!(fs::read_to_string(file.path()).unwrap(), file.current().expose());
}

/// A4 of the emulator's side: the swap that clients have to survive is the real one.
#[tokio::test(flavor = "multi_thread")]
async fn rotation_never_shows_a_reader_a_torn_or_missing_token() {
    let world = World::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = world.provider().publish(directory.path()).unwrap();
    let mut published = HashSet::from([file.current().expose().to_owned()]);
    let reads: [AtomicU64; 3] = Default::default();
    let ended = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let readers: Vec<_> = reads
            .iter()
            .map(|reads| {
                let (file, ended) = (&file, &ended);
                scope.spawn(move || {
                    let mut seen = HashSet::new();
                    while !ended.load(Ordering::Relaxed) {
                        seen.insert(fs::read_to_string(file.path()).expect("a token is always there"));
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                    seen
                })
            })
            .collect();
        for rotation in 0..100 {
            published.insert(file.rotate().unwrap().expose().to_owned());
            // One reader after the other sets the pace, so that none sleeps through all the directories that are kept.
            let (reads, reader) = (&reads[rotation % 3], &readers[rotation % 3]);
            let before = reads.load(Ordering::Relaxed);
            while reads.load(Ordering::Relaxed) == before && !reader.is_finished() {
                std::thread::yield_now();
            }
        }
        ended.store(true, Ordering::Relaxed);
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect::<HashSet<_>>()
    });
    assert!(seen.len() > 10, "the readers saw {} tokens", seen.len());
    assert!(seen.is_subset(&published), "a token was torn");
}

#[tokio::test]
async fn a_background_rotation_goes_on_until_it_is_dropped() {
    let world = World::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = world.provider().publish(directory.path()).unwrap();
    let first = file.current().id();
    let rotation = file.rotate_every(Duration::from_millis(5));
    while file.current().id() == first {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(rotation.failures(), 0);
    drop(rotation);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let last = file.current().id();
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(file.current().id(), last);
}

#[tokio::test]
async fn a_directory_does_not_grow_and_is_taken_over_by_the_next_process() {
    let world = World::start().await;
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let file = world.provider().publish(directory.path()).unwrap();
        for _ in 0..40 {
            file.rotate().unwrap();
        }
        assert_eq!(fs::read_to_string(file.path()).unwrap(), file.current().expose());
    }
    assert!(fs::read_dir(directory.path()).unwrap().count() <= 32 + 3);
}
