//! What tests need from other ecosystems: Python packages and npm packages, fetched once into `target/tools`, pinned by hash,
//! under a lock that all test processes respect.
//!
//! ```no_run
//! use std::path::Path;
//! use wif_test_tools::{or_not_run, python};
//!
//! let Some(interpreter) = or_not_run(python(Path::new("requirements.txt"))) else { return };
//! ```

#![allow(clippy::disallowed_methods, reason = "installs programs for tests, outside of any virtual time")]

#[cfg(unix)]
mod desktop;
#[cfg(unix)]
mod redis;
#[cfg(unix)]
mod swapped_mount;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};
use thiserror::Error;

#[cfg(unix)]
pub use desktop::Desktop;
#[cfg(unix)]
pub use redis::Redis;
#[cfg(unix)]
pub use swapped_mount::SwappedMount;

/// A program in Python that runs another one, with its arguments, where no memory can be made executable: as systemd's
/// `MemoryDenyWriteExecute` does it. It ends with 77 where the kernel cannot be asked, which is before Linux 6.3.
pub const WITHOUT_EXECUTABLE_MEMORY: &str = "
import ctypes, os, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
    sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])
";

/// Why a tool is not there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Missing {
    /// A Debian package has to be installed: see [`or_not_run`].
    #[error("the Debian package {0} is not installed")]
    DebianPackage(&'static str),
    /// A program that the README asks for is not on the path.
    #[error("{0} is not on the path: install it, or put it there")]
    Program(&'static str),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The installer did not succeed; these are the last lines of what it printed.
    #[error("{command} failed:\n{output}")]
    Installation {
        /// What was run.
        command: &'static str,
        /// The end of its output.
        output: String,
    },
}

/// Says that a test was not run, and why, where the test runner does not hide it: `.ci/run` counts this as a failure.
pub fn not_run(debian_package: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // The macros' output is captured and dropped when a test passes.
    let _ = writeln!(io::stderr(), "NOT RUN: {test} needs the Debian package {debian_package}");
}

/// What a test needs; or none, and a line that says so, where a Debian package is missing.
///
/// # Panics
///
/// Something else is missing: what the README asks for, or what is fetched.
pub fn or_not_run<T>(needed: Result<T, Missing>) -> Option<T> {
    match needed {
        Ok(needed) => Some(needed),
        Err(Missing::DebianPackage(package)) => {
            not_run(package);
            None
        }
        Err(missing) => panic!("{missing}"),
    }
}

/// An interpreter that finds the packages of this requirements file, in which each has its version and hashes.
///
/// # Errors
///
/// [`Missing`], if Python 3 is not there or the packages cannot be fetched.
pub fn python(requirements: &Path) -> Result<PathBuf, Missing> {
    let python = "python3";
    if !runs(Command::new(python).arg("--version")) {
        return Err(Missing::Program("python3"));
    }
    if !runs(Command::new(python).args(["-c", "import ensurepip, venv"])) {
        return Err(Missing::DebianPackage("python3-venv"));
    }
    let text = read(requirements)?;
    let directory = installed("python", &[&text], |directory| {
        run("python3 -m venv", Command::new(python).args(["-m", "venv"]).arg(directory))?;
        let mut pip = Command::new(interpreter(directory));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes"]);
        run("pip install", pip.args(["--only-binary", ":all:", "--requirement"]).arg(requirements))
    })?;
    Ok(interpreter(&directory))
}

/// A folder in which Node finds the packages of the `package.json` and `package-lock.json` in `project`.
///
/// # Errors
///
/// [`Missing`], if Node or npm is not there or the packages cannot be fetched.
pub fn node(project: &Path) -> Result<PathBuf, Missing> {
    for program in ["node", "npm"] {
        if !runs(Command::new(program).arg("--version")) {
            return Err(Missing::Program(program));
        }
    }
    let manifest = read(&project.join("package.json"))?;
    let lock = read(&project.join("package-lock.json"))?;
    installed("node", &[&manifest, &lock], |directory| {
        write(&directory.join("package.json"), &manifest)?;
        write(&directory.join("package-lock.json"), &lock)?;
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(directory);
        run("npm ci", &mut npm)
    })
}

/// The folder `target/tools/<name>-<hash of the pins>`, filled by `install` if that was not done to its end before.
fn installed(name: &str, pins: &[&[u8]], install: impl FnOnce(&Path) -> Result<(), Missing>) -> Result<PathBuf, Missing> {
    let mut hash = Sha256::new();
    for pin in pins {
        hash.update(pin.len().to_le_bytes());
        hash.update(pin);
    }
    let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    fs::create_dir_all(&tools).map_err(at(&tools))?;
    // Node does not find packages through a path with `..` in it, where a program is named by its real path.
    let tools = tools.canonicalize().map_err(at(&tools))?;
    let directory = tools.join(format!("{name}-{hash}"));
    let lock = directory.with_extension("lock");
    let lock = File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(at(&lock))?;
    let complete = directory.join(".complete");
    if !complete.exists() {
        if directory.exists() {
            fs::remove_dir_all(&directory).map_err(at(&directory))?;
        }
        fs::create_dir_all(&directory).map_err(at(&directory))?;
        install(&directory)?;
        write(&complete, b"")?;
    }
    drop(lock);
    Ok(directory)
}

/// An empty folder in `parent` that is this process's alone until it ends. A run of the tests beside this one gets another; the next
/// run gets this one again, and finds it empty. For what is made once for a process: nothing that lives as long as one is ever dropped.
///
/// # Panics
///
/// `parent` cannot be written.
#[must_use]
pub fn place(parent: &Path, name: &str) -> PathBuf {
    for number in 0_usize.. {
        let folder = parent.join(format!("{name}-{number}"));
        let lock = File::create(folder.with_extension("lock")).expect("its parent can be written");
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => panic!("no lock for {}: {error}", folder.display()),
        }
        // The system takes the lock off when the process ends.
        std::mem::forget(lock);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{}: {error}", folder.display()),
            _ => {}
        }
        fs::create_dir(&folder).expect("its parent can be written");
        return folder;
    }
    unreachable!("there are more numbers than processes")
}

/// Whether a program that is started here has this signal ignored, as `nohup` and a shell's `&` have some. No shell can then hear it.
///
/// # Panics
///
/// There is no shell.
#[must_use]
pub fn ignores(signal: &str) -> bool {
    let script = format!("kill -s {signal} $$; echo alive");
    let output = Command::new("sh").args(["-c", &script]).output().expect("a shell runs");
    output.stdout.starts_with(b"alive")
}

fn interpreter(directory: &Path) -> PathBuf {
    directory.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" })
}

fn runs(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn run(name: &'static str, command: &mut Command) -> Result<(), Missing> {
    let failed = |output: String| Missing::Installation { command: name, output };
    let output = command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    let lines: Vec<&str> = text.lines().collect();
    Err(failed(lines[lines.len().saturating_sub(30)..].join("\n")))
}

fn read(path: &Path) -> Result<Vec<u8>, Missing> {
    fs::read(path).map_err(at(path))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Missing> {
    fs::write(path, bytes).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Missing {
    let path = path.to_path_buf();
    move |source| Missing::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_empty_and_nobody_elses() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join("place-0");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("left"), b"by an earlier process").unwrap();
        let (first, second) = (place(parent.path(), "place"), place(parent.path(), "place"));
        assert_eq!(first, left);
        assert_ne!(first, second);
        for place in [first, second] {
            assert_eq!(fs::read_dir(place).unwrap().count(), 0);
        }
    }
}
