//! `wif find-keys`: where a key is set, so that a migration forgets none.

mod history;
mod line;
mod sarif;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::{Value, json};

pub(crate) use self::line::Kind;
use self::line::{Reader, Style};
use crate::output::{answer, say_error};
use crate::{exit, help};

/// What `wif find-keys` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = help::FIND_KEYS)]
pub(crate) struct Options {
    /// Files and directories.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Also look at every line that was ever added in the git repositories of these paths. It needs the command git.
    #[arg(long)]
    history: bool,
    /// Print a SARIF 2.1.0 document, as code scanning takes it.
    #[arg(long, conflicts_with = "json")]
    sarif: bool,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// A place where a key is set. Never the key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    /// The variable, or what kind of key it is.
    pub(crate) name: String,
    /// The commit that added it, for a line of the past.
    pub(crate) commit: Option<String>,
}

/// No text that people or tools write for configuration is larger, in bytes.
const MAX_BYTES: u64 = 8 << 20;

/// What is said of one that is. The end of such a text may well have a key.
const TOO_LONG: &str = "is longer than 8 MiB, and the rest of it was not looked at";

/// How much of a file is looked at for a zero byte, which no text has.
const HEAD: usize = 8192;

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut places = Vec::new();
    let mut failed = false;
    let mut complain = |path: &Path, error: &dyn std::fmt::Display| {
        failed = true;
        say_error(&format!("wif: cannot read {}: {error}", path.display()));
    };
    for path in &options.paths {
        for file in files_below(path, &mut complain) {
            match text_of(&file, &mut complain) {
                Ok(Some(text)) => places.extend(look(&file, &text)),
                Ok(None) => {}
                Err(error) => complain(&file, &error),
            }
        }
        if options.history {
            places.extend(history::look(path, &mut complain)?);
        }
    }
    places.sort();
    places.dedup();
    if options.sarif {
        answer(&sarif::document(&places).to_string())?;
    } else if options.json {
        answer(&json!({ "places": places.iter().map(Place::to_json).collect::<Vec<_>>() }).to_string())?;
    } else {
        places.iter().try_for_each(|place| answer(&place.to_line()))?;
    }
    Ok(match (places.is_empty(), failed) {
        (false, _) => ExitCode::from(exit::KEYS),
        (true, true) => ExitCode::FAILURE,
        (true, false) => ExitCode::SUCCESS,
    })
}

/// The places in a text, by what its name says of it.
fn look(path: &Path, text: &str) -> Vec<Place> {
    let mut reader = Reader::new(Style::of(path));
    let mut places = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let found = reader.look(line).into_iter();
        places.extend(found.map(|(kind, name)| Place {
            path: path.display().to_string(),
            line: at + 1,
            kind,
            name,
            commit: None,
        }));
    }
    places
}

impl Place {
    fn to_line(&self) -> String {
        let commit = self.commit.as_ref().map(|commit| format!(" (added by commit {commit})")).unwrap_or_default();
        format!("{}:{}: {}: {}{commit}", self.path, self.line, self.kind.as_str(), self.words())
    }

    pub(crate) fn words(&self) -> String {
        match self.kind {
            Kind::Key => format!("{} stands here: revoke it, and remove it", self.name),
            Kind::Set => format!("{} is set here: remove it once the workload has an identity", self.name),
            Kind::Passed => format!("{} is passed on here from outside", self.name),
        }
    }

    fn to_json(&self) -> Value {
        json!({ "path": self.path, "line": self.line, "kind": self.kind.as_str(), "name": self.name, "commit": self.commit })
    }
}

/// The files at a path: itself, or all below it. Links are not followed, and git's own files are left to its history.
fn files_below(path: &Path, complain: &mut impl FnMut(&Path, &dyn std::fmt::Display)) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut left = vec![path.to_owned()];
    let mut first = true;
    while let Some(path) = left.pop() {
        // Who names a link means what it leads to.
        let metadata = if std::mem::take(&mut first) { std::fs::metadata(&path) } else { std::fs::symlink_metadata(&path) };
        match metadata {
            Err(error) => complain(&path, &error),
            Ok(metadata) if metadata.is_file() => files.push(path),
            Ok(metadata) if metadata.is_dir() => match std::fs::read_dir(&path) {
                Err(error) => complain(&path, &error),
                Ok(entries) => {
                    let entries = entries.filter_map(Result::ok).filter(|entry| entry.file_name() != ".git");
                    left.extend(entries.map(|entry| entry.path()));
                }
            },
            Ok(_) => {}
        }
    }
    files
}

/// The text of a file; none if it is no text.
fn text_of(path: &Path, complain: &mut impl FnMut(&Path, &dyn std::fmt::Display)) -> anyhow::Result<Option<String>> {
    let mut file = std::fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(MAX_BYTES).read_to_end(&mut bytes).context("it ends in the middle")?;
    if bytes.iter().take(HEAD).any(|byte| *byte == 0) {
        return Ok(None);
    }
    if file.read(&mut [0]).context("it ends in the middle")? > 0 {
        complain(path, &format!("it {TOO_LONG}"));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
