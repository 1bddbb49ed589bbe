use bytes::Bytes;
use http_body_util::Full;
use wif_test_cases::all_hold;
use wif_test_cases::requests::{Case, Sent, bytes, that_answer, that_send};

use crate::harness::capture::ANSWER;
use crate::harness::client::{Http2, raw};
use crate::harness::{Form, Plan, Protocol, World, in_every_form};

/// Envoy goes by its routes and puts the authority right; it refuses upgrades and tunnels, and names with passwords, by itself.
const LACKS: [&str; 4] = ["url", "host", "upgrade", "user"];

/// A field with the name of the case.
const CASE: &str = "x-case";

/// The cases that Envoy takes by HTTP/1.1, or those that it takes by HTTP/2 alone: it knows methods by their names there.
fn cases(of: fn(&[&str]) -> Vec<Case>, any_method: bool) -> Vec<Case> {
    let fits = |case: &Case| case.needs.iter().any(|need| need == "any-method") == any_method;
    let is_tunnel = |case: &Case| case.request.method.eq_ignore_ascii_case("CONNECT");
    of(&LACKS).into_iter().filter(|case| fits(case) && !is_tunnel(case)).collect()
}

fn path(case: &Case) -> String {
    case.request.url("", "/elsewhere")
}

/// Sends a case, and says what Envoy answers.
async fn send(world: &World, case: &Case) -> String {
    let request = &case.request;
    let mut text = format!("{} {} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n", request.method, path(case)).into_bytes();
    let mut line = |name: &str, value: &str| text.extend([name.as_bytes(), b": ", &bytes(value), b"\r\n"].concat());
    request.fields.iter().for_each(|(name, value)| line(name, value));
    let fields: String = case.answer.fields.iter().map(|(name, value)| format!(" {name}={}", value.replace(' ', ""))).collect();
    line(ANSWER, &format!("{}{fields}", case.answer.status));
    line(CASE, &case.name);
    if request.method == "POST" {
        line("Transfer-Encoding", "chunked");
        let trailers = request.trailers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        line("Trailer", if trailers.is_empty() { "x-none" } else { &trailers });
        text.extend(b"\r\n2\r\n{}\r\n0\r\n");
        request.trailers.iter().for_each(|(name, value)| text.extend([name.as_bytes(), b": ", &bytes(value), b"\r\n"].concat()));
    }
    text.extend(b"\r\n");
    raw(world.gateway, &text).await
}

/// What arrived of a case, where it goes. Envoy uses connections again, so requests are not written down in their order.
fn sent(world: &World, case: &Case) -> Vec<Sent> {
    let capture = if case.request.is_for_the_api() { world.api.as_ref().expect("the plan says so") } else { &world.elsewhere };
    let is = |sent: &Sent| sent.fields.iter().any(|(name, value)| name.eq_ignore_ascii_case(CASE) && *value == case.name);
    capture.sent().into_iter().filter(is).collect()
}

/// How often a token counts as rejected.
async fn rejections(world: &World) -> u64 {
    world.envoy.stat("\\.wif_token_rejected$").await
}

in_every_form! {
    /// E1, E2, E5, E10: the cases in `tests/requests`.
    async fn of_what_leaves_by_http_1(form: Form) {
        let Some(world) = Plan::new(form).capture(Protocol::Http1).start().await else { return };
        let cases = cases(that_send, false);
        let mut failed = Vec::new();
        for case in &cases {
            let answer = send(&world, case).await;
            let sent = sent(&world, case);
            let checked = match &sent[..] {
                [sent] => case.check(sent),
                _ => Err(format!("it was not sent once: {answer}")),
            };
            failed.extend(checked.err().map(|error| format!("{}: {error}", case.name)));
        }
        all_hold(cases.len(), 22, &failed);
    }
}

in_every_form! {
    /// E5: methods as nobody else writes them.
    async fn of_what_leaves_by_http_2(form: Form) {
        let Some(world) = Plan::new(form).capture(Protocol::Http2).start().await else { return };
        let connection = Http2::connect(world.gateway).await;
        let cases = cases(that_send, true);
        let mut failed = Vec::new();
        for case in &cases {
            let mut request = http::Request::builder().method(case.request.method.as_str());
            request = request.uri(format!("http://{}{}", world.gateway, path(case)));
            for (name, value) in &case.request.fields {
                request = request.header(name, bytes(value));
            }
            request = request.header(CASE, &case.name);
            let answer = connection.send(request.body(Full::new(Bytes::new())).expect("it is well-formed")).await;
            let sent = sent(&world, case);
            let checked = match &sent[..] {
                [sent] => case.check(sent),
                _ => Err(format!("it was not sent once: {answer:?}")),
            };
            failed.extend(checked.err().map(|error| format!("{}: {error}", case.name)));
        }
        all_hold(cases.len(), 5, &failed);
    }
}

in_every_form! {
    /// E12: a rejection is known by its count. A token is rejected once, so there is an Envoy for each of those.
    async fn of_what_answers_mean(form: Form) {
        let (rejecting, others): (Vec<Case>, Vec<Case>) =
            cases(that_answer, false).into_iter().partition(|case| case.rejected == Some(true));
        let Some(world) = Plan::new(form).capture(Protocol::Http1).start().await else { return };
        // The first once more: what is counted a moment later shows then.
        for case in others.iter().chain(&others[..1]) {
            send(&world, case).await;
            assert_eq!(rejections(&world).await, 0, "{}", case.name);
        }
        // The workers tell a moment later.
        send(&world, &rejecting[0]).await;
        world.until(&rejecting[0].name, async || rejections(&world).await > 0).await;
        assert_eq!(rejections(&world).await, 1);
        for case in &rejecting[1..] {
            let Some(world) = Plan::new(form).capture(Protocol::Http1).start().await else { return };
            send(&world, case).await;
            world.until(&case.name, async || rejections(&world).await == 1).await;
        }
        assert!(rejecting.len() >= 2 && others.len() >= 14);
    }
}
