//! What comes back to the redirect URI, and from the token endpoint.

use serde_json::json;
use usher::demo::idp::{AuthorizeFault, Endpoint, EndpointFault, Fault, ResponseFault};
use usher::idp::oidc::AuthorizationResponse;

use super::{Rp, kind, rp};

async fn refused_before_the_code_leaves(rp: &Rp, spoil: impl FnOnce(&mut AuthorizationResponse)) {
    let (secrets, mut response) = rp.begin().await.unwrap();
    spoil(&mut response);
    let before = rp.idp.counts().token_calls;
    let (kind, text) = kind(rp.redeem(&secrets, &response).await);
    assert_eq!(kind, "invalid", "{response:?}: {text}");
    assert_eq!(rp.idp.counts().token_calls, before, "{response:?}");
}

#[tokio::test]
async fn refuses_an_answer_with_another_state_or_none() {
    let rp = rp().await;
    refused_before_the_code_leaves(&rp, |response| response.state = None).await;
    refused_before_the_code_leaves(&rp, |response| response.state = Some(String::new())).await;
    refused_before_the_code_leaves(&rp, |response| response.state = Some("other".to_owned())).await;
}

#[tokio::test]
async fn an_error_counts_only_with_the_right_state() {
    let rp = rp().await;
    refused_before_the_code_leaves(&rp, |response| {
        response.error = Some("access_denied".to_owned());
        response.state = Some("other".to_owned());
    })
    .await;
}

#[tokio::test]
async fn refuses_an_answer_of_another_issuer() {
    let rp = rp().await;
    let issuer = rp.idp.issuer().to_owned();
    for iss in [
        "https://evil.test",
        "",
        &format!("{issuer}/"),
        &issuer.to_uppercase(),
    ] {
        refused_before_the_code_leaves(&rp, |response| response.iss = Some(iss.to_owned())).await;
    }
}

#[tokio::test]
async fn a_missing_iss_is_refused_where_the_idp_always_sends_it() {
    let rp = rp().await;
    refused_before_the_code_leaves(&rp, |response| response.iss = None).await;
}

#[tokio::test]
async fn a_missing_iss_is_accepted_where_the_idp_never_sends_it() {
    let rp = rp().await;
    rp.idp.settings(|settings| settings.response_iss = false);
    assert_eq!(kind(rp.sign_in().await).0, "ok");
}

#[tokio::test]
async fn refuses_an_answer_without_a_code_or_with_a_huge_one() {
    let rp = rp().await;
    refused_before_the_code_leaves(&rp, |response| response.code = None).await;
    refused_before_the_code_leaves(&rp, |response| response.code = Some(String::new())).await;
    refused_before_the_code_leaves(&rp, |response| response.code = Some("c".repeat(10_000))).await;
}

#[tokio::test]
async fn tells_a_refusal_from_a_trouble_of_the_idp() {
    let rp = rp().await;
    for (error, expected) in [
        ("access_denied", "refused"),
        ("login_required", "refused"),
        ("server_error", "unavailable"),
        ("temporarily_unavailable", "unavailable"),
    ] {
        let fault = AuthorizeFault::Error(error.to_owned(), "no\r\nwhy".to_owned());
        rp.idp.next(Fault::Authorize(fault));
        let (kind, text) = kind(rp.sign_in().await);
        assert_eq!(kind, expected, "{text}");
        assert!(text.contains(error) && !text.contains('\n'), "{text}");
    }
}

#[tokio::test]
async fn a_stolen_code_is_refused_by_pkce_and_not_tried_again() {
    let rp = rp().await;
    let (_, stolen) = rp.begin().await.unwrap();
    let (secrets, mut own) = rp.begin().await.unwrap();
    own.code = stolen.code;
    let before = rp.idp.counts().token_calls;
    let (kind, text) = kind(rp.redeem(&secrets, &own).await);
    assert_eq!(kind, "refused", "{text}");
    assert!(text.contains("invalid_grant"), "{text}");
    assert_eq!(rp.idp.counts().token_calls, before + 1);
}

#[tokio::test]
async fn secrets_are_fresh_each_time_and_pkce_is_s256() {
    let rp = rp().await;
    for _ in 0..20 {
        rp.sign_in().await.unwrap();
    }
    let requests = rp.idp.authorize_requests();
    let values = |name: &str| -> std::collections::HashSet<String> {
        let params = requests.iter().flatten();
        params
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .collect()
    };
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(values(name).len(), 20, "{name}");
        assert!(values(name).iter().all(|value| value.len() == 43), "{name}");
    }
    assert_eq!(values("code_challenge_method"), ["S256".to_owned()].into());
    assert_eq!(
        values("scope"),
        ["openid email profile groups".to_owned()].into()
    );
}

#[tokio::test]
async fn refuses_a_token_response_of_the_wrong_shape() {
    let rp = rp().await;
    let field = |name: &str, value| ResponseFault::Field(name.to_owned(), value);
    let remove = |name: &str| ResponseFault::Remove(name.to_owned());
    for (fault, expected) in [
        (field("token_type", json!("bearer")), "ok"),
        (field("token_type", json!("DPoP")), "invalid"),
        (field("token_type", json!(1)), "invalid"),
        (field("access_token", json!(1)), "invalid"),
        (field("access_token", json!("")), "invalid"),
        (field("id_token", json!(["x"])), "invalid"),
        (field("refresh_token", json!(1)), "invalid"),
        (remove("id_token"), "invalid"),
        (remove("access_token"), "invalid"),
        (remove("token_type"), "invalid"),
        (remove("refresh_token"), "ok"),
        (
            ResponseFault::Error(400, "invalid_grant".to_owned()),
            "refused",
        ),
        (
            ResponseFault::Error(401, "invalid_client".to_owned()),
            "refused",
        ),
        (
            ResponseFault::Error(503, "server_error".to_owned()),
            "unavailable",
        ),
        (
            ResponseFault::Error(429, "slow_down".to_owned()),
            "unavailable",
        ),
    ] {
        rp.idp.next(Fault::TokenResponse(fault.clone()));
        let (kind, text) = kind(rp.sign_in().await);
        assert_eq!(kind, expected, "{fault:?}: {text}");
    }
}

#[tokio::test]
async fn a_token_answer_that_is_too_large_is_invalid_rather_than_worth_another_try() {
    let rp = rp().await;
    let huge = EndpointFault::Huge(2 << 20);
    rp.idp.next(Fault::Endpoint(Endpoint::Token, huge));
    let (kind, text) = kind(rp.sign_in().await);
    assert_eq!(kind, "invalid", "{text}");
}

#[tokio::test]
async fn a_token_endpoint_in_trouble_is_unavailable() {
    let rp = rp().await;
    for fault in [
        EndpointFault::Garbage,
        EndpointFault::Status(500, "{}".to_owned()),
        EndpointFault::Status(404, "not here".to_owned()),
        EndpointFault::Redirect("https://evil.test/token".to_owned()),
        EndpointFault::Reset,
        EndpointFault::CutShort,
    ] {
        rp.idp.next(Fault::Endpoint(Endpoint::Token, fault.clone()));
        let (kind, text) = kind(rp.sign_in().await);
        assert_eq!(kind, "unavailable", "{fault:?}: {text}");
    }
}

#[tokio::test]
async fn a_token_answer_that_is_too_large_is_refused_for_good() {
    let rp = rp().await;
    rp.idp.next(Fault::Endpoint(
        Endpoint::Token,
        EndpointFault::Huge(2 << 20),
    ));
    let (kind, text) = kind(rp.sign_in().await);
    assert_eq!(kind, "invalid", "{text}");
}
