//! The documents of the platforms, run against scripted answers: what is asked, in which order, and what comes out.

use wif_recipes::{Answer, Ask, FaultCode, HttpRequest, Moment, Next, Recipe, Run, names, platform};

const NOW: Moment = Moment { wall_ms: 1_790_000_000_000, nonce: 7 };

/// A machine on which a recipe runs.
#[derive(Default)]
struct Machine<'a> {
    given: Vec<(&'a str, &'a str)>,
    variables: Vec<(&'a str, &'a str)>,
    files: Vec<(&'a str, &'a str)>,
    /// By method and the URL without its query.
    answers: Vec<(&'a str, u16, &'a str)>,
}

/// How it ended, and the requests that were sent.
struct End {
    token: Result<String, (FaultCode, String, String)>,
    sent: Vec<HttpRequest>,
}

impl Machine<'_> {
    fn run(&self, name: &str) -> End {
        self.run_recipe(&platform(name).unwrap_or_else(|| panic!("{name} is no platform")))
    }

    fn run_recipe(&self, recipe: &Recipe) -> End {
        let given: Vec<(String, String)> =
            self.given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let find = |list: &[(&str, &str)], name: &str| {
            list.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let mut run = Run::new(recipe, &given);
        let mut sent = Vec::new();
        loop {
            let ask = match run.next(recipe, NOW) {
                Next::Ask(ask) => ask,
                Next::Token(token) => return End { token: Ok(token.to_string()), sent },
                Next::Failed(fault) => return End { token: Err((fault.code, fault.message, fault.action)), sent },
            };
            let content = match &ask {
                Ask::Variable(name) => find(&self.variables, name),
                Ask::File(path) => find(&self.files, path),
                Ask::Sign(_) => Some("c2ln".to_owned()),
                Ask::Request(_) => None,
            };
            let answered = match (&ask, &content) {
                (Ask::Request(request), _) => {
                    let plain = request.url.split('?').next().unwrap_or_default();
                    let asked = format!("{} {plain}", request.method);
                    let (_, status, body) = self
                        .answers
                        .iter()
                        .find(|(known, _, _)| *known == asked)
                        .unwrap_or_else(|| panic!("nobody answers {asked}"));
                    sent.push(request.clone());
                    run.answer(recipe, &Answer::Response { status: *status, body })
                }
                (_, Some(content)) => run.answer(recipe, &Answer::Content(content)),
                (_, None) => run.answer(recipe, &Answer::Absent),
            };
            if let Err(fault) = answered {
                return End { token: Err((fault.code, fault.message, fault.action)), sent };
            }
        }
    }
}

impl End {
    fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_else(|fault| panic!("{fault:?}"))
    }

    fn fault(&self) -> &(FaultCode, String, String) {
        self.token.as_ref().expect_err("there should be no token")
    }
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|header| header.name == name).map(|header| header.value.as_str())
}

#[test]
fn every_document_is_a_recipe_under_its_own_name() {
    let all: Vec<&str> = names().collect();
    assert!(all.len() >= 14, "{all:?}");
    for name in all {
        assert_eq!(platform(name).unwrap_or_else(|| panic!("{name} cannot be read")).name, name);
    }
}

#[test]
fn github_actions_is_asked_for_the_audience() {
    let mut machine = Machine {
        variables: vec![
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://run.actions.example/token?api-version=2.0"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "runner"),
        ],
        answers: vec![("GET https://run.actions.example/token", 200, r#"{"count": 1, "value": "eyJ"}"#)],
        ..Machine::default()
    };
    let end = machine.run("github-actions");
    assert_eq!(end.token(), "eyJ");
    let request = &end.sent[0];
    assert_eq!(request.url, "https://run.actions.example/token?api-version=2.0&audience=https%3A%2F%2Fapi.anthropic.com");
    assert_eq!(request.origin, "https://run.actions.example");
    assert_eq!(header(request, "authorization"), Some("Bearer runner"));
    machine.variables.clear();
    let end = machine.run("github-actions");
    let (code, message, action) = end.fault();
    assert_eq!((code, message.as_str()), (&FaultCode::Missing, "The variable ACTIONS_ID_TOKEN_REQUEST_URL is not there."));
    assert!(action.contains("permissions: id-token: write"), "{action}");
}

#[test]
fn aws_takes_the_first_credentials_that_are_there() {
    const STS: &str = "<R><WebIdentityToken>eyJ</WebIdentityToken></R>";
    const KEYS: &str = r#"{"AccessKeyId": "AKID", "SecretAccessKey": "shh", "Token": "session"}"#;
    let region = ("AWS_REGION", "eu-central-1");
    let sts = ("POST https://sts.eu-central-1.amazonaws.com/", 200, STS);
    let from_variables = Machine {
        variables: vec![region, ("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "shh")],
        answers: vec![sts],
        ..Machine::default()
    };
    let end = from_variables.run("aws");
    assert_eq!((end.token(), end.sent.len()), ("eyJ", 1));
    let signed = header(&end.sent[0], "authorization").unwrap();
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKID/20260921/eu-central-1/sts/aws4_request, "), "{signed}");
    assert!(signed.contains("SignedHeaders=content-type;host;x-amz-date,"), "{signed}");
    assert_eq!(header(&end.sent[0], "x-amz-security-token"), None);

    let on_ecs = Machine {
        variables: vec![region, ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1")],
        answers: vec![("GET http://169.254.170.2/v2/credentials/1", 200, KEYS), sts],
        ..Machine::default()
    };
    let end = on_ecs.run("aws");
    assert_eq!((end.token(), end.sent.len()), ("eyJ", 2));
    assert_eq!(header(&end.sent[1], "x-amz-security-token"), Some("session"));

    let on_eks = Machine {
        variables: vec![
            region,
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/run/eks/token"),
        ],
        files: vec![("/run/eks/token", "pod\n")],
        answers: vec![("GET http://169.254.170.23/v1/credentials", 200, KEYS), sts],
        ..Machine::default()
    };
    let end = on_eks.run("aws");
    assert_eq!(end.token(), "eyJ");
    assert_eq!(header(&end.sent[0], "authorization"), Some("pod"));

    let irsa = Machine {
        variables: vec![region, ("AWS_WEB_IDENTITY_TOKEN_FILE", "/run/irsa"), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r")],
        files: vec![("/run/irsa", "web-identity")],
        answers: vec![(
            "POST https://sts.eu-central-1.amazonaws.com/",
            200,
            "<R><AccessKeyId>AKID</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
             <WebIdentityToken>eyJ</WebIdentityToken></R>",
        )],
        ..Machine::default()
    };
    let end = irsa.run("aws");
    assert_eq!((end.token(), end.sent.len()), ("eyJ", 2));
    assert!(end.sent[0].body.contains("Action=AssumeRoleWithWebIdentity&"), "{}", *end.sent[0].body);
    assert_eq!(header(&end.sent[0], "authorization"), None, "that call is not signed");

    let on_ec2 = Machine {
        variables: vec![region],
        answers: vec![
            ("PUT http://169.254.169.254/latest/api/token", 200, "imds"),
            ("GET http://169.254.169.254/latest/meta-data/iam/security-credentials/", 200, "role-1"),
            ("GET http://169.254.169.254/latest/meta-data/iam/security-credentials/role-1", 200, KEYS),
            sts,
        ],
        ..Machine::default()
    };
    let end = on_ec2.run("aws");
    assert_eq!((end.token(), end.sent.len()), ("eyJ", 4));
    assert_eq!(header(&end.sent[2], "x-aws-ec2-metadata-token"), Some("imds"));
    let nowhere = Machine::default();
    assert!(nowhere.run("aws").fault().2.contains("AWS_REGION"));
}

#[test]
fn azure_asks_the_app_service_and_else_the_machine() {
    let resource = ("resource", "api://app");
    let on_app_service = Machine {
        given: vec![resource],
        variables: vec![("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token"), ("IDENTITY_HEADER", "proof")],
        answers: vec![("GET http://127.0.0.1:41741/msi/token", 200, r#"{"access_token": "eyJ", "expires_on": "1"}"#)],
        ..Machine::default()
    };
    let end = on_app_service.run("azure");
    assert_eq!(end.token(), "eyJ");
    assert!(end.sent[0].url.ends_with("?api-version=2019-08-01&resource=api%3A%2F%2Fapp"), "{}", end.sent[0].url);
    assert_eq!(header(&end.sent[0], "x-identity-header"), Some("proof"));
    let on_a_machine = Machine {
        given: vec![resource, ("client_id", "c")],
        answers: vec![("GET http://169.254.169.254/metadata/identity/oauth2/token", 410, "")],
        ..Machine::default()
    };
    let end = on_a_machine.run("azure");
    assert!(end.sent[0].url.ends_with("&client_id=c") || end.sent[0].url.contains("client_id=c&"), "{}", end.sent[0].url);
    assert_eq!(header(&end.sent[0], "metadata"), Some("true"));
    assert!(end.fault().2.contains("it is asked again"), "{:?}", end.fault());
}

#[test]
fn client_credentials_go_out_as_the_server_wants_them() {
    let answers = vec![("POST https://idp.example/token", 200, r#"{"access_token": "eyJ"}"#)];
    let given = vec![
        ("token_url", "https://idp.example/token"),
        ("client_id", "me"),
        ("client_secret_variable", "SECRET"),
        ("scope", "claude"),
    ];
    let mut machine = Machine { given, variables: vec![("SECRET", "s+s")], answers, ..Machine::default() };
    let end = machine.run("client-credentials");
    assert_eq!(end.token(), "eyJ");
    assert_eq!(header(&end.sent[0], "authorization"), Some("Basic bWU6cyUyQnM="));
    assert_eq!(end.sent[0].body.as_str(), "grant_type=client_credentials&scope=claude");
    machine.given.push(("secret_in_body", "yes"));
    let end = machine.run("client-credentials");
    assert_eq!(header(&end.sent[0], "authorization"), None);
    assert_eq!(end.sent[0].body.as_str(), "client_id=me&client_secret=s%2Bs&grant_type=client_credentials&scope=claude");
    machine.given.retain(|(name, _)| *name != "client_secret_variable");
    assert!(machine.run("client-credentials").fault().1.contains("client_secret_file"));
}

#[test]
fn an_assertion_is_signed_by_the_host() {
    let machine = Machine {
        given: vec![("token_url", "https://idp.example/token"), ("client_id", "me"), ("key_id", "k1")],
        answers: vec![("POST https://idp.example/token", 200, r#"{"access_token": "eyJ"}"#)],
        ..Machine::default()
    };
    let end = machine.run("private-key-jwt");
    assert_eq!(end.token(), "eyJ");
    let body = end.sent[0].body.as_str();
    assert!(body.starts_with("client_assertion=eyJ") && body.contains(".c2ln&"), "{body}");
}

#[test]
fn vault_logs_in_first_where_a_role_is_named() {
    let machine = Machine {
        given: vec![("role", "claude"), ("login_role", "app")],
        variables: vec![("VAULT_ADDR", "https://vault.example:8200"), ("VAULT_NAMESPACE", "team")],
        files: vec![("/var/run/secrets/kubernetes.io/serviceaccount/token", "pod")],
        answers: vec![
            ("POST https://vault.example:8200/v1/auth/kubernetes/login", 200, r#"{"auth": {"client_token": "hvs.x"}}"#),
            ("GET https://vault.example:8200/v1/identity/oidc/token/claude", 200, r#"{"data": {"token": "eyJ"}}"#),
        ],
    };
    let end = machine.run("vault");
    assert_eq!(end.token(), "eyJ");
    assert_eq!(end.sent[0].body.as_str(), r#"{"jwt":"pod","role":"app"}"#);
    assert_eq!(header(&end.sent[1], "x-vault-token"), Some("hvs.x"));
    assert_eq!(header(&end.sent[1], "x-vault-namespace"), Some("team"));
}

#[test]
fn a_refusal_says_who_refused_what_and_what_to_do() {
    let machine = Machine {
        given: vec![("service_account", "app")],
        variables: vec![("KUBERNETES_SERVICE_HOST", "10.0.0.1")],
        files: vec![
            ("/var/run/secrets/kubernetes.io/serviceaccount/namespace", "default"),
            ("/var/run/secrets/kubernetes.io/serviceaccount/token", "pod"),
        ],
        answers: vec![(
            "POST https://10.0.0.1:443/api/v1/namespaces/default/serviceaccounts/app/token",
            403,
            r#"{"message": "serviceaccounts \"app\" is forbidden"}"#,
        )],
    };
    let end = machine.run("kubernetes");
    let (code, message, action) = end.fault();
    assert_eq!(*code, FaultCode::Refused);
    assert_eq!(
        message,
        "Kubernetes answered 403 to POST https://10.0.0.1:443/api/v1/namespaces/default/serviceaccounts/app/token."
    );
    assert!(action.contains("serviceaccounts/token"), "{action}");
}

/// Whatever a hop answers, a run ends, and shows no value that it knows.
#[test]
fn no_answer_stops_a_run_or_gets_a_secret_into_a_message() {
    let bodies = ["", "null", "[]", "{}", "\"canary\"", "<x>", "{\"value\": {}}", &"{".repeat(10_000)];
    for status in [100, 200, 204, 302, 400, 404, 429, 500, 65_535] {
        for body in bodies {
            let machine = Machine {
                variables: vec![
                    ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://run.actions.example/token?secret=canary"),
                    ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "canary"),
                ],
                answers: vec![("GET https://run.actions.example/token", status, body)],
                ..Machine::default()
            };
            let end = machine.run("github-actions");
            let (_, message, action) = end.fault();
            assert!(!message.contains("canary") && !action.contains("canary"), "{status} {body}: {message}");
        }
    }
}

/// Of one's own recipe nobody knows what its values are: a path may hold a secret.
#[test]
fn a_failure_of_ones_own_recipe_shows_no_value_that_was_read() {
    let document = serde_json::json!({
        "name": "ours", "title": "Our CI", "freshness": "minted", "parameters": { "team": {}, "key": {} }, "token": "{token}",
        "steps": [
            { "variable": "SERVER", "as": "server" },
            { "variable": "KEY", "as": "key", "unless": ["key"] },
            { "request": { "method": "GET", "url": "{server}/teams/{team}/keys/{key}", "take": { "token": "body" } } },
        ],
    });
    let recipe = Recipe::parse(&document).unwrap();
    let mut machine = Machine {
        given: vec![("team", "payments")],
        variables: vec![("SERVER", "https://ci.example/canary-path"), ("KEY", "canary-key")],
        answers: vec![("GET https://ci.example/canary-path/teams/payments/keys/canary-key", 403, "no")],
        ..Machine::default()
    };
    let end = machine.run_recipe(&recipe);
    let (_, message, _) = end.fault();
    assert_eq!(message, "Our CI answered 403 to GET https://ci.example/{server}/teams/payments/keys/{key}.");
    // What the configuration says is no secret.
    machine.given.push(("key", "k1"));
    machine.variables[0].1 = "https://ci.example/";
    machine.answers = vec![("GET https://ci.example/teams/payments/keys/k1", 500, "no")];
    let end = machine.run_recipe(&recipe);
    let (_, message, _) = end.fault();
    assert_eq!(message, "Our CI answered 500 to GET https://ci.example/teams/payments/keys/k1.");
    machine.variables[0].1 = "https://canary:canary@ci.example";
    machine.answers = vec![("GET https://canary:canary@ci.example/teams/payments/keys/k1", 500, "no")];
    let end = machine.run_recipe(&recipe);
    let (_, message, _) = end.fault();
    assert_eq!(message, "Our CI answered 500 to GET https://ci.example/teams/payments/keys/k1.");
    let document = serde_json::json!({
        "name": "ours", "freshness": "minted", "token": "{token}",
        "steps": [{ "variable": "KEY", "as": "key" }, { "file": "/keys/{key}", "as": "token" }],
    });
    let end = machine.run_recipe(&Recipe::parse(&document).unwrap());
    let (_, message, _) = end.fault();
    assert_eq!(message, "The file /keys/{key} is not there.");
}
