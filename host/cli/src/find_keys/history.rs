//! Every line that was ever added in a git repository, as the command git tells it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::thread::JoinHandle;

use anyhow::Context as _;

use super::line::{Kind, Reader, Style};
use super::{MAX_BYTES, Place, TOO_LONG};
use crate::words::scrubbed;

/// What git may say to its standard error before it is no longer listened to, in bytes.
const MAX_COMPLAINT: u64 = 64 * 1024;

/// The variables that say where the user's own settings and git itself are. Every other one whose name begins so may lead elsewhere, or
/// name a program: `GIT_DIR` is set within each hook, for example.
const KEPT: [&str; 4] = ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"];

/// Every line that was ever added at this path: of all files below a directory, or of one file. The places are named as those of the
/// files that are there now: by the path that the user gave.
pub(super) fn look(path: &Path, complain: &mut impl FnMut(&Path, &dyn Display)) -> anyhow::Result<Vec<Place>> {
    let (directory, file) = match path.is_dir() {
        true => (path, None),
        false => (path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")), path.file_name()),
    };
    let prefix = match ask(directory, &["rev-parse", "--show-prefix"])? {
        Ok(prefix) => prefix,
        Err(why) => {
            complain(directory, &format!("--history: git cannot tell its history: {why}"));
            return Ok(Vec::new());
        }
    };
    if ask(directory, &["rev-parse", "--is-shallow-repository"])?.is_ok_and(|answer| answer == "true") {
        complain(
            directory,
            &"--history: the clone is shallow, so that its history is cut off; `git fetch --unshallow` brings the rest",
        );
    }
    let mut git = git_in(directory);
    git.args(LOG).arg("--").arg(file.unwrap_or(OsStr::new(".")));
    let mut child = git.spawn().context(NO_GIT)?;
    let complaint = heard(child.stderr.take());
    let mut history = History { directory: directory.to_owned(), prefix: prefix.into_bytes(), ..History::default() };
    let mut lines = BufReader::new(child.stdout.take().context("git has no output")?);
    let mut bytes = Vec::new();
    loop {
        match next_line(&mut lines, &mut bytes).context("cannot read what git says")? {
            Line::None => break,
            // What was removed was added before.
            Line::Cut if bytes.first() == Some(&b'+') => {
                complain(Path::new(&history.file), &format!("a line in commit {} {TOO_LONG}", history.commit));
            }
            Line::Whole | Line::Cut => {}
        }
        history.take(&bytes);
    }
    if !child.wait().context("git cannot be waited for")?.success() {
        let why = complaint.join().unwrap_or_default();
        complain(directory, &format!("--history: git cannot read it to its beginning: {why}"));
    }
    Ok(history.places())
}

const NO_GIT: &str = "--history needs the command git, which cannot be run";

/// The answer of git on a line, or its own reason why there is none.
fn ask(directory: &Path, arguments: &[&str]) -> anyhow::Result<Result<String, String>> {
    let mut child = git_in(directory).args(arguments).spawn().context(NO_GIT)?;
    let complaint = heard(child.stderr.take());
    let mut answer = Vec::new();
    child.stdout.take().context("git has no output")?.read_to_end(&mut answer).context("cannot read what git says")?;
    let is_good = child.wait().context("git cannot be waited for")?.success();
    let why = complaint.join().unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer);
    Ok(if is_good { Ok(answer.strip_suffix('\n').unwrap_or(&answer).to_owned()) } else { Err(why) })
}

/// Listens beside, so that git never waits for somebody to listen. What it says is for a person: its errors on one line, and no
/// secret.
fn heard(stderr: Option<ChildStderr>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let Some(mut stderr) = stderr else { return String::new() };
        let mut text = Vec::new();
        let _rest_is_lost = stderr.by_ref().take(MAX_COMPLAINT).read_to_end(&mut text);
        let _nobody_needs_it = std::io::copy(&mut stderr, &mut std::io::sink());
        let text = String::from_utf8_lossy(&text);
        let is_error = |line: &&str| ["fatal: ", "error: "].iter().any(|lead| line.starts_with(lead));
        let mut errors: Vec<&str> = text.lines().filter(is_error).collect();
        if errors.is_empty() {
            errors.extend(text.lines().next());
        }
        match scrubbed(&errors.join("; ")) {
            reason if reason.is_empty() => "it does not say why".to_owned(),
            reason => reason,
        }
    })
}

/// Git in this directory. The repository may be anybody's: nothing that its configuration says may run a program, reach another
/// machine, or leave out a line. And nothing of this process's environment leads to another repository.
fn git_in(directory: &Path) -> Command {
    let mut git = Command::new("git");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("GIT_") && !KEPT.contains(&name.as_str()) {
            git.env_remove(name);
        }
    }
    // A repository that lacks objects would fetch them, from wherever it says and by whatever program it says.
    git.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none").env("GIT_TERMINAL_PROMPT", "0");
    // Commits that a file of the repository gives other parents, or none.
    git.env("GIT_GRAFT_FILE", "/dev/null");
    // What it says is read here, in one language.
    git.env("LC_ALL", "C");
    git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    git.arg("-C").arg(directory);
    for setting in [
        "core.quotePath=false",
        "core.fsmonitor=false",
        "core.hooksPath=/dev/null",
        "diff.external=",
        "diff.relative=false",
        "log.diffMerges=separate",
        "log.follow=false",
        "log.showRoot=true",
        "log.showSignature=false",
    ] {
        git.args(["-c", setting]);
    }
    git.args(["--no-pager", "--no-replace-objects", "--literal-pathspecs"]);
    git
}

const LOG: [&str; 18] = [
    "log",
    // Stashes but the last stand in a reflog alone.
    "--all",
    "--reflog",
    // Also what a merge has thrown away.
    "--full-history",
    "-p",
    "-m",
    "--text",
    "--unified=0",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--no-show-signature",
    "--submodule=short",
    "--ignore-submodules=none",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--format=commit %h %p",
];

enum Line {
    None,
    Whole,
    /// It is longer than anything that people write, and ends early here.
    Cut,
}

/// The next line, without its end.
fn next_line(lines: &mut impl BufRead, bytes: &mut Vec<u8>) -> std::io::Result<Line> {
    bytes.clear();
    if lines.by_ref().take(MAX_BYTES).read_until(b'\n', bytes)? == 0 {
        return Ok(Line::None);
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        return Ok(Line::Whole);
    }
    // The end of what git says, perhaps.
    Ok(if lines.skip_until(b'\n')? > 0 { Line::Cut } else { Line::Whole })
}

/// What was read of the log so far. A merge is told once for each of its parents.
struct History {
    /// What the user gave, and where in its repository that is: each path that git tells begins so.
    directory: PathBuf,
    prefix: Vec<u8>,
    commit: String,
    parents: usize,
    file: String,
    reader: Reader,
    /// How many lines of each side the hunk still has. What looks like a header within it is none.
    old: usize,
    new: usize,
    /// The number of the next line of the new side.
    at: usize,
    /// Each with the number of the parents that it is missing in, and that of all parents.
    found: HashMap<Place, (usize, usize)>,
    /// What the present diff has added, each once.
    of_diff: Vec<Place>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            directory: PathBuf::new(),
            prefix: Vec::new(),
            commit: String::new(),
            parents: 0,
            file: String::new(),
            reader: Reader::new(Style::Shell),
            old: 0,
            new: 0,
            at: 0,
            found: HashMap::new(),
            of_diff: Vec::new(),
        }
    }
}

impl History {
    fn take(&mut self, bytes: &[u8]) {
        if self.old > 0 || self.new > 0 {
            self.take_of_hunk(bytes);
        } else {
            self.take_header(bytes);
        }
    }

    fn take_header(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        if let Some(ids) = text.strip_prefix("commit ") {
            self.end_diff();
            let mut ids = ids.split_whitespace();
            ids.next().unwrap_or_default().clone_into(&mut self.commit);
            self.parents = ids.count();
        } else if let Some(name) = bytes.strip_prefix(b"+++ ") {
            let name = name_of(name);
            let below = name.strip_prefix(self.prefix.as_slice()).unwrap_or(&name);
            self.file = self.directory.join(String::from_utf8_lossy(below).as_ref()).display().to_string();
            self.reader = Reader::new(Style::of(Path::new(&self.file)));
        } else if let Some(hunk) = text.strip_prefix("@@ ") {
            let mut sides = hunk.split(' ');
            (_, self.old) = range(sides.next().unwrap_or_default());
            (self.at, self.new) = range(sides.next().unwrap_or_default());
        }
    }

    fn take_of_hunk(&mut self, bytes: &[u8]) {
        match bytes.first() {
            Some(b'+') => {
                self.new = self.new.saturating_sub(1);
                self.look(&bytes[1..]);
                self.at += 1;
            }
            Some(b'-') => self.old = self.old.saturating_sub(1),
            // "\ No newline at end of file" is no line of either side.
            Some(b'\\') => {}
            // Both sides have it: two hunks that are near each other may be told as one.
            _ => {
                self.old = self.old.saturating_sub(1);
                self.new = self.new.saturating_sub(1);
                self.at += 1;
            }
        }
    }

    fn look(&mut self, added: &[u8]) {
        let text = String::from_utf8_lossy(added);
        // What a program looks like that was compiled says nothing of what is set.
        let is_text = !added.contains(&0);
        for (kind, name) in self.reader.look(text.trim_end_matches('\r')) {
            if is_text || kind == Kind::Key {
                let (path, commit) = (self.file.clone(), Some(self.commit.clone()));
                self.of_diff.push(Place { path, line: self.at, kind, name, commit });
            }
        }
    }

    fn end_diff(&mut self) {
        self.of_diff.sort();
        self.of_diff.dedup();
        for place in self.of_diff.drain(..) {
            self.found.entry(place).or_insert((0, self.parents)).0 += 1;
        }
    }

    /// What no parent had: a merge adds nothing that it takes from one of them.
    fn places(mut self) -> Vec<Place> {
        self.end_diff();
        self.found.into_iter().filter(|(_, (missing, parents))| missing >= parents).map(|(place, _)| place).collect()
    }
}

/// The first line and the number of lines in `-1,2` or `+3`.
fn range(side: &str) -> (usize, usize) {
    let side = side.trim_start_matches(['-', '+']);
    let (first, count) = side.split_once(',').unwrap_or((side, "1"));
    (first.parse().unwrap_or(0), count.parse().unwrap_or(0))
}

/// The path in `b/PATH`. Git quotes it where it has control characters, quotes or backslashes, and ends it with a tab where it has
/// spaces.
fn name_of(name: &[u8]) -> Vec<u8> {
    let name = name.strip_suffix(b"\t").unwrap_or(name);
    let name = match name.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        Some(quoted) => unquoted(quoted),
        None => name.to_vec(),
    };
    name.strip_prefix(b"b/").map(<[u8]>::to_vec).unwrap_or(name)
}

/// A text as C writes it.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'a') => plain.push(7),
            Some(b'b') => plain.push(8),
            Some(b't') => plain.push(b'\t'),
            Some(b'n') => plain.push(b'\n'),
            Some(b'v') => plain.push(11),
            Some(b'f') => plain.push(12),
            Some(b'r') => plain.push(b'\r'),
            Some(digit @ b'0'..=b'7') => {
                let mut value = u32::from(digit - b'0');
                for _ in 0..2 {
                    let next = bytes.next_if(|byte| matches!(byte, b'0'..=b'7'));
                    value = next.map_or(value, |digit| value * 8 + u32::from(digit - b'0'));
                }
                plain.push(u8::try_from(value).unwrap_or(b'?'));
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_git_writes_them() {
        for (written, name) in [
            ("b/a", "a"),
            ("b/a b\t", "a b"),
            (r#""b/a\tb""#, "a\tb"),
            (r#""b/a\"\\\001z""#, "a\"\\\u{1}z"),
            (r#""b/\303\244""#, "ä"),
            ("/dev/null", "/dev/null"),
        ] {
            assert_eq!(String::from_utf8_lossy(&name_of(written.as_bytes())), name, "{written}");
        }
    }

    #[test]
    fn the_sides_of_a_hunk_are_counted() {
        assert_eq!((range("-1,2"), range("+3"), range("-0,0"), range("")), ((1, 2), (3, 1), (0, 0), (0, 1)));
    }

    #[test]
    fn a_line_without_end_is_cut_and_the_next_one_is_read() {
        let long = usize::try_from(MAX_BYTES).expect("it fits") + 3;
        let text = [vec![b'a'; long], b"\nb\nc".to_vec()].concat();
        let (mut lines, mut bytes) = (text.as_slice(), Vec::new());
        assert!(matches!(next_line(&mut lines, &mut bytes), Ok(Line::Cut)));
        assert_eq!(bytes.len() as u64, MAX_BYTES);
        for expected in ["b", "c"] {
            assert!(matches!(next_line(&mut lines, &mut bytes), Ok(Line::Whole)));
            assert_eq!(bytes, expected.as_bytes());
        }
        assert!(matches!(next_line(&mut lines, &mut bytes), Ok(Line::None)));
    }
}
