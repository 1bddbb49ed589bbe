//! The places where a credential can be, in the order in which they are looked at, and which of them is used.
//!
//! The component decides which one that is, and says so when it is configured, with the path of a profile: here is only told what lies
//! in the other places. A test sets every combination of places and compares; another compares where profiles are looked for.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::environment::{
    self, API_KEY, AUTH_TOKEN, CLAUDE_CODE, CONFIG_DIR, ORGANIZATION, PROFILE, RULE, TOKEN, TOKEN_FILE, text,
};
use crate::files;

/// All places, the first that counts first.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) places: Vec<Place>,
    /// The profile that is used.
    pub(crate) profile: Option<Profile>,
}

/// One place where a credential can be.
#[derive(Debug)]
pub(crate) struct Place {
    /// A name that stays the same: a variable's, `configuration`, `federation variables` or `active profile`.
    pub(crate) name: &'static str,
    pub(crate) standing: Standing,
    /// What is there, in words. Never a value.
    pub(crate) found: String,
}

/// What becomes of what lies in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is the credential.
    Used,
    /// It would be the credential if nothing went before it.
    Hidden,
    /// It would be the credential, and is wrong.
    Broken,
    /// Something is there, and not enough.
    Incomplete,
    /// Nothing is there.
    Absent,
    /// The configuration has decided.
    NotAsked,
}

/// A profile on disk.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// What lies in a place, before anybody chose.
enum There {
    Whole(String),
    Part(String),
    Nothing(String),
}

impl Chain {
    /// `found_in` is where the component says that the credential is, if it found one.
    pub(crate) fn look(document: &Value, found_in: Option<&str>) -> Self {
        let explicit = ["federation", "bearer"].into_iter().find(|member| document[member].is_object());
        let chosen = document["discover"]["profile"].as_str();
        let directories = directories(document);
        let of_variable = text(PROFILE).map(|name| profile(&name, &directories));
        let active = active_profile(&directories);
        let profile_there = |found: &Result<Profile, String>| match found {
            Ok(profile) => There::Whole(profile.words()),
            Err(missing) => There::Part(missing.clone()),
        };
        let configuration = match (explicit, chosen) {
            (Some(member), _) => There::Whole(format!("its member {member}")),
            (None, Some(name)) => profile_there(&profile(name, &directories)),
            (None, None) => There::Nothing("leaves it to the places below".to_owned()),
        };
        let secret = |name| match text(name) {
            Some(_) => There::Whole("set".to_owned()),
            None if environment::is_there(name) => There::Nothing("set and empty".to_owned()),
            None => There::Nothing("not set".to_owned()),
        };
        let there = [
            ("configuration", configuration),
            (API_KEY, secret(API_KEY)),
            (AUTH_TOKEN, secret(AUTH_TOKEN)),
            (CLAUDE_CODE, secret(CLAUDE_CODE)),
            (PROFILE, of_variable.as_ref().map_or_else(|| There::Nothing("not set".to_owned()), profile_there)),
            ("federation variables", federation()),
            (
                "active profile",
                match &active {
                    Ok(profile) => There::Whole(profile.words()),
                    Err(missing) => There::Nothing(missing.clone()),
                },
            ),
        ];
        let used = match (explicit, chosen, found_in) {
            (Some(_), _, _) => Some("configuration"),
            (None, _, None) => None,
            (None, Some(_), Some(_)) => Some("configuration"),
            (None, None, Some(by)) => there.iter().map(|(name, _)| *name).find(|name| by.ends_with(name)).or_else(|| {
                by.starts_with("the profile").then_some(if of_variable.is_some() { PROFILE } else { "active profile" })
            }),
        };
        // Where the profile is that is used, the component has said.
        let used_profile = found_in.and_then(|by| by.strip_prefix("the profile ")).map(|path| Profile {
            name: Path::new(path).file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            path: Path::new(path).components().collect(),
        });
        // Without a winner the first place that holds something is where it fails.
        let broken = |(_, there): &&(&str, There)| !matches!(there, There::Nothing(_));
        let decisive = used.or_else(|| there.iter().find(broken).map(|(name, _)| *name));
        let mut passed = false;
        let mut places = Vec::new();
        for (name, there) in there {
            let is_decisive = decisive == Some(name);
            let standing = match &there {
                _ if is_decisive && used.is_some() => Standing::Used,
                _ if is_decisive => Standing::Broken,
                There::Nothing(_) => Standing::Absent,
                _ if passed && (explicit.is_some() || chosen.is_some()) => Standing::NotAsked,
                There::Whole(_) if passed => Standing::Hidden,
                _ => Standing::Incomplete,
            };
            passed |= is_decisive;
            // What a federation lacks that is used all the same, the platform gives.
            let of_the_platform = standing == Standing::Used && matches!(there, There::Part(_));
            let (There::Whole(mut found) | There::Part(mut found) | There::Nothing(mut found)) = there;
            if of_the_platform {
                "set; the platform is to give the identity token".clone_into(&mut found);
            }
            if let Some(profile) = used_profile.as_ref().filter(|_| standing == Standing::Used) {
                found = profile.words();
            }
            places.push(Place { name, standing, found });
        }
        Self { places, profile: used_profile }
    }

    /// The longest name of a place, in characters.
    pub(crate) fn width(&self) -> usize {
        self.places.iter().map(|place| place.name.len()).max().unwrap_or_default()
    }

    /// The place whose credential is used.
    pub(crate) fn used(&self) -> Option<&Place> {
        self.places.iter().find(|place| place.standing == Standing::Used)
    }

    /// What would be used if nothing went before it, and how to get at it: a sentence each.
    pub(crate) fn hidden(&self) -> Vec<String> {
        let Some(used) = self.used() else { return Vec::new() };
        let hidden = self.places.iter().filter(|place| place.standing == Standing::Hidden);
        hidden
            .map(|place| {
                let verb = if place.name == "federation variables" { "they are used" } else { "it is used" };
                match used.name {
                    "federation variables" => format!("The federation variables hide the {}. It is not used.", place.name),
                    name => format!("{name} hides {}: unset {name}, and {verb}.", place.words()),
                }
            })
            .collect()
    }
}

impl Profile {
    fn words(&self) -> String {
        format!("profile {} in {}", self.name, self.path.display())
    }
}

impl Place {
    /// What it is, within a sentence.
    fn words(&self) -> String {
        match self.name {
            "federation variables" => "a complete set of federation variables".to_owned(),
            "active profile" => format!("the active profile ({})", self.found),
            name => name.to_owned(),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "source": self.name, "standing": self.standing.as_str(), "found": self.found })
    }
}

impl Standing {
    /// A name that stays the same.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Hidden => "hidden",
            Self::Broken => "broken",
            Self::Incomplete => "incomplete",
            Self::Absent => "absent",
            Self::NotAsked => "not-asked",
        }
    }
}

/// The variables of the federation: which are set, and which are missing.
fn federation() -> There {
    let named = [RULE, ORGANIZATION, TOKEN_FILE, TOKEN];
    let set: Vec<&str> = named.into_iter().filter(|name| text(name).is_some()).collect();
    let mut missing: Vec<&str> = [RULE, ORGANIZATION].into_iter().filter(|name| !set.contains(name)).collect();
    if !set.contains(&TOKEN_FILE) && !set.contains(&TOKEN) {
        missing.push(TOKEN_FILE);
    }
    if set.is_empty() {
        return There::Nothing("not set".to_owned());
    }
    match missing.as_slice() {
        [] => There::Whole("complete".to_owned()),
        missing => There::Part(format!("set: {}; missing: {}", set.join(", "), missing.join(", "))),
    }
}

/// Where profiles are looked for.
fn directories(document: &Value) -> Vec<PathBuf> {
    let chosen = document["discover"]["config_dir"].as_str().map(str::to_owned).or_else(|| text(CONFIG_DIR));
    if let Some(directory) = chosen {
        return vec![directory.into()];
    }
    let below = |(name, path): (&str, &str)| text(name).map(|directory| wif_rules::below(&directory, path).into());
    let mut directories: Vec<PathBuf> = wif_rules::PROFILE_DIRECTORIES.into_iter().filter_map(below).collect();
    directories.dedup();
    directories
}

/// The profile of this name, or a sentence that says where it is not.
fn profile(name: &str, directories: &[PathBuf]) -> Result<Profile, String> {
    let paths = directories.iter().map(|directory| directory.join("configs").join(format!("{name}.json")));
    match paths.clone().find(|path| path.exists()) {
        Some(path) => Ok(Profile { name: name.to_owned(), path }),
        None => Err(format!("profile {name}, which does not exist: no {}", shown(paths))),
    }
}

/// The profile that is used where no variable says anything.
fn active_profile(directories: &[PathBuf]) -> Result<Profile, String> {
    let mut looked_at = Vec::new();
    for directory in directories {
        let active = directory.join("active_config");
        let name = files::read(&active).map(|content| content.trim().to_owned()).unwrap_or_default();
        let name = if name.is_empty() { "default".to_owned() } else { name };
        let path = directory.join("configs").join(format!("{name}.json"));
        if path.exists() {
            return Ok(Profile { name, path });
        }
        looked_at.push(path);
    }
    match looked_at.is_empty() {
        true => Err("no directory of profiles".to_owned()),
        false => Err(format!("no {}", shown(looked_at.into_iter()))),
    }
}

fn shown(paths: impl Iterator<Item = PathBuf>) -> String {
    paths.map(|path| path.display().to_string()).collect::<Vec<_>>().join(", no ")
}
