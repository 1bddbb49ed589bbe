//! What leaves the process and what enters it is the policy's decision, and a refusal says how to allow it.

use std::time::Duration;

use wif::{Credential, Error, FailureCode, Policy, PolicyError};

use crate::no_secret_is_shown::Log;
use crate::support::{Endpoint, Reply, TestClock, TokenFile, configuration, credential, identity_token, now_s, settle, until};

async fn failure(credential: &Credential) -> wif::Failure {
    match credential.token_within(Duration::from_secs(10)).await {
        Err(Error::Unavailable(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

/// B1: only the origin itself.
#[tokio::test]
async fn another_origin_is_denied_and_the_message_says_how_to_allow_it() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let credential = credential(&endpoint, &file).policy(Policy::default()).build().unwrap();
    let failure = failure(&credential).await;
    assert_eq!(failure.code, FailureCode::DeniedByHost, "{failure}");
    let says = format!("Policy::allow_origin(\"{}\")", endpoint.origin);
    assert!(failure.to_string().contains(&says), "{failure}");
    assert_eq!(endpoint.requests(), 0);
}

/// B1: only the origin itself.
#[test]
fn origins_are_parsed_and_nothing_else() {
    let allow = |origin: &str| Policy::default().allow_origin(origin).map(|_| ());
    for origin in
        ["https://gateway.example", "https://gateway.example:8443/", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost"]
    {
        assert_eq!(allow(origin), Ok(()), "{origin}");
    }
    for origin in ["http://gateway.example", "http://localhost.evil.example", "http://10.0.0.1"] {
        assert_eq!(allow(origin), Err(PolicyError::PlainHttp(origin.to_owned())));
    }
    for origin in [
        "",
        "gateway.example",
        "ftp://gateway.example",
        "https://gateway.example/path",
        "https://user@gateway.example",
        "https://gateway.example?x",
        "https://gateway.example#x",
        "file:///etc/passwd",
    ] {
        assert_eq!(allow(origin), Err(PolicyError::NotAnOrigin(origin.to_owned())));
    }
}

/// A development set-up may allow this very machine without naming ports, and nothing else with it.
#[tokio::test]
async fn loopback_can_be_allowed_as_a_whole() {
    let policy = Policy::default().allow_loopback();
    for origin in ["http://127.0.0.1:1", "http://127.9.9.9:80", "http://[::1]:8787", "http://localhost:9", "https://localhost"] {
        assert!(policy.allows_origin(origin) && !Policy::default().allows_origin(origin), "{origin}");
    }
    for origin in
        ["https://gateway.example", "http://10.0.0.1", "https://localhost.evil.example", "http://127.0.0.1.evil.example"]
    {
        assert!(!policy.allows_origin(origin), "{origin}");
    }
    assert!(policy.allows_origin("https://api.anthropic.com"));
    for origin in ["https://api.anthropic.com", "http://127.0.0.1:1"] {
        assert!(!policy.clone().without_origins().allows_origin(origin), "{origin}");
    }

    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let by_name = endpoint.origin.replace("127.0.0.1", "localhost");
    for origin in [endpoint.origin.as_str(), &by_name] {
        let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
        let configuration = configuration(origin, &source);
        let credential = Credential::builder().configuration(configuration).policy(Policy::default().allow_loopback());
        let credential = credential.build().unwrap();
        assert_eq!(credential.token_within(Duration::from_secs(10)).await.unwrap().origin(), origin);
    }
}

/// The same for a program as it stands: the variable allows this machine and nothing else, and the log says that it is on.
#[tokio::test]
async fn a_variable_allows_loopback_and_nothing_else_and_it_is_logged() {
    if let (Some(origin), Some(expected)) = (given("WIF_TEST_ORIGIN"), given("WIF_TEST_EXPECTED")) {
        let (log, _guard) = Log::start();
        let file = TokenFile::new(&identity_token("a", now_s(), 3600));
        let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
        let credential = Credential::builder().configuration(configuration(&origin, &source)).build().unwrap();
        let answer = match credential.token_within(Duration::from_secs(10)).await {
            Ok(_) => "a token".to_owned(),
            Err(Error::Unavailable(failure)) => failure.code.to_string(),
            Err(other) => panic!("{other:?}"),
        };
        let is_logged = log.text().contains("every port of this machine is allowed (WIF_ALLOW_LOOPBACK)");
        assert_eq!(format!("{answer}, logged: {is_logged}"), expected, "{}", log.text());
        return;
    }
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let by_name = endpoint.origin.replace("127.0.0.1", "localhost");
    for (value, origin, expected) in [
        ("1", endpoint.origin.as_str(), "a token, logged: true"),
        ("true", &by_name, "a token, logged: true"),
        ("0", &endpoint.origin, "denied-by-host, logged: false"),
        ("", &endpoint.origin, "denied-by-host, logged: false"),
        ("1", "https://gateway.example", "denied-by-host, logged: true"),
        ("1", "https://localhost.evil.example", "denied-by-host, logged: true"),
    ] {
        again(
            "a_variable_allows_loopback_and_nothing_else_and_it_is_logged",
            [("WIF_ALLOW_LOOPBACK", value), ("WIF_TEST_ORIGIN", origin), ("WIF_TEST_EXPECTED", expected)],
        )
        .await;
    }
}

/// B5: behind a corporate proxy nothing comes out without it: the error names the variable and what to call.
#[tokio::test]
async fn a_proxy_that_is_set_and_not_used_is_named_where_no_connection_comes_about() {
    if given("WIF_TEST_EXPECTED").is_some() {
        // Nobody listens there.
        let nowhere = "https://127.0.0.1:1";
        let file = TokenFile::new(&identity_token("a", now_s(), 3600));
        let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
        let policy = Policy::default().allow_origin(nowhere).unwrap();
        let credential = Credential::builder().configuration(configuration(nowhere, &source)).policy(policy).build().unwrap();
        let failure = failure(&credential).await;
        assert_eq!(failure.code, FailureCode::EndpointUnreachable, "{failure}");
        let says = "HTTPS_PROXY is set and not used: see Policy::proxy_from_environment";
        assert!(failure.message.contains(says) && !failure.message.contains("canary"), "{failure}");
        return;
    }
    again(
        "a_proxy_that_is_set_and_not_used_is_named_where_no_connection_comes_about",
        [("HTTPS_PROXY", "http://user:canary@proxy.example:3128"), ("WIF_TEST_EXPECTED", "a hint")],
    )
    .await;
}

fn given(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs a test of this file once more with these variables, in a process of its own, for they belong to a process.
async fn again<const N: usize>(test: &str, variables: [(&str, &str); N]) {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.arg("--exact").arg(format!("nothing_happens_against_the_policy::{test}"));
    for name in ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.envs(variables);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{variables:?}: {said}");
}

#[tokio::test]
async fn a_variable_is_read_only_if_it_is_allowed() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let source = r#"{"source":"variable","name":"CARGO_MANIFEST_DIR"}"#;
    let build = |policy: Policy| {
        let policy = policy.allow_origin(&endpoint.origin).unwrap();
        Credential::builder().configuration(configuration(&endpoint.origin, source)).policy(policy).build().unwrap()
    };
    let denied = failure(&build(Policy::default())).await;
    assert!(denied.to_string().contains("Policy::allow_variable(\"CARGO_MANIFEST_DIR\")"), "{denied}");
    // It is read, and is no JWT.
    let read = failure(&build(Policy::default().allow_variable("CARGO_MANIFEST_DIR"))).await;
    assert_eq!(read.code, FailureCode::IdentityTokenMalformed, "{read}");
}

/// A12: a path that climbs out.
#[tokio::test]
async fn a_file_is_read_only_below_an_allowed_directory() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let (inside, outside) = (tempfile::tempdir().unwrap(), TokenFile::new(&identity_token("a", now_s(), 3600)));
    std::os::unix::fs::symlink(outside.path(), inside.path().join("token")).unwrap();
    let source = format!(r#"{{"source":"file","path":"{}/token"}}"#, inside.path().display());
    let build = |policy: Policy| {
        let policy = policy.allow_origin(&endpoint.origin).unwrap();
        Credential::builder().configuration(configuration(&endpoint.origin, &source)).policy(policy).build().unwrap()
    };
    let denied = failure(&build(Policy::default().allow_directory(inside.path()))).await;
    assert!(denied.to_string().contains("Policy::allow_directory"), "{denied}");
    let both = Policy::default().allow_directory(inside.path()).allow_directory(outside.path().parent().unwrap());
    build(both).token().await.unwrap();
}

/// A1: a file that is none.
#[tokio::test]
async fn a_pipe_or_a_device_is_no_token_file() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for path in [pipe.to_str().unwrap(), "/dev/zero", directory.path().to_str().unwrap()] {
        let source = format!(r#"{{"source":"file","path":"{path}"}}"#);
        let policy = Policy::default().allow_origin(&endpoint.origin).unwrap();
        let credential =
            Credential::builder().configuration(configuration(&endpoint.origin, &source)).policy(policy).build().unwrap();
        let failure = failure(&credential).await;
        assert!(matches!(failure.code, FailureCode::IdentityTokenUnreadable | FailureCode::DeniedByHost), "{path}: {failure}");
    }
}

/// B2: a redirect.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Endpoint::start(|_| Reply::token("sk-ant-oat01-stolen", 3600)).await;
    let to = format!("{}/v1/oauth/token", target.origin);
    let endpoint = Endpoint::start(move |_| Reply::with(307, "").header("location", &to)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let policy = Policy::default().allow_origin(&endpoint.origin).unwrap().allow_origin(&target.origin).unwrap();
    let credential = credential(&endpoint, &file).policy(policy).build().unwrap();
    let failure = failure(&credential).await;
    assert_eq!(failure.code, FailureCode::AnswerUnusable, "{failure}");
    assert_eq!((endpoint.requests(), target.requests()), (1, 0));
}

/// B6: an answer that is no token, or has no end.
#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let endless = "x".repeat(1 << 20);
    let endpoint = Endpoint::start(move |_| Reply::with(200, &endless)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let credential = credential(&endpoint, &file).build().unwrap();
    assert_eq!(failure(&credential).await.code, FailureCode::EndpointUnreachable);
}

/// B4: what cannot be verified gets nothing.
#[tokio::test]
async fn a_server_without_a_certificate_is_told_nothing() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let https = endpoint.origin.replace("http://", "https://");
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
    let policy = Policy::default().allow_origin(&https).unwrap();
    let credential = Credential::builder().configuration(configuration(&https, &source)).policy(policy).build().unwrap();
    let failure = failure(&credential).await;
    assert_eq!(failure.code, FailureCode::EndpointUnreachable, "{failure}");
    // What came was a handshake.
    assert!(!endpoint.last().contains("assertion"));
}

#[tokio::test]
async fn a_root_certificate_must_be_one() {
    let built = Credential::builder().extra_root_certificate("not a certificate").build();
    assert!(matches!(built, Err(wif::BuildError::RootCertificate(_))), "{built:?}");
}

/// E9: a token that is configured for an origin outside the policy is the configuration's fault, and said to be.
#[tokio::test]
async fn a_static_token_for_an_origin_that_is_not_allowed_is_denied() {
    let configuration = r#"{"base_url":"https://gateway.example","bearer":{"source":"literal","value":"sk-ant-canary"}}"#;
    let credential = Credential::builder().configuration(configuration).build().unwrap();
    let failure = failure(&credential).await;
    assert_eq!(failure.code, FailureCode::DeniedByHost);
    assert!(failure.message.contains("allow_origin(\"https://gateway.example\")"), "{failure}");
}

/// B5: a proxy is used only if the policy names one, never for this very machine, and its password is not shown.
#[tokio::test]
async fn plain_http_to_this_machine_goes_past_the_proxy() {
    let proxy = Endpoint::start(|_| Reply::token("sk-ant-oat01-by-the-proxy", 3600)).await;
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-direct", 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let by = proxy.origin.replace("http://", "http://user:canary-password@");
    let policy = Policy::default().allow_origin(&endpoint.origin).unwrap().proxy(&by).unwrap();
    let builder = credential(&endpoint, &file).policy(policy.clone());
    let shown = format!("{policy:?} {builder:?}");
    assert!(shown.contains(&proxy.origin) && !shown.contains("canary"), "{shown}");
    let token = builder.build().unwrap().token_within(Duration::from_secs(10)).await.unwrap();
    assert_eq!(token.reveal_authorization(), Some("Bearer sk-ant-oat01-direct"));
    assert_eq!((endpoint.requests(), proxy.requests()), (1, 0));
}

/// B5: a proxy is configured.
#[tokio::test]
async fn a_proxy_sees_where_to_and_nothing_else() {
    let proxy = Endpoint::start(|_| Reply::with(502, "no")).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
    // Its own name may lead to where no other may.
    let by = proxy.origin.replace("http://127.0.0.1", "http://user:canary-password@localhost");
    let policy = Policy::default().proxy(&by).unwrap();
    let configuration = configuration("https://api.anthropic.com", &source);
    let credential = Credential::builder().configuration(configuration).policy(policy).build().unwrap();
    let failure = failure(&credential).await;
    assert_eq!(failure.code, FailureCode::EndpointUnreachable, "{failure}");
    assert!(!failure.message.contains("canary"), "{failure}");
    let seen = proxy.last();
    assert!(seen.starts_with("CONNECT api.anthropic.com:443 HTTP/1.1\r\n"), "{seen}");
    assert!(seen.to_ascii_lowercase().contains("proxy-authorization: basic ") && !seen.contains("assertion"), "{seen}");
}

#[tokio::test]
async fn what_a_program_supplies_is_bounded() {
    let source = r#"{"source":"callable","name":"large","freshness":"minted"}"#;
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let credential = Credential::builder()
        .configuration(configuration(&endpoint.origin, source))
        .policy(Policy::default().allow_origin(&endpoint.origin).unwrap())
        .identity_token("large", |_| async { Ok(wif::Secret::from("a".repeat(20 << 20))) })
        .build()
        .unwrap();
    let failure = failure(&credential).await;
    assert_eq!(failure.code, FailureCode::IdentityTokenUnreadable, "{failure}");
    assert!(failure.message.contains("20971520 bytes"), "{failure}");
}

/// A12: whoever may write a profile decides where identity tokens go.
#[tokio::test]
async fn a_profile_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let (directory, token) = (tempfile::tempdir().unwrap(), TokenFile::new(&identity_token("a", now_s(), 3600)));
    std::fs::create_dir(directory.path().join("configs")).unwrap();
    let profile = directory.path().join("configs/default.json");
    let content = format!(
        r#"{{"version": "1.0", "organization_id": "00000000-0000-4000-8000-000000000001", "authentication": {{"type": "oidc_federation",
            "federation_rule_id": "fdrl_01", "identity_token": {{"source": "file", "path": "{}"}}}}}}"#,
        token.path().display()
    );
    std::fs::write(&profile, content).unwrap();
    for (mode, refused) in [(0o600, false), (0o644, false), (0o620, true), (0o602, true), (0o666, true)] {
        std::fs::set_permissions(&profile, std::fs::Permissions::from_mode(mode)).unwrap();
        let configuration = format!(
            r#"{{"base_url": "{}", "discover": {{"config_dir": "{}", "profile": "default"}}}}"#,
            endpoint.origin,
            directory.path().display()
        );
        let policy = Policy::default().allow_origin(&endpoint.origin).unwrap();
        let credential = Credential::builder().configuration(configuration).policy(policy).build().unwrap();
        let answer = credential.token_within(Duration::from_secs(10)).await;
        match answer {
            Err(Error::Unavailable(failure)) if refused => {
                let says = format!("(mode {mode:04o}): chmod go-w {}", profile.display());
                assert!(failure.code == FailureCode::Configuration && failure.message.contains(&says), "{failure}");
            }
            Ok(_) if !refused => {}
            other => panic!("{mode:o}: {other:?}"),
        }
    }
}

/// A1: of a file no more is read than the component asked for, and no more than a host ever reads.
#[tokio::test]
async fn a_file_that_is_too_long_is_not_read() {
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-x", 3600)).await;
    let file = TokenFile::new(&"a".repeat((64 << 10) + 1));
    let failure = failure(&credential(&endpoint, &file).build().unwrap()).await;
    assert_eq!(failure.code, FailureCode::IdentityTokenUnreadable, "{failure}");
    assert!(failure.message.contains("longer than 65536 bytes"), "{failure}");
}

/// A program's own function that never answers costs half a minute, or what the policy says, by the credential's clock.
#[tokio::test]
async fn what_a_program_supplies_has_its_time() {
    let source = r#"{"source":"callable","name":"stuck","freshness":"minted"}"#;
    for (policy, seconds) in [(Policy::default(), 30), (Policy::default().callable_timeout(Duration::from_secs(2)), 2)] {
        let clock = TestClock::new();
        let credential = Credential::builder()
            .configuration(configuration("https://api.anthropic.com", source))
            .policy(policy)
            .identity_token("stuck", |_| std::future::pending())
            .clock(clock.clone())
            .build()
            .unwrap();
        settle().await;
        clock.advance(Duration::from_millis(seconds * 1_000 - 100)).await;
        let failed = || async { credential.status().await.unwrap().failure };
        assert_eq!(failed().await, None, "{seconds} s");
        clock.advance(Duration::from_millis(200)).await;
        until("it is given up", || async { failed().await.is_some() }).await;
        let failure = failed().await.unwrap();
        assert_eq!(failure.code, FailureCode::IdentityTokenUnreadable, "{failure}");
    }
}
