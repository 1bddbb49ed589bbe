//! The store in a directory: what is in it, who may touch it, and that a swap compares.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use tempfile::TempDir;
use wif::{DirectoryStore, Secret, Store, Swapped};

const KEY: &str = "0123abcd";

fn place() -> (TempDir, DirectoryStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = DirectoryStore::new(directory.path().join("store")).unwrap();
    (directory, store)
}

async fn swap(store: &DirectoryStore, expected: Option<&str>, value: &str) -> Option<String> {
    match store.swap(KEY, expected, Secret::from(value)).await.unwrap() {
        Swapped::Done(version) => Some(version),
        Swapped::Conflict(_) => None,
    }
}

#[tokio::test]
async fn a_swap_replaces_what_it_expects_and_nothing_else() {
    let (_directory, store) = place();
    assert!(store.load(KEY).await.unwrap().is_none());
    let first = swap(&store, None, "one").await.unwrap();
    assert!(swap(&store, None, "two").await.is_none());
    assert!(swap(&store, Some("another"), "two").await.is_none());
    let second = swap(&store, Some(&first), "two").await.unwrap();
    assert_ne!(first, second);
    let entry = store.load(KEY).await.unwrap().unwrap();
    assert_eq!((entry.version, entry.value.reveal()), (second, "two"));
    assert!(store.load("another").await.unwrap().is_none(), "each identity has its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_swap_at_once_one_succeeds() {
    let (directory, _) = place();
    let swaps = (0..40).map(|number| {
        // As another process would.
        let store = DirectoryStore::new(directory.path().join("store")).unwrap();
        tokio::spawn(async move { swap(&store, None, &number.to_string()).await.is_some() })
    });
    let mut done = 0;
    for swap in swaps.collect::<Vec<_>>() {
        done += usize::from(swap.await.unwrap());
    }
    assert_eq!(done, 1);
}

#[tokio::test]
async fn what_it_keeps_is_its_owners_alone() {
    let (directory, store) = place();
    swap(&store, None, "sk-ant-oat01-x").await.unwrap();
    let folder = directory.path().join("store");
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let file = folder.join(format!("{KEY}.json"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = store.load(KEY).await.unwrap_err().to_string();
    assert!(refused.contains("others than its owner"), "{refused}");
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o770)).unwrap();
    let refused = DirectoryStore::new(directory.path()).unwrap_err().to_string();
    assert!(refused.contains("others can write to"), "{refused}");
    assert!(DirectoryStore::new("/dev/null").is_err());
}

#[tokio::test]
async fn what_is_no_entry_is_replaced_and_a_link_is_refused() {
    let (directory, store) = place();
    let file = directory.path().join("store").join(format!("{KEY}.json"));
    for garbage in ["", "{", "[]", r#"{"version":1,"value":"x"}"#, r#"{"version":"1"}"#] {
        fs::write(&file, garbage).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let entry = store.load(KEY).await.unwrap().unwrap();
        assert_eq!(entry.value.reveal(), "", "the session says that it cannot read it: {garbage}");
        assert!(swap(&store, Some(&entry.version), "good").await.is_some(), "{garbage}");
    }
    fs::rename(&file, directory.path().join("elsewhere")).unwrap();
    symlink(directory.path().join("elsewhere"), &file).unwrap();
    assert!(store.load(KEY).await.unwrap_err().to_string().contains("no regular file"));
}

/// Keys come from the component, which is hostile until checked.
#[tokio::test]
async fn a_key_names_no_other_folder() {
    let (directory, store) = place();
    for key in ["../out", "/etc/passwd", ".", "", "a/b"] {
        assert!(store.swap(key, None, Secret::from("x")).await.is_ok(), "{key}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "all of it is in the store");
}
