//! A run can say that the API rejected the token of an earlier one.

use crate::place::{Place, Run};

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_token_is_replaced_and_not_given_again() {
    let place = Place::new().await;
    let state = place.path("state");
    let first = place.run(&["token", "--json", "--state", &state]).await.json();
    let id = first["id"].as_str().expect("an id").to_owned();
    place.file.rotate().expect("it rotates");
    // The session leaves five seconds between two exchanges.
    let run = place.run(&["token", "--json", "--state", &state, "--rejected", &id]).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    let second = run.json();
    assert_ne!(second["id"], first["id"]);
    assert_eq!(place.emulator.counts().exchanges, 2);

    // A rejection of an earlier token, however late and often, is answered with the present one.
    for _ in 0..2 {
        let run = place.run(&["token", "--json", "--state", &state, "--rejected", &id]).await;
        assert_eq!(run.json()["id"], second["id"]);
    }
    let run = place.run(&["token", "--json", "--state", &state]).await;
    assert_eq!(run.json()["id"], second["id"]);
    assert_eq!(place.emulator.counts().exchanges, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_token_can_be_rejected_without_its_id() {
    let place = Place::new().await;
    let state = place.path("state");
    // There is none yet, so there is nothing to reject.
    let first = place.run(&["token", "--state", &state, "--rejected", "last"]).await;
    assert_eq!(first.code, 0, "{}", first.stderr);
    assert_eq!(place.emulator.counts().exchanges, 1);
    place.file.rotate().expect("it rotates");
    let second = place.run(&["token", "--state", &state, "--rejected", "last"]).await;
    assert_eq!(second.code, 0, "{}", second.stderr);
    assert_ne!(first.stdout, second.stdout);
    assert_eq!(place.emulator.counts().exchanges, 2);
}

/// The rejected token is not printed for want of a better one: the caller has just learnt that it is of no use.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_that_nothing_can_mend_yet_ends_without_a_token() {
    let place = Place::new().await;
    let state = place.path("state");
    let first = place.run(&["token", "--json", "--state", &state]).await.json();
    let id = first["id"].as_str().expect("an id");
    for rejected in [id, "last"] {
        // The identity token is spent.
        let run = place.run(&["token", "--timeout", "7", "--state", &state, "--rejected", rejected]).await;
        assert_eq!(run.code, 4, "{rejected}: {}", run.stderr);
        assert!(run.stdout.is_empty());
        assert!(run.stderr.contains(&format!("the API rejected the access token {id}")), "{}", run.stderr);
    }
    assert_eq!(place.emulator.counts().exchanges, 1);
    place.file.rotate().expect("it rotates");
    let run = place.run(&["token", "--json", "--state", &state, "--rejected", id]).await;
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_ne!(run.json()["id"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_no_id_and_is_not_repeated() {
    let place = Place::new().await;
    let state = place.path("state");
    let token = "sk-ant-oat01-canary";
    let mut command = place.wif();
    command.args(["token", "--state", &state, "--rejected", token]);
    let run = Run::of(command).await;
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("16 hexadecimal digits"), "{}", run.stderr);
    assert!(!run.stderr.contains("canary"), "{}", run.stderr);
    let run = place.run(&["token", "--rejected", "last"]).await;
    assert_eq!(run.code, 2, "without a state file there is nothing to reject");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_when_it_ends() {
    let place = Place::new().await;
    let document = place.run(&["token", "--json"]).await.json();
    let moments = ["refresh_at", "unusable_at"].map(|name| document[name].as_str().expect("a moment").to_owned());
    for moment in &moments {
        let form = moment.bytes().map(|byte| if byte.is_ascii_digit() { b'0' } else { byte }).collect::<Vec<_>>();
        assert_eq!(form, b"0000-00-00T00:00:00Z", "{moment}");
    }
    assert!(moments[0] < moments[1], "{moments:?}");
}
