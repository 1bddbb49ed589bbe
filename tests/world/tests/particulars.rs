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
        session.at(refresh_in_ms.expect("it is refreshed"), "woken");
        let again_in_ms = session.output["access"]["usable"]["refresh-in-ms"].as_u64();
        assert!(again_in_ms.is_some_and(|in_ms| in_ms > 0), "what was begun in this step need not be asked for: {again_in_ms:?}");
        session.answer(identity_token("one"));
        let (next, in_ms) = session.next();
        assert_eq!(next, "the source of the identity token is looked at again");
        assert!(in_ms.is_some_and(|in_ms| (1_000..=10_000).contains(&in_ms)), "{in_ms:?}");
        session.step(&json!("closing"));
        assert_eq!(session.next(), ("nothing".into(), None));

        let mut session = Driven::file(kind);
        session.at(0, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(1));
        session.at(1_000, "needed");
        assert_eq!(session.next(), ("an access token is fetched".into(), Some(4_000)));

        let mut waits = federation(json!({"source": "file", "path": "/token"}));
        waits["prefetch"] = json!(false);
        let mut session = Driven::new(kind, &waits, &["read-file"]);
        session.at(0, "woken");
        assert_eq!(session.next(), ("the first caller asks".into(), None));

        let mut session = Driven::new(kind, &json!({"bearer": {"source": "literal", "value": "x"}}), &[]);
        session.at(0, "woken");
        assert_eq!(session.next(), ("nothing: it is served as it is".into(), None));
        let mut session = Driven::new(kind, &json!({}), &["read-variable"]);
        session.at(0, "woken");
        assert_eq!(session.next(), ("the variables and profiles arrive".into(), None));

        let mut session = Driven::new(kind, &json!({}), &[]);
        session.at(0, "woken");
        let (next, in_ms) = session.next();
        assert_eq!(next, "the configuration is looked for again");
        assert_eq!(session.output["wake-in-ms"], 60_000, "{:#}", session.output);
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
            // The credentials file beside the profile is for tokens of the profile's own place.
            if configured.is_none() && variable.is_none() {
                session.answer(json!("absent"));
            }
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
        for (headers, differ) in
            [(date("Mon, 21 Sep 2026 14:15:20 GMT"), true), (date("Mon, 21 Sep 2026 14:13:50 GMT"), false), (json!([]), false)]
        {
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
            assert_eq!(session.output["tasks"], json!([]), "{can}: it is not asked again at once");
            assert!(session.output["access"]["failed"].is_object(), "{can}: {:#}", session.output);
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

/// The fields of the note with this code.
fn fields(session: &Driven, code: &str) -> Value {
    let notes = session.output["notes"].as_array().into_iter().flatten();
    let found = notes.filter(|note| note["code"] == code).map(|note| note["fields"].clone()).next();
    found.unwrap_or_else(|| panic!("no {code}: {:#}", session.output))
}

/// G3: a note names the token that it is about, by its id.
#[test]
fn a_note_names_its_token() {
    both(|kind| {
        let mut session = Driven::file(kind);
        let identity = identity_token("one");
        let id = jwt::id_of(identity["content"].as_str().expect("text"));
        session.at(0, "woken").answer(identity);
        assert_eq!(fields(&session, "exchange-started"), json!([{"name": "identity-token", "value": id}]));
        session.respond(200, json!([]), &granted(3_600));
        let id = jwt::id_of("sk-ant-oat01-first");
        session.step(&json!({ "rejected": id }));
        assert_eq!(fields(&session, "token-rejected"), json!([{"name": "token", "value": id}]));
    });
}

/// A8b: a session whose predecessor is forgotten doubts the first identity token of a file, which that one may have exchanged. It does not
/// doubt one that was made for it, nor one that may be exchanged again.
#[test]
fn an_identity_token_is_doubted_where_an_earlier_session_may_have_exchanged_it() {
    both(|kind| {
        let file = federation(json!({"source": "file", "path": "/token"}));
        let minted = federation(json!({"source": "callable", "name": "m", "freshness": "minted"}));
        let mut again = file.clone();
        again["federation"]["assertion_reuse"] = json!("allow");
        for (configuration, code) in [(file, "identity-token-spent"), (minted, "refused"), (again, "refused")] {
            let mut opening = opening(&configuration);
            (opening.can, opening.from) = (vec!["read-file".to_owned(), "supply-assertion".to_owned()], json!("lost"));
            let machine = kind.open(&opening).expect("a valid configuration");
            let mut session = Driven { machine, now_ms: 0, output: Value::Null };
            session.at(0, "woken").answer(identity_token("one")).respond(401, json!([]), &json!({}));
            assert_eq!(session.output["access"]["failed"]["code"], code, "{configuration}: {:#}", session.output);
        }
    });
}

/// A conflict of lifetimes is told once, with the numbers of the newest token; another conflict is told beside it.
#[test]
fn each_conflict_of_lifetimes_is_told_once() {
    both(|kind| {
        let mut session = Driven::file(kind);
        let shown = |jti: &str, issued_ms: u64, lifetime_s: u64| {
            let issued = (START_MS + issued_ms) / 1_000;
            json!({"content": jwt::jwt(&json!({"iss": "i", "sub": "s", "iat": issued, "exp": issued + lifetime_s, "jti": jti}))})
        };
        let warnings = |session: &mut Driven| {
            let clock = session.clock();
            session.machine.status(&clock)["warnings"].as_array().cloned().unwrap_or_default()
        };
        session.at(0, "woken").answer(shown("one", 0, 86_400));
        assert_eq!(fields(&session, "lifetimes-conflict"), json!([]));
        session.respond(200, json!([]), &granted(3_600));
        let told = warnings(&mut session);
        assert_eq!(told.len(), 2, "{told:?}");
        let refresh_in_ms = session.output["access"]["usable"]["refresh-in-ms"].as_u64().expect("it is refreshed");
        session.at(refresh_in_ms, "woken").answer(shown("two", refresh_in_ms, 90_000));
        let notes = session.output["notes"].as_array().cloned().unwrap_or_default();
        assert!(notes.iter().all(|note| note["code"] != "lifetimes-conflict"), "{notes:?}");
        let told = warnings(&mut session);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().any(|text| text.as_str().is_some_and(|text| text.contains("lives 90000 s"))), "{told:?}");
    });
}

/// A6: a kubelet rotates when four fifths of a token's life are over, and looks every minute or so. After that the token's end is the
/// latest time.
#[test]
fn a_rotation_is_expected_after_four_fifths_of_a_life_or_at_its_end() {
    both(|kind| {
        let mut refreshed_after_ms = 0;
        for (begins_ms, expected_ms) in [(0, 2_970_000), (2_970_000, 3_600_000), (3_000_000, 3_600_000)] {
            let begins_ms = begins_ms - if begins_ms == 2_970_000 { refreshed_after_ms } else { 0 };
            let mut session = Driven::file(kind);
            session.at(begins_ms, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(60));
            let refresh_in_ms = session.output["access"]["usable"]["refresh-in-ms"].as_u64().expect("it is refreshed");
            refreshed_after_ms = refresh_in_ms;
            let now_ms = begins_ms + refresh_in_ms;
            session.at(now_ms, "woken").answer(identity_token("one"));
            let left_ms = expected_ms - now_ms;
            let told = fields(&session, "waiting-for-rotation");
            assert_eq!(told[1], json!({"name": "rotation-expected-in-s", "value": (left_ms / 1_000).to_string()}));
            let clock = session.clock();
            assert_eq!(session.machine.status(&clock)["failure"]["rotation-in-ms"], left_ms);
        }
    });
}

/// A6, A10: nobody is told when an identity token will be rotated that nobody rotates, because it stands in the configuration or because
/// its source is said to make a new one for each exchange.
#[test]
fn no_rotation_is_expected_of_what_nobody_rotates() {
    both(|kind| {
        let identity = identity_token("one");
        let literal = federation(json!({"source": "literal", "value": identity["content"]}));
        let minted = federation(json!({"source": "callable", "name": "m", "freshness": "minted"}));
        for (configuration, can) in [(literal, vec![]), (minted, vec!["supply-assertion"])] {
            let mut session = Driven::new(kind, &configuration, &can);
            let supply = |session: &mut Driven| {
                if session.output["tasks"][0]["task"].get("supply-assertion").is_some() {
                    session.answer(identity.clone());
                }
            };
            supply(session.at(0, "woken"));
            session.respond(200, json!([]), &granted(60));
            let refresh_in_ms = session.output["access"]["usable"]["refresh-in-ms"].as_u64().expect("it is refreshed");
            supply(session.at(refresh_in_ms, "woken"));
            let clock = session.clock();
            let failure = session.machine.status(&clock)["failure"].clone();
            assert_eq!(
                (&failure["code"], &failure["rotation-in-ms"]),
                (&json!("identity-token-spent"), &Value::Null),
                "{failure}"
            );
        }
    });
}

/// A6: while a rotation is awaited, the source is looked at four times before callers would have to wait, within bounds.
#[test]
fn a_source_is_looked_at_as_often_as_the_token_that_is_held_allows() {
    both(|kind| {
        for (lifetime_s, look_in_ms) in [(3_600, 10_000), (60, 7_500), (6, 1_000)] {
            let mut session = Driven::file(kind);
            session.at(0, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(lifetime_s));
            let refresh_in_ms = session.output["access"]["usable"]["refresh-in-ms"].as_u64().expect("it is refreshed");
            session.at(refresh_in_ms.max(5_000), "woken").answer(identity_token("one"));
            assert_eq!(session.next().1, Some(look_in_ms), "{lifetime_s} s");
        }
    });
}

/// What is said of a request that brought no answer, for each reason that a host can give.
#[test]
fn each_reason_for_no_answer_has_its_failure() {
    both(|kind| {
        for (outcome, code, says) in [
            (json!({"denied": "the policy"}), "denied-by-host", "The policy refuses the request: the policy."),
            (
                json!({"unkept": "the disk"}),
                "store-failed",
                "Nothing was sent, because the journal could not be kept first: the disk.",
            ),
            (json!("unsupported"), "unsupported-by-host", "The host cannot send requests."),
            (json!({"maybe-sent": "a reset"}), "endpoint-unreachable", "The token endpoint's answer did not arrive: a reset."),
            (
                json!({"failed": "the machine"}),
                "endpoint-unreachable",
                "The token endpoint's answer did not arrive: the machine.",
            ),
            (json!("lost"), "endpoint-unreachable", "The token endpoint's answer did not arrive in time."),
        ] {
            let mut session = Driven::file(kind);
            session.at(0, "woken").answer(identity_token("one")).answer(outcome);
            let failure = &session.output["access"]["failed"];
            assert_eq!((failure["code"].as_str(), failure["message"].as_str()), (Some(code), Some(says)));
        }
    });
}

/// A7: the first of two requests with one identity token is answered after all. The second could only be refused, and is given up; one
/// with another identity token goes on.
#[test]
fn a_late_success_ends_the_repeat_of_its_request_and_no_other() {
    both(|kind| {
        for (second, ends) in [("one", true), ("two", false)] {
            let mut session = Driven::file(kind);
            let (first, _) = session.at(0, "woken").answer(identity_token("one")).task();
            session.at(36_000, "woken");
            session.at(400_000, "needed").answer(identity_token(second));
            let (repeat, task) = session.task();
            assert!(task.get("send-request").is_some(), "{:#}", session.output);
            let outcome = json!({"response": {"status": 200, "headers": [], "body": granted(3_600).to_string()}});
            session.step(&json!({"finished": {"number": first, "outcome": outcome}}));
            assert_eq!(session.output["access"]["usable"]["id"], jwt::id_of("sk-ant-oat01-first"), "{:#}", session.output);
            assert_eq!(session.output["abandon"], if ends { json!([repeat]) } else { json!([]) });
        }
    });
}

/// An access token that dies before the next rotation is a conflict only where a rotation is waited for.
#[test]
fn what_is_minted_or_may_be_exchanged_again_conflicts_with_no_lifetime() {
    both(|kind| {
        let file = federation(json!({"source": "file", "path": "/token"}));
        let mut again = file.clone();
        again["federation"]["assertion_reuse"] = json!("allow");
        let minted = federation(json!({"source": "callable", "name": "m", "freshness": "minted"}));
        for (configuration, can, warns) in
            [(file, "read-file", true), (again, "read-file", false), (minted, "supply-assertion", false)]
        {
            let mut session = Driven::new(kind, &configuration, &[can]);
            session.at(0, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(60));
            let clock = session.clock();
            let warnings = session.machine.status(&clock)["warnings"].as_array().map_or(0, Vec::len);
            assert_eq!(warnings, usize::from(warns), "{configuration}");
        }
    });
}

/// B12: a difference of the clocks is noted when it becomes larger than what is tolerated, in seconds, and not with each answer.
#[test]
fn clocks_that_begin_to_differ_are_noted_once() {
    both(|kind| {
        let mut session = Driven::file(kind);
        // START_MS is 14:13:20.
        for (minute_and_second, noted) in
            [("13:50", None), ("13:51", Some("31")), ("15:20", None), ("13:20", None), ("11:20", Some("-120"))]
        {
            let date = format!("Mon, 21 Sep 2026 14:{minute_and_second} GMT");
            // At the same moment by the wall, while the steady clock goes on.
            session.now_ms += 700_000;
            let clock = json!({"wall-ms": START_MS, "steady-ms": session.now_ms});
            session.output = session.machine.step(&clock, &json!("needed"));
            for outcome in [
                identity_token("one"),
                json!({"response": {"status": 503, "headers": [{"name": "date", "value": date}], "body": ""}}),
            ] {
                let (number, _) = session.task();
                session.output = session.machine.step(&clock, &json!({"finished": {"number": number, "outcome": outcome}}));
            }
            let notes = session.output["notes"].as_array().cloned().unwrap_or_default();
            let skewed: Vec<_> = notes.iter().filter(|note| note["code"] == "clock-skewed").collect();
            assert_eq!(skewed.len(), usize::from(noted.is_some()), "{date}: {notes:?}");
            if let Some(skew) = noted {
                assert_eq!(skewed[0]["fields"], json!([{"name": "skew-s", "value": skew}]));
            }
        }
    });
}

/// C10: a hint makes a session look at once at a source where a look costs nothing, and does not make one that mints give another token.
#[test]
fn a_hint_looks_at_a_shared_source_at_once() {
    both(|kind| {
        let minted = federation(json!({"source": "callable", "name": "m", "freshness": "minted"}));
        for (configuration, can, looks) in
            [(federation(json!({"source": "file", "path": "/token"})), "read-file", true), (minted, "supply-assertion", false)]
        {
            let mut session = Driven::new(kind, &configuration, &[can]);
            session.at(0, "woken").answer(identity_token("one")).respond(403, json!([]), &json!({}));
            // After the least time between two requests.
            session.at(5_001, "changed");
            assert_eq!(session.output["tasks"].as_array().map(Vec::len), Some(usize::from(looks)), "{:#}", session.output);
        }
    });
}

/// C10: a rejection ends the pause that a failed refresh began.
#[test]
fn a_rejection_wakes_a_sleeper() {
    both(|kind| {
        let mut session = Driven::file(kind);
        session.at(0, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(3_600));
        let refresh_in_ms = session.output["access"]["usable"]["refresh-in-ms"].as_u64().expect("it is refreshed");
        session.at(refresh_in_ms, "woken").answer(identity_token("two")).respond(403, json!([]), &json!({}));
        session.at(refresh_in_ms + 6_000, "woken");
        assert_eq!(session.output["tasks"], json!([]), "it is paused for minutes");
        session.step(&json!({"rejected": jwt::id_of("sk-ant-oat01-first")}));
        session.answer(identity_token("two"));
        assert!(session.task().1.get("send-request").is_some(), "{:#}", session.output);
    });
}

/// A6: once there is an identity token that can be exchanged, what goes wrong then is no wait for a rotation.
#[test]
fn a_wait_for_a_rotation_ends_with_the_rotation() {
    both(|kind| {
        let state = |session: &mut Driven| {
            let clock = session.clock();
            session.machine.status(&clock)["state"].clone()
        };
        let minted = federation(json!({"source": "callable", "name": "m", "freshness": "minted"}));
        for (configuration, can) in
            [(federation(json!({"source": "file", "path": "/token"})), "read-file"), (minted, "supply-assertion")]
        {
            let mut session = Driven::new(kind, &configuration, &[can]);
            session.at(0, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(3_600));
            let refresh_in_ms = session.output["access"]["usable"]["refresh-in-ms"].as_u64().expect("it is refreshed");
            session.at(refresh_in_ms, "woken").answer(identity_token("one"));
            assert_eq!(state(&mut session), "waiting-for-rotation");
            let look_in_ms = session.next().1.expect("it looks again");
            session.at(refresh_in_ms + look_in_ms, "woken").answer(identity_token("two")).respond(503, json!([]), &json!({}));
            assert_eq!(state(&mut session), "retrying", "{can}");
        }
    });
}

/// B11: during a pause that an earlier session began callers are answered at once, also after the source was away for a moment.
#[test]
fn a_pause_outlives_a_restart_and_a_source_that_was_away() {
    both(|kind| {
        let mut session = Driven::file(kind);
        session.at(0, "woken").answer(identity_token("one")).respond(403, json!([]), &json!({}));
        let mut opening = opening(&federation(json!({"source": "file", "path": "/token"})));
        (opening.can, opening.from) = (vec!["read-file".to_owned()], json!({ "resumed": session.output["journal"] }));
        let machine = kind.open(&opening).expect("a valid configuration");
        let mut session = Driven { machine, now_ms: 10_000, output: Value::Null };
        session.at(10_000, "woken").answer(json!("absent"));
        assert_eq!(session.output["access"]["failed"]["code"], "identity-token-missing", "{:#}", session.output);
        session.at(20_000, "changed").answer(identity_token("one"));
        assert_eq!(session.output["tasks"], json!([]), "the pause lasts for minutes");
        assert!(session.output["access"]["failed"].is_object(), "{:#}", session.output);
    });
}

/// C4, F12: whoever sent a request has vanished, and with it perhaps the exchange of an identity token that others see, too: it is sent
/// again after a pause, and callers are told so.
#[test]
fn a_request_whose_owner_has_vanished_is_repeated_after_a_pause() {
    both(|kind| {
        let file = federation(json!({"source": "file", "path": "/token"}));
        let mut session = Driven::new(kind, &file, &["read-file", "owners-vanish"]);
        let (number, _) = session.at(0, "woken").answer(identity_token("one")).task();
        let silent_ms = session.output["wake-in-ms"].as_u64().expect("it looks for its owner");
        session.at(silent_ms, "woken");
        assert_eq!(
            (&session.output["abandon"], &session.output["tasks"]),
            (&json!([number]), &json!([])),
            "{:#}",
            session.output
        );
        let failed = &session.output["access"]["failed"];
        assert_eq!(failed["code"], "endpoint-unreachable", "{:#}", session.output);
        assert!(failed["retry-in-ms"].as_u64().is_some_and(|in_ms| in_ms >= 5_000), "{failed:#}");
    });
}

/// B10: a token that the API has rejected is no better after a boot and two restarts, though others have been rejected since, which is
/// as many as are remembered.
#[test]
fn a_rejected_token_is_no_better_after_a_boot() {
    both(|kind| {
        let mut session = Driven::file(kind);
        session.at(500_000, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(3_600));
        let id = jwt::id_of("sk-ant-oat01-first");
        session.step(&json!({ "rejected": id }));
        let mut journal: Value = serde_json::from_str(session.output["journal"].as_str().expect("a journal")).expect("JSON");
        journal["rejections"]["tokens"] = json!([]);
        let mut journal = journal.to_string();
        for steady_ms in [1_000, 2_000] {
            let mut opening = opening(&federation(json!({"source": "file", "path": "/token"})));
            (opening.can, opening.from) = (vec!["read-file".to_owned()], json!({ "resumed": journal }));
            let machine = kind.open(&opening).expect("a valid configuration");
            session = Driven { machine, now_ms: 0, output: Value::Null };
            let clock = json!({"wall-ms": START_MS + 600_000 + steady_ms, "steady-ms": steady_ms});
            session.output = session.machine.step(&clock, &json!("woken"));
            if let Some(rewritten) = session.output["journal"].as_str() {
                journal = rewritten.to_owned();
            }
            let (number, _) = session.task();
            let absent = json!({"finished": {"number": number, "outcome": "absent"}});
            session.output = session.machine.step(&clock, &absent);
            let usable = &session.output["access"]["usable"];
            assert_eq!((&usable["id"], &usable["standing"]), (&json!(id), &json!("suspect")), "{steady_ms} {:#}", session.output);
        }
    });
}

/// D3: a session that is opened after a boot writes its journal anew at once. Otherwise nobody could tell how long ago the old one was
/// written, once this boot has lasted longer than the last.
#[test]
fn a_journal_of_another_boot_is_written_anew() {
    both(|kind| {
        let mut session = Driven::file(kind);
        session.at(500_000, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(3_600));
        // The boot put the wall clock back as well.
        for (steady_ms, wall_ms) in [(1_000, START_MS - 100_000), (900_000, START_MS + 799_000)] {
            let mut opening = opening(&federation(json!({"source": "file", "path": "/token"})));
            let journal = session.output["journal"].as_str().expect("a journal");
            (opening.can, opening.from) = (vec!["read-file".to_owned()], json!({ "resumed": journal }));
            let mut machine = kind.open(&opening).expect("a valid configuration");
            let clock = json!({"wall-ms": wall_ms, "steady-ms": steady_ms});
            let output = machine.step(&clock, &json!("woken"));
            session = Driven { machine, now_ms: 0, output };
            if steady_ms == 900_000 {
                let (number, _) = session.task();
                let content = json!({"finished": {"number": number, "outcome": identity_token("one")}});
                session.output = session.machine.step(&clock, &content);
            }
        }
        // An hour was left at the most when this boot began.
        assert_eq!(session.output["access"]["usable"]["unusable-in-ms"], 2_695_000, "{:#}", session.output);
    });
}

/// What is said of a source that gives nothing, for each reason that a host can give.
#[test]
fn each_reason_for_no_identity_token_has_its_failure() {
    both(|kind| {
        let file = federation(json!({"source": "file", "path": "/token"}));
        let callable = federation(json!({"source": "callable", "name": "m", "freshness": "minted"}));
        let unreadable = "identity-token-unreadable";
        for (configuration, outcome, code, says) in [
            (&file, json!("absent"), "identity-token-missing", "does not exist."),
            (&file, json!({"denied": "mode 0600"}), unreadable, "may not be read: mode 0600."),
            (&callable, json!({"denied": "the policy"}), "denied-by-host", "is refused by the host: the policy."),
            (&file, json!({"failed": "a directory"}), unreadable, "cannot be read: a directory."),
            (&file, json!({"unsent": "no route"}), unreadable, "cannot be reached: no route."),
            (&file, json!({"maybe-sent": "a reset"}), unreadable, "did not answer in full: a reset."),
            (&file, json!("unsupported"), "unsupported-by-host", "cannot be asked by this host."),
            (&file, json!("lost"), unreadable, "did not answer."),
        ] {
            let mut session = Driven::new(kind, configuration, &["read-file", "supply-assertion"]);
            session.at(0, "woken").answer(outcome);
            let failure = &session.output["access"]["failed"];
            let message = failure["message"].as_str().unwrap_or_default();
            assert_eq!(failure["code"], code, "{failure}");
            assert!(message.starts_with("The source of the identity token, ") && message.ends_with(says), "{message}");
        }
    });
}

/// A2: more is read of a file than may be exchanged, so that it can be said what is wrong with it.
#[test]
fn a_file_that_is_too_long_is_read_far_enough_to_say_so() {
    both(|kind| {
        let mut session = Driven::file(kind);
        assert_eq!(session.at(0, "woken").task().1["read-file"]["max-bytes"], 65_536);
        session.answer(json!({ "content": "a".repeat(65_536) }));
        let message = session.output["access"]["failed"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("longer than 16 KiB"), "{message}");
    });
}

/// A token of unknown life is served to those who ask now, and all its times are over at once.
#[test]
fn a_token_of_unknown_life_serves_this_moment() {
    both(|kind| {
        let mut session = Driven::new(kind, &json!({"bearer": {"source": "callable", "name": "b"}}), &["supply-token"]);
        session.at(0, "needed").answer(json!({"token": {"value": "opaque"}}));
        let usable = &session.output["access"]["usable"];
        let times = ["refresh-in-ms", "hold-in-ms", "unusable-in-ms"].map(|name| usable[name].as_u64());
        assert_eq!(times, [Some(0); 3], "{usable}");
    });
}

/// C14: what happens after closing is in no journal, which somebody else may write by now.
#[test]
fn a_closing_session_writes_no_journal() {
    both(|kind| {
        let mut session = Driven::file(kind);
        session.at(0, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(3_600));
        session.step(&json!("closing"));
        session.step(&json!({"rejected": jwt::id_of("sk-ant-oat01-first")}));
        assert_eq!(session.output["access"]["usable"]["standing"], "suspect");
        assert_eq!(session.output["journal"], Value::Null);
    });
}

/// C9: with nothing under way, a rejected token holds no caller up before its time.
#[test]
fn a_rejected_token_that_nothing_replaces_holds_nobody_up() {
    both(|kind| {
        let mut session = Driven::file(kind);
        session.at(0, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(3_600));
        session.now_ms = 10_000;
        session.step(&json!({"rejected": jwt::id_of("sk-ant-oat01-first")}));
        assert_eq!(session.output["access"]["usable"]["hold-in-ms"], 0, "the source is read");
        session.answer(identity_token("one"));
        assert_eq!(session.output["progress"], "resting");
        assert_eq!(session.output["access"]["usable"]["hold-in-ms"], 3_560_000);
    });
}

/// What is said of a program's own token that does not come, or is of no use.
#[test]
fn each_reason_for_no_supplied_token_is_said() {
    both(|kind| {
        let expired = json!({"token": {"value": "x", "expires-at-ms": START_MS}});
        for (outcome, says) in [
            (json!({"failed": "the broker is away"}), "the broker is away."),
            (json!({"denied": "not for you"}), "not for you."),
            (json!("absent"), "it has none."),
            (json!("unsupported"), "this host does not call for access tokens."),
            (json!("lost"), "it did not answer."),
            (expired, "its token has expired."),
        ] {
            let mut session = Driven::new(kind, &json!({"bearer": {"source": "callable", "name": "b"}}), &["supply-token"]);
            session.at(0, "needed").answer(outcome);
            let message = session.output["access"]["failed"]["message"].as_str().unwrap_or_default();
            assert_eq!(message, format!("The program's own source of the access token failed: {says}"));
        }
        let token = json!({"token": {"value": "x", "expires-at-ms": START_MS + 3_600_000}});
        let mut session = Driven::new(kind, &json!({"bearer": {"source": "callable", "name": "b"}}), &["supply-token"]);
        session.at(0, "needed").answer(token.clone());
        session.step(&json!({"rejected": jwt::id_of("x")})).answer(token);
        let clock = session.clock();
        let failure = session.machine.status(&clock)["failure"]["message"].clone();
        assert!(
            failure.as_str().is_some_and(|text| text.ends_with("it gave again the token that the API has rejected.")),
            "{failure}"
        );
    });
}

/// How long an identity token is valid is in the status until it is not.
#[test]
fn status_tells_how_long_an_identity_token_is_valid() {
    both(|kind| {
        let mut session = Driven::file(kind);
        session.at(0, "woken").answer(identity_token("one"));
        for (now_ms, left) in [(0, json!(3_600_000)), (3_599_999, json!(1)), (3_600_000, Value::Null)] {
            session.now_ms = now_ms;
            let clock = session.clock();
            assert_eq!(session.machine.status(&clock)["identity-token"]["expires-in-ms"], left);
        }
    });
}

/// A session that looks for its configuration, and the profile in `/c` that it asks for.
fn discovering(kind: Kind) -> Driven {
    let configuration = json!({"discover": {"config_dir": "/c", "profile": "p"}});
    let mut session = Driven::new(kind, &configuration, &["read-file", "supply-token", "store"]);
    session.at(0, "woken");
    assert_eq!(session.task().1["read-file"]["path"], "/c/configs/p.json");
    session
}

/// What the configuration limits discovery to holds for each time that it looks.
#[test]
fn discovery_is_repeated_within_the_same_limits() {
    both(|kind| {
        let mut session = discovering(kind);
        session.answer(json!("absent")).at(60_000, "woken");
        assert_eq!(session.task().1["read-file"]["path"], "/c/configs/p.json");
    });
}

/// What is said of a profile that does not come, and when it is looked for again.
#[test]
fn each_reason_for_no_profile_is_said() {
    both(|kind| {
        let unsaid = "The host did not say which variables and files there are.";
        for (outcome, says, again_in_ms) in [
            (json!({"denied": "mode 0666"}), "/c/configs/p.json cannot be read: mode 0666.", 60_000),
            (json!({"failed": "the disk"}), "/c/configs/p.json cannot be read: the disk.", 60_000),
            (json!("unsupported"), "/c/configs/p.json cannot be read: this host reads no files.", 60_000),
            (json!("lost"), unsaid, 1_000),
        ] {
            let mut session = discovering(kind);
            session.answer(outcome);
            assert_eq!(session.output["access"]["failed"]["message"], says, "{:#}", session.output);
            assert_eq!(session.output["wake-in-ms"], again_in_ms);
        }
    });
}

/// A platform that is recognised by its variables asks for what it needs with what the configuration says beside it, and does without
/// what it can do without.
#[test]
fn a_platform_that_is_recognised_is_asked() {
    both(|kind| {
        let told = [("AZURE_FEDERATED_TOKEN_FILE", "/azure/token"), ("AZURE_CLIENT_ID", "c"), ("AZURE_TENANT_ID", "t")];
        for (resource, asks) in [(None, false), (Some("api://wif"), true)] {
            let mut configuration = federation(json!({"source": "auto"}));
            if let Some(resource) = resource {
                configuration["federation"]["identity_token"]["resource"] = json!(resource);
            }
            let mut session = Driven::new(kind, &configuration, &["read-variable", "read-file"]);
            session.at(0, "woken");
            while session.output["tasks"][0]["task"]["read-variable"].is_string() {
                let name = session.task().1["read-variable"].clone();
                let value = told.iter().find(|(known, _)| name == *known);
                // A host that does not show a variable says so.
                session.answer(value.map_or_else(|| json!({"denied": "unshown"}), |(_, value)| json!({ "content": value })));
            }
            if asks {
                let file = session.task().1["read-file"].clone();
                assert_eq!((&file["path"], &file["max-bytes"]), (&json!("/azure/token"), &json!(65_536)), "{:#}", session.output);
            } else {
                let message = session.output["access"]["failed"]["message"].as_str().unwrap_or_default();
                assert!(message.contains("for which `resource` is not configured"), "{message}");
            }
        }
    });
}

const LOGIN: &str = r#"{"authentication": {"type": "user_oauth", "client_id": "c"}}"#;

/// C12: the file of a login is the truth. Until it was read, the token that an earlier session left is nobody's.
#[test]
fn a_login_serves_nothing_before_its_file_was_read() {
    both(|kind| {
        let mut session = discovering(kind);
        session.answer(json!({ "content": LOGIN }));
        let file = json!({"access_token": "sk-ant-oat01-first", "expires_at": START_MS / 1_000 + 3_600}).to_string();
        session.answer(json!({"entry": {"version": "v1", "value": file}}));
        assert_eq!(session.output["access"]["usable"]["id"], jwt::id_of("sk-ant-oat01-first"), "{:#}", session.output);
        let mut opening = opening(&json!({"discover": {"config_dir": "/c", "profile": "p"}}));
        (opening.can, opening.from) =
            (vec!["read-file".to_owned(), "store".to_owned()], json!({ "resumed": session.output["journal"] }));
        let machine = kind.open(&opening).expect("a valid configuration");
        let mut session = Driven { machine, now_ms: 1_000, output: Value::Null };
        session.at(1_000, "woken").answer(json!({ "content": LOGIN }));
        assert!(session.output["access"]["pending"].is_string(), "{:#}", session.output);
    });
}

/// What is said of the file of a login that cannot be used.
#[test]
fn each_reason_for_no_login_is_said() {
    both(|kind| {
        let path = "/c/credentials/p.json";
        for (outcome, says) in [
            (json!({"denied": "mode 0644"}), format!("The login's file {path} cannot be used: mode 0644.")),
            (json!({"failed": "the disk"}), format!("The login's file {path} cannot be used: the disk.")),
            (json!("lost"), format!("This host does not read the login's file {path}.")),
        ] {
            let mut session = discovering(kind);
            session.answer(json!({ "content": LOGIN })).answer(outcome);
            assert_eq!(session.output["access"]["failed"]["message"], says, "{:#}", session.output);
        }
        let mut session = discovering(kind);
        session.answer(json!({ "content": LOGIN })).answer(json!("absent")).answer(json!("absent"));
        let says = format!("There is no login: the file {path} does not exist.");
        assert_eq!(session.output["access"]["failed"]["message"], says, "{:#}", session.output);
    });
}

/// The outcome that brings the file of a login in this version.
fn file(version: &str, content: &Value) -> Value {
    json!({"entry": {"version": version, "value": content.to_string()}})
}

/// A file whose access token is valid for so many seconds from the start on, and whose login can be refreshed.
fn credentials(access_token: &str, refresh_token: &str, left_s: i64) -> Value {
    let expires_at = i64::try_from(START_MS / 1_000).expect("a time") + left_s;
    json!({"access_token": access_token, "refresh_token": refresh_token, "expires_at": expires_at})
}

/// A session of a login whose file is this.
fn logged_in(kind: Kind, content: &Value) -> Driven {
    let mut session = discovering(kind);
    session.answer(json!({ "content": LOGIN })).answer(file("v1", content));
    session
}

fn asks(session: &Driven, what: &str) -> bool {
    session.output["tasks"].as_array().is_some_and(|tasks| tasks.iter().any(|task| task["task"].get(what).is_some()))
}

/// A login whose token is about to end is refreshed before anything is sent with it, and no other one.
#[test]
fn a_login_is_refreshed_at_once_only_if_little_is_left() {
    both(|kind| {
        for (left_s, refreshes) in [(59, true), (60, true), (61, false), (3_600, false)] {
            let session = logged_in(kind, &credentials("sk-ant-oat01-first", "r1", left_s));
            assert_eq!(session.output["access"]["usable"]["id"], jwt::id_of("sk-ant-oat01-first"), "{left_s} s");
            assert_eq!(asks(&session, "swap-entry"), refreshes, "{left_s} s: {:#}", session.output);
        }
        let content = credentials("sk-ant-oat01-first", "r1", 3_600);
        let mut session = logged_in(kind, &content);
        session.at(60_000, "changed").answer(file("v1", &content));
        assert_eq!(session.output["tasks"], json!([]), "it was looked at for news, and there are none");
    });
}

/// Why a login that cannot be refreshed is of no use.
#[test]
fn a_login_without_a_refresh_token_says_what_became_of_its_token() {
    both(|kind| {
        let path = "/c/credentials/p.json";
        let says = |session: &Driven, what: &str| {
            let message = format!("The access token of the login's file {path} {what}.");
            assert_eq!(session.output["access"]["failed"]["message"], message, "{:#}", session.output);
        };
        let expired = json!({"access_token": "sk-ant-oat01-first", "expires_at": START_MS / 1_000});
        says(&logged_in(kind, &expired), "has expired");
        let endless = json!({"access_token": "sk-ant-oat01-first"});
        let mut session = logged_in(kind, &endless);
        let id = jwt::id_of("sk-ant-oat01-first");
        assert_eq!(session.output["access"]["usable"]["id"], id, "{:#}", session.output);
        session.step(&json!({ "rejected": id }));
        let mut opening = opening(&json!({"discover": {"config_dir": "/c", "profile": "p"}}));
        (opening.can, opening.from) =
            (vec!["read-file".to_owned(), "store".to_owned()], json!({ "resumed": session.output["journal"] }));
        let machine = kind.open(&opening).expect("a valid configuration");
        let mut session = Driven { machine, now_ms: 1_000, output: Value::Null };
        session.at(1_000, "woken").answer(json!({ "content": LOGIN })).answer(file("v1", &endless));
        says(&session, "was rejected by the API");
    });
}

/// A login that cannot be refreshed is served to its end. Somebody may log in again meanwhile, so its file is looked at; and it is told
/// what is wrong as soon as something is.
#[test]
fn a_login_without_a_refresh_token_is_served_to_its_end() {
    both(|kind| {
        let content = json!({"access_token": "sk-ant-oat01-first", "expires_at": START_MS / 1_000 + 3_600});
        let id = jwt::id_of("sk-ant-oat01-first");
        let mut session = logged_in(kind, &content);
        let due_ms = session.output["access"]["usable"]["refresh-in-ms"].as_u64().expect("it ends");
        session.at(due_ms, "needed").answer(file("v1", &content));
        assert_eq!(session.output["access"]["usable"]["standing"], "good", "{:#}", session.output);
        assert_eq!(
            (&session.output["notes"], &session.output["wake-in-ms"]),
            (&json!([]), &json!(5_000)),
            "{:#}",
            session.output
        );
        session.step(&json!({ "rejected": id })).answer(file("v1", &content));
        assert_eq!(session.output["access"]["usable"]["standing"], "suspect", "{:#}", session.output);
        let says = "The access token of the login's file /c/credentials/p.json was rejected by the API.";
        assert_eq!(session.output["notes"][0]["message"], says, "{:#}", session.output);
    });
}

/// What was wrong with one login says nothing about the next one, in the same file.
#[test]
fn another_login_is_refreshed_though_the_last_one_had_ended() {
    both(|kind| {
        for (refresh_token, refreshes) in [("r1", false), ("r2", true)] {
            let mut session = logged_in(kind, &credentials("sk-ant-oat01-first", "r1", -1));
            session.answer(json!({"swapped": "v2"})).respond(400, json!([]), &json!({}));
            session.answer(json!({"swapped": "v3"}));
            let failure = &session.output["access"]["failed"];
            assert_eq!(failure["code"], "refused", "{failure}");
            session.at(6_000, "changed").answer(file("v4", &credentials("sk-ant-oat01-second", refresh_token, -1)));
            assert_eq!(asks(&session, "swap-entry"), refreshes, "{refresh_token}: {:#}", session.output);
        }
    });
}

/// C5: a session that refreshes a login has twenty seconds from the last sign of life, which is a new version of the file.
#[test]
fn a_lease_in_the_file_of_a_login_is_watched_by_its_version() {
    both(|kind| {
        let mut leased = credentials("sk-ant-oat01-first", "r1", -1);
        leased["wif_lease"] = json!("another");
        let mut session = logged_in(kind, &leased);
        for (now_ms, version, takes_over) in
            [(19_900, "v1", false), (20_400, "v2", false), (39_900, "v2", false), (40_400, "v2", true)]
        {
            session.at(now_ms, "woken").answer(file(version, &leased));
            assert_eq!(asks(&session, "swap-entry"), takes_over, "at {now_ms}: {:#}", session.output);
        }
    });
}

/// F12: whoever loses the file to others again and again tries at once a few times, and then with pauses.
#[test]
fn conflicts_over_the_file_of_a_login_are_followed_by_pauses() {
    both(|kind| {
        let expired = credentials("sk-ant-oat01-first", "r1", -1);
        let mut session = logged_in(kind, &expired);
        for conflict in 1..=4 {
            session.answer(json!({ "conflict": file(&format!("w{conflict}"), &expired)["entry"] }));
            assert!(asks(&session, "swap-entry"), "after conflict {conflict}: {:#}", session.output);
        }
        session.answer(json!({ "conflict": file("w5", &expired)["entry"] }));
        assert_eq!((&session.output["tasks"], &session.output["wake-in-ms"]), (&json!([]), &json!(500)), "{:#}", session.output);
        // What another session brought meanwhile is served.
        let brought = credentials("sk-ant-oat01-second", "r2", 3_600);
        session.at(500, "woken").answer(file("w6", &expired));
        session.answer(json!({ "conflict": file("w7", &brought)["entry"] }));
        assert_eq!(session.output["access"]["usable"]["id"], jwt::id_of("sk-ant-oat01-second"), "{:#}", session.output);
    });
}

/// What is said of a refresh that brought nothing.
#[test]
fn each_reason_for_no_refresh_is_said() {
    both(|kind| {
        let response = |status: u16| json!({"response": {"status": status, "headers": [], "body": "{}"}});
        for (outcome, code, begins) in [
            (
                json!({"unsent": "no route"}),
                "endpoint-unreachable",
                "The login was not refreshed, for the token endpoint did not answer: no route.",
            ),
            (
                json!({"maybe-sent": "a reset"}),
                "endpoint-unreachable",
                "The login was not refreshed, for the token endpoint did not answer: a reset.",
            ),
            (json!({"denied": "the policy"}), "denied-by-host", "The policy refuses the request: the policy."),
            (json!("lost"), "endpoint-unreachable", "The login was not refreshed: the result of the request was lost."),
            (response(400), "refused", "The login was not refreshed. "),
            (response(403), "refused", "The login was not refreshed. "),
            (response(404), "request-invalid", "The token endpoint "),
            (response(503), "endpoint-failed", "The token endpoint "),
        ] {
            let mut session = logged_in(kind, &credentials("sk-ant-oat01-first", "r1", -1));
            session.answer(json!({"swapped": "v2"})).answer(outcome).answer(json!({"swapped": "v3"}));
            let failure = &session.output["access"]["failed"];
            assert!(failure["message"].as_str().is_some_and(|message| message.starts_with(begins)), "{failure}");
            assert_eq!(failure["code"], code, "{failure}");
        }
    });
}

/// A file that goes on being of no use is noted once.
#[test]
fn a_login_that_goes_on_failing_is_noted_once() {
    both(|kind| {
        let mut session = logged_in(kind, &json!({}));
        let noted = |session: &Driven| {
            session.output["notes"].as_array().is_some_and(|notes| notes.iter().any(|note| note["code"] == "exchange-failed"))
        };
        assert!(noted(&session), "{:#}", session.output);
        session.at(5_000, "woken").answer(file("v2", &json!({})));
        assert!(!noted(&session), "{:#}", session.output);
        session.at(10_000, "woken").answer(file("v3", &json!({"access_token": "a b"})));
        assert!(noted(&session), "another fault: {:#}", session.output);
    });
}

/// Whoever shuts down waits until the file has what a refresh brought: its refresh token is spent.
#[test]
fn a_refresh_is_under_way_until_the_file_has_it() {
    both(|kind| {
        let mut session = logged_in(kind, &credentials("sk-ant-oat01-first", "r1", -1));
        session.answer(json!({"swapped": "v2"})).respond(200, json!([]), &granted(3_600));
        session.answer(json!({"failed": "the disk"}));
        assert_eq!(session.output["progress"], "underway", "{:#}", session.output);
        session.at(5_000, "woken").answer(file("v2", &credentials("sk-ant-oat01-first", "r1", -1)));
        session.answer(json!({"swapped": "v3"}));
        assert_eq!(session.output["progress"], "resting", "{:#}", session.output);
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

/// The text, spoilt in many ways: cut off, and with a byte that means something to a parser in place of each of its own.
fn spoilt(text: &str) -> impl Iterator<Item = String> {
    let bytes = text.as_bytes().to_vec();
    let hostile = ["\"", "\\", "{", "]", ":", ",", "0", "-", "e9999", "\0", "\u{feff}", "\u{e9}", ".", "null", "\\ud800", " "];
    let deep = ["[".repeat(100_000), format!("{}{text}", "{\"a\":".repeat(100_000)), text.repeat(2), String::new()];
    let cut = bytes.clone();
    let cuts = (0..bytes.len()).step_by(3).map(move |at| String::from_utf8_lossy(&cut[..at]).into_owned());
    let replaced = (0..bytes.len()).step_by(2).map(move |at| {
        let (before, after) = (String::from_utf8_lossy(&bytes[..at]), String::from_utf8_lossy(&bytes[at + 1..]));
        format!("{before}{}{after}", hostile[at / 2 % hostile.len()])
    });
    deep.into_iter().chain(cuts).chain(replaced)
}

/// H4: whatever a configuration, a journal, a file, a profile, a store or an answer holds is read or refused, and stops nothing.
#[test]
fn hostile_bytes_are_read_or_refused() {
    both(|kind| {
        let configuration = federation(json!({"source": "file", "path": "/token"}));
        let mut session = Driven::file(kind);
        session.at(0, "woken").answer(identity_token("one")).respond(200, json!([]), &granted(3_600));
        let journal = session.output["journal"].as_str().expect("a journal").to_owned();
        for text in spoilt(&configuration.to_string()) {
            let opening = Opening { configuration: text, seed: 1, can: vec!["read-file".to_owned()], from: json!("fresh") };
            if let Ok(machine) = kind.open(&opening) {
                Driven { machine, now_ms: 0, output: Value::Null }.at(0, "woken");
            }
        }
        for text in spoilt(&journal) {
            let mut opening = opening(&configuration);
            (opening.can, opening.from) = (vec!["read-file".to_owned()], json!({ "resumed": text }));
            let machine = kind.open(&opening).expect("a journal that cannot be read is none");
            Driven { machine, now_ms: 0, output: Value::Null }.at(0, "woken").answer(identity_token("one"));
        }
        for text in spoilt(identity_token("one")["content"].as_str().expect("a text")) {
            Driven::file(kind).at(0, "woken").answer(json!({ "content": text }));
        }
        for text in spoilt(&granted(3_600).to_string()) {
            let headers = json!([{"name": "retry-after", "value": text}, {"name": "date", "value": text}]);
            let response = json!({"response": {"status": 200, "headers": headers, "body": text}});
            Driven::file(kind).at(0, "woken").answer(identity_token("one")).answer(response);
        }
        for text in spoilt(LOGIN) {
            discovering(kind).answer(json!({ "content": text }));
        }
        for text in spoilt(&json!({"access_token": "sk-ant-oat01-first", "expires_at": START_MS / 1_000 + 3_600}).to_string()) {
            discovering(kind).answer(json!({ "content": LOGIN })).answer(json!({"entry": {"version": "v1", "value": text}}));
        }
    });
}
