//! What people paste in place of something else, known by its shape: so that an error says what it is, and never shows it.

/// What stands where an identity token belongs, if it is one of the usual mistakes: the end of a sentence that begins with the
/// place.
pub(crate) fn in_place_of_a_jwt(text: &str) -> Option<&'static str> {
    let begins = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
    let nul = text.chars().filter(|character| *character == '\0').count();
    if nul > 0 && nul * 3 > text.chars().count() {
        return Some("is UTF-16: write it as plain ASCII");
    }
    if begins(&["\"eyJ", "'eyJ"]) {
        return Some("is in quotes: leave them out");
    }
    if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
        return Some("begins with `Bearer`: leave that out");
    }
    if begins(&["{", "["]) {
        return Some("is a JSON document: take the token out of it, perhaps from its field `token`");
    }
    if begins(&["sk-ant-"]) {
        return Some("is a key or an access token of the Claude API, where an identity token belongs");
    }
    if begins(&["AKIA", "ASIA"]) {
        return Some("is an access key of AWS, where an identity token belongs");
    }
    if begins(&["ya29."]) {
        return Some("is an access token of Google, where an identity token (an ID token) belongs");
    }
    if begins(&["ghs_", "ghp_", "github_pat_", "glpat-"]) {
        return Some("is an access token of a code host, where an identity token belongs");
    }
    if begins(&["ssh-", "ecdsa-sha2-"]) {
        return Some("is an SSH key, where an identity token belongs");
    }
    if text.starts_with("eyJ") && text.contains(char::is_whitespace) {
        return Some("is broken into lines or words: join them");
    }
    if text.contains("token: ") || text.contains("token:\n") {
        return Some("is a YAML document: take the token out of it");
    }
    if text.starts_with("eyJ") && text.matches('.').count() == 4 {
        return Some("is encrypted (a JWE, five parts): let the issuer sign it only");
    }
    // Three bytes are four characters of base64: these are `eyJ`.
    if begins(&["ZXlK"]) {
        return Some("is a JWT encoded in base64 once more, as in a Secret of Kubernetes: decode it once");
    }
    unfilled(text)
}

/// What cannot be a key or a token, and usually is something else.
pub(crate) fn in_place_of_a_token(text: &str) -> Option<&'static str> {
    if text.starts_with(['"', '\'']) {
        return Some("is in quotes: leave them out");
    }
    if text.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
        return Some("begins with `Bearer`: leave that out");
    }
    if text.starts_with("sk-ant-ort01-") {
        return Some("is a refresh token, where an access token belongs");
    }
    if text.starts_with("sk-ant-") && text.contains('#') {
        return Some("has a `#` in it, which no token has: it is the code of a login perhaps");
    }
    unfilled(text)
}

/// Leftovers of a template, and the words for nothing of programming languages.
fn unfilled(text: &str) -> Option<&'static str> {
    let nothing = ["none", "null", "nil", "undefined", "true", "false", "changeme", "todo"];
    let template = ["${", "$(", "{{", "<(", "%("].iter().any(|mark| text.contains(mark)) || text.starts_with('<');
    (template || nothing.iter().any(|word| text.eq_ignore_ascii_case(word)))
        .then_some("is a placeholder that nobody has filled in")
}

/// Whether an id is as it stands in guides: nothing but one character after its prefix, or the nil UUID.
pub(crate) fn is_placeholder_id(id: &str) -> bool {
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
        for id in ["fdrl_01ExampleExampleExample", "00000000-0000-4000-8000-000000000000", "fdrl_", "fdrl_abc123"] {
            assert!(!is_placeholder_id(id), "{id}");
        }
    }
}
