//! What a line sets, by the kind of file that it is in.

use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use crate::environment::{API_KEY, AUTH_TOKEN, CLAUDE_CODE};

/// How a key is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// The key itself stands there.
    Key,
    /// A variable for a key is given a value, by reference perhaps.
    Set,
    /// A variable for a key is taken over from outside.
    Passed,
}

impl Kind {
    /// A name that stays the same.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Set => "set",
            Self::Passed => "passed",
        }
    }
}

/// What a file is, as far as it matters for what a line in it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `NAME=value`, and commands: environment files, shell, Dockerfiles, units, and whatever has no known name.
    Shell,
    /// `NAME: value`: YAML, and JSON but for notebooks.
    Data,
    /// A program: its own constants and types may have the variable's name, and set nothing.
    Program,
    /// JSON whose strings are lines of a program.
    Notebook,
    /// Read by people: keys stand there by mistake, and settings as examples.
    Prose,
}

impl Style {
    pub(crate) fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if name.starts_with(".env") || name.starts_with("dockerfile") {
            return Self::Shell;
        }
        match extension.as_str() {
            "yml" | "yaml" | "json" | "jsonc" | "json5" => Self::Data,
            "ipynb" => Self::Notebook,
            "md" | "mdx" | "rst" | "txt" | "adoc" | "html" | "htm" | "org" => Self::Prose,
            "py" | "pyi" | "js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "tsx" | "rs" | "go" | "rb" | "java" | "kt" | "cs"
            | "php" | "c" | "h" | "cc" | "cpp" | "hpp" | "swift" | "scala" | "ex" | "exs" | "clj" | "lua" | "dart" | "vue"
            | "svelte" => Self::Program,
            _ => Self::Shell,
        }
    }
}

/// The variables that clients of the API take a static credential from, and the one for the Admin API.
const NAMES: [&str; 4] = [API_KEY, AUTH_TOKEN, CLAUDE_CODE, "ANTHROPIC_ADMIN_KEY"];

/// Inputs of the vendor's action, in workflows.
const INPUTS: [&str; 2] = ["anthropic_api_key", "claude_code_oauth_token"];

/// A key as it is: its kind, and enough characters to be one.
static KEY: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"sk-ant-(api|admin|oat|ort|sid)[0-9]{2}-([A-Za-z0-9_-]{24,})").expect("it is tested"));

/// The same in base64, as Kubernetes keeps secrets; one for each place in three bytes that it can begin at.
static ENCODED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(c2stYW50L[A-Za-z0-9+/]{40,}|NrLWFudC[A-Za-z0-9+/]{40,}|zay1hbnQt[A-Za-z0-9+/]{40,})").expect("it is tested")
});

/// Reads the lines of one file, in order.
pub(crate) struct Reader {
    style: Style,
    /// A list entry has named a variable: the next lines say whether it has a value.
    named: Option<&'static str>,
}

impl Reader {
    pub(crate) fn new(style: Style) -> Self {
        Self { style, named: None }
    }

    pub(crate) fn look(&mut self, line: &str) -> Vec<(Kind, String)> {
        // A line of a notebook is a string within JSON.
        let unescaped = (self.style == Style::Notebook).then(|| line.replace("\\\"", "\"").replace("\\n", ""));
        let line = unescaped.as_deref().unwrap_or(line);
        let mut found: Vec<(Kind, String)> = keys(line).collect();
        let is_comment =
            ["#", "//", ";", "* ", "/*", "<!--", "--", "REM ", "rem "].iter().any(|mark| line.trim_start().starts_with(mark));
        if self.style == Style::Prose || is_comment {
            return found;
        }
        if let Some(setting) = self.value_of_named(line).or_else(|| self.setting(line)) {
            // The key itself says more.
            if found.is_empty() {
                found.push((setting.0, setting.1.to_owned()));
            }
        }
        found
    }

    /// `- name: NAME` and then `value: …` or `valueFrom: …`, as in manifests.
    fn value_of_named(&mut self, line: &str) -> Option<(Kind, &'static str)> {
        if self.style != Style::Data {
            return None;
        }
        let named = self.named.take();
        let text = line.trim().trim_start_matches("- ").trim_start_matches('{').trim();
        let of = |text: &str| NAMES.into_iter().find(|name| value(text, "name").is_some_and(|value| unquoted(value) == *name));
        let given = |text: &str| {
            ["value", "valueFrom"].iter().any(|key| value(text, key).is_some_and(|value| *key == "valueFrom" || is_value(value)))
        };
        if let Some(name) = named
            && given(text)
        {
            return Some((Kind::Set, name));
        }
        // On one line, in braces.
        let inner = text.split_once('{').map_or(text, |(_, inner)| inner);
        let parts: Vec<&str> = inner.split(',').map(|part| part.trim().trim_end_matches(['}', ']', ','])).collect();
        let name = parts.iter().find_map(|part| of(part))?;
        if parts.iter().any(|part| given(part)) {
            return Some((Kind::Set, name));
        }
        self.named = Some(name);
        None
    }

    fn setting(&self, line: &str) -> Option<(Kind, &'static str)> {
        let mut names: Vec<&'static str> = NAMES.to_vec();
        if self.style == Style::Data {
            names.extend(INPUTS);
        }
        names.into_iter().find_map(|name| {
            line.match_indices(name).find_map(|(at, _)| {
                let kind = self.at(&line[..at], &line[at + name.len()..])?;
                Some((kind, name))
            })
        })
    }

    /// What stands around a variable's name.
    fn at(&self, before: &str, after: &str) -> Option<Kind> {
        let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
        if before.ends_with(word) || after.starts_with(word) {
            return None;
        }
        let quote = before.chars().next_back().filter(|character| matches!(character, '"' | '\'' | '`'));
        let (before, after) = match quote {
            Some(quote) => (&before[..before.len() - 1], after.strip_prefix(quote).unwrap_or(after)),
            None => (before, after),
        };
        match self.style {
            Style::Shell => shell(before, after, quote.is_some()),
            Style::Data => data(before, after),
            Style::Program => program(before, after),
            Style::Notebook => program(before, after).or_else(|| magic(before, after)),
            Style::Prose => None,
        }
    }
}

fn keys(line: &str) -> impl Iterator<Item = (Kind, String)> + '_ {
    let plain = KEY.captures_iter(line).filter(|captures| looks_random(&captures[2])).map(|captures| match &captures[1] {
        "api" => "an API key",
        "admin" => "an admin key",
        "oat" => "an access token",
        "ort" => "a refresh token",
        _ => "a session key",
    });
    let encoded = ENCODED.find_iter(line).filter(|found| looks_random(found.as_str())).map(|_| "a key in base64");
    plain.chain(encoded).map(|name| (Kind::Key, name.to_owned()))
}

/// Whether nobody wrote it by hand: examples repeat a character, or say what they are.
fn looks_random(body: &str) -> bool {
    let lower = body.to_ascii_lowercase();
    let says = ["example", "your", "placeholder", "xxxx", "redacted", "dummy", "fake", "0000", "1234567", "abcdef"];
    let distinct = body.bytes().collect::<std::collections::HashSet<_>>().len();
    distinct >= 12 && body.bytes().any(|byte| byte.is_ascii_digit()) && !says.iter().any(|word| lower.contains(word))
}

/// `NAME=value` and its kin.
fn shell(before: &str, after: &str, quoted: bool) -> Option<Kind> {
    let trimmed = before.trim_end();
    // `$NAME` and `${NAME…}` read it, as does `secrets.NAME`.
    if before.ends_with('$') || before.ends_with("${") || (before.ends_with('.') && !before.ends_with("env.")) {
        return None;
    }
    let words: Vec<&str> = trimmed.split_whitespace().collect();
    let last = words.last().copied().unwrap_or_default();
    if matches!(words.first().copied(), Some("unset" | "passenv" | "pass_env")) {
        return None;
    }
    if let Some(value) = after.trim_start().strip_prefix('=').filter(|value| !value.starts_with(['=', '~', '>'])) {
        // A shell reads `NAME= command` as an empty value for that command; elsewhere spaces stand on both sides.
        if after.starts_with('=') && value.starts_with(' ') {
            return None;
        }
        return is_value(value).then_some(Kind::Set);
    }
    let by_word =
        matches!(last, "setenv" | "ENV" | "ARG") || (matches!(last, "-gx" | "-x" | "-Ux") && words.first() == Some(&"set"));
    if by_word && after.starts_with([' ', '\t']) {
        return is_value(after).then_some(Kind::Set);
    }
    if let Some(value) = after.trim_start().strip_prefix(':').filter(|_| quoted || before.trim().is_empty()) {
        return is_value(value).then_some(Kind::Set);
    }
    // `docker run -e NAME`.
    (matches!(last, "-e" | "--env") && (after.is_empty() || after.starts_with([' ', '\t']))).then_some(Kind::Passed)
}

/// `NAME: value`, and a list of `NAME=value`.
fn data(before: &str, after: &str) -> Option<Kind> {
    let lead = before.trim().trim_start_matches("- ").trim_start_matches('-').trim();
    if before.ends_with('$') || before.ends_with("${") || before.ends_with('.') {
        return None;
    }
    if let Some(value) = after.trim_start().strip_prefix(':') {
        // `env: { NAME: … }` and the like stand on one line.
        let starts = lead.is_empty() || lead.ends_with(['{', ',']);
        let value = value.trim().trim_end_matches([',', '}', ']']).trim_end();
        return match (starts, value) {
            (false, _) => None,
            // A variable without a value is the host's, in compose files.
            (true, "") => Some(Kind::Passed),
            (true, value) => is_value(value).then_some(Kind::Set),
        };
    }
    if let Some(value) = after.strip_prefix('=').filter(|value| !value.starts_with(['=', '~'])) {
        return is_value(value).then_some(Kind::Set);
    }
    (lead.is_empty() && before.trim_start().starts_with('-') && after.trim().is_empty()).then_some(Kind::Passed)
}

/// What writes into the environment.
fn program(before: &str, after: &str) -> Option<Kind> {
    let before = before.trim_end();
    if before.contains("monkeypatch") || before.contains("vi.stubEnv") || before.contains("mock") {
        return None;
    }
    let assigned = |after: &str| {
        let after = after.trim_start();
        let value = after.strip_prefix('=').or_else(|| after.strip_prefix("||=")).or_else(|| after.strip_prefix("??="));
        value.is_some_and(|value| !value.starts_with(['=', '>', '~']) && is_value(value))
    };
    // os.environ["NAME"] = …, process.env["NAME"] = …, ENV["NAME"] = …
    if ["environ[", "env[", "ENV["].iter().any(|lead| before.ends_with(lead)) {
        return after.strip_prefix(']').is_some_and(assigned).then_some(Kind::Set);
    }
    if before.ends_with("process.env.") || before.ends_with("Deno.env.") {
        return assigned(after).then_some(Kind::Set);
    }
    let calls =
        ["setenv(", "Setenv(", "putenv(", "set_var(", "setdefault(", "env.set(", "SetEnvironmentVariable(", "environ.update({"];
    if calls.iter().any(|call| before.ends_with(call)) {
        let rest = after.trim_start();
        return rest.strip_prefix([',', ':']).is_some_and(is_value).then_some(Kind::Set);
    }
    None
}

/// `%env NAME=value` and `!export NAME=value` of notebooks.
fn magic(before: &str, after: &str) -> Option<Kind> {
    let before = before.trim().trim_start_matches(['"', ' ']);
    if !matches!(before, "%env" | "%set_env" | "!export" | "%env " | "export") {
        return None;
    }
    let value = after.trim_start_matches([' ', '=']);
    is_value(value.trim_end_matches(['"', ','])).then_some(Kind::Set)
}

/// Whether what follows is a value that somebody uses: neither nothing nor a place for one.
fn is_value(text: &str) -> bool {
    let text = text.trim().trim_end_matches([',', ';', ')', '}', ']']).trim();
    // What a comment says is none.
    let text = if text.starts_with('#') { "" } else { text };
    let bare = unquoted(text);
    let lower = bare.to_ascii_lowercase();
    let nothing = ["", "null", "none", "~", "''", "\"\"", "undefined", "changeme", "change-me", "todo", "dummy", "test", "fake"];
    let place = ["your", "<", "xxx", "placeholder", "replace", "example", "...", "…", "insert"];
    let says = |word: &&str| match *word {
        // `<` opens a place, but not within a command.
        "<" => lower.starts_with('<'),
        "..." | "…" => lower.ends_with(*word),
        word => lower.contains(word),
    };
    !(nothing.contains(&lower.as_str()) || (!lower.contains("secret") && place.iter().any(says)) || lower.starts_with('<'))
}

/// The value of a key in YAML or JSON, on this line.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let text = text.trim().trim_start_matches('{').trim();
    let rest = text.strip_prefix(key).or_else(|| text.strip_prefix('"')?.strip_prefix(key)?.strip_prefix('"'))?;
    Some(rest.trim_start().strip_prefix(':')?.trim().trim_end_matches(','))
}

fn unquoted(text: &str) -> &str {
    let text = text.trim();
    let inner = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inner('"').or_else(|| inner('\'')).unwrap_or(text).trim()
}
