//! What a status says of the credential: which kind it is, where it goes, and where its identity token comes from.

use std::path::Path;

use wif::Status;

/// What kind of credential is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody knows yet: discovery found none, or is not over.
    Unknown,
    /// An identity token is exchanged.
    Federation,
    /// A person has logged in.
    Login,
    /// An API key.
    Key,
    /// A bearer token that somebody handed over.
    Bearer,
}

/// What kind of credential this is the status of.
pub(crate) fn kind_of(status: &Status) -> Kind {
    kind_named(named(status, "credential").unwrap_or_default())
}

/// The component's own names, see `describe` of the engine.
fn kind_named(name: &str) -> Kind {
    match name {
        "federation" => Kind::Federation,
        "login (user_oauth)" => Kind::Login,
        "API key" => Kind::Key,
        name if name.starts_with("bearer token") => Kind::Bearer,
        _ => Kind::Unknown,
    }
}

/// A field of the configuration in force.
pub(crate) fn named<'a>(status: &'a Status, name: &str) -> Option<&'a str> {
    status.configuration.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Where tokens are good, which a profile or a document may have named.
pub(crate) fn place_of(status: &Status) -> Option<&str> {
    named(status, "base_url")
}

/// Whether the source can show another identity token while this process runs: a file can, its variables cannot.
pub(crate) fn may_change(status: &Status) -> bool {
    named(status, "identity_token").is_some_and(|source| file_of(source).is_some())
}

/// The path of a source that is a file, as the component describes it: of one that is relative it also says where that begins,
/// which is where this process was started, too.
pub(crate) fn file_of(source: &str) -> Option<&Path> {
    let path = source.strip_prefix("file ")?;
    Some(Path::new(path.strip_suffix(RELATIVE).unwrap_or(path)))
}

const RELATIVE: &str = " (relative to the directory in which this program was started)";

/// The name of a source that is a variable, likewise.
pub(crate) fn variable_of(source: &str) -> Option<&str> {
    source.strip_prefix("variable ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_known_by_the_components_own_names() {
        for (name, kind) in [
            ("federation", Kind::Federation),
            ("login (user_oauth)", Kind::Login),
            ("API key", Kind::Key),
            ("bearer token, literal", Kind::Bearer),
            ("bearer token, static and long-lived", Kind::Bearer),
            ("to be discovered", Kind::Unknown),
        ] {
            assert_eq!(kind_named(name), kind, "{name}");
        }
    }

    #[test]
    fn a_source_is_a_file_or_a_variable() {
        assert_eq!(file_of("file /run/token"), Some(Path::new("/run/token")));
        let relative = "file token (relative to the directory in which this program was started)";
        assert_eq!(file_of(relative), Some(Path::new("token")));
        assert_eq!(variable_of("variable CI_TOKEN"), Some("CI_TOKEN"));
        assert_eq!((file_of("github-actions (mints)"), variable_of("literal")), (None, None));
    }
}
