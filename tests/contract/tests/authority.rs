//! What hosts grant a session is what a session asks for.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wif_engine::Session;
use wif_engine::contract::{Access, Capability, Clock, Event, Outcome, Start, Task, TaskResult};

fn authority() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/authority.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("it is there")).expect("it is JSON")
}

fn names(list: &Value) -> BTreeSet<String> {
    list.as_array().expect("a list").iter().map(|name| name.as_str().expect("a name").to_owned()).collect()
}

const NOW: Clock = Clock { wall_ms: 1_790_000_000_000, steady_ms: Some(0) };

/// The table is for readers, and the data for hosts.
#[test]
fn the_table_of_limits_has_each_limit_and_its_number() {
    let limits = authority()["limits"].as_object().expect("an object").clone();
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/README.md")).expect("it is there");
    let (_, table) = readme.split_once("## Limits").expect("its heading");
    let (table, _) = table.split_once("## The JSON form").expect("the next heading");
    for (name, number) in limits.iter().filter(|(name, _)| *name != "$comment") {
        let row = table.lines().find(|line| line.contains(&format!("`{name}`"))).unwrap_or_else(|| panic!("{name} is not there"));
        assert!(number.is_u64(), "{name}");
        let mut numbers = row.split(|letter: char| !letter.is_ascii_digit());
        assert!(numbers.any(|found| found.parse().ok() == number.as_u64()), "{name} is {number}: {row}");
    }
}

#[test]
fn discovery_reads_the_variables_that_are_listed() {
    let mut session = Session::open("{}", 1, &[Capability::ReadVariable], Start::Fresh).expect("valid");
    let tasks = session.step(NOW, Event::Woken).tasks;
    let asked = tasks.into_iter().map(|numbered| match numbered.task {
        Task::ReadVariable(name) => name,
        other => panic!("{other:?}"),
    });
    assert_eq!(asked.collect::<BTreeSet<String>>(), names(&authority()["variables"]));
}

#[test]
fn an_exchange_and_its_token_are_what_is_listed() {
    let identity_token =
        "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJpIiwic3ViIjoicyIsImlhdCI6MTc5MDAwMDAwMCwiZXhwIjoxNzkwMDAzNjAwfQ.c2ln";
    let configuration = json!({"federation": {
        "federation_rule_id": "fdrl_01AbCd",
        "organization_id": "3f2b8c1e-0000-4000-8000-1234567890ab",
        "identity_token": {"source": "literal", "value": identity_token},
    }});
    let mut session = Session::open(&configuration.to_string(), 1, &[], Start::Fresh).expect("valid");
    let output = session.step(NOW, Event::Woken);
    let Some(Task::SendRequest(request)) = output.tasks.first().map(|numbered| &numbered.task) else {
        panic!("{:?}", output.access);
    };
    let exchange = &authority()["exchange"];
    assert_eq!(exchange["method"], request.method);
    assert_eq!(request.url, format!("{}{}", request.origin, exchange["path"].as_str().expect("a path")));
    let sent: BTreeSet<String> = request.headers.iter().map(|header| header.name.clone()).collect();
    assert_eq!(sent, names(&exchange["headers"]));
    let content_type = request.headers.iter().find(|header| header.name == "content-type").expect("one");
    assert_eq!(exchange["content-type"], content_type.value.reveal());

    let body = r#"{"access_token":"sk-ant-oat01-x","expires_in":3600}"#;
    let response = wif_engine::contract::Response { status: 200, headers: Vec::new(), body: body.into() };
    let number = output.tasks[0].number;
    let output = session.step(NOW, Event::Finished(TaskResult { number, outcome: Outcome::Response(response) }));
    let Access::Usable(usable) = output.access else { panic!("{:?}", output.access) };
    let listed = &authority()["usable"];
    for (fields, listed) in [(usable.set, &listed["set"]), (usable.merge, &listed["merge"])] {
        assert!(!fields.is_empty());
        for field in fields {
            assert!(names(listed).contains(&field.name), "{}", field.name);
        }
    }
}
