//! Clients that others wrote, with their own federation code, against the emulator: the vendor's SDKs for Python and
//! TypeScript, which know nothing but their environment.
//!
//! They tell whether the emulator is faithful; and where this project does otherwise than they do, the difference stands
//! here as a test:
//!
//! | | The SDKs | This project |
//! | --- | --- | --- |
//! | an identity token that was exchanged already | is sent again, whenever a refresh is due or forced | is not sent |
//! | a lifetime of two minutes or less | every request refreshes, or tries to | the windows scale |
//! | a 401 of the API without a rotated identity token | the request fails with the token endpoint's refusal | the API's own answer reaches the caller |

#![cfg(unix)]

mod client;

use std::time::Duration;

use client::{Client, KINDS, World};
use serde_json::json;
use wif::{Credential, Policy, State};
use wif_emulator::{Fault, Kind, Options, Outcome, Reason};

#[tokio::test]
async fn the_environment_alone_leads_to_a_message() {
    for kind in KINDS {
        let world = World::start(Options::default()).await;
        let Some(mut client) = Client::start(kind, &world.environment()).await else { return };
        for _ in 0..3 {
            client.ask("message").await.text();
        }
        let history = world.emulator.history();
        let kinds: Vec<Kind> = history.iter().map(|entry| entry.kind).collect();
        assert_eq!(kinds, [Kind::Exchange, Kind::Message, Kind::Message, Kind::Message], "{kind:?}");
        assert!(history.iter().all(|entry| entry.outcome == Outcome::Granted), "{history:?}");
        assert_eq!(history[0].assertion_id, Some(world.file.current().id()));
        assert_eq!(history[0].access_token_id, history[1].access_token_id);
    }
}

#[tokio::test]
async fn a_message_is_streamed_in_pieces() {
    for kind in KINDS {
        let world = World::start(Options::default()).await;
        let Some(mut client) = Client::start(kind, &world.environment()).await else { return };
        assert!(client.ask("stream").await.text().len() > 10);
    }
}

#[tokio::test]
async fn tokens_are_counted_and_models_listed() {
    for kind in KINDS {
        let world = World::start(Options::default()).await;
        let Some(mut client) = Client::start(kind, &world.environment()).await else { return };
        assert!(client.ask("count-tokens").await.value().as_u64().is_some_and(|tokens| tokens > 0), "{kind:?}");
        let models = client.ask("models").await.value();
        assert!(models.as_array().is_some_and(|models| !models.is_empty() && models.iter().all(|id| id.is_string())), "{models}");
        assert_eq!(world.emulator.counts().exchanges, 1);
    }
}

#[tokio::test]
async fn a_refusal_reaches_the_program_with_its_request_id_and_its_reason_stays_in_the_history() {
    for kind in KINDS {
        let world = World::start(Options::default()).await;
        let mut environment = world.environment();
        environment.insert("ANTHROPIC_FEDERATION_RULE_ID", "fdrl_01another".to_owned());
        let Some(mut client) = Client::start(kind, &environment).await else { return };
        let failure = client.ask("message").await.failure();
        let refusal = world.emulator.history().pop().expect("an exchange");
        assert_eq!((refusal.outcome, refusal.reason), (Outcome::Denied, Some(Reason::RuleNotFound)));
        assert_eq!((failure.error.as_str(), failure.status), ("WorkloadIdentityError", Some(401)), "{kind:?}");
        assert!(failure.message.contains("Authentication failed"), "{}", failure.message);
        assert!(!failure.message.contains(world.file.current().expose()));
        assert_eq!(failure.request_id.as_deref(), Some(refusal.request_id.as_str()));
    }
}

#[tokio::test]
async fn a_rotated_identity_token_is_read_for_the_refresh() {
    for kind in KINDS {
        // Less than the two minutes before its end in which the SDKs refresh.
        let world = World::start(Options { token_lifetime_seconds: 100, ..Options::default() }).await;
        let Some(mut client) = Client::start(kind, &world.environment()).await else { return };
        client.ask("message").await.text();
        let rotated = world.file.rotate().expect("the directory is writable");
        client.ask("message").await.text();
        world.until(|| world.emulator.exchanges_granted() == 2).await;
        let exchange = world.emulator.history().into_iter().rfind(|entry| entry.kind == Kind::Exchange);
        assert_eq!(exchange.expect("an exchange").assertion_id, Some(rotated.id()), "{kind:?}");
    }
}

#[tokio::test]
async fn a_revoked_token_is_replaced_and_the_caller_does_not_notice() {
    for kind in KINDS {
        let world = World::start(Options::default()).await;
        let Some(mut client) = Client::start(kind, &world.environment()).await else { return };
        client.ask("message").await.text();
        assert_eq!(world.emulator.revoke_all(), 1);
        world.file.rotate().expect("the directory is writable");
        client.ask("message").await.text();
        let refused = world.emulator.history().into_iter().filter(|entry| entry.reason == Some(Reason::TokenRevoked)).count();
        assert_eq!((refused, world.emulator.exchanges_granted()), (1, 2), "{kind:?}");
    }
}

/// A6, C9: what the SDKs do with an identity token that was exchanged already, and what is done here.
#[tokio::test]
async fn the_sdks_send_a_spent_identity_token_again_and_this_project_does_not() {
    for kind in KINDS {
        let world = World::start(Options::default()).await;
        let Some(mut client) = Client::start(kind, &world.environment()).await else { return };
        client.ask("message").await.text();
        world.emulator.revoke_all();
        let failure = client.ask("message").await.failure();
        assert_eq!((failure.error.as_str(), failure.status), ("WorkloadIdentityError", Some(401)), "{kind:?}");
        assert!(world.reused() >= 1, "{kind:?}: {:?}", world.emulator.history());
    }

    let world = World::start(Options::default()).await;
    let origin = world.emulator.base_url();
    let configuration = json!({
        "base_url": origin,
        "federation": {
            "federation_rule_id": world.emulator.options().federation_rule_id,
            "organization_id": world.emulator.options().organization_id,
            "identity_token": { "source": "file", "path": world.file.path() },
        },
    });
    let policy = Policy::default().allow_origin(origin).expect("an origin");
    let credential = Credential::builder().configuration(configuration.to_string()).policy(policy).build().expect("it is valid");
    let token = credential.token().await.expect("an exchange");
    world.emulator.revoke_all();
    credential.rejected(token.id());
    while credential.status().await.expect("it runs").state != State::WaitingForRotation {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // The API's own answer reaches the callers meanwhile.
    assert_eq!(credential.token().await.expect("the last one").id(), token.id());
    assert_eq!((world.emulator.counts().exchanges, world.reused()), (1, 0));
    world.file.rotate().expect("the directory is writable");
    credential.changed();
    world.until(|| world.emulator.exchanges_granted() == 2).await;
    assert_eq!(world.reused(), 0);
}

#[tokio::test]
async fn a_token_endpoint_that_is_down_is_told_with_its_status() {
    for kind in KINDS {
        let world = World::start(Options::default()).await;
        let Some(mut client) = Client::start(kind, &world.environment()).await else { return };
        world.emulator.set_outage(Some(Fault::status(529)));
        let failure = client.ask("message").await.failure();
        assert_eq!((failure.error.as_str(), failure.status), ("WorkloadIdentityError", Some(529)), "{kind:?}");
        world.emulator.set_outage(None);
        client.ask("message").await.text();
    }
}
