//! Attributes from the token, from userinfo and from Graph.

use serde_json::{Value, json};
use usher::config::Userinfo;
use usher::demo::idp::{
    ClaimsIn, Endpoint, EndpointFault, Fault, Overage, TokenFault, UserinfoFault,
};

use super::{kind, rp, rp_with};

fn claim(name: &str, value: Value) -> Fault {
    Fault::IdToken(TokenFault::Claim(name.to_owned(), value))
}

#[tokio::test]
async fn userinfo_is_asked_only_where_the_token_lacks_something() {
    let rp = rp().await;
    rp.sign_in().await.unwrap();
    assert_eq!(rp.idp.counts().userinfo_calls, 0);
    rp.idp
        .settings(|settings| settings.claims_in = ClaimsIn::Userinfo);
    let facts = rp.sign_in().await.unwrap();
    assert_eq!(rp.idp.counts().userinfo_calls, 1);
    assert_eq!(facts.attributes.email.as_deref(), Some("alice@example.com"));
    assert_eq!(facts.attributes.username.as_deref(), Some("alice"));
    assert_eq!(facts.attributes.groups, ["engineering", "wiki"]);
}

#[tokio::test]
async fn userinfo_follows_the_config() {
    let rp = rp_with(|oidc, _| oidc.userinfo = Userinfo::Always).await;
    rp.sign_in().await.unwrap();
    assert_eq!(rp.idp.counts().userinfo_calls, 1);
    let rp = rp_with(|oidc, _| oidc.userinfo = Userinfo::Never).await;
    rp.idp
        .settings(|settings| settings.claims_in = ClaimsIn::Userinfo);
    let facts = rp.sign_in().await.unwrap();
    assert_eq!(rp.idp.counts().userinfo_calls, 0);
    assert_eq!(facts.attributes.email, None);
}

#[tokio::test]
async fn userinfo_of_another_subject_is_refused() {
    let rp = rp_with(|oidc, _| oidc.userinfo = Userinfo::Always).await;
    for sub in [
        json!("root"),
        json!("Sub-alice"),
        json!(""),
        Value::Null,
        json!("sub-alice "),
    ] {
        rp.idp.next(Fault::Userinfo(UserinfoFault::Claim(
            "sub".to_owned(),
            sub.clone(),
        )));
        let (kind, text) = kind(rp.sign_in().await);
        assert_eq!(kind, "invalid", "{sub}: {text}");
    }
    rp.idp
        .next(Fault::Userinfo(UserinfoFault::Remove("sub".to_owned())));
    assert_eq!(kind(rp.sign_in().await).0, "invalid");
}

#[tokio::test]
async fn userinfo_in_trouble_fails_the_sign_in() {
    let rp = rp_with(|oidc, _| oidc.userinfo = Userinfo::Always).await;
    rp.idp.next(Fault::Userinfo(UserinfoFault::Jwt));
    let (found, text) = kind(rp.sign_in().await);
    assert_eq!(found, "invalid");
    assert!(text.contains("userinfo_signed_response_alg"), "{text}");
    for (fault, expected) in [
        (EndpointFault::Garbage, "unavailable"),
        (EndpointFault::Status(500, "{}".to_owned()), "unavailable"),
        (EndpointFault::Status(401, "{}".to_owned()), "refused"),
        (EndpointFault::Reset, "unavailable"),
    ] {
        rp.idp
            .next(Fault::Endpoint(Endpoint::Userinfo, fault.clone()));
        assert_eq!(kind(rp.sign_in().await).0, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_verified_mark_counts_only_for_the_address_that_it_came_with() {
    let rp = rp_with(|oidc, _| oidc.userinfo = Userinfo::Always).await;
    rp.idp.next(claim("email", json!("alice@other.example")));
    rp.idp.next(Fault::IdToken(TokenFault::RemoveClaim(
        "email_verified".to_owned(),
    )));
    let facts = rp.sign_in().await.unwrap();
    assert_eq!(
        facts.attributes.email.as_deref(),
        Some("alice@other.example")
    );
    assert_eq!(facts.attributes.email_verified, None);
}

#[tokio::test]
async fn an_unverified_address_is_told_as_such() {
    let rp = rp().await;
    rp.idp.next(claim("email_verified", json!(false)));
    let facts = rp.sign_in().await.unwrap();
    assert_eq!(facts.attributes.email_verified, Some(false));
}

#[tokio::test]
async fn a_verified_mark_as_text_counts_where_unverified_addresses_are_let_in() {
    let rp = rp_with(|oidc, _| oidc.allow_unverified_email = true).await;
    for (value, expected) in [(json!("true"), Some(true)), (json!("false"), Some(false))] {
        rp.idp.next(claim("email_verified", value));
        let facts = rp.sign_in().await.unwrap();
        assert_eq!(facts.attributes.email_verified, expected);
    }
    rp.idp.next(claim("email_verified", json!("yes")));
    assert_eq!(kind(rp.sign_in().await).0, "invalid");
}

#[tokio::test]
async fn groups_are_found_by_a_literal_name_or_a_dotted_path() {
    for (path, name, value) in [
        (
            "realm_access.roles",
            "realm_access",
            json!({"roles": ["a", "b"]}),
        ),
        (
            "realm_access.roles",
            "realm_access.roles",
            json!(["a", "b"]),
        ),
        (
            "https://x.example/groups",
            "https://x.example/groups",
            json!(["a", "b"]),
        ),
        (
            "resource_access.my.client.roles",
            "resource_access",
            json!({"my.client": {"roles": ["a", "b"]}}),
        ),
    ] {
        let rp = rp_with(|_, paths| paths.groups = path.to_owned()).await;
        rp.idp.next(claim(name, value));
        let facts = rp.sign_in().await.unwrap();
        assert_eq!(facts.attributes.groups, ["a", "b"], "{path}");
    }
}

#[tokio::test]
async fn one_group_may_be_a_plain_string() {
    let rp = rp().await;
    rp.idp.next(claim("groups", json!("staff")));
    assert_eq!(rp.sign_in().await.unwrap().attributes.groups, ["staff"]);
}

#[tokio::test]
async fn groups_that_did_not_fit_are_looked_up_page_by_page() {
    for overage in [Overage::ClaimNames, Overage::HasGroups] {
        let rp = rp_with(|oidc, _| oidc.userinfo = Userinfo::Never).await;
        let groups: Vec<String> = (0..250).map(|at| format!("group-{at}")).collect();
        rp.idp
            .change_user("alice", |user| user.groups.clone_from(&groups));
        rp.idp.always(Fault::Overage(overage));
        let facts = rp.sign_in().await.unwrap();
        assert_eq!(facts.attributes.groups, groups);
        assert_eq!(rp.idp.counts().graph_calls, 3);
    }
}

#[tokio::test]
async fn groups_that_cannot_be_looked_up_are_never_no_groups() {
    let rp = rp().await;
    rp.idp.always(Fault::Overage(Overage::ClaimNames));
    for fault in [
        EndpointFault::Garbage,
        EndpointFault::Reset,
        EndpointFault::Status(403, "{}".to_owned()),
        EndpointFault::Status(
            200,
            json!({"value": [], "@odata.nextLink": "https://evil.test/"}).to_string(),
        ),
    ] {
        rp.idp.next(Fault::Endpoint(Endpoint::Graph, fault.clone()));
        let (kind, text) = kind(rp.sign_in().await);
        assert_eq!(kind, "unavailable", "{fault:?}: {text}");
    }
}

#[tokio::test]
async fn the_address_of_the_groups_is_never_taken_from_the_token() {
    let sink = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/groups", sink.local_addr().unwrap());
    let rp = rp().await;
    rp.idp
        .next(claim("_claim_names", json!({"groups": "src1"})));
    rp.idp
        .next(claim("_claim_sources", json!({"src1": {"endpoint": url}})));
    let facts = rp.sign_in().await.unwrap();
    assert_eq!(facts.attributes.groups, ["engineering", "wiki"]);
    assert_eq!(rp.idp.counts().graph_calls, 1);
    let nobody_came = tokio::time::timeout(std::time::Duration::from_millis(50), sink.accept());
    assert!(nobody_came.await.is_err());
}

#[tokio::test]
async fn a_next_page_elsewhere_does_not_get_the_access_token() {
    let (rp, elsewhere) = (rp().await, rp().await);
    let next = format!(
        "{}/graph/v1.0/me/transitiveMemberOf",
        elsewhere.idp.issuer()
    );
    let page = json!({"value": [], "@odata.nextLink": next}).to_string();
    rp.idp.next(Fault::Overage(Overage::ClaimNames));
    rp.idp.next(Fault::Endpoint(
        Endpoint::Graph,
        EndpointFault::Status(200, page),
    ));
    assert_eq!(kind(rp.sign_in().await).0, "unavailable");
    assert_eq!(elsewhere.idp.counts().graph_calls, 0);
}
