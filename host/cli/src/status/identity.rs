//! The place of the identity token, looked at without asking anybody for one.

use std::time::Duration;

use wif::{Clock as _, SystemClock};

use crate::credential::{file_of, variable_of};
use crate::jwt::Parts;
use crate::{environment, files};

/// What the identity token's place holds.
#[derive(Debug)]
pub(crate) struct Look {
    /// The place, as the component describes it.
    pub(crate) source: String,
    pub(crate) found: Found,
    /// Whether somebody may put another token there.
    pub(crate) rotates: bool,
}

#[derive(Debug)]
pub(crate) enum Found {
    /// A token, or something in its place.
    Text(Option<Parts>),
    Nothing,
    /// Only an exchange asks for it.
    NotAsked,
}

impl Look {
    pub(crate) fn at(source: &str) -> Self {
        let content = if let Some(path) = file_of(source) {
            Some(files::read(path).ok())
        } else {
            variable_of(source).map(environment::text)
        };
        let found = match content {
            Some(Some(text)) if !text.trim().is_empty() => Found::Text(Parts::of(&text)),
            Some(_) => Found::Nothing,
            None => Found::NotAsked,
        };
        Self { source: source.to_owned(), found, rotates: file_of(source).is_some() }
    }

    pub(crate) fn parts(&self) -> Option<&Parts> {
        match &self.found {
            Found::Text(parts) => parts.as_ref(),
            _ => None,
        }
    }

    /// Whether there is one; unknown where only an exchange asks.
    pub(crate) fn is_there(&self) -> Option<bool> {
        match &self.found {
            Found::Text(_) => Some(true),
            Found::Nothing => Some(false),
            Found::NotAsked => None,
        }
    }

    /// When another one is expected in its place; nothing where nobody puts one there.
    pub(crate) fn rotates_in(&self) -> Option<Duration> {
        self.rotates.then(|| self.parts()?.rotates_at()).flatten().map(until)
    }
}

/// How long it is until this second of the epoch; zero when it is past.
pub(crate) fn until(seconds: i64) -> Duration {
    let now = Duration::from_millis(SystemClock::default().now().wall_ms);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).saturating_sub(now)
}
