//! `wif emulate` as a process: what it prints leads a client to it, its switches turn, and rules can be tried.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use wif_emulator::{Emulator, Options, Resources};

const LIMIT: Duration = Duration::from_secs(30);

fn wif(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wif"));
    command.env_clear().env("HOME", home).current_dir(home).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A running emulator, and what it has printed.
struct Running {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    variables: Vec<(String, String)>,
    home: tempfile::TempDir,
}

impl Running {
    async fn start(arguments: &[&str], resources: Option<&Value>) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let mut command = wif(home.path());
        command.args(["emulate", "--port", "0", "--admin-port", "0"]).args(arguments);
        if let Some(resources) = resources {
            std::fs::write(home.path().join("resources.json"), resources.to_string()).expect("it is written");
            command.args(["--resources", "resources.json"]);
        }
        let mut process = command.spawn().expect("the command starts");
        let stdout = process.stdout.take().expect("a pipe");
        let mut running = Self { _process: process, lines: BufReader::new(stdout).lines(), variables: Vec::new(), home };
        loop {
            let line = running.line().await;
            if let Some((name, value)) = line.strip_prefix("export ").and_then(|line| line.split_once('=')) {
                running.variables.push((name.to_owned(), value.to_owned()));
            }
            if line.starts_with("# then") {
                return running;
            }
        }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(LIMIT, self.lines.next_line()).await.expect("a line comes in time");
        line.expect("the pipe is read").expect("the emulator runs")
    }

    fn variable(&self, name: &str) -> &str {
        let found = self.variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).unwrap_or_else(|| panic!("{name} is printed"))
    }

    /// `wif token` with what was printed.
    async fn token(&self) -> (i32, String, String) {
        let mut command = wif(self.home.path());
        command.args(["token", "--timeout", "1"]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        outcome(command).await
    }

    /// A request to the administration API, in as much of HTTP as it needs.
    async fn administer(&self, method: &str, path: &str, body: &str) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let authority = self.variable("WIF_EMULATOR_ADMIN").strip_prefix("http://").expect("plain HTTP");
        let mut socket = tokio::net::TcpStream::connect(authority).await.expect("it listens");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await.expect("it is sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("it answers");
        answer
    }
}

async fn outcome(mut command: Command) -> (i32, String, String) {
    let output = tokio::time::timeout(LIMIT, command.output()).await.expect("it ends in time").expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().expect("no signal"), text(output.stdout), text(output.stderr))
}

fn resources() -> Value {
    let schema: Value = serde_json::from_str(Resources::SCHEMA).expect("JSON");
    schema["examples"][0].clone()
}

#[tokio::test]
async fn what_it_prints_leads_a_client_to_it_and_what_it_is_asked_follows() {
    let mut emulator = Running::start(&[], None).await;
    let (code, stdout, stderr) = emulator.token().await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("sk-ant-oat01-"));
    let line = emulator.line().await;
    assert!(line.starts_with("# exchange granted access token"), "{line}");
    assert!(!line.contains("sk-ant-oat01-"));
    // As in the next run of a program that is being written.
    let (code, stdout, stderr) = emulator.token().await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("sk-ant-oat01-"));
}

/// A file that was written for one run leads to the next: the ids of a trial do not change.
#[tokio::test(flavor = "multi_thread")]
async fn its_ids_are_those_of_the_first_try_in_envoy() {
    let running = Running::start(&[], None).await;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/configurations/try.yaml");
    let text = std::fs::read_to_string(file).expect("the file");
    for (member, variable) in
        [("federation_rule_id", "ANTHROPIC_FEDERATION_RULE_ID"), ("organization_id", "ANTHROPIC_ORGANIZATION_ID")]
    {
        let expected = format!(r#""{member}": "{}""#, running.variable(variable));
        assert!(text.contains(&expected), "{expected} is not in the file");
    }
    assert!(running.variable("ANTHROPIC_IDENTITY_TOKEN_FILE").ends_with("/wif-emulator/token"));
    assert!(text.contains("%FILE_CONTENT(wif-emulator/token:wif-emulator)%"));
}

/// What a second run meets in production.
#[tokio::test]
async fn an_identity_token_may_stay_spent_until_its_time_has_come() {
    let mut emulator = Running::start(&["--rotation", "timed"], None).await;
    assert_eq!(emulator.token().await.0, 0);
    assert!(emulator.line().await.starts_with("# exchange granted"));
    assert_eq!(emulator.token().await.0, 5);
    assert!(emulator.line().await.starts_with("# exchange denied (jti_reused)"));
}

#[tokio::test]
async fn faults_of_the_command_line_strike_until_the_administration_takes_them_down() {
    let mut emulator = Running::start(&["--fault", "overloaded"], None).await;
    assert_eq!(emulator.token().await.0, 4);
    assert!(emulator.line().await.contains("not_processed [status]"));
    let answer = emulator.administer("DELETE", "/faults", "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(emulator.token().await.0, 0);
    let answer = emulator.administer("GET", "/history", "").await;
    assert!(answer.contains("not_processed") && answer.contains("granted"), "{answer}");
    let answer = emulator.administer("POST", "/token-file/rotate", "").await;
    assert!(answer.contains("\"rotated\":1"), "{answer}");
    assert_eq!(emulator.token().await.0, 0);
}

#[tokio::test]
async fn switches_of_the_command_line_hold_from_the_start() {
    let mut emulator = Running::start(&["--require-beta", "no-client-sends-this", "--older-errors"], None).await;
    assert_eq!(emulator.token().await.0, 5);
    assert!(emulator.line().await.contains("(beta_refused)"));
    let emulator = Running::start(&["--clock-skew", "-40", "--algorithm", "ES384"], None).await;
    let (code, _, stderr) = emulator.token().await;
    assert_eq!(code, 5, "{stderr}");
}

#[tokio::test]
async fn identity_tokens_may_live_as_long_as_an_issuer_can_allow() {
    for seconds in ["7200", "176400"] {
        let emulator = Running::start(&["--identity-lifetime", seconds], None).await;
        let (code, _, stderr) = emulator.token().await;
        assert_eq!(code, 0, "{seconds}: {stderr}");
    }
    let home = tempfile::tempdir().expect("a directory");
    let mut command = wif(home.path());
    command.args(["emulate", "--identity-lifetime", "176401"]);
    let (code, _, stderr) = outcome(command).await;
    assert_ne!(code, 0);
    assert!(stderr.contains("--identity-lifetime") && stderr.contains("176400"), "{stderr}");
}

#[tokio::test]
async fn dashes_without_a_command_are_a_usage_error() {
    let home = tempfile::tempdir().expect("a directory");
    for arguments in
        [&["emulate", "--"][..], &["emulate", "--quiet", "--"], &["emulate", "--port", "0", "--admin-port", "0", "--"]]
    {
        let mut command = wif(home.path());
        command.args(arguments);
        let (code, stdout, stderr) = tokio::time::timeout(LIMIT, outcome(command)).await.expect("it ends by itself");
        assert_eq!((code, stdout.as_str()), (2, ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains("COMMAND"), "{arguments:?}: {stderr}");
    }
    assert!(std::fs::read_dir(home.path()).expect("it is there").next().is_none(), "it left a file");
}

#[tokio::test]
async fn a_clock_that_is_too_far_off_is_refused() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = wif(home.path());
    command.args(["emulate", "--port", "0", "--admin-port", "0", "--clock-skew", "-400000000000"]);
    let (code, _, stderr) = outcome(command).await;
    assert_ne!(code, 0);
    assert!(stderr.contains("--clock-skew") && stderr.contains("315360000"), "{stderr}");
}

#[tokio::test]
async fn with_resources_clients_are_led_to_the_rule_of_the_file() {
    let emulator = Running::start(&[], Some(&resources())).await;
    assert_eq!(emulator.variable("ANTHROPIC_FEDERATION_RULE_ID"), "fdrl_01deploy");
    assert_eq!(emulator.variable("ANTHROPIC_WORKSPACE_ID"), "wrkspc_01builds");
    // The condition wants a claim that cannot be told from the rule.
    assert_eq!(emulator.token().await.0, 5);
    let history = emulator.administer("GET", "/history", "").await;
    assert!(history.contains("match_condition"), "{history}");
}

#[tokio::test]
async fn a_bad_document_is_refused_with_its_place() {
    let home = tempfile::tempdir().expect("a directory");
    let mut document = resources();
    document["organizations"][0]["federation_rules"][0]["oauth_scop"] = json!("x");
    std::fs::write(home.path().join("resources.json"), document.to_string()).expect("it is written");
    let mut command = wif(home.path());
    command.args(["emulate", "--resources", "resources.json"]);
    let (code, _, stderr) = outcome(command).await;
    assert_eq!(code, 3);
    assert!(stderr.contains("organizations[0].federation_rules[0].oauth_scop"), "{stderr}");
    assert!(stderr.contains("did you mean `oauth_scope`?"), "{stderr}");

    document["organizations"][0]["federation_rules"][0].as_object_mut().expect("an object").remove("oauth_scop");
    std::fs::write(home.path().join("resources.json"), document.to_string()).expect("it is written");
    let mut command = wif(home.path());
    command.args(["emulate", "--resources", "resources.json", "--rule", "fdrl_01none"]);
    let (code, _, stderr) = outcome(command).await;
    assert_ne!(code, 0);
    assert!(stderr.contains("has no rule fdrl_01none"), "{stderr}");
}

/// Somebody who has a token of their platform and a rule in mind: the keys are those of the platform.
#[tokio::test]
async fn an_identity_token_is_tried_against_a_rule_before_the_rule_is_created() {
    let platform = Emulator::start(Options::default()).await.expect("it starts");
    let provider = platform.identity_provider();
    let home = tempfile::tempdir().expect("a directory");
    let mut document = resources();
    let organization = &mut document["organizations"][0];
    organization["federation_issuers"][0]["issuer_url"] = json!(provider.issuer());
    organization["federation_issuers"][0]["jwks"] = json!({ "type": "discovery" });
    std::fs::write(home.path().join("resources.json"), document.to_string()).expect("it is written");
    let token = |reference: &str| {
        let token = provider.token().subject("repo:example/app:ref:x").claim("repository_owner", "example");
        token.claim("ref", reference).sign()
    };
    let try_out = async |reference: &str| {
        let token = token(reference);
        std::fs::write(home.path().join("identity-token"), format!("{}\n", token.expose())).expect("it is written");
        let mut command = wif(home.path());
        command.args(["emulate", "--resources", "resources.json", "--try", "identity-token"]);
        let (code, stdout, stderr) = outcome(command).await;
        assert!(!stdout.contains(token.expose()) && !stderr.contains(token.expose()));
        (code, stdout, stderr)
    };
    let (code, stdout, stderr) = try_out("refs/heads/main").await;
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("it would be exchanged for 600 s of workspace:inference in wrkspc_01builds"), "{stdout}");
    let (code, stdout, stderr) = try_out("refs/heads/other").await;
    assert_eq!(code, 5);
    assert!(
        stdout.contains("FAIL match.condition (match_condition) - expected: claims.ref ==")
            && stdout.contains("counts as false: No such key: environment"),
        "{stdout}"
    );
    assert!(stdout.contains("pass signature"), "{stdout}");
    assert!(stderr.contains("would be refused: match_condition"), "{stderr}");
}

#[tokio::test]
async fn the_help_names_every_fault_and_the_schema_is_printed() {
    let home = tempfile::tempdir().expect("a directory");
    let mut command = wif(home.path());
    command.args(["emulate", "--help"]);
    let (code, help, _) = outcome(command).await;
    assert_eq!(code, 0);
    for name in wif_emulator::Fault::NAMES.iter().chain(wif_emulator::ApiFault::NAMES) {
        assert!(help.contains(name), "{name}");
    }
    let mut command = wif(home.path());
    command.args(["emulate", "--print-schema"]);
    let (code, schema, _) = outcome(command).await;
    assert_eq!(code, 0);
    let printed: Value = serde_json::from_str(&schema).expect("JSON");
    assert_eq!(printed, serde_json::from_str::<Value>(Resources::SCHEMA).expect("JSON"));
}
