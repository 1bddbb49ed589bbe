//! Where this project does otherwise than the vendor's clients, and why. What is not listed here is alike, in every random
//! environment.
//!
//! Not in the list, for no environment here has one: the token that the clients keep in `credentials/NAME.json` beside a profile of a
//! federation. They serve it whatever the profile says by now, for the file does not tell whose it is. Here a store keeps entries by
//! identity.

use super::environments::Environment;
use super::{Outcome, Served};

/// One of the vendor's clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sdk {
    Python,
    TypeScript,
}

/// What one environment led to.
pub(crate) struct Case<'a> {
    pub(crate) sdk: Sdk,
    pub(crate) environment: &'a Environment,
    pub(crate) theirs: &'a Outcome,
    pub(crate) ours: &'a Outcome,
}

impl Case<'_> {
    fn variable(&self, name: &str) -> &str {
        self.environment.get(name).unwrap_or_default()
    }

    /// Whether this command refused, and said this.
    fn refused_here(&self, what: &str) -> bool {
        matches!(self.ours, Outcome::Refused(why) if why.contains(what))
    }

    /// Whether the client refused, and this command served.
    fn served_here_alone(&self) -> Option<&Served> {
        self.ours.served().filter(|_| self.theirs.served().is_none())
    }

    /// Whether a file of the environment is, or has, this.
    fn has_file(&self, what: &str) -> bool {
        self.environment.files.iter().any(|file| file.contains(what))
    }

    fn assertion_there(&self) -> Option<&str> {
        self.theirs.served()?.exchange.as_ref()?.1["assertion"].as_str()
    }
}

/// A difference.
pub(crate) struct Difference {
    pub(crate) what: &'static str,
    pub(crate) why: &'static str,
    pub(crate) applies: fn(&Case<'_>) -> bool,
}

/// The first that applies explains a difference.
pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        what: "CLAUDE_CODE_OAUTH_TOKEN is a credential here",
        why: "People have it set for Claude Code, which ranks it below a key and a bearer, and above profiles and federation. What it \
              hides is said.",
        applies: |case| case.ours.served().is_some_and(|served| served.header.1 == "Bearer sk-ant-oat01-long"),
    },
    Difference {
        what: "an empty variable of the federation set is an error here",
        why: "It is a template that was not filled in: what would be used in its place is not what anybody meant (A11).",
        applies: |case| case.refused_here("is set and empty"),
    },
    Difference {
        what: "a blank variable is unset here, with a warning",
        why: "The clients try to send it, or look for a profile of this name, and fail.",
        applies: |case| {
            let blank = |name: &str| case.environment.get(name).is_some_and(|value| !value.is_empty() && value.trim().is_empty());
            ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"].into_iter().any(blank)
        },
    },
    Difference {
        what: "a malformed id is refused here before anything is sent",
        why: "The endpoint's answer would be an opaque 401, and the identity token would have left (A13).",
        applies: |case| case.refused_here("must be a tagged id") || case.refused_here("must be a bare UUID"),
    },
    Difference {
        what: "what is no JWT is refused here before anything is sent",
        why: "It may be another secret (A2).",
        applies: |case| case.assertion_there().is_some_and(|sent| !sent.starts_with("eyJ")) && case.ours.served().is_none(),
    },
    Difference {
        what: "`~` is the home directory here",
        why: "People write it, and no file of theirs begins with `~`.",
        applies: |case| {
            let written = case.variable("ANTHROPIC_IDENTITY_TOKEN_FILE").starts_with("~/") || case.has_file("~/token");
            written && case.served_here_alone().is_some()
        },
    },
    Difference {
        what: "white space around the path in a variable is left out here, as in TypeScript",
        why: "No mount ends with a space.",
        applies: |case| {
            let path = case.variable("ANTHROPIC_IDENTITY_TOKEN_FILE");
            case.sdk == Sdk::Python && path != path.trim() && case.served_here_alone().is_some()
        },
    },
    Difference {
        what: "a profile's name with white space around it is refused here, as in Python",
        why: "It is a mistake, and which profile is meant is a guess.",
        applies: |case| case.sdk == Sdk::TypeScript && case.refused_here("white space around the profile's name"),
    },
    Difference {
        what: "the exchange goes where requests go: ANTHROPIC_BASE_URL goes before the profile's base_url",
        why: "The clients exchange at the profile's, and call the API at the variable's: a token of one place for another.",
        applies: |case| match (case.theirs.served(), case.ours.served()) {
            (Some(theirs), Some(ours)) => {
                let of_the_profile = theirs.exchange.as_ref().is_some_and(|(path, _)| path.contains("/prof"));
                let body = |served: &Served| served.exchange.as_ref().map(|(_, body)| body.clone());
                of_the_profile && body(theirs) == body(ours) && theirs.header == ours.header && theirs.workspace == ours.workspace
            }
            _ => false,
        },
    },
    Difference {
        what: "a profile that is a link out of its directory is refused here, as in Python",
        why: "Somebody else may own what it leads to (A12).",
        applies: |case| case.sdk == Sdk::TypeScript && case.refused_here("a link that leads out of"),
    },
    Difference {
        what: "a profile that others may write is refused here, as in Python",
        why: "Whoever writes it decides where identity tokens go (A12).",
        applies: |case| case.sdk == Sdk::TypeScript && case.refused_here("may write"),
    },
    Difference {
        what: "below $XDG_CONFIG_HOME is looked after ~/.config, not instead of it",
        why: "Python does not look there at all, TypeScript there alone. Both places together find what either would.",
        applies: |case| case.environment.get("XDG_CONFIG_HOME").is_some(),
    },
    Difference {
        what: "a profile without a source of identity tokens takes ANTHROPIC_IDENTITY_TOKEN here, as in TypeScript",
        why: "The documentation says so.",
        applies: |case| {
            case.sdk == Sdk::Python && !case.variable("ANTHROPIC_IDENTITY_TOKEN").is_empty() && case.theirs.served().is_none()
        },
    },
    Difference {
        what: "federation variables without an identity token leave it to the profile here, as in Python",
        why: "A warning says what is missing; TypeScript fails.",
        applies: |case| {
            case.sdk == Sdk::TypeScript
                && case.variable("ANTHROPIC_IDENTITY_TOKEN").is_empty()
                && case.variable("ANTHROPIC_IDENTITY_TOKEN_FILE").trim().is_empty()
                && case.served_here_alone().is_some()
        },
    },
    Difference {
        what: "a login's token is served until it expires here, though it cannot be refreshed",
        why: "It is good. That it cannot be refreshed is said when it is due.",
        applies: |case| {
            case.served_here_alone().is_some_and(|served| served.exchange.is_none() && served.header.1.contains("oat01-of-"))
                && matches!(case.theirs, Outcome::Refused(why) if why.contains("refresh_token"))
        },
    },
    Difference {
        what: "an empty service_account_id of a profile is left out here, as in TypeScript",
        why: "Python sends it as it is, which the endpoint refuses.",
        applies: |case| {
            let sent = |served: &Served| served.exchange.as_ref().map(|(_, body)| body["service_account_id"] == "");
            case.sdk == Sdk::Python && case.theirs.served().and_then(sent) == Some(true) && case.ours.served().is_some()
        },
    },
    Difference {
        what: "an empty field of a profile is filled in from the variables here, as in Python",
        why: "It is a template that was not filled in; TypeScript goes without the field.",
        applies: |case| {
            let filled_in = |ours: &Served| match case.theirs.served() {
                None => true,
                Some(theirs) => theirs.workspace.is_none() && ours.workspace.is_some() || theirs.exchange != ours.exchange,
            };
            case.sdk == Sdk::TypeScript && case.has_file(":\"\"") && case.ours.served().is_some_and(filled_in)
        },
    },
    Difference {
        what: "a login's file of another type is refused here, as in Python",
        why: "What is in it is not known to be a token.",
        applies: |case| case.sdk == Sdk::TypeScript && case.refused_here("a `type` that is not oauth_token"),
    },
    Difference {
        what: "a login's file with an expires_at that is no number is refused here, as in Python",
        why: "TypeScript takes it for expired, and uses up the refresh token.",
        applies: |case| case.sdk == Sdk::TypeScript && case.refused_here("expires_at that is no number"),
    },
    Difference {
        what: "an expired token of a login is not served here",
        why: "Python serves it where another program is to replace it: the API refuses it.",
        applies: |case| case.refused_here("has expired"),
    },
];
