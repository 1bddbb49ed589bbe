//! Particulars of the contract that a change could take away without any session coming to a bad end.

use serde_json::{Value, json};
use wif_world::world::{START_MS, federation};
use wif_world::{Kind, Machine, Opening, both, jwt};

/// A session driven by hand.
struct Driven {
    machine: Box<dyn Machine>,
    now_ms: u64,
    output: Value,
}

impl Driven {
    fn new(kind: Kind, configuration: &Value, can: &[&str]) -> Self {
        let can = can.iter().map(|name| (*name).to_owned()).collect();
        let opening = Opening { configuration: configuration.to_string(), seed: 1, can, from: json!("fresh") };
        Self { machine: kind.open(&opening).expect("a valid configuration"), now_ms: 0, output: Value::Null }
    }

    /// Exchanges the identity token of a file.
    fn file(kind: Kind) -> Self {
        Self::new(kind, &federation(json!({"source": "file", "path": "/token"})), &["read-file"])
    }

    fn clock(&self) -> Value {
        json!({"wall-ms": START_MS + self.now_ms, "steady-ms": self.now_ms})
    }

    fn step(&mut self, event: &Value) -> &mut Self {
        self.output = self.machine.step(&self.clock(), event);
        self
    }

    fn at(&mut self, now_ms: u64, event: &str) -> &mut Self {
        self.now_ms = now_ms;
        self.step(&json!(event))
    }

    /// The task that was begun last.
    fn task(&self) -> (u64, Value) {
        let task = self.output["tasks"].as_array().and_then(|tasks| tasks.last()).unwrap_or_else(|| panic!("{:#}", self.output));
        (task["number"].as_u64().expect("a number"), task["task"].clone())
    }

    fn answer(&mut self, outcome: Value) -> &mut Self {
        let (number, _) = self.task();
        self.step(&json!({"finished": {"number": number, "outcome": outcome}}))
    }

    fn respond(&mut self, status: u16, headers: Value, body: &Value) -> &mut Self {
        self.answer(json!({"response": {"status": status, "headers": headers, "body": body.to_string()}}))
    }

    /// What status says of what comes next, and in how many milliseconds.
    fn next(&mut self) -> (String, Option<u64>) {
        let clock = self.clock();
        let status = self.machine.status(&clock);
        (status["next"].as_str().expect("a sentence").to_owned(), status["next-in-ms"].as_u64())
    }
}

fn identity_token(jti: &str) -> Value {
    let issued = START_MS / 1_000;
    json!({"content": jwt::jwt(&json!({"iss": "i", "sub": "s", "iat": issued, "exp": issued + 3_600, "jti": jti}))})
}

fn granted(expires_in: u64) -> Value {
    json!({"access_token": "sk-ant-oat01-first", "token_type": "Bearer", "expires_in": expires_in})
}

fn signer() -> Value {
    federation(json!({"source": "signer", "key_id": "k", "issuer": "https://issuer.example", "subject": "s", "lifetime_s": 300}))
}

/// A6: each self-issued identity token has a `jti` of its own: within a session, and in another one with the same seed.
#[test]
fn self_issued_identity_tokens_differ() {
    both(|kind| {
        let mut seen = Vec::new();
        for at_ms in [0, 1_000] {
            let mut session = Driven::new(kind, &signer(), &["sign"]);
            session.at(at_ms, "woken");
            for _ in 0..3 {
                let (_, task) = session.task();
                let claims = jwt::claims(task["sign"]["input"].as_str().expect("text")).expect("claims");
                let (issued, expires) = (claims["iat"].as_u64().expect("iat"), claims["exp"].as_u64().expect("exp"));
                assert_eq!(expires - issued, 300);
                seen.push(claims["jti"].as_str().expect("jti").to_owned());
                session.answer(json!({"failed": "the key is away"}));
                let next = session.now_ms + session.output["wake-in-ms"].as_u64().expect("it tries again");
                session.at(next, "woken");
            }
        }
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all, "{seen:?}");
    });
}

/// D7: a supplied bearer whose end is not told lives as long as its own claim says.
#[test]
fn a_supplied_token_ends_with_its_own_claim() {
    both(|kind| {
        let configuration = json!({"bearer": {"source": "callable", "name": "broker"}});
        let supplied = |exp: u64| json!({"token": {"value": jwt::jwt(&json!({"exp": exp}))}});
        let mut session = Driven::new(kind, &configuration, &["supply-token"]);
        session.at(0, "needed").answer(supplied(START_MS / 1_000 + 600));
        assert_eq!(session.output["access"]["usable"]["unusable-in-ms"], 595_000, "{:#}", session.output);
        let mut session = Driven::new(kind, &configuration, &["supply-token"]);
        session.at(0, "needed").answer(supplied(START_MS / 1_000 - 1));
        assert_eq!(session.output["access"]["failed"]["code"], "token-source-failed", "{:#}", session.output);
    });
}

/// What status says comes next, through the states of a session.
#[test]
fn status_tells_what_comes_next() {
    both(|kind| {
        let mut session = Driven::file(kind);
        assert_eq!(session.next(), ("the configuration is looked for".into(), Some(0)));
        session.at(0, "woken");
        assert_eq!(session.next().0, "the source answers");
        session.answer(identity_token("one"));
        assert_eq!(session.next().0, "the token endpoint answers");
        session.respond(503, json!([]), &json!({}));
        let retry_in_ms = session.output["access"]["failed"]["retry-in-ms"].as_u64().expect("it tries again");
        let (next, in_ms) = session.next();
        assert_eq!(next, "it is tried again");
        assert!(in_ms.is_some_and(|in_ms| in_ms > 0 && in_ms <= retry_in_ms), "{in_ms:?} of {retry_in_ms}");

        let mut session = Driven::file(kind);
        session.at(0, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(3_600));
        let refresh_in_ms = session.output["access"]["usable"]["refresh-in-ms"].as_u64();
        assert_eq!(session.next(), ("the access token is refreshed".into(), refresh_in_ms));
        session.at(refresh_in_ms.expect("it is refreshed"), "woken").answer(identity_token("one"));
        let (next, in_ms) = session.next();
        assert_eq!(next, "the source of the identity token is looked at again");
        assert!(in_ms.is_some_and(|in_ms| (1_000..=10_000).contains(&in_ms)), "{in_ms:?}");
        session.step(&json!("closing"));
        assert_eq!(session.next(), ("nothing".into(), None));

        let mut waits = federation(json!({"source": "file", "path": "/token"}));
        waits["prefetch"] = json!(false);
        let mut session = Driven::new(kind, &waits, &["read-file"]);
        session.at(0, "woken");
        assert_eq!(session.next(), ("the first caller asks".into(), None));

        let mut session = Driven::new(kind, &json!({}), &[]);
        session.at(0, "woken");
        let (next, in_ms) = session.next();
        assert_eq!(next, "the configuration is looked for again");
        assert!(in_ms.is_some_and(|in_ms| in_ms <= 60_000), "{in_ms:?}");
        session.at(1_000, "changed");
        assert!(session.next().1.is_some_and(|in_ms| in_ms == 60_000), "it was looked for at once: {:?}", session.next());
    });
}

/// A13, B1: what the configuration says of the place goes before the variable, and that before the profile.
#[test]
fn one_place_for_the_exchange_and_the_api() {
    both(|kind| {
        let profile = json!({
            "organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab", "base_url": "https://gateway.example/prof",
            "authentication": {"type": "oidc_federation", "federation_rule_id": "fdrl_1",
                "identity_token": {"source": "file", "path": "/token"}}
        });
        for (configured, variable, expected) in [
            (None, None, "https://gateway.example/prof/v1/oauth/token"),
            (None, Some("https://gateway.example/pre"), "https://gateway.example/pre/v1/oauth/token"),
            (
                Some("https://gateway.example/own"),
                Some("https://gateway.example/pre"),
                "https://gateway.example/own/v1/oauth/token",
            ),
        ] {
            let mut configuration = json!({"discover": {"config_dir": "/c", "profile": "p"}});
            if let Some(url) = configured {
                configuration["base_url"] = json!(url);
            }
            let mut session = Driven::new(kind, &configuration, &["read-variable", "read-file"]);
            let variables = session.at(0, "woken").output["tasks"].as_array().cloned().expect("variables");
            for task in variables {
                let value = variable.filter(|_| task["task"]["read-variable"] == "ANTHROPIC_BASE_URL");
                let outcome = value.map_or_else(|| json!("absent"), |value| json!({ "content": value }));
                session.step(&json!({"finished": {"number": task["number"], "outcome": outcome}}));
            }
            session.answer(json!({"content": profile.to_string()})).answer(identity_token("one"));
            assert_eq!(session.task().1["send-request"]["url"], expected);
        }
    });
}

/// C12: what differs in any input, or in where one input ends and the next begins, is another entry.
#[test]
fn nearly_the_same_identities_have_different_entries() {
    both(|kind| {
        let callable = |name: &str, audience: &str| {
            federation(json!({"source": "callable", "name": name, "audience": audience, "freshness": "minted"}))
        };
        let signed = |key: &str, value: &str| {
            let mut configuration = signer();
            configuration["federation"]["identity_token"][key] = json!(value);
            configuration
        };
        let with = |key: &str, value: &str| {
            let mut configuration = callable("a", "b");
            match key {
                "base_url" => configuration[key] = json!(value),
                _ => configuration["federation"][key] = json!(value),
            }
            configuration
        };
        let literal = |jti: &str| federation(json!({"source": "literal", "value": identity_token(jti)["content"]}));
        let configurations = [
            callable("a", "b"),
            callable("ab", ""),
            callable("", "ab"),
            callable("a", "bc"),
            callable("ab", "c"),
            with("base_url", "https://gateway.example"),
            with("service_account_id", "svac_1"),
            with("workspace_id", "wrkspc_1"),
            with("federation_rule_id", "fdrl_2"),
            with("organization_id", "3f2b8c1e-0000-4000-8000-1234567890ac"),
            signer(),
            signed("subject", "t"),
            signed("issuer", "https://other.example"),
            signed("key_id", "l"),
            signed("key", "other"),
            signed("audience", "https://other.example"),
            literal("one"),
            literal("two"),
            json!({"bearer": {"source": "literal", "value": "x"}}),
            json!({"bearer": {"source": "literal", "value": "x"}, "base_url": "https://gateway.example"}),
            json!({"bearer": {"source": "callable", "name": "x"}}),
            json!({"bearer": {"source": "callable", "name": "x"}, "base_url": "https://gateway.example"}),
        ];
        let mut keys: Vec<String> = configurations
            .iter()
            .filter(|configuration| kind.open(&opening(configuration)).is_ok())
            .map(|configuration| {
                let mut session = Driven::new(kind, configuration, &["supply-assertion", "supply-token", "sign"]);
                session.at(0, "woken");
                if session.machine.entry_key().is_none() {
                    // Whose identity tokens a callable gives, the first of them says.
                    session.answer(identity_token("one"));
                }
                session.machine.entry_key().expect("it is configured")
            })
            .collect();
        let all = keys.len();
        assert!(all >= 20, "{all} of them are configurations");
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all);
    });
}

fn opening(configuration: &Value) -> Opening {
    let can = ["supply-assertion", "supply-token", "sign"].map(str::to_owned).to_vec();
    Opening { configuration: configuration.to_string(), seed: 1, can, from: json!("fresh") }
}

/// B12: a refusal names what this side can tell: clocks that differ, and a workspace that is not configured.
#[test]
fn a_refusal_names_the_difference_of_the_clocks() {
    both(|kind| {
        // START_MS plus two minutes.
        let date = |text: &str| json!([{"name": "date", "value": text}]);
        for (headers, differ) in [(date("Mon, 21 Sep 2026 14:15:20 GMT"), true), (json!([]), false)] {
            let mut session = Driven::file(kind);
            session.at(0, "woken").answer(identity_token("one")).respond(401, headers, &json!({}));
            let message = session.output["access"]["failed"]["message"].as_str().expect("a message").to_owned();
            assert_eq!(message.contains("clock and this machine's differ by"), differ, "{message}");
            assert!(message.contains("No workspace_id is configured."), "{message}");
        }
    });
}

/// F12: how long a session waits for a task that nobody ends: half a minute for what a program supplies, five seconds for what a host
/// reads, and for a request its own time and five seconds.
#[test]
fn every_task_has_its_time() {
    both(|kind| {
        let minted = federation(json!({"source": "callable", "name": "m", "freshness": "minted"}));
        let bearer = json!({"bearer": {"source": "callable", "name": "b"}});
        let file = federation(json!({"source": "file", "path": "/token"}));
        for (configuration, can, limit_ms) in [
            (&minted, "supply-assertion", 30_000),
            (&signer(), "sign", 30_000),
            (&bearer, "supply-token", 30_000),
            (&file, "read-file", 5_000),
        ] {
            let mut session = Driven::new(kind, configuration, &[can]);
            let (number, _) = session.at(0, "needed").task();
            assert_eq!(session.at(limit_ms - 1, "woken").output["abandon"], json!([]), "{can}");
            assert_eq!(session.at(limit_ms, "woken").output["abandon"], json!([number]), "{can}");
        }
        let mut session = Driven::file(kind);
        let (number, task) = session.at(0, "woken").answer(identity_token("one")).task();
        let limit_ms = task["send-request"]["timeout-ms"].as_u64().expect("a number") + 5_000;
        assert_eq!(session.at(limit_ms - 1, "woken").output["abandon"], json!([]));
        assert_eq!(session.at(limit_ms, "woken").output["abandon"], json!([number]));
        // Its answer is welcome all the same.
        let body = granted(3_600).to_string();
        let outcome = json!({"response": {"status": 200, "headers": [], "body": body}});
        session.step(&json!({"finished": {"number": number, "outcome": outcome}}));
        assert_eq!(session.output["access"]["usable"]["id"], jwt::id_of("sk-ant-oat01-first"));
    });
}

/// Invariant 10: a token belongs to an origin, and so does the word that it is not accepted there.
#[test]
fn a_programs_token_that_one_origin_rejected_is_served_to_another() {
    both(|kind| {
        let at = |base_url: &str| json!({"base_url": base_url, "bearer": {"source": "callable", "name": "b"}});
        let token = json!({"token": {"value": "sk-ant-oat01-first", "expires-at-ms": START_MS + 3_600_000}});
        let id = jwt::id_of("sk-ant-oat01-first");
        let mut session = Driven::new(kind, &at("https://wrong.example"), &["supply-token"]);
        session.at(0, "woken").answer(token.clone());
        assert_eq!(session.output["access"]["usable"]["id"], id);
        session.now_ms = 60_000;
        session.step(&json!({ "rejected": id }));
        let journal = session.output["journal"].clone();
        assert!(journal.is_string(), "{:#}", session.output);
        let mut opening = opening(&at("https://right.example"));
        (opening.can, opening.from) = (vec!["supply-token".to_owned()], json!({ "resumed": journal }));
        let machine = kind.open(&opening).expect("a valid configuration");
        let mut session = Driven { machine, now_ms: 70_000, output: Value::Null };
        session.at(70_000, "woken").answer(token.clone());
        assert_eq!(session.output["access"]["usable"]["id"], id, "{:#}", session.output);
    });
}

/// G6: what a platform's server says is searched for the session's own token as well, of which the platform knows nothing.
#[test]
fn a_platform_that_repeats_a_part_of_the_access_token_is_not_quoted() {
    both(|kind| {
        let mut session = Driven::new(kind, &federation(json!({"source": "github-actions"})), &["read-variable"]);
        let asks = |session: &mut Driven| {
            session.answer(json!({"content": "https://run.actions.example/token?api-version=2.0"}));
            session.answer(json!({"content": "canary-of-the-runner"}));
        };
        session.at(0, "woken");
        asks(&mut session);
        let identity_token = identity_token("one")["content"].clone();
        session.respond(200, json!([]), &json!({ "value": identity_token }));
        session.respond(200, json!([]), &json!({"access_token": "canary-0123456789-of-another-shape", "expires_in": 3_600}));
        assert!(session.output["access"]["usable"].is_object(), "{:#}", session.output);
        session.at(3_530_000, "needed");
        asks(&mut session);
        session.respond(401, json!([]), &json!({"message": "this is not for 0123456789-of-another"}));
        let (told, clock) = (session.output.clone(), session.clock());
        let status = session.machine.status(&clock);
        let message = status["failure"]["message"].as_str().expect("it failed");
        assert!(message.contains("It says: [withheld"), "{message}");
        assert!(!format!("{}{status}", told["notes"]).contains("0123456789"), "{:#}", told["notes"]);
    });
}
