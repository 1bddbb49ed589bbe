use serde_json::{Value, json};
use wif_emulator::Reason;

use crate::registry::{
    DEFAULT_WORKSPACE, MEMBER_WORKSPACE, ORGANIZATION, OTHER_ORGANIZATION, RULE, SERVICE_ACCOUNT, STRANGE_WORKSPACE, changed,
    document, matching, with, with_rule,
};
use crate::world::World;

/// Exchanges a token with these claims, and gives the reason of its refusal.
async fn judged(world: &World, claims: Value) -> Option<Reason> {
    let mut token = world.token();
    for (name, value) in claims.as_object().unwrap() {
        token = token.claim(name, value.clone());
    }
    let answer = world.exchange(&token.sign()).await;
    let reason = world.last().reason;
    assert_eq!(answer.status, if reason.is_some() { 401 } else { 200 });
    reason
}

#[tokio::test]
async fn a_subject_without_a_star_is_the_whole_subject() {
    let world = World::of(matching(json!({ "subject_prefix": "team:a" }))).await;
    assert_eq!(judged(&world, json!({ "sub": "team:a" })).await, None);
    for sub in ["team:ab", "team:", "Team:a", "xteam:a"] {
        assert_eq!(judged(&world, json!({ "sub": sub })).await, Some(Reason::MatchSubjectPrefix), "{sub}");
    }
}

#[tokio::test]
async fn a_subject_with_a_star_is_its_beginning() {
    let world = World::of(matching(json!({ "subject_prefix": "team:*" }))).await;
    for sub in ["team:", "team:a", "team:*"] {
        assert_eq!(judged(&world, json!({ "sub": sub })).await, None, "{sub}");
    }
    assert_eq!(judged(&world, json!({ "sub": "team" })).await, Some(Reason::MatchSubjectPrefix));
    let detail = world.last().detail.unwrap();
    assert!(detail.contains("team:*") && detail.contains("\"team\""), "{detail}");
}

#[tokio::test]
async fn claims_are_exact_strings_of_the_top_level() {
    let world = World::of(matching(json!({ "claims": { "ref": "main", "n": "7" } }))).await;
    assert_eq!(judged(&world, json!({ "ref": "main", "n": "7" })).await, None);
    for claims in [
        json!({ "n": "8" }),
        json!({ "n": 7 }),
        json!({ "n": ["7"] }),
        json!({ "ref": "main*" }),
        json!({ "ref": null }),
        json!({ "ref": { "ref": "main" } }),
    ] {
        assert_eq!(judged(&world, claims.clone()).await, Some(Reason::MatchClaims), "{claims}");
    }
}

#[tokio::test]
async fn a_condition_looks_at_claims_of_any_depth() {
    let conditions = [
        ("claims.sub.startsWith('team:')", json!({ "sub": "team:a" }), json!({ "sub": "crew:a" })),
        ("claims.env in ['a', 'b']", json!({ "env": "b" }), json!({ "env": "c" })),
        (
            "claims['https://sts.amazonaws.com/'].aws_account == '1'",
            json!({ "https://sts.amazonaws.com/": { "aws_account": "1" } }),
            json!({ "https://sts.amazonaws.com/": { "aws_account": "2" } }),
        ),
        ("claims.number > 3 && claims.flag", json!({ "number": 4, "flag": true }), json!({ "number": 3, "flag": true })),
        ("claims.groups.exists(group, group == 'a')", json!({ "groups": ["b", "a"] }), json!({ "groups": ["b"] })),
        ("claims.ref.matches('^refs/tags/v[0-9]+$')", json!({ "ref": "refs/tags/v1" }), json!({ "ref": "refs/tags/v" })),
        ("!has(claims.actor)", json!({}), json!({ "actor": "x" })),
        ("!('actor' in claims)", json!({}), json!({ "actor": "x" })),
    ];
    for (condition, good, bad) in conditions {
        let world = World::of(matching(json!({ "condition": condition }))).await;
        assert_eq!(judged(&world, good).await, None, "{condition}");
        assert_eq!(judged(&world, bad).await, Some(Reason::MatchCondition), "{condition}");
    }
}

#[tokio::test]
async fn a_condition_without_an_answer_does_not_match() {
    for condition in ["claims.absent == 'x'", "claims.sub", "claims.sub > 3", "claims.sub.matches('(')", "1 / claims.zero == 1"] {
        let world = World::of(matching(json!({ "condition": condition }))).await;
        assert_eq!(judged(&world, json!({ "zero": 0 })).await, Some(Reason::MatchCondition), "{condition}");
    }
}

#[tokio::test]
async fn all_that_a_rule_matches_has_to_match() {
    let matcher = json!({ "subject_prefix": "team:*", "claims": { "ref": "main" }, "condition": "claims.flag" });
    let world = World::of(matching(matcher)).await;
    let good = json!({ "ref": "main", "flag": true });
    assert_eq!(judged(&world, good.clone()).await, None);
    for (name, value, reason) in [
        ("sub", json!("crew"), Reason::MatchSubjectPrefix),
        ("ref", json!("other"), Reason::MatchClaims),
        ("flag", json!(false), Reason::MatchCondition),
    ] {
        assert_eq!(judged(&world, changed(good.clone(), &format!("/{name}"), value)).await, Some(reason));
    }
}

#[tokio::test]
async fn the_audience_of_a_rule_replaces_the_default_one() {
    let audience = "https://other.example";
    let world = World::of(matching(json!({ "subject_prefix": "team:*", "audience": audience }))).await;
    assert_eq!(judged(&world, json!({ "aud": [audience] })).await, None);
    assert_eq!(judged(&world, json!({ "aud": "https://api.anthropic.com" })).await, Some(Reason::AudienceMismatch));
    let world = World::of(document()).await;
    assert_eq!(judged(&world, json!({ "aud": "https://api.anthropic.com" })).await, None);
    assert_eq!(judged(&world, json!({ "aud": audience })).await, Some(Reason::AudienceMismatch));
}

#[tokio::test]
async fn what_is_archived_is_out_of_use() {
    for (pointer, reason) in [
        ("/organizations/0/federation_rules/0/archived", Reason::RuleArchived),
        ("/organizations/0/federation_issuers/0/archived", Reason::IssuerArchived),
        ("/organizations/0/service_accounts/0/archived", Reason::ServiceAccountArchived),
    ] {
        let world = World::of(document()).await;
        world.emulator.set_resources(crate::registry::parsed(&with(pointer, json!(true)))).unwrap();
        assert_eq!(judged(&world, json!({})).await, Some(reason));
    }
}

/// The rows of workspace resolution: where the rule is enabled, what is asked for, and what comes of it.
#[tokio::test]
async fn a_workspace_is_resolved_from_the_request_the_rule_and_the_membership() {
    let ids = |ids: &[&str]| with_rule("workspace_ids", json!(ids));
    let all = || {
        changed(
            with_rule("applies_to_all_workspaces", json!(true)),
            "/organizations/0/federation_rules/0/workspace_ids",
            json!([]),
        )
    };
    let legacy =
        |id: &str| changed(with_rule("workspace_id", json!(id)), "/organizations/0/federation_rules/0/workspace_ids", json!([]));
    let required = Err(Reason::WorkspaceIdRequired);
    let closed = Err(Reason::WorkspaceNotAccessible);
    for (document, asked, expected) in [
        (ids(&[MEMBER_WORKSPACE]), None, Ok(MEMBER_WORKSPACE)),
        (ids(&["default"]), None, Ok(DEFAULT_WORKSPACE)),
        (ids(&[MEMBER_WORKSPACE, "default"]), None, required),
        (all(), None, required),
        (ids(&[MEMBER_WORKSPACE, "default"]), Some("default"), Ok(DEFAULT_WORKSPACE)),
        (ids(&[DEFAULT_WORKSPACE]), Some("default"), Ok(DEFAULT_WORKSPACE)),
        (all(), Some("default"), Ok(DEFAULT_WORKSPACE)),
        (ids(&[MEMBER_WORKSPACE]), Some("default"), closed),
        (ids(&[MEMBER_WORKSPACE]), Some(MEMBER_WORKSPACE), Ok(MEMBER_WORKSPACE)),
        (ids(&["default"]), Some(DEFAULT_WORKSPACE), Ok(DEFAULT_WORKSPACE)),
        (all(), Some(MEMBER_WORKSPACE), Ok(MEMBER_WORKSPACE)),
        (ids(&[MEMBER_WORKSPACE]), Some(STRANGE_WORKSPACE), closed),
        (ids(&[STRANGE_WORKSPACE]), Some(STRANGE_WORKSPACE), closed),
        (ids(&[STRANGE_WORKSPACE]), None, closed),
        (all(), Some(STRANGE_WORKSPACE), closed),
        (all(), Some("wrkspc_02default"), closed),
        // A rule from before there could be several workspaces does not look at the membership.
        (legacy(STRANGE_WORKSPACE), Some(STRANGE_WORKSPACE), Ok(STRANGE_WORKSPACE)),
        (legacy(STRANGE_WORKSPACE), None, Ok(STRANGE_WORKSPACE)),
        (legacy("default"), None, Ok(DEFAULT_WORKSPACE)),
    ] {
        let world = World::of(document.clone()).await;
        let answer = world.exchange_in(world.provider().mint().expose(), asked).await;
        let rule = &document["organizations"][0]["federation_rules"][0];
        match expected {
            Ok(workspace) => {
                assert_eq!(answer.status, 200, "{asked:?} of {rule}: {:?}", world.last().reason);
                assert_eq!(answer.json()["workspace_id"], workspace, "{asked:?} of {rule}");
                assert_eq!(world.last().parties.workspace_id.as_deref(), Some(workspace));
            }
            Err(reason) => assert_eq!(world.last().reason, Some(reason), "{asked:?} of {rule}"),
        }
    }
}

#[tokio::test]
async fn each_organization_has_its_own_rules() {
    let world = World::of(document()).await;
    let own = world.exchange_by(OTHER_ORGANIZATION, "fdrl_02rule", "svac_02account").await;
    assert_eq!((own.status, own.json()["workspace_id"].as_str()), (200, Some("wrkspc_02default")));
    let answer = world.message(&own.access_token()).await;
    assert_eq!(answer.header("anthropic-organization-id"), Some(OTHER_ORGANIZATION));
    assert_eq!(answer.header("anthropic-workspace-id"), Some("wrkspc_02default"));

    for (organization, rule, account, reason) in [
        (ORGANIZATION, "fdrl_02rule", "svac_02account", Reason::RuleNotFound),
        (OTHER_ORGANIZATION, RULE, SERVICE_ACCOUNT, Reason::RuleNotFound),
        (ORGANIZATION, RULE, "svac_02account", Reason::ServiceAccountNotFound),
    ] {
        world.exchange_by(organization, rule, account).await.assert_opaque_denial();
        assert_eq!(world.last().reason, Some(reason));
    }
    world.exchange_by(ORGANIZATION, "fdrl_02rule", "svac_02account").await;
    assert!(world.last().detail.unwrap().contains("another organization"));
}

/// A `jti` counts for its issuer, so that the same token can be exchanged once in each organization.
#[tokio::test]
async fn a_jti_is_spent_for_its_issuer_and_no_other() {
    let world = World::of(document()).await;
    let token = world.provider().mint();
    assert_eq!(world.exchange(&token).await.status, 200);
    let mut request = world.request(token.expose());
    request["organization_id"] = json!(OTHER_ORGANIZATION);
    request["federation_rule_id"] = json!("fdrl_02rule");
    request["service_account_id"] = json!("svac_02account");
    assert_eq!(world.post_exchange(&request).await.status, 200);
    assert_eq!(world.post_exchange(&request).await.status, 401);
}

#[tokio::test]
async fn the_scope_of_the_organization_needs_an_administrator_and_binds_to_no_workspace() {
    let document = with_rule("oauth_scope", json!("org:admin"));
    let world = World::of(document.clone()).await;
    assert_eq!(judged(&world, json!({})).await, Some(Reason::InsufficientScope));

    let world = World::of(changed(document, "/organizations/0/service_accounts/0/organization_role", json!("admin"))).await;
    let answer = world.exchange(&world.provider().mint()).await;
    assert_eq!(answer.json()["scope"], "org:admin");
    assert!(answer.json().get("workspace_id").is_none());
    let token = answer.access_token();
    let me = world.get("/v1/organizations/me", &token).await;
    assert_eq!((me.status, me.json()["id"].as_str()), (200, Some(ORGANIZATION)));
    assert_eq!(me.header("anthropic-organization-id"), Some(ORGANIZATION));
    assert_eq!(me.header("anthropic-workspace-id"), None);
    assert_eq!(world.message(&token).await.status, 403);
}

#[tokio::test]
async fn an_access_token_opens_what_its_scope_says_and_the_rest_is_forbidden() {
    for (scope, message, files, organization) in [
        ("workspace:developer", 200, 200, 403),
        ("workspace:inference", 200, 403, 403),
        ("workspace:manage_tunnels", 403, 403, 403),
        ("workspace:inference workspace:manage_tunnels", 200, 403, 403),
    ] {
        let world = World::of(with_rule("oauth_scope", json!(scope))).await;
        let answer = world.exchange(&world.provider().mint()).await;
        assert_eq!(answer.json()["scope"], scope);
        let token = answer.access_token();
        assert_eq!(world.message(&token).await.status, message, "{scope}");
        assert_eq!(world.get("/v1/models", &token).await.status, message, "{scope}");
        assert_eq!(world.get("/v1/files", &token).await.status, files, "{scope}");
        let refused = world.get("/v1/organizations/me", &token).await;
        assert_eq!(refused.status, organization);
        assert_eq!(refused.json()["error"]["type"], "permission_error");
        assert_eq!(refused.json()["request_id"], refused.header("request-id").unwrap());
        assert_eq!(world.last().reason, Some(Reason::InsufficientScope));
        // A refusal of the scope names the tenant, for the credential was good.
        assert_eq!(refused.header("anthropic-organization-id"), Some(ORGANIZATION));
    }
}

#[tokio::test]
async fn a_refusal_names_who_was_involved() {
    let world = World::of(document()).await;
    world.denied(world.token().subject("crew").sign().expose()).await;
    let parties = world.last().parties;
    assert_eq!(parties.federation_rule_id.as_deref(), Some(RULE));
    assert_eq!(parties.organization_id.as_deref(), Some(ORGANIZATION));
    assert_eq!(parties.service_account_id.as_deref(), Some(SERVICE_ACCOUNT));
    assert_eq!((parties.issuer.as_deref(), parties.subject.as_deref()), (Some("https://issuer.example"), Some("crew")));
    // What an unknown signer claims is not repeated.
    world.denied(world.token().subject("crew").key_id("unknown").sign().expose()).await;
    assert_eq!(world.last().parties.subject, None);
}

/// The checks come in the order of the real service: the reason is that of the first.
#[tokio::test]
async fn of_several_faults_the_first_is_the_reason() {
    let world = World::of(document()).await;
    let token = world.token().subject("crew").claim("aud", "https://other.example").key_id("unknown");
    let mut request = world.request(token.sign().expose());
    request.insert("workspace_id".to_owned(), json!(STRANGE_WORKSPACE));
    let mut reasons = Vec::new();
    let mut judge = async |request: &serde_json::Map<String, Value>| {
        world.post_exchange(request).await.assert_opaque_denial();
        reasons.push(world.last().reason.unwrap());
    };
    let good = request["federation_rule_id"].clone();
    request["federation_rule_id"] = json!("fdrl_01other");
    request["service_account_id"] = json!("svac_01other");
    judge(&request).await;
    request["federation_rule_id"] = good;
    judge(&request).await;
    request["service_account_id"] = json!(SERVICE_ACCOUNT);
    judge(&request).await;
    let wrong_audience = world.token().subject("crew").claim("aud", "https://other.example");
    request["assertion"] = json!(wrong_audience.sign().expose());
    judge(&request).await;
    request["assertion"] = json!(world.token().subject("crew").sign().expose());
    judge(&request).await;
    let spent = world.provider().mint();
    world.exchange(&spent).await.access_token();
    request["assertion"] = json!(spent.expose());
    judge(&request).await;
    request["workspace_id"] = json!(MEMBER_WORKSPACE);
    judge(&request).await;
    assert_eq!(
        reasons,
        [
            Reason::RuleNotFound,
            Reason::ServiceAccountNotFound,
            Reason::KeyUnknown,
            Reason::AudienceMismatch,
            Reason::MatchSubjectPrefix,
            Reason::WorkspaceNotAccessible,
            Reason::JtiReused,
        ]
    );
}
