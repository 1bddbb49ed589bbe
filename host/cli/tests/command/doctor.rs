//! What `wif doctor` says of set-ups that are broken on purpose.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use wif_emulator::{Emulator, IdentityProvider, IdentityToken, Options};

use crate::place::{Run, bare};

const ISSUER: &str = "https://token.issuer.example";
const SUBJECT: &str = "repo:acme/app:ref:refs/heads/main";
const RULE: &str = "fdrl_01AcmeAppRule";
const ORGANIZATION: &str = "8c832564-10af-440b-9e6d-ae77de2768b0";
const WORKSPACE: &str = "wrkspc_01Team";

/// A set-up in which everything is right, to be broken in one place.
struct SetUp {
    token: String,
    rule: Value,
    issuer: Value,
    account: Value,
    variables: Vec<(&'static str, String)>,
    /// The token is where the variables say, and not handed over.
    configured: bool,
    arguments: Vec<&'static str>,
}

impl SetUp {
    fn good(provider: &IdentityProvider) -> Self {
        Self {
            token: token(provider, |token| token),
            rule: json!({
                "id": RULE,
                "match": { "subject_prefix": "repo:acme/app:*", "claims": { "repository": "acme/app" } },
                "target": { "type": "service_account", "service_account_id": "svac_01App" },
                "workspace_ids": [WORKSPACE],
            }),
            issuer: json!({ "issuer_url": ISSUER, "jwks": { "type": "inline", "keys": provider.jwks()["keys"] } }),
            account: json!({ "id": "svac_01App", "workspace_ids": [WORKSPACE] }),
            variables: vec![
                ("ANTHROPIC_FEDERATION_RULE_ID", RULE.to_owned()),
                ("ANTHROPIC_ORGANIZATION_ID", ORGANIZATION.to_owned()),
                ("ANTHROPIC_SERVICE_ACCOUNT_ID", "svac_01App".to_owned()),
                ("ANTHROPIC_WORKSPACE_ID", WORKSPACE.to_owned()),
            ],
            configured: true,
            arguments: Vec::new(),
        }
    }

    async fn run(self, extra: &[&str]) -> Run {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
        std::fs::write(path("token"), &self.token).expect("it is written");
        let settings = json!({ "rule": self.rule, "issuer": self.issuer, "service_account": self.account });
        std::fs::write(path("settings.json"), settings.to_string()).expect("it is written");
        let mut command = bare(directory.path());
        command.env_remove("WIF_LOG").args(["doctor", "--rule", &path("settings.json")]).args(extra).args(&self.arguments);
        command.envs(self.variables);
        match self.configured {
            true => command.env("ANTHROPIC_IDENTITY_TOKEN_FILE", path("token")),
            false => command.args(["--token", &path("token")]),
        };
        Run::of(command).await
    }
}

type Builder<'a> = wif_emulator::TokenBuilder<'a>;

fn token(provider: &IdentityProvider, change: impl FnOnce(Builder<'_>) -> Builder<'_>) -> String {
    let token = provider.token().issuer(ISSUER).subject(SUBJECT).claim("repository", "acme/app").claim("run", 7);
    let signed: IdentityToken = change(token).sign();
    signed.expose().to_owned()
}

fn now() -> SystemTime {
    // The one thing in these tests that has to be of today.
    UNIX_EPOCH + Duration::from_millis(wif::Clock::now(&wif::SystemClock::default()).wall_ms)
}

/// A token with another header, which no provider here would make. Its signature is not good.
fn with_header(token: &str, header: &Value) -> String {
    use base64::Engine as _;
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header.to_string());
    let (_, rest) = token.split_once('.').expect("a JWT");
    format!("{header}.{rest}")
}

type Break = Box<dyn Fn(&mut SetUp, &IdentityProvider) + Send>;

/// Each: what is broken, how, and the codes of all findings in their order.
fn broken() -> Vec<(&'static str, Break, &'static str)> {
    fn case(
        name: &'static str,
        code: &'static str,
        change: impl Fn(&mut SetUp, &IdentityProvider) + Send + 'static,
    ) -> (&'static str, Break, &'static str) {
        (name, Box::new(change), code)
    }
    let with =
        |change: fn(Builder<'_>) -> Builder<'_>| move |set_up: &mut SetUp, p: &IdentityProvider| set_up.token = token(p, change);
    let rule = |path: &'static str, value: Value| {
        move |set_up: &mut SetUp, _: &IdentityProvider| *set_up.rule.pointer_mut(path).expect("a place") = value.clone()
    };
    let text = |change: fn(&str) -> String| move |set_up: &mut SetUp, _: &IdentityProvider| set_up.token = change(&set_up.token);
    let variable = |name: &'static str, value: &'static str| {
        move |set_up: &mut SetUp, _: &IdentityProvider| {
            set_up.variables.retain(|(known, _)| *known != name);
            set_up.variables.extend((!value.is_empty()).then(|| (name, value.to_owned())));
        }
    };
    vec![
        // What is no token.
        case("quotes around it", "assertion_malformed", text(|token| format!("\"{token}\""))),
        case("Bearer before it", "assertion_malformed", text(|token| format!("Bearer {token}"))),
        case("a JSON document", "assertion_malformed", text(|token| format!("{{\"token\":\"{token}\"}}"))),
        case("wrapped lines", "assertion_malformed", text(|token| format!("{}\n{}", &token[..64], &token[64..]))),
        case("an API key", "assertion_malformed", text(|_| "sk-ant-api03-abc".to_owned())),
        case("cut off", "assertion_malformed", text(|token| token[..token.len() / 2].replace('.', ""))),
        case("too large", "assertion_too_large", with(|token| token.claim("groups", "g".repeat(20_000)))),
        case("no file", "identity_token_missing", text(|_| String::new())),
        // How it is signed.
        case("a shared secret", "algorithm_refused", text(|token| with_header(token, &json!({ "alg": "HS256", "kid": "k" })))),
        case("not signed", "algorithm_refused", text(|token| with_header(token, &json!({ "alg": "none", "kid": "k" })))),
        case("EdDSA", "algorithm_refused", text(|token| with_header(token, &json!({ "alg": "EdDSA", "kid": "k" })))),
        case("no kid", "key_id_missing", with(|token| token.without_key_id())),
        case("a key that the issuer has rotated", "key_unknown", with(|token| token.key_id("of-yesterday"))),
        case("changed after signing", "signature_invalid", |set_up, p| {
            let other = token(p, |token| token.claim("run", 8));
            let (head, _) = set_up.token.rsplit_once('.').expect("a JWT");
            set_up.token = format!("{head}.{}", other.rsplit_once('.').expect("a JWT").1);
        }),
        // Whose it is.
        case("a slash at the issuer's end", "issuer_mismatch", with(|token| token.issuer("https://token.issuer.example/"))),
        case("http in place of https", "issuer_mismatch", with(|token| token.issuer("http://token.issuer.example"))),
        case("upper case", "issuer_mismatch", with(|token| token.issuer("https://Token.issuer.example"))),
        case("another realm", "issuer_mismatch", with(|token| token.issuer("https://token.issuer.example/realms/a"))),
        case("Entra's older version", "issuer_mismatch", |set_up, p| {
            set_up.token = token(p, |token| token.issuer("https://sts.windows.net/7b6a/"));
            set_up.issuer["issuer_url"] = json!("https://login.microsoftonline.com/7b6a/v2.0");
        }),
        case("no issuer", "claim_missing", with(|token| token.without_claim("iss"))),
        case("the token of IRSA", "audience_mismatch", with(|token| token.audiences(&["sts.amazonaws.com"]))),
        case("the audience of AKS", "audience_mismatch", with(|token| token.audiences(&["api://AzureADTokenExchange"]))),
        case("a slash after the audience", "audience_mismatch", with(|token| token.audiences(&["https://api.anthropic.com/"]))),
        case("no audience, as Cognito", "audience_mismatch", with(|token| token.without_claim("aud"))),
        case("the rule has an audience of its own", "audience_mismatch", |set_up, _| {
            set_up.rule["match"]["audience"] = json!("https://acme.example");
        }),
        case("no subject", "claim_missing match_subject_prefix", with(|token| token.without_claim("sub"))),
        // When it is good.
        case("expired", "jwt_expired", |set_up, p| {
            set_up.token = token(p, |token| token.valid(now() - Duration::from_secs(7200), 3600));
        }),
        case("a clock that is ahead", "jwt_issued_in_future jwt_not_yet_valid", |set_up, p| {
            set_up.token = token(p, |token| token.valid(now() + Duration::from_secs(600), 3600));
        }),
        case("valid later", "jwt_not_yet_valid", |set_up, p| {
            let later = (now() + Duration::from_secs(900)).duration_since(UNIX_EPOCH).expect("later").as_secs();
            set_up.token = token(p, |token| token.claim("nbf", later));
        }),
        case("no expiry", "claim_missing", with(|token| token.without_claim("exp"))),
        case("a time as text", "claim_malformed", with(|token| token.claim("exp", "2026-11-29T00:00:00Z"))),
        case("a day long", "jwt_lifetime_too_long rotation", with(|token| token.lifetime(86_400))),
        // What the rule wants.
        case(
            "GitHub's newer subject",
            "match_subject_prefix",
            with(|token| token.subject("repo:acme@17/app@42:ref:refs/heads/main")),
        ),
        case("a job with an environment", "match_subject_prefix", |set_up, p| {
            set_up.rule["match"]["subject_prefix"] = json!(SUBJECT);
            set_up.token = token(p, |token| token.subject("repo:acme/app:environment:production"));
        }),
        case("no star", "match_subject_prefix", rule("/match/subject_prefix", json!("repo:acme/app:"))),
        case(
            "a star in the middle",
            "match_subject_prefix",
            rule("/match/subject_prefix", json!("repo:*/app:ref:refs/heads/main")),
        ),
        case("upper case in the subject", "match_subject_prefix", rule("/match/subject_prefix", json!("repo:Acme/app:*"))),
        case("another namespace", "match_subject_prefix", |set_up, p| {
            set_up.rule["match"]["subject_prefix"] = json!("system:serviceaccount:prod:app");
            set_up.token = token(p, |token| token.subject("system:serviceaccount:staging:app"));
        }),
        case("another claim", "match_claims", rule("/match/claims", json!({ "repository": "acme/other" }))),
        case("a number for a claim", "match_claims", rule("/match/claims", json!({ "run": "7" }))),
        case("a claim that is not there", "match_claims", rule("/match/claims", json!({ "environment": "production" }))),
        case("a condition that is false", "match_condition", |set_up, _| {
            set_up.rule["match"]["condition"] = json!("claims.repository == 'acme/other'");
        }),
        case("a condition on a claim that is not there", "match_condition", |set_up, _| {
            set_up.rule["match"]["condition"] = json!("claims.environment == 'production'");
        }),
        case("a condition that is no CEL", "rule_invalid", |set_up, _| {
            set_up.rule["match"]["condition"] = json!("claims.repository = 'acme/app'");
        }),
        case("a rule that matches everybody at GitHub", "rule_invalid", |set_up, p| {
            let github = "https://token.actions.githubusercontent.com";
            set_up.token = token(p, |token| token.issuer("https://token.actions.githubusercontent.com"));
            set_up.issuer["issuer_url"] = json!(github);
            set_up.rule["match"] = json!({ "subject_prefix": "repo:*" });
        }),
        // Where it leads.
        case("several workspaces, and none is named", "workspace_id_required", move |set_up, p| {
            set_up.rule["workspace_ids"] = json!([WORKSPACE, "wrkspc_01Other"]);
            variable("ANTHROPIC_WORKSPACE_ID", "")(set_up, p);
        }),
        case("another workspace", "workspace_not_accessible", variable("ANTHROPIC_WORKSPACE_ID", "wrkspc_01Other")),
        case("not a member", "workspace_not_accessible", |set_up, _| set_up.account["workspace_ids"] = json!([])),
        case("the default one is not enabled", "workspace_not_accessible", variable("ANTHROPIC_WORKSPACE_ID", "default")),
        case("the default one, and none is named", "default_workspace", move |set_up, p| {
            set_up.rule["workspace_ids"] = json!(["default"]);
            variable("ANTHROPIC_WORKSPACE_ID", "")(set_up, p);
        }),
        case("another service account", "service_account_not_found", variable("ANTHROPIC_SERVICE_ACCOUNT_ID", "svac_01Other")),
        case("an account that is archived", "service_account_archived", |set_up, _| set_up.account["archived"] = json!(true)),
        case("another rule", "rule_not_found", variable("ANTHROPIC_FEDERATION_RULE_ID", "fdrl_01Other")),
        case("an archived rule", "rule_archived", |set_up, _| set_up.rule["archived"] = json!(true)),
        case("an archived issuer", "issuer_archived", |set_up, _| set_up.issuer["archived"] = json!(true)),
        case("a placeholder", "configuration", variable("ANTHROPIC_ORGANIZATION_ID", "<your-org-id>")),
        case("half a federation", "configuration", variable("ANTHROPIC_ORGANIZATION_ID", "")),
        case("a forgotten key", "static_credential", variable("ANTHROPIC_API_KEY", "sk-ant-api03-x")),
        // What goes wrong later.
        case("it rotates after the access token ends", "rotation", |set_up, _| {
            set_up.rule["token_lifetime_seconds"] = json!(600)
        }),
        case("a variable that nobody replaces", "never_rotates", move |set_up, p| {
            variable("ANTHROPIC_IDENTITY_TOKEN", "")(set_up, p);
            set_up.variables.push(("ANTHROPIC_IDENTITY_TOKEN", set_up.token.clone()));
            // The file goes before the variable: it is handed over as nothing.
            set_up.configured = false;
            set_up.arguments = vec!["--as-configured"];
        }),
        case("a client secret one hop up", "static_secret", with(|token| token.claim("azpacr", "1"))),
        case("a cloud key that does not end", "static_secret", variable("AWS_SECRET_ACCESS_KEY", "x")),
        case("refused, and nothing to be seen", "jti_reused service_account_not_found rule_not_found", |set_up, _| {
            set_up.arguments = vec!["--refused"]
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_that_is_right_has_no_finding() {
    let emulator = Emulator::start(Options::default()).await.expect("the emulator starts");
    let run = SetUp::good(emulator.identity_provider()).run(&["--json"]).await;
    let document = run.json();
    assert_eq!((run.code, &document["findings"]), (0, &json!([])), "{} {}", run.stdout, run.stderr);
    let passed = document["passed"].to_string();
    for check in [
        "form",
        "alg",
        "kid",
        "signature",
        "iss",
        "sub",
        "aud",
        "exp",
        "nbf",
        "iat",
        "lifetime",
        "match.subject_prefix",
        "workspace",
        "jti",
    ] {
        assert!(passed.contains(&format!("\"{check}\"")), "{check} in {passed}");
    }
}

/// The codes of a report in their order, each with its certainty.
fn codes(document: &Value) -> Vec<(&str, &str)> {
    fn text<'a>(finding: &'a Value, name: &str) -> &'a str {
        finding[name].as_str().expect("a text")
    }
    let findings = document["findings"].as_array().expect("findings").iter();
    findings.map(|finding| (text(finding, "code"), text(finding, "certainty"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_set_up_has_its_findings_in_their_order_and_no_token_is_shown() {
    let emulator = Emulator::start(Options::default()).await.expect("the emulator starts");
    let provider = emulator.identity_provider();
    let cases = broken();
    assert!(cases.len() >= 40, "{}", cases.len());
    let mut wrong = Vec::new();
    let at_once = 3;
    let mut cases = cases.into_iter().peekable();
    while cases.peek().is_some() {
        let mut running = Vec::new();
        for (name, change, expected) in cases.by_ref().take(at_once) {
            let mut set_up = SetUp::good(provider);
            change(&mut set_up, provider);
            if set_up.arguments == ["--as-configured"] {
                set_up.arguments.clear();
                running.push((name, expected, set_up.token.clone(), tokio::spawn(without_a_file(set_up))));
                continue;
            }
            let extra: &[&str] = &["--json"];
            running.push((name, expected, set_up.token.clone(), tokio::spawn(set_up.run(extra))));
        }
        for (name, expected, token, run) in running {
            let run = run.await.expect("it runs");
            let document = run.json();
            let codes = codes(&document);
            let found: Vec<&str> = codes.iter().map(|(code, _)| *code).collect();
            if found.join(" ") != expected {
                wrong.push(format!("{name}: {:?}, and not {expected:?}", found.join(" ")));
            }
            let signature = token.rsplit_once('.').map_or(token.as_str(), |(_, signature)| signature);
            if signature.len() > 20 && (run.stdout.contains(signature) || run.stderr.contains(signature)) {
                wrong.push(format!("{name}: the token is shown"));
            }
            let fails = codes.iter().any(|(_, certainty)| matches!(*certainty, "refused" | "likely"));
            if run.code != if fails { 5 } else { 0 } {
                wrong.push(format!("{name}: exit {}", run.code));
            }
            let told = |finding: &Value| finding["change"].as_str().is_some_and(|change| !change.is_empty());
            if !document["findings"].as_array().expect("findings").iter().all(told) {
                wrong.push(format!("{name}: a finding without a change: {document}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The identity token is in a variable.
async fn without_a_file(set_up: SetUp) -> Run {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = bare(directory.path());
    command.args(["doctor", "--json"]).envs(set_up.variables);
    Run::of(command).await
}

/// What was expected and what was found are values, and the screen has both.
#[tokio::test(flavor = "multi_thread")]
async fn a_finding_has_what_was_expected_and_found() {
    let emulator = Emulator::start(Options::default()).await.expect("the emulator starts");
    let provider = emulator.identity_provider();
    let subject = "repo:acme@17/app@42:ref:refs/heads/main";
    let set_up = || SetUp { token: token(provider, |token| token.subject(subject)), ..SetUp::good(provider) };
    let run = set_up().run(&["--json"]).await;
    let document = run.json();
    assert_eq!((run.code, codes(&document)), (5, vec![("match_subject_prefix", "refused")]), "{document}");
    let finding = &document["findings"][0];
    assert_eq!((&finding["expected"], &finding["found"]), (&json!("repo:acme/app:*"), &json!(subject)));
    let screen = set_up().run(&[]).await.stdout;
    let lines: Vec<&str> = screen.lines().collect();
    assert!(lines[0].starts_with("1. match_subject_prefix (refused): "), "{screen}");
    for said in ["   expected  repo:acme/app:*", &format!("   found     {subject}")] {
        assert!(lines.contains(&said), "{said}: {screen}");
    }
}

/// What the user hands over may be the wrong file, with a secret in it.
#[tokio::test(flavor = "multi_thread")]
async fn no_error_shows_what_stands_in_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    let canary = "canary-sk-ant-api03-secret";
    for (option, name, content) in [
        ("--rule", "text", "CANARY and more"),
        ("--rule", "key.pem", "-----BEGIN PRIVATE KEY-----\nCANARY\n"),
        ("--rule", "rule.toml", "subject_prefix = \"CANARY\nx = 1\n"),
        ("--rule", "rule.toml", "subject_prefix = CANARY\n"),
        ("--rule", "rule.toml", "match = \"CANARY\"\n"),
        ("--rule", "rule.toml", "[match]\nclaims = \"CANARY\"\n"),
        ("--rule", "rule.json", "{\"match\": \"CANARY\"}"),
        ("--rule", "rule.json", "{\"match\": CANARY}"),
        ("--rule", "rule.json", "[\"CANARY\"]"),
        ("--rule", "rule.json", "\"CANARY\""),
        ("--rule", "rule.json", "{\"match\": {\"subject_prefix\": [\"CANARY\"]}}"),
        ("--rule", "rule.json", "{\"match\": {\"claims\": {\"a\": {\"b\": \"CANARY\"}}}}"),
        ("--rule", "rule.json", "{\"match\": {\"CANARY\": 1}}"),
        ("--rule", "rule.json", "{\"match\": {}, \"token_lifetime_seconds\": \"CANARY\"}"),
        ("--rule", "rule.json", "{\"match\": {}, \"target\": {\"type\": \"CANARY\"}}"),
        ("--rule", "rule.json", "{\"match\": {}, \"workspace_ids\": \"CANARY\"}"),
        ("--rule", "rule.json", "{\"rule\": {\"match\": {}}, \"service_account\": {\"organization_role\": \"CANARY\"}}"),
        ("--rule", "rule.json", "{\"organizations\": \"CANARY\"}"),
        ("--rule", "rule.json", "{\"organizations\": [{\"id\": [\"CANARY\"]}]}"),
        ("--rule", "rule.json", "{\"organizations\": [], \"CANARY\": 1}"),
        ("--issuer", "issuer.json", "{\"jwks\": \"CANARY\"}"),
        ("--issuer", "issuer.json", "{\"jwks\": {\"type\": \"CANARY\"}}"),
        ("--issuer", "issuer.json", "{\"max_jwt_lifetime_seconds\": \"CANARY\"}"),
        ("--issuer", "issuer.toml", "issuer_url = [\"CANARY\"]"),
    ] {
        std::fs::write(path(name), content.replace("CANARY", canary)).expect("it is written");
        std::fs::write(path("token"), TOKEN_OF_NOBODY).expect("it is written");
        let mut command = bare(directory.path());
        command.args(["doctor", "--token", &path("token"), option, &path(name)]);
        let run = Run::of(command).await;
        assert_eq!(run.code, 3, "{content}: {} {}", run.stdout, run.stderr);
        assert!(!run.stderr.contains("canary") && !run.stdout.contains("canary"), "{content}: {}", run.stderr);
        if option == "--rule" && content.contains("organizations") {
            let mut command = bare(directory.path());
            command.args(["emulate", "--resources", &path(name), "--", "true"]);
            let run = Run::of(command).await;
            assert_eq!(run.code, 3, "{content}: {}", run.stderr);
            assert!(!run.stderr.contains("canary"), "{content}: {}", run.stderr);
        }
    }
    for content in [canary, "{\"token\": \"canary\"}", "canary.canary.canary", "{canary"] {
        std::fs::write(path("token"), content).expect("it is written");
        let mut command = bare(directory.path());
        command.args(["doctor", "--token", &path("token")]);
        let run = Run::of(command).await;
        assert_eq!(run.code, 5, "{content}: {} {}", run.stdout, run.stderr);
        assert!(!run.stderr.contains("canary") && !run.stdout.contains("canary"), "{content}: {} {}", run.stdout, run.stderr);
    }
}

/// A JWT as to its form.
const TOKEN_OF_NOBODY: &str =
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoicyJ9.c2lnbmF0dXJl";

#[tokio::test(flavor = "multi_thread")]
async fn a_match_block_in_toml_and_a_token_from_standard_input_are_enough() {
    let emulator = Emulator::start(Options::default()).await.expect("the emulator starts");
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    std::fs::write(path("rule.toml"), "subject_prefix = \"repo:acme/app:*\"\n[claims]\nrepository = \"acme/other\"\n")
        .expect("it is written");
    std::fs::write(path("token"), token(emulator.identity_provider(), |token| token)).expect("it is written");
    let mut command = bare(directory.path());
    command.args(["doctor", "--json", "--token", "-", "--rule", &path("rule.toml")]);
    command.stdin(std::fs::File::open(path("token")).expect("it opens"));
    let run = Run::of(command).await;
    let document = run.json();
    assert_eq!(run.code, 5, "{} {}", run.stdout, run.stderr);
    assert_eq!(document["findings"][0]["code"], "match_claims");
    assert_eq!(
        (&document["findings"][0]["expected"], &document["findings"][0]["found"]),
        (&json!("acme/other"), &json!("acme/app"))
    );
    let unseen = document["not_looked_at"].to_string();
    assert!(unseen.contains("--online") && unseen.contains("--issuer"), "{unseen}");
}

/// Nothing is asked without leave; with it the keys are, and never with the token.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_when_that_is_allowed_and_not_before() {
    let emulator = Emulator::start(Options::default()).await.expect("the emulator starts");
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("a path").to_owned();
    let run = async |token: &IdentityToken, arguments: &[&str]| {
        std::fs::write(path("token"), token.expose()).expect("it is written");
        let mut command = bare(directory.path());
        command.args(["doctor", "--json", "--token", &path("token")]).args(arguments);
        Run::of(command).await.json()
    };
    let provider = emulator.identity_provider();
    let good = run(&provider.mint(), &["--online"]).await;
    assert!(good["passed"].to_string().contains("signature"), "{good}");
    let unknown = provider.token().key_id("elsewhere").sign();
    let offline = run(&unknown, &[]).await;
    assert_eq!(offline["findings"], json!([]), "{offline}");
    let online = run(&unknown, &["--online"]).await;
    assert_eq!(online["findings"][0]["code"], "key_unknown", "{online}");
    emulator.shutdown().await;
    let down = run(&unknown, &["--online"]).await;
    assert_eq!(down["findings"][0]["code"], "jwks_unavailable", "{down}");
}

/// The keys' server learns that somebody wants its keys, and nothing of the token or of who asks.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_without_the_identity_token() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let emulator = Emulator::start(Options::default()).await.expect("the emulator starts");
    let provider = emulator.identity_provider();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let issuer = format!("http://{}", listener.local_addr().expect("an address"));
    let seen = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    let (log, keys, url) = (std::sync::Arc::clone(&seen), provider.jwks().to_string(), issuer.clone());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 16 * 1024];
            let length = stream.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            log.lock().expect("no panic").push_str(&head);
            let body = match head.starts_with("GET /.well-known/") {
                true => json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string(),
                false => keys.clone(),
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    });
    let token = provider.token().issuer(&issuer).sign();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    std::fs::write(&file, token.expose()).expect("it is written");
    let mut command = bare(directory.path());
    command.args(["doctor", "--json", "--online", "--token"]).arg(&file);
    command.env("ANTHROPIC_FEDERATION_RULE_ID", RULE).env("ANTHROPIC_ORGANIZATION_ID", ORGANIZATION);
    command.env("ANTHROPIC_IDENTITY_TOKEN_FILE", &file);
    let run = Run::of(command).await;
    assert!(run.json()["passed"].to_string().contains("\"signature\""), "{}", run.stdout);
    let seen = seen.lock().expect("no panic").clone();
    assert!(seen.contains("GET /keys ") && !seen.contains("POST "), "{seen}");
    for secret in token.expose().split('.').chain([RULE, ORGANIZATION, "authorization", "cookie"]) {
        assert!(!seen.to_ascii_lowercase().contains(&secret.to_ascii_lowercase()), "{secret} was sent: {seen}");
    }
}
