//! An edge runtime, where WebAssembly is compiled beforehand and requests own what they start.

use serde_json::json;
use wif_javascript::EDGE;

use crate::program::{node, printed, workshop_async};
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_function_makes_one_exchange_and_keeps_its_request_for_it() {
    let world = World::start().await;
    let base_url = world.emulator.base_url();
    let source = json!({ "source": "callable", "freshness": "minted" });
    let options = json!({
        "baseURL": base_url,
        "adminURL": world.admin_url(),
        "options": {
            "configuration": { "base_url": base_url, "federation": world.federation(&source) },
            "policy": { "allowOrigins": [base_url] },
        },
    });
    let workshop = workshop_async().await;
    let folder = tempfile::tempdir().expect("a directory");
    let bundled = workshop.bundle(&workshop.program("edge-program.mjs"), &EDGE, folder.path());
    bundled.unwrap_or_else(|missing| panic!("{missing}"));
    let mut program = node("edge.mjs");
    program.arg(folder.path()).arg("edge-program.mjs").arg(json!({ "OPTIONS": options }).to_string());
    let answer = tokio::task::spawn_blocking(move || printed(&mut program)).await.expect("no panic").remove(0);
    assert_eq!(answer["answer"]["statuses"], json!([200]), "{answer}");
    assert!(answer["kept"].as_u64().is_some_and(|kept| kept >= 2), "{answer}");
    assert_eq!(world.exchanges(), 1);
}
