//! Metadata and keys: fetched when needed, once for all, and kept when the IdP fails.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use url::Url;
use usher::demo::idp::{DiscoveryFault, Endpoint, EndpointFault, Fault, TokenFault};
use usher::idp::oidc::{Asked, AuthorizationResponse, FlowSecrets};

use super::{callback, kind, rp};

#[tokio::test]
async fn nothing_is_fetched_before_it_is_needed() {
    let rp = rp().await;
    assert_eq!(rp.oidc.origins(), [rp.idp.issuer()]);
    assert_eq!(rp.idp.counts().discovery_calls, 0);
    rp.sign_in().await.unwrap();
    assert_eq!(rp.idp.counts().discovery_calls, 1);
    rp.sign_in().await.unwrap();
    assert_eq!(rp.idp.counts().jwks_calls, 1);
}

#[tokio::test]
async fn fifty_sign_ins_at_once_share_the_fetches() {
    let rp = rp().await;
    let all = futures_util::future::join_all((0..50).map(|_| rp.sign_in())).await;
    assert!(all.into_iter().all(|result| kind(result).0 == "ok"));
    // One for each second that it takes.
    assert!(rp.idp.counts().discovery_calls < 10);
    assert_eq!(rp.idp.counts().jwks_calls, 1);
}

#[tokio::test]
async fn metadata_of_another_issuer_or_without_an_endpoint_is_of_no_use() {
    let field = |name: &str, value| DiscoveryFault::Field(name.to_owned(), value);
    for fault in [
        field("issuer", json!("https://other.test")),
        field("issuer", Value::Null),
        field("token_endpoint", json!("http://other.test/token")),
        field("jwks_uri", json!("file:///etc/passwd")),
        field("authorization_endpoint", json!("javascript:alert(1)")),
        DiscoveryFault::Remove("token_endpoint".to_owned()),
        DiscoveryFault::Remove("jwks_uri".to_owned()),
    ] {
        let rp = rp().await;
        rp.idp.always(Fault::Discovery(fault.clone()));
        let (kind, text) = kind(rp.sign_in().await);
        assert_eq!(kind, "unavailable", "{fault:?}: {text}");
    }
}

#[tokio::test]
async fn an_idp_in_trouble_is_unavailable_within_three_seconds() {
    for fault in [
        EndpointFault::Hang,
        EndpointFault::Garbage,
        EndpointFault::Huge(1 << 20),
        EndpointFault::Status(500, "{}".to_owned()),
        EndpointFault::Redirect("https://evil.test/".to_owned()),
        EndpointFault::Reset,
        EndpointFault::CutShort,
    ] {
        let rp = rp().await;
        rp.idp
            .always(Fault::Endpoint(Endpoint::Discovery, fault.clone()));
        let start = Instant::now();
        let many = futures_util::future::join_all((0..10).map(|_| rp.sign_in())).await;
        assert!(start.elapsed() < Duration::from_secs(3), "{fault:?}");
        assert!(
            many.into_iter()
                .all(|result| kind(result).0 == "unavailable"),
            "{fault:?}"
        );
        assert_eq!(rp.idp.counts().discovery_calls, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_dead_idp_is_noticed_before_the_browser_is_sent_there_and_comes_back() {
    let rp = rp().await;
    rp.sign_in().await.unwrap();
    rp.idp.stop();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let start = Instant::now();
    assert_eq!(kind(rp.sign_in().await).0, "unavailable");
    assert!(start.elapsed() < Duration::from_secs(3));
    rp.idp.restart().await.unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert_eq!(kind(rp.sign_in().await).0, "ok");
}

#[tokio::test]
async fn the_last_good_metadata_outlives_nonsense() {
    let rp = rp().await;
    rp.sign_in().await.unwrap();
    rp.idp
        .always(Fault::Endpoint(Endpoint::Discovery, EndpointFault::Garbage));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(kind(rp.sign_in().await).0, "ok");
    assert_eq!(rp.idp.counts().discovery_calls, 2);
}

#[tokio::test]
async fn rotated_keys_are_fetched_once_for_all_who_wait() {
    let rp = rp().await;
    rp.sign_in().await.unwrap();
    rp.idp.rotate_keys(false).unwrap();
    let all = futures_util::future::join_all((0..20).map(|_| rp.sign_in())).await;
    assert!(all.into_iter().all(|result| kind(result).0 == "ok"));
    assert_eq!(rp.idp.counts().jwks_calls, 2);
}

#[tokio::test]
async fn unknown_kids_do_not_make_a_flood_of_fetches() {
    let rp = rp().await;
    rp.sign_in().await.unwrap();
    for round in 0..20 {
        let fault = TokenFault::Header("kid".to_owned(), json!(format!("kid-{round}")));
        rp.idp.next(Fault::IdToken(fault));
        assert_eq!(kind(rp.sign_in().await).0, "invalid");
    }
    assert_eq!(rp.idp.counts().jwks_calls, 2);
    assert_eq!(kind(rp.sign_in().await).0, "ok");
}

#[tokio::test]
async fn without_keys_a_sign_in_is_unavailable() {
    for fault in [
        EndpointFault::Garbage,
        EndpointFault::Reset,
        EndpointFault::Huge(1 << 20),
    ] {
        let rp = rp().await;
        rp.idp.always(Fault::Endpoint(Endpoint::Jwks, fault));
        assert_eq!(kind(rp.sign_in().await).0, "unavailable");
    }
}

#[tokio::test]
async fn a_sign_in_takes_ten_seconds_at_most() {
    let rp = rp().await;
    let (secrets, response) = rp.begin().await.unwrap();
    let delay = EndpointFault::Delay(Duration::from_secs(6));
    rp.idp
        .always(Fault::Endpoint(Endpoint::Token, delay.clone()));
    rp.idp.always(Fault::Endpoint(Endpoint::Jwks, delay));
    let start = Instant::now();
    assert_eq!(kind(rp.redeem(&secrets, &response).await).0, "unavailable");
    assert!(start.elapsed() < Duration::from_millis(11_500));
}

#[tokio::test]
async fn the_authorization_url_has_what_was_asked_for() {
    let rp =
        super::rp_with(|oidc, _| oidc.response_mode = usher::config::ResponseMode::FormPost).await;
    let secrets = FlowSecrets::generate().unwrap();
    let url = rp
        .oidc
        .authorization_url(
            &callback(),
            &secrets,
            Asked {
                login_hint: Some("alice@example.com"),
                other_account: true,
                anew: false,
            },
        )
        .await
        .unwrap();
    let param = |name: &str| {
        let mut found = url.query_pairs().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.into_owned());
        assert!(found.next().is_none(), "{name} stands twice");
        value.unwrap_or_default()
    };
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "usher"),
        ("redirect_uri", super::CALLBACK),
        ("state", &secrets.state),
        ("nonce", &secrets.nonce),
        ("code_challenge_method", "S256"),
        ("response_mode", "form_post"),
        ("prompt", "login"),
        ("login_hint", "alice@example.com"),
        ("scope", "openid email profile groups"),
    ] {
        assert_eq!(param(name), value, "{name}");
    }
    assert!(!url.as_str().contains(&secrets.code_verifier));
}

#[tokio::test]
async fn signs_out_at_the_idp_with_the_id_token_as_a_hint() {
    let rp = rp().await;
    let facts = rp.sign_in().await.unwrap();
    let id_token = facts.tokens.id_token;
    let back = Url::parse("http://127.0.0.1:9/_usher/signed-out").unwrap();
    let url = rp
        .oidc
        .sign_out_url(id_token.as_ref(), &back, "s1")
        .await
        .unwrap();
    let response = rp.visit(&url).await;
    assert_eq!(response.state.as_deref(), Some("s1"));
    let seen = rp.idp.last_end_session().unwrap();
    assert!(
        seen.contains(&("client_id".to_owned(), "usher".to_owned())),
        "{seen:?}"
    );
    assert!(seen.iter().any(|(name, _)| name == "id_token_hint"));
}

#[tokio::test]
async fn signing_out_waits_two_seconds_at_most() {
    let rp = rp().await;
    rp.idp
        .always(Fault::Endpoint(Endpoint::Discovery, EndpointFault::Hang));
    let start = Instant::now();
    let back = callback();
    assert!(rp.oidc.sign_out_url(None, &back, "s1").await.is_none());
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_answer_with_a_wrong_state_makes_nobody_fetch_anything() {
    let rp = rp().await;
    let secrets = FlowSecrets::generate().unwrap();
    let mut response = AuthorizationResponse {
        state: Some("other".to_owned()),
        ..AuthorizationResponse::default()
    };
    assert_eq!(kind(rp.redeem(&secrets, &response).await).0, "invalid");
    assert_eq!(rp.idp.counts().discovery_calls, 0);
    response.state = Some(secrets.state.clone());
    assert_eq!(kind(rp.redeem(&secrets, &response).await).0, "invalid");
    assert_eq!(rp.idp.counts().discovery_calls, 1);
}
