//! Every line that was ever added in a git repository, as the command git tells it.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use super::line::{Kind, Reader, Style};
use super::{MAX_BYTES, Place, TOO_LONG};

pub(super) fn look(path: &Path, complain: &mut impl FnMut(&Path, &dyn Display)) -> anyhow::Result<Vec<Place>> {
    let directory = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
    let mut child = log_of(directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .spawn()
        .context("--history needs the command git, which cannot be run")?;
    let mut history = History::default();
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
        complain(directory, &"--history: it is in no git repository that git can read to its beginning");
    }
    Ok(history.places())
}

/// The command that tells the history. The repository may be anybody's: nothing that its configuration says may run a program,
/// reach another machine, or leave out a line.
fn log_of(directory: &Path) -> Command {
    let mut git = Command::new("git");
    // A repository that lacks objects would fetch them, from wherever it says and by whatever program it says.
    git.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none");
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
    git.args(["--no-pager", "--no-replace-objects", "log"]);
    git.args([
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
        "--src-prefix=a/",
        "--dst-prefix=b/",
        "--format=commit %h %p",
    ]);
    git.args(["--", "."]);
    git
}

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
            self.file = name_of(name);
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
fn name_of(name: &[u8]) -> String {
    let name = name.strip_suffix(b"\t").unwrap_or(name);
    let name = match name.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        Some(quoted) => unquoted(quoted),
        None => name.to_vec(),
    };
    String::from_utf8_lossy(name.strip_prefix(b"b/").unwrap_or(&name)).into_owned()
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
            assert_eq!(name_of(written.as_bytes()), name, "{written}");
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
