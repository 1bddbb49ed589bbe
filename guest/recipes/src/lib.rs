//! Recipes: how an identity token is got, as data.
//!
//! Getting one takes a few steps: read a variable or a file, send a request, take a value out of the answer, have something
//! signed. A [`Recipe`] lists them; a [`Run`] takes them one by one and asks its driver for each. What a step is for, neither
//! knows. Each platform is a document in `documents/`; a configuration can hold a recipe of its own. `README.md` says how to write one.
//!
//! A host reads the same document to learn what a source needs, and grants that and nothing else: see [`Recipe::requests`].

mod document;
mod extract;
mod packed;
mod run;
mod sigv4;
mod template;

pub use document::{Action, Freshness, Parameter, Recipe, RecipeError, Request, Step};
pub use run::{Answer, Ask, Fault, FaultCode, Header, HttpRequest, Moment, Next, Run, Signing};
pub use template::{Part, Template, append, in_url, percent_encoded};

/// The platforms: names in alphabetical order, each with where its document ends among all of them.
static PLATFORMS: &[(&str, usize)] = &include!(concat!(env!("OUT_DIR"), "/platforms.rs"));

/// Their documents, one behind the other, made small by the build script.
static DOCUMENTS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/documents"));

/// The names of the platforms, in alphabetical order.
pub fn names() -> impl Iterator<Item = &'static str> {
    PLATFORMS.iter().map(|(name, _)| *name)
}

/// The recipe of a platform.
#[must_use]
pub fn platform(name: &str) -> Option<Recipe> {
    let at = PLATFORMS.iter().position(|(known, _)| *known == name)?;
    read(at, &packed::unpacked(DOCUMENTS))
}

/// The recipes of all platforms.
pub fn platforms() -> impl Iterator<Item = Recipe> {
    let documents = packed::unpacked(DOCUMENTS);
    (0..PLATFORMS.len()).filter_map(move |at| read(at, &documents))
}

fn read(at: usize, documents: &str) -> Option<Recipe> {
    let start = at.checked_sub(1).map_or(0, |before| PLATFORMS[before].1);
    let document = serde_json::from_str(documents.get(start..PLATFORMS[at].1)?).ok()?;
    let recipe = Recipe::parse(&document).ok()?;
    Some(Recipe { own: false, ..recipe })
}
