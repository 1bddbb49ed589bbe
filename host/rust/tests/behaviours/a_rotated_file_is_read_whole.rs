//! The identity token's file is another one from one moment to the next.

use wif::{Credential, Policy};

use crate::support::{Endpoint, Reply, configuration, identity_token, now_s};
use wif_test_tools::SwappedMount;

/// A4: a mount is swapped all the time, as a kubelet does it: what it showed before is removed at once.
#[tokio::test(flavor = "multi_thread")]
async fn while_its_mount_is_swapped() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let mount = SwappedMount::showing(&identity_token("a", now_s(), 3600));
    let source = format!(r#"{{"source":"file","path":"{}/token"}}"#, mount.path().display());
    for _ in 0..600 {
        let policy = Policy::default().allow_origin(&endpoint.origin).unwrap();
        let configuration = configuration(&endpoint.origin, &source);
        Credential::builder().configuration(configuration).policy(policy).build().unwrap().token().await.unwrap();
    }
}
