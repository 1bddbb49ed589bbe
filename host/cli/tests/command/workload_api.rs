//! The SPIFFE Workload API: the command asks an agent's socket, and so does the client that others wrote, in the same run.

use std::process::Command;
use std::sync::Arc;

use serde_json::{Value, json};
use wif_servers::{SvidMint, WorkloadApi};

use crate::place::Run;
use crate::programs::clients;
use crate::sources::{Platform, SUBJECT};

const OTHER: &str = "spiffe://acme.example/other";
const AUDIENCE: &str = "https://api.anthropic.com";

/// JWT-SVIDs of the emulator's issuer, for whom they are asked.
fn svids(platform: &Platform) -> SvidMint {
    let emulator = Arc::clone(&platform.emulator);
    Arc::new(move |audience, id| {
        let token = emulator.identity_provider().token().subject(id).claim("aud", audience).without_jti();
        token.sign().expose().to_owned()
    })
}

fn agent(platform: &Platform, identities: &[&str]) -> WorkloadApi {
    WorkloadApi::start(&platform.directory.path().join("agent.sock"), identities, svids(platform))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_has_the_svid_that_its_agent_gives() {
    let platform = Platform::new().await;
    let agent = agent(&platform, &[SUBJECT, OTHER]);
    let endpoint = agent.endpoint();
    let variables = [("SPIFFE_ENDPOINT_SOCKET", endpoint.as_str())];
    let token = platform.token(json!({ "source": "spiffe" }), &variables).await;
    platform.gave_a_token(&token, &[]);
    // What the configuration says goes before the variable, in each form.
    let elsewhere = [("SPIFFE_ENDPOINT_SOCKET", "unix:///nowhere/agent.sock")];
    for socket in [endpoint.clone(), endpoint.replace("///", "/"), endpoint.replace("unix://", "")] {
        let token = platform.token(json!({ "source": "spiffe", "socket": socket, "spiffe_id": SUBJECT }), &elsewhere).await;
        platform.gave_a_token(&token, &[]);
    }
    // The rule is for another identity than this one.
    let refused = platform.token(json!({ "source": "spiffe", "spiffe_id": OTHER }), &variables).await;
    assert!(refused.code == 5 && refused.stderr.contains("401"), "{}", refused.stderr);
    let (first, named, other) = (format!("{AUDIENCE}  Ok"), format!("{AUDIENCE} {SUBJECT} Ok"), format!("{AUDIENCE} {OTHER} Ok"));
    let seen = agent.seen();
    assert_eq!((&seen[0], &seen[1], &seen[3], &seen[4]), (&first, &named, &named, &other), "{seen:?}");
    // A command that has an access token has no way to the next.
    let mut exec = platform.command("exec", &json!({ "source": "spiffe" }), &variables);
    exec.args(["--", "env"]);
    let exec = Run::of(exec).await;
    assert!(exec.stdout.contains("ANTHROPIC_AUTH_TOKEN=") && !exec.stdout.contains("agent.sock"), "{}", exec.stdout);
    // Who looks asks nobody.
    let asked = agent.seen().len();
    let status = platform.run("status", &json!({ "source": "spiffe" }), &variables).await;
    assert!(status.code == 0 && status.stdout.contains("spiffe (shared)"), "{} {}", status.stdout, status.stderr);
    assert_eq!(agent.seen().len(), asked);

    let Some((interpreter, program)) = clients().await else { return };
    for (source, subject) in [(json!({}), SUBJECT), (json!({ "spiffe_id": OTHER }), OTHER)] {
        let mut command = Command::new(&interpreter);
        command.arg(&program).arg("spiffe (workload api)").arg(source.to_string()).env("SPIFFE_ENDPOINT_SOCKET", &endpoint);
        let theirs = Run::of(command).await;
        assert_eq!(theirs.code, 0, "{}", theirs.stderr);
        assert_eq!(claims(theirs.stdout.trim())["sub"], subject);
    }
    // The agent is not content with less than the standard wants.
    let without = r#"
import grpc, sys
channel = grpc.insecure_channel(sys.argv[1], [("grpc.default_authority", "localhost")])
call = channel.unary_unary("/SpiffeWorkloadAPI/FetchJWTSVID")
for request, metadata in ((b"\x0a\x01a", ()), (b"\x0a\x01a", (("workload.spiffe.io", "yes"),)), (b"", (("workload.spiffe.io", "true"),))):
    try:
        call(request, metadata=metadata, timeout=10)
    except grpc.RpcError as error:
        print(error.code().name, error.details())
"#;
    let mut command = Command::new(&interpreter);
    command.args(["-c", without, &endpoint]);
    let refused = Run::of(command).await;
    let header = "INVALID_ARGUMENT security header missing from request";
    assert_eq!(
        refused.stdout.trim(),
        format!("{header}\n{header}\nINVALID_ARGUMENT audience must be specified"),
        "{}",
        refused.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_agent_refuses_is_said_with_what_to_do() {
    let platform = Platform::new().await;
    let registered = agent(&platform, &[SUBJECT]);
    let unregistered = WorkloadApi::start(&platform.directory.path().join("other.sock"), &[], svids(&platform));
    let garbage =
        WorkloadApi::start(&platform.directory.path().join("bad.sock"), &[SUBJECT], Arc::new(|_, _| "canary.canary".to_owned()));
    let wrong: SvidMint = {
        let mint = svids(&platform);
        Arc::new(move |_, id| mint("https://other.example", id))
    };
    let wrong = WorkloadApi::start(&platform.directory.path().join("wrong.sock"), &[SUBJECT], wrong);
    let source = |more: Value| {
        let mut source = json!({ "source": "spiffe" });
        more.as_object().into_iter().flatten().for_each(|(name, value)| source[name] = value.clone());
        source
    };
    for (more, said) in [
        (json!({ "socket": unregistered.endpoint() }), "make a registration entry whose selectors match it"),
        (json!({ "socket": registered.endpoint(), "spiffe_id": OTHER }), "issues no identity spiffe://acme.example/other"),
        (json!({ "socket": registered.endpoint(), "spiffe_id": "web" }), "`spiffe_id` of the configuration is no SPIFFE ID"),
        (json!({ "socket": garbage.endpoint() }), "gave something that is no JWT-SVID"),
        (json!({ "socket": wrong.endpoint() }), "is not for the audience https://api.anthropic.com"),
        (json!({ "socket": "unix:///nowhere/agent.sock" }), "nothing answers at /nowhere/agent.sock: check that the agent runs"),
        (json!({ "socket": "tcp://127.0.0.1:8081" }), "is not the absolute path of a Unix socket"),
        (json!({}), "neither `socket` nor SPIFFE_ENDPOINT_SOCKET says where the Workload API is"),
        (json!({ "file": "/run/token", "socket": registered.endpoint() }), "Say `file` or `socket`, not both."),
    ] {
        let run = platform.token(source(more.clone()), &[]).await;
        assert!(run.code != 0 && run.stderr.contains(said), "{more}: {}", run.stderr);
        assert!(!run.stderr.contains("canary") && !run.stderr.contains("denied-by-host"), "{more}: {}", run.stderr);
    }
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    let claims = token.split('.').nth(1).expect("claims");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).expect("base64url")).expect("JSON")
}
