//! Which credential wins, as `wif status` tells it.

use serde_json::{Value, json};

use crate::place::{Place, Run, bare};

const PLACES: [&str; 6] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "ANTHROPIC_PROFILE",
    "federation variables",
    "active profile",
];

fn standing<'a>(document: &'a Value, source: &str) -> &'a str {
    let places = document["sources"].as_array().expect("the sources are a list");
    places.iter().find(|place| place["source"] == source).and_then(|place| place["standing"].as_str()).expect("a standing")
}

/// Every combination of the places, and whose credential the component itself then takes.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_place_that_holds_a_credential_is_used_and_hides_the_others() {
    let with = Place::new().await;
    with.write_profile("chosen", "fdrl_chosen");
    with.write_profile("default", "fdrl_default");
    let without = tempfile::tempdir().expect("a directory");
    let mut runs = Vec::new();
    // All at once would take a small machine for longer than the component may take to start.
    let slots = std::sync::Arc::new(tokio::sync::Semaphore::new(8));
    for set in 1..1_u32 << PLACES.len() {
        let has = |nth: usize| set & (1 << nth) != 0;
        // Both profiles are in one directory: without an active one it is another that holds the chosen one alone.
        let home = if has(5) { with.directory.path() } else { without.path() };
        let mut command = bare(home);
        command.args(["status", "--json", "--allow-origin", with.emulator.base_url()]);
        command.env("ANTHROPIC_BASE_URL", with.emulator.base_url());
        if has(0) {
            command.env("ANTHROPIC_API_KEY", "sk-ant-api03-x");
        }
        if has(1) {
            command.env("ANTHROPIC_AUTH_TOKEN", "sk-ant-oat01-x");
        }
        if has(2) {
            command.env("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-y");
        }
        if has(3) {
            command.env("ANTHROPIC_PROFILE", "chosen");
        }
        if has(4) {
            command.env("ANTHROPIC_FEDERATION_RULE_ID", "fdrl_variables");
            command.env("ANTHROPIC_ORGANIZATION_ID", &with.emulator.options().organization_id);
            command.env("ANTHROPIC_IDENTITY_TOKEN_FILE", with.file.path());
        }
        let slots = slots.clone();
        let run = async move {
            let _slot = slots.acquire_owned().await.expect("it is never closed");
            Run::of(command).await
        };
        runs.push((set, tokio::spawn(run)));
        let chosen = without.path().join(".config/anthropic/configs");
        std::fs::create_dir_all(&chosen).expect("a directory");
        let copy = with.directory.path().join(".config/anthropic/configs/chosen.json");
        if !chosen.join("chosen.json").exists() {
            std::fs::copy(copy, chosen.join("chosen.json")).expect("it is copied");
        }
    }
    for (set, run) in runs {
        let run = run.await.expect("it runs");
        let document = run.json();
        let present: Vec<&str> = (0..PLACES.len()).filter(|nth| set & (1 << nth) != 0).map(|nth| PLACES[nth]).collect();
        let label = format!("{present:?}: {} {}", run.stdout, run.stderr);
        assert_eq!(run.code, if present.len() > 1 { 6 } else { 0 }, "{label}");
        assert_eq!(document["shadows"], present.len() > 1, "{label}");
        for name in PLACES {
            let expected = match present.iter().position(|other| *other == name) {
                Some(0) => "used",
                Some(_) => "hidden",
                None => "absent",
            };
            assert_eq!(standing(&document, name), expected, "{name} in {label}");
        }
        // What the component has taken, by what it says of it.
        let taken = match document["configuration"]["credential"].as_str().expect("a kind") {
            "API key" => PLACES[0],
            "bearer token, literal" => PLACES[1],
            "bearer token, static and long-lived" => PLACES[2],
            _ => match document["configuration"]["federation_rule_id"].as_str().expect("a rule") {
                "fdrl_chosen" => PLACES[3],
                "fdrl_variables" => PLACES[4],
                _ => PLACES[5],
            },
        };
        assert_eq!(taken, present[0], "{label}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_told_with_its_path_and_half_a_federation_with_what_is_missing() {
    let place = Place::new().await;
    place.write_profile("default", "fdrl_default");
    let mut command = bare(place.directory.path());
    command.args(["status", "--json", "--allow-origin", place.emulator.base_url()]);
    command.env("ANTHROPIC_BASE_URL", place.emulator.base_url()).env("ANTHROPIC_FEDERATION_RULE_ID", "fdrl_variables");
    let run = Run::of(command).await;
    let document = run.json();
    assert_eq!(run.code, 0, "{} {}", run.stdout, run.stderr);
    assert_eq!(document["profile"]["name"], "default");
    assert_eq!(document["profile"]["path"], place.path(".config/anthropic/configs/default.json"));
    assert_eq!(standing(&document, "federation variables"), "incomplete");
    let said = document["sources"].to_string();
    assert!(said.contains("missing: ANTHROPIC_ORGANIZATION_ID, ANTHROPIC_IDENTITY_TOKEN_FILE"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_chosen_and_wrong_is_where_it_fails() {
    let place = Place::new().await;
    for (name, value, source) in [
        ("ANTHROPIC_PROFILE", "nowhere", "ANTHROPIC_PROFILE"),
        ("ANTHROPIC_API_KEY", "${KEY}", "ANTHROPIC_API_KEY"),
        ("ANTHROPIC_FEDERATION_RULE_ID", "not-a-rule", "federation variables"),
    ] {
        let mut command = place.wif();
        command.args(["status", "--json", "--allow-origin", place.emulator.base_url()]).env(name, value);
        let run = Run::of(command).await;
        assert_eq!(run.code, 3, "{name}: {} {}", run.stdout, run.stderr);
        assert_eq!(standing(&run.json(), source), "broken", "{name}: {}", run.stdout);
        assert_ne!(run.json()["state"], "serving");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_document_goes_before_every_variable() {
    let place = Place::new().await;
    let options = place.emulator.options();
    let document = json!({
        "federation": {
            "federation_rule_id": options.federation_rule_id,
            "organization_id": options.organization_id,
            "identity_token": { "source": "file", "path": place.file.path() },
        },
        "base_url": place.emulator.base_url(),
    });
    std::fs::write(place.path("wif.json"), document.to_string()).expect("it is written");
    let mut command = bare(place.directory.path());
    command.args(["status", "--json", "--allow-loopback", "--configuration", &place.path("wif.json")]);
    command.env("ANTHROPIC_API_KEY", "sk-ant-api03-x");
    let run = Run::of(command).await;
    assert_eq!(run.code, 0, "{} {}", run.stdout, run.stderr);
    assert_eq!(standing(&run.json(), "configuration"), "used");
    assert_eq!(standing(&run.json(), "ANTHROPIC_API_KEY"), "not-asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_identity_token_is_told_whole_and_what_earlier_runs_spent_with_their_state_file() {
    let place = Place::new().await;
    let screen = place.run(&["status"]).await;
    let kid = place.emulator.identity_provider().key_id();
    for said in ["state                 ready", "found (file ", &kid, "expected in 49 min", "as far as is known without --state"]
    {
        assert!(screen.stdout.contains(said), "{said}: {}", screen.stdout);
    }
    let state = place.path("state");
    assert_eq!(place.run(&["status", "--state", &state, "--json"]).await.json()["identity_token"]["disposition"], "unspent");
    assert!(!std::path::Path::new(&place.path("state.lock")).exists(), "who looks makes nothing");
    assert_eq!(place.run(&["token", "--state", &state]).await.code, 0);
    let run = place.run(&["status", "--state", &state, "--json"]).await;
    let document = run.json();
    assert_eq!(run.code, 0, "{} {}", run.stdout, run.stderr);
    assert_eq!((&document["state"], &document["identity_token"]["disposition"]), (&json!("serving"), &json!("spent")));
    assert!(document["token"]["refresh_in_ms"].is_u64(), "{document}");
    assert_eq!(document["identity_token"]["kid"], kid);
    let rotation = document["identity_token"]["rotation_in_ms"].as_u64().expect("a time");
    assert!((2_900_000..=2_970_000).contains(&rotation), "{rotation}");
    assert_eq!(place.emulator.counts().exchanges, 1);

    std::fs::remove_file(place.file.path()).expect("it goes");
    let missing = place.run(&["status", "--json"]).await;
    assert_eq!((missing.code, &missing.json()["identity_token"]["found"]), (4, &json!(false)), "{}", missing.stdout);
}

/// Where a profile is looked for the component says where it uses one, and the chain where a key hides one: both must say the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_is_hidden_is_where_the_component_would_find_it() {
    let place = Place::new().await;
    let path = |name: &str| place.path(name);
    let profile = json!({
        "organization_id": place.emulator.options().organization_id,
        "authentication": {
            "type": "oidc_federation",
            "federation_rule_id": place.emulator.options().federation_rule_id,
            "identity_token": { "source": "file", "path": place.file.path() },
        },
    });
    let write = |directory: &str, names: &[&str], active: Option<&str>| {
        std::fs::create_dir_all(path(&format!("{directory}/configs"))).expect("a directory");
        for name in names {
            std::fs::write(path(&format!("{directory}/configs/{name}.json")), profile.to_string()).expect("it is written");
        }
        if let Some(active) = active {
            std::fs::write(path(&format!("{directory}/active_config")), active).expect("it is written");
        }
    };
    write("home/.config/anthropic", &["default", "work"], None);
    write("empty/.config", &[], None);
    write("active/.config/anthropic", &["default", "work"], Some("work\n"));
    write("blank/.config/anthropic", &["default", "work"], Some(" \n"));
    write("missing/.config/anthropic", &["default"], Some("work"));
    write("xdg/anthropic", &["default", "work"], Some("work"));
    write("appdata/Anthropic", &["default"], None);
    write("chosen", &["default", "other"], Some("other"));
    let cases: [&[(&str, String)]; 14] = [
        &[("HOME", path("home"))],
        &[("HOME", path("home/"))],
        &[("HOME", path("active"))],
        &[("HOME", path("blank"))],
        &[("HOME", path("missing")), ("XDG_CONFIG_HOME", path("xdg") + "/")],
        &[("HOME", path("empty")), ("XDG_CONFIG_HOME", path("xdg"))],
        &[("HOME", path("home")), ("XDG_CONFIG_HOME", path("xdg"))],
        &[("HOME", path("home")), ("XDG_CONFIG_HOME", path("home/.config"))],
        &[("HOME", path("empty")), ("APPDATA", path("appdata"))],
        &[("HOME", path("home")), ("ANTHROPIC_CONFIG_DIR", path("chosen"))],
        &[("HOME", path("home")), ("ANTHROPIC_CONFIG_DIR", format!("{}/", path("chosen")))],
        &[("HOME", path("home")), ("ANTHROPIC_CONFIG_DIR", "chosen".to_owned())],
        &[("HOME", path("home")), ("ANTHROPIC_CONFIG_DIR", " ".to_owned())],
        &[("HOME", path("empty")), ("XDG_CONFIG_HOME", path("xdg")), ("ANTHROPIC_PROFILE", "work".to_owned())],
    ];
    for variables in cases {
        let status = |key: Option<&'static str>| {
            let mut command = bare(place.directory.path());
            command.args(["status", "--json", "--allow-loopback"]).current_dir(place.directory.path());
            command.env("ANTHROPIC_BASE_URL", place.emulator.base_url());
            command.envs(variables.iter().map(|(name, value)| (name, value))).envs(key.map(|key| ("ANTHROPIC_API_KEY", key)));
            Run::of(command)
        };
        let source = if variables.iter().any(|(name, _)| *name == "ANTHROPIC_PROFILE") { PLACES[3] } else { PLACES[5] };
        let used = status(None).await;
        // The profile that the variable names is the active one, too.
        let code = if source == PLACES[3] { 6 } else { 0 };
        assert_eq!((used.code, standing(&used.json(), source)), (code, "used"), "{variables:?}: {} {}", used.stdout, used.stderr);
        let hidden = status(Some("sk-ant-api03-x")).await;
        assert_eq!((hidden.code, standing(&hidden.json(), source)), (6, "hidden"), "{variables:?}: {}", hidden.stdout);
        let found = |document: &Value| {
            let mut places = document["sources"].as_array().expect("a list").iter();
            places.find(|place| place["source"] == source).expect("it is listed")["found"].clone()
        };
        assert_eq!(found(&used.json()), found(&hidden.json()), "{variables:?}");
    }
}
