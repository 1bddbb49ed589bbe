//! The cases are in the format, say what they should, and can fail.

use std::collections::BTreeSet;

use wif_test_cases::callers::{self, STEP_MS, Told};
use wif_test_cases::requests::{self, Case, Credential, NEEDS, Sent};

fn find<'a>(cases: &'a [Case], name: &str) -> &'a Case {
    cases.iter().find(|case| case.name == name).unwrap_or_else(|| panic!("there is a case {name:?}"))
}

#[test]
fn every_case_of_requests_has_a_name_of_its_own_and_asks_for_something() {
    let mut names = BTreeSet::new();
    for case in requests::all() {
        assert!(names.insert(case.name.clone()), "two cases have this name: {}", case.name);
        assert!(case.sent.is_some() || case.rejected.is_some(), "{}: it expects nothing", case.name);
        for need in &case.needs {
            assert!(NEEDS.contains(&need.as_str()), "{}: no host knows the need {need}", case.name);
        }
        let fields = case.request.fields.iter().chain(&case.request.trailers).chain(&case.answer.fields);
        fields.for_each(|(_, value)| drop(requests::bytes(value)));
    }
}

/// A host whose tests run the cases has met every rule of the file.
#[test]
fn every_credential_and_every_exempt_method_of_the_rules_is_in_a_case() {
    let rules: serde_json::Value = serde_json::from_str(include_str!("../../../wit/rules.json")).unwrap();
    let texts = |list: &serde_json::Value| {
        list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let cases = requests::all();
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let ours = cases.iter().filter(|case| case.sent.as_ref().is_some_and(|sent| sent.credential == Credential::Ours));
    let sent: Vec<String> = ours.flat_map(|case| &case.request.fields).map(|(name, _)| plain(name)).collect();
    for name in texts(&rules["credentials"]["names"]) {
        assert!(sent.contains(&name), "no case has the field {name}");
    }
    for prefix in texts(&rules["credentials"]["prefixes"]) {
        assert!(sent.iter().any(|name| name.starts_with(&prefix)), "no case has a field {prefix}…");
    }
    for method in texts(&rules["exempt-methods"]) {
        assert!(cases.iter().any(|case| case.request.method == method), "no case has the method {method}");
        let otherwise = |case: &&Case| case.request.method != method && case.request.method.eq_ignore_ascii_case(&method);
        assert!(cases.iter().any(|case| otherwise(&case)), "no case writes {method} otherwise");
    }
    for status in [&rules["rejections"]["status"], &rules["rejections"]["grpc-status"]] {
        let text = status.to_string();
        let text = text.trim_matches('"');
        let has =
            |case: &&Case| case.answer.status.to_string() == text || case.answer.fields.iter().any(|(_, value)| value == text);
        assert!(cases.iter().filter(|case| case.rejected == Some(true)).any(|case| has(&case)), "no case rejects with {text}");
    }
}

#[test]
fn what_leaves_otherwise_is_noticed() {
    let cases = requests::all();
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let ours = || vec![field("Authorization", "Bearer sk-ant-oat01-1"), field("anthropic-beta", "oauth-2025-04-20")];
    let sent = |fields: Vec<requests::Field>| Sent { url: "https://api.example/".to_owned(), fields, trailers: Vec::new() };
    let with = |more: &[requests::Field]| sent(ours().into_iter().chain(more.iter().cloned()).collect());

    let plain = find(&cases, "without a list of the caller's ours stands alone");
    assert_eq!(plain.check(&with(&[])), Ok(()));
    for (what, sent) in [
        ("none of ours", sent(Vec::new())),
        ("another of ours", sent(vec![field("authorization", "Bearer x"), ours().remove(1)])),
        ("ours twice", with(&ours()[..1])),
        ("a caller's value", with(&[field("x-any", "caller-secret")])),
        ("a caller's name", with(&[field("X_API_KEY", "")])),
        ("a connection that drops ours", with(&[field("connection", "close, AUTHORIZATION")])),
        ("a user in the URL", Sent { url: "https://caller-secret@api.example/".to_owned(), ..with(&[]) }),
        ("a trailer", Sent { trailers: vec![field("cookie", "x")], ..with(&[]) }),
        ("another list", sent(vec![ours().remove(0), field("anthropic-beta", "x")])),
        ("no list", sent(vec![ours().remove(0)])),
    ] {
        assert!(plain.check(&sent).is_err(), "{what}");
    }

    let exempt = find(&cases, "OPTIONS carries no credential");
    assert_eq!(exempt.check(&sent(vec![field("x", "y")])), Ok(()));
    assert!(exempt.check(&with(&[])).is_err());

    let elsewhere = find(&cases, "another host gets the request as it came");
    assert_eq!(elsewhere.check(&sent(elsewhere.request.fields.clone())), Ok(()));
    assert!(elsewhere.check(&sent(elsewhere.request.fields[1..].to_vec())).is_err());
    assert!(
        elsewhere.check(&sent([elsewhere.request.fields.clone(), vec![field("x", "Bearer sk-ant-oat01-1")]].concat())).is_err()
    );

    let trailers = find(&cases, "credentials in trailers are taken off, and other trailers stay");
    assert!(trailers.check(&with(&[])).is_err(), "the other trailer is gone");
}

#[test]
fn every_case_of_callers_has_a_name_of_its_own_and_keeps_the_step_of_time() {
    let mut names = BTreeSet::new();
    for case in callers::all() {
        assert!(names.insert(case.name.clone()), "two cases have this name: {}", case.name);
        assert!(!case.callers.is_empty(), "{}: nobody asks", case.name);
        assert!(case.times().iter().all(|time| time % STEP_MS == 0), "{}: {:?}", case.name, case.times());
        for caller in &case.callers {
            let nothing = matches!(caller.told, Told::Nothing { nothing: true, .. });
            assert!(caller.replaces.is_some() || !matches!(caller.told, Told::Nothing { .. }), "{}", case.name);
            assert!(caller.replaces.is_none() || nothing || matches!(caller.told, Told::Token { .. }), "{}", case.name);
        }
        for happening in &case.happens {
            assert!(happening.closes != happening.rejects.is_some(), "{}: one thing at a time", case.name);
        }
    }
}

#[test]
fn every_reply_of_the_rules_that_a_caller_can_be_told_is_in_a_case() {
    let rules: serde_json::Value = serde_json::from_str(include_str!("../../../wit/rules.json")).unwrap();
    let cases = callers::all();
    let told: Vec<(&str, u64)> = cases
        .iter()
        .flat_map(|case| &case.callers)
        .filter_map(|caller| match &caller.told {
            Told::Refusal { code, retry_after_s, .. } => Some((code.as_str(), *retry_after_s)),
            _ => None,
        })
        .collect();
    for (code, seconds) in rules["replies"]["retry-after-s"].as_object().unwrap() {
        match code.as_str() {
            // It is about requests, not about callers.
            "other-origin" => {}
            "otherwise" => assert!(told.iter().all(|(_, told)| *told <= seconds.as_u64().unwrap())),
            code => assert!(told.contains(&(code, seconds.as_u64().unwrap())), "no caller is told {code}"),
        }
    }
}
