//! Signing out by SAML: from here, and from the IdP.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use jiff::Timestamp;
use url::Url;
use usher::certificate::PublicKey;
use usher::demo::saml::{
    LogoutRequest, LogoutResponse, NameId, PERSISTENT, SUCCESS, SentRequest, SignatureAlgorithm,
    SignatureOptions, TestKey, form, redirect_query,
};

use super::{Globex, Settings, makes_session, post_form, sent};
use crate::support::browser::Browser;
use crate::support::company::{is_page, page};
use crate::support::wire::Answer;

const BY: Option<(TestKey, SignatureAlgorithm)> =
    Some((TestKey::IDP, SignatureAlgorithm::RsaSha256));

fn slo() -> Url {
    page("/_usher/saml/globex/slo")
}

fn with_query(query: &str) -> Url {
    let mut url = slo();
    url.set_query(Some(query));
    url
}

/// A browser in which somebody is signed in, in a session of the IdP.
async fn signed_in(globex: &Globex, name: &str, session: &str) -> Browser {
    let mut browser = globex.browser();
    let answer = globex
        .sign_in(&mut browser, "/", |response| {
            response.assertion.name_id(name, PERSISTENT);
            let mail = format!("{name}@globex.example");
            response.assertion.attributes.clear();
            response.assertion.attribute("mail", &[&mail]);
            response.assertion.authn[0].session_index = Some(session.to_owned());
        })
        .await;
    assert!(makes_session(&answer), "{}", answer.text());
    browser
}

async fn is_signed_in(browser: &mut Browser) -> bool {
    let me = browser.open(&page("/_usher/me")).await.unwrap();
    me.status == 200
}

/// What Globex asks: everybody of that name out, or of those sessions alone.
fn ask(globex: &Globex, name: &str, session: Option<&str>) -> LogoutRequest {
    let name = NameId::new(name, PERSISTENT);
    let now = Timestamp::now();
    LogoutRequest::new(&globex.idp.entity_id(), slo().as_str(), &name, session, now)
}

/// Sends a request of Globex through a browser by the Redirect binding.
async fn send(browser: &mut Browser, request: &LogoutRequest) -> Answer {
    let xml = request.to_xml().unwrap();
    let query = redirect_query("SAMLRequest", &xml, Some("theirs & ours"), BY).unwrap();
    browser.open(&with_query(&query)).await.unwrap()
}

/// The answer that usher sends back, with its signature verified against the published certificate.
async fn verified(globex: &Globex, answer: &Answer) -> SentRequest {
    let message = sent(answer);
    let (signature, signed) = message.signature.clone().unwrap();
    let certificate = globex.certificate("signing").await;
    let PublicKey::Rsa(key) = certificate.key() else {
        panic!("no RSA key")
    };
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
        .verify(signed.as_bytes(), &signature)
        .unwrap();
    message
}

/// Signs out and reads the request that goes on to the IdP.
async fn leave(globex: &Globex, browser: &mut Browser) -> SentRequest {
    let answer = browser
        .open(&page("/_usher/sign-out?return_to=/bye"))
        .await
        .unwrap();
    assert!(!is_signed_in(browser).await);
    verified(globex, &answer).await
}

/// The answer of Globex to usher's request, through the same browser.
async fn answered(
    globex: &Globex,
    browser: &mut Browser,
    request: &SentRequest,
    change: impl FnOnce(&mut LogoutResponse),
) -> Answer {
    let (idp, now) = (globex.idp.entity_id(), Timestamp::now());
    let mut response = LogoutResponse::new(&idp, slo().as_str(), &request.id, now);
    change(&mut response);
    let xml = response.to_xml().unwrap();
    let state = request.relay_state.as_deref();
    let query = redirect_query("SAMLResponse", &xml, state, BY).unwrap();
    browser.open(&with_query(&query)).await.unwrap()
}

#[tokio::test]
async fn signing_out_here_signs_out_at_the_identity_provider_too() {
    let globex = Globex::open().await;
    let mut browser = signed_in(&globex, "ann", "_s1").await;
    let request = leave(&globex, &mut browser).await;
    assert_eq!(request.kind, "LogoutRequest");
    assert_eq!(request.destination, Some(globex.idp.slo_url()));
    assert_eq!(
        request.issuer,
        "https://wiki.test/_usher/saml/globex/metadata"
    );
    assert_eq!(request.name_id.as_deref(), Some("ann"));
    assert_eq!(request.session_indexes, ["_s1"]);
    let back = answered(&globex, &mut browser, &request, |_| ()).await;
    assert!(
        is_page(&back, 200, "You are signed out<"),
        "{}",
        back.text()
    );
    assert!(back.text().contains("href=\"/bye\""), "{}", back.text());
    // Used once: the cookie of this sign-out is gone.
    let again = answered(&globex, &mut browser, &request, |_| ()).await;
    assert_eq!(again.status, 400);
}

#[tokio::test]
async fn signs_out_by_the_post_binding_too() {
    let settings = Settings {
        saml: vec!["binding: post"],
        ..Settings::default()
    };
    let globex = Globex::open_with(settings).await;
    let mut browser = signed_in(&globex, "ann", "_s1").await;
    let answer = browser.open(&page("/_usher/sign-out")).await.unwrap();
    assert!(is_page(&answer, 200, "<button"), "{}", answer.text());
    let request = sent(&answer);
    assert_eq!(request.kind, "LogoutRequest");
    assert!(request.xml.contains("SignatureValue"), "{}", request.xml);
    let (idp, now) = (globex.idp.entity_id(), Timestamp::now());
    let mut response = LogoutResponse::new(&idp, slo().as_str(), &request.id, now);
    response.signature = Some(SignatureOptions::of(TestKey::IDP));
    let xml = response.to_xml().unwrap();
    let state = request.relay_state.as_deref();
    let form = form("SAMLResponse", xml.as_bytes(), state);
    let back = post_form(&mut browser, &slo(), &form).await;
    assert!(
        is_page(&back, 200, "You are signed out<"),
        "{}",
        back.text()
    );
}

#[tokio::test]
async fn tells_the_person_where_they_are_still_signed_in() {
    let globex = Globex::open().await;
    let mut browser = signed_in(&globex, "ann", "_s1").await;
    let request = leave(&globex, &mut browser).await;
    let partial = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout";
    let back = answered(&globex, &mut browser, &request, |response| {
        response.sub_status = Some(partial.to_owned());
    })
    .await;
    assert!(is_page(&back, 200, "signed out here"), "{}", back.text());
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_or_to_another_request_is_refused() {
    let globex = Globex::open().await;
    let mut browser = signed_in(&globex, "ann", "_s1").await;
    let request = leave(&globex, &mut browser).await;
    let other = answered(&globex, &mut browser, &request, |response| {
        response.in_response_to = Some("_another".to_owned());
    })
    .await;
    assert_eq!(other.status, 403, "{}", other.text());
    let mut stranger = globex.browser();
    let unasked = answered(&globex, &mut stranger, &request, |_| ()).await;
    assert_eq!(unasked.status, 400, "{}", unasked.text());
}

#[tokio::test]
async fn the_identity_provider_signs_out_all_sessions_of_a_name() {
    let globex = Globex::open().await;
    let mut first = signed_in(&globex, "ann", "_s1").await;
    let mut second = signed_in(&globex, "ann", "_s2").await;
    let mut bob = signed_in(&globex, "bob", "_s3").await;
    let request = ask(&globex, "ann", None);
    // By a browser of its own: what counts is the name, not whose cookie comes along.
    let answer = send(&mut globex.browser(), &request).await;
    let response = verified(&globex, &answer).await;
    assert_eq!(response.kind, "LogoutResponse");
    assert_eq!(response.status.as_deref(), Some(SUCCESS));
    assert_eq!(response.in_response_to, request.id);
    assert_eq!(response.destination, Some(globex.idp.slo_url()));
    assert_eq!(response.relay_state.as_deref(), Some("theirs & ours"));
    assert!(!is_signed_in(&mut first).await);
    assert!(!is_signed_in(&mut second).await);
    assert!(is_signed_in(&mut bob).await);
}

#[tokio::test]
async fn a_session_index_names_one_session_and_a_format_one_name() {
    let globex = Globex::open().await;
    let mut first = signed_in(&globex, "ann", "_s1").await;
    let mut second = signed_in(&globex, "ann", "_s2").await;
    send(&mut globex.browser(), &ask(&globex, "ann", Some("_s1"))).await;
    assert!(!is_signed_in(&mut first).await);
    assert!(is_signed_in(&mut second).await);
    let mut other_format = ask(&globex, "ann", None);
    let format = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified";
    other_format.name_ids = vec![NameId::new("ann", format)];
    send(&mut globex.browser(), &other_format).await;
    assert!(is_signed_in(&mut second).await);
}

#[tokio::test]
async fn takes_a_request_by_the_post_binding_from_another_site() {
    let globex = Globex::open().await;
    let mut ann = signed_in(&globex, "ann", "_s1").await;
    let mut request = ask(&globex, "ann", None);
    request.signature = Some(SignatureOptions::of(TestKey::IDP));
    let xml = request.to_xml().unwrap();
    let form = form("SAMLRequest", xml.as_bytes(), None);
    let answer = post_form(&mut ann, &slo(), &form).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(verified(&globex, &answer).await.kind, "LogoutResponse");
    assert!(!is_signed_in(&mut ann).await);
}

#[tokio::test]
async fn nobody_else_can_sign_somebody_out_and_nobody_twice() {
    let globex = Globex::open().await;
    let mut ann = signed_in(&globex, "ann", "_s1").await;
    let xml = ask(&globex, "ann", None).to_xml().unwrap();
    let attacker = Some((TestKey::ATTACKER, SignatureAlgorithm::RsaSha256));
    for signer in [None, attacker] {
        let query = redirect_query("SAMLRequest", &xml, None, signer).unwrap();
        let mut browser = globex.browser();
        let answer = browser.open(&with_query(&query)).await.unwrap();
        assert_eq!(answer.status, 403, "{}", answer.text());
        assert!(is_signed_in(&mut ann).await);
    }
    let request = ask(&globex, "ann", None);
    assert_eq!(send(&mut globex.browser(), &request).await.status, 302);
    assert!(!is_signed_in(&mut ann).await);
    let mut again = signed_in(&globex, "ann", "_s4").await;
    let replayed = send(&mut globex.browser(), &request).await;
    assert_eq!(replayed.status, 403, "{}", replayed.text());
    assert!(is_signed_in(&mut again).await);
}

#[tokio::test]
async fn what_is_no_message_is_a_bad_request() {
    let globex = Globex::open().await;
    let mut browser = globex.browser();
    for query in ["", "SAMLRequest=!!!", "SAMLResponse=AAAA&SAMLRequest=AAAA"] {
        let answer = browser.open(&with_query(query)).await.unwrap();
        assert_eq!(answer.status, 400, "{query}");
    }
    let both = "SAMLRequest=AAAA&SAMLResponse=AAAA";
    let answer = post_form(&mut browser, &slo(), both).await;
    assert_eq!(answer.status, 400);
}
