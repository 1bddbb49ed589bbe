//! Keeps echoes of a secret out of texts that come from elsewhere.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// A common part of at least twice this length is found wherever it begins.
const BLOCK: usize = 8;

/// What of a text may be shown.
const MAX_CHARS: usize = 300;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true).with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// `text` fit to be shown: on one line, cut after 300 characters, and withheld as a whole if any part of it repeats part of
/// the secret, as it is or escaped for URLs, for JSON or in base64.
pub(crate) fn scrub(text: &str, secret: &str) -> String {
    // What is cut off is not looked at either, but an echo may begin before the cut and be recognised only beyond it.
    let head: String = text.chars().take(4 * MAX_CHARS).collect();
    if repeats(&head, secret) {
        return "[withheld: it repeats part of the identity token]".to_owned();
    }
    head.chars().map(|character| if character.is_control() { ' ' } else { character }).take(MAX_CHARS).collect()
}

fn repeats(text: &str, secret: &str) -> bool {
    let mut readings = vec![text.as_bytes().to_vec(), percent_decoded(text), unescaped(text)];
    readings.push(percent_decoded(&String::from_utf8_lossy(&readings[2])));
    readings.extend(base64_decoded(text));
    readings.iter().any(|reading| shares_a_part(reading, secret.as_bytes()))
}

/// Whether a run of twice [`BLOCK`] bytes or more stands in both: it then holds one whole aligned block of the secret.
fn shares_a_part(text: &[u8], secret: &[u8]) -> bool {
    if text.len() < BLOCK {
        return false;
    }
    let mut windows: Vec<&[u8]> = text.windows(BLOCK).collect();
    windows.sort_unstable();
    secret.chunks_exact(BLOCK).any(|block| windows.binary_search(&block).is_ok())
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

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    const SECRET: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJzdWIiOiJ3b3JrbG9hZCIsImV4cCI6MX0.c2lnbmF0dXJlLXNpZ25hdHVyZQ";

    /// B13: an echo is found whole, in part, and in every usual escape.
    #[test]
    fn echoes_are_withheld_in_every_form() {
        let percent: String = SECRET.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let json: String = SECRET.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
        for echo in [
            SECRET.to_owned(),
            SECRET[..30].to_owned(),
            SECRET[17..41].to_owned(),
            SECRET[SECRET.len() - 24..].to_owned(),
            percent,
            json,
            STANDARD.encode(SECRET),
            URL_SAFE_NO_PAD.encode(&SECRET[5..60]),
            STANDARD.encode(format!("ab{SECRET}")),
            SECRET.replace('.', "%2E"),
        ] {
            let shown = scrub(&format!("the assertion {echo} is bad"), SECRET);
            assert!(shown.starts_with("[withheld"), "{shown}");
        }
    }

    #[test]
    fn other_texts_are_shown_on_one_line_and_cut() {
        assert_eq!(scrub("Authentication failed", SECRET), "Authentication failed");
        assert_eq!(scrub("a\r\nb\0c", SECRET), "a  b c");
        assert_eq!(scrub(&"x".repeat(1000), SECRET).len(), 300);
    }
}
