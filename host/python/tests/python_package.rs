//! The Python package: with the vendor's SDK and the usual clients, every vector, strict types, and as an installed wheel.
//!
//! ```text
//! cargo test -p wif-python-package
//! ```

#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
// For its library: cargo builds it beside this test.
use wif_c as _;
use wif_emulator::{Emulator, Options, TokenFile};
use wif_test_tools::{node, or_not_run, python};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn library() -> PathBuf {
    let test = std::env::current_exe().expect("it runs");
    test.with_file_name(if cfg!(target_os = "macos") { "libwif_c.dylib" } else { "libwif_c.so" })
}

/// Python with the packages of `requirements.txt`. None, and a line that says so, where a Debian package is missing.
fn interpreter() -> Option<PathBuf> {
    or_not_run(python(&folder().join("tests/requirements.txt")))
}

/// One of the programs here, with the package as it stands in the tree.
fn program(interpreter: &Path, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg("-B").arg(folder().join("tests").join(name)).stdin(Stdio::null()).env_clear();
    command.env("PYTHONPATH", folder().join("src")).env("WIF_LIBRARY", library());
    command
}

/// What a program that ends well printed: first its output, then its errors.
fn ended_well(output: Output) -> (String, String) {
    let [out, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}: {out}\n{errors}", output.status);
    (out, errors)
}

struct World {
    emulator: Emulator,
    file: TokenFile,
    directory: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let options = Options { admin: Some(([127, 0, 0, 1], 0).into()), shortest_lifetime_seconds: 1, ..Options::default() };
        let emulator = Emulator::start(options).await.expect("the options are good");
        let directory = tempfile::tempdir().expect("a directory");
        let file = emulator.identity_provider().publish(directory.path().join("token")).expect("the directory is writable");
        Self { emulator, file, directory }
    }

    /// What a workload finds around it.
    fn surround(&self, command: &mut Command) {
        let options = self.emulator.options();
        command
            .env("HOME", self.directory.path())
            .env("ANTHROPIC_BASE_URL", self.emulator.base_url())
            .env("ANTHROPIC_FEDERATION_RULE_ID", &options.federation_rule_id)
            .env("ANTHROPIC_ORGANIZATION_ID", &options.organization_id)
            .env("ANTHROPIC_IDENTITY_TOKEN_FILE", self.file.path());
    }
}

async fn output(command: Command) -> Output {
    tokio::process::Command::from(command).output().await.expect("it starts")
}

/// `unittest` says at the end how many tests it ran.
fn ran(errors: &str) -> usize {
    let line = errors.lines().find_map(|line| line.strip_prefix("Ran ")).unwrap_or_else(|| panic!("{errors}"));
    line.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}

/// Threads and tasks: cold bursts, revocation, rotation, outage, forks; httpx, httpx2 and requests; functions as sources; the log.
#[tokio::test(flavor = "multi_thread")]
async fn the_package_serves_the_vendors_sdk_and_the_usual_clients() {
    let Some(interpreter) = tokio::task::spawn_blocking(interpreter).await.expect("no panic") else { return };
    let world = World::start().await;
    let mut command = program(&interpreter, "live.py");
    world.surround(&mut command);
    command
        .env("EMULATOR_ADMIN", world.emulator.admin_url().expect("it was asked for"))
        .env("RULES", folder().join("../../wit/rules.json"));
    let (_, errors) = ended_well(output(command).await);
    assert!(ran(&errors) >= 31, "{errors}");
}

#[test]
fn every_vector_holds_through_python_and_a_wrong_one_fails() {
    let Some(interpreter) = interpreter() else { return };
    let mut command = program(&interpreter, "vectors.py");
    let (printed, _) = ended_well(command.arg(folder().join("../../tests/vectors")).output().expect("it starts"));
    let lines: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let run: Vec<_> = lines.iter().map(|line| (line["name"].as_str().expect("a name"), line["reason"].as_str())).collect();
    let (wrong, right): (Vec<_>, Vec<_>) = run.into_iter().partition(|(name, _)| name.starts_with("wrong/"));
    assert!(right.len() >= 170, "only {} vectors were found", right.len());
    let failed: Vec<_> = right.iter().filter(|(_, reason)| reason.is_some()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(wrong.len() >= 2 && wrong.iter().all(|(_, reason)| reason.is_some()), "{wrong:?}");
}

#[test]
fn the_package_is_typed_by_the_strictest_rules_of_mypy() {
    let Some(interpreter) = interpreter() else { return };
    let cache = tempfile::tempdir().expect("a directory");
    let mut mypy = Command::new(&interpreter);
    mypy.args(["-m", "mypy", "--strict", "--explicit-package-bases", "--no-error-summary", "--cache-dir"]).arg(cache.path());
    mypy.arg(folder().join("src/wif")).arg(folder().join("tests/typed.py"));
    mypy.env("MYPYPATH", folder().join("src")).current_dir(cache.path());
    ended_well(mypy.output().expect("it starts"));
}

#[test]
fn the_package_is_typed_by_the_strictest_rules_of_pyright() {
    let Some(interpreter) = interpreter() else { return };
    let pyright = match node(&folder().join("tests/pyright")) {
        Ok(folder) => folder.join("node_modules/pyright/index.js"),
        Err(missing) => panic!("{missing}"),
    };
    let project = tempfile::tempdir().expect("a directory");
    let configuration = serde_json::json!({
        "include": [folder().join("src/wif"), folder().join("tests/typed.py")],
        "extraPaths": [folder().join("src")],
        "typeCheckingMode": "strict",
    });
    let file = project.path().join("pyrightconfig.json");
    fs::write(&file, configuration.to_string()).expect("it is writable");
    let mut command = Command::new("node");
    command.arg(pyright).arg("--project").arg(&file).arg("--pythonpath").arg(&interpreter);
    ended_well(command.output().expect("it starts"));
}

/// What is uploaded: a wheel for every Python 3 on this platform, with the library inside.
#[tokio::test(flavor = "multi_thread")]
async fn a_wheel_installs_alone_and_runs_the_readmes_first_example() {
    let Some(interpreter) = tokio::task::spawn_blocking(interpreter).await.expect("no panic") else { return };
    let world = World::start().await;
    let place = tempfile::tempdir().expect("a directory");
    let (source, wheels, installed) = (place.path().join("source"), place.path().join("wheels"), place.path().join("installed"));
    copy(&folder().join("src"), &source.join("src"));
    for file in ["pyproject.toml", "setup.py", "README.md"] {
        fs::copy(folder().join(file), source.join(file)).expect("it is there");
    }
    fs::copy(library(), source.join("src/wif/libwif.so")).expect("it was built");
    let pip = |arguments: &[&OsStr]| {
        let mut command = Command::new(&interpreter);
        command.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]).args(arguments);
        command
    };
    let [wheel, no_deps, no_isolation, into] = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir"].map(OsStr::new);
    ended_well(output(pip(&[wheel, no_deps, no_isolation, into, wheels.as_os_str(), source.as_os_str()])).await);
    let built: Vec<PathBuf> = fs::read_dir(&wheels).expect("it is there").map(|entry| entry.expect("a file").path()).collect();
    let [built] = built.as_slice() else { panic!("{built:?}") };
    let name = built.file_name().and_then(OsStr::to_str).expect("a name");
    assert!(name.starts_with("wif-") && name.contains("-py3-none-") && !name.contains("any"), "{name}");
    let [install, target] = ["install", "--target"].map(OsStr::new);
    ended_well(output(pip(&[install, no_deps, target, installed.as_os_str(), built.as_os_str()])).await);

    let example = example(&fs::read_to_string(folder().join("README.md")).expect("it is there"));
    let mut command = Command::new(&interpreter);
    command.args(["-B", "-c", &example]).stdin(Stdio::null()).env_clear().env("PYTHONPATH", &installed);
    // As `wif emulate` sets it.
    command.env("WIF_ALLOW_LOOPBACK", "1");
    world.surround(&mut command);
    let (printed, _) = ended_well(output(command).await);
    let id = world.emulator.history()[0].access_token_id.as_ref().map(ToString::to_string).expect("it was granted");
    assert!(printed.contains(&id), "{printed}");
}

/// The first block of Python.
fn example(readme: &str) -> String {
    let block = readme.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```")).expect("the README has one");
    block.0.to_owned()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("it is writable");
    for entry in fs::read_dir(from).expect("it is there") {
        let entry = entry.expect("an entry").path();
        let name = entry.file_name().expect("a name");
        if entry.is_dir() {
            if name != "__pycache__" {
                copy(&entry, &to.join(name));
            }
        } else if !name.to_string_lossy().starts_with("libwif") {
            fs::copy(&entry, to.join(name)).expect("it is writable");
        }
    }
}
