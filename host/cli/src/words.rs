//! Times and foreign texts, as they are shown to people.

use std::sync::LazyLock;
use std::time::Duration;

use regex::Regex;
use wif::{Clock as _, SystemClock};

/// The moment after this time, as RFC 3339 writes it, in UTC.
pub(crate) fn moment(after: Duration) -> Option<String> {
    let now = Duration::from_millis(SystemClock::default().now().wall_ms);
    let at = time::OffsetDateTime::UNIX_EPOCH.checked_add(now.checked_add(after)?.try_into().ok()?)?;
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.to_hms();
    Some(format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month)))
}

/// A duration for people.
pub(crate) fn seconds(duration: Duration) -> String {
    let tenths = duration.as_millis() / 100;
    if tenths < 1_200 { format!("{}.{} s", tenths / 10, tenths % 10) } else { format!("{} min", tenths / 600) }
}

/// A text of somebody else's, for a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|character| !wif_rules::is_unshown(*character)).take(256).collect()
}

/// The same on one line, with what looks like a secret taken out: a key of the API, a JWT, the user information of a URL.
pub(crate) fn scrubbed(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = SECRET.replace_all(&line, "[secret]");
    printable(&USER_INFORMATION.replace_all(&line, "://[secret]@"))
}

static SECRET: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"sk-ant-[A-Za-z0-9_-]+|eyJ[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]*)*").expect("it is tested"));

static USER_INFORMATION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"://[^/\s@]+@").expect("it is tested"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_taken_out_of_a_foreign_text() {
        for (text, shown) in [
            (
                "fatal: 'https://a:canary@git.example/x' is no repository",
                "fatal: 'https://[secret]@git.example/x' is no repository",
            ),
            ("bad ref sk-ant-api03-canary_-1 here", "bad ref [secret] here"),
            ("eyJhbGciOi.eyJzdWIi.c2ln\u{1b}[0m\nnext", "[secret][0m next"),
            ("in /home/a/b", "in /home/a/b"),
        ] {
            assert_eq!(scrubbed(text), shown);
        }
    }
}
