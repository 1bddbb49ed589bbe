use serde_json::json;
use wif_proxy_wasm_image::{CALLBACKS, HOST_FUNCTIONS};

use crate::harness::bootstrap::API;
use crate::harness::client::send;
use crate::harness::{Form, Plan, Protocol, in_every_form, in_forms, in_wasm_forms};

in_every_form! {
    /// E2, E3: the API answers with a redirect, and the route has Envoy follow it to another cluster.
    async fn a_redirect_that_envoy_follows_does_not_carry_our_credential(form: Form) {
        let plan = Plan::new(form).capture(Protocol::Http1).setup(|setup| {
            setup.api_route = json!({
                "internal_redirect_policy": { "max_internal_redirects": 1, "redirect_response_codes": [302] },
            });
        });
        let Some(world) = plan.start().await else { return };
        let answer = send(world.caller.post("/redirect")).await;
        let api = world.api.as_ref().expect("the plan says so");
        assert!(api.text().contains("Bearer sk-ant-oat01-"), "{}", api.text());
        assert!(!world.elsewhere.text().contains("sk-ant-"), "{}", world.elsewhere.text());
        match form {
            // There is nothing left to follow.
            Form::Upstream => assert_eq!((answer.status, world.elsewhere.requests().len()), (302, 0)),
            Form::Downstream | Form::Module | Form::ModuleUpstream => {
                assert_eq!((answer.status, world.elsewhere.requests().len()), (200, 1));
                assert!(world.elsewhere.requests()[0].values("authorization").is_empty());
            }
        }
    }
}

/// E2: in the cluster's chain it is too late for another route, whatever the filter takes off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upstream_what_is_taken_off_chooses_no_other_route() {
    let plan = Plan::new(Form::Upstream).capture(Protocol::Http1).setup(|setup| {
        let with_key = json!({ "prefix": "/", "headers": [{ "name": "x-api-key", "present_match": true }] });
        setup.routes = vec![
            json!({ "match": with_key, "route": { "cluster": API } }),
            json!({ "match": { "prefix": "/" }, "route": { "cluster": "elsewhere" } }),
        ];
    });
    let Some(world) = plan.start().await else { return };
    for _ in 0..2 {
        assert_eq!(send(world.caller.post("/v1/messages").header("x-api-key", "theirs")).await.status, 200);
    }
    assert_eq!(send(world.caller.post("/v1/messages")).await.status, 200);
    assert_eq!(world.api.as_ref().expect("the plan says so").requests().len(), 2);
    assert_eq!(world.elsewhere.requests().len(), 1);
    assert!(!world.elsewhere.text().contains("sk-ant-"), "{}", world.elsewhere.text());
}

in_every_form! {
    /// E6: as the configurations' README says it.
    async fn a_mirror_from_which_it_is_removed_gets_no_credential(form: Form) {
        let plan = Plan::new(form).capture(Protocol::Http1).setup(|setup| {
            let remove = ["authorization", "x-api-key"].map(|name| json!({ "remove": name }));
            setup.api_route = json!({
                "request_mirror_policies": [{ "cluster": "elsewhere", "request_headers_mutations": remove }],
            });
        });
        let Some(world) = plan.start().await else { return };
        for count in 1..=2 {
            assert_eq!(send(world.caller.post("/v1/messages").header("x-api-key", "caller-secret")).await.status, 200);
            world.until("the mirror has it, too", async || world.elsewhere.requests().len() == count).await;
        }
        let mirrored = world.elsewhere.text();
        assert!(!mirrored.contains("sk-ant-") && !mirrored.contains("caller-secret"), "{mirrored}");
    }
}

/// Without names nobody sees beforehand that an exchange would wait for the token that it is to bring.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_comes_back_to_its_own_filter_is_refused_at_once_and_the_log_says_why() {
    let plan = Plan::new(Form::Upstream).plugin(|plugin| {
        plugin["clusters"] = json!("all");
        plugin["token_endpoint"]["cluster"] = json!(API);
    });
    let Some(world) = plan.start().await else { return };
    assert_eq!(world.caller.message().await.failure_code(), "denied-by-host");
    world.envoy.until_logged("the filter's own request by the cluster anthropic comes back to the filter").await;
    assert_eq!((world.emulator.counts().exchanges, world.envoy.stat("vm_reload$").await), (0, 0));
    assert!(!world.envoy.log().contains("panicked"), "{}", world.envoy.log());
}

in_wasm_forms! {
    /// E9: an Envoy that does not tell where a request goes, or what it is.
    async fn a_filter_that_may_not_know_what_a_request_is_lets_none_pass(form: Form) {
        for needed in ["proxy_get_property", "proxy_get_header_map_pairs"] {
            let plan = Plan::new(form).capture(Protocol::Http1).setup(move |setup| {
                let names = HOST_FUNCTIONS.into_iter().chain(CALLBACKS);
                setup.capabilities = Some(names.filter(|name| *name != needed).collect());
            });
            let Some(world) = plan.start().await else { return };
            let answer = send(world.caller.post("/v1/messages").header("x-api-key", "caller-secret")).await;
            assert_eq!((answer.status, answer.header("x-wif-code")), (503, Some("denied-by-host")), "{needed}");
            assert_eq!(world.api.as_ref().expect("the plan says so").text(), "", "{needed}");
        }
    }
}

/// E2: whatever a filter is told about where it stands, it looks where a request goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_that_is_not_where_it_is_said_to_be_puts_the_credential_on_nothing_else() {
    let plan = Plan::new(Form::Downstream).capture(Protocol::Http1).plugin(|plugin| plugin["position"] = json!("upstream"));
    let Some(world) = plan.start().await else { return };
    for path in ["/v1/messages", "/elsewhere"] {
        assert_eq!(send(world.caller.post(path)).await.status, 200);
    }
    assert!(world.api.as_ref().expect("the plan says so").text().contains("sk-ant-"));
    assert!(!world.elsewhere.text().contains("sk-ant-"), "{}", world.elsewhere.text());
}

in_forms! {
    [downstream = Downstream, module = Module]
    /// E2: a filter that asks no request for its cluster, in a listener's chain: off, and on for one route.
    async fn a_filter_that_is_on_for_one_route_puts_the_credential_on_nothing_else(form: Form) {
        let plan = Plan::new(form).capture(Protocol::Http1).setup(|setup| {
            setup.on_by_route = true;
            setup.plugin["clusters"] = json!("all");
        });
        let Some(world) = plan.start().await else { return };
        for path in ["/v1/messages", "/elsewhere", "/v1/messages"] {
            assert_eq!(send(world.caller.post(path).header("x-api-key", "theirs")).await.status, 200, "{path}");
        }
        let api = world.api.as_ref().expect("the plan says so").text();
        assert!(api.contains("Bearer sk-ant-oat01-") && !api.contains("theirs"), "{api}");
        let elsewhere = world.elsewhere.text();
        assert!(elsewhere.contains("theirs") && !elsewhere.contains("sk-ant-"), "{elsewhere}");
    }
}

/// E2: in a listener's chain it would put the credential on whatever passes there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_for_all_of_a_clusters_requests_lets_nothing_pass_in_a_listeners_chain() {
    let plan = Plan::new(Form::Downstream).capture(Protocol::Http1).plugin(|plugin| {
        plugin["position"] = json!("upstream");
        plugin["clusters"] = json!("all");
    });
    let Some(world) = plan.start().await else { return };
    for path in ["/v1/messages", "/elsewhere"] {
        let answer = send(world.caller.post(path)).await;
        assert_eq!((answer.status, answer.header("x-wif-code")), (503, Some("denied-by-host")), "{path}");
    }
    world.envoy.until_logged("configuration-failed: position is `upstream`, and the filter stands in a listener's chain").await;
    assert_eq!((world.elsewhere.text(), world.api.as_ref().expect("the plan says so").text()), (String::new(), String::new()));
}

in_wasm_forms! {
    /// What the image's list of capabilities allows is enough for everything.
    async fn the_least_capabilities_are_enough(form: Form) {
        let names: Vec<&'static str> = HOST_FUNCTIONS.into_iter().chain(CALLBACKS).collect();
        let Some(mut world) = Plan::new(form).setup(move |setup| setup.capabilities = Some(names)).start().await else { return };
        assert_eq!(world.caller.message().await.status, 200);
        world.emulator.revoke_all();
        world.file.rotate().expect("the directory is writable");
        world.until("there is another token", async || world.caller.message().await.status == 200).await;
        world.reload(|setup| setup.plugin["waiting"] = json!({ "requests": 7 }));
        if form == Form::Upstream {
            // A listener drains for minutes before its filter is taken away.
            world.until("the old one is closed", async || world.envoy.stat("wif_closing$").await >= 1).await;
        }
        assert_eq!(world.caller.message().await.status, 200);
        assert!(!world.envoy.log().contains("panicked"), "{}", world.envoy.log());
    }
}
