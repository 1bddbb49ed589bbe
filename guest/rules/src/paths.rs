//! Paths of URLs and of files.

/// Below what profiles are looked for, where nobody has chosen a directory: a variable, and what follows its value. The first that has
/// a profile counts.
pub const PROFILE_DIRECTORIES: [(&str, &str); 3] =
    [("HOME", ".config/anthropic"), ("XDG_CONFIG_HOME", "anthropic"), ("APPDATA", "Anthropic")];

/// A path with `~/` replaced by the home directory, where that is known.
#[must_use]
pub fn in_home(path: &str, home: Option<&str>) -> String {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => below(home, rest),
        _ => path.to_owned(),
    }
}

/// A path below a directory, whose value may end with slashes.
#[must_use]
pub fn below(directory: &str, path: &str) -> String {
    [directory.trim_end_matches('/'), "/", path].concat()
}

/// What a request line has of a URL, by what follows its authority. A URL may have no path, and its fragment is no server's business.
#[must_use]
pub fn path_and_query(after_authority: &str) -> String {
    let path = after_authority.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    [slash, path].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tilde_is_the_home_where_that_is_known() {
        assert_eq!(in_home("~/token", Some("/home/a/")), "/home/a/token");
        assert_eq!(in_home("~/token", None), "~/token");
        assert_eq!(in_home("/run/~/token", Some("/home/a")), "/run/~/token");
        assert_eq!(in_home("~b/token", Some("/home/a")), "~b/token");
    }

    #[test]
    fn a_request_line_begins_with_a_slash_and_has_no_fragment() {
        for (after, line) in [("", "/"), ("/v1?a=1", "/v1?a=1"), ("?a=1#there", "/?a=1"), ("#there", "/")] {
            assert_eq!(path_and_query(after), line, "{after:?}");
        }
    }
}
