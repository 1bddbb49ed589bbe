//! Words for a POSIX shell.

/// The word that a shell reads as this text, left bare where every character of it is plain.
pub(crate) fn word(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+,".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    // Within single quotes only the quote itself ends the word.
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_every_word_back_as_the_text_it_stands_for() {
        for text in ["/tmp/token", "", ";touch X", "$(touch X)", "`touch X`", "it's", "two words", "a\nb", "~", "a\\b", "*"] {
            let script = format!("export NAME={}; printf %s \"$NAME\"", word(text));
            let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell runs");
            assert_eq!(String::from_utf8_lossy(&output.stdout), text, "{script}");
        }
    }

    #[test]
    fn a_plain_path_stays_as_it_is() {
        assert_eq!(word("/tmp/wif-emulator/token"), "/tmp/wif-emulator/token");
    }
}
