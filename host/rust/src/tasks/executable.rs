//! The program that the configuration names as the source of identity tokens: how it is run, and what its output means.
//!
//! No shell reads the command, and the program has no variable of this process but those that are named. What it prints is one of
//! three things: a bare token, the JSON of Google's executable-sourced credentials, or the JSON that `aws sts get-web-identity-token`
//! prints, with or without the `Version` of AWS's `credential_process`.

use std::process::{ExitStatus, Stdio};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::DEFAULT_AUDIENCE;
use crate::environment;
use crate::secret::Secret;

/// The callable by which a session asks for it.
pub(crate) const NAME: &str = "executable";

/// No program prints more to its standard output, in bytes: a token is a quarter of it at most.
const MAX_OUTPUT: usize = 64 << 10;

/// So much is shown of what it says to its standard error, in bytes.
const MAX_SHOWN: usize = 500;

/// A shorter value of a variable is no secret, in bytes.
const SECRET_FROM: usize = 6;

/// What Google's programs are told by, and may insist on.
const GOOGLE_AUDIENCE: &str = "GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE";
const GOOGLE_TOKEN_TYPE: &str = "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE";
const GOOGLE_INTERACTIVE: &str = "GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE";

/// The kinds of token of RFC 8693 that are JWTs.
const TOKEN_TYPES: [&str; 2] = ["urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:jwt"];

/// A program, as the configuration names it.
pub(crate) struct Executable {
    command: Vec<String>,
    /// The variables of this process that it has.
    environment: Vec<String>,
    pub(crate) audience: String,
}

impl Executable {
    /// The program that `identity_token` of a configuration names. The component has refused what names none.
    pub(crate) fn named_by(identity_token: &Value) -> Option<Self> {
        let texts = |name: &str| -> Vec<String> {
            let texts = identity_token[name].as_array().into_iter().flatten();
            texts.filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let command = texts("command");
        let names_one = identity_token["source"] == NAME && !command.is_empty();
        let audience = identity_token["audience"].as_str().unwrap_or(DEFAULT_AUDIENCE).to_owned();
        names_one.then(|| Self { command, environment: texts("environment"), audience })
    }

    /// What has to be allowed.
    pub(crate) fn program(&self) -> &str {
        &self.command[0]
    }

    /// Runs it, and takes the token out of what it prints. Whoever stops waiting ends it.
    pub(crate) async fn run(&self) -> Result<Secret, String> {
        let program = self.program();
        let passed: Vec<(&str, String)> =
            self.environment.iter().filter_map(|name| Some((name.as_str(), environment::variable(name)?))).collect();
        let mut command = Command::new(program);
        command.args(&self.command[1..]).env_clear();
        command.env(GOOGLE_AUDIENCE, &self.audience).env(GOOGLE_TOKEN_TYPE, TOKEN_TYPES[0]).env(GOOGLE_INTERACTIVE, "0");
        command.envs(passed.iter().map(|(name, value)| (*name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let child = command.spawn().map_err(|error| format!("{program} cannot be run: {error}"))?;
        let mut running = Running(child);
        let (output, words) = (running.0.stdout.take(), running.0.stderr.take());
        let (output, words) = tokio::join!(printed(output), words_of(words, words_read(&passed)));
        if output.len() > MAX_OUTPUT {
            return Err(format!("{program} printed more than {MAX_OUTPUT} bytes, and no token is so long"));
        }
        let status = running.0.wait().await.map_err(|error| format!("{program} cannot be waited for: {error}"))?;
        let why = match (token_in(&output), status.success()) {
            (Ok(token), true) => return Ok(token),
            (Err(Fault::Refused(why)), _) | (Err(Fault::Unusable(why)), true) => why,
            (_, false) => ended(status),
        };
        Err(format!("{program} {why}{}", said(&words, &passed)))
    }
}

/// A program under way. If nobody waits for it any longer, it ends, and what it has started ends with it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // After its end it has no id here, for the number may be another process's.
        #[cfg(unix)]
        if let Some(group) = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw) {
            // It may have ended in this moment.
            let _ended = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// Why there is no token in an output.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// The program says so itself.
    Refused(String),
    /// Nothing in it is a token.
    Unusable(String),
}

/// What it prints, to one byte more than it may.
async fn printed(output: Option<impl AsyncRead + Unpin>) -> Zeroizing<Vec<u8>> {
    // At once as large as it may get: what grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_OUTPUT + 1));
    if let Some(output) = output {
        // What was read before a fault is judged as it is.
        let _read = output.take(MAX_OUTPUT as u64 + 1).read_to_end(&mut bytes).await;
    }
    bytes
}

/// So much is read of what it says, in bytes, that no value which begins in what is shown can end beyond it.
fn words_read(passed: &[(&str, String)]) -> usize {
    let longest = passed.iter().map(|(_, value)| value.len()).max().unwrap_or_default();
    MAX_SHOWN + longest
}

/// The beginning of what it says, so many bytes after the white space before it. The rest is read, too, or the program would stop in the middle.
async fn words_of(words: Option<impl AsyncRead + Unpin>, at_most: usize) -> String {
    let mut bytes = Vec::new();
    if let Some(words) = words {
        let mut words = BufReader::new(words);
        while let Ok(read) = words.fill_buf().await {
            let blank = read.len() - read.trim_ascii_start().len();
            let is_over = read.is_empty() || blank < read.len();
            words.consume(blank);
            if is_over {
                break;
            }
        }
        let _read = (&mut words).take(at_most as u64).read_to_end(&mut bytes).await;
        let _rest = tokio::io::copy(&mut words, &mut tokio::io::sink()).await;
    }
    String::from_utf8_lossy(&bytes).trim_end().to_owned()
}

/// The token in what a program printed.
fn token_in(output: &[u8]) -> Result<Secret, Fault> {
    let unusable = |why: &str| Err(Fault::Unusable(why.to_owned()));
    let Ok(text) = str::from_utf8(output) else { return unusable("printed something that is no text") };
    let text = text.trim();
    if text.is_empty() {
        return unusable("printed nothing to its standard output");
    }
    if !text.starts_with('{') {
        // Whether it is a token shows when it is looked at. Several lines are none.
        let one = !text.contains(char::is_whitespace);
        return if one { Ok(Secret::from(text)) } else { unusable("printed more than one word, and a token is one") };
    }
    let Ok(answer) = serde_json::from_str::<Value>(text) else { return unusable("printed something that is no whole JSON") };
    let token =
        if answer.get("success").is_some() || answer.get("id_token").is_some() { of_google(&answer)? } else { of_aws(&answer)? };
    Ok(Secret::from(token))
}

/// Google's convention, version 1. When the token ends it says itself.
fn of_google(answer: &Value) -> Result<&str, Fault> {
    let unusable = |why: String| Err(Fault::Unusable(why));
    let Some(version) = answer["version"].as_u64() else { return unusable("printed JSON without `version`".to_owned()) };
    if version != 1 {
        return unusable(format!("printed JSON of version {version}, and 1 is known"));
    }
    match answer["success"].as_bool() {
        Some(true) => {}
        Some(false) => {
            let text = |name: &str| answer[name].as_str().unwrap_or_default();
            return Err(Fault::Refused(format!("says that it failed: {} {}", text("code"), text("message"))));
        }
        None => return unusable("printed JSON without `success`".to_owned()),
    }
    let kind = answer["token_type"].as_str().unwrap_or_default();
    if !TOKEN_TYPES.contains(&kind) {
        let known = TOKEN_TYPES.join(" or ");
        return unusable(format!("printed JSON whose `token_type` is not {known}: only a JWT can be exchanged"));
    }
    match answer["id_token"].as_str() {
        Some(token) => Ok(token),
        None => unusable("printed JSON without `id_token`".to_owned()),
    }
}

/// AWS's convention: what `aws sts get-web-identity-token` prints, and perhaps the `Version` of a `credential_process`.
fn of_aws(answer: &Value) -> Result<&str, Fault> {
    let unusable = |why: &str| Err(Fault::Unusable(why.to_owned()));
    if answer.get("Version").is_some_and(|version| version != 1) {
        return unusable("printed JSON whose `Version` is not 1");
    }
    match answer["WebIdentityToken"].as_str() {
        Some(token) => Ok(token),
        None if answer.get("AccessKeyId").is_some() => unusable(
            "printed keys of AWS, which are no identity token: let it run `aws sts get-web-identity-token`, or use the source `aws`",
        ),
        None => unusable("printed JSON with neither `id_token` nor `WebIdentityToken`"),
    }
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    }
}

/// What it says for itself, unless that repeats what it was given. The component leaves out what looks like a token.
fn said(words: &str, passed: &[(&str, String)]) -> String {
    if words.is_empty() {
        return String::new();
    }
    if passed
        .iter()
        .any(|(_, value)| value.len() >= SECRET_FROM && (words.contains(value.as_str()) || words.contains(value.trim())))
    {
        return ". What it says is withheld, for it repeats a variable".to_owned();
    }
    let end = words.floor_char_boundary(MAX_SHOWN);
    format!(". It says: {}", &words[..end])
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";

    /// A shell that runs this, with what the configuration says of it. A script that was just written may still be open in a child of
    /// another test, and could then not be run.
    fn shell(text: &str, more: &Value) -> Executable {
        let mut identity_token = json!({ "source": "executable", "command": ["/bin/sh", "-c", text, "name", "a b", "$HOME;x"] });
        more.as_object().into_iter().flatten().for_each(|(name, value)| identity_token[name] = value.clone());
        Executable::named_by(&identity_token).unwrap()
    }

    fn in_(output: &str) -> Result<String, Fault> {
        token_in(output.as_bytes()).map(Secret::into_revealed)
    }

    #[test]
    fn a_bare_token_and_both_conventions_are_understood() {
        let google = json!({
            "version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:id_token", "id_token": JWT,
            "expiration_time": 4_000_000_000_u64,
        });
        let aws = json!({ "WebIdentityToken": JWT, "Expiration": "2096-10-02T07:06:40Z" });
        let versioned = json!({ "Version": 1, "WebIdentityToken": JWT });
        for output in [JWT.to_owned(), format!("\n{JWT}\r\n"), google.to_string(), aws.to_string(), versioned.to_string()] {
            assert_eq!(in_(&output), Ok(JWT.to_owned()), "{output}");
        }
        for kind in ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:saml2", ""] {
            let mut other = google.clone();
            other["token_type"] = kind.into();
            assert_eq!(in_(&other.to_string()).is_ok(), kind.ends_with("jwt"), "{kind}");
        }
    }

    /// An output without a token says what is wrong with it, and not what it is.
    #[test]
    fn what_is_no_token_is_named_and_not_shown() {
        for (output, why) in [
            ("", "printed nothing"),
            (" \n", "printed nothing"),
            ("canary two", "printed more than one word"),
            ("{\"canary\": ", "no whole JSON"),
            (r#"{"canary": 1}"#, "neither `id_token` nor `WebIdentityToken`"),
            (r#"{"Version": 2, "WebIdentityToken": "canary"}"#, "`Version` is not 1"),
            (r#"{"Version": 1, "AccessKeyId": "canary", "SecretAccessKey": "canary"}"#, "printed keys of AWS"),
            (r#"{"success": true, "id_token": "canary"}"#, "without `version`"),
            (r#"{"version": 2, "success": true, "id_token": "canary"}"#, "of version 2"),
            (r#"{"version": 1, "id_token": "canary"}"#, "without `success`"),
            (r#"{"version": 1, "success": true, "token_type": "canary", "id_token": "canary"}"#, "`token_type` is not"),
            (r#"{"version": 1, "success": true, "token_type": "urn:ietf:params:oauth:token-type:jwt"}"#, "without `id_token`"),
        ] {
            let Err(Fault::Unusable(said)) = in_(output) else { panic!("{output}") };
            assert!(said.contains(why) && !said.contains("canary"), "{output}: {said}");
        }
        let refused = in_(r#"{"version": 1, "success": false, "code": "401", "message": "Caller not authorized."}"#);
        assert_eq!(refused, Err(Fault::Refused("says that it failed: 401 Caller not authorized.".to_owned())));
        assert!(token_in(&[0xff, 0xfe]).is_err());
    }

    /// G: the beginning of a value is a secret, however long it is.
    #[tokio::test]
    async fn a_value_that_ends_beyond_what_is_shown_is_withheld() {
        for (before, length) in [(0, 8_000), (4_097, 600), (70_000, 100_000)] {
            let passed = [("LONG", "s".repeat(length))];
            let text = format!("{}{} and more", " ".repeat(before), passed[0].1);
            let words = words_of(Some(text.as_bytes()), words_read(&passed)).await;
            assert!(super::said(&words, &passed).contains("withheld"), "{before} {length}");
        }
    }

    /// F10: no shell, and no variable but those that are named and those of Google's convention.
    #[tokio::test]
    async fn a_program_has_its_arguments_and_the_variables_that_are_named() {
        let report = "printf '%s|' \"$#\" \"$1\" \"$2\" >&2; /usr/bin/env | /usr/bin/sort | /usr/bin/tr '\\n' ' ' >&2; exit 3";
        let program = shell(report, &json!({ "environment": ["CARGO_PKG_NAME", "NOT_SET"] }));
        let said = program.run().await.unwrap_err();
        assert!(said.contains("ended with exit code 3. It says: 2|a b|$HOME;x|"), "{said}");
        assert!(said.contains("CARGO_PKG_NAME=wif") && said.contains("GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE=https://api"), "{said}");
        for name in ["HOME=", "CARGO_MANIFEST_DIR=", "NOT_SET"] {
            assert!(!said.contains(name), "{name}: {said}");
        }
        assert!(said.len() < 700, "{said}");
    }

    #[tokio::test]
    async fn a_program_that_gives_no_token_says_why() {
        let gives = |text: &'static str| {
            let program = shell(text, &json!({ "environment": ["CARGO_MANIFEST_DIR"] }));
            async move { program.run().await.map(Secret::into_revealed) }
        };
        assert_eq!(gives("echo token; echo words >&2").await, Ok("token".to_owned()));
        for (text, why) in [
            ("echo token; exit 1", "ended with exit code 1"),
            ("kill -9 $$", "was ended by a signal"),
            ("echo '{\"version\":1,\"success\":false,\"code\":\"7\",\"message\":\"no\"}'; exit 1", "says that it failed: 7 no"),
            ("exit 0", "printed nothing to its standard output"),
            ("echo \"at $CARGO_MANIFEST_DIR\" >&2; exit 1", "is withheld, for it repeats a variable"),
            ("/usr/bin/yes x", "printed more than 65536 bytes"),
        ] {
            let said = gives(text).await.unwrap_err();
            assert!(said.starts_with("/bin/sh ") && said.contains(why), "{text}: {said}");
        }
        // It may say much, and is not stopped by it.
        let much = gives("/usr/bin/head -c 300000 /dev/zero | /usr/bin/tr '\\0' x >&2; echo token").await;
        assert_eq!(much, Ok("token".to_owned()));
        let missing = Executable::named_by(&json!({ "source": "executable", "command": ["/nowhere/program"] })).unwrap();
        assert!(missing.run().await.unwrap_err().starts_with("/nowhere/program cannot be run: "));
    }

    /// B: nobody waits for ever, and nothing is left behind.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_program_that_nobody_waits_for_ends_with_what_it_started() {
        let directory = tempfile::tempdir().unwrap();
        let pids = directory.path().join("pids");
        let text = format!("/usr/bin/sleep 600 & echo $$ $! > {}; wait", pids.display());
        let program = shell(&text, &json!({}));
        assert!(tokio::time::timeout(Duration::from_secs(2), program.run()).await.is_err());
        let pids = fs::read_to_string(pids).unwrap();
        let is_running = |pid: &str| {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z ")
        };
        for pid in pids.split_whitespace() {
            for _ in 0..100 {
                if !is_running(pid) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(!is_running(pid), "{pid} of {pids}");
        }
    }

    #[test]
    fn only_a_configuration_that_names_a_program_has_one() {
        for source in [json!({ "source": "file", "command": ["/x"] }), json!({ "source": "executable" }), json!(null)] {
            assert!(Executable::named_by(&source).is_none(), "{source}");
        }
    }
}
