//! A Redis server is a store that machines share: it compares, learns nothing of what it keeps, and may fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use wif::{Credential, Error, FailureCode, RedisServer, RedisStore, SealingKeys, Secret, Store, Swapped};
use wif_test_tools::{Redis, or_not_run};

use crate::support::{Endpoint, Reply, TokenFile, credential, identity_token, now_s, until};

/// Two keys: `openssl rand -base64 32` made them.
const KEYS: [&str; 2] = ["Hs9zYdYbnr3+DnfWCvJI0fhROOFKnZ4EVpPOdLS3UGg=", "0pqSsb2Dv3m0yRk0mVx0YJ4xwB9Yk3oUkRk4mCqhbtI="];

/// A Redis server with these settings; none where there is no package.
fn redis(settings: &[&str]) -> Option<Redis> {
    or_not_run(Redis::start(settings))
}

fn server(redis: &Redis) -> RedisServer {
    RedisServer::at(&format!("redis://127.0.0.1:{}", redis.port())).unwrap()
}

fn sealed_with(keys: &[&str], server: RedisServer) -> RedisStore {
    RedisStore::new(server, SealingKeys::read(&Secret::from(keys.join("\n"))).unwrap()).unwrap()
}

fn store(redis: &Redis) -> RedisStore {
    sealed_with(&KEYS[..1], server(redis))
}

/// The version of what was swapped in; none if there was another.
async fn swap(store: &RedisStore, expected: Option<&str>, value: &str) -> Option<String> {
    match store.swap("aa", expected, Secret::from(value)).await.unwrap() {
        Swapped::Done(version) => Some(version),
        Swapped::Conflict(_) => None,
    }
}

async fn value(store: &RedisStore) -> Option<String> {
    store.load("aa").await.unwrap().map(|entry| entry.value.reveal().to_owned())
}

async fn refusal(store: &RedisStore) -> String {
    store.load("aa").await.unwrap_err().to_string()
}

#[tokio::test]
async fn an_entry_is_replaced_only_by_who_has_seen_it() {
    let Some(redis) = redis(&[]) else { return };
    let (ours, theirs) = (store(&redis), store(&redis));
    assert_eq!(value(&ours).await, None);
    let first = swap(&ours, None, "one").await.unwrap();
    assert_eq!(swap(&theirs, None, "two").await, None, "there is one");
    let second = swap(&theirs, Some(&first), "two").await.unwrap();
    assert_eq!(swap(&ours, Some(&first), "three").await, None, "it is another one");
    let Swapped::Conflict(Some(entry)) = ours.swap("aa", Some(&first), Secret::from("three")).await.unwrap() else {
        panic!("it is another one");
    };
    assert_eq!((entry.version, entry.value.reveal()), (second, "two"));
    // One that was forgotten meanwhile.
    let _gone = redis.ask(["FLUSHALL"]);
    assert!(matches!(ours.swap("aa", Some(&first), Secret::from("three")).await.unwrap(), Swapped::Conflict(None)));
    assert!(ours.swap("aa", Some("no version"), Secret::from("three")).await.is_err());
}

/// Of fifty at once one is taken, each time.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_swaps_at_once_one_is_taken() {
    let Some(redis) = redis(&[]) else { return };
    let mut expected = None;
    for round in 0..20 {
        let mut swaps = JoinSet::new();
        for number in 0..50 {
            let (store, expected) = (store(&redis), expected.clone());
            swaps.spawn(async move { swap(&store, expected.as_deref(), &format!("{round} {number}")).await });
        }
        let taken: Vec<String> = swaps.join_all().await.into_iter().flatten().collect();
        assert_eq!(taken.len(), 1);
        expected = taken.into_iter().next();
    }
}

/// The server, its backups and its wire show neither a token nor what it was made from; and it forgets what is over.
#[tokio::test]
async fn what_the_server_keeps_shows_nothing() {
    let Some(redis) = redis(&[]) else { return };
    let endpoint = Endpoint::start(|_| Reply::token("sk-ant-oat01-canary", 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let open = credential(&endpoint, &file).store(store(&redis)).build().unwrap();
    open.token().await.unwrap();
    open.settle().await;
    let names = String::from_utf8(redis.ask(["--scan"])).unwrap();
    let (name, rest) = names.trim_end().split_once(':').expect("one entry, by its prefix");
    assert!(name == "wif" && rest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{names}");
    let place = names.trim_end();
    let kept = [redis.ask(["GET", place]), redis.dump()].concat();
    for shown in ["sk-ant", "canary", "oat01", "expires", "wall_ms", "issuer", KEYS[0]] {
        assert!(!kept.windows(shown.len()).any(|window| window == shown.as_bytes()), "{shown}");
    }
    let left: u64 = String::from_utf8(redis.ask(["TTL", place])).unwrap().trim().parse().unwrap();
    assert!((49 * 3600..=50 * 3600).contains(&left), "{left} s");
}

/// C16: whoever can write to the server can make nobody use a token of theirs, and can stop nobody.
#[tokio::test]
async fn an_entry_that_was_altered_or_moved_is_ignored_and_replaced() {
    let Some(redis) = redis(&[]) else { return };
    let store = store(&redis);
    let mut version = swap(&store, None, "ours").await.unwrap();
    // What is sealed is random: one time in 256 a byte is already what it should become.
    let other = |at| if redis.ask(["GETRANGE", "wif:aa", at, at]).starts_with(b"x") { "y" } else { "x" };
    for tampered in [
        vec!["SETRANGE", "wif:aa", "20"],
        vec!["SETRANGE", "wif:aa", "0"],
        vec!["SET", "wif:aa", "short"],
        vec!["SET", "wif:aa", "of another program, and longer than a head"],
        // It was sealed for another identity.
        vec!["COPY", "wif:bb", "wif:aa", "REPLACE"],
    ] {
        let _other = store.swap("bb", None, Secret::from("theirs")).await.unwrap();
        let byte = (tampered[0] == "SETRANGE").then(|| other(tampered[2]));
        let _tampered = redis.ask(tampered.iter().copied().chain(byte));
        let entry = store.load("aa").await.unwrap().expect("there is something");
        assert_eq!(entry.value.reveal(), "", "{tampered:?}");
        if tampered[0] != "SETRANGE" || tampered[2] == "0" {
            assert_eq!(swap(&store, Some(&version), "ours").await, None, "{tampered:?}");
        }
        version = swap(&store, Some(&entry.version), "ours").await.expect("it is replaced");
        assert_eq!(value(&store).await.as_deref(), Some("ours"));
    }
    let _list = [redis.ask(["DEL", "wif:aa"]), redis.ask(["LPUSH", "wif:aa", "x"])];
    assert!(refusal(&store).await.contains("something else is in the place of an entry"));
}

/// And a credential goes on: it exchanges anew, once, and its entry stands.
#[tokio::test]
async fn a_credential_goes_on_where_its_entry_was_altered() {
    let Some(redis) = redis(&[]) else { return };
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let one = async || {
        let open = credential(&endpoint, &file).store(store(&redis)).build().unwrap();
        let token = open.token_within(Duration::from_secs(20)).await.unwrap();
        open.settle().await;
        open.shutdown().await;
        token.id().to_owned()
    };
    let first = one().await;
    assert_eq!(one().await, first, "it is taken over");
    let place = String::from_utf8(redis.ask(["--scan"])).unwrap().trim_end().to_owned();
    let _altered = redis.ask(["SETRANGE", &place, "40", "xxxx"]);
    file.write(&identity_token("b", now_s(), 3600));
    let second = one().await;
    assert_ne!(second, first);
    assert_eq!(one().await, second, "it stands");
    assert_eq!(endpoint.requests(), 2);
}

/// Keys are replaced while all machines go on: add it, move it to the front, remove the old one.
#[tokio::test]
async fn keys_are_replaced_in_three_steps() {
    let Some(redis) = redis(&[]) else { return };
    let [old, new] = KEYS;
    let with = |keys: &[&str]| sealed_with(keys, server(&redis));
    let mut version = swap(&with(&[old]), None, "0").await;
    for (step, machines) in [[&[old][..], &[old, new]], [&[old, new], &[new, old]], [&[new, old], &[new]]].into_iter().enumerate()
    {
        for (number, keys) in machines.into_iter().enumerate() {
            let before = value(&with(keys)).await;
            assert!(before.is_some_and(|value| !value.is_empty()), "step {step}, {number}");
            version = swap(&with(keys), version.as_deref(), &format!("{step} {number}")).await;
            assert!(version.is_some());
            for reader in machines {
                assert_eq!(value(&with(reader)).await, Some(format!("{step} {number}")));
            }
        }
    }
    assert_eq!(value(&with(&[old])).await.as_deref(), Some(""), "the old one opens nothing any more");
}

#[tokio::test]
async fn who_may_not_is_told_so_and_shown_no_password() {
    let Some(redis) =
        redis(&["requirepass right", "user app on >secret ~wif:* +getrange +set +eval", "user reader on >secret ~wif:* +get"])
    else {
        return;
    };
    let at = |user: &str, password: Option<&str>| {
        let server = RedisServer::at(&format!("redis://{user}127.0.0.1:{}", redis.port())).unwrap();
        let server = password.into_iter().fold(server, |server, password| server.password(Secret::from(password)));
        sealed_with(&KEYS[..1], server)
    };
    assert_eq!(value(&at("", Some("right"))).await, None);
    let app = at("app@", Some("secret"));
    assert!(swap(&app, None, "it may").await.is_some(), "no more is needed");
    assert_eq!(value(&app).await.as_deref(), Some("it may"));
    for (store, why) in [
        (at("", Some("canary")), "the user or the password is wrong"),
        (at("app@", Some("canary")), "the user or the password is wrong"),
        (at("", None), "the user or the password is wrong, or is missing"),
        (at("reader@", Some("secret")), "the user may not do this"),
    ] {
        let refusal = refusal(&store).await;
        assert!(refusal.contains(why) && refusal.contains(&format!("127.0.0.1:{}", redis.port())), "{refusal}");
        assert!(!refusal.contains("canary") && !format!("{store:?}").contains("canary"), "{refusal} {store:?}");
    }
}

/// A certificate of this authority, for this address.
fn certificate(authority: &CertifiedIssuer<'static, KeyPair>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, authority).unwrap();
    (signed.pem(), key.serialize_pem())
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Only a server whose certificate is verified is told anything: neither the password nor the entry.
#[tokio::test]
async fn by_tls_only_a_verified_server_is_told_anything() {
    let (ours, directory) = (authority(), tempfile::tempdir().unwrap());
    let (certificate, key) = certificate(&ours);
    let place = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = (place("certificate", &certificate), place("key", &key));
    let settings = [
        format!("tls-cert-file {certificate}"),
        format!("tls-key-file {key}"),
        "tls-auth-clients no".into(),
        "requirepass right".into(),
    ];
    let Some(redis) = redis(&settings.each_ref().map(String::as_str)) else { return };
    let at = |scheme: &str, roots: &[String]| {
        let server = RedisServer::at(&format!("{scheme}://127.0.0.1:{}", redis.port())).unwrap().password(Secret::from("right"));
        sealed_with(&KEYS[..1], roots.iter().fold(server, |server, pem| server.extra_root_certificate(pem.as_str())))
    };
    let trusting = at("rediss", &[ours.pem()]);
    assert!(swap(&trusting, None, "by TLS").await.is_some());
    assert_eq!(value(&trusting).await.as_deref(), Some("by TLS"));
    let passwords = || {
        let told = String::from_utf8(redis.ask(["INFO", "commandstats"])).unwrap();
        told.split("cmdstat_auth:calls=").nth(1).and_then(|rest| rest.split(',').next()?.parse::<u32>().ok()).unwrap()
    };
    let before = passwords();
    for roots in [Vec::new(), vec![authority().pem()]] {
        let refusal = refusal(&at("rediss", &roots)).await;
        assert!(refusal.contains("invalid peer certificate"), "{refusal}");
    }
    assert_eq!(passwords(), before + 1, "the one with which this was asked");
    assert!(refusal(&at("redis", &[])).await.contains("cannot be reached"), "it speaks TLS alone");
    let no_certificate = RedisServer::at("rediss://127.0.0.1").unwrap().extra_root_certificate("canary");
    let refused = RedisStore::new(no_certificate, SealingKeys::read(&Secret::from(KEYS[0])).unwrap()).unwrap_err();
    assert_eq!(refused.to_string(), "there is no certificate in it");
}

/// Fifty sessions, each as in a process of its own.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_cold_credentials_make_one_exchange() {
    let Some(redis) = redis(&[]) else { return };
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let open = |seed| credential(&endpoint, &file).store(store(&redis)).seed(seed).build().unwrap();
    let all: Vec<Credential> = (0..50).map(open).collect();
    let mut callers = JoinSet::new();
    for credential in &all {
        let credential = credential.clone();
        callers.spawn(async move { credential.token_within(Duration::from_secs(60)).await.unwrap().id().to_owned() });
    }
    let mut ids = callers.join_all().await;
    ids.dedup();
    assert_eq!((ids.len(), endpoint.requests()), (1, 1));
}

/// A8: without the store nobody knows whether another machine has exchanged the identity token.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_server_is_away_nothing_is_exchanged_and_what_is_held_is_served() {
    let Some(mut redis) = redis(&[]) else { return };
    let endpoint = Endpoint::start(|count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    redis.stop();
    let open = credential(&endpoint, &file).store(store(&redis)).build().unwrap();
    let Error::Unavailable(failure) = open.token_within(Duration::from_secs(20)).await.unwrap_err() else {
        panic!("it says at once what is wrong");
    };
    assert_eq!(failure.code, FailureCode::StoreFailed);
    assert!(failure.message.contains("cannot be reached") && failure.message.contains("127.0.0.1"), "{failure}");
    assert_eq!(endpoint.requests(), 0);

    redis.start_again();
    until("it is tried again", || async { open.token_within(Duration::from_secs(10)).await.is_ok() }).await;
    let held = open.token().await.unwrap();
    redis.stop();
    assert_eq!(open.token().await.unwrap().id(), held.id());
    assert_eq!(endpoint.requests(), 1);
}

/// The server goes away between the lease and the answer: the token is served, and told when the server is back.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_exchanged_while_the_server_was_away_is_told_when_it_is_back() {
    let Some(mut redis) = redis(&[]) else { return };
    let gate = Arc::new(Notify::new());
    let at_the_gate = Arc::clone(&gate);
    let endpoint = Endpoint::start(move |count| Reply::token(&format!("sk-ant-oat01-{count}"), 3600).after(&at_the_gate)).await;
    let file = TokenFile::new(&identity_token("a", now_s(), 3600));
    let first = credential(&endpoint, &file).store(store(&redis)).seed(1).build().unwrap();
    let caller = tokio::spawn({
        let first = first.clone();
        async move { first.token().await.unwrap() }
    });
    until("the endpoint is asked", || async { endpoint.requests() == 1 }).await;
    redis.stop();
    gate.notify_one();
    let token = caller.await.unwrap();
    // It has forgotten all.
    redis.start_again();
    until("it is told", || async { !redis.ask(["--scan"]).is_empty() }).await;
    let second = credential(&endpoint, &file).store(store(&redis)).seed(2).build().unwrap();
    assert_eq!(second.token_within(Duration::from_secs(20)).await.unwrap().id(), token.id());
    assert_eq!(endpoint.requests(), 1);
}

/// A port that leads to the server. The first connection ends after a swap was sent, and its answer is for nobody.
async fn losing_an_answer(redis: &Redis) -> u16 {
    let (listener, server) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), redis.port());
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for is_first in [true, false] {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
            if is_first {
                let mut asked = Vec::new();
                // The last argument of the swap: for how long it is kept.
                while !asked.ends_with(b"180000000\r\n") {
                    assert!(client.read_buf(&mut asked).await.unwrap() > 0);
                }
                server.write_all(&asked).await.unwrap();
                assert_eq!(server.read_buf(&mut Vec::new()).await.unwrap(), b":1\r\n".len(), "it was done");
            } else {
                let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            }
        }
    });
    port
}

/// Sent again, it must not be taken for somebody else's.
#[tokio::test]
async fn a_swap_that_was_done_and_whose_answer_was_lost_is_done() {
    let Some(redis) = redis(&[]) else { return };
    let port = losing_an_answer(&redis).await;
    let by_way_of = sealed_with(&KEYS[..1], RedisServer::at(&format!("redis://127.0.0.1:{port}")).unwrap());
    let version = swap(&by_way_of, None, "one").await.expect("it is ours");
    let entry = store(&redis).load("aa").await.unwrap().expect("it is there");
    assert_eq!((entry.version, entry.value.reveal()), (version, "one"));
}

/// A server that hangs, and connections that are lost.
#[tokio::test]
async fn a_lost_connection_is_made_again_and_a_server_that_hangs_is_not_waited_for() {
    let Some(redis) = redis(&[]) else { return };
    let store = store(&redis);
    let version = swap(&store, None, "one").await.unwrap();
    let _lost = redis.ask(["CLIENT", "KILL", "TYPE", "normal"]);
    let version = swap(&store, Some(&version), "two").await.expect("by another connection");
    let clients = || {
        String::from_utf8(redis.ask(["CLIENT", "LIST"])).unwrap().lines().filter(|line| line.contains("laddr=127.0.0.1")).count()
    };
    assert_eq!((value(&store).await.as_deref(), clients()), (Some("two"), 1));

    let _hangs = redis.ask(["CLIENT", "PAUSE", "6000", "ALL"]);
    let begin = Instant::now();
    let late = refusal(&store).await;
    assert!(late.contains("no answer within 2 s") && begin.elapsed() < Duration::from_secs(4), "{late}");
    let again = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Ok(Some(entry)) = store.load("aa").await {
                return entry;
            }
        }
    });
    assert_eq!(again.await.unwrap().version, version);
}
