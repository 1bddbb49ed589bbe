//! Every line that was ever added in a git repository, as the command git tells it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use super::Place;
use super::line::{Reader, Style};

pub(super) fn look(path: &Path) -> anyhow::Result<Vec<Place>> {
    let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let mut git = Command::new("git");
    // Nothing of the repository's own configuration may run or colour anything.
    git.arg("-C").arg(directory).args(["-c", "core.quotePath=false", "-c", "diff.external=", "--no-pager", "log"]);
    git.args([
        "--all",
        "-p",
        "--unified=0",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--no-renames",
        "--format=commit %h",
    ]);
    git.args(["--", "."]);
    let mut child = git
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .context("--history needs the command git, which cannot be run")?;
    let mut places = Vec::new();
    let (mut commit, mut file, mut at) = (String::new(), String::new(), 0);
    let mut reader = Reader::new(Style::Shell);
    let mut lines = BufReader::new(child.stdout.take().context("git has no output")?);
    let mut bytes = Vec::new();
    while lines.read_until(b'\n', &mut bytes).context("cannot read what git says")? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        let line = text.trim_end_matches(['\n', '\r']);
        if let Some(id) = line.strip_prefix("commit ") {
            id.clone_into(&mut commit);
        } else if let Some(name) = line.strip_prefix("+++ b/") {
            name.clone_into(&mut file);
            reader = Reader::new(Style::of(Path::new(name)));
        } else if let Some(hunk) = line.strip_prefix("@@ ") {
            at = first_line(hunk);
        } else if let Some(added) = line.strip_prefix('+').filter(|_| !line.starts_with("+++ ")) {
            for (kind, name) in reader.look(added) {
                places.push(Place { path: file.clone(), line: at, kind, name, commit: Some(commit.clone()) });
            }
            at += 1;
        }
        bytes.clear();
    }
    if !child.wait().context("git cannot be waited for")?.success() {
        bail!("--history: {} is in no git repository that git can read", directory.display());
    }
    Ok(places)
}

/// The first line of the new side in `-1,2 +3,4 @@ …`.
fn first_line(hunk: &str) -> usize {
    let new = hunk.split(' ').find_map(|part| part.strip_prefix('+')).unwrap_or_default();
    new.split(',').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}
