//! Attributes that follow within a session.

use jiff::Timestamp;
use serde_json::{Value, json};
use usher::demo::idp::{Endpoint, EndpointFault, Fault, ResponseFault, TokenFault, UserinfoFault};
use usher::idp::oidc::{Facts, OidcError, Renewed};

use super::{Rp, kind_of, rp};

async fn renew(rp: &Rp, facts: &Facts) -> Result<Renewed, OidcError> {
    rp.oidc
        .renew(&facts.tokens, &facts.subject, Timestamp::now())
        .await
}

fn text(secret: Option<&usher::secret::Secret>) -> Option<&str> {
    secret.map(usher::secret::Secret::expose)
}

#[tokio::test]
async fn changed_groups_come_with_rotated_tokens() {
    let rp = rp().await;
    let facts = rp.sign_in().await.unwrap();
    rp.idp
        .change_user("alice", |user| user.groups = vec!["admins".to_owned()]);
    let renewed = renew(&rp, &facts).await.unwrap();
    assert_eq!(renewed.attributes.unwrap().groups, ["admins"]);
    let (old, new) = (&facts.tokens, &renewed.tokens);
    assert_ne!(
        text(old.refresh_token.as_ref()),
        text(new.refresh_token.as_ref())
    );
    assert_ne!(text(old.id_token.as_ref()), text(new.id_token.as_ref()));
    assert!(new.access_token.is_some());
}

#[tokio::test]
async fn a_refresh_token_that_is_not_rotated_is_kept() {
    let rp = rp().await;
    let facts = rp.sign_in().await.unwrap();
    rp.idp.next(Fault::RefreshResponse(ResponseFault::Remove(
        "refresh_token".to_owned(),
    )));
    let renewed = renew(&rp, &facts).await.unwrap();
    let kept = text(renewed.tokens.refresh_token.as_ref());
    assert_eq!(kept, text(facts.tokens.refresh_token.as_ref()));
}

#[tokio::test]
async fn without_a_new_id_token_userinfo_tells() {
    let rp = rp().await;
    let facts = rp.sign_in().await.unwrap();
    rp.idp
        .settings(|settings| settings.id_token_on_refresh = false);
    rp.idp.change_user("alice", |user| user.groups = Vec::new());
    let renewed = renew(&rp, &facts).await.unwrap();
    assert_eq!(renewed.attributes.unwrap().groups, [""; 0]);
    let kept = text(renewed.tokens.id_token.as_ref());
    assert_eq!(kept, text(facts.tokens.id_token.as_ref()));
}

#[tokio::test]
async fn without_a_refresh_token_userinfo_is_polled() {
    let rp = rp().await;
    rp.idp.settings(|settings| settings.refresh_tokens = false);
    let facts = rp.sign_in().await.unwrap();
    assert!(facts.tokens.refresh_token.is_none());
    rp.idp
        .change_user("alice", |user| user.groups = vec!["admins".to_owned()]);
    let renewed = renew(&rp, &facts).await.unwrap();
    assert_eq!(renewed.attributes.unwrap().groups, ["admins"]);
    rp.idp.revoke_tokens();
    let error = renew(&rp, &facts).await.unwrap_err();
    assert_eq!(kind_of(&error), "refused");
}

#[tokio::test]
async fn what_userinfo_does_not_speak_of_stays_as_the_id_token_said() {
    let rp = rp().await;
    rp.idp.settings(|settings| settings.refresh_tokens = false);
    let facts = rp.sign_in().await.unwrap();
    rp.idp
        .always(Fault::Userinfo(UserinfoFault::Remove("groups".to_owned())));
    let renewed = renew(&rp, &facts).await.unwrap();
    assert_eq!(renewed.attributes.unwrap().groups, ["engineering", "wiki"]);
}

#[tokio::test]
async fn only_the_idps_own_word_ends_a_session() {
    for (fault, expected) in [
        (
            ResponseFault::Error(400, "invalid_grant".to_owned()),
            "refused",
        ),
        (
            ResponseFault::Error(401, "invalid_client".to_owned()),
            "unavailable",
        ),
        (
            ResponseFault::Error(503, "server_error".to_owned()),
            "unavailable",
        ),
    ] {
        let rp = rp().await;
        let facts = rp.sign_in().await.unwrap();
        rp.idp.next(Fault::RefreshResponse(fault.clone()));
        let error = renew(&rp, &facts).await.unwrap_err();
        assert_eq!(kind_of(&error), expected, "{fault:?}: {error}");
    }
    let rp = rp().await;
    let facts = rp.sign_in().await.unwrap();
    rp.idp.change_user("alice", |user| user.enabled = false);
    assert_eq!(kind_of(&renew(&rp, &facts).await.unwrap_err()), "refused");
    rp.idp.stop();
    assert_eq!(
        kind_of(&renew(&rp, &facts).await.unwrap_err()),
        "unavailable"
    );
}

#[tokio::test]
async fn a_refreshed_token_must_be_of_the_same_person_issuer_and_client() {
    let rp = rp().await;
    for (name, value) in [
        ("sub", json!("sub-bob")),
        ("iss", json!("https://other.test")),
        ("aud", json!("other")),
        ("exp", json!(1)),
        ("sub", Value::Null),
    ] {
        let facts = rp.sign_in().await.unwrap();
        rp.idp.next(Fault::RefreshIdToken(TokenFault::Claim(
            name.to_owned(),
            value,
        )));
        let error = renew(&rp, &facts).await.unwrap_err();
        assert_eq!(kind_of(&error), "invalid", "{name}: {error}");
    }
    let facts = rp.sign_in().await.unwrap();
    rp.idp
        .next(Fault::RefreshIdToken(TokenFault::CorruptSignature));
    assert_eq!(kind_of(&renew(&rp, &facts).await.unwrap_err()), "invalid");
}

#[tokio::test]
async fn rotated_tokens_are_not_lost_when_userinfo_fails_after_them() {
    let rp = rp().await;
    let facts = rp.sign_in().await.unwrap();
    rp.idp
        .settings(|settings| settings.id_token_on_refresh = false);
    rp.idp.next(Fault::Endpoint(
        Endpoint::Userinfo,
        EndpointFault::Status(503, "{}".to_owned()),
    ));
    let renewed = renew(&rp, &facts).await.unwrap();
    assert!(renewed.attributes.is_none());
    let again = rp
        .oidc
        .renew(&renewed.tokens, &facts.subject, Timestamp::now())
        .await
        .unwrap();
    assert!(again.attributes.is_some());
}

#[tokio::test]
async fn a_session_of_another_issuer_is_not_renewed_here() {
    let rp = rp().await;
    let mut facts = rp.sign_in().await.unwrap();
    facts.subject.issuer = "https://former.example".to_owned();
    assert_eq!(kind_of(&renew(&rp, &facts).await.unwrap_err()), "invalid");
    assert_eq!(rp.idp.counts().refresh_calls, 0);
}
