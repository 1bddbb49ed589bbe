//! The access token that is served.

use crate::contract::{Header, Standing};
use crate::schedule::{Random, Windows};
use crate::timeline::Moment;
use crate::{Secret, id_of};

/// An access token and its times.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) value: Secret,
    pub(crate) id: String,
    pub(crate) scheme: Scheme,
    pub(crate) standing: Standing,
    /// Absent if it does not expire.
    pub(crate) life: Option<Life>,
}

/// How a token is presented to the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Bearer,
    ApiKey,
}

/// The times of a token that expires.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    pub(crate) lifetime: u64,
    pub(crate) expires: Moment,
    pub(crate) refresh: Moment,
    pub(crate) hold: Moment,
    pub(crate) unusable: Moment,
}

impl Held {
    pub(crate) fn forever(value: Secret, scheme: Scheme) -> Self {
        let id = id_of(value.reveal());
        Self { value, id, scheme, standing: Standing::Good, life: None }
    }

    /// A bearer token that was issued for `lifetime` milliseconds and expires at `expires`.
    pub(crate) fn until(value: Secret, lifetime: u64, expires: Moment, random: &mut Random) -> Self {
        let windows = Windows::of(lifetime);
        let before = |time: u64| expires.offset(-(time as i64));
        let life = Life {
            lifetime,
            expires,
            refresh: before(windows.advisory - windows.jitter(random)),
            hold: before(windows.mandatory),
            unusable: before(windows.margin),
        };
        Self { life: Some(life), ..Self::forever(value, Scheme::Bearer) }
    }

    pub(crate) fn usable_at(&self, now: Moment) -> bool {
        self.life.is_none_or(|life| now < life.unusable)
    }

    /// Whether it serves longer than `other`.
    pub(crate) fn outlives(&self, other: &Self) -> bool {
        let end = |held: &Self| held.life.map_or(Moment::NEVER, |life| life.expires);
        end(self) > end(other)
    }

    pub(crate) fn set(&self) -> Vec<Header> {
        let (name, value) = match self.scheme {
            Scheme::Bearer => ("authorization", ["Bearer ", self.value.reveal()].concat()),
            Scheme::ApiKey => ("x-api-key", self.value.reveal().to_owned()),
        };
        vec![Header { name: name.to_owned(), value: value.into() }]
    }

    /// What the API needs beside the token. Only tokens of its own OAuth dialect carry the beta.
    pub(crate) fn merge(&self) -> Vec<Header> {
        if self.scheme == Scheme::Bearer && self.value.reveal().starts_with("sk-ant-oat") {
            vec![Header { name: "anthropic-beta".to_owned(), value: "oauth-2025-04-20".into() }]
        } else {
            Vec::new()
        }
    }
}
