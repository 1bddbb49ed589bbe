use std::collections::BTreeSet;

use serde_json::json;
use wif_engine::Session;
use wif_engine::contract::{Capability, Clock, Event, Outcome, Start, TaskResult};

use crate::harness::bootstrap::wasm;
use crate::harness::client::send;
use crate::harness::{Form, Plan, Received, World, artifacts, in_wasm_forms};

/// The key of the shared entry, as every session of this configuration computes it.
fn entry_key(world: &World) -> String {
    let configuration = world.setup.plugin["credential"].to_string();
    let can = [Capability::Store, Capability::OwnersVanish, Capability::ReadFile];
    let mut session = Session::open(&configuration, 0, &can, Start::Fresh).expect("it is valid");
    // The identity token is valid from when it was written.
    let written = std::fs::metadata(&world.setup.token_file).and_then(|file| file.modified()).expect("the file is there");
    let wall_ms = written.duration_since(std::time::UNIX_EPOCH).expect("later than 1970").as_millis();
    let clock = Clock { wall_ms: u64::try_from(wall_ms).expect("a time"), steady_ms: None };
    session.step(clock, Event::Woken);
    let output = session.step(clock, Event::Needed);
    let number = output.tasks.first().expect("the file is asked for").number;
    let content = std::fs::read_to_string(&world.setup.token_file).expect("the file is there");
    session.step(clock, Event::Finished(TaskResult { number, outcome: Outcome::Content(content.into()) }));
    format!("wif.entry.{}", session.entry_key().expect("the file shows whose identity token it holds"))
}

async fn pry(world: &World, key: &str) -> Received {
    send(world.caller.post("/elsewhere").header("x-pry", key)).await
}

/// A world in which another plugin with this `vm_id` stands before ours.
async fn world_with_another_plugin(form: Form, vm_id: &'static str) -> Option<World> {
    let plan = Plan::new(form).setup(move |setup| {
        setup.before.push(wasm("prying", &artifacts::prying_filter(), vm_id, &json!({})));
    });
    let world = plan.start().await?;
    assert_eq!(world.caller.message().await.status, 200);
    Some(world)
}

in_wasm_forms! {
    /// F: shared data is readable by whoever has the same `vm_id`, so ours is private.
    async fn another_plugin_cannot_read_what_the_workers_share(form: Form) {
        let Some(world) = world_with_another_plugin(form, "another").await else { return };
        for key in [entry_key(&world).as_str(), "wif.seeds", ""] {
            assert_eq!(pry(&world, key).await.status, 404, "{key}");
        }
    }
}

in_wasm_forms! {
    /// That the test above can fail, and why the `vm_id` of the configurations is not to be shared.
    async fn another_plugin_of_the_same_vm_id_could_read_it(form: Form) {
        let Some(world) = world_with_another_plugin(form, "wif-test").await else { return };
        let answer = pry(&world, &entry_key(&world)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let tokens: BTreeSet<&str> = answer.body.split('"').filter(|text| text.starts_with("sk-ant-oat01-")).collect();
        assert_eq!(tokens.len(), 1, "no access token is in the entry");
    }
}
