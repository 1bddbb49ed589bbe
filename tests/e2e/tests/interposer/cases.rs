//! The cases in `tests/requests`: what an application asks for, and what leaves the composed component.

use std::time::Duration;

use http::HeaderMap;
use wif_test_cases::all_hold;
use wif_test_cases::requests::{self, ApiAnswer, Case};

use crate::host::{Call, ELSEWHERE, ONE_REQUEST, SERVE, Sent, World};

/// The runtime lets no component set these fields, and the API here is an address with a port.
const LACKS: [&str; 5] = ["connection", "upgrade", "host", "proxy-authorization", "url"];

fn call(world: &World, case: &Case) -> Call {
    let request = &case.request;
    Call {
        method: request.method.clone().leak(),
        url: request.url(&world.api(""), ELSEWHERE),
        body: if request.method == "POST" { b"{}".to_vec() } else { Vec::new() },
        more: request.fields.clone(),
        more_trailers: request.trailers.clone(),
        ..Call::default()
    }
}

fn sent(sent: &Sent) -> requests::Sent {
    let pairs =
        |fields: &HeaderMap| fields.iter().map(|(name, value)| (name.to_string(), requests::value(value.as_bytes()))).collect();
    requests::Sent { url: sent.uri.to_string(), fields: pairs(&sent.fields), trailers: pairs(&sent.trailers) }
}

/// E1 (the caller's own credential), E2 (where a request goes), E4 (upgrades and tunnels), E5 (preflights), E10 (the caller's own
/// betas).
#[tokio::test]
async fn of_what_leaves() {
    let world = World::start().await;
    world.seen.answer(ApiAnswer::default());
    let application = world.serve(SERVE);
    let cases = requests::that_send(&LACKS);
    let mut failed = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let seen = application.call(call(&world, case)).await;
        let all = world.seen.all();
        let checked = match all.last() {
            Some(last) if all.len() == number + 1 => case.check(&sent(last)),
            _ => Err(format!("it was not sent once: {seen}")),
        };
        failed.extend(checked.err().map(|error| format!("{}: {error}", case.name)));
    }
    all_hold(cases.len(), 27, &failed);
}

/// E12. A rejection is known by the exchange that replaces the token.
#[tokio::test]
async fn of_what_answers_mean() {
    let cases = requests::that_answer(&LACKS);
    let mut failed = Vec::new();
    for case in &cases {
        let world = World::start().await;
        let application = world.serve(ONE_REQUEST);
        assert_eq!(application.call(Call::message(&world)).await["status"], 200);
        // Exchanges keep their distance.
        world.clock.forward(Duration::from_secs(10));
        world.file.rotate().expect("the directory is writable");
        world.seen.answer(case.answer.clone());
        application.call(call(&world, case)).await;
        let (rejected, sent) = (world.exchanges() == 2, world.seen.all().len() - 1);
        if case.rejected != Some(rejected) || sent != if rejected { 2 } else { 1 } {
            failed.push(format!("{}: {} exchanges, and sent {sent} times", case.name, world.exchanges()));
        }
    }
    all_hold(cases.len(), 16, &failed);
}
