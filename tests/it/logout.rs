//! An OIDC IdP signs somebody out: by a call of its own, or through the browser.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;
use usher::demo::idp::TestIdp;

use crate::support::browser::Browser;
use crate::support::company::{Company, page};
use crate::support::wire::Answer;

/// From the call to the end of a session, on a machine that is busy with other tests.
const PROMPT: Duration = Duration::from_secs(5);

/// The claims of a good logout token about `sub` or `sid`.
fn claims(idp: &TestIdp, about: &Value) -> Value {
    let now = Timestamp::now().as_second();
    let mut claims = json!({
        "iss": idp.issuer(), "aud": "usher", "iat": now, "exp": now + 120,
        "jti": format!("{}", uuid::Uuid::now_v7()),
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    for (name, value) in about.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn token(idp: &TestIdp, claims: &Value) -> String {
    let header = json!({ "alg": "RS256", "typ": "logout+jwt", "kid": idp.kid().unwrap() });
    idp.sign(&header, &claims.to_string()).unwrap()
}

/// Posts a logout token as the IdP does.
async fn call(company: &Company, token: &str) -> Answer {
    let form = format!("logout_token={token}");
    let url = page("/_usher/oidc/acme/backchannel-logout");
    let mut idp = company.browser();
    idp.send(&url, "POST", &[], Some(&form)).await.unwrap()
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    let me = browser.open(&page("/_usher/me")).await.unwrap();
    me.status == 200
}

/// A browser with a session, and the IdP's id of it.
async fn signed_in(company: &Company, name: &str) -> (Browser, String) {
    let (browser, _) = company.signed_in(name, "/").await;
    (browser, company.idp.last_sid().unwrap())
}

#[tokio::test]
async fn ends_the_session_that_the_identity_provider_names() {
    let company = Company::open().await;
    let (mut first, sid) = signed_in(&company, "alice").await;
    let (mut second, _) = signed_in(&company, "alice").await;
    let began = Instant::now();
    let token = token(&company.idp, &claims(&company.idp, &json!({ "sid": sid })));
    let answer = call(&company, &token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    assert!(!is_signed_in(&mut first).await);
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    assert!(is_signed_in(&mut second).await);
    // Used once.
    assert_eq!(call(&company, &token).await.status, 400);
}

#[tokio::test]
async fn a_subject_alone_means_all_its_sessions_and_nobody_elses() {
    let company = Company::open().await;
    let (mut first, _) = signed_in(&company, "alice").await;
    let (mut second, _) = signed_in(&company, "alice").await;
    let (mut bob, bobs) = signed_in(&company, "bob").await;
    // A session of somebody else: both must fit.
    let both = json!({ "sub": "sub-alice", "sid": bobs });
    let answer = call(&company, &token(&company.idp, &claims(&company.idp, &both))).await;
    assert_eq!(answer.status, 200);
    assert!(is_signed_in(&mut first).await && is_signed_in(&mut bob).await);
    let about = json!({ "sub": "sub-alice" });
    let answer = call(
        &company,
        &token(&company.idp, &claims(&company.idp, &about)),
    )
    .await;
    assert_eq!(answer.status, 200);
    assert!(!is_signed_in(&mut first).await && !is_signed_in(&mut second).await);
    assert!(is_signed_in(&mut bob).await);
}

#[tokio::test]
async fn a_logout_token_that_fails_a_check_ends_nothing() {
    let company = Company::open().await;
    let (mut alice, _) = signed_in(&company, "alice").await;
    let now = Timestamp::now().as_second();
    let about = json!({ "sub": "sub-alice" });
    let changes = [
        ("iss", json!("https://other.test")),
        ("aud", json!("other")),
        ("aud", json!(["usher", "other"])),
        ("nonce", Value::Null),
        ("nonce", json!("x")),
        ("iat", json!(now - 301)),
        ("iat", json!(now + 90)),
        ("exp", json!(now - 90)),
        ("exp", json!("x")),
        ("events", json!({})),
        (
            "events",
            json!({ "http://schemas.openid.net/event/backchannel-logout": 1 }),
        ),
        ("jti", json!("")),
        ("sub", json!(7)),
    ];
    for (name, value) in changes {
        let mut claims = claims(&company.idp, &about);
        claims[name] = value.clone();
        let answer = call(&company, &token(&company.idp, &claims)).await;
        assert_eq!(answer.status, 400, "{name} {value}: {}", answer.text());
        assert_eq!(answer.json()["error"], "invalid_request");
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
    }
    for missing in ["iss", "aud", "iat", "exp", "events", "jti", "sub"] {
        let mut claims = claims(&company.idp, &about);
        claims.as_object_mut().unwrap().remove(missing);
        let answer = call(&company, &token(&company.idp, &claims)).await;
        assert_eq!(answer.status, 400, "{missing}");
    }
    let unsigned = token(&company.idp, &claims(&company.idp, &about));
    let (signed, _) = unsigned.rsplit_once('.').unwrap();
    assert_eq!(call(&company, &format!("{signed}.AAAA")).await.status, 400);
    assert_eq!(call(&company, "").await.status, 400);
    assert!(is_signed_in(&mut alice).await);
}

#[tokio::test]
async fn a_session_that_ends_there_while_it_begins_here_never_begins() {
    let company = Company::open().await;
    let mut browser = company.browser();
    let callback = company.up_to_callback(&mut browser, "alice", "/").await;
    let sid = company.idp.last_sid().unwrap();
    let token = token(&company.idp, &claims(&company.idp, &json!({ "sid": sid })));
    assert_eq!(call(&company, &token).await.status, 200);
    let answer = browser.open(&callback).await.unwrap();
    assert_eq!(answer.status, 403, "{}", answer.text());
    assert!(!is_signed_in(&mut browser).await);
}

fn front(iss: &str, sid: &str) -> Url {
    let mut url = page("/_usher/oidc/acme/frontchannel-logout");
    url.query_pairs_mut()
        .append_pair("iss", iss)
        .append_pair("sid", sid);
    url
}

#[tokio::test]
async fn a_front_channel_call_ends_the_session_it_names() {
    let company = Company::open().await;
    let (mut alice, sid) = signed_in(&company, "alice").await;
    let (mut bob, _) = signed_in(&company, "bob").await;
    let mut frame = company.browser();
    let foreign = frame
        .open(&front("https://other.test", &sid))
        .await
        .unwrap();
    assert_eq!(foreign.status, 400);
    let unnamed = frame
        .open(&page("/_usher/oidc/acme/frontchannel-logout"))
        .await
        .unwrap();
    assert_eq!(unnamed.status, 400);
    assert!(is_signed_in(&mut alice).await);
    let answer = frame
        .open(&front(company.idp.issuer(), &sid))
        .await
        .unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(!is_signed_in(&mut alice).await && is_signed_in(&mut bob).await);
}
