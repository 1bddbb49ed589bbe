//! The page `host/cli/MIGRATION.md`: a shell runs its blocks as they stand, and what it promises of them is compared.

use std::process::Command;

use crate::place::{Place, Run};

const PAGE: &str = include_str!("../../MIGRATION.md");

/// A step of the page: the commands, the lines of their output, and the exit code.
struct Step {
    commands: String,
    shown: Vec<String>,
    code: i32,
}

/// Each block of commands, with the block of output and the first exit code that are told after it.
fn steps() -> Vec<Step> {
    let blocks: Vec<&str> = PAGE.split("   ```sh\n").skip(1).collect();
    let step = |block: &&str| {
        let (commands, after) = block.split_once("   ```\n").expect("the block ends");
        let shown = after.split_once("   ```text\n").and_then(|(_, rest)| rest.split_once("   ```\n"));
        let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect();
        let code = after.split_once("Exit code ").expect("the page tells the exit code").1;
        let digits: String = code.chars().take_while(char::is_ascii_digit).collect();
        Step {
            commands: commands.to_owned(),
            shown: shown.map(|(shown, _)| lines(shown)).unwrap_or_default(),
            code: digits.parse().expect("a number"),
        }
    };
    blocks.iter().map(step).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_goes_from_its_key_to_its_identity_as_the_page_says() {
    let place = Place::new().await;
    let key = "sk-ant-api03-the-old-one";
    let work = place.directory.path().join("work");
    std::fs::create_dir(&work).expect("it is made");
    for profile in [".bashrc", ".profile"] {
        std::fs::write(place.path(profile), "alias ll='ls -l'\n").expect("it is written");
    }
    std::fs::write(work.join(".env"), "ANTHROPIC_API_KEY=${SECRET}\n").expect("it is written");
    std::fs::write(work.join("rule.json"), format!("{{\"subject_prefix\": \"{}\"}}", place.emulator.options().subject))
        .expect("it is written");
    let shell = async |commands: &str, has_key: bool| {
        let mut command = Command::new("sh");
        command.arg("-c").arg(commands).current_dir(&work).env_clear();
        command.envs(place.wif().get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env_remove("WIF_LOG").env("WIF_ALLOW_LOOPBACK", "1");
        // The command goes by its name on the page.
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_wif"));
        command.env("PATH", format!("{}:/usr/bin:/bin", program.parent().expect("a directory").display()));
        if has_key {
            command.env("ANTHROPIC_API_KEY", key);
        }
        Run::of(command).await
    };

    let steps = steps();
    let [find, both, doctor, federation, last] = &steps[..] else { panic!("the page has {} blocks", steps.len()) };
    let mut outputs = Vec::new();
    for (step, has_key) in [(find, true), (both, true), (doctor, true), (federation, false)] {
        let run = shell(&step.commands, has_key).await;
        assert_eq!(run.code, step.code, "{}: {} {}", step.commands, run.stdout, run.stderr);
        for line in &step.shown {
            assert!(run.stdout.lines().any(|said| said.trim() == line), "{line}\nis not said: {}", run.stdout);
        }
        assert!(!run.stdout.contains(key) && !run.stderr.contains(key), "the key is shown: {}", step.commands);
        outputs.push(run.stdout);
    }
    // While both are set the key is what calls carry.
    assert_eq!(shell("wif token", true).await.stdout.trim(), key);
    let token = outputs[3].lines().last().expect("a token").to_owned();
    assert!(token.starts_with("sk-ant-oat01-"));
    assert_eq!(call(&place, &token).await, 200);

    // The key is revoked: calls go on. Here it never was good, which is the same.
    assert_eq!(call(&place, key).await, 401);
    let later = shell("wif token --state ~/.wif.json", false).await;
    assert_eq!(call(&place, later.stdout.trim()).await, 200, "{}", later.stderr);
    std::fs::write(work.join(".env"), "").expect("it is written");
    let clean = shell(&last.commands, false).await;
    assert_eq!(clean.code, last.code, "{} {}", clean.stdout, clean.stderr);
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
