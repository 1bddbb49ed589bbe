//! What `wif status` tells, and what it does not do.

use serde_json::json;

use crate::place::{Place, Run, bare};

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_the_configuration_and_exchanges_nothing() {
    let place = Place::new().await;
    let run = place.run(&["status"]).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stdout.contains(&place.emulator.options().federation_rule_id), "{}", run.stdout);
    assert!(run.stdout.contains("the first caller asks"), "{}", run.stdout);
    assert_eq!(place.emulator.counts().exchanges, 0);

    let run = place.run(&["status", "--json", "--exchange"]).await;
    let document = run.json();
    assert_eq!(document["state"], "serving");
    assert_eq!(document["identity_token"]["disposition"], "spent");
    assert_eq!(place.emulator.counts().exchanges, 1);
    assert!(!run.stdout.contains("sk-ant-oat01-"));
}

/// Nothing advises to remove a directory in which runs keep their tokens.
#[tokio::test(flavor = "multi_thread")]
async fn status_says_that_it_looks_into_no_directory() {
    let place = Place::new().await;
    let directory = format!("{}/", place.path("store"));
    assert_eq!(place.run(&["token", "--state", &directory]).await.code, 0);
    let run = place.run(&["status", "--state", &directory]).await;
    assert_eq!(run.code, 2, "{} {}", run.stdout, run.stderr);
    assert!(run.stderr.contains("is a directory, and `wif status` looks into a state file only"), "{}", run.stderr);
    assert!(!run.stderr.contains("remove"), "{}", run.stderr);
}

/// Whatever `wif token` would stumble over, without an exchange.
#[tokio::test(flavor = "multi_thread")]
async fn status_names_what_a_token_would_fail_for() {
    let place = Place::new().await;
    let expired = place.emulator.identity_provider().token().valid(std::time::UNIX_EPOCH, 600).sign();
    std::fs::write(place.path("expired"), expired.expose()).expect("it is written");
    std::fs::write(place.path("wrong"), "no identity token").expect("it is written");
    for (name, code, exit) in [
        ("missing", "identity-token-missing", 4),
        ("expired", "identity-token-expired", 4),
        ("wrong", "identity-token-malformed", 4),
        (".", "identity-token-unreadable", 5),
    ] {
        let run = |arguments: &[&str]| {
            let mut command = place.wif();
            command.args(arguments).args(["--allow-origin", place.emulator.base_url()]);
            command.env("ANTHROPIC_IDENTITY_TOKEN_FILE", place.path(name));
            Run::of(command)
        };
        let status = run(&["status", "--json"]).await;
        let document = status.json();
        assert_eq!((status.code, &document["failure"]["code"]), (exit, &json!(code)), "{name}: {}", status.stderr);
        assert_eq!(document["state"], "failed", "{name}");
        let screen = run(&["status"]).await;
        assert!(screen.stdout.contains(code) && screen.stdout.contains(&place.path(name)), "{name}: {}", screen.stdout);
        let token = run(&["token", "--timeout", "1"]).await;
        assert_eq!(token.code, exit, "{name}: {}", token.stderr);
    }
    assert_eq!(place.emulator.counts().exchanges, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_the_identity_token_says_and_spends_nothing() {
    let place = Place::new().await;
    let run = place.run(&["status", "--json"]).await;
    let document = run.json();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(document["identity_token"]["issuer"], place.emulator.base_url());
    assert_eq!(document["identity_token"]["disposition"], "unspent");
    assert_eq!(document["origin_allowed"], true);
    assert_eq!(place.emulator.counts().exchanges, 0);
    assert_eq!(place.run(&["token"]).await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relative_path_of_the_identity_token_is_found_where_the_program_was_started() {
    let place = Place::new().await;
    std::fs::copy(place.file.path(), place.path("copy")).expect("it is copied");
    let run = |subcommand: &str| {
        let mut command = place.wif();
        command.args([subcommand, "--json", "--allow-origin", place.emulator.base_url()]);
        command.env("ANTHROPIC_IDENTITY_TOKEN_FILE", "copy").current_dir(place.directory.path());
        Run::of(command)
    };
    let status = run("status").await;
    assert_eq!((status.code, &status.json()["identity_token"]["found"]), (0, &json!(true)), "{}", status.stdout);
    let doctor = run("doctor").await;
    assert_eq!((doctor.code, &doctor.json()["findings"]), (0, &json!([])), "{} {}", doctor.stdout, doctor.stderr);
}

/// The longest name of a place has a space after it, as the shortest has.
#[tokio::test(flavor = "multi_thread")]
async fn no_name_touches_what_is_told_of_it() {
    let place = Place::new().await;
    let screen = place.run(&["status"]).await.stdout;
    let begins: std::collections::BTreeSet<usize> = ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN", "federation variables"]
        .into_iter()
        .map(|name| {
            let line = screen.lines().find(|line| line.trim_start_matches(['*', ' ']).starts_with(name)).expect("a line");
            let after = &line[line.find(name).expect("it is there") + name.len()..];
            assert!(after.starts_with(' '), "{line}");
            line.len() - after.trim_start().len()
        })
        .collect();
    assert_eq!(begins.len(), 1, "one column: {screen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_is_not_content_with_an_origin_that_a_token_would_be_refused_for() {
    let place = Place::new().await;
    let mut keyed = bare(place.directory.path());
    keyed.env("ANTHROPIC_API_KEY", "sk-ant-api03-x").env("ANTHROPIC_BASE_URL", place.emulator.base_url());
    for mut command in [place.wif(), keyed] {
        command.args(["status", "--json"]);
        let run = Run::of(command).await;
        let document = run.json();
        assert_eq!(run.code, 3, "{} {}", run.stdout, run.stderr);
        assert_eq!((&document["state"], &document["origin_allowed"]), (&json!("failed"), &json!(false)));
        assert_eq!(document["failure"]["code"], "denied-by-host");
        let said = document["failure"].to_string();
        assert!(said.contains(&format!("--allow-origin {}", place.emulator.base_url())) && !said.contains("Policy::"), "{said}");
    }
}

/// The forgotten key: the commonest trap of a migration.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_hides_a_complete_federation_is_said_in_every_way() {
    let place = Place::new().await;
    for (name, value) in [("ANTHROPIC_API_KEY", "sk-ant-api03-x"), ("ANTHROPIC_AUTH_TOKEN", "sk-ant-oat01-x")] {
        let run = |arguments: &[&str]| {
            let mut command = place.wif();
            command.args(arguments).args(["--allow-origin", place.emulator.base_url()]).env(name, value);
            Run::of(command)
        };
        let screen = run(&["status"]).await;
        assert_eq!(screen.code, 6, "{} {}", screen.stdout, screen.stderr);
        assert!(screen.stdout.contains(&format!("{name} hides a complete set")), "{}", screen.stdout);
        assert!(!screen.stdout.contains(value) && !screen.stderr.contains(value));
        let document = run(&["status", "--json"]).await;
        assert_eq!(document.code, 6);
        assert_eq!(document.json()["shadows"], true);
        assert!(document.json()["warnings"].to_string().contains(name), "{}", document.stdout);
        let token = run(&["token"]).await;
        assert_eq!((token.code, token.stdout.trim()), (0, value));
        assert!(token.stderr.contains(&format!("wif: warning: {name}")), "{}", token.stderr);
        let said = screen.stdout.lines().filter(|line| line.starts_with("warning") && line.contains(name)).count();
        assert_eq!((said, token.stderr.matches("wif: warning: ").count()), (1, 1), "{} {}", screen.stdout, token.stderr);
    }
    let mut alone = bare(place.directory.path());
    alone.arg("status").env("ANTHROPIC_API_KEY", "sk-ant-api03-x");
    let alone = Run::of(alone).await;
    assert_eq!(alone.code, 0, "{} {}", alone.stdout, alone.stderr);
    assert!(!alone.stdout.contains("hides"), "{}", alone.stdout);
}
