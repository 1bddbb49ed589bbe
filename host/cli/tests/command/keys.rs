//! `wif find-keys` on made-up repositories: what it misses, and what it takes for a key that is none.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::place::{Run, bare};

/// A key as the vendor makes them: 93 characters and `AA`. Made here, so that no scanner of this repository finds one.
fn key(kind: &str, seed: u64) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let body: String = (0..93)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(ALPHABET[(state % 64) as usize])
        })
        .collect();
    format!("sk-ant-{kind}-{body}AA")
}

/// A file of a repository. A line that ends with `«kind»` is to be found as that; `KEY` stands for a key.
const CORPUS: &[(&str, &str)] = &[
    (".env", "DEBUG=1\nANTHROPIC_API_KEY=KEY «key»\nexport ANTHROPIC_AUTH_TOKEN=\"KEY\" «key»\nANTHROPIC_MODEL=claude\nEMPTY=\n"),
    (".env.local", "ANTHROPIC_API_KEY = 'KEY' «key»\n# ANTHROPIC_API_KEY=KEY «key»\n"),
    (".env.production", "ANTHROPIC_API_KEY=${VAULT_KEY} «set»\nCLAUDE_CODE_OAUTH_TOKEN=KEY «key»\n"),
    (
        ".env.example",
        "ANTHROPIC_API_KEY=\nANTHROPIC_AUTH_TOKEN=your-token-here\nANTHROPIC_API_KEY=sk-ant-api03-xxxxxxxxxxxxxxxxxxxxxxxxxxxx\nANTHROPIC_API_KEY=sk-ant-...\nANTHROPIC_API_KEY=<your key>\nANTHROPIC_API_KEY=changeme\n",
    ),
    (
        "home/.bashrc",
        "alias ll='ls -l'\nexport ANTHROPIC_API_KEY=KEY «key»\nexport PATH=$PATH:~/bin\nexport ANTHROPIC_API_KEY=$(pass show claude) «set»\n",
    ),
    (
        "home/.zshrc",
        "export ANTHROPIC_API_KEY=\"$(security find-generic-password -w -s claude)\" «set»\nunset ANTHROPIC_API_KEY\necho $ANTHROPIC_API_KEY\n",
    ),
    ("home/config.fish", "set -gx ANTHROPIC_API_KEY KEY «key»\nset -x ANTHROPIC_API_KEY (pass claude) «set»\n"),
    ("home/.cshrc", "setenv ANTHROPIC_API_KEY `pass claude` «set»\n"),
    (
        "home/.profile",
        "if [ -z \"$ANTHROPIC_API_KEY\" ]; then echo missing; fi\n: \"${ANTHROPIC_API_KEY:?must be set}\"\ntest \"$ANTHROPIC_API_KEY\" = x\n",
    ),
    (
        ".github/workflows/ci.yml",
        "jobs:\n  test:\n    env:\n      ANTHROPIC_API_KEY: ${{ secrets.ANTHROPIC_API_KEY }} «set»\n    steps:\n      - run: echo ${{ secrets.ANTHROPIC_API_KEY != '' }}\n      - uses: anthropics/claude-code-action@v1\n        with:\n          anthropic_api_key: ${{ secrets.CLAUDE }} «set»\n          model: claude\n",
    ),
    (
        ".github/workflows/federated.yml",
        "permissions:\n  id-token: write\nsteps:\n  - uses: anthropics/claude-code-action@v1\n    with:\n      anthropic_federation_rule_id: fdrl_01\n",
    ),
    (
        ".gitlab-ci.yml",
        "variables:\n  ANTHROPIC_API_KEY: $CLAUDE_KEY «set»\ntest:\n  script:\n    - test -n \"$ANTHROPIC_API_KEY\"\n    - export ANTHROPIC_API_KEY=$CLAUDE_KEY «set»\n",
    ),
    (
        "compose.yaml",
        "services:\n  a:\n    environment:\n      - ANTHROPIC_API_KEY «passed»\n      - ANTHROPIC_API_KEY=KEY «key»\n      - \"ANTHROPIC_AUTH_TOKEN=${TOKEN}\" «set»\n  b:\n    environment:\n      ANTHROPIC_API_KEY: «passed»\n      ANTHROPIC_AUTH_TOKEN: KEY «key»\n",
    ),
    (
        "k8s/deployment.yaml",
        "env:\n  - name: ANTHROPIC_API_KEY\n    valueFrom: «set»\n      secretKeyRef:\n        name: claude\n        key: ANTHROPIC_API_KEY\n  - name: ANTHROPIC_AUTH_TOKEN\n    value: KEY «key»\n  - name: OTHER\n    value: x\n",
    ),
    ("k8s/secret.yaml", "kind: Secret\nstringData:\n  ANTHROPIC_API_KEY: KEY «key»\ndata:\n  key: BASE64 «key»\n"),
    ("k8s/flow.yaml", "env: [{ name: ANTHROPIC_API_KEY, value: \"$(KEY_FROM)\" }] «set»\n"),
    ("helm/values.yaml", "env:\n  ANTHROPIC_API_KEY: \"\"\n  # ANTHROPIC_API_KEY: your key\nextraEnv: {}\n"),
    ("ecs/task.json", "{ \"secrets\": [\n  { \"name\": \"ANTHROPIC_API_KEY\", \"valueFrom\": \"arn:aws:ssm:x\" } «set»\n] }\n"),
    (
        ".claude/settings.json",
        "{\n  \"env\": {\n    \"ANTHROPIC_API_KEY\": \"KEY\", «key»\n    \"ANTHROPIC_AUTH_TOKEN\": \"${TOKEN}\" «set»\n  }\n}\n",
    ),
    (
        "Dockerfile",
        "FROM debian\nARG ANTHROPIC_API_KEY\nENV ANTHROPIC_API_KEY=$ANTHROPIC_API_KEY «set»\nENV ANTHROPIC_AUTH_TOKEN KEY «key»\nRUN echo done\n",
    ),
    (
        "deploy.sh",
        "docker run -e ANTHROPIC_API_KEY app «passed»\ndocker run -e ANTHROPIC_API_KEY=\"$KEY_OF_PROD\" app «set»\nkubectl create secret generic c --from-literal=ANTHROPIC_API_KEY=\"$K\" «set»\ncurl -H \"x-api-key: $ANTHROPIC_API_KEY\" https://api.anthropic.com\ncurl -H 'x-api-key: KEY' https://api.anthropic.com «key»\n",
    ),
    (
        "app.service",
        "[Service]\nEnvironment=ANTHROPIC_API_KEY=KEY «key»\nEnvironment=\"ANTHROPIC_AUTH_TOKEN=%d/token\" «set»\nPassEnvironment=HOME\n",
    ),
    ("main.tf", "environment_variables = {\n  ANTHROPIC_API_KEY = var.key «set»\n  MODEL = \"claude\"\n}\n"),
    (
        "app.py",
        "import os\nANTHROPIC_API_KEY = os.environ[\"ANTHROPIC_API_KEY\"]\nkey = os.getenv(\"ANTHROPIC_API_KEY\")\nclient = Anthropic(api_key=\"KEY\") «key»\nos.environ[\"ANTHROPIC_API_KEY\"] = load() «set»\nos.environ.setdefault(\"ANTHROPIC_API_KEY\", fetch()) «set»\nif os.environ[\"ANTHROPIC_API_KEY\"] == \"\":\n    pass\nclass Settings:\n    ANTHROPIC_API_KEY: str = \"\"\n",
    ),
    (
        "test_app.py",
        "def test(monkeypatch):\n    monkeypatch.setenv(\"ANTHROPIC_API_KEY\", \"test\")\n    assert key.startswith(\"sk-ant-\")\n",
    ),
    (
        "app.ts",
        "const key = process.env.ANTHROPIC_API_KEY;\nprocess.env.ANTHROPIC_API_KEY = await secret(); «set»\nif (process.env.ANTHROPIC_API_KEY === undefined) throw new Error('ANTHROPIC_API_KEY is not set');\ninterface Env { ANTHROPIC_API_KEY: string }\nconst env = z.object({ ANTHROPIC_API_KEY: z.string() });\nconst c = new Anthropic({ apiKey: 'KEY' }); «key»\n",
    ),
    ("main.go", "os.Setenv(\"ANTHROPIC_API_KEY\", key) «set»\nkey := os.Getenv(\"ANTHROPIC_API_KEY\")\n"),
    (
        "notebook.ipynb",
        "{ \"cells\": [ { \"source\": [\n  \"import os\\n\",\n  \"os.environ[\\\"ANTHROPIC_API_KEY\\\"] = \\\"KEY\\\"\\n\", «key»\n  \"os.environ[\\\"ANTHROPIC_API_KEY\\\"] = getpass()\\n\", «set»\n  \"%env ANTHROPIC_API_KEY=$k\\n\", «set»\n  \"key = os.environ[\\\"ANTHROPIC_API_KEY\\\"]\\n\"\n] } ] }\n",
    ),
    (
        "README.md",
        "Set `ANTHROPIC_API_KEY=...` first:\n\n    export ANTHROPIC_API_KEY=your-key\n    export ANTHROPIC_API_KEY=$(pass claude)\n\nNever commit KEY «key»\n",
    ),
    (
        "docs/format.md",
        "A key begins with `sk-ant-api03-` and has 108 characters.\nsk-ant-api03-example-example-example-example-1234\n",
    ),
    ("Makefile", "run:\n\tANTHROPIC_API_KEY=$$(pass claude) ./app «set»\n\tANTHROPIC_API_KEY= ./app\n"),
    ("settings.ini", "[claude]\nANTHROPIC_API_KEY = KEY «key»\n"),
    ("log.txt", "error: ANTHROPIC_API_KEY is not set\nerror: 401 for sk-ant-api03-...AA\n"),
    ("admin.env", "ANTHROPIC_ADMIN_KEY=ADMINKEY «key»\n"),
    ("setup.ps1", "$env:ANTHROPIC_API_KEY = 'KEY' «key»\n$env:ANTHROPIC_API_KEY = (Get-Secret claude) «set»\n"),
];

/// The repository on disk, and where in it what is to be found.
fn write(root: &Path) -> BTreeSet<(String, u64, String)> {
    let mut expected = BTreeSet::new();
    let mut seed = 1;
    for (path, content) in CORPUS {
        let mut text = String::new();
        for (at, line) in content.lines().enumerate() {
            let (line, mark) = match line.split_once(" «") {
                Some((line, mark)) => (line, Some(mark.trim_end_matches('»'))),
                None => (line, None),
            };
            seed += 1;
            let encoded = {
                use base64::Engine as _;
                base64::engine::general_purpose::STANDARD.encode(key("api03", seed))
            };
            // Whole words: variables have `KEY` in their names.
            let line: String = match (line.contains("ADMINKEY"), line.contains("BASE64")) {
                (true, _) => line.replace("ADMINKEY", &key("admin01", seed)),
                (_, true) => line.replace("BASE64", &encoded),
                _ => whole_words(line, &key("api03", seed)),
            };
            if let Some(mark) = mark {
                expected.insert(((*path).to_owned(), at as u64 + 1, mark.to_owned()));
            }
            text.push_str(&line);
            text.push('\n');
        }
        let file = root.join(path);
        std::fs::create_dir_all(file.parent().expect("a directory")).expect("it is made");
        std::fs::write(file, text).expect("it is written");
    }
    std::fs::write(root.join("image.png"), [b"\x89PNG\0".as_slice(), key("api03", 9).as_bytes()].concat())
        .expect("it is written");
    expected
}

fn whole_words(line: &str, key: &str) -> String {
    let word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let bytes = line.as_bytes();
    let mut text = String::new();
    let mut from = 0;
    for (at, _) in line.match_indices("KEY") {
        if !word(at.checked_sub(1).and_then(|before| bytes.get(before))) && !word(bytes.get(at + 3)) {
            text.push_str(&line[from..at]);
            text.push_str(key);
            from = at + 3;
        }
    }
    text.push_str(&line[from..]);
    text
}

async fn find(root: &Path, arguments: &[&str]) -> Run {
    let mut command = bare(root);
    command.current_dir(root).arg("find-keys").args(arguments);
    Run::of(command).await
}

fn found(document: &Value) -> BTreeSet<(String, u64, String)> {
    let places = document["places"].as_array().expect("places");
    let text = |place: &Value, name: &str| place[name].as_str().unwrap_or_default().trim_start_matches("./").to_owned();
    places.iter().map(|place| (text(place, "path"), place["line"].as_u64().expect("a line"), text(place, "kind"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_corpus_is_missed_and_nothing_else_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let expected = write(directory.path());
    let run = find(directory.path(), &["--json", "."]).await;
    assert_eq!(run.code, 7, "{}", run.stderr);
    let found = found(&run.json());
    let missed: Vec<_> = expected.difference(&found).collect();
    let false_alarms: Vec<_> = found.difference(&expected).collect();
    assert!(missed.is_empty() && false_alarms.is_empty(), "missed: {missed:#?}\nfalse alarms: {false_alarms:#?}");
    assert!(!run.stdout.contains("sk-ant-") && !run.stderr.contains("sk-ant-"), "a key is shown");

    // The rules that gitleaks has for these keys, beside it: they know keys that stand there, and no variables.
    let rules =
        regex::Regex::new(r#"\b(sk-ant-(?:api03|admin01)-[a-zA-Z0-9_\-]{93}AA)(?:[\x60'"\s;]|\\[nr]|$)"#).expect("a rule");
    let mut by_rule = BTreeSet::new();
    for (path, _) in CORPUS {
        let text = std::fs::read_to_string(directory.path().join(path)).expect("it is read");
        let lines = text.lines().enumerate().filter(|(_, line)| rules.is_match(line));
        by_rule.extend(lines.map(|(at, _)| ((*path).to_owned(), at as u64 + 1, "key".to_owned())));
    }
    let keys = expected.iter().filter(|(_, _, kind)| kind == "key").count();
    let all = expected.len();
    assert!(by_rule.is_subset(&expected), "the rules find what is no key: {by_rule:?}");
    // On this corpus: every key in plain text, but not that in base64, nor the one before an escaped quote in a notebook; and no
    // variable that is set by reference.
    assert_eq!(by_rule.len(), keys - 2, "of {keys} keys and {all} places");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_screen_and_sarif_tell_file_and_line_and_never_a_key() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("a b.env"), format!("X=1\nANTHROPIC_API_KEY={}\n", key("api03", 3)))
        .expect("it is written");
    let screen = find(directory.path(), &["."]).await;
    assert_eq!((screen.code, screen.stdout.trim()), (7, "./a b.env:2: key: an API key stands here: revoke it, and remove it"));
    let sarif = find(directory.path(), &["--sarif", "."]).await.json();
    assert_eq!(sarif["version"], "2.1.0");
    let result = &sarif["runs"][0]["results"][0];
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(
        (&result["ruleId"], &place["artifactLocation"]["uri"], &place["region"]["startLine"]),
        (&"key".into(), &"a%20b.env".into(), &2.into())
    );
    assert!(!sarif.to_string().contains("sk-ant-"));

    std::fs::write(directory.path().join("a b.env"), "X=1\n").expect("it is written");
    assert_eq!(find(directory.path(), &["."]).await.code, 0);
    let missing = find(directory.path(), &["nowhere"]).await;
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("nowhere"), "{}", missing.stderr);
}

/// Git without anything of this machine's or its user's settings.
fn plain_git(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(root)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", root)
        .env("GIT_CONFIG_NOSYSTEM", "1");
    git.args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]);
    git
}

/// Runs git in a repository, and gives what it says.
fn git(root: &Path, arguments: &[&str]) -> String {
    let output = plain_git(root).args(arguments).output().expect("git runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn put(root: &Path, name: &str, content: impl AsRef<[u8]>) {
    std::fs::write(root.join(name), content).expect("it is written");
}

fn commit(root: &Path, message: &str) {
    git(root, &["add", "--all"]);
    git(root, &["commit", "-m", message]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_has_what_was_removed_long_ago() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    git(root, &["init"]);
    std::fs::create_dir(root.join("deploy")).expect("it is made");
    put(root, "deploy/.env", format!("A=1\nB=2\nANTHROPIC_API_KEY={}\n", key("api03", 4)));
    commit(root, "one");
    put(root, "deploy/.env", "A=1\n");
    commit(root, "two");
    assert_eq!(find(root, &["."]).await.code, 0);
    let run = find(root, &["--history", "--json", "."]).await;
    let document = run.json();
    assert_eq!(run.code, 7, "{}", run.stderr);
    let place = &document["places"][0];
    let expected = (&"./deploy/.env".into(), &3.into(), &"key".into());
    assert_eq!((&place["path"], &place["line"], &place["kind"]), expected, "{document}");
    assert!(place["commit"].as_str().is_some_and(|commit| commit.len() >= 7));
    assert!(!run.stdout.contains("sk-ant-"));
    let elsewhere = tempfile::tempdir().expect("a directory");
    assert_eq!(find(elsewhere.path(), &["--history", "."]).await.code, 1, "it is no repository");
}

/// Wherever git has a line that somebody added, and however the repository would have it shown.
#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_the_history_is_missed() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    let line = |seed| format!("ANTHROPIC_API_KEY={}\n", key("api03", seed));
    git(root, &["init"]);
    put(root, "base", "1\n");
    let attributes = "*.lock -diff\n*.blob binary\n";
    put(root, ".gitattributes", attributes);
    commit(root, "base");
    git(root, &["checkout", "-b", "side"]);
    put(root, "side", line(11));
    commit(root, "side");
    git(root, &["checkout", "main"]);
    put(root, "other", "1\n");
    commit(root, "other");
    // In the merge itself.
    git(root, &["merge", "--no-commit", "side"]);
    put(root, "merge", line(12));
    commit(root, "merge");
    // In a branch whose content a merge threw away.
    git(root, &["checkout", "-b", "lost"]);
    put(root, "lost", line(13));
    commit(root, "lost");
    git(root, &["checkout", "main"]);
    put(root, "other", "2\n");
    commit(root, "another");
    git(root, &["merge", "-s", "ours", "-m", "without it", "lost"]);
    git(root, &["branch", "-D", "lost"]);
    // In two stashes.
    for seed in [14, 15] {
        put(root, "base", format!("1\n{}", line(seed)));
        git(root, &["stash"]);
    }
    // By attributes, and by names that git writes in a way of its own.
    for (seed, name) in [(16, "a.lock"), (17, "a.blob"), (18, "a b.env"), (19, "a\"b.env")] {
        put(root, name, line(seed));
    }
    // Lines that look like headers of a diff.
    put(root, "headers", format!("++ b/nowhere\n+++ b/nowhere\n@@ -1 +99 @@\n{}", line(20)));
    commit(root, "more");
    git(root, &["rm", "-r", "-q", "."]);
    put(root, ".gitattributes", attributes);
    commit(root, "nothing is left");
    for setting in ["diff.noprefix", "diff.mnemonicPrefix", "diff.relative"] {
        git(root, &["config", setting, "true"]);
    }
    git(root, &["config", "log.showRoot", "false"]);
    git(root, &["config", "diff.interHunkContext", "9"]);

    let run = find(root, &["--history", "--json", "."]).await;
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert!(!run.stderr.contains("cannot read"), "{}", run.stderr);
    let document = run.json();
    let expected: BTreeSet<(String, u64, String)> = [
        ("side", 1),
        ("merge", 1),
        ("lost", 1),
        ("base", 2),
        ("a.lock", 1),
        ("a.blob", 1),
        ("a b.env", 1),
        ("a\"b.env", 1),
        ("headers", 4),
    ]
    .map(|(path, line)| (path.to_owned(), line, "key".to_owned()))
    .into();
    assert_eq!(found(&document), expected);
    // Each in the commit that added it, and a merge adds nothing that a parent had; there are two stashes.
    let places = document["places"].as_array().expect("places");
    assert_eq!(places.len(), expected.len() + 1, "{document}");
}

/// A program that notes that it ran.
fn plant(directory: &Path) -> (String, std::path::PathBuf) {
    let (planted, ran) = (directory.join("planted"), directory.join("ran"));
    std::fs::write(&planted, format!("#!/bin/sh\n: > '{}'\nexit 1\n", ran.display())).expect("it is written");
    std::fs::set_permissions(&planted, std::fs::Permissions::from_mode(0o755)).expect("it runs");
    (planted.to_str().expect("a path").to_owned(), ran)
}

/// A repository whose second commit has a key, and whose files have the attribute `x`.
fn repository_with_a_key(root: &Path, seed: u64) {
    std::fs::create_dir_all(root).expect("it is made");
    git(root, &["init"]);
    put(root, "file", "1\n");
    commit(root, "one");
    put(root, "file", format!("ANTHROPIC_API_KEY={}\n", key("api03", seed)));
    commit(root, "two");
    put(root, "file", "2\n");
    std::fs::create_dir_all(root.join(".git/info")).expect("it is made");
    put(root, ".git/info/attributes", "* filter=x diff=x\n");
}

/// Settings of a repository that name a program, and a command for which git itself runs it.
type Way = (&'static [(&'static str, &'static str)], &'static [&'static str]);

const WAYS: &[Way] = &[
    (&[("core.fsmonitor", "PLANTED")], &["git", "status"]),
    (&[("core.hooksPath", "HOOKS")], &["git", "checkout", "-q", "-b", "other"]),
    (&[("filter.x.clean", "PLANTED")], &["git", "hash-object", "--path=file", "file"]),
    (&[("filter.x.process", "PLANTED")], &["git", "hash-object", "--path=file", "file"]),
    (&[("diff.x.textconv", "PLANTED")], &["git", "log", "-p"]),
    (&[("diff.x.command", "PLANTED")], &["git", "log", "-p", "--ext-diff"]),
    (&[("diff.external", "PLANTED")], &["git", "log", "-p", "--ext-diff"]),
    (&[("remote.origin.url", "ssh://host/x"), ("core.sshCommand", "PLANTED")], &["git", "ls-remote", "origin"]),
    (&[("remote.origin.url", "git://host/x"), ("core.gitProxy", "PLANTED")], &["git", "ls-remote", "origin"]),
    (&[("alias.x", "!PLANTED"), ("alias.log", "!PLANTED"), ("alias.rev-parse", "!PLANTED")], &["git", "x"]),
    (&[("core.pager", "PLANTED")], &["script", "-qec", "git log", "/dev/null"]),
    (&[("pager.log", "PLANTED"), ("pager.rev-parse", "PLANTED")], &["script", "-qec", "git log", "/dev/null"]),
    (&[("includeIf.gitdir:/.path", "INCLUDED")], &["git", "log", "-p"]),
    (&[("include.path", "INCLUDED")], &["git", "log", "-p"]),
    (&[("diff.submodule", "diff")], &["git", "log", "-p", "--", "nested"]),
];

/// Who looks for keys in the repository of another person runs nothing of theirs.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_repository_is_run() {
    let directory = tempfile::tempdir().expect("a directory");
    let (planted, ran) = plant(directory.path());
    for (at, (settings, live)) in WAYS.iter().enumerate() {
        let root = directory.path().join(format!("repository-{at}"));
        repository_with_a_key(&root, 5);
        let hooks = directory.path().join("hooks");
        std::fs::create_dir_all(&hooks).expect("it is made");
        for hook in ["post-checkout", "post-index-change", "reference-transaction"] {
            std::fs::copy(&planted, hooks.join(hook)).expect("it is copied");
        }
        let included = directory.path().join("included");
        std::fs::write(&included, format!("[diff \"x\"]\n\ttextconv = {planted}\n")).expect("it is written");
        // A repository within, whose own configuration counts where git goes into it.
        let nested = root.join("nested");
        repository_with_a_key(&nested, 6);
        git(&root, &["add", "nested"]);
        git(&root, &["commit", "-m", "nested"]);
        git(&nested, &["commit", "--all", "-m", "three"]);
        git(&root, &["add", "nested"]);
        git(&root, &["commit", "-m", "nested again"]);
        git(&nested, &["config", "diff.x.textconv", &planted]);
        for (name, value) in *settings {
            let value = value.replace("PLANTED", &planted).replace("HOOKS", hooks.to_str().expect("a path"));
            git(&root, &["config", name, &value.replace("INCLUDED", included.to_str().expect("a path"))]);
        }
        let run = find(&root, &["--history", "."]).await;
        assert_eq!(run.code, 7, "{settings:?}: {}", run.stderr);
        assert!(!ran.exists(), "{settings:?}: the program ran");
        // Otherwise the above would show nothing.
        let mut command = Command::new(live[0]);
        command.current_dir(&root).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", directory.path());
        command.env("TERM", "dumb").env("SHELL", "/bin/sh").args(&live[1..]).output().expect("it starts");
        assert!(std::fs::remove_file(&ran).is_ok(), "{settings:?}: git itself does not run the program");
    }
}

/// What needs more than a setting: a signature, which git has a program check, and an object that is missing, which git fetches.
#[tokio::test(flavor = "multi_thread")]
async fn no_signature_is_checked_and_no_object_is_fetched() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("repository");
    let root = root.as_path();
    let (planted, ran) = plant(directory.path());
    repository_with_a_key(root, 5);
    let is_live = || {
        plain_git(root).args(["log", "--all", "-p"]).output().expect("git runs");
        std::fs::remove_file(&ran).is_ok()
    };
    let (tree, parent) = (git(root, &["rev-parse", "HEAD^{tree}"]), git(root, &["rev-parse", "HEAD~"]));
    let who = "a <a@example.org> 1700000000 +0000";
    let signature = "-----BEGIN PGP SIGNATURE-----\n \n AAAA\n -----END PGP SIGNATURE-----";
    let raw = directory.path().join("raw");
    let content = format!("tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\ngpgsig {signature}\n\nsigned\n");
    std::fs::write(&raw, content).expect("it is written");
    let signed = git(root, &["hash-object", "-t", "commit", "-w", raw.to_str().expect("a path")]);
    git(root, &["update-ref", "refs/heads/signed", &signed]);
    git(root, &["config", "log.showSignature", "true"]);
    git(root, &["config", "gpg.program", &planted]);
    assert!(is_live(), "git itself runs it");
    let run = find(root, &["--history", "."]).await;
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert!(!ran.exists(), "the program for signatures ran");

    git(root, &["config", "--unset", "log.showSignature"]);
    let blob = git(root, &["rev-parse", "HEAD~:file"]);
    std::fs::remove_file(root.join(".git/objects").join(&blob[..2]).join(&blob[2..])).expect("it is removed");
    let url = format!("ext::{planted}");
    for (name, value) in [
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.url", url.as_str()),
        ("protocol.ext.allow", "always"),
    ] {
        git(root, &["config", name, value]);
    }
    assert!(is_live(), "git itself runs it");
    let run = find(root, &["--history", "."]).await;
    assert!(!ran.exists(), "the program for fetching ran");
    assert!(run.stderr.contains("git cannot read it to its beginning: fatal: "), "{}", run.stderr);
}

/// A clone of CI has the last commit only, and says nothing of the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_cut_off_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let (whole, shallow) = (directory.path().join("whole"), directory.path().join("shallow"));
    repository_with_a_key(&whole, 5);
    commit(&whole, "three");
    git(directory.path(), &["clone", "--depth", "1", &format!("file://{}", whole.display()), "shallow"]);
    let run = find(&shallow, &["--history", "."]).await;
    assert_eq!(run.code, 1, "{} {}", run.stdout, run.stderr);
    assert!(run.stderr.contains("the clone is shallow") && run.stderr.contains("git fetch --unshallow"), "{}", run.stderr);
    assert_eq!(find(&whole, &["--history", "."]).await.code, 7);
    // The same without a shallow clone: a file gives the last commit no parent.
    let last = git(&whole, &["rev-parse", "HEAD"]);
    put(&whole, ".git/info/grafts", format!("{last}\n"));
    assert_eq!(find(&whole, &["--history", "."]).await.code, 7);
}

/// Within a hook, or where somebody has set them, git's variables name another repository, its objects or its settings.
#[tokio::test(flavor = "multi_thread")]
async fn no_variable_of_git_leads_to_another_repository() {
    let directory = tempfile::tempdir().expect("a directory");
    let (own, other) = (directory.path().join("own"), directory.path().join("other"));
    let (planted, ran) = plant(directory.path());
    repository_with_a_key(&own, 5);
    repository_with_a_key(&other, 6);
    put(&other, "another", format!("ANTHROPIC_API_KEY={}\n", key("api03", 7)));
    commit(&other, "another");
    let plain = find(&own, &["--history", "--json", "."]).await;
    assert_eq!(plain.code, 7, "{}", plain.stderr);
    let in_other = |path: &str| other.join(path).display().to_string();
    let last = git(&own, &["rev-parse", "HEAD"]);
    put(directory.path(), "shallow", format!("{last}\n"));
    let shallow = directory.path().join("shallow").display().to_string();
    for (name, value) in [
        ("GIT_DIR", in_other(".git")),
        ("GIT_WORK_TREE", in_other("")),
        ("GIT_COMMON_DIR", in_other(".git")),
        ("GIT_INDEX_FILE", in_other(".git/index")),
        ("GIT_OBJECT_DIRECTORY", in_other(".git/objects")),
        ("GIT_CEILING_DIRECTORIES", own.display().to_string()),
        ("GIT_NAMESPACE", "other".to_owned()),
        ("GIT_SHALLOW_FILE", shallow.clone()),
        ("GIT_GRAFT_FILE", shallow),
        ("GIT_PREFIX", "other/".to_owned()),
        ("GIT_CONFIG_PARAMETERS", format!("'diff.x.textconv'='{planted}'")),
        ("GIT_EXTERNAL_DIFF", planted.clone()),
        ("GIT_DIFF_OPTS", "--unified=9".to_owned()),
        ("GIT_ICASE_PATHSPECS", "1".to_owned()),
        ("GIT_TRACE", "1".to_owned()),
    ] {
        let mut command = bare(&own);
        command.current_dir(&own).args(["find-keys", "--history", "--json", "."]).env(name, value);
        let run = Run::of(command).await;
        assert_eq!((run.code, &run.stdout, &run.stderr), (plain.code, &plain.stdout, &plain.stderr), "{name}");
        assert!(!ran.exists(), "{name}: the program ran");
    }
}

/// Which repository and which file: both are told as they were named.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_of_the_history_is_named_by_the_path_that_was_given() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    let line = |seed| format!("ANTHROPIC_API_KEY={}\n", key("api03", seed));
    for (name, seed) in [("one", 5), ("two", 6)] {
        let repository = root.join(name);
        std::fs::create_dir_all(repository.join("deploy")).expect("it is made");
        git(&repository, &["init"]);
        put(&repository, "deploy/.env", line(seed));
        put(&repository, "deploy/other", line(seed + 10));
        commit(&repository, "first");
        put(&repository, "deploy/.env", "A=1\n");
        put(&repository, "deploy/other", "A=1\n");
        commit(&repository, "second");
    }
    let paths = async |arguments: &[&str], from: &str| -> Vec<String> {
        let mut command = bare(root);
        command.current_dir(root.join(from)).args(["find-keys", "--history", "--json"]).args(arguments);
        let run = Run::of(command).await;
        assert_eq!(run.code, 7, "{arguments:?}: {}", run.stderr);
        let document = run.json();
        let places = document["places"].as_array().expect("places").iter();
        places.map(|place| place["path"].as_str().expect("a path").to_owned()).collect()
    };
    assert_eq!(paths(&["one", "two"], ".").await, ["one/deploy/.env", "one/deploy/other", "two/deploy/.env", "two/deploy/other"]);
    assert_eq!(paths(&["one/deploy"], ".").await, ["one/deploy/.env", "one/deploy/other"]);
    // A file alone, from elsewhere and from beside it.
    assert_eq!(paths(&["one/deploy/.env"], ".").await, ["one/deploy/.env"]);
    assert_eq!(paths(&[".env"], "two/deploy").await, ["./.env"]);
    // Its name is no pattern.
    let repository = root.join("one");
    put(&repository, "deploy/*", "A=1\n");
    commit(&repository, "third");
    let run = find(&repository, &["--history", "deploy/*"]).await;
    assert_eq!(run.code, 0, "{} {}", run.stdout, run.stderr);
}

/// What git itself says is passed on, and no secret in it.
#[tokio::test(flavor = "multi_thread")]
async fn the_reason_of_git_is_told_without_secrets() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    let run = find(root, &["--history", "."]).await;
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("fatal: not a git repository"), "{}", run.stderr);
    put(root, ".git", format!("gitdir: https://user:canary@git.example/{}\n", key("api03", 5)));
    let run = find(root, &["--history", "."]).await;
    assert!(run.stderr.contains("fatal: not a git repository") && run.stderr.contains("git.example"), "{}", run.stderr);
    assert!(!run.stderr.contains("canary") && !run.stderr.contains("sk-ant-"), "{}", run.stderr);
}

/// Larger than any text that people write, in a file and in a line of the history: what was not looked at is told.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    let long = format!("{}\nANTHROPIC_API_KEY={}\n", "a".repeat(9 << 20), key("api03", 6));
    git(root, &["init"]);
    put(root, "long", &long);
    let run = find(root, &["."]).await;
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("long: it is longer than 8 MiB, and the rest of it was not looked at"), "{}", run.stderr);

    commit(root, "long");
    std::fs::remove_file(root.join("long")).expect("it is removed");
    assert_eq!(find(root, &["."]).await.code, 0);
    let run = find(root, &["--history", "--json", "."]).await;
    assert_eq!(run.code, 7, "{}", run.stderr);
    assert!(run.stderr.contains("long: a line in commit ") && run.stderr.contains("is longer than 8 MiB"), "{}", run.stderr);
    assert_eq!(found(&run.json()), BTreeSet::from([("long".to_owned(), 2, "key".to_owned())]), "the lines after it are read");
}
