//! What hosts in Rust share: what is done with a request that is to carry the credential, and with one that cannot have it (the rules
//! of `wit/rules.json`, which hosts in other languages read), what a caller does by the session's last word ([`Snapshot`],
//! [`Waiter`]), what one session leaves to the next ([`Journals`]), where files of a home are ([`in_home`]), and which characters people are not shown ([`is_unshown`], which
//! the session asks, too). One crate and not two: the library `wif` stands on it and is published, and so is whatever it stands on.
//!
//! Fields are bytes, as they are on the wire, and their names are in lower case, as HTTP libraries and proxies have them.

mod fields;
mod head;
mod journals;
mod paths;
mod reply;
mod serialized;
mod snapshot;

pub use fields::{CREDENTIALS, CREDENTIALS_PREFIX, is_credential, merge};
pub use head::{AnswerHead, EXEMPT_METHODS, Head, PASSED_ON, is_exempt_method, names_upgrade};
pub use journals::{Journals, Place};
pub use paths::{PROFILE_DIRECTORIES, below, in_home, path_and_query};
pub use reply::{LATER_S, Reply, SOON_S, STATUS};
pub use serialized::Serialized;
pub use snapshot::{Access, Advice, Look, Snapshot, Token, Waiter};

/// The status by which the API rejects a token.
pub const REJECTED_STATUS: u16 = 401;

/// The same in gRPC: the value of `grpc-status` for UNAUTHENTICATED.
pub const REJECTED_GRPC_STATUS: &str = "16";

/// Whether a character of a text from elsewhere would write a line of a log, move a terminal's cursor, or turn the direction of what
/// stands beside it. A space stands for it where the text is shown.
#[must_use]
pub fn is_unshown(character: char) -> bool {
    let turns = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || turns || matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The file is for hosts in other languages. Here its rules stand as constants, which cost no reading.
    #[test]
    fn the_rules_are_those_of_the_contract() {
        let rules: Value = serde_json::from_str(include_str!("../../../wit/rules.json")).expect("JSON");
        assert_eq!(rules["credentials"]["names"], json!(CREDENTIALS));
        assert_eq!(rules["credentials"]["prefixes"], json!([CREDENTIALS_PREFIX]));
        assert_eq!(rules["exempt-methods"], json!(EXEMPT_METHODS));
        let mut rejections = rules["rejections"].clone();
        rejections.as_object_mut().expect("an object").remove("$comment");
        assert_eq!(rejections, json!({ "status": REJECTED_STATUS, "grpc-status": REJECTED_GRPC_STATUS }));
        assert_eq!(rules["replies"]["status"], STATUS);
        for (code, seconds) in rules["replies"]["retry-after-s"].as_object().expect("an object") {
            let reply = match code.as_str() {
                "timed-out" => Reply::timed_out(),
                "overloaded" => Reply::overloaded(),
                "closed" => Reply::closed(),
                "other-origin" => Reply::other_origin(),
                "otherwise" => Reply::failed("refused", None),
                other => panic!("no reply has the code {other}"),
            };
            assert_eq!(reply.retry_after_s(), seconds.as_u64().expect("seconds"), "{code}");
        }
    }
}
