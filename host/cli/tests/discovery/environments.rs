//! Environments at random: variables and files as people leave them, from a seed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// An identity token: header, claims that never end, and no signature to speak of.
pub(crate) const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJhdWQiOiJodHRwczovL2FwaS5hbnRocm9waWMuY29tIiwiZXhwIjo0MDAwMDAwMDAwLCJpYXQiOjE3MDAwMDAwMDAsImlzcyI6Imh0dHBzOi8vaXNzdWVyLmV4YW1wbGUiLCJzdWIiOiJzIn0.c2lnbmF0dXJl";

const RULE: &str = "fdrl_01environment";
const OTHER_RULE: &str = "fdrl_01profile";
const ORGANIZATION: &str = "3f2b8c1e-0000-4000-8000-1234567890ab";
const OTHER_ORGANIZATION: &str = "4f2b8c1e-0000-4000-8000-1234567890ab";

/// What the token of a federation is like that another program keeps.
const OF_OTHERS: &str = "sk-ant-oat01-of-others";

/// A credentials file with that token.
fn kept_token(expires_at: u64) -> String {
    json!({ "version": "1.0", "type": "oauth_token", "access_token": OF_OTHERS, "expires_at": expires_at }).to_string()
}

/// A generator whose numbers follow from the seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// True in so many of a hundred cases.
    fn chance(&mut self, of_a_hundred: u64) -> bool {
        self.next() % 100 < of_a_hundred
    }

    fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[(self.next() % choices.len() as u64) as usize]
    }
}

/// Variables and a directory with files.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    pub(crate) number: u64,
    pub(crate) variables: BTreeMap<&'static str, String>,
    /// Where the program is started.
    pub(crate) directory: PathBuf,
    /// What was written, for people.
    pub(crate) files: Vec<String>,
    /// Files that are so while somebody is run in this environment.
    in_place: BTreeMap<PathBuf, String>,
}

impl Environment {
    /// Writes an environment of this number below `root`, whose base URL is below `base_url`.
    pub(crate) fn new(number: u64, seed: u64, root: &Path, base_url: &str) -> Self {
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let directory = root.join(number.to_string());
        fs::create_dir_all(directory.join("home")).expect("a directory");
        let mut environment =
            Self { number, variables: BTreeMap::new(), directory, files: Vec::new(), in_place: BTreeMap::new() };
        environment.set("HOME", environment.directory.join("home").display().to_string());
        environment.set("PATH", "/usr/bin:/bin".to_owned());
        environment.write("token", TOKEN, 0o600);
        environment.write("home/token", TOKEN, 0o600);
        environment.write("empty", "", 0o600);
        environment.write("malformed", "not a token", 0o600);
        let base = format!("{base_url}/e{number}");
        let base_of_profile = if random.chance(25) { format!("{base}/prof") } else { String::new() };
        environment.set("ANTHROPIC_BASE_URL", format!("{base}{}", random.pick(&["", "", "/pre"])));
        environment.variables_of(&mut random);
        if random.chance(60) {
            environment.profiles(&mut random, &base_of_profile);
        }
        environment.platforms_of(&mut random);
        environment
    }

    /// One with a profile of a federation, beside which somebody has made an empty credentials file.
    pub(crate) fn with_a_place_for_the_token(root: &Path, base_url: &str) -> Self {
        let mut environment = Self {
            number: 0,
            variables: BTreeMap::new(),
            directory: root.join("place"),
            files: Vec::new(),
            in_place: BTreeMap::new(),
        };
        environment.set("HOME", environment.directory.join("home").display().to_string());
        environment.set("ANTHROPIC_PROFILE", "work".to_owned());
        environment.write("token", TOKEN, 0o600);
        let profile = json!({
            "organization_id": ORGANIZATION,
            "base_url": base_url,
            "authentication": {
                "type": "oidc_federation",
                "federation_rule_id": RULE,
                "identity_token": { "source": "file", "path": environment.directory.join("token") },
            },
        });
        environment.write("home/.config/anthropic/configs/work.json", &profile.to_string(), 0o644);
        environment.write("home/.config/anthropic/credentials/work.json", "{}", 0o600);
        environment
    }

    fn set(&mut self, name: &'static str, value: String) {
        self.variables.insert(name, value);
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The same environment without these variables.
    pub(crate) fn without(&self, names: &[&str]) -> Self {
        let mut other = self.clone();
        other.variables.retain(|name, _| !names.contains(name));
        other
    }

    /// The same environment with this variable.
    pub(crate) fn with(&self, name: &'static str, value: &str) -> Self {
        let mut other = self.clone();
        other.set(name, value.to_owned());
        other
    }

    /// The same environment with other profiles, which are on disk while somebody is [run](Self::in_place) in it; nothing if `change`
    /// changes none.
    pub(crate) fn with_profiles(&self, change: impl Fn(&mut Value) -> bool) -> Option<Self> {
        let mut other = self.clone();
        let places = ["conf", "xdg/anthropic", "home/.config/anthropic"].map(|place| self.directory.join(place).join("configs"));
        let files = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten().map(|entry| entry.path());
        let mut changed = false;
        for path in files {
            let known = other.in_place.remove(&path);
            let Some(text) = known.clone().or_else(|| fs::read_to_string(&path).ok()) else { continue };
            let Ok(mut profile) = serde_json::from_str::<Value>(&text) else { continue };
            if profile.is_object() && change(&mut profile) {
                changed = true;
                other.in_place.insert(path, profile.to_string());
            } else if let Some(known) = known {
                other.in_place.insert(path, known);
            }
        }
        changed.then_some(other)
    }

    /// The same environment after the tokens have expired that other programs keep beside profiles of federations; nothing if there are
    /// none.
    pub(crate) fn with_kept_tokens_expired(&self) -> Option<Self> {
        let mut other = self.clone();
        let kept = other.in_place.values_mut().filter(|content| content.contains(OF_OTHERS));
        let expired: Vec<_> = kept.map(|content| *content = kept_token(1_000_000_000)).collect();
        (!expired.is_empty()).then_some(other)
    }

    /// Does something while the profiles are as this environment has them.
    pub(crate) fn in_place<T>(&self, run: impl FnOnce() -> T) -> T {
        // What a link leads to changes, and the link stays.
        let before: Vec<_> = self.in_place.keys().map(|path| (path, fs::read(path).expect("it is read"))).collect();
        self.in_place.iter().for_each(|(path, content)| fs::write(path, content).expect("it is written"));
        let done = run();
        before.into_iter().for_each(|(path, content)| fs::write(path, content).expect("it is restored"));
        done
    }

    fn write(&mut self, name: &str, content: &str, mode: u32) {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().expect("it is below the directory")).expect("a directory");
        fs::write(&path, content).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its mode is set");
        if name.ends_with(".json") || name.ends_with("active_config") {
            self.files.push(format!("{name} ({mode:o}): {content}"));
        }
    }

    fn variables_of(&mut self, random: &mut Random) {
        if random.chance(18) {
            let value = random.pick(&["sk-ant-api03-key", "sk-ant-api03-key", "", "  "]);
            self.set("ANTHROPIC_API_KEY", value.to_owned());
        }
        if random.chance(18) {
            let value = random.pick(&["sk-ant-oat01-bearer", "sk-ant-oat01-bearer", "", "  "]);
            self.set("ANTHROPIC_AUTH_TOKEN", value.to_owned());
        }
        if random.chance(6) {
            self.set("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-long".to_owned());
        }
        if random.chance(55) {
            for (name, good) in [("ANTHROPIC_FEDERATION_RULE_ID", RULE), ("ANTHROPIC_ORGANIZATION_ID", ORGANIZATION)] {
                if random.chance(88) {
                    self.set(name, random.pick(&[good, good, good, good, good, good, good, "", "not-an-id"]).to_owned());
                }
            }
            if random.chance(30) {
                self.set(
                    "ANTHROPIC_SERVICE_ACCOUNT_ID",
                    random.pick(&["svac_01environment", "svac_01environment", ""]).to_owned(),
                );
            }
            if random.chance(30) {
                self.set("ANTHROPIC_WORKSPACE_ID", random.pick(&["wrkspc_01environment", "default", ""]).to_owned());
            }
            if random.chance(75) {
                let inside = |name: &str| self.directory.join(name).display().to_string();
                let file = match random.next() % 14 {
                    0 => "token".to_owned(),
                    1 => "~/token".to_owned(),
                    2 => String::new(),
                    3 => inside("missing"),
                    4 => inside("empty"),
                    5 => inside("malformed"),
                    6 => format!("file://{}", inside("token")),
                    7 => TOKEN.to_owned(),
                    8 => inside("home"),
                    9 => format!(" {} ", inside("token")),
                    _ => inside("token"),
                };
                self.set("ANTHROPIC_IDENTITY_TOKEN_FILE", file);
            }
            if random.chance(30) {
                self.set("ANTHROPIC_IDENTITY_TOKEN", random.pick(&[TOKEN, TOKEN, "", "not a token"]).to_owned());
            }
        }
        if random.chance(25) {
            let name = random.pick(&["work", "work", "default", "missing", "", " ", " work", "../work", ".hidden", "a b"]);
            self.set("ANTHROPIC_PROFILE", name.to_owned());
        }
    }

    /// Sometimes the program runs where a platform has put an identity token into a variable, and sometimes two have.
    fn platforms_of(&mut self, random: &mut Random) {
        for (name, chance) in [("CIRCLE_OIDC_TOKEN_V2", 12), ("VERCEL_OIDC_TOKEN", 8)] {
            if random.chance(chance) {
                self.set(name, random.pick(&[TOKEN, TOKEN, TOKEN, ""]).to_owned());
            }
        }
    }

    fn profiles(&mut self, random: &mut Random, base_url: &str) {
        let place = match random.next() % 8 {
            0 => {
                self.set("ANTHROPIC_CONFIG_DIR", "conf".to_owned());
                "conf"
            }
            1 => {
                self.set("ANTHROPIC_CONFIG_DIR", self.directory.join("conf").display().to_string());
                "conf"
            }
            2 => {
                self.set("XDG_CONFIG_HOME", self.directory.join("xdg").display().to_string());
                "xdg/anthropic"
            }
            3 => {
                self.set("ANTHROPIC_CONFIG_DIR", String::new());
                "home/.config/anthropic"
            }
            _ => "home/.config/anthropic",
        };
        fs::create_dir_all(self.directory.join(place).join("configs")).expect("a directory");
        if random.chance(35) {
            let name = random.pick(&["work", "work\n", "default", "missing", "", " \n", "../work", "a b"]);
            self.write(&format!("{place}/active_config"), name, 0o644);
        }
        for name in ["default", "work"] {
            if random.chance(70) {
                self.profile(random, place, name, base_url);
            }
        }
    }

    fn profile(&mut self, random: &mut Random, place: &str, name: &str, base_url: &str) {
        let path = format!("{place}/configs/{name}.json");
        match random.next() % 20 {
            0 => return self.write(&path, "", 0o644),
            1 => return self.write(&path, "{\"authentication\":", 0o644),
            2 => return self.write(&path, "[]", 0o644),
            3 => return self.write(&path, "{}", 0o644),
            4 => return self.write(&path, "{\"authentication\": {\"type\": \"other\"}}", 0o644),
            _ => {}
        }
        let login = random.chance(40);
        let mut authentication = json!({ "type": if login { "user_oauth" } else { "oidc_federation" } });
        let mut profile = json!({});
        let sometimes = |random: &mut Random, of: &mut Value, key: &str, choices: &[&str], chance: u64| {
            if random.chance(chance) {
                of[key] = (*random.pick(choices)).into();
            }
        };
        sometimes(random, &mut profile, "organization_id", &[OTHER_ORGANIZATION, OTHER_ORGANIZATION, ""], 85);
        sometimes(random, &mut profile, "workspace_id", &["wrkspc_01profile", "wrkspc_01profile", ""], 40);
        if !base_url.is_empty() {
            profile["base_url"] = base_url.into();
        }
        if login {
            sometimes(random, &mut authentication, "client_id", &["client-1", "client-1", ""], 80);
            self.credentials(random, place, name);
        } else {
            sometimes(random, &mut authentication, "federation_rule_id", &[OTHER_RULE, OTHER_RULE, OTHER_RULE, ""], 85);
            sometimes(random, &mut authentication, "service_account_id", &["svac_01profile", ""], 40);
            if random.chance(25) {
                self.keep_token(place, name);
            }
            if random.chance(75) {
                let inside = self.directory.join("token").display().to_string();
                let missing = self.directory.join("missing").display().to_string();
                let paths: [&str; 7] = [&inside, &inside, &inside, "token", "~/token", "", &missing];
                authentication["identity_token"] = json!({ "source": "file", "path": random.pick(&paths) });
                if random.chance(8) {
                    authentication["identity_token"]["source"] = "url".into();
                }
            }
        }
        profile["authentication"] = authentication;
        let mode = if random.chance(8) { 0o666 } else { 0o644 };
        if random.chance(8) {
            self.write("elsewhere.json", &profile.to_string(), 0o644);
            symlink(self.directory.join("elsewhere.json"), self.directory.join(&path)).expect("a link");
            self.files.push(format!("{path} is a link to elsewhere.json"));
        } else {
            self.write(&path, &profile.to_string(), mode);
        }
    }

    /// Another program has kept the token of a federation beside its profile. Whoever runs here finds it so, whatever others did.
    fn keep_token(&mut self, place: &str, name: &str) {
        let path = format!("{place}/credentials/{name}.json");
        self.write(&path, &kept_token(4_000_000_000), 0o600);
        self.in_place.insert(self.directory.join(path), kept_token(4_000_000_000));
    }

    fn credentials(&mut self, random: &mut Random, place: &str, name: &str) {
        let path = format!("{place}/credentials/{name}.json");
        let mut content = json!({ "version": "1.0", "type": "oauth_token", "access_token": format!("sk-ant-oat01-of-{name}") });
        match random.next() % 12 {
            0 => return,
            1 => return self.write(&path, "not JSON", 0o600),
            2 => return self.write(&path, &json!({ "type": "oauth_token", "refresh_token": "r" }).to_string(), 0o600),
            3 => content["type"] = "other".into(),
            4 => content["expires_at"] = "2040-01-01T00:00:00Z".into(),
            5 | 6 => content["expires_at"] = 1_000_000_000.into(),
            _ => content["expires_at"] = 4_000_000_000_u64.into(),
        }
        if random.chance(85) {
            content["refresh_token"] = "sk-ant-ort01-refresh".into();
        }
        let mode = if random.chance(12) { 0o644 } else { 0o600 };
        self.write(&path, &content.to_string(), mode);
    }
}
