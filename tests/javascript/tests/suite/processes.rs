//! Node, Deno and Bun against the emulator: one suite for all three.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use wif_emulator::Fault;
use wif_servers::cases::{self, Host};
use wif_servers::{Keys, Mint, Server};

use crate::program::{Program, RUNTIMES, Runtime, printed};
use crate::world::World;

/// Nothing but what a credential needs; a variable of the runtime's glue is not among it. The SDK reads others.
const PERMISSIONS: [&str; 3] = ["--allow-net=127.0.0.1", "--allow-read", "--allow-env=HOME,ANTHROPIC_*,CI,DEBUG,NODE_ENV"];

async fn command(runtime: Runtime) -> Command {
    tokio::task::spawn_blocking(move || runtime.run("process.mjs", &PERMISSIONS)).await.expect("no panic")
}

async fn start(runtime: Runtime, world: &World) -> Program {
    start_with(runtime, world, true).await
}

/// `prefetch`: the exchange begins with the credential, and not with its first request.
async fn start_with(runtime: Runtime, world: &World, prefetch: bool) -> Program {
    let base_url = world.emulator.base_url();
    let federation = world.federation(&world.file_source());
    let options = json!({
        "configuration": { "base_url": base_url, "federation": federation, "prefetch": prefetch },
        "policy": { "allowOrigins": [base_url] },
    });
    let mut command = command(runtime).await;
    command.arg(json!({ "options": options, "baseURL": base_url }).to_string());
    // A name in which nothing is configured: what the machine has must not matter.
    command.env("HOME", world.directory.path()).env_remove("ANTHROPIC_API_KEY").env_remove("ANTHROPIC_AUTH_TOKEN");
    Program::start(command)
}

/// C1, E1. The vendor's own key in each request is taken off: the emulator refuses requests with two credentials.
#[tokio::test]
async fn a_cold_burst_makes_one_exchange() {
    for runtime in RUNTIMES {
        let world = World::start().await;
        let mut program = start(runtime, &world).await;
        assert_eq!(program.value("burst 99").await, json!([200]), "{runtime:?}");
        assert_eq!(program.value("request").await, 200, "{runtime:?}");
        assert_eq!((world.exchanges(), world.emulator.counts().messages_granted), (1, 100), "{runtime:?}");
        let expected = if runtime == Runtime::Node { json!("refused") } else { json!(200) };
        assert_eq!(program.value("user").await, expected, "{runtime:?}");
    }
}

#[tokio::test]
async fn the_vendors_sdk_works_with_each_of_its_options() {
    for runtime in RUNTIMES {
        let world = World::start().await;
        let mut program = start(runtime, &world).await;
        for client in ["sdk", "sdk-middleware", "sdk-provider"] {
            assert!(program.value(client).await.as_str().is_some_and(|text| !text.is_empty()), "{runtime:?}");
        }
        assert_eq!(world.exchanges(), 1, "{runtime:?}");
    }
}

#[tokio::test]
async fn a_stream_arrives_in_pieces() {
    for runtime in RUNTIMES {
        let world = World::start().await;
        let answer = start(runtime, &world).await.value("stream").await;
        assert_eq!(answer["status"], 200);
        assert!(answer["pieces"].as_u64().is_some_and(|pieces| pieces > 5), "{runtime:?}: {answer}");
    }
}

/// A6, E12. With a rotated identity token; and without one its own 401 reaches the caller, and nothing is sent again.
#[tokio::test]
async fn a_revoked_token_is_replaced_once_there_is_another_identity_token() {
    for runtime in RUNTIMES {
        let world = World::start().await;
        let mut program = start(runtime, &world).await;
        program.value("message").await;
        program.value("advance 10000").await;
        world.emulator.revoke_all();
        assert_eq!(program.value("message").await, 401, "{runtime:?}");
        world.file.rotate().expect("the directory is writable");
        program.value("changed").await;
        world.until(|world| world.emulator.exchanges_granted() == 2).await;
        // The answer is on its way to the program.
        for _ in 0..100 {
            if program.value("message").await == 200 {
                break;
            }
        }
        assert_eq!(program.value("message").await, 200, "{runtime:?}");
        assert_eq!((world.exchanges(), world.reused()), (2, 0), "{runtime:?}");
    }
}

/// C4. It has what it asked for, the others have the token, and so does everybody after them.
#[tokio::test]
async fn a_request_that_gives_up_does_not_take_the_exchange_with_it() {
    for runtime in RUNTIMES {
        let world = World::start().await;
        let mut program = start_with(runtime, &world, false).await;
        world.emulator.inject(Fault::Delay(Duration::from_secs(2)));
        assert_eq!(program.value("give-up 500").await, json!(["TimeoutError", 200, 200, 200]), "{runtime:?}");
        assert_eq!(program.value("message").await, 200, "{runtime:?}");
        assert_eq!((world.exchanges(), world.emulator.counts().messages_granted), (1, 4), "{runtime:?}");
    }
}

/// C2, C4. A request finds a token that is due and does not wait; what it started comes to its end when the request has long ended.
#[tokio::test]
async fn a_refresh_goes_on_behind_the_request_that_started_it() {
    for runtime in RUNTIMES {
        let world = World::start().await;
        let mut program = start(runtime, &world).await;
        program.value("message").await;
        let first = program.value("token").await;
        world.file.rotate().expect("the directory is writable");
        // A minute before the end.
        program.value("advance 3540000").await;
        world.emulator.inject(Fault::Delay(Duration::from_secs(3)));
        assert_eq!(program.value("message").await, 200, "{runtime:?}");
        world.until(|world| world.exchanges() == 2).await;
        assert_eq!(program.value("token").await, first, "{runtime:?}: the answer is on its way");
        // Nobody asks while it comes, and then the first token is at its end.
        tokio::time::sleep(Duration::from_secs(4)).await;
        program.value("advance 45000").await;
        assert_ne!(program.value("token").await, first, "{runtime:?}");
        assert_eq!((world.exchanges(), world.reused()), (2, 0), "{runtime:?}");
    }
}

/// A8 (several share one identity token), A8b (a restart finds it exchanged).
#[tokio::test]
async fn a_journal_takes_the_token_along_and_a_store_is_shared() {
    for runtime in RUNTIMES {
        let world = World::start().await;
        let mut program = start(runtime, &world).await;
        assert_eq!(program.value("resumed").await, true, "{runtime:?}");
        world.file.rotate().expect("the directory is writable");
        assert_eq!(program.value("shared-store 3").await, 1, "{runtime:?}");
        assert_eq!((world.exchanges(), world.reused()), (2, 0), "{runtime:?}");
    }
}

/// A7, B2, B6, B11. A request that may have been granted counts as that: callers are told at once, and the identity token is not sent
/// again before its time.
#[tokio::test]
async fn an_endpoint_that_fails_is_told_at_once_and_not_hammered() {
    for runtime in RUNTIMES {
        for (fault, code) in [
            (Fault::DropBeforeAnswer, "endpoint-unreachable"),
            (Fault::status(529), "endpoint-failed"),
            (Fault::Oversized { bytes: 600_000 }, "endpoint-unreachable"),
            (Fault::Redirect { to: String::new() }, "answer-unusable"),
        ] {
            let world = World::start().await;
            world.emulator.set_outage(Some(fault.clone()));
            let mut program = start(runtime, &world).await;
            let answer = program.ask("burst 20").await;
            assert_eq!(answer["code"], code, "{runtime:?} {fault:?}: {answer}");
            assert!(world.exchanges() <= 2, "{runtime:?} {fault:?}: {}", world.exchanges());
            let followed = world.emulator.history().iter().any(|entry| entry.kind == wif_emulator::Kind::FollowedRedirect);
            assert!(!followed, "{runtime:?}");
        }
    }
}

/// Timers do not keep a process alive: its input ends, and so does it.
#[tokio::test]
async fn a_credential_does_not_keep_its_process() {
    for runtime in RUNTIMES {
        let world = World::start().await;
        let base_url = world.emulator.base_url();
        let options = json!({
            "configuration": { "base_url": base_url, "federation": world.federation(&world.file_source()) },
            "policy": { "allowOrigins": [base_url] },
        });
        let mut command = command(runtime).await;
        command.arg(json!({ "options": options, "baseURL": base_url }).to_string()).env("HOME", world.directory.path());
        let mut command = tokio::process::Command::from(command);
        let running = command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).status();
        let status = tokio::time::timeout(Duration::from_secs(30), running).await.expect("it ends by itself").expect("it starts");
        assert!(status.success(), "{runtime:?}");
    }
}

/// Deno shows a variable that it does not permit as if it were not set: then the exchange would go to the default place, or
/// another credential would be taken.
#[test]
fn deno_says_which_variables_it_hides() {
    let empty = tempfile::tempdir().expect("a directory");
    let run = |allowed: &str| {
        let mut command = Runtime::Deno.run("hidden.mjs", &[allowed, "--allow-read"]);
        command.env("HOME", empty.path()).env_remove("ANTHROPIC_API_KEY").env_remove("ANTHROPIC_AUTH_TOKEN");
        let said = printed(&mut command).remove(0);
        (said["name"].clone(), said["message"].as_str().unwrap_or_default().to_owned())
    };
    let (name, message) = run("--allow-env=HOME,ANTHROPIC_API_KEY");
    assert_eq!(name, "OptionError", "{message}");
    assert!(message.contains("ANTHROPIC_BASE_URL") && message.contains("--allow-env"), "{message}");
    assert!(!message.contains("ANTHROPIC_API_KEY") && !message.contains("HOME"), "{message}");
    // Where the profiles are is of interest only if nothing else is found.
    let (name, message) = run("--allow-env=ANTHROPIC_*");
    assert_eq!(name, "NoTokenError", "{message}");
    assert!(message.contains("does not let this program read CLAUDE_CODE_OAUTH_TOKEN, HOME"), "{message}");
}

/// Behind a proxy that nobody uses, every connection fails: the error says what the cause may be, and what to do.
#[tokio::test]
async fn node_says_that_a_proxy_is_set_and_not_used() {
    let world = World::start().await;
    // Nobody listens there.
    let nowhere = "https://127.0.0.1:2";
    let options = json!({
        "configuration": { "base_url": nowhere, "federation": world.federation(&world.file_source()) },
        "policy": { "allowOrigins": [nowhere] },
    });
    let told = async |variables: &[(&str, &str)], own: bool| {
        let mut command = tokio::task::spawn_blocking(|| Runtime::Node.run("proxied.mjs", &[])).await.expect("no panic");
        command.arg(options.to_string()).args(own.then_some("own"));
        for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "NODE_OPTIONS"] {
            command.env_remove(name);
        }
        command.envs(variables.iter().copied());
        let said = tokio::task::spawn_blocking(move || printed(&mut command).remove(0)).await.expect("no panic");
        assert_eq!(said["code"], "endpoint-unreachable", "{said}");
        said["message"].as_str().expect("text").to_owned()
    };
    let proxy = ("HTTPS_PROXY", "http://user:secret@proxy.example:3128");
    let message = told(&[proxy], false).await;
    for expected in ["ECONNREFUSED", "HTTPS_PROXY is set, and fetch does not use it: set NODE_USE_ENV_PROXY=1", "in the README)"]
    {
        assert!(message.contains(expected), "{expected} is missing in {message}");
    }
    assert!(!message.contains("secret"), "{message}");
    for (variables, own) in
        [(&[][..], false), (&[proxy, ("NO_PROXY", "example.org, 127.0.0.1")][..], false), (&[proxy][..], true)]
    {
        let message = told(variables, own).await;
        assert!(!message.contains("PROXY"), "{variables:?} {own}: {message}");
    }
}

#[tokio::test]
async fn a_credential_is_discovered_as_the_vendors_clients_do_it() {
    for runtime in RUNTIMES {
        let world = World::start().await;
        let emulated = world.emulator.options();
        let mut command = command(runtime).await;
        let base_url = world.emulator.base_url();
        command.arg(json!({ "options": { "policy": { "allowOrigins": [base_url] } }, "baseURL": base_url }).to_string());
        command.env_remove("ANTHROPIC_API_KEY").env_remove("ANTHROPIC_AUTH_TOKEN").env("HOME", world.directory.path());
        command.env("ANTHROPIC_BASE_URL", base_url);
        command.env("ANTHROPIC_FEDERATION_RULE_ID", &emulated.federation_rule_id);
        command.env("ANTHROPIC_ORGANIZATION_ID", &emulated.organization_id);
        command.env("ANTHROPIC_IDENTITY_TOKEN_FILE", world.file.path());
        let mut program = Program::start(command);
        assert_eq!(program.value("message").await, 200, "{runtime:?}");
        let status: Value = program.value("status").await;
        assert_eq!(status["state"], "serving", "{status}");
    }
}

/// Another program refreshes it: here it is served as long as it is good.
#[cfg(unix)]
#[tokio::test]
async fn a_persons_login_is_served_until_it_expires() {
    use std::os::unix::fs::PermissionsExt as _;
    for runtime in RUNTIMES {
        let world = World::start().await;
        let profiles = world.directory.path().join(".config/anthropic");
        let write = |name: &str, content: Value| {
            let path = profiles.join(name);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            std::fs::write(&path, content.to_string()).expect("it is written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode is set");
        };
        write("configs/default.json", json!({ "authentication": { "type": "user_oauth", "client_id": "client-1" } }));
        write(
            "credentials/default.json",
            json!({ "access_token": "sk-ant-oat01-login", "expires_at": 4_000_000_000_u64, "refresh_token": "r" }),
        );
        let mut command = command(runtime).await;
        command.arg(json!({ "options": {}, "baseURL": world.emulator.base_url() }).to_string());
        command.env_remove("ANTHROPIC_API_KEY").env_remove("ANTHROPIC_AUTH_TOKEN").env("HOME", world.directory.path());
        let mut program = Program::start(command);
        let id: Value = program.value("token").await;
        let status: Value = program.value("status").await;
        assert_eq!((&status["state"], &status["token"]["id"]), (&json!("serving"), &id), "{runtime:?}: {status}");
        assert_eq!(status["configuration"][0]["value"], "login (user_oauth)", "{runtime:?}: {status}");
    }
}

/// Each source, in Node: the grants of hosts in JavaScript are of its own, so each has to be seen.
#[tokio::test(flavor = "multi_thread")]
async fn every_source_of_the_table_gives_a_token() {
    let world = World::start().await;
    let provider = world.emulator.identity_provider().clone();
    let mint: Mint = Arc::new(move |_| provider.mint().expose().to_owned());
    let directory = tempfile::tempdir().expect("a directory");
    let mut exchanges = 0;
    for name in cases::all().into_iter().filter(|name| Host::Node.lacks(name).is_none()) {
        let case = cases::start(name, directory.path(), &mint).await;
        let (emulated, base_url) = (world.emulator.options(), world.emulator.base_url());
        let configuration = json!({ "base_url": base_url, "federation": {
            "federation_rule_id": emulated.federation_rule_id,
            "organization_id": emulated.organization_id,
            "service_account_id": emulated.service_account_id,
            "identity_token": case.identity_token,
        } });
        let run = move || Runtime::Node.run("process.mjs", &[]);
        let mut command = tokio::task::spawn_blocking(run).await.expect("no panic");
        let options = json!({ "configuration": configuration, "policy": { "allowOrigins": [base_url] } });
        command.arg(json!({ "options": options, "baseURL": base_url, "key": case.key }).to_string());
        for variable in ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "AWS_ACCESS_KEY_ID"] {
            command.env_remove(variable);
        }
        command.envs(case.variables.iter().map(|(name, value)| (*name, value)));
        if case.cluster.is_some() {
            // How a runtime is told of a cluster's certificates.
            command.env("NODE_EXTRA_CA_CERTS", directory.path().join("ca.crt"));
        }
        let mut program = Program::start(command);
        assert_eq!(program.value("message").await, 200, "{name}");
        exchanges += 1;
        assert_eq!(world.emulator.counts().exchanges, exchanges, "{name}");
    }
}

/// The way to keys on an instance of AWS, and a job of GitHub Actions, in each runtime; what the policy leaves out is refused.
#[tokio::test]
async fn a_platform_is_asked_for_identity_tokens() {
    for runtime in RUNTIMES {
        let world = World::start().await;
        let provider = world.emulator.identity_provider().clone();
        let mint: Mint = Arc::new(move |_| provider.mint().expose().to_owned());
        let keys = Keys { id: "AKID".to_owned(), secret: "secret/+".to_owned(), session: Some("session=".to_owned()) };
        let runner = Server::start(wif_servers::github_actions("runner", mint.clone())).await;
        let metadata = Server::start(wif_servers::instance_metadata("role-1", keys.clone())).await;
        let sts = Server::start(wif_servers::security_token_service("eu-central-1", keys, "", mint)).await;
        let github = [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/token?api-version=2.0", runner.url())),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner".to_owned()),
        ];
        let aws = [
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ENDPOINT_URL_STS", sts.url()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url()),
        ];
        for (source, variables, allowed, expected) in [
            (json!({ "source": "github-actions" }), &github[..], None, 200),
            (json!({ "source": "auto" }), &github[..], Some("github-actions"), 200),
            // The variables of the federation lack the identity token alone.
            (Value::Null, &github[..], None, 200),
            (json!({ "source": "aws" }), &aws[..], None, 200),
            (json!({ "source": "aws" }), &aws[..], Some("google"), 0),
        ] {
            let emulated = world.emulator.options();
            let base_url = world.emulator.base_url();
            let mut policy = json!({ "allowOrigins": [base_url] });
            if let Some(allowed) = allowed {
                policy["allowSources"] = json!([allowed]);
            }
            let configuration = match &source {
                Value::Null => json!({ "base_url": base_url, "discover": { "config_dir": "/nowhere" } }),
                source => json!({ "base_url": base_url, "federation": {
                    "federation_rule_id": emulated.federation_rule_id,
                    "organization_id": emulated.organization_id,
                    "identity_token": source,
                } }),
            };
            let permissions = ["--allow-net=127.0.0.1", "--allow-read", "--allow-env"];
            let run = move || runtime.run("process.mjs", &permissions);
            let mut command = tokio::task::spawn_blocking(run).await.expect("no panic");
            let options = json!({ "configuration": configuration, "policy": policy });
            command.arg(json!({ "options": options, "baseURL": base_url }).to_string());
            for name in ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "AWS_ACCESS_KEY_ID"] {
                command.env_remove(name);
            }
            command.envs(variables.iter().map(|(name, value)| (*name, value)));
            command.env("ANTHROPIC_FEDERATION_RULE_ID", &emulated.federation_rule_id);
            command.env("ANTHROPIC_ORGANIZATION_ID", &emulated.organization_id);
            let mut program = Program::start(command);
            if expected == 200 {
                assert_eq!(program.value("message").await, 200, "{runtime:?}: {source}");
            } else {
                let mut status: Value = program.value("status").await;
                // The source has not answered yet.
                while status["state"] == "starting" {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    status = program.value("status").await;
                }
                assert_eq!(status["failure"]["code"], "denied-by-host", "{status}");
            }
        }
        assert_eq!(metadata.seen().len(), 3, "{:?}", metadata.seen());
    }
}
