//! The Go package, with Go's own tools, against an emulator.
//!
//! ```text
//! cargo test -p wif-go-package
//! ```

#![cfg(unix)]

mod vectors;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::json;
use tempfile::TempDir;
use wif::{Credential, DirectoryStore, Policy};
// For its library: cargo builds it beside this test.
use wif_c as _;
use wif_emulator::{Emulator, Options, TokenFile};
use wif_test_tools::{not_run, or_not_run, place, python};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// What the package stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum On {
    /// Go alone.
    Wazero,
    /// The library in C.
    Library,
}

/// Go, the package as `make install` lays it, and the library if it stands on that.
struct Go {
    on: On,
    go: PathBuf,
    /// Everything that belongs to this kind.
    place: PathBuf,
    /// What Go compiles of its own library is kept for the next run.
    cache: PathBuf,
    /// Debian's Go packages.
    packages: Option<PathBuf>,
    /// For the C compiler.
    flags: String,
}

impl Go {
    /// The one of this test process. None, and a line that says so, where a Debian package is missing.
    fn on(on: On) -> Option<&'static Self> {
        static WAZERO: OnceLock<Option<Go>> = OnceLock::new();
        static LIBRARY: OnceLock<Option<Go>> = OnceLock::new();
        let here = if on == On::Wazero { &WAZERO } else { &LIBRARY };
        here.get_or_init(|| Self::prepare(on)).as_ref()
    }

    fn prepare(on: On) -> Option<Self> {
        let go = or_not_run(python(&folder().join("tests/requirements.txt")))?.with_file_name("go");
        let cache = go.parent().and_then(Path::parent).expect("it is in a folder").join("cache");
        let name = if on == On::Wazero { "go-wazero" } else { "go-library" };
        let mut here = Self {
            on,
            go,
            place: place(Path::new(env!("CARGO_TARGET_TMPDIR")), name),
            cache,
            packages: packages(),
            flags: String::new(),
        };
        if on == On::Library {
            install_library(&here.prefix())?;
            // Go takes what it has compiled to be good while the sources beside it are the same. So the header stands in the flags.
            let mut header = DefaultHasher::new();
            std::fs::read(here.prefix().join("include/wif.h")).expect("it is installed").hash(&mut header);
            here.prefix().hash(&mut header);
            here.flags = format!("-O2 -g -DWIF_HEADER={}", header.finish());
        }
        here.lay()?;
        Some(here)
    }

    /// Where the library is installed.
    fn prefix(&self) -> PathBuf {
        self.place.join("library")
    }

    /// Where the package is, below a folder that `GOPATH` can name.
    fn module(&self) -> PathBuf {
        self.place.join("path/src/wif")
    }

    /// The package as `make install` lays it, with its tests, and with Debian's package in place of the module that nobody can fetch here.
    fn lay(&self) -> Option<()> {
        if !runs("make") {
            not_run("make");
            return None;
        }
        let _ = std::fs::remove_dir_all(self.module());
        let mut make = Command::new("make");
        make.args(["--silent", "--directory"]).arg(folder()).arg("install");
        make.arg(format!("DIRECTORY={}", self.module().display())).arg(format!("MODULE={}", env!("WIF_FLAT")));
        ended_well(make.output().expect("it starts"));
        ended_well(Command::new("cp").arg("-R").arg(folder().join("tests")).arg(self.module()).output().expect("it starts"));
        let mut edit = self.command(&self.go, &self.place);
        edit.args(["mod", "edit"]);
        let Some(packages) = &self.packages else {
            if self.on == On::Wazero {
                not_run("golang-github-tetratelabs-wazero-dev: Debian 13 has none, `bash .ci/go-packages` fetches it");
                return None;
            }
            edit.args(["-droprequire=github.com/tetratelabs/wazero", "-droprequire=golang.org/x/sys"]);
            ended_well(edit.output().expect("it starts"));
            return Some(());
        };
        for module in ["github.com/tetratelabs/wazero", "golang.org/x/sys"] {
            edit.arg(format!("-replace={module}={}", packages.join("src").join(module).display()));
        }
        // Debian's golang.org/x/sys is a later one than wazero asks for, and asks for a later Go.
        edit.arg("-go=1.26");
        ended_well(edit.output().expect("it starts"));
        Some(())
    }

    /// A program that finds the library where the package stands on it, and nothing else of this process.
    fn command(&self, program: &Path, home: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.module()).stdin(Stdio::null()).env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("HOME", home).env("GOCACHE", &self.cache).env("GOPATH", self.cache.join("path"));
        command.env("GOTOOLCHAIN", "local").env("GOPROXY", "off");
        match self.on {
            On::Wazero => command.env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=mod"),
            On::Library => {
                command.env("CGO_ENABLED", "1").env("GOFLAGS", "-mod=mod -tags=wif_library").env("CGO_CFLAGS", &self.flags);
                let libraries = self.prefix().join("lib");
                command.env("PKG_CONFIG_PATH", libraries.join("pkgconfig")).env("LD_LIBRARY_PATH", libraries)
            }
        };
        command
    }
}

/// Where Debian's Go packages are.
fn packages() -> Option<PathBuf> {
    let fetched = folder().join("../../target/tools/go-packages/usr/share/gocode");
    [PathBuf::from("/usr/share/gocode"), fetched]
        .into_iter()
        .find(|folder| folder.join("src/github.com/tetratelabs/wazero").exists())
}

fn runs(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// The library as `make install` lays it.
fn install_library(prefix: &Path) -> Option<()> {
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

async fn here(on: On) -> Option<&'static Go> {
    tokio::task::spawn_blocking(move || Go::on(on)).await.expect("no panic")
}

/// With Go's checks, and with its own tests: a cold burst, a revocation, contexts, functions as sources, errors, the log.
async fn serves_goroutines_and_http_clients(on: On, packages: &[&str], tests: usize) {
    let Some(go) = here(on).await else { return };
    let workload = Workload::start().await;
    let printed = workload.go(go, &[&["test", "-count=1", "-v", "-skip=^Example"], packages].concat(), &[]).await;
    assert!(printed.matches("\n--- PASS").count() >= tests, "{printed}");
    // The README's example, as a workload meets it.
    workload.file.rotate().expect("the directory is writable");
    let printed = workload.go(go, &["test", "-count=1", "-v", "-run=^Example", "."], &[]).await;
    assert!(printed.contains("--- PASS: Example"), "{printed}");
    workload.go(go, &[&["vet"], packages].concat(), &[]).await;
}

/// With the tests of everything that is behind it: the driver, the policy, the transport, files, stores and the module.
#[tokio::test(flavor = "multi_thread")]
async fn the_package_serves_goroutines_and_http_clients() {
    serves_goroutines_and_http_clients(On::Wazero, &[".", "./internal/..."], 150).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_library_the_package_serves_goroutines_and_http_clients() {
    serves_goroutines_and_http_clients(On::Library, &["."], 10).await;
}

/// Two of Go and one of Rust make one exchange of the one identity token, by a directory that they share.
#[tokio::test(flavor = "multi_thread")]
async fn programs_in_go_and_rust_share_a_directory() {
    let Some(go) = here(On::Wazero).await else { return };
    let workload = Workload::start().await;
    let store = workload.directory.path().join("store");
    let options = workload.emulator.options();
    let configuration = json!({
        "base_url": workload.emulator.base_url(),
        "federation": {
            "federation_rule_id": options.federation_rule_id,
            "organization_id": options.organization_id,
            "identity_token": { "source": "file", "path": workload.file.path() },
        },
    });
    let credential = Credential::builder()
        .configuration(configuration.to_string())
        .policy(Policy::default().allow_loopback())
        .store(DirectoryStore::new(&store).expect("the directory can be made"))
        .build()
        .expect("the configuration is good");
    let token = credential.token().await.expect("there is one");
    let variables = [("STORE", store.to_str().expect("a text")), ("TOKEN_ID", token.id())];
    let arguments = ["test", "-count=1", "-v", "-run=^TestADirectoryIsAStore", "."];
    let printed = workload.go(go, &arguments, &variables).await;
    assert!(printed.contains("--- PASS: TestADirectoryIsAStore"), "{printed}");
    assert_eq!(workload.emulator.counts().exchanges, 1);
}

/// The vendor's SDK and golang.org/x/oauth2, as Debian packages them: without modules, below folders that `GOPATH` names.
async fn the_vendors_sdk_and_oauth2_run(on: On) {
    let Some(go) = here(on).await else { return };
    let sdk = "src/github.com/anthropics/anthropic-sdk-go";
    let Some(packages) = go.packages.as_ref().filter(|packages| packages.join(sdk).exists()) else {
        return not_run("golang-github-anthropics-anthropic-sdk-go-dev: Debian 13 has none, `bash .ci/go-packages` fetches it");
    };
    let path = format!("{}:{}", go.place.join("path").display(), packages.display());
    let flags = if on == On::Library { "-tags=wif_library" } else { "" };
    let variables = [("GO111MODULE", "off"), ("GOFLAGS", flags), ("GOPATH", path.as_str())];
    let workload = Workload::start().await;
    workload.go(go, &["vet", "wif/tests/clients", "wif/oauth2"], &variables).await;
    let printed = workload.go(go, &["test", "-count=1", "-v", "wif/tests/clients"], &variables).await;
    assert!(printed.matches("\n--- PASS").count() >= 8, "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vendors_sdk_and_oauth2_run_on_the_package() {
    the_vendors_sdk_and_oauth2_run(On::Wazero).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vendors_sdk_and_oauth2_run_on_the_library() {
    the_vendors_sdk_and_oauth2_run(On::Library).await;
}

fn every_vector_holds(on: On) {
    let Some(go) = Go::on(on) else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("sessions");
    let mut build = go.command(&go.go, directory.path());
    ended_well(build.args(["build", "-o"]).arg(&program).arg("./tests/sessions").output().expect("it starts"));
    vectors::hold(go.command(&program, directory.path()));
}

#[test]
fn every_vector_holds_through_go_and_a_wrong_one_fails() {
    every_vector_holds(On::Wazero);
}

#[test]
fn every_vector_holds_through_go_on_the_library() {
    every_vector_holds(On::Library);
}
