//! The Go package, with Go's own tools, against an emulator.
//!
//! ```text
//! cargo test -p wif-go-package
//! ```

#![cfg(unix)]

mod vectors;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;
// For its library: cargo builds it beside this test.
use wif_c as _;
use wif_emulator::{Emulator, Options, TokenFile};
use wif_test_tools::{not_run, or_not_run, place, python};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// Go, and the library as `make install` lays it.
struct Go {
    go: PathBuf,
    prefix: PathBuf,
    /// What Go compiles of its own library is kept for the next run.
    cache: PathBuf,
    flags: String,
}

impl Go {
    /// The one of this test process. None, and a line that says so, where a Debian package is missing.
    fn here() -> Option<&'static Self> {
        static HERE: OnceLock<Option<Go>> = OnceLock::new();
        HERE.get_or_init(Self::prepare).as_ref()
    }

    fn prepare() -> Option<Self> {
        let go = or_not_run(python(&folder().join("tests/requirements.txt")))?.with_file_name("go");
        let prefix = place(Path::new(env!("CARGO_TARGET_TMPDIR")), "go");
        // Go takes what it has compiled to be good while the sources beside it are the same. So the header stands in the flags.
        install(&prefix)?;
        let cache = go.parent().and_then(Path::parent).expect("it is in a folder").join("cache");
        let mut header = DefaultHasher::new();
        std::fs::read(prefix.join("include/wif.h")).expect("it is installed").hash(&mut header);
        prefix.hash(&mut header);
        let flags = format!("-O2 -g -DWIF_HEADER={}", header.finish());
        Some(Self { go, prefix, cache, flags })
    }

    /// A program that finds the library, and nothing else of this process.
    fn command(&self, program: &Path, home: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder()).stdin(Stdio::null()).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("HOME", home).env("GOCACHE", &self.cache).env("GOPATH", self.cache.join("path"));
        command.env("CGO_ENABLED", "1").env("GOTOOLCHAIN", "local").env("GOPROXY", "off").env("GOFLAGS", "-mod=readonly");
        command.env("PKG_CONFIG_PATH", self.prefix.join("lib/pkgconfig")).env("LD_LIBRARY_PATH", self.prefix.join("lib"));
        command.env("CGO_CFLAGS", &self.flags);
        command
    }
}

fn runs(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The library as `make install` lays it.
fn install(prefix: &Path) -> Option<()> {
    for (program, package) in [("make", "make"), ("cc", "gcc"), ("pkg-config", "pkg-config")] {
        if !runs(program) {
            not_run(package);
            return None;
        }
    }
    let build = std::env::current_exe().expect("it runs");
    let build = build.parent().expect("it is in a folder");
    let mut make = Command::new("make");
    make.args(["--silent", "--directory"]).arg(folder().join("../c")).arg("install");
    make.arg(format!("PREFIX={}", prefix.display())).arg(format!("BUILD={}", build.display()));
    ended_well(make.output().expect("it starts"));
    Some(())
}

fn ended_well(output: Output) -> String {
    let [out, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}: {out}\n{errors}", output.status);
    out
}

/// A workload of an emulator's, to run programs as.
struct Workload {
    emulator: Emulator,
    directory: TempDir,
    file: TokenFile,
}

impl Workload {
    async fn start() -> Self {
        let options = Options { admin: Some(([127, 0, 0, 1], 0).into()), shortest_lifetime_seconds: 1, ..Options::default() };
        let emulator = Emulator::start(options).await.expect("the options are good");
        let directory = tempfile::tempdir().expect("a directory");
        let file = emulator.identity_provider().publish(directory.path().join("token")).expect("the directory is writable");
        Self { emulator, directory, file }
    }

    /// What Go printed, with these variables beside the workload's.
    async fn go(&self, go: &Go, arguments: &[&str], variables: &[(&str, &str)]) -> String {
        let mut command = go.command(&go.go, self.directory.path());
        command.args(arguments);
        command
            .env("ANTHROPIC_BASE_URL", self.emulator.base_url())
            .env("ANTHROPIC_FEDERATION_RULE_ID", &self.emulator.options().federation_rule_id)
            .env("ANTHROPIC_ORGANIZATION_ID", &self.emulator.options().organization_id)
            .env("ANTHROPIC_IDENTITY_TOKEN_FILE", self.file.path())
            .env("EMULATOR_ADMIN", self.emulator.admin_url().expect("it was asked for"))
            .env("RULES", folder().join("../../wit/rules.json"))
            .envs(variables.iter().copied());
        ended_well(tokio::process::Command::from(command).output().await.expect("it starts"))
    }
}

async fn here() -> Option<&'static Go> {
    tokio::task::spawn_blocking(Go::here).await.expect("no panic")
}

/// With Go's checks, and with its own tests: a cold burst, a revocation, contexts, functions as sources, errors, the log.
#[tokio::test(flavor = "multi_thread")]
async fn the_package_serves_goroutines_and_http_clients() {
    let Some(go) = here().await else { return };
    let workload = Workload::start().await;
    let printed = workload.go(go, &["test", "-count=1", "-v", "-skip=^Example", "./..."], &[]).await;
    assert!(printed.matches("--- PASS").count() >= 10, "{printed}");
    // The README's example, as a workload meets it.
    workload.file.rotate().expect("the directory is writable");
    let printed = workload.go(go, &["test", "-count=1", "-v", "-run=^Example", "./..."], &[]).await;
    assert!(printed.contains("--- PASS: Example"), "{printed}");
    workload.go(go, &["vet", "./..."], &[]).await;
}

/// The vendor's SDK and golang.org/x/oauth2, as Debian packages them: without modules, below folders that `GOPATH` names.
#[tokio::test(flavor = "multi_thread")]
async fn the_vendors_sdk_and_oauth2_run_on_the_package() {
    let Some(go) = here().await else { return };
    let sdk = "src/github.com/anthropics/anthropic-sdk-go";
    let fetched = folder().join("../../target/tools/go-packages/usr/share/gocode");
    let Some(packages) = [PathBuf::from("/usr/share/gocode"), fetched].into_iter().find(|folder| folder.join(sdk).exists())
    else {
        return not_run("golang-github-anthropics-anthropic-sdk-go-dev: Debian 13 has none, `bash .ci/go-packages` fetches it");
    };
    // Go keeps what it has compiled by its place.
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-clients");
    std::fs::create_dir_all(path.join("src")).expect("it is writable");
    match std::os::unix::fs::symlink(folder(), path.join("src/wif")) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => panic!("{error}"),
        _ => {}
    }
    let path = format!("{}:{}", path.display(), packages.display());
    let variables = [("GO111MODULE", "off"), ("GOFLAGS", ""), ("GOPATH", path.as_str())];
    let workload = Workload::start().await;
    workload.go(go, &["vet", "wif/tests/clients", "wif/oauth2"], &variables).await;
    let printed = workload.go(go, &["test", "-count=1", "-v", "wif/tests/clients"], &variables).await;
    assert!(printed.matches("\n--- PASS").count() >= 8, "{printed}");
}

#[test]
fn every_vector_holds_through_go_and_a_wrong_one_fails() {
    let Some(go) = Go::here() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("sessions");
    let mut build = go.command(&go.go, directory.path());
    ended_well(build.args(["build", "-o"]).arg(&program).arg("./tests/sessions").output().expect("it starts"));
    vectors::hold(go.command(&program, directory.path()));
}
