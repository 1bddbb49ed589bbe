use std::time::Duration;

use serde_json::{Value, json};
use wif_emulator::{Fault, Kind, Resources};

use crate::harness::{Form, Plan, Traffic, World, in_every_form};

/// The second rule of the document.
const ANOTHER: &str = "fdrl_01another";

/// Requests that are inside Envoy at this moment.
const ACTIVE: &str = "^http\\.gateway\\.downstream_rq_active$";

/// Makes a configuration a bad one.
type Change = fn(&mut Value);

/// The resources with a copy of the rule under another name.
fn with_another_rule(mut resources: Resources) -> Resources {
    let rules = &mut resources.organizations[0].federation_rules;
    let mut another = rules[0].clone();
    another.id = ANOTHER.to_owned();
    rules.push(another);
    resources
}

in_every_form! {
    /// C11: another configuration meanwhile.
    async fn another_identity_takes_over_under_load_and_no_request_fails(form: Form) {
        let Some(mut world) = Plan::new(form).start().await else { return };
        world.emulator.set_resources(with_another_rule(world.emulator.resources())).expect("they are good");
        assert_eq!(world.caller.message().await.status, 200);
        world.file.rotate().expect("the directory is writable");
        let traffic = Traffic::start(&world.caller, 4);
        world.reload(|setup| setup.plugin["credential"]["federation"]["federation_rule_id"] = json!(ANOTHER));
        let token = || {
            let exchanges = world.exchanges();
            let exchange = exchanges.into_iter().find(|entry| entry.parties.federation_rule_id.as_deref() == Some(ANOTHER));
            exchange.and_then(|exchange| exchange.access_token_id)
        };
        world.until("an exchange by the other rule", async || token().is_some()).await;
        let token = token();
        let newest = || world.emulator.history().into_iter().rfind(|entry| entry.kind == Kind::Message);
        world.until("its token is used", async || newest().is_some_and(|message| message.access_token_id == token)).await;
        // Requests of the old listener may still end.
        world
            .until("the old token is used no longer", async || {
                let since = world.emulator.counts().messages + 20;
                world.until("more messages", async || world.emulator.counts().messages >= since).await;
                let history = world.emulator.history();
                let last = history.iter().rev().filter(|entry| entry.kind == Kind::Message).take(10);
                last.into_iter().all(|message| message.access_token_id == token)
            })
            .await;
        let answers = traffic.stop().await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!((world.emulator.counts().exchanges, world.reused()), (2, 0));
        world.nothing_went_without_our_credential();
    }
}

in_every_form! {
    /// C11, A7: the configuration is replaced while its exchange is out. What that brings is for the one that takes over.
    async fn an_exchange_outlives_the_configuration_that_began_it(form: Form) {
        let Some(mut world) = Plan::new(form).start().await else { return };
        world.emulator.inject(Fault::Delay(Duration::from_secs(8)));
        let requests = world.caller.start_burst(20);
        world.until("an exchange has begun", async || world.emulator.counts().exchanges == 1).await;
        // Nobody waits for it: requests would keep the old configuration.
        drop(requests);
        world.until("all have left", async || world.envoy.stat(ACTIVE).await == 0).await;
        let updates = async |world: &World| world.envoy.stat("(lds|cds)\\.update_success$").await;
        let before = updates(&world).await;
        world.reload(|setup| setup.plugin["waiting"] = json!({ "requests": 500 }));
        world.until("the new configuration is in force", async || updates(&world).await >= before + 2).await;
        let answers = world.caller.burst(20).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!((world.emulator.counts().exchanges, world.reused()), (1, 0));
    }
}

in_every_form! {
    /// A13: the log of Envoy names the field, and what was in force stays so.
    async fn a_bad_configuration_is_refused_with_its_field(form: Form) {
        let Some(mut world) = Plan::new(form).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        let good = world.setup.plugin.clone();
        let changes: [(&str, Change); 4] = [
            ("clusterz", |plugin| plugin["clusterz"] = json!(["anthropic"])),
            ("credential.federation.federation_rule_id", |plugin| {
                plugin["credential"]["federation"]["federation_rule_id"] = json!("rule");
            }),
            ("waiting.requests", |plugin| plugin["waiting"] = json!({ "requests": -1 })),
            ("credential.federation.identity_token.sauce", |plugin| {
                plugin["credential"]["federation"]["identity_token"]["sauce"] = json!("file");
            }),
        ];
        for (field, change) in changes {
            assert!(!world.envoy.log().contains(field), "{field} is in the log already");
            world.reload(|setup| {
                setup.plugin = good.clone();
                change(&mut setup.plugin);
            });
            world.envoy.until_logged(field).await;
        }
        let rejected = world.envoy.stat("(lds|cds)\\.update_rejected$").await;
        assert!(rejected >= 4, "{rejected}");
        let answers = world.caller.burst(40).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(world.emulator.counts().exchanges, 1);
    }
}
