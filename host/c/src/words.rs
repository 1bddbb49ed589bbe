//! Errors and status as JSON, with the names of the contract, and advice in the words of this host.

use serde_json::{Map, Value, json};
use wif::{BuildError, Error, Failure, PolicyError, Status};

/// Why a call failed.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Map<String, Value>);

impl Problem {
    fn new(code: &str, message: &str, action: &str) -> Self {
        let members = [("code", code), ("message", message), ("action", action)];
        Self(members.map(|(name, text)| (name.to_owned(), own_words(text).into())).into_iter().collect())
    }

    fn with(mut self, name: &str, value: Option<Value>) -> Self {
        self.0.extend(value.map(|value| (name.to_owned(), value)));
        self
    }

    /// The caller passed what the header does not allow.
    pub(crate) fn invalid(message: &str) -> Self {
        Self::new("invalid-argument", &format!("An argument cannot be used: {message}."), "Mend the call.")
    }

    /// What should never happen.
    pub(crate) fn internal(message: &str) -> Self {
        Self::new("internal", &format!("This should not happen: {message}."), "Report it.")
    }

    /// The credential does not work any longer.
    pub(crate) fn closed(why: &str) -> Self {
        Self::new("closed", &format!("The credential is closed{why}."), "Open another.")
    }

    /// A document can never work.
    pub(crate) fn configuration(field: &str, message: &str) -> Self {
        let action = if field.is_empty() { "Mend it.".to_owned() } else { format!("Mend the field {field}.") };
        Self::new("configuration", message, &action).with("field", Some(field.into()))
    }

    /// The component was stopped.
    pub(crate) fn stopped(message: &str) -> Self {
        Self::new("component-stopped", message, "Open another session from the newest journal.")
    }

    pub(crate) fn to_json(&self) -> Value {
        self.0.clone().into()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let ms = |duration: Option<std::time::Duration>| duration.map(millis);
        Self::new(failure.code.as_str(), &failure.message, &failure.action)
            .with("retry-in-ms", ms(failure.retry_in))
            .with("rotation-in-ms", ms(failure.rotation_in))
            .with("status", failure.status.map(Into::into))
            .with("request-id", failure.request_id.map(Into::into))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let words = format!("{error}");
        match error {
            Error::Unavailable(failure) => failure.into(),
            Error::TimedOut { .. } => Self::new("timed-out", &sentence(&words), "Work goes on: ask again."),
            Error::Overloaded { .. } => Self::new("overloaded", &sentence(&words), "Shed this caller, or raise max_waiters."),
            Error::Closed => Self::closed(""),
            _ => Self::internal(&words),
        }
    }
}

impl From<BuildError> for Problem {
    fn from(error: BuildError) -> Self {
        let words = error.to_string();
        match error {
            BuildError::Configuration { field, .. } if field.is_empty() => Self::configuration("", &words),
            BuildError::Configuration { field, message } => Self::configuration(&field, &message),
            BuildError::RootCertificate(_) => Self::configuration("root_certificates", &words),
            _ => Self::internal(&words),
        }
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        Self::configuration("policy", &error.to_string())
    }
}

/// The contract's `status`.
pub(crate) fn status(status: &Status) -> Value {
    let fields: Vec<Value> = status.configuration.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let token = status.token.as_ref().map(|token| {
        let members = json!({ "id": token.id, "origin": token.origin, "standing": token.standing.as_str() });
        let times = [("lifetime-ms", token.lifetime), ("refresh-in-ms", token.refresh_in), ("unusable-in-ms", token.unusable_in)];
        merged(members, times.map(|(name, time)| (name, time.map(millis))))
    });
    let identity_token = status.identity_token.as_ref().map(|token| {
        let members = json!({
            "id": token.id,
            "issuer": token.issuer,
            "subject": token.subject,
            "audience": token.audience,
            "disposition": token.disposition.as_str(),
        });
        merged(members, [("expires-in-ms", token.expires_in.map(millis))])
    });
    let warnings: Vec<String> = status.warnings.iter().map(|warning| own_words(warning)).collect();
    let members = json!({
        "state": status.state.as_str(),
        "summary": own_words(&status.summary),
        "configuration": fields,
        "next": own_words(&status.next),
        "warnings": warnings,
        "exchanges-started": status.exchanges_started,
        "exchanges-succeeded": status.exchanges_succeeded,
    });
    merged(
        members,
        [
            ("token", token),
            ("identity-token", identity_token),
            ("next-in-ms", status.next_in.map(millis)),
            ("failure", status.failure.clone().map(|failure| Problem::from(failure).to_json())),
            ("clock-skew-ms", status.clock_skew_ms.map(Into::into)),
        ],
    )
}

fn merged<const N: usize>(mut members: Value, more: [(&str, Option<Value>); N]) -> Value {
    if let Value::Object(object) = &mut members {
        object.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    members
}

fn millis(duration: std::time::Duration) -> Value {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}

fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| format!("{}{}.", first.to_uppercase(), letters.as_str())).unwrap_or_default()
}

/// What the library in Rust calls things, and what they are called here.
const OWN_WORDS: [(&str, &str); 12] = [
    ("Policy::allow_origin", "the option policy.allow_origins"),
    ("Policy::allow_private_origin", "the option policy.allow_private_origins"),
    ("Policy::allow_loopback", "the option policy.allow_loopback"),
    ("Policy::allow_directory", "the option policy.allow_directories"),
    ("Policy::allow_variable", "the option policy.allow_variables"),
    ("Policy::allow_source", "the option policy.allow_sources"),
    ("Policy::allow_executable", "the option policy.allow_executables"),
    ("Policy::proxy_from_environment", "the option policy.proxy"),
    ("Credential::builder().identity_token", "a callable of the kind identity-token"),
    ("Credential::builder().access_token", "a callable of the kind access-token"),
    ("Credential::builder().signer", "a callable of the kind sign"),
    ("Use a host that can, or", "Open the credential with wif_open_sending, or use"),
];

/// The text with the options of this host in place of functions of Rust, and their arguments left out.
pub(crate) fn own_words(text: &str) -> String {
    let mut text = text.to_owned();
    for (theirs, ours) in OWN_WORDS {
        while let Some(start) = text.find(theirs) {
            let rest = &text[start + theirs.len()..];
            let arguments = if rest.starts_with('(') { rest.find(')').map_or(0, |end| end + 1) } else { 0 };
            text.replace_range(start..start + theirs.len() + arguments, ours);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_options_of_this_host() {
        let said = r#"the policy allows https://a only, not https://b; allow it with Policy::allow_origin("https://b")"#;
        assert_eq!(
            own_words(said),
            "the policy allows https://a only, not https://b; allow it with the option policy.allow_origins"
        );
        let said = r#"no callable of this name was given: Credential::builder().identity_token("x", ...)"#;
        assert_eq!(own_words(said), "no callable of this name was given: a callable of the kind identity-token");
    }
}
