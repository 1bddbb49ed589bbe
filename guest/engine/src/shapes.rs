//! What people paste in place of something else, known by its shape: so that an error says what it is, and never shows it.

/// How things begin that are no JWT, and what they are.
const BEGINNINGS: [(&str, &str); 15] = [
    ("\"eyJ", IN_QUOTES),
    ("'eyJ", IN_QUOTES),
    ("{", A_DOCUMENT),
    ("[", A_DOCUMENT),
    ("sk-ant-", "is a key or an access token of the Claude API, where an identity token belongs"),
    ("AKIA", OF_AWS),
    ("ASIA", OF_AWS),
    ("ya29.", "is an access token of Google, where an identity token (an ID token) belongs"),
    ("ghs_", OF_A_CODE_HOST),
    ("ghp_", OF_A_CODE_HOST),
    ("github_pat_", OF_A_CODE_HOST),
    ("glpat-", OF_A_CODE_HOST),
    // Three bytes are four characters of base64: these are `eyJ`.
    ("ZXlK", "is a JWT in base64 once more, as in a Kubernetes Secret: decode it once"),
    ("Bearer ", WITH_BEARER),
    ("bearer ", WITH_BEARER),
];

const IN_QUOTES: &str = "is in quotes: leave them out";
const WITH_BEARER: &str = "begins with `Bearer`: leave that out";
const A_DOCUMENT: &str = "is a JSON document: take the token out of it";
const OF_AWS: &str = "is an access key of AWS";
const OF_A_CODE_HOST: &str = "is an access token of a code host";

/// How much of a text is looked at, in bytes: as much as the longest identity token has. Sources hand over megabytes.
const LOOKED_AT_BYTES: usize = 16 * 1024;

/// What stands where an identity token belongs, if it is one of the usual mistakes: the end of a sentence that begins with the
/// place.
pub(crate) fn in_place_of_a_jwt(text: &str) -> Option<&'static str> {
    let text = beginning(text);
    // A JWT has no other characters, and most of the mistakes have.
    let other = text.bytes().any(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'.' | b'-' | b'_'));
    if other && text.bytes().filter(|byte| *byte == 0).count() * 3 > text.len() {
        return Some("is UTF-16: write it as plain ASCII");
    }
    if let Some((_, what)) = BEGINNINGS.iter().find(|(beginning, _)| text.starts_with(beginning)) {
        return Some(what);
    }
    if other && text.starts_with("eyJ") && text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        return Some("is broken into lines or words: join them");
    }
    if other && (holds(text, "token: ") || holds(text, "token:\n")) {
        return Some("is a YAML document: take the token out of it");
    }
    if text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() == 4 {
        return Some("is encrypted (a JWE): let the issuer only sign it");
    }
    unfilled(text)
}

/// What cannot be a key or a token, and usually is something else.
pub(crate) fn in_place_of_a_token(text: &str) -> Option<&'static str> {
    let text = beginning(text);
    if text.starts_with(['"', '\'']) {
        return Some(IN_QUOTES);
    }
    if text.starts_with("Bearer ") || text.starts_with("bearer ") {
        return Some(WITH_BEARER);
    }
    if text.starts_with("sk-ant-ort01-") {
        return Some("is a refresh token, where an access token belongs");
    }
    if text.starts_with("sk-ant-") && holds(text, "#") {
        return Some("has a `#` in it, which no token has: it is the code of a login perhaps");
    }
    unfilled(text)
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(LOOKED_AT_BYTES)]
}

/// Leftovers of a template, and the words for nothing of programming languages.
fn unfilled(text: &str) -> Option<&'static str> {
    let nothing = ["none", "null", "nil", "undefined", "true", "false"];
    let bracket = text.bytes().any(|byte| matches!(byte, b'(' | b'{'));
    let template = bracket && ["${", "$(", "{{", "<(", "%("].iter().any(|mark| holds(text, mark));
    (template || text.starts_with('<') || nothing.iter().any(|word| text.eq_ignore_ascii_case(word)))
        .then_some("is a placeholder that nobody has filled in")
}

/// The library's own search is made for long texts, and weighs kilobytes.
fn holds(text: &str, part: &str) -> bool {
    text.as_bytes().windows(part.len()).any(|window| window == part.as_bytes())
}

/// Whether an id is as it stands in guides: nothing but one character after its prefix, the nil UUID, `<your-org-id>`, `fdrl_your_rule`.
pub(crate) fn is_placeholder_id(id: &str) -> bool {
    // After these letters no id has a dash or an underscore.
    let yours = id.as_bytes().windows(5).any(|five| five[..4].eq_ignore_ascii_case(b"your") && matches!(five[4], b'-' | b'_'));
    if yours || unfilled(id).is_some() {
        return true;
    }
    let rest = id.split_once('_').map_or(id, |(_, rest)| rest);
    let mut digits = rest.bytes().filter(|byte| *byte != b'-');
    let Some(first) = digits.next() else { return false };
    rest.len() >= 4 && digits.all(|byte| byte.eq_ignore_ascii_case(&first))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn what_people_paste_for_an_identity_token_is_named() {
        let encoded = STANDARD.encode("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln");
        let wide: String = "eyJhbGci".chars().flat_map(|character| [character, '\0']).collect();
        for (text, says) in [
            ("\"eyJhbGci.e30.c2ln\"", "quotes"),
            ("Bearer eyJhbGci.e30.c2ln", "Bearer"),
            ("{\"token\":\"eyJhbGci.e30.c2ln\"}", "JSON"),
            ("status:\n  token: eyJhbGci.e30.c2ln", "YAML"),
            ("eyJhbGci\nOiJSUzI1NiJ9.e30.c2ln", "lines"),
            ("eyJhbGci.a.b.c.d", "JWE"),
            (&encoded, "base64"),
            (&wide, "UTF-16"),
            ("sk-ant-api03-x", "Claude API"),
            ("AKIAIOSFODNN7EXAMPLE", "AWS"),
            ("ya29.a0Af", "Google"),
            ("ghs_abc", "code host"),
            ("${TOKEN}", "placeholder"),
            ("<your token>", "placeholder"),
            ("None", "placeholder"),
        ] {
            let found = in_place_of_a_jwt(text).unwrap_or_default();
            assert!(found.contains(says), "{text}: {found}");
        }
        assert_eq!(in_place_of_a_jwt("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln"), None);
    }

    #[test]
    fn what_people_paste_for_a_token_is_named() {
        for text in ["\"sk-ant-oat01-x\"", "Bearer x", "sk-ant-ort01-x", "sk-ant-oat01-x#state", "null", "${KEY}", "$(cat key)"] {
            assert!(in_place_of_a_token(text).is_some(), "{text}");
        }
        for text in ["sk-ant-oat01-x", "sk-ant-api03-x", "any-opaque-token", "eyJhbGci.e30.c2ln"] {
            assert_eq!(in_place_of_a_token(text), None, "{text}");
        }
    }

    #[test]
    fn ids_out_of_guides_are_placeholders() {
        for id in ["fdrl_xxxxxxxxxxxx", "00000000-0000-0000-0000-000000000000", "svac_XXXX", "wrkspc_xxxx"] {
            assert!(is_placeholder_id(id), "{id}");
        }
        for id in ["<your-org-id>", "YOUR_ORG_ID", "fdrl_your_rule_id", "${ORGANIZATION}", "null"] {
            assert!(is_placeholder_id(id), "{id}");
        }
        for id in ["fdrl_01ExampleExampleExample", "00000000-0000-4000-8000-000000000000", "fdrl_", "fdrl_abc123", "fdrl_1yourS"]
        {
            assert!(!is_placeholder_id(id), "{id}");
        }
    }
}
