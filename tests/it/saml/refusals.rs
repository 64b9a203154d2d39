//! Sign-ins by SAML that are refused, and what people and the log are told.

use std::time::Duration;

use usher::demo::saml::{MetadataFault, Response, Signed, form};

use super::{Globex, Settings, acs, entry, idp, makes_session, post, post_form, start};
use crate::support::company::{eventually, is_page, page};
use crate::support::wire::Answer;

/// The log comes through a pipe, a little later than the answer.
async fn logs(globex: &Globex, words: &str) {
    let usher = &globex.company.usher;
    let patience = Duration::from_secs(5);
    eventually(patience, words, || usher.log().contains(words)).await;
}

/// The check that fails, words of its sentence, and what makes it fail.
type Change<'a> = (&'a str, &'a str, &'a dyn Fn(&mut Response));

#[tokio::test]
async fn the_page_names_the_check_in_plain_words_and_the_log_both_sides() {
    let globex = Globex::open().await;
    let unsigned = |response: &mut Response| response.signed = Signed::Nothing;
    let audience = |response: &mut Response| {
        if let Some(conditions) = &mut response.assertion.conditions {
            conditions.audiences = vec![vec!["https://other.test/sp".to_owned()]];
        }
    };
    let recipient = |response: &mut Response| {
        for confirmation in &mut response.assertion.confirmations {
            confirmation.recipient = Some("https://other.test/acs".to_owned());
        }
    };
    let changes: [Change<'_>; 3] = [
        ("signature", "did not sign its answer", &unsigned),
        ("audience", "Entity ID", &audience),
        ("recipient", "ACS URL", &recipient),
    ];
    for (check, words, change) in changes {
        let mut browser = globex.browser();
        let request = globex.begin(&mut browser, "/").await;
        let mut response = globex.answer(&request);
        change(&mut response);
        let refused = post(&mut browser, &response, request.relay_state.as_deref()).await;
        assert!(is_page(&refused, 403, words), "{check}: {}", refused.text());
        assert!(refused.text().contains("invalid_login"));
        assert!(
            !refused.text().contains("other.test"),
            "the page shows values"
        );
        logs(&globex, &format!("\"check\":\"{check}\"")).await;
        // Nothing was used up: the good answer still counts.
        let good = post(
            &mut browser,
            &globex.answer(&request),
            request.relay_state.as_deref(),
        )
        .await;
        assert!(makes_session(&good), "{}", good.text());
    }
    let log = globex.company.usher.log();
    assert!(log.contains("https://other.test/sp") && log.contains("https://wiki.test/_usher/saml"));
    assert!(!log.contains("ann@globex.example"));
}

#[tokio::test]
async fn an_answer_for_another_browser_signs_nobody_in() {
    let globex = Globex::open().await;
    let mut attacker = globex.browser();
    let request = globex.begin(&mut attacker, "/").await;
    let response = globex.answer(&request);
    let mut victim = globex.browser();
    for relay_state in [request.relay_state.as_deref(), Some("x"), None] {
        let refused = post(&mut victim, &response, relay_state).await;
        assert!(is_page(&refused, 400, "expired"), "{}", refused.text());
    }
    // A sign-in of their own does not help either: the answer is to another request.
    let own = globex.begin(&mut victim, "/").await;
    let refused = post(&mut victim, &response, own.relay_state.as_deref()).await;
    assert!(
        is_page(&refused, 403, "does not belong"),
        "{}",
        refused.text()
    );
    assert!(
        victim
            .cookies
            .iter()
            .all(|cookie| cookie.name != "__Host-usher")
    );
}

#[tokio::test]
async fn a_changed_state_cookie_is_none() {
    let globex = Globex::open().await;
    let mut browser = globex.browser();
    let request = globex.begin(&mut browser, "/").await;
    for cookie in &mut browser.cookies {
        let last = if cookie.value.ends_with('A') {
            "B"
        } else {
            "A"
        };
        cookie.value.replace_range(cookie.value.len() - 1.., last);
        let middle = cookie.value.len() / 2;
        cookie.value.replace_range(middle..=middle, "-");
    }
    let refused = post(
        &mut browser,
        &globex.answer(&request),
        request.relay_state.as_deref(),
    )
    .await;
    assert!(is_page(&refused, 400, "expired"), "{}", refused.text());
}

#[tokio::test]
async fn an_answer_of_one_idp_does_not_count_for_another() {
    let initech = idp().await;
    let settings = Settings {
        more_idps: entry("initech", "Initech", &initech, &Settings::default()),
        ..Settings::default()
    };
    let globex = Globex::open_with(settings).await;
    let mut browser = globex.browser();
    let answer = browser.open(&start("initech", "/")).await.unwrap();
    let request = super::sent(&answer);
    // Globex, which has the same test key, answers what Initech was asked.
    let refused = post(
        &mut browser,
        &globex.answer(&request),
        request.relay_state.as_deref(),
    )
    .await;
    assert!(is_page(&refused, 403, "issuer"), "{}", refused.text());
    let xml = globex.answer(&request).to_xml().unwrap();
    let form = form(
        "SAMLResponse",
        xml.as_bytes(),
        request.relay_state.as_deref(),
    );
    let refused = post_form(&mut browser, &acs("globex"), &form).await;
    assert!(is_page(&refused, 400, "expired"), "{}", refused.text());
}

#[tokio::test]
async fn a_disabled_idp_signs_nobody_in_and_still_shows_what_to_register() {
    let settings = Settings {
        idp: vec!["enabled: false"],
        saml: vec!["idp_initiated: true"],
        ..Settings::default()
    };
    let globex = Globex::open_with(settings).await;
    let mut browser = globex.browser();
    let refused = browser.open(&start("globex", "/")).await.unwrap();
    assert_eq!(refused.status, 404);
    let refused = post(&mut browser, &globex.unsolicited(), None).await;
    assert_eq!(refused.status, 404);
    let metadata = globex.metadata().await;
    assert_eq!(metadata.status, 200);
    let kind = metadata.header("content-type").unwrap();
    assert_eq!(kind, "application/samlmetadata+xml");
    let xml = metadata.text();
    for part in [
        "entityID=\"https://wiki.test/_usher/saml/globex/metadata\"",
        "AuthnRequestsSigned=\"true\"",
        "Location=\"https://wiki.test/_usher/saml/globex/acs\"",
        "Location=\"https://wiki.test/_usher/saml/globex/slo\"",
    ] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
}

#[tokio::test]
async fn without_metadata_the_page_says_that_the_idp_is_not_there() {
    let idp = idp().await;
    idp.set_fault(MetadataFault::Status(500));
    let globex = Globex::open_at(idp, Settings::default()).await;
    let down = globex.browser().open(&start("globex", "/")).await.unwrap();
    assert!(is_page(&down, 503, "cannot be reached"), "{}", down.text());
    globex.idp.set_fault(MetadataFault::Nothing);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    assert!(makes_session(
        &globex.sign_in(&mut globex.browser(), "/", |_| ()).await
    ));
}

#[tokio::test]
async fn a_refusal_of_the_idp_is_told_as_such() {
    let globex = Globex::open().await;
    let denied = |response: &mut Response| {
        response.status = Some("urn:oasis:names:tc:SAML:2.0:status:Responder".to_owned());
        response.sub_status = Some("urn:oasis:names:tc:SAML:2.0:status:AuthnFailed".to_owned());
        response.has_assertion = false;
        response.signed = Signed::Response;
    };
    let refused = globex.sign_in(&mut globex.browser(), "/", denied).await;
    assert!(
        is_page(&refused, 403, "did not sign you in"),
        "{}",
        refused.text()
    );
    logs(&globex, "AuthnFailed").await;
}

#[tokio::test]
async fn what_is_no_form_with_one_response_is_refused() {
    let globex = Globex::open().await;
    let mut browser = globex.browser();
    let url = acs("globex");
    let get = browser.open(&url).await.unwrap();
    assert_eq!(get.status, 405);
    let request = globex.begin(&mut browser, "/").await;
    let xml = globex.answer(&request).to_xml().unwrap();
    let good = form(
        "SAMLResponse",
        xml.as_bytes(),
        request.relay_state.as_deref(),
    );
    let bad = [
        String::new(),
        "RelayState=x".to_owned(),
        format!("{good}&SAMLResponse=x"),
        format!("{good}&RelayState=x"),
        good.replace("SAMLResponse=", "SAMLResponse=%21"),
    ];
    for form in &bad {
        let refused = post_form(&mut browser, &url, form).await;
        assert_eq!(refused.status, 400, "{form}: {}", refused.text());
    }
    let large = format!("{good}&padding={}", "a".repeat(260 * 1024));
    let refused: Answer = post_form(&mut browser, &url, &large).await;
    assert_eq!(refused.status, 413);
    assert!(makes_session(&post_form(&mut browser, &url, &good).await));
}

#[tokio::test]
async fn each_protocol_has_its_own_addresses() {
    let globex = Globex::open().await;
    let mut browser = globex.browser();
    let callback = page("/_usher/oidc/globex/callback?code=x&state=y");
    assert_eq!(browser.open(&callback).await.unwrap().status, 404);
    let posted = post_form(&mut browser, &acs("acme"), "SAMLResponse=eA%3D%3D").await;
    assert_eq!(posted.status, 404);
    let metadata = page("/_usher/saml/acme/metadata");
    assert_eq!(browser.open(&metadata).await.unwrap().status, 404);
    let unknown = page("/_usher/saml/nobody/metadata");
    assert_eq!(browser.open(&unknown).await.unwrap().status, 404);
}
