//! The identity token's file is another one from one moment to the next.

use std::collections::HashSet;

use serde_json::Value;
use wif::{Credential, Policy};

use crate::support::{Endpoint, Reply, configuration, identity_token, now_s};
use wif_test_tools::SwappedMount;

/// A4: a mount is swapped all the time, as a kubelet does it: what it showed before is removed at once. What is exchanged is one of
/// the two that it shows, of different lengths, and never a part of one or a piece of each.
#[tokio::test(flavor = "multi_thread")]
async fn while_its_mount_is_swapped() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let tokens = [identity_token("a", now_s(), 3600), identity_token(&"long".repeat(1_000), now_s(), 3600)];
    let mount = SwappedMount::showing([&tokens[0], &tokens[1]]);
    let source = format!(r#"{{"source":"file","path":"{}/token"}}"#, mount.path().display());
    let mut seen = HashSet::new();
    // On a machine with much else to do, one of the two may be shown for long.
    for tries in 0_u32.. {
        if tries >= 600 && seen.len() == 2 {
            break;
        }
        assert!(tries < 100_000, "only one of the two was met");
        let policy = Policy::default().allow_origin(&endpoint.origin).unwrap();
        let configuration = configuration(&endpoint.origin, &source);
        Credential::builder().configuration(configuration).policy(policy).build().unwrap().token().await.unwrap();
        let request = endpoint.last();
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let exchange: Value = serde_json::from_str(body).unwrap();
        let sent = exchange["assertion"].as_str().unwrap().to_owned();
        assert!(tokens.contains(&sent), "{} bytes that were never shown", sent.len());
        seen.insert(sent);
    }
}
