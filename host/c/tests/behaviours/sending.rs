//! Programs that send the library's requests themselves.

use std::process::Command;

use serde_json::{Value, json};
use wif_emulator::{Fault, Options};
use wif_test_tools::not_run;

use crate::installed::{Link, crate_folder, runs};
use crate::programs::{World, ends_well};

impl World {
    fn sending(&self, name: &str, more: &[&str]) -> Command {
        let source = crate_folder().join("tests/programs/sending.c");
        let program = self.installed.compiled(&source, Link::Shared, more);
        self.run(&program, name, &self.with_file())
    }
}

fn options(policy: &Value) -> String {
    json!({ "policy": policy }).to_string()
}

/// A scenario; and how many exchanges came.
async fn holds(name: &str, policy: Value) -> Option<u64> {
    let world = World::start(Options::default()).await?;
    let mut command = world.sending(name, &[]);
    command.env("OPTIONS", options(&policy));
    ends_well(command).await;
    Some(world.emulator.counts().exchanges)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_sends_one_request_for_a_burst_of_callers() {
    let Some(exchanges) = holds("burst", json!({ "allow_loopback": true })).await else { return };
    assert_eq!(exchanges, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_endpoint_answers_in_an_outage_reaches_the_component() {
    let Some(world) = World::start(Options::default()).await else { return };
    world.emulator.set_outage(Some(Fault::Status { status: 503, retry_after: None, body: None }));
    let mut command = world.sending("outage", &[]);
    command.env("TOLD", "\"code\":\"endpoint-failed\"");
    ends_well(command).await;
    assert!(world.emulator.counts().exchanges >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_program_says_of_a_server_that_is_not_there_is_told() {
    let Some(world) = World::start(Options::default()).await else { return };
    let mut configuration = world.with_file();
    configuration["base_url"] = "http://127.0.0.1:1".into();
    let mut command = world.sending("outage", &[]);
    command.env("CONFIGURATION", configuration.to_string()).env("TOLD", "the server is asleep");
    ends_well(command).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_come_later_and_from_any_thread() {
    assert!(matches!(holds("answered-later", json!({ "allow_loopback": true })).await, None | Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_never_answered_ends_in_time() {
    holds("never", json!({ "allow_loopback": true, "request_timeout_ms": 300 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_after_the_end_or_to_no_request_harms_nobody() {
    holds("after-close", json!({ "allow_loopback": true })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_counts_as_one_that_did_not_come() {
    holds("unusable", json!({ "allow_loopback": true })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_policy_refuses_never_reaches_the_program() {
    assert!(matches!(holds("refused", json!({})).await, None | Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_cannot_answer_a_request_of_its_parent() {
    holds("forked", json!({ "allow_loopback": true })).await;
}

/// AddressSanitizer watches the program, and its leak checker the library as well.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaks_where_the_program_sends() {
    let Some(world) = World::start(Options::default()).await else { return };
    for name in ["burst", "answered-later", "after-close"] {
        world.file.rotate().expect("the directory is writable");
        ends_well(world.sending(name, &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"])).await;
    }
}

/// The README's second example, by libcurl.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_with_libcurl_gets_a_token() {
    let libcurl = Command::new("pkg-config").args(["--cflags", "--libs", "libcurl"]).output();
    if !runs("pkg-config") {
        return not_run("pkg-config");
    }
    let Some(flags) = libcurl.ok().filter(|output| output.status.success()) else { return not_run("libcurl4-openssl-dev") };
    let flags = String::from_utf8(flags.stdout).expect("it is text");
    let Some(world) = World::start(Options::default()).await else { return };
    let flags: Vec<&str> = flags.split_whitespace().collect();
    let program = world.installed.compiled(&crate_folder().join("examples/sender.c"), Link::Shared, &flags);
    let printed = ends_well(world.as_a_workload(&program)).await;
    let id = world.emulator.history()[0].access_token_id.as_ref().map(ToString::to_string).expect("it was granted");
    assert!(printed.contains(&format!("token {id}")), "{printed}");
}
