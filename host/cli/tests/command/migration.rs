//! The page `host/cli/MIGRATION.md`, step by step.

use crate::place::{Place, Run};

const PAGE: &str = include_str!("../../MIGRATION.md");

/// What the page promises about a step, so that page and test cannot part.
fn promised(text: &str) {
    assert!(PAGE.contains(text), "the page does not say: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_goes_from_its_key_to_its_identity_as_the_page_says() {
    let place = Place::new().await;
    let state = place.path("state");
    let key = "sk-ant-api03-the-old-one";
    let run = async |arguments: &[&str], has_key: bool| {
        let mut command = place.wif();
        command.args(arguments).args(["--allow-origin", place.emulator.base_url()]).env_remove("WIF_LOG");
        if has_key {
            command.env("ANTHROPIC_API_KEY", key);
        }
        Run::of(command).await
    };

    // 1. Where the key is set.
    promised("wif find-keys .");
    std::fs::write(place.path(".env"), "ANTHROPIC_API_KEY=${SECRET}\n").expect("it is written");
    let mut find = std::process::Command::new(env!("CARGO_BIN_EXE_wif"));
    find.args(["find-keys", &place.path(".env")]);
    let found = Run::of(find).await;
    assert_eq!(found.code, 7, "{}", found.stderr);
    assert!(found.stdout.contains(".env:1: set: ANTHROPIC_API_KEY is set here"), "{}", found.stdout);

    // 2. Both are set: the key wins, and status says so.
    promised("hides a complete set of federation variables");
    promised("exit code 6");
    let both = run(&["status"], true).await;
    assert_eq!(both.code, 6, "{}", both.stderr);
    assert!(both.stdout.contains("* ANTHROPIC_API_KEY     used"), "{}", both.stdout);
    assert!(both.stdout.contains("ANTHROPIC_API_KEY hides a complete set of federation variables"), "{}", both.stdout);
    assert_eq!(run(&["token"], true).await.stdout.trim(), key);

    // 3. The rule is right, before anybody depends on it.
    promised("wif doctor --rule rule.json");
    std::fs::write(place.path("rule.json"), format!("{{\"subject_prefix\": \"{}\"}}", place.emulator.options().subject))
        .expect("it is written");
    let doctor = run(&["doctor", "--rule", &place.path("rule.json")], false).await;
    assert_eq!(doctor.code, 0, "{} {}", doctor.stdout, doctor.stderr);

    // 4. The key is unset: status says federation.
    promised("* federation variables  used");
    let federation = run(&["status"], false).await;
    assert_eq!(federation.code, 0, "{} {}", federation.stdout, federation.stderr);
    assert!(federation.stdout.contains("* federation variables  used"), "{}", federation.stdout);
    let token = run(&["token", "--state", &state], false).await.stdout.trim().to_owned();
    assert!(token.starts_with("sk-ant-oat01-"));
    assert_eq!(call(&place, &token).await, 200);

    // 5. The key is revoked: calls go on. Here it never was good, which is the same.
    promised("Revoke the key");
    assert_eq!(call(&place, key).await, 401);
    let later = run(&["token", "--state", &state], false).await.stdout.trim().to_owned();
    assert_eq!(call(&place, &later).await, 200);
    std::fs::write(place.path(".env"), "").expect("it is written");
    let mut find = std::process::Command::new(env!("CARGO_BIN_EXE_wif"));
    find.args(["find-keys", &place.path(".env")]);
    assert_eq!(Run::of(find).await.code, 0);
}

/// A call of the API with this bearer.
async fn call(place: &Place, token: &str) -> u16 {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(place.emulator.address()).await.expect("it listens");
    let request = format!(
        "GET /v1/models HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\nanthropic-version: 2023-06-01\r\n\
         anthropic-beta: oauth-2025-04-20\r\nconnection: close\r\n\r\n",
        place.emulator.address()
    );
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it is answered");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}
