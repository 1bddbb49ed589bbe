//! The library as it is installed, and a compiler for programs that use it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use wif_test_tools::{not_run, place};

/// What programs are compiled with, beside what they need.
const WARNINGS: [&str; 5] = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"];

/// A folder that `make install` has filled.
pub(crate) struct Installed {
    folder: PathBuf,
    compiled: Mutex<BTreeSet<PathBuf>>,
}

/// How a program gets the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Shared,
    Static,
}

impl Installed {
    /// The one of this test process.
    pub(crate) fn here() -> Option<&'static Self> {
        static HERE: OnceLock<Option<Installed>> = OnceLock::new();
        HERE.get_or_init(Self::install).as_ref()
    }

    fn install() -> Option<Self> {
        for (program, package) in [("make", "make"), ("cc", "gcc"), ("pkg-config", "pkg-config")] {
            if !runs(program) {
                not_run(package);
                return None;
            }
        }
        let folder = place(Path::new(env!("CARGO_TARGET_TMPDIR")), "libwif-installed");
        let mut make = Command::new("make");
        make.args(["--silent", "--directory"]).arg(crate_folder()).arg("install");
        make.arg(variable("PREFIX", &folder)).arg(variable("BUILD", &build_folder()));
        ended_well(make.output().expect("make starts"));
        Some(Self { folder, compiled: Mutex::default() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The program of this source, compiled with what `pkg-config` says.
    pub(crate) fn compiled(&self, source: &Path, link: Link, more: &[&str]) -> PathBuf {
        let mut pkg_config = Command::new("pkg-config");
        pkg_config.args(["--cflags", "--libs"]).args((link == Link::Static).then_some("--static")).arg("wif");
        let flags = ended_well(pkg_config.env("PKG_CONFIG_PATH", self.path("lib/pkgconfig")).output().expect("it starts"));
        let name = format!(
            "{}-{link:?}{}",
            source.file_stem().and_then(OsStr::to_str).expect("a name"),
            more.concat().replace('/', "-")
        );
        let program = self.path(&name);
        // Each is compiled once: who runs it must not find it half written.
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if !compiled.insert(program.clone()) {
            return program;
        }
        let mut compiler = Command::new("cc");
        compiler.args(["-std=c11", "-g"]).args(WARNINGS).arg(source).args(more).arg("-o").arg(&program);
        // The linker would take the shared one, which is beside it.
        let library = if link == Link::Static { "-l:libwif.a" } else { "-lwif" };
        compiler.args(flags.split_whitespace().map(|flag| if flag == "-lwif" { library } else { flag }));
        ended_well(compiler.args(["-lpthread", "-ldl"]).output().expect("the compiler starts"));
        program
    }

    /// Runs a program so that it finds the shared library.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LD_LIBRARY_PATH", self.path("lib")).stdin(Stdio::null());
        command
    }

    /// Whether the header alone compiles.
    pub(crate) fn header_compiles(&self, compiler: &str, standard: &str) {
        let language = if compiler == "c++" { "c++" } else { "c" };
        let mut command = Command::new(compiler);
        command.args(["-x", language, "-fsyntax-only", standard]).args(WARNINGS).arg("-I").arg(self.path("include"));
        command.arg(crate_folder().join("tests/programs/header.c"));
        ended_well(command.output().expect("the compiler starts"));
    }
}

pub(crate) fn crate_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

pub(crate) fn runs(program: &str) -> bool {
    let status = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// What a program that ended well printed.
pub(crate) fn ended_well(output: Output) -> String {
    let [out, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{}: {out}\n{errors}", output.status);
    out
}

/// Beside this test, which cargo built it for.
fn build_folder() -> PathBuf {
    let test = std::env::current_exe().expect("it runs");
    test.parent().expect("it is in a folder").to_path_buf()
}

fn variable(name: &str, value: &Path) -> String {
    format!("{name}={}", value.display())
}
