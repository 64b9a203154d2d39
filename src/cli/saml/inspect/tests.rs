#![allow(clippy::unwrap_used, clippy::panic)]

use super::capture::Capture;
use super::look::Seen;
use super::*;
use crate::demo::saml::{Response, TestKey, TestMetadata};
use crate::identity::IdpId;
use crate::idp::saml::check::Check;

const SP: &str = "https://wiki.example/_usher/saml/globex/metadata";
const ACS: &str = "https://wiki.example/_usher/saml/globex/acs";
const IDP: &str = "https://idp.example/saml";

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn config(more: &str) -> Config {
    let pem: String = TestKey::IDP
        .certificate_pem()
        .lines()
        .map(|line| format!("            {line}\n"))
        .collect();
    let text = format!(
        "public_url: https://wiki.example\nlisten: 127.0.0.1:0\nstore: memory\nidentity_providers:\n  - id: globex\n    label: Globex\n    saml:\n      entity_id: {IDP}\n      sso_url: https://idp.example/sso\n{more}      certificates:\n        - |\n{pem}apps:\n  - id: wiki\n    upstream: http://127.0.0.1:3000\n"
    );
    config::parse("usher.yaml", &text, &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

fn good() -> Response {
    let mut response = Response::new(IDP, SP, ACS, "_request", now());
    response
        .assertion
        .attribute("mail", &["ann@globex.example"]);
    response.assertion.attribute("groups", &["b", "a"]);
    response
}

async fn seen(response: &Response, more: &str, change: impl FnOnce(&mut Given<'_>)) -> Seen {
    let config = config(more);
    let (idp, saml) = of_config(&config, None).unwrap();
    let metadata = metadata(idp, saml, None, now()).await.unwrap();
    let captured = Capture {
        xml: response.to_xml().unwrap().into_bytes(),
        found_in: "XML",
    };
    let keys = keys(&config, &captured.xml, now()).await.unwrap();
    let mut given = Given {
        captured: &captured,
        config: &config,
        idp,
        saml,
        metadata: &metadata,
        keys: &keys,
        at: None,
        request_id: None,
        acs: None,
        now: now(),
    };
    change(&mut given);
    look(&given)
}

#[tokio::test]
async fn shows_whom_an_app_would_hear_about_and_what_was_assumed() {
    let seen = seen(&good(), "", |_| {}).await;
    let text = print::lines(&seen).join("\n");
    for expected in [
        "→ at: 2026-11-22T10:00:00Z (its own IssueInstant; --at sets another)",
        "→ request: _request (its own InResponseTo; --request-id sets another)",
        "→ acs: https://wiki.example/_usher/saml/globex/acs (its own Destination, which is ours; --acs sets another)",
        "✓ signature: of the Assertion",
        "✓ audience: https://wiki.example/_usher/saml/globex/metadata",
        "  subject: ann-0001",
        "  e-mail: ann@globex.example",
        "  groups: b, a",
        "mail (1), groups (2)",
        "verified",
    ] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
    assert!(!text.contains("<saml"), "{text}");
    let json = print::to_json(&seen);
    assert_eq!(json["ok"], true);
    assert_eq!(json["login"]["attributes"]["email"], "ann@globex.example");
    assert_eq!(json["login"]["subject"]["value"], "ann-0001");
}

#[tokio::test]
async fn names_the_step_that_fails_with_both_values_and_what_to_do() {
    let mut response = good();
    response.assertion.conditions.as_mut().unwrap().audiences = vec![vec!["urn:other".to_owned()]];
    let seen = seen(&response, "", |_| {}).await;
    let text = print::lines(&seen).join("\n");
    assert!(text.contains("✗ audience: "), "{text}");
    assert!(text.contains("urn:other") && text.contains(SP), "{text}");
    assert!(text.contains("Entity ID"), "{text}");
    let json = print::to_json(&seen);
    assert_eq!(json["ok"], false);
    assert_eq!(json["failed"]["check"], "audience");
    assert_eq!(json["login"], serde_json::Value::Null);
}

#[tokio::test]
async fn compares_with_what_the_command_line_says() {
    let check = async |change: &dyn Fn(&mut Given<'_>)| {
        let seen = seen(&good(), "", |given| change(given)).await;
        seen.outcome.err().map(|refused| refused.check)
    };
    assert_eq!(check(&|_| {}).await, None);
    let late = |given: &mut Given<'_>| given.at = Some("2026-11-22T12:00:00Z".parse().unwrap());
    assert_eq!(check(&late).await, Some(Check::Time));
    let other = |given: &mut Given<'_>| given.request_id = Some("_other");
    assert_eq!(check(&other).await, Some(Check::InResponseTo));
    let other = |given: &mut Given<'_>| given.acs = Some("https://other.example/acs");
    assert_eq!(check(&other).await, Some(Check::Destination));
}

#[tokio::test]
async fn a_response_that_nobody_asked_for_is_taken_only_where_the_config_says_so() {
    let response = Response::unsolicited(IDP, SP, ACS, now());
    let off = seen(&response, "", |_| {}).await;
    assert_eq!(off.outcome.err().unwrap().check, Check::InResponseTo);
    let on = seen(&response, "      idp_initiated: true\n", |_| {}).await;
    assert!(on.outcome.is_ok());
}

#[tokio::test]
async fn reads_metadata_from_a_file_instead() {
    let config = config("");
    let (idp, saml) = of_config(&config, Some("globex")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = TestMetadata::new(IDP, "https://idp.example")
        .to_xml()
        .unwrap();
    std::fs::write(file.path(), text).unwrap();
    let read = metadata(idp, saml, Some(file.path()), now()).await.unwrap();
    assert_eq!(read.entity_id, IDP);
    let missing = metadata(idp, saml, Some(Path::new("/nowhere.xml")), now()).await;
    assert!(missing.is_err());
    assert!(
        of_config(&config, Some("acme"))
            .unwrap_err()
            .contains("globex")
    );
    assert_eq!(idp.id, IdpId::new("globex"));
}
