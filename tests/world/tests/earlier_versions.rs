//! What an earlier version kept is read, as CONTRIBUTING.md promises. The files in `kept/` are what that version wrote: they are never
//! changed, and each version that writes another form adds its own.

use serde_json::{Value, json};
use wif_world::world::{START_MS, federation};
use wif_world::{Kind, Machine, Opening, both, jwt};

const JOURNAL_OF_0_1: &str = include_str!("../kept/0.1/journal.json");
const ENTRY_OF_0_1: &str = include_str!("../kept/0.1/entry.json");

/// The access token that is in both.
const KEPT: &str = "sk-ant-oat01-first-access-token";

/// The identity token that it was exchanged for, or another one of the same workload.
fn identity_token(jti: &str) -> String {
    let issued = START_MS / 1_000;
    jwt::jwt(&json!({
        "aud": "https://api.anthropic.com",
        "exp": issued + 3_600,
        "iat": issued,
        "iss": "https://issuer.example",
        "jti": jti,
        "sub": "system:serviceaccount:app:web",
    }))
}

struct Session(Box<dyn Machine>);

impl Session {
    fn open(kind: Kind, can: &[&str], from: Value) -> Self {
        let opening = Opening {
            configuration: federation(json!({"source": "file", "path": "/var/run/secrets/anthropic/token"})).to_string(),
            seed: 2,
            can: can.iter().map(|name| (*name).to_owned()).collect(),
            from,
        };
        Self(kind.open(&opening).expect("a valid configuration"))
    }

    fn step(&mut self, at_ms: u64, event: &Value) -> Value {
        self.0.step(&json!({"wall-ms": START_MS + at_ms, "steady-ms": 5_000 + at_ms}), event)
    }

    /// The session asks for nothing but this, and gets it.
    fn answer(&mut self, at_ms: u64, output: &Value, kind: &str, outcome: &Value) -> Value {
        let tasks = output["tasks"].as_array().expect("a list");
        assert!(tasks.len() == 1 && tasks[0]["task"].get(kind).is_some(), "{kind} is not asked for: {output:#}");
        self.step(at_ms, &json!({"finished": {"number": tasks[0]["number"], "outcome": outcome}}))
    }
}

fn served(output: &Value) -> Option<&str> {
    output["access"]["usable"]["id"].as_str()
}

/// A8b: the token is served on, and the identity token that it was exchanged for is not sent again when it falls due.
#[test]
fn a_journal_of_0_1_is_read() {
    both(|kind| {
        let mut session = Session::open(kind, &["read-file"], json!({ "resumed": JOURNAL_OF_0_1 }));
        let output = session.step(60_000, &json!("woken"));
        let output = session.answer(60_000, &output, "read-file", &json!({"content": identity_token("one")}));
        assert_eq!(served(&output), Some(&*jwt::id_of(KEPT)), "{output:#}");
        assert_eq!(output["tasks"], json!([]), "{output:#}");
        let unusable_in_ms = output["access"]["usable"]["unusable-in-ms"].as_u64().expect("a time");
        assert!((3_500_000..=3_540_000).contains(&unusable_in_ms), "{unusable_in_ms}");

        let output = session.step(3_530_000, &json!("needed"));
        let output = session.answer(3_530_000, &output, "read-file", &json!({"content": identity_token("one")}));
        assert_eq!(output["tasks"], json!([]), "the spent identity token is sent again: {output:#}");
        let output = session.step(3_540_000, &json!("changed"));
        let output = session.answer(3_540_000, &output, "read-file", &json!({"content": identity_token("two")}));
        assert!(output["tasks"][0]["task"].get("send-request").is_some(), "{output:#}");
    });
}

/// A8: an entry of 0.1 stands under another key. Whoever moves it to the new one finds its token served, and nothing is exchanged.
#[test]
fn an_entry_of_0_1_is_read() {
    both(|kind| {
        let mut session = Session::open(kind, &["read-file", "store"], json!("fresh"));
        let output = session.step(60_000, &json!("woken"));
        let output = session.answer(60_000, &output, "read-file", &json!({"content": identity_token("two")}));
        let entry = json!({"entry": {"version": "v1", "value": ENTRY_OF_0_1}});
        let output = session.answer(60_000, &output, "load-entry", &entry);
        assert_eq!(served(&output), Some(&*jwt::id_of(KEPT)), "{output:#}");
        assert_eq!(output["tasks"], json!([]), "{output:#}");
    });
}

/// A form that nobody knows yet counts as lost, and never as fresh: the first identity token may have been exchanged.
#[test]
fn a_journal_of_a_later_version_counts_as_lost() {
    let later = JOURNAL_OF_0_1.replacen(r#""version":1"#, r#""version":2"#, 1);
    assert_ne!(later, JOURNAL_OF_0_1);
    both(|kind| {
        let mut session = Session::open(kind, &["read-file"], json!({ "resumed": later }));
        let output = session.step(60_000, &json!("woken"));
        let output = session.answer(60_000, &output, "read-file", &json!({"content": identity_token("one")}));
        assert_eq!(served(&output), None, "{output:#}");
        let refused = json!({"response": {"status": 401, "headers": [], "body": ""}});
        let output = session.answer(60_000, &output, "send-request", &refused);
        // Sent by an earlier session perhaps: this 401 says that it is spent.
        assert!(output["access"]["failed"]["code"] == "identity-token-spent", "{output:#}");
    });
}
