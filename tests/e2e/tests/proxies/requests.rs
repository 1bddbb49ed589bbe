//! The cases in `tests/requests`, through the filter: what leaves the proxy, and what an answer means.

use wif_test_cases::all_hold;
use wif_test_cases::requests::{Case, Field, Sent, that_answer, that_send};

use crate::FIT;
use crate::proxy::{CLUSTER, ORIGIN, Proxy};

/// It goes by its routes, and not by the URL; a `host` is the authority of what reaches the filter.
const LACKS: [&str; 2] = ["url", "host"];

const ELSEWHERE: &str = "https://elsewhere.example";

/// The proxy hands names over in lower case.
fn lower(fields: &[Field]) -> Vec<Field> {
    fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}

/// A worker that has a token.
fn ready(rule: crate::Rule) -> Proxy {
    let mut proxy = Proxy::new(rule, 1);
    assert!(proxy.configure(), "{:?}", proxy.around().log);
    proxy.run(5_000);
    proxy
}

/// Sends a case; its number.
fn send(proxy: &mut Proxy, case: &Case) -> u32 {
    let url = case.request.url(ORIGIN, ELSEWHERE);
    let (_, rest) = url.split_once("://").expect("a scheme");
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let cluster = if case.request.is_for_the_api() || rest.contains('@') { "api" } else { "another" };
    let pseudo = [(":method", case.request.method.as_str()), (":path", path), (":authority", authority), (CLUSTER, cluster)];
    let mut fields: Vec<Field> = pseudo.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    fields.extend(lower(&case.request.fields));
    proxy.workers[0].send(fields, lower(&case.request.trailers))
}

/// A caller's own credentials, methods that carry none and what answers mean (E1, E2, E4, E5, E10) are the same in any proxy.
#[test]
fn of_what_leaves() {
    for rule in FIT {
        let mut proxy = ready(rule);
        let (cases, mut failed) = (that_send(&LACKS), Vec::new());
        for case in &cases {
            let id = send(&mut proxy, case);
            let request = proxy.workers[0].seen(id);
            let url = format!("https://{}{}", request.headers[":authority"], request.headers[":path"]);
            let fields = request.headers.0.into_iter().filter(|(name, _)| !name.starts_with(':') && name != CLUSTER).collect();
            let checked = match request.passed {
                true => case.check(&Sent { url, fields, trailers: request.trailers.0 }),
                false => Err("it was not sent".to_owned()),
            };
            failed.extend(checked.err().map(|error| format!("{rule:?}: {}: {error}", case.name)));
        }
        all_hold(cases.len(), 25, &failed);
    }
}

/// E12: a rejection makes another exchange.
#[test]
fn of_what_answers_mean() {
    let (cases, mut failed) = (that_answer(&LACKS), Vec::new());
    for case in &cases {
        let mut proxy = ready(FIT[1]);
        let id = send(&mut proxy, case);
        proxy.around().serial += 1;
        let mut fields = vec![(":status".to_owned(), case.answer.status.to_string())];
        fields.extend(lower(&case.answer.fields));
        proxy.workers[0].answer(id, fields);
        proxy.run(10_000);
        let rejected = proxy.counts() == (2, 0);
        if Some(rejected) != case.rejected {
            failed.push(format!("{}: {:?}", case.name, proxy.counts()));
        }
    }
    all_hold(cases.len(), 14, &failed);
}
