use std::time::Duration;

use serde_json::{Value, json};
use wif_emulator::{Algorithm, Emulator, Options, Outcome, Reason, Switches};

use crate::registry::{self, document, with};
use crate::world::{Received, World};

const JWKS: &str = "/organizations/0/federation_issuers/0/jwks";

/// An emulator that judges tokens which another one's identity provider signed, and that other one.
struct Pair {
    judge: World,
    provider: World,
}

impl Pair {
    async fn with(jwks: impl FnOnce(&Emulator) -> Value) -> Self {
        let provider = World::start().await;
        let document = with(JWKS, jwks(&provider.emulator));
        let issuer = provider.provider().issuer();
        let document = registry::changed(document, "/organizations/0/federation_issuers/0/issuer_url", json!(issuer));
        Self { judge: World::of(document).await, provider }
    }

    async fn exchange(&self) -> Received {
        let token = self.provider.token().subject("team:a").sign();
        self.judge.exchange(&token).await
    }

    async fn reason(&self) -> Option<Reason> {
        self.exchange().await;
        self.judge.last().reason
    }
}

#[tokio::test]
async fn keys_are_found_by_discovery() {
    let pair = Pair::with(|_| json!({ "type": "discovery" })).await;
    assert_eq!(pair.reason().await, None);
}

#[tokio::test]
async fn keys_are_found_by_discovery_elsewhere_whatever_issuer_is_named_there() {
    let provider = World::start().await;
    let base = provider.emulator.base_url();
    let document = with(JWKS, json!({ "type": "discovery", "discovery_base": format!("{base}/") }));
    let judge = World::of(document).await;
    let token = provider.token().issuer("https://issuer.example").subject("team:a").sign();
    assert_eq!(judge.exchange(&token).await.status, 200);
}

#[tokio::test]
async fn keys_are_found_at_an_explicit_url() {
    let pair =
        Pair::with(|emulator| json!({ "type": "explicit_url", "url": format!("{}/.well-known/jwks.json", emulator.base_url()) }))
            .await;
    assert_eq!(pair.reason().await, None);
}

#[tokio::test]
async fn keys_can_be_pasted_in() {
    let pair = Pair::with(|emulator| json!({ "type": "inline", "keys": emulator.identity_provider().jwks()["keys"] })).await;
    assert_eq!(pair.reason().await, None);
    // They stay as they were pasted.
    pair.provider.provider().rotate_key(Algorithm::Es256).unwrap();
    pair.judge.clock.forward(3600);
    pair.provider.clock.forward(3600);
    assert_eq!(pair.reason().await, Some(Reason::KeyUnknown));
}

#[tokio::test]
async fn a_discovery_document_that_names_another_issuer_is_not_believed() {
    let provider = World::with(Options { issuer: Some("https://another.example".to_owned()), ..Options::default() }).await;
    let document = with(JWKS, json!({ "type": "discovery" }));
    let url = provider.emulator.base_url();
    let judge = World::of(registry::changed(document, "/organizations/0/federation_issuers/0/issuer_url", json!(url))).await;
    let token = provider.token().issuer(url).subject("team:a").sign();
    assert_eq!(judge.denied(token.expose()).await, Reason::JwksUnavailable);
    assert!(judge.last().detail.unwrap().contains("another issuer"));
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_are_a_reason_of_their_own_and_are_tried_again_after_a_minute() {
    let pair = Pair::with(|_| json!({ "type": "discovery" })).await;
    pair.provider.emulator.set_switches(Switches { jwks_down: true, ..Switches::default() }).unwrap();
    assert_eq!(pair.reason().await, Some(Reason::JwksUnavailable));
    assert!(pair.judge.last().detail.unwrap().contains("status 503"));
    pair.provider.emulator.set_switches(Switches::default()).unwrap();
    assert_eq!(pair.reason().await, Some(Reason::JwksUnavailable), "the failure is remembered");
    pair.judge.clock.forward(60);
    assert_eq!(pair.reason().await, None);
    // Keys that are known stay known while they cannot be fetched.
    pair.provider.emulator.set_switches(Switches { jwks_down: true, ..Switches::default() }).unwrap();
    pair.judge.clock.forward(20 * 60);
    pair.provider.clock.forward(21 * 60);
    assert_eq!(pair.reason().await, None);
}

/// Serves one document over TLS, to whoever trusts the returned root certificate.
async fn served_over_tls(document: Value) -> (String, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let body = document.to_string();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        while let Ok((socket, _)) = listener.accept().await {
            // Who does not trust the certificate goes away.
            let Ok(mut stream) = acceptor.accept(socket).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (format!("https://localhost:{port}/jwks"), certified.cert.pem())
}

/// B4 of the emulator's side: keys come from whom the certificate names, and from nobody else.
#[tokio::test]
async fn keys_behind_a_private_certificate_want_its_root() {
    let provider = World::start().await;
    let (url, root) = served_over_tls(provider.provider().jwks()).await;
    let token = || provider.token().issuer("https://issuer.example").subject("team:a").sign();
    let trusting = json!({ "type": "explicit_url", "url": url, "ca_cert_pem": root });
    assert_eq!(World::of(with(JWKS, trusting)).await.exchange(&token()).await.status, 200);
    let distrusting = World::of(with(JWKS, json!({ "type": "explicit_url", "url": url }))).await;
    assert_eq!(distrusting.denied(token().expose()).await, Reason::JwksUnavailable);
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let mistaken = World::of(with(JWKS, json!({ "type": "explicit_url", "url": url, "ca_cert_pem": other }))).await;
    assert_eq!(mistaken.denied(token().expose()).await, Reason::JwksUnavailable);
}

/// A document that answers with something else than keys is none.
#[tokio::test]
async fn what_is_no_key_set_is_not_taken_for_one() {
    let provider = World::start().await;
    for path in ["/api/hello", "/.well-known/openid-configuration", "/nothing"] {
        let url = provider.url(path);
        let world = World::of(with(JWKS, json!({ "type": "explicit_url", "url": url }))).await;
        assert_eq!(world.denied(world.provider().mint().expose()).await, Reason::JwksUnavailable, "{path}");
    }
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_is_a_reason_of_its_own() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let world = World::of(with(JWKS, json!({ "type": "explicit_url", "url": format!("http://{closed}/jwks") }))).await;
    assert_eq!(world.denied(world.provider().mint().expose()).await, Reason::JwksUnavailable);
}

/// Nobody locks the others out by going away while the keys are fetched.
#[tokio::test]
async fn a_sender_that_goes_away_during_the_first_fetch_does_not_count_as_a_try() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let provider = World::start().await;
    let keys = provider.provider().jwks().to_string();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks", listener.local_addr().unwrap());
    let world = World::of(with(JWKS, json!({ "type": "explicit_url", "url": url }))).await;
    let token = provider.token().issuer("https://issuer.example").subject("team:a").sign();
    // The first fetch gets no answer, and its sender does not wait for one.
    let unanswered = tokio::select! {
        accepted = listener.accept() => accepted.unwrap().0,
        answer = world.try_exchange(&token) => panic!("no answer before the keys, not {}", answer.unwrap().status),
    };
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let _ = socket.read(&mut [0; 4096]).await;
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{keys}", keys.len());
        socket.write_all(answer.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = serve => {}
        answer = world.exchange(&token) => assert_eq!(answer.status, 200, "{:?}", world.last().detail),
    }
    drop(unanswered);
}

/// B11: after a rotation a 401 is transient, for about a minute.
#[tokio::test]
async fn a_rotated_key_is_unknown_for_up_to_a_minute() {
    for pair in [
        Pair::with(|_| json!({ "type": "discovery" })).await,
        Pair::with(|emulator| json!({ "type": "explicit_url", "url": format!("{}/.well-known/jwks.json", emulator.base_url()) }))
            .await,
    ] {
        assert_eq!(pair.reason().await, None);
        let before = pair.provider.provider().key_id();
        pair.provider.provider().rotate_key(Algorithm::Es256).unwrap();
        assert_ne!(pair.provider.provider().key_id(), before);
        for _ in 0..3 {
            assert_eq!(pair.reason().await, Some(Reason::KeyUnknown));
        }
        pair.judge.clock.forward(59);
        assert_eq!(pair.reason().await, Some(Reason::KeyUnknown));
        pair.judge.clock.forward(1);
        assert_eq!(pair.reason().await, None);
    }
}

#[tokio::test]
async fn the_emulators_own_keys_are_cached_like_others() {
    let world = World::start().await;
    world.access_token().await;
    world.provider().rotate_key(Algorithm::Es256).unwrap();
    let token = world.provider().mint();
    assert_eq!(world.denied(token.expose()).await, Reason::KeyUnknown);
    world.clock.forward(60);
    // The refusal has not spent it.
    assert_eq!(world.exchange(&token).await.status, 200);
}

#[tokio::test]
async fn a_key_that_was_published_ahead_is_known_at_once() {
    let world = World::start().await;
    world.access_token().await;
    let before = world.provider().key_id();
    let next = world.provider().publish_next_key(Algorithm::Es256).unwrap();
    assert_eq!(world.provider().key_id(), before, "it does not sign yet");
    world.clock.forward(15 * 60);
    world.access_token().await;
    assert_eq!(world.provider().rotate_key(Algorithm::Es256).unwrap(), next);
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 200);
}

#[tokio::test]
async fn tokens_of_an_old_key_are_good_until_the_key_is_withdrawn() {
    let world = World::start().await;
    let (first, second) = (world.provider().mint(), world.provider().mint());
    world.provider().rotate_key(Algorithm::Es256).unwrap();
    assert_eq!(world.exchange(&first).await.status, 200);
    assert_eq!(world.provider().withdraw_old_keys(), 1);
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 200);
    world.clock.forward(15 * 60);
    assert_eq!(world.denied(second.expose()).await, Reason::KeyUnknown);
}

#[tokio::test]
async fn the_cache_can_be_emptied() {
    let world = World::start().await;
    world.access_token().await;
    world.provider().rotate_key(Algorithm::Es256).unwrap();
    world.emulator.forget_keys().await;
    assert_eq!(world.exchange(&world.provider().mint()).await.status, 200);
}

#[tokio::test]
async fn the_documents_of_the_identity_provider_lead_to_its_keys() {
    let world = World::start().await;
    let get = async |url: &str| Received::of(world.client.get(url).send().await.unwrap()).await.unwrap().json();
    let discovery = get(&world.url("/.well-known/openid-configuration")).await;
    assert_eq!(discovery["issuer"], world.provider().issuer());
    assert_eq!(discovery["id_token_signing_alg_values_supported"], json!(["ES256"]));
    let keys = get(discovery["jwks_uri"].as_str().unwrap()).await;
    assert_eq!(keys, world.provider().jwks());
    assert_eq!(keys["keys"][0]["kid"], world.provider().key_id());
    assert!(keys["keys"][0].get("d").is_none(), "the private half stays where it is");
}

#[tokio::test]
async fn every_algorithm_of_the_service_is_made_and_verified() {
    let world = World::start().await;
    for algorithm in [
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::Es512,
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
    ] {
        world.provider().rotate_key(algorithm).unwrap();
        world.emulator.forget_keys().await;
        let token = world.provider().mint();
        assert_eq!(world.exchange(&token).await.status, 200, "{algorithm:?}: {:?}", world.last());
        let other = world.provider().mint();
        let (message, _) = token.expose().rsplit_once('.').unwrap();
        let (_, signature) = other.expose().rsplit_once('.').unwrap();
        assert_eq!(world.denied(&format!("{message}.{signature}")).await, Reason::SignatureInvalid, "{algorithm:?}");
        assert_eq!(Algorithm::of_name(algorithm.name()), Some(algorithm));
    }
    assert_eq!(world.last().outcome, Outcome::Denied);
}

/// A key that says what it is for is for nothing else: an RSA key of RS256 does not take PS256.
#[tokio::test]
async fn a_key_is_good_for_its_own_algorithm() {
    let provider = World::with(Options { algorithm: Algorithm::Rs256, ..Options::default() }).await;
    let mut keys = provider.provider().jwks()["keys"].clone();
    let judge = |keys: &Value| World::of(with(JWKS, json!({ "type": "inline", "keys": keys })));
    let token = provider.token().issuer("https://issuer.example").subject("team:a");
    let token = token.sign();
    assert_eq!(judge(&keys).await.exchange(&token).await.status, 200);
    keys[0]["alg"] = json!("PS256");
    assert_eq!(judge(&keys).await.denied(token.expose()).await, Reason::AlgorithmRefused);
    keys[0].as_object_mut().unwrap().remove("alg");
    assert_eq!(judge(&keys).await.exchange(&token).await.status, 200);
    keys[0]["use"] = json!("enc");
    assert_eq!(judge(&keys).await.denied(token.expose()).await, Reason::KeyUnknown);
}

/// A key of another curve or kind is refused before its arithmetic is tried.
#[tokio::test]
async fn a_key_that_does_not_say_its_algorithm_is_good_for_its_curve() {
    let provider = World::with(Options { algorithm: Algorithm::Es384, ..Options::default() }).await;
    let mut keys = provider.provider().jwks()["keys"].clone();
    keys[0].as_object_mut().unwrap().remove("alg");
    let judge = |keys: &Value| World::of(with(JWKS, json!({ "type": "inline", "keys": keys })));
    let token = provider.token().issuer("https://issuer.example").subject("team:a").sign();
    assert_eq!(judge(&keys).await.exchange(&token).await.status, 200);
    for (member, value) in [("crv", "P-256"), ("crv", "P-521"), ("kty", "RSA")] {
        let mut keys = keys.clone();
        keys[0][member] = json!(value);
        assert_eq!(judge(&keys).await.denied(token.expose()).await, Reason::AlgorithmRefused, "{member} {value}");
    }
    for (member, value) in [("x", json!("AAAA")), ("y", Value::Null)] {
        let mut keys = keys.clone();
        keys[0][member] = value;
        let reason = judge(&keys).await.denied(token.expose()).await;
        assert!(matches!(reason, Reason::KeyUnknown | Reason::SignatureInvalid), "{reason}");
    }
}

#[tokio::test]
async fn a_key_of_an_unknown_kind_beside_the_right_one_does_no_harm() {
    let provider = World::start().await;
    let mut keys = provider.provider().jwks()["keys"].clone();
    let strange = json!({ "kid": "strange", "kty": "AKP", "alg": "ML-DSA-65", "pub": "x" });
    keys.as_array_mut().unwrap().insert(0, strange);
    let world = World::of(with(JWKS, json!({ "type": "inline", "keys": keys }))).await;
    let token = provider.token().issuer("https://issuer.example").subject("team:a");
    assert_eq!(world.exchange(&token.sign()).await.status, 200);
    let token = provider.token().issuer("https://issuer.example").subject("team:a").key_id("strange");
    assert_eq!(world.denied(token.sign().expose()).await, Reason::AlgorithmRefused);
}

#[tokio::test]
async fn tokens_of_a_rule_follow_its_issuer() {
    let world = World::of(document()).await;
    let token = world.emulator.token_for("fdrl_02rule").expect("there is such a rule");
    assert_eq!(token.claims()["iss"], "https://issuer.example");
    assert_eq!(token.claims()["sub"], "team:emulated");
    assert!(world.emulator.token_for("fdrl_03rule").is_none());
    world.emulator.advance(Duration::from_secs(90)).unwrap();
    let later = world.emulator.token_for("fdrl_02rule").expect("there is such a rule");
    assert_eq!(later.claims()["iat"].as_u64(), token.claims()["iat"].as_u64().map(|iat| iat + 90));
}
