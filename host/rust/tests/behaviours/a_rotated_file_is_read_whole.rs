//! The identity token's file is another one from one moment to the next.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wif::{Credential, Policy};

use crate::support::{Endpoint, Reply, configuration, identity_token, now_s};

/// A4: a mount is swapped all the time, as a kubelet does it: what it showed before is removed at once.
#[tokio::test(flavor = "multi_thread")]
async fn while_its_mount_is_swapped() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let mount = tempfile::tempdir().unwrap();
    let (root, token) = (mount.path().to_owned(), identity_token("a", now_s(), 3600));
    let show = move |generation: &str| {
        fs::create_dir(root.join(generation))?;
        fs::write(root.join(generation).join("token"), &token)?;
        symlink(generation, root.join("next"))?;
        fs::rename(root.join("next"), root.join("..data"))
    };
    show("..a").unwrap();
    symlink("..data/token", mount.path().join("token")).unwrap();
    let stopped = Arc::new(AtomicBool::new(false));
    let (until, root) = (Arc::clone(&stopped), mount.path().to_owned());
    let swapping = std::thread::spawn(move || {
        for (old, new) in [("..a", "..b"), ("..b", "..a")].into_iter().cycle() {
            if until.load(Ordering::Relaxed) {
                break;
            }
            show(new).and_then(|()| fs::remove_dir_all(root.join(old))).expect("the directory is writable");
        }
    });
    let source = format!(r#"{{"source":"file","path":"{}/token"}}"#, mount.path().display());
    for _ in 0..600 {
        let policy = Policy::default().allow_origin(&endpoint.origin).unwrap();
        let configuration = configuration(&endpoint.origin, &source);
        Credential::builder().configuration(configuration).policy(policy).build().unwrap().token().await.unwrap();
    }
    stopped.store(true, Ordering::Relaxed);
    swapping.join().expect("no panic");
}
