//! The token endpoint: the request to it, and what its answers mean. What an answer means stands in one table.

use serde::Deserialize;
use serde_json::Value;
use wif_document::BaseUrl;

use crate::Secret;
use crate::configuration::Federation;
use crate::contract::{FailureCode, Header, HttpRequest, Purpose, Response};
use crate::http_date;
use crate::identity_token::IdentityToken;
use crate::json::Writer;
use crate::scrub::{is_id, scrub};

/// An access token that expires by the answer in more than this is treated as expiring after it.
const MAX_LIFETIME_MS: u64 = 86_400_000;

/// The lifetime of an access token whose answer gives none.
const DEFAULT_LIFETIME_MS: u64 = 60_000;

/// The longest access token that fits the header budgets of usual proxies.
const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// What to read of an answer at most.
const MAX_RESPONSE_BYTES: u32 = 64 * 1024;

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class {
    pub(crate) code: FailureCode,
    pub(crate) consumption: Consumption,
    pub(crate) pause: Pause,
    says: &'static str,
    pub(crate) action: &'static str,
}

/// What became of the identity token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consumption {
    /// It can be exchanged as before.
    Unspent,
    /// It may have been exchanged.
    Uncertain,
    /// It was refused: spent if it was uncertain before, unspent otherwise.
    Refused,
}

/// How long to wait before the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It passes by itself.
    Transient,
    /// It may pass within a minute, or not at all.
    Refusal,
    /// Only a change of configuration helps: look again from time to time.
    Terminal,
}

const LATER: &str = "The exchange is repeated by itself. If it lasts, check the endpoint's status.";
const CONFIGURATION: &str = "Compare base_url and the ids of the configuration with the federation rule.";

const UNUSABLE: Class = Class {
    code: FailureCode::AnswerUnusable,
    consumption: Consumption::Uncertain,
    pause: Pause::Transient,
    says: "answered with something that is no access token",
    action: "Check that base_url is the API and that no proxy answers in its place.",
};

const INVALID: Class = Class {
    code: FailureCode::RequestInvalid,
    consumption: Consumption::Unspent,
    pause: Pause::Terminal,
    says: "does not accept the request",
    action: CONFIGURATION,
};

const UNAVAILABLE: Class = Class {
    code: FailureCode::EndpointFailed,
    consumption: Consumption::Uncertain,
    pause: Pause::Transient,
    says: "failed",
    action: LATER,
};

/// First and last status of each class. What is not in it, or is 200 and no token, is [`UNUSABLE`].
const TABLE: [(u16, u16, Class); 9] = [
    (400, 400, INVALID),
    (
        401,
        401,
        Class {
            code: FailureCode::Refused,
            consumption: Consumption::Refused,
            pause: Pause::Refusal,
            says: "refused the identity token and gives no reason",
            action: "The Console's authentication events show the reason for this request id. Usual reasons: the rule does not match the \
                     claims, workspace_id is missing, or the identity token was already exchanged, by another process or \
                     before a restart. If it was, wait until it is rotated, and share a store or keep a journal.",
        },
    ),
    (
        403,
        403,
        Class {
            code: FailureCode::Forbidden,
            consumption: Consumption::Unspent,
            pause: Pause::Terminal,
            says: "forbids the exchange",
            action: "Check the federation rule's scope and the organization's address restrictions.",
        },
    ),
    (402, 407, INVALID),
    (408, 408, UNAVAILABLE),
    (425, 425, Class { consumption: Consumption::Unspent, says: "asks to come later", ..UNAVAILABLE }),
    (
        429,
        429,
        Class {
            code: FailureCode::RateLimited,
            consumption: Consumption::Unspent,
            pause: Pause::Transient,
            says: "limits the rate of exchanges",
            action: "It is repeated by itself. If it lasts, share one session among processes.",
        },
    ),
    (409, 499, INVALID),
    (500, 599, UNAVAILABLE),
];

/// What came of an exchange.
#[derive(Debug)]
pub(crate) enum Verdict {
    Granted(Grant),
    Denied(Denial),
}

/// An access token.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) token: Secret,
    pub(crate) lifetime_ms: u64,
    /// What is unusual about it, though it is accepted.
    pub(crate) unusual: Vec<&'static str>,
}

/// No access token.
#[derive(Debug)]
pub(crate) struct Denial {
    pub(crate) class: Class,
    pub(crate) message: String,
    pub(crate) status: u16,
    pub(crate) retry_after_ms: Option<u64>,
}

/// The class of a status.
pub(crate) fn class_of(status: u16) -> Class {
    TABLE.iter().find(|(first, last, _)| (*first..=*last).contains(&status)).map_or(UNUSABLE, |(_, _, class)| *class)
}

/// Reads an answer. Nothing of the secrets shows in what it says.
pub(crate) fn read(response: &Response, secrets: &[&str], wall_ms: u64) -> Verdict {
    if response.status == 200 {
        return match read_grant(response.body.reveal()) {
            Ok(grant) => Verdict::Granted(grant),
            Err(problem) => Verdict::Denied(Denial {
                class: UNUSABLE,
                message: format!("The token endpoint answered 200 with something that is no access token: {problem}."),
                status: 200,
                retry_after_ms: None,
            }),
        };
    }
    let class = class_of(response.status);
    let detail = error_detail(response.body.reveal())
        .map(|detail| format!(" Its answer: {}.", scrub(&detail, secrets).trim_end_matches('.')))
        .unwrap_or_default();
    let message = format!("The token endpoint {} (status {}).{detail}", class.says, response.status);
    Verdict::Denied(Denial { class, message, status: response.status, retry_after_ms: retry_after(response, wall_ms) })
}

/// The value of a header field, if it is short and printable.
pub(crate) fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    let value = header.value.reveal();
    (value.len() <= 128 && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))).then_some(value)
}

/// The answer's `request-id`, if it is an id and none of the secrets.
pub(crate) fn request_id(response: &Response, secrets: &[&str]) -> Option<String> {
    header(response, "request-id").filter(|id| is_id(id, secrets)).map(str::to_owned)
}

/// The endpoint's clock minus ours, in milliseconds.
pub(crate) fn clock_skew(response: &Response, wall_ms: u64) -> Option<i64> {
    let date = http_date::parse(header(response, "date")?)?;
    Some(i64::try_from(date).ok()?.saturating_sub(i64::try_from(wall_ms).ok()?))
}

/// The request that exchanges an identity token.
pub(crate) fn request(base_url: &BaseUrl, federation: &Federation, identity: &IdentityToken, timeout_ms: u32) -> HttpRequest {
    // The names, the grant type and the ids are shorter than this.
    let mut body = Writer::with_capacity(512 + identity.value.reveal().len());
    // Base64url needs no escape.
    body.raw(r#"{"assertion":""#).raw(identity.value.reveal());
    body.raw(r#"","federation_rule_id":"#).text(&federation.rule);
    body.raw(r#","grant_type":"urn:ietf:params:oauth:grant-type:jwt-bearer","organization_id":"#).text(&federation.organization);
    if let Some(service_account) = &federation.service_account {
        body.raw(r#","service_account_id":"#).text(service_account);
    }
    if let Some(workspace) = &federation.workspace {
        body.raw(r#","workspace_id":"#).text(workspace);
    }
    body.raw("}");
    to_the_endpoint(Purpose::Exchange, base_url, "oauth-2025-04-20,oidc-federation-2026-04-01", body.end(), timeout_ms)
}

/// A request to the token endpoint, with a JSON document.
pub(crate) fn to_the_endpoint(purpose: Purpose, base_url: &BaseUrl, betas: &str, body: Secret, timeout_ms: u32) -> HttpRequest {
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("anthropic-beta", betas),
        ("user-agent", concat!("wif/", env!("CARGO_PKG_VERSION"))),
    ];
    HttpRequest {
        purpose,
        method: "POST".to_owned(),
        url: base_url.join("/v1/oauth/token"),
        origin: base_url.origin().to_owned(),
        headers: headers.map(|(name, value)| Header { name: name.to_owned(), value: value.into() }).into(),
        body,
        timeout_ms,
        max_response_bytes: MAX_RESPONSE_BYTES,
    }
}

/// Whether a token can stand in a header; otherwise what is wrong with it.
pub(crate) fn check_token(token: &str) -> Result<(), &'static str> {
    if token.is_empty() {
        Err("the token is empty")
    } else if token.len() > MAX_TOKEN_BYTES {
        Err("the token is longer than 8 KiB")
    } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("the token contains white space, control characters or characters outside ASCII")
    } else {
        Ok(())
    }
}

/// The success document of RFC 6749 section 5.1. Members that are not named are ignored; a member that stands twice is an
/// error.
#[derive(Deserialize)]
struct Success {
    access_token: Secret,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Option<Value>,
}

fn read_grant(body: &str) -> Result<Grant, &'static str> {
    // The parser's own message may quote the document.
    let success: Success = serde_json::from_str(body).map_err(|_| "it is not a JSON object with an access_token")?;
    check_token(success.access_token.reveal())?;
    if success.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("its token_type is not Bearer");
    }
    let mut unusual = Vec::new();
    if !success.access_token.reveal().starts_with("sk-ant-oat01-") {
        unusual.push("the access token does not begin with sk-ant-oat01-");
    }
    let lifetime_ms = match lifetime(success.expires_in.as_ref())? {
        None => {
            unusual.push("expires_in is missing: taken as 60 seconds");
            DEFAULT_LIFETIME_MS
        }
        Some(lifetime) if lifetime > MAX_LIFETIME_MS => {
            unusual.push("expires_in is more than a day: taken as a day");
            MAX_LIFETIME_MS
        }
        Some(lifetime) => lifetime,
    };
    Ok(Grant { token: success.access_token, lifetime_ms, unusual })
}

fn lifetime(expires_in: Option<&Value>) -> Result<Option<u64>, &'static str> {
    let seconds = match expires_in {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_f64(),
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        Some(_) => None,
    };
    match seconds {
        // The conversion saturates.
        Some(seconds) => match (seconds * 1000.0) as u64 {
            0 => Err("its expires_in is not positive"),
            lifetime => Ok(Some(lifetime)),
        },
        None => Err("its expires_in is not a number"),
    }
}

/// What an error body says for people: the vendor's envelope, or RFC 6749 section 5.2. Nothing else of a body is shown.
fn error_detail(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (kind, message) = match body.get("error")? {
        Value::String(code) => (Some(code.clone()), body.get("error_description").and_then(text)),
        error => (error.get("type").and_then(text), error.get("message").and_then(text)),
    };
    match (kind, message) {
        (Some(kind), Some(message)) => Some(format!("{kind}: {message}")),
        (kind, message) => kind.or(message),
    }
}

/// `Retry-After` (RFC 9110 section 10.2.3) in milliseconds, from a second to ten minutes.
fn retry_after(response: &Response, wall_ms: u64) -> Option<u64> {
    let value = header(response, "retry-after")?.trim();
    let pause = match value.parse::<u64>() {
        Ok(seconds) => seconds.saturating_mul(1000),
        // More seconds than there are numbers for.
        Err(_) if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => u64::MAX,
        Err(_) => {
            // The endpoint's own clock measures its date, wherever it tells it.
            let now = header(response, "date").and_then(http_date::parse).unwrap_or(wall_ms);
            http_date::parse(value)?.saturating_sub(now)
        }
    };
    Some(pause.clamp(1_000, 600_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = headers.iter().map(|(name, value)| Header { name: (*name).to_owned(), value: (*value).into() }).collect();
        Response { status, headers, body: body.into() }
    }

    fn grant(body: &str) -> Option<Grant> {
        match read(&response(200, &[], body), &[], 0) {
            Verdict::Granted(grant) => Some(grant),
            Verdict::Denied(_) => None,
        }
    }

    /// B11: every status has a class, and the table says what each means.
    #[test]
    fn every_status_is_classified() {
        use {Consumption::*, Pause::*};
        for status in 100..=999 {
            let class = class_of(status);
            let expected = match status {
                401 => (Refused, Refusal),
                408 | 500..=599 => (Uncertain, Transient),
                425 | 429 => (Unspent, Transient),
                400..=499 => (Unspent, Terminal),
                _ => (Uncertain, Transient),
            };
            assert_eq!((class.consumption, class.pause), expected, "status {status}");
        }
    }

    /// B6: what is not exactly one JSON object with a token is no token, and no panic.
    #[test]
    fn bodies_that_are_no_token_are_refused() {
        let deep = format!("{{\"access_token\":{}1{}}}", "[".repeat(500), "]".repeat(500));
        for body in [
            "",
            " ",
            "null",
            "[]",
            "\"t\"",
            "<html>",
            "{}",
            "{\"access_token\":null}",
            "{\"access_token\":1}",
            "{\"access_token\":\"t\",\"access_token\":\"u\"}",
            "{\"access_token\":\"t\"} trailing",
            "\u{feff}{\"access_token\":\"t\"}",
            &deep,
        ] {
            assert!(grant(body).is_none(), "{body} was accepted");
        }
    }

    /// B7, B8: a token that cannot stand in a header, or is of another type, is refused; an unknown prefix is not.
    #[test]
    fn tokens_are_checked_before_they_are_used() {
        for token in ["", " ", "a b", "a\\r\\nb", "a\\u0000", "é", &"a".repeat(9000)] {
            assert!(grant(&format!("{{\"access_token\":\"{token}\",\"expires_in\":60}}")).is_none(), "{token}");
        }
        for kind in ["MAC", ""] {
            assert!(grant(&format!("{{\"access_token\":\"t\",\"token_type\":\"{kind}\"}}")).is_none());
        }
        for kind in ["Bearer", "bearer", "BEARER"] {
            let body = format!("{{\"access_token\":\"sk-ant-oat01-t\",\"token_type\":\"{kind}\",\"expires_in\":60}}");
            assert!(grant(&body).unwrap().unusual.is_empty());
        }
        assert_eq!(grant("{\"access_token\":\"other\",\"expires_in\":60}").unwrap().unusual.len(), 1);
    }

    /// B9: every kind of `expires_in` gives a bounded lifetime or none.
    #[test]
    fn lifetimes_are_bounded() {
        let lifetime =
            |value: &str| grant(&format!("{{\"access_token\":\"t\",\"expires_in\":{value}}}")).map(|grant| grant.lifetime_ms);
        assert_eq!(lifetime("3600"), Some(3_600_000));
        assert_eq!(lifetime("\"3600\""), Some(3_600_000));
        assert_eq!(lifetime("59.5"), Some(59_500));
        assert_eq!(lifetime("null"), Some(60_000));
        assert_eq!(lifetime("1e308"), Some(86_400_000));
        assert_eq!(lifetime("18446744073709551616"), Some(86_400_000));
        for refused in ["0", "-1", "1e-9", "\"soon\"", "\"NaN\"", "[]", "true"] {
            assert_eq!(lifetime(refused), None, "{refused}");
        }
    }

    /// B11: `Retry-After` is read in both forms and kept within a second and ten minutes.
    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let pause = |headers: &[(&str, &str)]| retry_after(&response(429, headers, ""), 0);
        assert_eq!(pause(&[("Retry-After", "7")]), Some(7_000));
        assert_eq!(pause(&[("retry-after", "0")]), Some(1_000));
        assert_eq!(pause(&[("retry-after", "86400")]), Some(600_000));
        assert_eq!(pause(&[("retry-after", "99999999999999999999")]), Some(600_000));
        assert_eq!(pause(&[("retry-after", "-1")]), None);
        assert_eq!(pause(&[("retry-after", "")]), None);
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(pause(&[date, ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]), Some(30_000));
        assert_eq!(pause(&[("retry-after", "soon")]), None);
    }

    #[test]
    fn both_shapes_of_errors_are_told() {
        let message = |body: &str| match read(&response(400, &[], body), &[], 0) {
            Verdict::Denied(denial) => denial.message,
            Verdict::Granted(_) => unreachable!("a 400 grants nothing"),
        };
        let envelope = r#"{"type":"error","error":{"type":"invalid_request_error","message":"organization_id: no UUID"}}"#;
        assert!(message(envelope).ends_with("invalid_request_error: organization_id: no UUID."));
        assert!(message(r#"{"error":"invalid_grant","error_description":"no"}"#).ends_with("invalid_grant: no."));
        assert!(!message("<html>canary</html>").contains("canary"));
    }

    #[test]
    fn only_short_and_printable_header_fields_are_read() {
        let longest = "a".repeat(128);
        let shown = |value: &str| header(&response(200, &[("X-Id", value)], ""), "x-id").map(str::to_owned);
        assert_eq!(shown(&longest), Some(longest.clone()));
        assert_eq!(shown("a ~"), Some("a ~".to_owned()));
        for value in [&format!("{longest}a"), "a\tb", "a\u{7f}", "é"] {
            assert_eq!(shown(value), None, "{value}");
        }
    }

    /// B7, B9: at the bounds themselves nothing is unusual.
    #[test]
    fn the_longest_token_and_the_longest_lifetime_are_taken_as_they_are() {
        let token = format!("{:a<8192}", "sk-ant-oat01-");
        let longest = grant(&format!("{{\"access_token\":\"{token}\",\"expires_in\":86400}}")).unwrap();
        assert_eq!((longest.lifetime_ms, longest.unusual.len()), (86_400_000, 0));
        assert!(grant(&format!("{{\"access_token\":\"{token}a\",\"expires_in\":86400}}")).is_none());
    }
}
