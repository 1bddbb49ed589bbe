//! Identity tokens from platforms: the command beside a stand-in of each.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use wif_emulator::{Emulator, Options};
use wif_servers::cases::{self, Host};
use wif_servers::{Mint, Server};

use crate::place::{Run, bare};

/// A SPIFFE ID, for JWT-SVIDs have no other subject.
pub(crate) const SUBJECT: &str = "spiffe://acme.example/payments/web";

/// An emulator, and what mints its identity tokens for the stand-ins.
pub(crate) struct Platform {
    pub(crate) emulator: Arc<Emulator>,
    pub(crate) directory: tempfile::TempDir,
    audiences: Arc<Mutex<Vec<String>>>,
}

impl Platform {
    pub(crate) async fn new() -> Self {
        // What one of the sources gives has such a subject, and the others may have it.
        let options = Options { subject: SUBJECT.to_owned(), ..Options::default() };
        let emulator = Arc::new(Emulator::start(options).await.expect("the emulator starts"));
        Self { emulator, directory: tempfile::tempdir().expect("a directory"), audiences: Arc::default() }
    }

    pub(crate) fn mint(&self) -> Mint {
        let (emulator, audiences) = (Arc::clone(&self.emulator), Arc::clone(&self.audiences));
        Arc::new(move |audience| {
            audiences.lock().expect("nobody panics").push(audience.to_owned());
            emulator.identity_provider().mint().expose().to_owned()
        })
    }

    fn asked_for(&self) -> Vec<String> {
        self.audiences.lock().expect("nobody panics").clone()
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).expect("it is writable");
        path.to_str().expect("a path").to_owned()
    }

    /// `wif token` with this source, and these variables.
    pub(crate) async fn token(&self, identity_token: Value, variables: &[(&str, &str)]) -> Run {
        self.run("token", &identity_token, variables).await
    }

    pub(crate) async fn run(&self, subcommand: &str, identity_token: &Value, variables: &[(&str, &str)]) -> Run {
        let mut command = self.command(subcommand, identity_token, variables);
        if subcommand == "token" {
            command.args(["--timeout", "20"]);
        }
        Run::of(command).await
    }

    pub(crate) fn command(&self, subcommand: &str, identity_token: &Value, variables: &[(&str, &str)]) -> std::process::Command {
        let options = self.emulator.options();
        let document = json!({
            "base_url": self.emulator.base_url(),
            "federation": {
                "federation_rule_id": options.federation_rule_id,
                "organization_id": options.organization_id,
                "service_account_id": options.service_account_id,
                "identity_token": identity_token,
            },
        });
        let path = self.write("configuration.json", &document.to_string());
        let mut command = bare(self.directory.path());
        command.envs(variables.iter().copied());
        command.args([subcommand, "--configuration", &path, "--allow-origin", self.emulator.base_url()]);
        command
    }

    /// The run gave an access token, with one exchange in all, and its log holds none of these.
    pub(crate) fn gave_a_token(&self, run: &Run, secrets: &[&str]) {
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stdout.starts_with("sk-ant-oat01-"), "{}", run.stdout);
        for secret in secrets {
            assert!(!run.stderr.contains(secret), "the log holds {secret}: {}", run.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_github_actions_has_a_token() {
    let platform = Platform::new().await;
    let server = Server::start(wif_servers::github_actions("canary-request-token", platform.mint())).await;
    let url = format!("{}/token?api-version=2.0", server.url());
    let variables = [("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary-request-token")];
    let run = platform.token(json!({ "source": "github-actions" }), &variables).await;
    platform.gave_a_token(&run, &["canary-request-token"]);
    assert_eq!(platform.asked_for(), ["https://api.anthropic.com"]);
    // The same, found by its variables.
    let run = platform.token(json!({ "source": "auto" }), &variables).await;
    platform.gave_a_token(&run, &["canary-request-token"]);
    assert!(run.stderr.contains("Identity tokens come from GitHub Actions"), "{}", run.stderr);

    let run = platform.token(json!({ "source": "github-actions" }), &[]).await;
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("permissions: id-token: write"), "{}", run.stderr);
}

/// The four ids alone, in a job of CI: nobody has to say where the identity token is.
#[tokio::test(flavor = "multi_thread")]
async fn a_platform_is_found_where_the_variables_lack_the_identity_token_alone() {
    let platform = Platform::new().await;
    let options = platform.emulator.options().clone();
    let server = Server::start(wif_servers::github_actions("canary", platform.mint())).await;
    let url = format!("{}/token?api-version=2.0", server.url());
    let run = async |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = bare(platform.directory.path());
        command.env("ANTHROPIC_BASE_URL", platform.emulator.base_url());
        command.env("ANTHROPIC_FEDERATION_RULE_ID", &options.federation_rule_id);
        command.env("ANTHROPIC_ORGANIZATION_ID", &options.organization_id);
        command.env("ACTIONS_ID_TOKEN_REQUEST_URL", &url).env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary");
        command.envs(variables.iter().copied()).args([arguments[0], "--allow-loopback"]).args(&arguments[1..]);
        Run::of(command).await
    };
    let token = run(&["token"], &[]).await;
    platform.gave_a_token(&token, &["canary"]);
    let why =
        "Identity tokens come from GitHub Actions, for ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN is set";
    assert!(token.stderr.contains(why), "{}", token.stderr);
    // Who looks sees what would be asked, and asks nobody.
    let asked = server.seen().len();
    let status = run(&["status"], &[]).await;
    assert_eq!(status.code, 0, "{}\n{}", status.stdout, status.stderr);
    for said in ["set; the platform is to give the identity token", "ACTIONS_ID_TOKEN_REQUEST_TOKEN (set)"] {
        assert!(status.stdout.contains(said), "{said}: {}", status.stdout);
    }
    assert_eq!(server.seen().len(), asked, "{:?}", server.seen());
    // A command gets the access token, and not what leads to identity tokens.
    let exec = run(&["exec", "--", "env"], &[]).await;
    assert!(exec.stdout.contains("ANTHROPIC_AUTH_TOKEN=") && !exec.stdout.contains("canary"), "{}", exec.stdout);
    // Two platforms are not guessed between.
    let two = run(&["token"], &[("CIRCLE_OIDC_TOKEN_V2", "canary")]).await;
    assert_ne!(two.code, 0);
    for said in ["`github-actions`, by ACTIONS_ID_TOKEN_REQUEST_URL", "`circleci`, by CIRCLE_OIDC_TOKEN_V2", "Name one of them"] {
        assert!(two.stderr.contains(said), "{said}: {}", two.stderr);
    }
    assert!(!two.stderr.contains("canary"), "{}", two.stderr);
    // A token that is named goes before the platform.
    let named = run(&["token"], &[("ANTHROPIC_IDENTITY_TOKEN_FILE", "/nowhere/token")]).await;
    assert!(named.code != 0 && named.stderr.contains("/nowhere/token"), "{}", named.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_source_of_the_table_gives_a_token() {
    let platform = Platform::new().await;
    let mut exchanges = 0;
    for name in cases::all().into_iter().filter(|name| Host::Command.lacks(name).is_none()) {
        let case = cases::start(name, platform.directory.path(), &platform.mint()).await;
        let variables: Vec<(&str, &str)> = case.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut command = platform.command("token", &case.identity_token, &variables);
        command.args(case.executable.into_iter().flat_map(|program| ["--allow-executable", program]));
        let run = Run::of(command).await;
        platform.gave_a_token(&run, &case.secrets);
        exchanges += 1;
        assert_eq!(platform.emulator.counts().exchanges, exchanges, "{name}");
        for server in &case.servers {
            assert!(server.seen().iter().all(|line| line.ends_with(" 200")), "{name}: {:?}", server.seen());
        }
    }
    let others = platform.asked_for().into_iter().filter(|audience| audience != "https://api.anthropic.com");
    assert!(others.eq(["api://app"; 3]), "Azure alone has audiences of its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn aws_says_why_it_refuses_a_signature() {
    let platform = Platform::new().await;
    let sts =
        Server::start(wif_servers::security_token_service("eu-central-1", cases::keys(), "canary-web-identity", platform.mint()))
            .await;
    let sts_url = sts.url();
    let common = [("AWS_REGION", "eu-central-1"), ("AWS_ENDPOINT_URL_STS", sts_url.as_str())];
    let run = platform
        .token(
            json!({ "source": "aws" }),
            &[common[0], common[1], ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "canary-another")],
        )
        .await;
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("AWS answered 403") && run.stderr.contains("sts:GetWebIdentityToken"), "{}", run.stderr);
    assert!(!run.stderr.contains("canary"), "{}", run.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_server_has_a_token_for_a_client() {
    let platform = Platform::new().await;
    for in_body in [false, true] {
        let router = wif_servers::authorization_server("me", "canary-client-secret", in_body, platform.mint());
        let server = Server::start(router).await;
        let mut source = json!({
            "source": "client-credentials", "client_id": "me", "token_url": format!("{}/token", server.url()),
            "client_secret_variable": "SECRET", "scope": "claude",
        });
        if in_body {
            source["secret_in_body"] = json!("yes");
        }
        let run = platform.token(source, &[("SECRET", "canary-client-secret")]).await;
        platform.gave_a_token(&run, &["canary-client-secret"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_asks_its_cluster_for_a_token_and_trusts_its_certificate_only() {
    let platform = Platform::new().await;
    let cluster = wif_servers::api_server("apps", "web", "canary-pod", platform.mint()).await;
    for (name, content) in [("namespace", "apps"), ("token", "canary-pod"), ("ca.crt", &cluster.ca)] {
        platform.write(name, content);
    }
    let directory = platform.directory.path().to_str().expect("a path").to_owned();
    let port = cluster.address.port().to_string();
    let variables = [("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", port.as_str())];
    let source = |account: &str| json!({ "source": "kubernetes", "service_account": account, "directory": directory });
    let run = platform.token(source("web"), &variables).await;
    platform.gave_a_token(&run, &["canary-pod"]);
    let run = platform.token(source("other"), &variables).await;
    assert!(run.stderr.contains("403") && run.stderr.contains("resourceNames"), "{}", run.stderr);
    // Another authority of the same name is not the cluster.
    let another = wif_servers::api_server("apps", "web", "canary-pod", platform.mint()).await;
    platform.write("ca.crt", &another.ca);
    let run = platform.token(source("web"), &variables).await;
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("cannot be reached"), "{}", run.stderr);
}

/// To look is not to ask: a platform would mint a token for nothing, and may count it.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_asks_no_platform() {
    let platform = Platform::new().await;
    let server = Server::start(wif_servers::github_actions("canary", platform.mint())).await;
    let url = format!("{}/token?api-version=2.0", server.url());
    let variables = [("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary")];
    let run = platform.run("status", &json!({ "source": "github-actions" }), &variables).await;
    assert_eq!(run.code, 0, "{}\n{}", run.stdout, run.stderr);
    assert!(run.stdout.contains("github-actions (mints)") && !run.stdout.contains("canary"), "{}", run.stdout);
    assert!(server.seen().is_empty(), "{:?}", server.seen());
    // What can be told without a request is told.
    let run = platform.run("status", &json!({ "source": "github-actions" }), &[]).await;
    assert_ne!(run.code, 0, "{}", run.stdout);
    assert!(run.stdout.contains("permissions: id-token: write"), "{}", run.stdout);
}

/// What the recipe reads leads to identity tokens: whoever has it can have one, and with that another access token.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_does_not_see_what_the_source_reads() {
    let platform = Platform::new().await;
    let server = Server::start(wif_servers::github_actions("canary", platform.mint())).await;
    let url = format!("{}/token?api-version=2.0", server.url());
    let variables = [
        ("ACTIONS_ID_TOKEN_REQUEST_URL", url.as_str()),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary"),
        ("ACTIONS_STEP_DEBUG", "kept"),
    ];
    for source in ["github-actions", "auto"] {
        let run = async |more: &[&str]| {
            let mut command = platform.command("exec", &json!({ "source": source }), &variables);
            command.args(more).args(["--", "env"]);
            let run = Run::of(command).await;
            assert_eq!(run.code, 0, "{source}: {}", run.stderr);
            assert!(
                run.stdout.contains("ANTHROPIC_AUTH_TOKEN=") && run.stdout.contains("ACTIONS_STEP_DEBUG=kept"),
                "{}",
                run.stdout
            );
            run
        };
        let plain = run(&[]).await;
        assert!(
            !plain.stdout.contains("ACTIONS_ID_TOKEN_REQUEST") && !plain.stdout.contains("canary"),
            "{source}: {}",
            plain.stdout
        );
        assert!(plain.stderr.contains("ACTIONS_ID_TOKEN_REQUEST_TOKEN, ACTIONS_ID_TOKEN_REQUEST_URL"), "{}", plain.stderr);
        let kept = run(&["--quiet", "--keep", "ACTIONS_ID_TOKEN_REQUEST_URL"]).await;
        assert!(kept.stdout.contains("ACTIONS_ID_TOKEN_REQUEST_URL=") && !kept.stdout.contains("canary"), "{}", kept.stdout);
        assert!(!kept.stderr.contains("does not have"), "{}", kept.stderr);
    }
    // No platform: nothing more is taken out.
    let mut command = platform.command("exec", &json!({ "source": "literal", "value": platform.mint()("x") }), &variables);
    command.args(["--", "env"]);
    assert!(Run::of(command).await.stdout.contains("ACTIONS_ID_TOKEN_REQUEST_TOKEN=canary"));
}

/// Which variables decide, and whether they are set, is told without asking the platform.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_what_the_source_reads() {
    let platform = Platform::new().await;
    let variables = [("ACTIONS_ID_TOKEN_REQUEST_URL", "https://canary.example")];
    let run = platform.run("status", &json!({ "source": "github-actions" }), &variables).await;
    let line = "reads               ACTIONS_ID_TOKEN_REQUEST_TOKEN (not set), ACTIONS_ID_TOKEN_REQUEST_URL (set)";
    assert!(run.stdout.contains(line) && !run.stdout.contains("canary"), "{}", run.stdout);
}

/// A recipe in the configuration reaches what the policy allows, and no metadata service.
#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_of_ones_own_goes_to_allowed_origins_only() {
    let platform = Platform::new().await;
    let server = Server::start(wif_servers::github_actions("canary", platform.mint())).await;
    let recipe = json!({
        "source": "http",
        "recipe": {
            "name": "aws", "freshness": "minted", "token": "{token}",
            "steps": [{ "request": {
                "method": "GET", "url": format!("{}/token?api-version=2.0", server.url()),
                "headers": { "authorization": "Bearer canary" }, "take": { "token": "/value" }
            } }],
        },
    });
    let refused = platform.token(recipe.clone(), &[]).await;
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("--allow-origin"), "{}", refused.stderr);
    assert!(server.seen().is_empty(), "{:?}", server.seen());
    let loopback = platform.token(recipe, &[("WIF_ALLOW_LOOPBACK", "1")]).await;
    platform.gave_a_token(&loopback, &["canary"]);
}

/// Whatever a variable says, a source's secrets go to no server by plain HTTP but this machine's own.
#[tokio::test(flavor = "multi_thread")]
async fn plain_http_to_another_machine_is_refused() {
    let platform = Platform::new().await;
    for (source, variable, value) in [
        (json!({ "source": "google" }), "GCE_METADATA_HOST", "metadata.example"),
        (json!({ "source": "google" }), "GCE_METADATA_HOST", "10.0.0.1"),
        (json!({ "source": "vault", "role": "r" }), "VAULT_ADDR", "http://vault.example:8200"),
    ] {
        let run = platform.token(source, &[(variable, value), ("VAULT_TOKEN", "canary")]).await;
        assert_ne!(run.code, 0);
        assert!(run.stderr.contains("plain http is for this machine"), "{value}: {}", run.stderr);
    }
}
