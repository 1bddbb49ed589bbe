//! Whatever the token endpoint sends over the socket: a typed failure, in bounded memory and time, and the last good token is
//! served on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wif::{Credential, Failure, FailureCode, Policy};

use crate::support::{START_MS, TestClock, TokenFile, configuration, identity_token, until};

const FIRST: &str = "sk-ant-oat01-first";

/// When the act is met: a token of an hour has less than its two minutes left, and more than half a minute.
const AT_S: u64 = 3_560;

/// What a server does with a connection, after it has read the request.
#[derive(Clone)]
enum Act {
    /// Sends these bytes and closes.
    Send(Vec<u8>),
    /// Sends the first bytes once, and the second ones again and again, until the client closes or megabytes have left; no faster
    /// than it reads.
    SendForEver(Vec<u8>, Vec<u8>),
    /// Sends the first bytes at once, and of the second ones a byte every few milliseconds, again and again.
    Drip(Vec<u8>, Vec<u8>),
    /// Sends these bytes and then nothing, and leaves the connection open.
    SendAndWait(Vec<u8>),
    /// Closes without a byte, so that the client sees a reset.
    Reset,
}

/// An answer of HTTP/1.1 with this body.
fn answer(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Act {
    let body = body.as_ref();
    let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        head.push_str("content-type: application/json\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    Act::Send([head.as_bytes(), b"\r\n", body].concat())
}

fn ok(body: impl AsRef<[u8]>) -> Act {
    answer(200, &[], body)
}

/// A server on a loopback port.
struct Server {
    origin: String,
    connections: Arc<AtomicU32>,
    /// What was sent again and again, in bytes.
    sent: Arc<AtomicU64>,
}

impl Server {
    /// Deals with the first connection by what the function gives for 1, and so on.
    async fn start(act: impl Fn(u32) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (connections, sent) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU64::new(0)));
        let (counter, sum) = (Arc::clone(&connections), Arc::clone(&sent));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let act = act(counter.fetch_add(1, Ordering::SeqCst) + 1);
                let sum = Arc::clone(&sum);
                tokio::spawn(async move {
                    read_request(&mut stream).await;
                    match act {
                        Act::Send(bytes) => {
                            let _ = stream.write_all(&bytes).await;
                        }
                        Act::SendForEver(head, bytes) => {
                            let _ = stream.write_all(&head).await;
                            let block = bytes.repeat((64 << 10) / bytes.len() + 1);
                            while stream.write_all(&block).await.is_ok() {
                                sum.fetch_add(block.len() as u64, Ordering::SeqCst);
                            }
                        }
                        Act::Drip(head, bytes) => {
                            let _ = stream.write_all(&head).await;
                            for byte in bytes.iter().cycle() {
                                tokio::time::sleep(Duration::from_millis(2)).await;
                                if stream.write_all(&[*byte]).await.is_err() {
                                    break;
                                }
                            }
                        }
                        Act::SendAndWait(bytes) => {
                            let _ = stream.write_all(&bytes).await;
                            let _ = stream.read(&mut [0]).await;
                        }
                        Act::Reset => {
                            let _ = stream.set_zero_linger();
                        }
                    }
                });
            }
        });
        Self { origin, connections, sent }
    }

    fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Until the request's JSON has ended.
async fn read_request(stream: &mut TcpStream) {
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"}") {
        match stream.read(&mut buffer).await {
            Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
}

fn good(value: &str) -> Act {
    ok(format!(r#"{{"access_token":"{value}","token_type":"Bearer","expires_in":3600}}"#))
}

/// A credential that holds a token, is due for the next, and meets the act.
struct Scene {
    credential: Credential,
    server: Server,
    clock: TestClock,
    held: String,
    _file: TokenFile,
}

impl Scene {
    /// The token lives for an hour; the act is met in the advisory window.
    async fn start(act: Act) -> Self {
        let server = Server::start(move |count| if count == 1 { good(FIRST) } else { act.clone() }).await;
        let file = TokenFile::new(&identity_token("first", START_MS / 1000, 7200));
        let clock = TestClock::new();
        let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
        let credential = Credential::builder()
            .configuration(configuration(&server.origin, &source))
            .policy(Policy::default().allow_origin(&server.origin).unwrap())
            .clock(clock.clone())
            .seed(1)
            .build()
            .unwrap();
        let held = credential.token_within(Duration::from_secs(10)).await.unwrap().id().to_owned();
        file.write(&identity_token("second", START_MS / 1000, 7200));
        clock.jump(Duration::from_secs(AT_S));
        Self { credential, server, clock, held, _file: file }
    }

    /// What it failed with. Meanwhile the held token is served.
    async fn failure(&self) -> Failure {
        let failed = || async { self.credential.status().await.unwrap().failure.is_some() };
        until("the refresh has failed", failed).await;
        let served = self.credential.token_within(Duration::from_millis(10)).await.unwrap();
        assert_eq!(served.id(), self.held, "the last good token is served on");
        self.credential.status().await.unwrap().failure.unwrap()
    }

    /// Until the token is replaced.
    async fn replaced(&self) -> wif::Token {
        let replaced = || async { self.credential.try_current().is_some_and(|token| token.id() != self.held) };
        until("the token is replaced", replaced).await;
        self.credential.try_current().unwrap()
    }
}

async fn fails(what: &str, act: Act, code: FailureCode) -> Failure {
    let scene = Scene::start(act).await;
    let failure = scene.failure().await;
    assert_eq!(failure.code, code, "{what}: {failure}");
    assert!(failure.retry_in.is_some_and(|wait| wait >= Duration::from_secs(1)), "{what}: {failure:?}");
    failure
}

/// B2: not one of them is followed, for 307 and 308 would send the identity token elsewhere.
#[tokio::test]
async fn a_redirect_is_an_answer_without_a_token() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Server::start(|_| good("sk-ant-oat01-elsewhere")).await;
        let to = format!("{}/v1/oauth/token", elsewhere.origin);
        fails(&status.to_string(), answer(status, &[("location", &to)], ""), FailureCode::AnswerUnusable).await;
        assert_eq!(elsewhere.connections(), 0);
    }
}

/// B6: what is no JSON object with a token is no answer.
#[tokio::test]
async fn an_answer_of_another_kind_is_unusable() {
    let good = r#"{"access_token":"sk-ant-oat01-second","expires_in":3600}"#;
    let nested = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for (what, body) in [
        ("nothing", String::new()),
        ("HTML", "<html>Please log in</html>".to_owned()),
        ("an array", format!("[{good}]")),
        ("a string", "\"sk-ant-oat01-second\"".to_owned()),
        ("null", "null".to_owned()),
        ("half an object", good[..30].to_owned()),
        ("a key twice", good.replace('}', r#","access_token":"sk-ant-oat01-third"}"#)),
        ("something behind it", format!("{good} {good}")),
        ("deep nesting", nested),
        ("a byte order mark", format!("\u{feff}{good}")),
    ] {
        let failure = fails(what, ok(&body), FailureCode::AnswerUnusable).await;
        assert!(body.is_empty() || !failure.message.contains(&body), "{what}: nothing of the body is repeated: {failure}");
    }
    let no_text = [b"{\"access_token\":\"sk-ant-oat01-".as_slice(), &[0xff, 0xfe, 0xc0], b"\",\"expires_in\":3600}"].concat();
    fails("bytes that are no text", ok(no_text), FailureCode::AnswerUnusable).await;
}

/// B6: the wrong content type, white space, and unknown members are no reason to do without a token.
#[tokio::test]
async fn an_answer_that_is_only_untidy_is_taken() {
    let body = r#"{"access_token":"sk-ant-oat01-second","expires_in":3600,"next_challenge":"","more":{"deep":[1]}}"#;
    for act in [answer(200, &[("content-type", "text/plain")], body), ok(format!("  {body}\r\n"))] {
        let scene = Scene::start(act).await;
        assert_eq!(scene.replaced().await.reveal_authorization(), Some("Bearer sk-ant-oat01-second"));
    }
}

/// B6: a body without an end, and one that would be large once it is unpacked.
#[tokio::test]
async fn an_answer_without_an_end_is_cut_off() {
    let chunk = [b"4000\r\n".as_slice(), &[b' '; 0x4000], b"\r\n"].concat();
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let failure = fails("chunks", Act::SendForEver(head.to_vec(), chunk), FailureCode::EndpointUnreachable).await;
    assert!(failure.message.contains("the answer is longer than 65536 bytes"), "{failure}");
    let header = Act::SendForEver(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".to_vec());
    let failure = fails("a header", header, FailureCode::EndpointUnreachable).await;
    assert!(!failure.message.contains("within"), "it is its length that ends it, and not its time: {failure}");
    // Nothing is unpacked: what comes is no JSON.
    let packed = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    fails("gzip", answer(200, &[("content-encoding", "gzip")], packed), FailureCode::AnswerUnusable).await;
}

/// B6: interim answers without end count as one answer does, in bytes and in time.
#[tokio::test]
async fn a_storm_of_interim_answers_is_cut_off() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n".repeat(100);
    for interim in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 102 Processing\r\n\r\n", &early] {
        let scene = Scene::start(Act::SendForEver(Vec::new(), interim.as_bytes().to_vec())).await;
        assert_eq!(scene.failure().await.code, FailureCode::EndpointUnreachable);
        // What the two ends of the connection buffer is among it.
        let sent = scene.server.sent.load(Ordering::SeqCst);
        assert!(sent < 16 << 20, "{sent} bytes of {}", &interim[..20]);
    }
    let scene = Scene::start(Act::SendAndWait(b"HTTP/1.1 100 Continue\r\n\r\n".repeat(10))).await;
    until("it is asked", || async { scene.server.connections() == 2 }).await;
    scene.clock.advance(Duration::from_secs(31)).await;
    assert_eq!(scene.failure().await.code, FailureCode::EndpointUnreachable);
}

/// A few of them are as they should be.
#[tokio::test]
async fn an_answer_after_interim_answers_is_taken() {
    let Act::Send(answer) = good("sk-ant-oat01-second") else { unreachable!("it is sent") };
    let interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let scene = Scene::start(Act::Send([interim.as_slice(), &answer].concat())).await;
    assert_eq!(scene.replaced().await.reveal_authorization(), Some("Bearer sk-ant-oat01-second"));
}

/// B6: a body that stops, and one that drips on, are given up after the time for the whole request, by the credential's clock.
#[tokio::test]
async fn an_answer_that_drips_is_given_up() {
    let head = |length: u32| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{{\"acc").into_bytes()
    };
    for act in [Act::SendAndWait(head(100)), Act::Drip(head(60_000), b" ".to_vec())] {
        let scene = Scene::start(act).await;
        until("it is asked", || async { scene.server.connections() == 2 }).await;
        assert_eq!(scene.credential.try_current().unwrap().id(), scene.held);
        scene.clock.advance(Duration::from_secs(31)).await;
        let failure = scene.failure().await;
        assert_eq!(failure.code, FailureCode::EndpointUnreachable);
        assert!(failure.message.contains("no complete answer within 30000 ms"), "{failure}");
    }
}

/// B7: a token that cannot be a header's value is none.
#[tokio::test]
async fn a_token_that_is_none_is_refused() {
    for token in ["", "   ", r"a\r\nx-injected: 1", r"a\u0000b", "sk-ant-ö", r"a\nb"] {
        let body = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":3600}}"#);
        fails(token, ok(body), FailureCode::AnswerUnusable).await;
    }
    for member in ["17", "null", "[]", "{}", "true"] {
        let body = format!(r#"{{"access_token":{member},"token_type":"Bearer","expires_in":3600}}"#);
        fails(member, ok(body), FailureCode::AnswerUnusable).await;
    }
    let long = format!(r#"{{"access_token":"{}","expires_in":3600}}"#, "a".repeat(60 << 10));
    fails("60 KiB", ok(long), FailureCode::AnswerUnusable).await;
}

/// B7: another prefix than today's is taken.
#[tokio::test]
async fn a_token_with_another_prefix_is_taken() {
    let scene = Scene::start(good("sk-ant-another")).await;
    assert_eq!(scene.replaced().await.reveal_authorization(), Some("Bearer sk-ant-another"));
}

/// B8: `token_type` as it comes.
#[tokio::test]
async fn only_a_bearer_token_is_taken() {
    for taken in [r#""token_type":"bearer","#, r#""token_type":"BEARER","#, ""] {
        let scene = Scene::start(ok(format!(r#"{{{taken}"access_token":"sk-ant-oat01-second","expires_in":3600}}"#))).await;
        scene.replaced().await;
    }
    for refused in [r#""MAC""#, r#""""#, "1", r#""Bearer ""#] {
        let body = format!(r#"{{"token_type":{refused},"access_token":"sk-ant-oat01-second","expires_in":3600}}"#);
        fails(refused, ok(body), FailureCode::AnswerUnusable).await;
    }
}

/// B9: what is no lifetime is none; a lifetime beyond a day is a day; without one it is short.
#[tokio::test]
async fn every_lifetime_has_its_end() {
    let body = |lifetime: &str| ok(format!(r#"{{"access_token":"sk-ant-oat01-second"{lifetime}}}"#));
    for refused in ["0", "-1", "\"soon\"", "[]", "true"] {
        fails(refused, body(&format!(r#","expires_in":{refused}"#)), FailureCode::AnswerUnusable).await;
    }
    let day = 86_400;
    for (member, lifetime_s) in [
        (r#","expires_in":7200"#, 7_200),
        (r#","expires_in":7200.9"#, 7_200),
        (r#","expires_in":"7200""#, 7_200),
        (r#","expires_in":1e308"#, day),
        (r#","expires_in":18446744073709551616"#, day),
        (r#","expires_in":172800"#, day),
    ] {
        let scene = Scene::start(body(member)).await;
        let token = scene.replaced().await;
        scene.clock.jump(Duration::from_secs(lifetime_s - 300));
        assert_eq!(scene.credential.try_current().map(|token| token.id().to_owned()), Some(token.id().to_owned()), "{member}");
        scene.clock.jump(Duration::from_secs(300));
        assert!(scene.credential.try_current().is_none(), "{member}");
    }
}

/// B9: a lifetime that is missing counts as a minute.
#[tokio::test]
async fn without_a_lifetime_a_token_is_used_for_a_minute() {
    for body in [r#"{"access_token":"sk-ant-oat01-second"}"#, r#"{"access_token":"sk-ant-oat01-second","expires_in":null}"#] {
        let scene = Scene::start(ok(body)).await;
        scene.replaced().await;
        scene.clock.jump(Duration::from_secs(50));
        assert!(scene.credential.try_current().is_some());
        scene.clock.jump(Duration::from_secs(10));
        assert!(scene.credential.try_current().is_none());
    }
}

/// B10: the rejected token comes back from the endpoint, and is not published as a good one.
#[tokio::test]
async fn a_rejected_token_does_not_come_back() {
    let server = Server::start(|_| good(FIRST)).await;
    let file = TokenFile::new(&identity_token("first", START_MS / 1000, 7200));
    let clock = TestClock::new();
    let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
    let credential = Credential::builder()
        .configuration(configuration(&server.origin, &source))
        .policy(Policy::default().allow_origin(&server.origin).unwrap())
        .clock(clock.clone())
        .build()
        .unwrap();
    let token = credential.token_within(Duration::from_secs(10)).await.unwrap();
    file.write(&identity_token("second", START_MS / 1000, 7200));
    clock.advance(Duration::from_secs(10)).await;
    credential.rejected(token.id());
    until("it is asked again", || async { server.connections() >= 2 }).await;
    clock.advance(Duration::from_secs(3)).await;
    let failure = || async { credential.status().await.unwrap().failure.map(|failure| failure.code) };
    until("the answer is refused", || async { failure().await == Some(FailureCode::AnswerUnusable) }).await;
    assert!(server.connections() < 5);
}

/// B11, B12: each status has its meaning, and its request id is told.
#[tokio::test]
async fn every_status_has_its_meaning() {
    let body = r#"{"type":"error","error":{"type":"some_error","message":"said for people"},"request_id":"req_body"}"#;
    for (status, code) in [
        (400, FailureCode::RequestInvalid),
        (401, FailureCode::Refused),
        (403, FailureCode::Forbidden),
        (404, FailureCode::RequestInvalid),
        (408, FailureCode::EndpointFailed),
        (425, FailureCode::EndpointFailed),
        (429, FailureCode::RateLimited),
        (500, FailureCode::EndpointFailed),
        (502, FailureCode::EndpointFailed),
        (503, FailureCode::EndpointFailed),
        (529, FailureCode::EndpointFailed),
    ] {
        let failure = fails(&status.to_string(), answer(status, &[("request-id", "req_header")], body), code).await;
        assert_eq!((failure.status, failure.request_id.as_deref()), (Some(status), Some("req_header")), "{failure:?}");
    }
}

/// B11: `Retry-After` in seconds and as a date, from a second to ten minutes.
#[tokio::test]
async fn retry_after_is_obeyed_within_bounds() {
    let date = |seconds: u64| {
        let time = std::time::UNIX_EPOCH + Duration::from_millis(START_MS) + Duration::from_secs(seconds);
        httpdate::fmt_http_date(time)
    };
    for (value, least, most) in [
        ("40".to_owned(), 40, 45),
        ("0".to_owned(), 1, 10),
        ("86400".to_owned(), 600, 600),
        ("99999999999999999999".to_owned(), 600, 600),
        (date(AT_S + 40), 30, 50),
        (date(100_000), 600, 600),
    ] {
        let failure = fails(&value, answer(429, &[("retry-after", &value)], ""), FailureCode::RateLimited).await;
        let wait = failure.retry_in.unwrap().as_secs();
        assert!((least..=most).contains(&wait), "{value}: {wait} s");
    }
}

/// B12: how far the endpoint's clock is away is measured, and changes nothing.
#[tokio::test]
async fn the_skew_of_the_clocks_is_told() {
    let time = std::time::UNIX_EPOCH + Duration::from_millis(START_MS) + Duration::from_secs(AT_S + 90);
    let date = httpdate::fmt_http_date(time);
    let scene = Scene::start(answer(503, &[("date", &date)], "")).await;
    scene.failure().await;
    let skew = scene.credential.status().await.unwrap().clock_skew_ms.unwrap();
    assert!((80_000..=91_000).contains(&skew), "{skew} ms");
}

/// B13: the identity token in the endpoint's answer, whole and in part, goes no further.
#[tokio::test]
async fn an_echo_of_the_identity_token_goes_no_further() {
    let token = identity_token("second", START_MS / 1000, 7200);
    let (_, payload) = token.split_once('.').unwrap();
    let escaped: String = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for echo in [token.as_str(), &token[..40], &payload[5..60], &escaped] {
        let body = format!(r#"{{"error":{{"type":"invalid_request_error","message":"bad assertion: {echo}"}}}}"#);
        let failure = fails(echo, answer(400, &[], body), FailureCode::RequestInvalid).await;
        assert!(!format!("{failure} {failure:?}").contains(&echo[5..20]), "{failure:?}");
    }
}

/// B14: a connection that ends after the request may have carried it: nothing is repeated at once. Connections are not kept,
/// so none is stale.
#[tokio::test]
async fn a_connection_that_ends_is_not_repeated_at_once() {
    for act in [Act::Reset, Act::Send(Vec::new()), Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n{".to_vec())] {
        let scene = Scene::start(act).await;
        assert_eq!(scene.failure().await.code, FailureCode::EndpointUnreachable);
        assert_eq!(scene.server.connections(), 2);
    }
}

/// B14: where nothing listens, nothing was sent: the identity token is good for the time when something does.
#[tokio::test]
async fn what_was_never_sent_is_sent_when_the_endpoint_is_back() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let origin = format!("http://{address}");
    let file = TokenFile::new(&identity_token("first", START_MS / 1000, 7200));
    let clock = TestClock::new();
    let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
    let credential = Credential::builder()
        .configuration(configuration(&origin, &source))
        .policy(Policy::default().allow_origin(&origin).unwrap())
        .clock(clock.clone())
        .build()
        .unwrap();
    let failed = || async { credential.status().await.unwrap().failure };
    until("it has failed", || async { failed().await.is_some() }).await;
    let failure = failed().await.unwrap();
    assert_eq!(failure.code, FailureCode::EndpointUnreachable, "{failure}");

    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        if let Act::Send(bytes) = good("sk-ant-oat01-back") {
            let _ = stream.write_all(&bytes).await;
        }
    });
    clock.advance(Duration::from_secs(150)).await;
    let token = credential.token_within(Duration::from_secs(10)).await.unwrap();
    assert_eq!(token.reveal_authorization(), Some("Bearer sk-ant-oat01-back"));
}

/// B15: hours of failures: the calls to the endpoint are bounded by the backoff, whatever the callers do; once the token has
/// ended they are told at once, and when; and the first answer ends it.
#[tokio::test]
async fn an_outage_of_hours_is_survived_without_a_storm() {
    let up = Arc::new(AtomicU32::new(0));
    let is_up = Arc::clone(&up);
    let server = Server::start(move |count| match count {
        1 => good(FIRST),
        _ if is_up.load(Ordering::SeqCst) == 1 => good("sk-ant-oat01-after"),
        _ => answer(500, &[], ""),
    })
    .await;
    let file = TokenFile::new(&identity_token("first", START_MS / 1000, 86_400));
    let clock = TestClock::new();
    let source = format!(r#"{{"source":"file","path":"{}"}}"#, file.path().display());
    let credential = Credential::builder()
        .configuration(configuration(&server.origin, &source))
        .policy(Policy::default().allow_origin(&server.origin).unwrap())
        .clock(clock.clone())
        .build()
        .unwrap();
    credential.token_within(Duration::from_secs(10)).await.unwrap();
    file.write(&identity_token("second", START_MS / 1000, 86_400));
    clock.advance(Duration::from_secs(3_590)).await;
    assert!(credential.try_current().is_some(), "served to the last seconds");
    for _ in 0..6 * 60 {
        clock.advance(Duration::from_secs(60)).await;
        for _ in 0..10 {
            let error = credential.token_within(Duration::from_millis(50)).await.unwrap_err();
            assert!(matches!(error, wif::Error::Unavailable(_) | wif::Error::TimedOut { .. }), "{error:?}");
        }
    }
    let calls = server.connections();
    assert!((100..=800).contains(&calls), "{calls} calls in six hours");
    up.store(1, Ordering::SeqCst);
    clock.advance(Duration::from_secs(130)).await;
    credential.token_within(Duration::from_secs(10)).await.unwrap();
}
