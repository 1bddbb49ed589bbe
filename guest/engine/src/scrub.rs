//! Keeps echoes of a secret out of texts that come from elsewhere.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use wif_rules::is_unshown;

/// A common part of at least twice this length is found wherever it begins.
const BLOCK: usize = 8;

/// What of a text may be shown.
const MAX_CHARS: usize = 300;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// From this length on a run of letters and digits may be a token that nobody here knows.
const OPAQUE: usize = 32;

/// `text` fit to be shown: on one line and cut after 300 characters. It is withheld as a whole if it has the shape of a token, or
/// repeats part of a secret: as it is, backwards, with anything between its letters, or escaped for URLs, for JSON, in
/// hexadecimal or in base64. What else could be a token is left out of it.
pub(crate) fn scrub(text: &str, secrets: &[&str]) -> String {
    // What is cut off is not looked at either, but an echo may begin before the cut and be recognised only beyond it.
    let head: String = text.chars().take(4 * MAX_CHARS).collect();
    if repeats(&head, secrets) {
        return "[withheld: it repeats part of a token]".to_owned();
    }
    let one_line: String = head.chars().map(|character| if is_unshown(character) { ' ' } else { character }).collect();
    let words: Vec<&str> = one_line.split(' ').map(|word| if opaque(word) { "[withheld]" } else { word }).collect();
    words.join(" ").chars().take(MAX_CHARS).collect()
}

/// Whether an id from elsewhere is one, and no secret.
pub(crate) fn is_id(text: &str, secrets: &[&str]) -> bool {
    let grammar = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    (1..=64).contains(&text.len()) && text.bytes().all(grammar) && !repeats(text, secrets)
}

fn repeats(text: &str, secrets: &[&str]) -> bool {
    let mut readings = vec![text.as_bytes().to_vec()];
    // Most texts hold no escape: several ways to read them come to the same.
    let mut add = |reading: Vec<u8>| {
        if !readings.contains(&reading) {
            readings.push(reading);
        }
    };
    let (percent, plain) = (percent_decoded(text), unescaped(text));
    for once in [&percent, &plain] {
        add(percent_decoded(&String::from_utf8_lossy(once)));
    }
    add(percent);
    add(plain);
    add(text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect());
    add(text.bytes().rev().collect());
    base64_decoded(text).into_iter().chain(hex_decoded(text)).for_each(add);
    // Whatever stands between letters.
    let letters = |text: &str| -> Vec<u8> { text.bytes().filter(u8::is_ascii_alphanumeric).collect() };
    let (parts, joined) = (Parts::of(&readings), Parts::of(&[letters(text)]));
    readings.iter().any(|reading| has_the_shape_of_a_token(reading))
        || secrets.iter().any(|secret| parts.hold_one_of(secret.as_bytes()) || joined.hold_one_of(&letters(secret)))
}

/// A token of the API, or a JWT.
fn has_the_shape_of_a_token(text: &[u8]) -> bool {
    let base64url = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let begins_a_word = |at: usize| at == 0 || !text[at - 1].is_ascii_alphanumeric();
    let jwt = |at: usize| begins_a_word(at) && text[at..].iter().take_while(|byte| base64url(byte)).count() >= 2 * BLOCK;
    text.windows(7).any(|window| window == b"sk-ant-")
        || text.windows(3).enumerate().any(|(at, window)| window == b"eyJ" && jwt(at))
}

/// Whether a word holds a long run that nobody would write by hand: hexadecimal digits alone, or digits, capitals and small
/// letters.
fn opaque(word: &str) -> bool {
    let inner = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '+' | '/' | '=');
    word.split(|character| !inner(character)).filter(|run| run.len() >= OPAQUE).any(|run| {
        let any = |kind: fn(&u8) -> bool| run.bytes().any(|byte| kind(&byte));
        run.bytes().all(|byte| byte.is_ascii_hexdigit())
            || any(u8::is_ascii_digit) && any(u8::is_ascii_uppercase) && any(u8::is_ascii_lowercase)
    })
}

/// The runs of [`BLOCK`] bytes of some texts, as numbers. A table in which a number is at its place or soon after it, and of which a third is
/// empty at least: 0. The library's own would bring kilobytes.
struct Parts(Vec<u64>);

impl Parts {
    fn of(texts: &[Vec<u8>]) -> Self {
        let most: usize = texts.iter().map(Vec::len).sum();
        let mut parts = Self(vec![0; (most + most / 2).next_power_of_two().max(2)]);
        for run in texts.iter().flat_map(|text| text.array_windows()) {
            let run = number(run);
            let place = parts.place(run);
            parts.0[place] = run;
        }
        parts
    }

    /// Whether a run of twice [`BLOCK`] bytes or more stands in both: it then holds one whole aligned block of the secret.
    fn hold_one_of(&self, secret: &[u8]) -> bool {
        let blocks = secret.as_chunks().0.iter().map(number);
        // No secret has eight NULs in a row.
        blocks.filter(|block| *block != 0).any(|block| self.0[self.place(block)] == block)
    }

    /// Where this number is, or would be.
    fn place(&self, run: u64) -> usize {
        let last = self.0.len() - 1;
        // 2 to the 64 over the golden ratio: it spreads texts, which are alike in most bits.
        let mut place = (run.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize & last;
        while self.0[place] != 0 && self.0[place] != run {
            place = (place + 1) & last;
        }
        place
    }
}

fn number(run: &[u8; BLOCK]) -> u64 {
    u64::from_le_bytes(*run)
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex_value(*high).zip(hex_value(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        decoded.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    decoded
}

/// Backslash escapes resolved, those of Unicode included; the backslashes of others left out.
fn unescaped(text: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(position) = rest.find('\\') {
        decoded.extend_from_slice(&rest.as_bytes()[..position]);
        rest = &rest[position + 1..];
        let code =
            rest.strip_prefix('u').and_then(|digits| digits.get(..4)).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(code) = code {
            decoded.push(code);
            rest = &rest[5..];
        }
    }
    decoded.extend_from_slice(rest.as_bytes());
    decoded
}

/// Every long run of base64 characters, decoded at each of the four alignments that it can have.
fn base64_decoded(text: &str) -> Vec<Vec<u8>> {
    let in_alphabet = |character: char| character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '-' | '_');
    let engines = [GeneralPurpose::new(&alphabet::STANDARD, LENIENT), GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT)];
    let mut found = Vec::new();
    for run in text.split(|character| !in_alphabet(character)).filter(|run| run.len() >= 2 * BLOCK) {
        for skip in 0..4 {
            // A length of one more than a multiple of four is no base64.
            let part = &run[skip..];
            let part = if part.len() % 4 == 1 { &part[..part.len() - 1] } else { part };
            found.extend(engines.iter().filter_map(|engine| engine.decode(part).ok()));
        }
    }
    found
}

/// All hexadecimal digits, whatever stands between them (`\x65`, `65:79`, `&#x65;`), decoded at both alignments.
fn hex_decoded(text: &str) -> [Vec<u8>; 2] {
    let digits: Vec<u8> = text.bytes().filter_map(hex_value).collect();
    let decoded =
        |skip: usize| digits.get(skip..).unwrap_or_default().chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    [decoded(0), decoded(1)]
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    const SECRET: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJzdWIiOiJ3b3JrbG9hZCIsImV4cCI6MX0.c2lnbmF0dXJlLXNpZ25hdHVyZQ";

    /// What an earlier exchange brought, which nobody here keeps.
    const EARLIER: &str = "sk-ant-oat01-Zm9vYmFyMDEyMzQ1Njc4OWFiY2RlZg-xyzAA";

    /// B13, G6: an echo is found whole, in part, and in every usual escape.
    #[test]
    fn echoes_are_withheld_in_every_form() {
        for (secret, known) in [(SECRET, true), (EARLIER, false)] {
            let each = |write: fn(u8) -> String| secret.bytes().map(write).collect::<String>();
            let mut forms = vec![
                ("whole", secret.to_owned()),
                ("its beginning", secret[..30].to_owned()),
                ("percent", each(|byte| format!("%{byte:02X}"))),
                ("JSON", each(|byte| format!("\\u{byte:04x}"))),
                ("hexadecimal", each(|byte| format!("{byte:02x}"))),
                ("capital hexadecimal", each(|byte| format!("{byte:02X}"))),
                ("spaced", each(|byte| format!("{} ", char::from(byte)))),
                ("bytes", each(|byte| format!("\\x{byte:02x}"))),
                ("colons", each(|byte| format!("{byte:02x}:"))),
                ("HTML in hexadecimal", each(|byte| format!("&#x{byte:X};"))),
                ("percent twice", each(|byte| format!("%25{byte:02X}"))),
                ("backwards", secret.chars().rev().collect()),
                ("base64", STANDARD.encode(secret)),
                ("base64 for URLs", URL_SAFE_NO_PAD.encode(secret)),
                ("base64 of more", STANDARD.encode(format!("ab{secret}"))),
                ("quoted", format!("\"{secret}\"")),
            ];
            if known {
                forms.extend([
                    ("its middle", secret[17..41].to_owned()),
                    ("its end", secret[secret.len() - 24..].to_owned()),
                    ("base64 of a part", URL_SAFE_NO_PAD.encode(&secret[5..60])),
                    ("one escape", secret.replace('.', "%2E")),
                    ("commas", each(|byte| format!("{},", char::from(byte)))),
                    ("groups", secret.as_bytes().chunks(4).map(|group| format!("{}|", String::from_utf8_lossy(group))).collect()),
                    ("a part backwards", secret[17..41].chars().rev().collect()),
                ]);
            }
            let secrets: &[&str] = if known { &[SECRET] } else { &[] };
            for (form, echo) in forms {
                let shown = scrub(&format!("the token {echo} is bad"), secrets);
                assert!(shown.starts_with("[withheld"), "{form}: {shown}");
                assert!(!is_id(&echo, secrets), "{form}");
            }
        }
    }

    #[test]
    fn what_could_be_an_unknown_token_is_left_out() {
        assert_eq!(scrub("got Zm9vYmFyMDEyMzQ1Njc4OWFiY2RlZmdoaWo, no", &[]), "got [withheld] no");
        assert_eq!(scrub("got 00112233445566778899aabbccddeeff", &[]), "got [withheld]");
        for harmless in [
            "organization_id: 3f2b8c1e-0000-4000-8000-1234567890ab is unknown",
            "see https://example.com/docs/workload-identity-federation/troubleshooting",
            "request req_011CSHoEeqs5C35K2UUqR7Fy failed",
            "they just cannot read /var/run/secrets/anthropic/token",
        ] {
            assert_eq!(scrub(harmless, &[SECRET]), harmless);
        }
    }

    #[test]
    fn an_id_has_a_grammar() {
        for id in ["req_011CSHoEeqs5C35K2UUqR7Fy", "a", "3f2b8c1e-0000-4000-8000-1234567890ab"] {
            assert!(is_id(id, &[SECRET]), "{id}");
        }
        for other in ["", "a b", "a\u{1b}[31m", "a\r\nb", &"a".repeat(65), "é"] {
            assert!(!is_id(other, &[]), "{other}");
        }
    }

    #[test]
    fn other_texts_are_shown_on_one_line_and_cut() {
        assert_eq!(scrub("Authentication failed", &[SECRET]), "Authentication failed");
        assert_eq!(scrub("a\r\nb\0c", &[SECRET]), "a  b c");
        assert_eq!(scrub("a\u{202e}b\u{2028}c\u{2066}d\u{9b}e\u{200f}", &[SECRET]), "a b c d e ");
        assert_eq!(scrub(&"x".repeat(1000), &[SECRET]).len(), 300);
    }

    #[test]
    fn a_jwt_begins_a_word_and_is_no_short_one() {
        for text in
            ["sk-ant-", "xsk-ant-", "eyJabcdefghijklm", " eyJabcdefghijklm", "\"eyJ_-cdefghijklm", "theyJust eyJabcdefghijklm"]
        {
            assert!(has_the_shape_of_a_token(text.as_bytes()), "{text}");
        }
        for text in
            ["", "sk-ant", "eyJabcdefghijkl", "eyJabcdefghijkl.", "theyJustCannotReadThisVeryFile", "eyJ eyJ eyJ eyJ eyJ eyJ"]
        {
            assert!(!has_the_shape_of_a_token(text.as_bytes()), "{text}");
        }
    }

    /// B13: what is shown may end within an echo that only its rest gives away.
    #[test]
    fn an_echo_that_begins_before_the_cut_is_found() {
        let spaced: String = SECRET.chars().flat_map(|character| [character, ' ']).collect();
        for before in [250, 298] {
            assert!(scrub(&format!("{} {spaced}", "x".repeat(before)), &[SECRET]).starts_with("[withheld"), "{before}");
        }
    }

    /// An answer that is made to take long costs no more than its length.
    #[test]
    fn texts_without_any_pattern_leave_a_third_of_the_table_empty() {
        let mut state = 7_u64;
        let mut letters = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            b'a' + u8::try_from((state >> 33) % 26).unwrap()
        };
        let texts: Vec<Vec<u8>> = (0..16).map(|_| (0..1200).map(|_| letters()).collect()).collect();
        let parts = Parts::of(&texts);
        let empty = parts.0.iter().filter(|number| **number == 0).count();
        assert!(empty * 3 >= parts.0.len(), "{empty}");
        for text in &texts {
            assert!(parts.hold_one_of(&text[3..]), "a text is there");
        }
        let secret: Vec<u8> = (0..16 << 10).map(|_| letters()).collect();
        assert!(!parts.hold_one_of(&secret));
        assert!(!Parts::of(&[]).hold_one_of(&secret));
    }

    /// B13: base64 is found wherever it begins and ends in a longer run.
    #[test]
    fn base64_within_a_longer_run_is_found() {
        let part = URL_SAFE_NO_PAD.encode(&SECRET[8..32]);
        for before in ["", "A", "AB", "ABC"] {
            for after in ["", "D", "DE", "DEF"] {
                let shown = scrub(&format!("{before}{part}{after}"), &[SECRET]);
                assert!(shown.starts_with("[withheld: it"), "{before:?} {after:?}: {shown}");
            }
        }
    }
}
