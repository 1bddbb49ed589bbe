//! Where this project does otherwise than the vendor's clients, and why. What is not listed here is alike, in every random
//! environment. What is listed is held as narrowly as it is told: where a client would do the same in another environment, it is run
//! in that one, and where this command does as one of the two clients, that client is compared.

use serde_json::Value;

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
    /// What the other client makes of it.
    pub(crate) other: &'a Outcome,
}

impl Case<'_> {
    fn variable(&self, name: &str) -> &str {
        self.environment.get(name).unwrap_or_default()
    }

    fn is_set(&self, name: &str) -> bool {
        !self.variable(name).trim().is_empty()
    }

    /// Whether a key or token in a variable, or a profile that one names, goes before the federation variables.
    fn has_stronger(&self) -> bool {
        ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_PROFILE"]
            .into_iter()
            .any(|name| self.is_set(name))
    }

    /// Whether this command refused, and said this.
    fn refused_here(&self, what: &str) -> bool {
        matches!(self.ours, Outcome::Refused(why) if why.contains(what))
    }

    /// Whether this client goes its own way, and the other one does as this command.
    fn as_in(&self, other: Sdk) -> bool {
        self.sdk != other && self.other.is_like(self.ours)
    }

    /// Whether the client refused, and this command served.
    fn served_here_alone(&self) -> Option<&Served> {
        self.ours.served().filter(|_| matches!(self.theirs, Outcome::Refused(_)))
    }

    /// Whether a file of the environment is, or has, this.
    fn has_file(&self, what: &str) -> bool {
        self.environment.files.iter().any(|file| file.contains(what))
    }

    fn assertion<'a>(&self, outcome: &'a Outcome) -> Option<&'a str> {
        outcome.served()?.exchange.as_ref()?.1["assertion"].as_str()
    }
}

/// A difference.
pub(crate) struct Difference {
    pub(crate) what: &'static str,
    pub(crate) why: &'static str,
    pub(crate) excuse: Excuse,
}

/// What a difference is known by. Neither way excuses anything that it does not explain.
pub(crate) enum Excuse {
    /// The environment and both outcomes say so.
    Because(fn(&Case<'_>) -> bool),
    /// The client does in another environment what this command does in this one: that environment, if this is one of those.
    AsIf(fn(Sdk, &Environment) -> Option<Environment>),
}

use Excuse::{AsIf, Because};

const BLANK: [&str; 3] = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE"];
const FEDERATION: [&str; 6] = [
    "ANTHROPIC_FEDERATION_RULE_ID",
    "ANTHROPIC_ORGANIZATION_ID",
    "ANTHROPIC_SERVICE_ACCOUNT_ID",
    "ANTHROPIC_WORKSPACE_ID",
    "ANTHROPIC_IDENTITY_TOKEN_FILE",
    "ANTHROPIC_IDENTITY_TOKEN",
];

pub(crate) const DIFFERENCES: &[Difference] = &[
    Difference {
        what: "a blank variable is unset here, with a warning",
        why: "The clients try to send it, or look for a profile of this name, and fail.",
        excuse: AsIf(|_, environment| {
            let blank = |name: &&str| environment.get(name).is_some_and(|value| !value.is_empty() && value.trim().is_empty());
            let blank: Vec<&str> = BLANK.into_iter().filter(blank).collect();
            (!blank.is_empty()).then(|| environment.without(&blank))
        }),
    },
    Difference {
        what: "CLAUDE_CODE_OAUTH_TOKEN is a credential here",
        why: "People have it set for Claude Code, which ranks it below a key and a bearer, and above profiles and federation. What it \
              hides is said.",
        excuse: AsIf(|_, environment| {
            let token = environment.get("CLAUDE_CODE_OAUTH_TOKEN")?;
            let set = |name: &str| environment.get(name).is_some_and(|value| !value.trim().is_empty());
            (!set("ANTHROPIC_API_KEY") && !set("ANTHROPIC_AUTH_TOKEN")).then(|| environment.with("ANTHROPIC_AUTH_TOKEN", token))
        }),
    },
    Difference {
        what: "`~` is the home directory here",
        why: "People write it, and no file of theirs begins with `~`.",
        excuse: AsIf(|_, environment| {
            let home = format!("{}/", environment.get("HOME")?);
            let path = environment.get("ANTHROPIC_IDENTITY_TOKEN_FILE").and_then(|path| path.strip_prefix("~/"));
            let by_variable = path.map(|path| environment.with("ANTHROPIC_IDENTITY_TOKEN_FILE", &format!("{home}{path}")));
            let by_profile = by_variable.as_ref().unwrap_or(environment).with_profiles(|profile| {
                let path = &mut profile["authentication"]["identity_token"]["path"];
                let expanded = path.as_str().and_then(|path| path.strip_prefix("~/")).map(|path| format!("{home}{path}"));
                expanded.map(|expanded| *path = expanded.into()).is_some()
            });
            by_profile.or(by_variable)
        }),
    },
    Difference {
        what: "white space around the path in a variable is left out here, as in TypeScript",
        why: "No mount ends with a space.",
        excuse: AsIf(|sdk, environment| {
            let path = environment.get("ANTHROPIC_IDENTITY_TOKEN_FILE")?;
            let trimmed = path.trim();
            (sdk == Sdk::Python && trimmed != path && !trimmed.is_empty())
                .then(|| environment.with("ANTHROPIC_IDENTITY_TOKEN_FILE", trimmed))
        }),
    },
    Difference {
        what: "the exchange goes where requests go: ANTHROPIC_BASE_URL goes before the profile's base_url",
        why: "The clients exchange at the profile's, and call the API at the variable's: a token of one place for another.",
        excuse: AsIf(|_, environment| {
            environment
                .with_profiles(|profile| profile.as_object_mut().is_some_and(|members| members.remove("base_url").is_some()))
        }),
    },
    Difference {
        what: "below $XDG_CONFIG_HOME is looked after ~/.config, not instead of it",
        why: "Python does not look there at all, TypeScript there alone. Both places together find what either would.",
        excuse: AsIf(|sdk, environment| {
            let directory = environment.get("XDG_CONFIG_HOME")?;
            let chosen = environment.get("ANTHROPIC_CONFIG_DIR").is_some_and(|chosen| !chosen.trim().is_empty());
            // No environment has profiles in both places.
            (sdk == Sdk::Python && !chosen).then(|| environment.with("ANTHROPIC_CONFIG_DIR", &format!("{directory}/anthropic")))
        }),
    },
    Difference {
        what: "an empty field of a profile is none here",
        why: "Each client has some that it takes so, and others. Where a profile has both, neither client does as this command.",
        excuse: AsIf(|_, environment| {
            environment.with_profiles(|profile| {
                let mut removed = false;
                let mut without = |members: &mut Value, names: [&str; 2]| {
                    let Some(members) = members.as_object_mut() else { return };
                    for name in names {
                        removed |= members.get(name).is_some_and(|value| value == "") && members.remove(name).is_some();
                    }
                };
                without(profile, ["organization_id", "workspace_id"]);
                if profile["authentication"].is_object() {
                    without(&mut profile["authentication"], ["federation_rule_id", "service_account_id"]);
                }
                removed
            })
        }),
    },
    Difference {
        what: "a token that another program kept beside a profile of a federation is not served here",
        why: "The clients serve it whatever the profile says by now, for the file does not tell whose it is. This command keeps its own \
              there, with the identity that it belongs to.",
        excuse: AsIf(|_, environment| environment.with_kept_tokens_expired()),
    },
    Difference {
        what: "an empty variable of the federation set is an error here",
        why: "It is a template that was not filled in: what would be used in its place is not what anybody meant (A11).",
        excuse: Because(|case| {
            let empty = |name: &str| case.environment.get(name).is_some_and(|value| value.trim().is_empty());
            case.refused_here("is set and empty") && FEDERATION.into_iter().any(empty) && !case.has_stronger()
        }),
    },
    Difference {
        what: "a malformed id is refused here before anything is sent",
        why: "The endpoint's answer would be an opaque 401, and the identity token would have left (A13).",
        excuse: Because(|case| {
            let malformed = |name: &str| case.variable(name) == "not-an-id";
            let said = case.refused_here("must be a tagged id") || case.refused_here("must be a bare UUID");
            said && FEDERATION.into_iter().any(malformed) && case.theirs.served().is_some_and(|theirs| theirs.exchange.is_some())
        }),
    },
    Difference {
        what: "what is no JWT is refused here before anything is sent",
        why: "It may be another secret (A2).",
        excuse: Because(|case| {
            case.assertion(case.theirs).is_some_and(|sent| !sent.starts_with("eyJ")) && matches!(case.ours, Outcome::Refused(_))
        }),
    },
    Difference {
        what: "a profile's name with white space around it is refused here, as in Python",
        why: "It is a mistake, and which profile is meant is a guess.",
        excuse: Because(|case| case.as_in(Sdk::Python) && case.refused_here("white space around the profile's name")),
    },
    Difference {
        what: "a profile that is a link out of its directory is refused here, as in Python",
        why: "Somebody else may own what it leads to (A12).",
        excuse: Because(|case| {
            case.as_in(Sdk::Python) && case.refused_here("a link that leads out of") && case.has_file("is a link to")
        }),
    },
    Difference {
        what: "a profile that others may write is refused here, as in Python",
        why: "Whoever writes it decides where identity tokens go (A12).",
        excuse: Because(|case| case.as_in(Sdk::Python) && case.refused_here("may write") && case.has_file("(666)")),
    },
    Difference {
        what: "a profile without a source of identity tokens takes ANTHROPIC_IDENTITY_TOKEN here, as in TypeScript",
        why: "The documentation says so.",
        excuse: Because(|case| {
            let token = case.variable("ANTHROPIC_IDENTITY_TOKEN");
            case.as_in(Sdk::TypeScript) && case.served_here_alone().is_some() && case.assertion(case.ours) == Some(token)
        }),
    },
    Difference {
        what: "federation variables without an identity token leave it to the profile here, as in Python",
        why: "A warning says what is missing; TypeScript fails.",
        excuse: Because(|case| {
            let has_token = case.is_set("ANTHROPIC_IDENTITY_TOKEN") || case.is_set("ANTHROPIC_IDENTITY_TOKEN_FILE");
            case.as_in(Sdk::Python) && !has_token && case.served_here_alone().is_some()
        }),
    },
    Difference {
        what: "a platform that its variables tell gives the identity token here, where only that is missing",
        why: "The clients fail: whoever set the rule and the organization has said which credential is meant. A profile goes before it.",
        excuse: Because(|case| {
            let ids = ["ANTHROPIC_FEDERATION_RULE_ID", "ANTHROPIC_ORGANIZATION_ID"];
            let tokens = ["ANTHROPIC_IDENTITY_TOKEN_FILE", "ANTHROPIC_IDENTITY_TOKEN"];
            let mut platforms = ["CIRCLE_OIDC_TOKEN_V2", "VERCEL_OIDC_TOKEN"].into_iter().filter(|name| case.is_set(name));
            let only_the_token_is_missing =
                ids.iter().all(|name| case.is_set(name)) && !tokens.iter().any(|name| case.is_set(name));
            let one = platforms.next().zip(Some(platforms.next().is_none()));
            case.served_here_alone().is_some()
                && only_the_token_is_missing
                && one.is_some_and(|(name, alone)| alone && case.assertion(case.ours) == Some(case.variable(name)))
        }),
    },
    Difference {
        what: "a login's token is served until it expires here, though it cannot be refreshed",
        why: "It is good. That it cannot be refreshed is said when it is due.",
        excuse: Because(|case| {
            case.served_here_alone().is_some_and(|served| served.exchange.is_none() && served.header.1.contains("oat01-of-"))
                && matches!(case.theirs, Outcome::Refused(why) if why.contains("refresh_token"))
        }),
    },
    Difference {
        what: "an empty service_account_id or workspace_id of a profile is left out here, as in TypeScript",
        why: "Python sends it as it is, which the endpoint refuses.",
        excuse: Because(|case| {
            let empty = |body: &Value| ["service_account_id", "workspace_id"].iter().any(|name| body[*name] == "");
            let sent = |served: &Served| served.exchange.as_ref().is_some_and(|(_, body)| empty(body));
            case.as_in(Sdk::TypeScript) && case.theirs.served().is_some_and(sent)
        }),
    },
    Difference {
        what: "an empty field of a profile is filled in from the variables here, as in Python",
        why: "It is a template that was not filled in; TypeScript goes without the field.",
        excuse: Because(|case| case.as_in(Sdk::Python) && case.has_file(":\"\"") && case.ours.served().is_some()),
    },
    Difference {
        what: "a login's file of another type is refused here, as in Python",
        why: "What is in it is not known to be a token.",
        excuse: Because(|case| case.as_in(Sdk::Python) && case.refused_here("a `type` that is not oauth_token")),
    },
    Difference {
        what: "a login's file with an expires_at that is no number is refused here, as in Python",
        why: "TypeScript takes it for expired, and uses up the refresh token.",
        excuse: Because(|case| case.as_in(Sdk::Python) && case.refused_here("expires_at that is no number")),
    },
    Difference {
        what: "an expired token of a login is not served here",
        why: "Python serves it where another program is to replace it: the API refuses it.",
        excuse: Because(|case| {
            let of_the_file = |served: &Served| served.exchange.is_none() && served.header.1.contains("oat01-of-");
            case.sdk == Sdk::Python && case.refused_here("has expired") && case.theirs.served().is_some_and(of_the_file)
        }),
    },
];
