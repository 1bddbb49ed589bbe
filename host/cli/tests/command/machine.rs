//! Machines that lack something.

use std::process::Command;

#[cfg(target_os = "linux")]
use wif_test_tools::WITHOUT_EXECUTABLE_MEMORY;

use crate::place::{Place, Run};

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn without_executable_memory_the_error_says_so() {
    let place = Place::new().await;
    let mut command = Command::new("python3");
    command.args(["-c", WITHOUT_EXECUTABLE_MEMORY, env!("CARGO_BIN_EXE_wif"), "token"]);
    // Nothing else of this machine's; python3 is where its user has it.
    let path = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", place.directory.path()).env("WIF_LOG", "off");
    let run = Run::of(command).await;
    // Kernels before 6.3 cannot be asked.
    if run.code == 77 {
        return;
    }
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("this process may not make memory executable"), "{}", run.stderr);
    assert!(run.stderr.contains("MemoryDenyWriteExecute=no"), "{}", run.stderr);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
}

/// Plain HTTP goes to this very machine alone, and needs no certificates.
#[tokio::test(flavor = "multi_thread")]
async fn without_certificates_the_emulator_is_reached_and_other_places_are_not() {
    let place = Place::new().await;
    let (file, folder) = (place.path("no-certificates.pem"), place.path("no-certificates"));
    std::fs::write(&file, "").expect("the directory is writable");
    std::fs::create_dir(&folder).expect("the directory is writable");
    let without = |base_url: &str| {
        let mut command = place.wif();
        command.args(["token", "--allow-origin", base_url]).env("ANTHROPIC_BASE_URL", base_url);
        command.env("SSL_CERT_FILE", &file).env("SSL_CERT_DIR", &folder);
        command
    };
    let mut elsewhere = without("https://127.0.0.1:1");
    elsewhere.args(["--timeout", "1"]);
    let run = Run::of(elsewhere).await;
    assert_ne!(run.code, 0);
    assert!(run.stderr.contains("this machine has no root certificates"), "{}", run.stderr);
    let run = Run::of(without(place.emulator.base_url())).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
}
