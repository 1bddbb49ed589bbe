//! The examples of the package's README, as they stand there, with the emulator in place of the API.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use wif_emulator::{Fault, Jwks, Options};
use wif_javascript::{EDGE, WORKERS};

use crate::program::{Program, node, printed, workshop, workshop_async};
use crate::world::World;

fn options() -> Options {
    Options {
        federation_rule_id: "fdrl_01example".to_owned(),
        organization_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        ..Options::default()
    }
}

/// What `programs/prelude.mjs` needs.
fn prelude(world: &World) -> Value {
    let emulated = world.emulator.options();
    json!({
        "EMULATOR": world.emulator.base_url(),
        "ADMIN": world.admin_url(),
        "RULE": emulated.federation_rule_id,
        "ORGANIZATION": emulated.organization_id,
    })
}

/// What an example prints.
async fn output(mut command: Command, world: &World, name: &str) -> String {
    let emulated = world.emulator.options();
    command.arg(workshop().program("example.mjs")).arg(name);
    for (name, value) in prelude(world).as_object().expect("an object") {
        command.env(name, value.as_str().expect("text"));
    }
    for variable in ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"] {
        command.env_remove(variable);
    }
    command.env("HOME", world.directory.path());
    command.env("ANTHROPIC_FEDERATION_RULE_ID", &emulated.federation_rule_id);
    command.env("ANTHROPIC_ORGANIZATION_ID", &emulated.organization_id);
    command.env("ANTHROPIC_IDENTITY_TOKEN_FILE", world.file.path());
    let output = tokio::process::Command::from(command).output().await.expect("it starts");
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn the_readme_shows_every_example_as_it_is() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/js");
    let readme = fs::read_to_string(host.join("README.md")).expect("the README");
    for entry in fs::read_dir(host.join("examples")).expect("the examples") {
        let path = entry.expect("an entry").path();
        let example = fs::read_to_string(&path).expect("text");
        assert!(readme.contains(&format!("```js\n{example}```\n")), "{}", path.display());
    }
}

/// A file of the package.
fn of_the_package(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/js").join(path)).expect("text")
}

/// All that is released together has one version; the changelog says what is in it.
#[test]
fn the_package_has_the_version_of_the_crates() {
    let manifest: Value = serde_json::from_str(&of_the_package("package.json")).expect("JSON");
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    let changes = of_the_package("../../CHANGELOG.md");
    let newest = changes.lines().find_map(|line| line.strip_prefix("## ")).expect("a version");
    assert_eq!(newest.split(',').next(), Some(env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_readme_lists_every_option() {
    let readme = of_the_package("README.md");
    for file in ["src/create.ts", "src/policy.ts"] {
        let source = of_the_package(file);
        let mut options = 0;
        for interface in source.split("export interface ").skip(1) {
            let members = interface.lines().take_while(|line| *line != "}");
            let names = members.filter_map(|line| line.strip_prefix("  readonly ")?.split_once("?:")).map(|(name, _)| name);
            for name in names {
                assert!(readme.contains(&format!("\n| `{name}` |")), "{name} of {file}");
                options += 1;
            }
        }
        assert!(options >= 5, "only {options} options were found in {file}");
    }
}

#[test]
fn the_readme_states_the_limits_of_a_component() {
    let (readme, ours) = (of_the_package("README.md"), of_the_package("src/limits.ts"));
    let limits = ours + &of_the_package("../../wit/authority.json");
    for (constant, told) in [
        ("AT_ONCE_MS = 500;", "| 500 ms |"),
        (r#""rest": 4,"#, "| a fifth of the time |"),
        ("MAX_INSTRUCTIONS = 500_000_000;", "| 500,000,000 | |"),
        ("STEP_AT_LEAST_MS = 0.2;", "counts as 0.2 ms at least | 2,500 | 1,000 a second |"),
        (r#""wake-at-least-ms": 5,"#, "no sooner than 5 ms after the step's end, and no later than a day"),
        (r#""notes-at-once": 256,"#, "| 256 | 240 a minute |"),
        (r#""note-every-ms": 250,"#, "| 256 | 240 a minute |"),
        (r#""request-every-ms": 1000,"#, "| 32 | 60 a minute |"),
        (r#""requests-at-once": 32,"#, "| 32 | 60 a minute |"),
        (r#""tasks": 64,"#, "| 64 | |"),
        ("MAX_TEXT = 2_000;", "is cut after 2,000 characters | 4,096 bytes | |"),
        (r#""note-bytes": 4096,"#, "is cut after 2,000 characters | 4,096 bytes | |"),
        (r#""entries-at-once": 256,"#, "of each; more break the contract and cost the instance | 256 | 240 a minute |"),
        (r#""entry-every-ms": 250,"#, "the newest comes later | 256 | 240 a minute |"),
        (r#""journal-bytes": 1048576,"#, "| 1,048,576 bytes; 16,384 bytes | |"),
        (r#""field-bytes": 16384,"#, "| 1,048,576 bytes; 16,384 bytes | |"),
    ] {
        assert!(limits.contains(constant), "the limits no longer have {constant}: mend the README, and this test");
        assert!(readme.contains(told), "the README does not say {told}");
    }
}

#[tokio::test]
async fn programs_in_node_deno_and_bun() {
    workshop_async().await;
    let deno = tokio::task::spawn_blocking(|| workshop().deno()).await.expect("no panic");
    let deno = deno.unwrap_or_else(|missing| panic!("{missing}"));
    for (name, expected) in [("node.mjs", "Hello from"), ("deno.mjs", "200"), ("access-token.mjs", "200")] {
        for runtime in ["node", "deno", "bun"] {
            let world = World::with(options()).await;
            let command = match runtime {
                "node" => Command::new("node"),
                "deno" => {
                    let mut command = Command::new(&deno);
                    command.args(["run", "--no-prompt", "--allow-net=127.0.0.1", "--allow-env", "--allow-read"]);
                    command.arg("--node-modules-dir=manual");
                    command
                }
                _ => {
                    let mut command = Command::new(workshop().bun().unwrap_or_else(|missing| panic!("{missing}")));
                    command.arg("run");
                    command
                }
            };
            let printed = output(command, &world, name).await;
            assert!(printed.contains(expected), "{name} in {runtime}: {printed}");
            assert_eq!(world.exchanges(), 1, "{name} in {runtime}");
        }
    }
}

/// The identity token is spent after the first run: what the second one knows it has from the journal, or from the directory.
#[tokio::test]
async fn a_program_that_keeps_what_it_knows_does_not_spend_an_identity_token_twice() {
    workshop_async().await;
    let newer = tokio::task::spawn_blocking(|| workshop().newer_node()).await.expect("no panic");
    let newer = newer.unwrap_or_else(|missing| panic!("{missing}"));
    for (node, example) in [(Path::new("node"), "journal.mjs"), (&newer, "directory.mjs")] {
        let world = World::with(options()).await;
        let kept = tempfile::tempdir().expect("a directory");
        for run in ["first", "second"] {
            let mut command = Command::new(node);
            command.env("STATE_DIRECTORY", kept.path());
            assert_eq!(output(command, &world, example).await, "200", "the {run} run of {example}");
        }
        assert_eq!(world.exchanges(), 1, "{example}");
    }
}

/// Runs an example of a Worker, and gives the URL at which it answers.
async fn worker(world: &World, name: &str, mut options: Value, folder: &Path) -> (Program, String) {
    let workshop = workshop_async().await;
    let (worker, caller) = (folder.join("worker"), folder.join("caller"));
    for (program, to) in [(workshop.example(name), &worker), (workshop.program("caller.mjs"), &caller)] {
        let bundled = workshop.bundle(&program, &WORKERS, to);
        bundled.unwrap_or_else(|missing| panic!("{missing}"));
    }
    options["worker"] = json!(worker);
    options["caller"] = json!(caller);
    options["entry"] = json!(name);
    options["emulator"] = json!(world.emulator.base_url());
    let emulated = world.emulator.options();
    options["bindings"]["FEDERATION_RULE_ID"] = json!(emulated.federation_rule_id);
    options["bindings"]["ORGANIZATION_ID"] = json!(emulated.organization_id);
    let mut command = node("workerd.mjs");
    command.arg(options.to_string());
    let mut program = Program::start(command);
    let url = program.next().await["url"].as_str().expect("a URL").to_owned();
    (program, url)
}

#[tokio::test]
async fn a_worker_that_signs() {
    let world = World::with(options()).await;
    let keys = workshop_async().await;
    let keys = tokio::task::spawn_blocking(move || printed(Command::new("node").arg(keys.program("keys.mjs"))).remove(0));
    let keys = keys.await.expect("no panic");
    let mut resources = world.emulator.resources();
    let organization = &mut resources.organizations[0];
    organization.federation_issuers[0].issuer_url = "https://worker.example".to_owned();
    organization.federation_issuers[0].jwks = Jwks::Inline { keys: vec![keys["public"].clone()] };
    let rule = &mut organization.federation_rules[0];
    rule.matcher.subject_prefix = Some("my-worker".to_owned());
    world.emulator.set_resources(resources).expect("they are good");
    let folder = tempfile::tempdir().expect("a directory");
    let bindings = json!({
        "PRIVATE_KEY": keys["private"].to_string(),
        "SEALING_KEY": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
    });
    let (_worker, url) = worker(&world, "worker.mjs", json!({ "bindings": bindings, "kv": true }), folder.path()).await;
    let answer = reqwest::get(url).await.expect("an answer");
    let text = answer.text().await.expect("text");
    assert!(text.starts_with("Hello from"), "{text}: {:?}", world.emulator.history());
    assert_eq!(world.exchanges(), 1);
}

/// The folder of a whole Worker, in a place of its own: its keys are made, its configuration filled in, and it is bundled by Wrangler,
/// all as its README says.
async fn worker_folder(world: &World) -> (tempfile::TempDir, Value) {
    let workshop = workshop_async().await;
    let place = tempfile::tempdir().expect("a directory");
    let folder = place.path();
    let emulated = world.emulator.options();
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/js/worker");
    fs::create_dir(folder.join("src")).expect("a directory");
    for file in ["package.json", "keys.mjs", "wrangler.jsonc", "src/index.mjs"] {
        fs::copy(host.join(file), folder.join(file)).expect("a file of the Worker");
    }
    std::os::unix::fs::symlink(workshop.packages(), folder.join("node_modules")).expect("a link");
    let configuration = folder.join("wrangler.jsonc");
    let mut text = fs::read_to_string(&configuration).expect("text");
    let mut bindings = json!({ "ISSUER": "https://wif-worker.example", "SERVICE_ACCOUNT_ID": "", "WORKSPACE_ID": "" });
    for (name, id) in [("FEDERATION_RULE_ID", &emulated.federation_rule_id), ("ORGANIZATION_ID", &emulated.organization_id)] {
        let empty = format!(r#""{name}": """#);
        assert!(text.contains(&empty), "{name} is not to be filled in");
        text = text.replace(&empty, &format!(r#""{name}": "{id}""#));
        bindings[name] = json!(id);
    }
    fs::write(&configuration, text).expect("it is written");
    let wrangler = ["node_modules/wrangler/bin/wrangler.js", "deploy", "--dry-run", "--outdir", "out"];
    for arguments in [&["keys.mjs"][..], &wrangler] {
        let mut command = tokio::process::Command::new("node");
        command.args(arguments).current_dir(folder).env("HOME", folder).env("CI", "1").env("WRANGLER_SEND_METRICS", "false");
        // Wrangler leaves there when it last asked for a newer one.
        command.env("TMPDIR", folder);
        let output = command.output().await.expect("it starts");
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {told}");
        if arguments.len() > 1 {
            for binding in ["env.KV (", &format!(r#"env.FEDERATION_RULE_ID ("{}"#, &emulated.federation_rule_id[..8])] {
                assert!(told.contains(binding), "{binding} is missing in {told}");
            }
        }
    }
    (place, bindings)
}

/// While the token endpoint is down an operator sees that there is no token, and why, once; and afterwards that there is one again.
async fn no_token_is_logged_once<Asked: Future<Output = reqwest::Result<reqwest::Response>>>(
    world: &World,
    logs: &Path,
    secrets: &[&str],
    ask: impl Fn() -> Asked,
) {
    world.emulator.set_outage(Some(Fault::status(503)));
    let tried_and_served = async {
        // Each attempt fails alike.
        while world.exchanges() < 3 {
            assert_eq!(ask().await.expect("an answer").status(), 503);
        }
        world.emulator.set_outage(None);
        while ask().await.expect("an answer").status() != 200 {}
    };
    tokio::time::timeout(Duration::from_secs(60), tried_and_served).await.expect("the endpoint is there again");
    let text = fs::read_to_string(logs).expect("it logged");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [failed, served] = &lines[..] else { panic!("{text}") };
    let told = failed["message"].as_str().expect("text");
    assert!(failed["level"] == "error" && told.starts_with("no token (endpoint-failed): ") && told.contains("503"), "{text}");
    assert_eq!(served["message"], "there is a token again");
    for secret in secrets {
        assert!(!text.contains(secret), "a secret is in {text}");
    }
}

/// What is set with `wrangler secret put`.
const SECRETS: [&str; 3] = ["PRIVATE_KEY", "SEALING_KEY", "GATEWAY_KEY"];

#[tokio::test]
async fn the_folder_of_a_worker_is_deployed_as_it_stands() {
    let world = World::with(options()).await;
    let (place, mut bindings) = worker_folder(&world).await;
    let workshop = workshop_async().await;
    let (caller, logs) = (place.path().join("caller"), place.path().join("logs"));
    workshop.bundle(&workshop.program("caller.mjs"), &WORKERS, &caller).unwrap_or_else(|missing| panic!("{missing}"));
    let jwks = fs::read_to_string(place.path().join("keys/jwks.json")).expect("the public half");
    let jwks: Value = serde_json::from_str(&jwks).expect("JSON");
    let mut resources = world.emulator.resources();
    let organization = &mut resources.organizations[0];
    organization.federation_issuers[0].issuer_url = "https://wif-worker.example".to_owned();
    organization.federation_issuers[0].jwks = Jwks::Inline { keys: jwks["keys"].as_array().expect("keys").clone() };
    organization.federation_rules[0].matcher.subject_prefix = Some("wif-worker".to_owned());
    world.emulator.set_resources(resources).expect("they are good");

    // It was deployed before it got its secrets: it says which, and how to set them.
    let started = |bindings: &Value| {
        let mut command = node("workerd.mjs");
        command.arg(
            json!({
                "worker": place.path().join("out"),
                "caller": caller,
                "entry": "index.js",
                "emulator": world.emulator.base_url(),
                "flags": [],
                "kv": true,
                "bindings": bindings,
                "logs": logs,
            })
            .to_string(),
        );
        Program::start(command)
    };
    let mut early = started(&bindings);
    let url = early.next().await["url"].as_str().expect("a URL").to_owned();
    let answer = reqwest::get(url).await.expect("an answer");
    assert_eq!(answer.status(), 500);
    let told = answer.text().await.expect("text");
    for name in SECRETS {
        assert!(told.contains(&format!("{name} is not set: npx wrangler secret put {name} < keys/{name}\n")), "{told}");
    }
    assert!(!told.contains("FEDERATION_RULE_ID"), "it is set: {told}");
    drop(early);

    for name in SECRETS {
        bindings[name] = json!(fs::read_to_string(place.path().join("keys").join(name)).expect("a secret"));
    }
    let mut worker = started(&bindings);
    let url = worker.next().await["url"].as_str().expect("a URL").to_owned();
    let ask = |key: &str| {
        let body =
            json!({ "model": "claude-sonnet-5-5", "max_tokens": 64, "messages": [{ "role": "user", "content": "Hello" }] });
        let request = reqwest::Client::new().post(format!("{url}/v1/messages")).header("x-api-key", key);
        request.header("anthropic-version", "2023-06-01").header("content-type", "application/json").body(body.to_string()).send()
    };
    let key = bindings["GATEWAY_KEY"].as_str().expect("text").trim();
    let secrets: Vec<&str> = SECRETS.iter().map(|name| bindings[name].as_str().expect("text").trim()).collect();
    no_token_is_logged_once(&world, &logs, &secrets, || ask(key)).await;
    for _ in 0..2 {
        let answer = ask(key).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{:?}", world.emulator.history());
        let text = answer.text().await.expect("text");
        assert!(text.contains("Hello from"), "{text}");
    }
    assert_eq!(world.emulator.exchanges_granted(), 1);
    assert_eq!(ask("another").await.expect("an answer").status(), 401);
}

/// Who copies a snippet gets no warning about its model on the first day.
#[tokio::test]
async fn snippets_name_models_that_the_sdk_knows_and_does_not_warn_of() {
    let resources = workshop_async().await.packages().join("@anthropic-ai/sdk/resources/messages");
    let read = |name: &str| fs::read_to_string(resources.join(name)).expect("a file of the SDK");
    let (types, code) = (read("messages.d.ts"), read("messages.js"));
    let known = types.split("export type Model = ").nth(1).expect("the models").lines().next().expect("a line");
    let deprecated = code.split("DEPRECATED_MODELS = {").nth(1).expect("the list").split('}').next().expect("its end");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut named = 0;
    let mut folders = vec![root.join("host/js/examples"), root.join("host/rust/examples"), root.join("host/js/worker")];
    let mut files = vec![root.join("README.md"), root.join("host/js/README.md")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    for file in files {
        let text = fs::read_to_string(&file).expect("text");
        for model in text.split('"').filter(|quoted| quoted.starts_with("claude-")) {
            named += 1;
            assert!(known.contains(&format!("'{model}'")), "{}: the SDK does not know {model}", file.display());
            assert!(!deprecated.contains(&format!("'{model}'")), "{}: {model} is deprecated", file.display());
        }
    }
    assert!(named >= 8, "only {named} models were found");
}

/// Without `nodejs_compat`: the package needs nothing of Node. E11: who may use the credential is checked.
#[tokio::test]
async fn a_worker_whose_credential_is_in_a_durable_object() {
    let world = World::with(options()).await;
    let folder = tempfile::tempdir().expect("a directory");
    let options = json!({
        "bindings": { "GATEWAY_KEY": "the gateway's own" },
        "flags": [],
        "object": true,
        "kv": true,
        "entries": { "identity-token": world.file.current().expose() },
        "persist": folder.path().join("storage"),
    });
    let (_worker, url) = worker(&world, "worker-shared.mjs", options, folder.path()).await;
    let client = reqwest::Client::new();
    let get = |path: &str| client.get(format!("{url}{path}")).header("anthropic-version", "2023-06-01");
    for _ in 0..3 {
        let answer = get("/v1/models?limit=1").header("x-api-key", "the gateway's own").send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{:?}", world.emulator.history());
        let models: Value = answer.json().await.expect("JSON");
        assert_eq!(models["data"].as_array().map(Vec::len), Some(1), "the query is the caller's: {models}");
    }
    assert_eq!((world.exchanges(), world.reused()), (1, 0));
    let seen = world.emulator.history().len();
    for (path, key, expected) in [
        ("/v1/models", None, 401),
        ("/v1/models", Some("another"), 401),
        ("/v1/organizations", Some("the gateway's own"), 404),
        ("/v1/messages/../organizations", Some("the gateway's own"), 404),
    ] {
        let request = key.into_iter().fold(get(path), |request, key| request.header("x-api-key", key));
        assert_eq!(request.send().await.expect("an answer").status(), expected, "{path} {key:?}");
    }
    assert_eq!(world.emulator.history().len(), seen, "it is no open relay");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_function() {
    let world = World::with(options()).await;
    let workshop = workshop_async().await;
    let folder = tempfile::tempdir().expect("a directory");
    let bundled = workshop.bundle(&workshop.program("edge-example.mjs"), &EDGE, folder.path());
    bundled.unwrap_or_else(|missing| panic!("{missing}"));
    let emulated = world.emulator.options();
    let environment = json!({
        "ANTHROPIC_FEDERATION_RULE_ID": emulated.federation_rule_id,
        "ANTHROPIC_ORGANIZATION_ID": emulated.organization_id,
    });
    let globals = json!({ "PRELUDE": prelude(&world), "process": { "env": environment } });
    let mut program = node("edge.mjs");
    program.arg(folder.path()).arg("edge-example.mjs").arg(globals.to_string());
    let answer = tokio::task::spawn_blocking(move || printed(&mut program)).await.expect("no panic").remove(0);
    assert_eq!(answer["status"], 200, "{answer}");
    assert_eq!(world.exchanges(), 1);
}
