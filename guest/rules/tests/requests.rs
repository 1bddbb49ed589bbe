//! The cases in `tests/requests`, by the rules that the proxies share: a head is read, and what they do with it is done to a list.

use wif_rules::{Head, REJECTED_GRPC_STATUS, REJECTED_STATUS, is_credential, merge};
use wif_test_cases::all_hold;
use wif_test_cases::requests::{Case, Field, Sent, bytes, that_answer, that_send, value};

/// A proxy goes by its routes, and not by the URL; its HTTP library has put a `host` field right.
const LACKS: [&str; 2] = ["url", "host"];

const AUTHORITY: &str = "api.example";

/// The fields as HTTP libraries and proxies have them.
fn on_the_wire(case: &Case) -> Vec<(Vec<u8>, Vec<u8>)> {
    let url = case.request.url(&format!("https://{AUTHORITY}"), "https://elsewhere.example");
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let pseudo = [(":method", case.request.method.as_str()), (":authority", authority)];
    let pseudo = pseudo.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    let fields = case.request.fields.iter().map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), bytes(value)));
    pseudo.chain(fields).collect()
}

/// What the dynamic module and the filter make of it.
fn proxied(case: &Case) -> Sent {
    let mut fields = on_the_wire(case);
    let head = Head::read(fields.iter().map(|(name, value)| (name.as_slice(), value.as_slice())));
    let dropped = |name: &[u8]| name == b"connection" && head.has_connection && !head.exempt;
    fields.retain(|(name, _)| !dropped(name) && !head.credentials.contains(name));
    if head.names_user {
        fields.iter_mut().filter(|(name, _)| name == b":authority").for_each(|(_, value)| *value = AUTHORITY.into());
    }
    if !head.exempt {
        let theirs = fields.iter().filter(|(name, _)| name == b"anthropic-beta").map(|(_, value)| value.as_slice());
        let merged = merge(theirs.chain([b"oauth-2025-04-20".as_slice()]));
        fields.retain(|(name, _)| name != b"anthropic-beta");
        fields.extend([(b"anthropic-beta".to_vec(), merged), (b"authorization".to_vec(), b"Bearer sk-ant-oat01-ours".to_vec())]);
    }
    let text = |(name, bytes): (Vec<u8>, Vec<u8>)| (value(&name), value(&bytes));
    let trailers = case.request.trailers.iter().filter(|(name, _)| !is_credential(name.as_bytes())).cloned().collect();
    Sent { url: String::new(), fields: fields.into_iter().map(text).collect(), trailers }
}

/// E1 (the caller's own credential), E4 (upgrades and tunnels), E5 (preflights), E10 (the caller's own betas).
#[test]
fn the_cases_of_what_leaves_hold() {
    let cases: Vec<Case> = that_send(&LACKS).into_iter().filter(|case| case.request.is_for_the_api()).collect();
    let failed: Vec<String> =
        cases.iter().filter_map(|case| case.check(&proxied(case)).err().map(|error| format!("{}: {error}", case.name))).collect();
    all_hold(cases.len(), 33, &failed);
}

/// E12: the API answers 401.
#[test]
fn the_cases_of_what_answers_mean_hold() {
    let carries = |case: &Case| case.request.is_for_the_api() && case.request.method != "OPTIONS";
    let cases: Vec<Case> = that_answer(&LACKS).into_iter().filter(carries).collect();
    let wrong = |case: &&Case| {
        let is = |(name, value): &Field| name == "grpc-status" && value == REJECTED_GRPC_STATUS;
        let rejected = case.answer.status == REJECTED_STATUS || case.answer.fields.iter().any(is);
        case.rejected != Some(rejected)
    };
    let failed: Vec<String> = cases.iter().filter(wrong).map(|case| case.name.clone()).collect();
    all_hold(cases.len(), 14, &failed);
}
