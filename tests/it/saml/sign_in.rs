//! Signing in by SAML, from the click to what the app sees.

use std::time::Duration;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use jiff::Timestamp;
use usher::certificate::PublicKey;
use usher::demo::saml::{EMAIL, Encryption, PERSISTENT, SignatureOptions, TestKey, at};

use super::{Globex, Settings, makes_session, post, post_form, sent, start};
use crate::support::company::{is_page, page};

#[tokio::test]
async fn signs_in_by_the_redirect_binding_and_the_app_sees_who_it_is() {
    let globex = Globex::open().await;
    let mut browser = globex.browser();
    let back = globex.sign_in(&mut browser, "/deep?x=1", |_| ()).await;
    assert_eq!(back.status, 303, "{}", back.text());
    assert_eq!(back.header("location").as_deref(), Some("/deep?x=1"));
    assert!(makes_session(&back));
    let answer = browser.open(&page("/deep?x=1")).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = globex.company.last_seen();
    let header = |name| seen.header(name);
    assert!(header("x-forwarded-user").unwrap().starts_with("usr_"));
    assert_eq!(
        header("x-forwarded-email").as_deref(),
        Some("ann@globex.example")
    );
    assert_eq!(header("x-forwarded-name").as_deref(), Some("Ann Globex"));
    assert_eq!(
        header("x-forwarded-groups").as_deref(),
        Some("Editors,Staff")
    );
    assert_eq!(header("x-forwarded-roles").as_deref(), Some("editor"));
    let calls = globex.company.callback.calls();
    assert_eq!(calls.len(), 1);
    let identity = &calls[0].json["data"]["identity"];
    assert_eq!(identity["protocol"], "saml");
    assert_eq!(identity["idp"], "globex");
    assert_eq!(identity["issuer"], globex.idp.entity_id());
    assert_eq!(identity["subject"], "ann-0001");
}

#[tokio::test]
async fn the_request_says_what_it_must_and_is_signed_by_the_published_certificate() {
    let settings = Settings {
        saml: vec![
            "name_id_format: persistent",
            "authn_context: ['urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken']",
            "force_authn: true",
        ],
        ..Settings::default()
    };
    let globex = Globex::open_with(settings).await;
    let mut browser = globex.browser();
    let answer = browser.open(&start("globex", "/")).await.unwrap();
    let location = answer.header("location").unwrap();
    assert!(location.starts_with(&globex.idp.sso_url()), "{location}");
    let request = sent(&answer);
    assert_eq!(request.kind, "AuthnRequest");
    assert_eq!(
        request.issuer,
        "https://wiki.test/_usher/saml/globex/metadata"
    );
    assert_eq!(request.acs, "https://wiki.test/_usher/saml/globex/acs");
    assert_eq!(request.destination, Some(globex.idp.sso_url()));
    assert_eq!(request.force_authn.as_deref(), Some("true"));
    assert_eq!(request.name_id_format.as_deref(), Some(PERSISTENT));
    assert_eq!(request.authn_context.len(), 1);
    let relay_state = request.relay_state.clone().unwrap();
    assert!(
        relay_state.len() == 43 && request.id.len() == 33,
        "{request:?}"
    );
    let (signature, signed) = request.signature.unwrap();
    let certificate = globex.certificate("signing").await;
    let PublicKey::Rsa(key) = certificate.key() else {
        panic!("no RSA key")
    };
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key)
        .verify(signed.as_bytes(), &signature)
        .unwrap();
    let state = answer.all("set-cookie");
    assert_eq!(state.len(), 1);
    assert!(
        state[0].contains("SameSite=None") && state[0].contains("Secure"),
        "{state:?}"
    );
    assert!(!state[0].contains(&request.id) && !state[0].contains(&relay_state));
}

#[tokio::test]
async fn signs_in_by_the_post_binding_with_or_without_scripts() {
    let settings = Settings {
        saml: vec!["binding: post"],
        ..Settings::default()
    };
    let globex = Globex::open_with(settings).await;
    let mut browser = globex.browser();
    let answer = browser.open(&start("globex", "/deep")).await.unwrap();
    assert!(is_page(&answer, 200, "<button"), "{}", answer.text());
    let (html, policy) = (
        answer.text(),
        answer.header("content-security-policy").unwrap(),
    );
    assert!(
        html.contains(&format!("action=\"{}\"", globex.idp.sso_url())),
        "{html}"
    );
    let origin = globex.idp.sso_url().replace("/sso", "");
    assert!(
        policy.ends_with(&format!("form-action {origin}")),
        "{policy}"
    );
    let request = sent(&answer);
    assert!(request.xml.contains("<ds:Signature"), "{}", request.xml);
    let response = globex.answer(&request);
    let back = post(&mut browser, &response, request.relay_state.as_deref()).await;
    assert_eq!(back.header("location").as_deref(), Some("/deep"));
    assert_eq!(browser.open(&page("/deep")).await.unwrap().status, 200);
}

#[tokio::test]
async fn signs_in_by_an_encrypted_assertion() {
    let globex = Globex::open().await;
    let certificate = globex.certificate("encryption").await;
    let mut browser = globex.browser();
    let back = globex
        .sign_in(&mut browser, "/", |response| {
            response.encryption = Some(Encryption {
                recipient: certificate.der().to_vec(),
                ..Encryption::to(TestKey::SP)
            });
        })
        .await;
    assert_eq!(back.status, 303, "{}", back.text());
    assert_eq!(browser.open(&page("/")).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_sign_in_that_begins_at_the_portal_counts_only_where_it_is_configured() {
    let off = Globex::open().await;
    let refused = post(&mut off.browser(), &off.unsolicited(), None).await;
    assert!(is_page(&refused, 400, "expired"), "{}", refused.text());
    let settings = Settings {
        saml: vec!["idp_initiated: true"],
        ..Settings::default()
    };
    let on = Globex::open_with(settings).await;
    for (relay_state, to) in [
        (None, "/"),
        (Some("/"), "/"),
        (Some("/deep"), "/"),
        (Some("https://evil.test/"), "/"),
        (Some("//evil.test"), "/"),
    ] {
        let mut browser = on.browser();
        let back = post(&mut browser, &on.unsolicited(), relay_state).await;
        assert_eq!(back.status, 303, "{}", back.text());
        assert_eq!(
            back.header("location").as_deref(),
            Some(to),
            "{relay_state:?}"
        );
        assert_eq!(browser.open(&page("/")).await.unwrap().status, 200);
    }
    let mut browser = on.browser();
    let response = on.unsolicited();
    assert!(makes_session(&post(&mut browser, &response, None).await));
    let again = post(&mut on.browser(), &response, None).await;
    assert!(is_page(&again, 403, "was used already"), "{}", again.text());
    // One that answers a request is no sign-in from the portal.
    let request = on.begin(&mut on.browser(), "/").await;
    let stolen = post(
        &mut on.browser(),
        &on.answer(&request),
        request.relay_state.as_deref(),
    )
    .await;
    assert!(is_page(&stolen, 400, "expired"), "{}", stolen.text());
}

#[tokio::test]
async fn a_form_sent_twice_leads_on_without_a_second_session() {
    let globex = Globex::open().await;
    let mut browser = globex.browser();
    let request = globex.begin(&mut browser, "/deep").await;
    let (response, state) = (globex.answer(&request), request.relay_state.as_deref());
    let stranger = browser.clone();
    assert!(makes_session(&post(&mut browser, &response, state).await));
    for mut browser in [browser.clone(), stranger] {
        let again = post(&mut browser, &response, state).await;
        assert_eq!(again.status, 303);
        assert_eq!(again.header("location").as_deref(), Some("/deep"));
        assert!(again.all("set-cookie").is_empty(), "{again:?}");
    }
    // A fresh assertion does not revive the sign-in either.
    let again = post(&mut browser, &globex.answer(&request), state).await;
    assert!(!makes_session(&again));
}

#[tokio::test]
async fn one_person_by_saml_and_by_oidc_keeps_one_account() {
    let settings = Settings {
        idp: vec![
            "same_users_as: acme",
            "email_domains: [example.com, globex.example]",
        ],
        acme: vec!["email_domains: [example.com]"],
        ..Settings::default()
    };
    let globex = Globex::open_with(settings).await;
    let company = &globex.company;
    let mut browser = globex.browser();
    company.idp.sign_in_as(Some("alice"));
    let oidc = page("/_usher/sign-in/acme?return_to=/");
    assert_eq!(
        browser
            .follow(&oidc, |_| false, 12)
            .await
            .unwrap()
            .answer
            .status,
        200
    );
    let first = company.last_seen();
    let mut browser = globex.browser();
    let back = globex
        .sign_in(&mut browser, "/", |response| {
            response.assertion.attributes.clear();
            let mail = first.header("x-forwarded-email").unwrap();
            response.assertion.attribute("mail", &[&mail]);
        })
        .await;
    assert_eq!(back.status, 303, "{}", back.text());
    browser.open(&page("/")).await.unwrap();
    let second = company.last_seen();
    assert_eq!(
        second.header("x-forwarded-user"),
        first.header("x-forwarded-user")
    );
    assert_eq!(company.callback.created_in_all(), 1);
}

#[tokio::test]
async fn one_name_under_two_formats_is_two_people() {
    let globex = Globex::open().await;
    let mut users = Vec::new();
    for (format, mail) in [
        (PERSISTENT, "a@x.example"),
        (EMAIL, "b@x.example"),
        (PERSISTENT, "a@x.example"),
    ] {
        let mut browser = globex.browser();
        let back = globex
            .sign_in(&mut browser, "/", |response| {
                response.assertion.name_id("ann@x.example", format);
                response.assertion.attributes.clear();
                response.assertion.attribute("mail", &[mail]);
            })
            .await;
        assert_eq!(back.status, 303, "{}", back.text());
        browser.open(&page("/")).await.unwrap();
        users.push(
            globex
                .company
                .last_seen()
                .header("x-forwarded-user")
                .unwrap(),
        );
    }
    assert_ne!(users[0], users[1]);
    assert_eq!(users[0], users[2]);
}

#[tokio::test]
async fn the_session_ends_when_the_idp_says() {
    let globex = Globex::open().await;
    let mut browser = globex.browser();
    let now = Timestamp::now();
    globex
        .sign_in(&mut browser, "/", |response| {
            for authn in &mut response.assertion.authn {
                authn.session_ends_at = Some(at(now, 4));
            }
        })
        .await;
    let me = page("/_usher/me");
    let first = browser.open(&me).await.unwrap();
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(first.json()["expires_at"], at(now, 4));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(browser.open(&me).await.unwrap().status, 401);
}

#[tokio::test]
async fn a_new_sign_in_ends_the_session_that_the_browser_had() {
    let globex = Globex::open().await;
    let mut browser = globex.browser();
    globex.sign_in(&mut browser, "/", |_| ()).await;
    let mut old = browser.clone();
    assert_eq!(old.open(&page("/_usher/me")).await.unwrap().status, 200);
    // The POST of the second sign-in does not bring the session cookie; usher knows of it all the same.
    assert!(makes_session(
        &globex.sign_in(&mut browser, "/", |_| ()).await
    ));
    assert_eq!(browser.open(&page("/_usher/me")).await.unwrap().status, 200);
    assert_eq!(old.open(&page("/_usher/me")).await.unwrap().status, 401);
}

#[tokio::test]
async fn sign_ins_that_never_arrive_are_seen_to_go_round_in_circles() {
    let globex = Globex::open().await;
    let mut browser = globex.browser();
    for _ in 0..4 {
        assert!(makes_session(
            &globex.sign_in(&mut browser, "/", |_| ()).await
        ));
        browser
            .cookies
            .retain(|cookie| cookie.name != "__Host-usher");
    }
    let fifth = browser.open(&start("globex", "/")).await.unwrap();
    assert!(is_page(&fifth, 400, "round in circles"), "{}", fifth.text());
}

#[tokio::test]
async fn the_keys_are_fetched_again_when_the_idp_signs_with_a_new_one() {
    let globex = Globex::open().await;
    assert!(makes_session(
        &globex.sign_in(&mut globex.browser(), "/", |_| ()).await
    ));
    let mut metadata = globex.idp.metadata();
    metadata.keys = vec![(Some("signing".to_owned()), TestKey::IDP_NEXT)];
    globex.idp.set_metadata(metadata);
    let next = |response: &mut usher::demo::saml::Response| {
        response.sign_with(&SignatureOptions::of(TestKey::IDP_NEXT));
    };
    let answer = globex.sign_in(&mut globex.browser(), "/", next).await;
    assert!(makes_session(&answer), "{}", answer.text());
    let former = globex.sign_in(&mut globex.browser(), "/", |_| ()).await;
    assert_eq!(former.status, 403);
}

#[tokio::test]
async fn an_address_finds_the_saml_idp_and_the_page_offers_both() {
    let settings = Settings {
        idp: vec!["email_domains: [globex.example]"],
        ..Settings::default()
    };
    let globex = Globex::open_with(settings).await;
    let mut browser = globex.browser();
    let choice = browser.open(&page("/_usher/sign-in")).await.unwrap();
    let html = choice.text();
    assert!(html.contains("Acme") && html.contains("Globex"), "{html}");
    let origin = globex.idp.sso_url().replace("/sso", "");
    let policy = choice.header("content-security-policy").unwrap();
    assert!(policy.contains(&origin), "{policy}");
    let by_mail = page("/_usher/sign-in?email=ann%40globex.example&return_to=/deep");
    let answer = browser.open(&by_mail).await.unwrap();
    let location = answer.header("location").unwrap();
    assert!(
        location.contains("login_hint=ann%40globex.example"),
        "{location}"
    );
    let request = sent(&answer);
    let response = globex.answer(&request);
    let back = post(&mut browser, &response, request.relay_state.as_deref()).await;
    assert_eq!(back.header("location").as_deref(), Some("/deep"));
}

#[tokio::test]
async fn a_subject_attribute_counts_instead_of_a_transient_name() {
    let settings = Settings {
        saml: vec!["subject: employeeNumber", "name_id_format: transient"],
        ..Settings::default()
    };
    let globex = Globex::open_with(settings).await;
    let mut users = Vec::new();
    for name in ["_first", "_second"] {
        let mut browser = globex.browser();
        let back = globex
            .sign_in(&mut browser, "/", |response| {
                response
                    .assertion
                    .name_id(name, usher::demo::saml::TRANSIENT);
                response.assertion.attribute("employeeNumber", &["4711"]);
            })
            .await;
        assert_eq!(back.status, 303, "{}", back.text());
        browser.open(&page("/")).await.unwrap();
        users.push(
            globex
                .company
                .last_seen()
                .header("x-forwarded-user")
                .unwrap(),
        );
    }
    assert_eq!(users[0], users[1]);
}

#[tokio::test]
async fn two_tabs_of_one_browser_both_arrive() {
    let globex = Globex::open().await;
    let mut browser = globex.browser();
    let first = globex.begin(&mut browser, "/one").await;
    let second = globex.begin(&mut browser, "/two").await;
    for (request, to) in [(second, "/two"), (first, "/one")] {
        let form = globex.answer(&request).to_xml().unwrap();
        let form = usher::demo::saml::form(
            "SAMLResponse",
            form.as_bytes(),
            request.relay_state.as_deref(),
        );
        let back = post_form(&mut browser, &super::acs("globex"), &form).await;
        assert_eq!(
            back.header("location").as_deref(),
            Some(to),
            "{}",
            back.text()
        );
        assert!(makes_session(&back));
    }
}
