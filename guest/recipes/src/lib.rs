//! Recipes: how an identity token is got, as data.
//!
//! Getting one takes a few steps: read a variable or a file, send a request, take a value out of the answer, have something
//! signed. A [`Recipe`] lists them; a [`Run`] takes them one by one and asks its driver for each. What a step is for, neither
//! knows. Each platform is a document in `documents/`; a configuration can hold a recipe of its own. `README.md` says how to write one.
//!
//! A host reads the same document to learn what a source needs, and grants that and nothing else: see [`Recipe::requests`].

mod document;
mod extract;
mod run;
mod sigv4;
mod template;

pub use document::{Action, Freshness, Parameter, Recipe, RecipeError, Request, Step};
pub use run::{Answer, Ask, Fault, FaultCode, Header, HttpRequest, Moment, Next, Run, Signing};
pub use template::{Part, Template, append, in_url};

/// The documents of the platforms, by name.
static DOCUMENTS: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/documents.rs"));

/// The names of the platforms, in alphabetical order.
pub fn names() -> impl Iterator<Item = &'static str> {
    DOCUMENTS.iter().map(|(name, _)| *name)
}

/// The recipe of a platform.
#[must_use]
pub fn platform(name: &str) -> Option<Recipe> {
    let (_, text) = DOCUMENTS.iter().find(|(known, _)| *known == name)?;
    let document = serde_json::from_str(text).ok()?;
    Recipe::parse(&document).ok()
}
