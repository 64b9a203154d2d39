#![allow(clippy::unwrap_used, clippy::panic)]

mod assertion;
mod encrypted;
mod envelope;
mod shape;
mod signed;

use std::sync::LazyLock;

use super::*;
use crate::certificate::key_pair;
use crate::demo::saml::{self, Response, Signed, TestKey};
use crate::keys::saml::SpKey;
use crate::secret::Secret;

pub(super) const IDP: &str = "https://idp.example/saml";
pub(super) const SP: &str = "https://wiki.example/_usher/saml/globex/metadata";
pub(super) const ACS: &str = "https://wiki.example/_usher/saml/globex/acs";
pub(super) const REQUEST: &str = "_4fee3b046395c4e751011e97f8900b52";

pub(super) fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

/// So many seconds from now, as a message writes it.
pub(super) fn at(seconds: i64) -> Option<String> {
    Some(saml::at(now(), seconds))
}

pub(super) fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(super) fn good() -> Response {
    let mut response = Response::new(IDP, SP, ACS, REQUEST, now());
    response
        .assertion
        .attribute("mail", &["ann@globex.example"]);
    response
}

/// A good one with what `signed` says signed.
pub(super) fn signed(signed: Signed) -> Response {
    Response { signed, ..good() }
}

pub(super) fn certificate(key: TestKey) -> Certificate {
    Certificate::from_text(key.certificate_pem()).unwrap()
}

/// Read once: it takes longer than everything else.
static SP_KEYS: LazyLock<SpKeys> = LazyLock::new(|| {
    let key = TestKey::SP;
    let pair = key_pair(&certificate(key), &Secret::new(key.key_pem())).unwrap();
    let key = SpKey::new(certificate(key), pair).unwrap();
    SpKeys::of(vec![key]).unwrap()
});

/// What comes of a document that arrives as the answer to [`REQUEST`], or to nothing.
pub(super) fn arrive_as(
    xml: &str,
    origin: Origin<'_>,
    trusted: &[TestKey],
) -> Result<VerifiedAssertion, Refused> {
    let certificates: Vec<_> = trusted.iter().copied().map(certificate).collect();
    verify(
        xml.as_bytes(),
        &expected(origin, &certificates),
        &mut Steps::default(),
    )
}

/// The ordinary.
pub(super) fn expected<'a>(origin: Origin<'a>, certificates: &'a [Certificate]) -> Expected<'a> {
    Expected {
        idp: IDP,
        certificates,
        sp: SP,
        acs: ACS,
        origin,
        keys: &SP_KEYS,
        authenticated_within: SignedDuration::from_hours(24),
        authn_context: &[],
        now: now(),
    }
}

pub(super) fn arrive(xml: &str) -> Result<VerifiedAssertion, Refused> {
    arrive_as(xml, Origin::Requested(REQUEST), &[TestKey::IDP])
}

/// Takes a good response, whatever of it is signed, once `change` is made.
#[track_caller]
pub(super) fn takes(change: impl Fn(&mut Response)) {
    for which in [Signed::Assertion, Signed::Response, Signed::Both] {
        let mut response = signed(which);
        change(&mut response);
        let outcome = arrive(&response.to_xml().unwrap());
        assert!(outcome.is_ok(), "{which:?}: {}", outcome.unwrap_err());
    }
}

/// Refuses a response that is good but for `change`, at `check`, whatever of it is signed.
#[track_caller]
pub(super) fn refuses(check: Check, change: impl Fn(&mut Response)) {
    takes(|_| {});
    for which in [Signed::Assertion, Signed::Response, Signed::Both] {
        let mut response = signed(which);
        change(&mut response);
        refuses_xml(check, &response.to_xml().unwrap());
    }
}

#[track_caller]
pub(super) fn refuses_xml(check: Check, xml: &str) {
    let refused = arrive(xml).map(|assertion| format!("taken: {assertion:?}"));
    let refused = refused.unwrap_err();
    assert_eq!(refused.check, check, "{refused}");
    assert!(!refused.detail.chars().any(char::is_control), "{refused}");
    assert!(refused.detail.chars().count() < 3000, "{refused}");
}

#[test]
fn a_good_response_is_read_whole() {
    for which in [Signed::Assertion, Signed::Response, Signed::Both] {
        let response = signed(which);
        let assertion = arrive(&response.to_xml().unwrap()).unwrap();
        let authn = response.assertion.authn.first().unwrap();
        assert_eq!(Some(assertion.id()), response.assertion.id.as_deref());
        assert_eq!(assertion.issuer(), IDP);
        assert_eq!(assertion.name_id().value, "ann-0001");
        assert_eq!(assertion.name_id().format, saml::PERSISTENT);
        assert_eq!(assertion.session_index(), authn.session_index.as_deref());
        assert_eq!(assertion.authn_context(), Some(saml::PASSWORD));
        assert_eq!(Some(assertion.authenticated_at().to_string()), at(-10));
        assert_eq!(
            assertion.session_ends_at().map(|end| end.to_string()),
            at(8 * 3600)
        );
        let [mail] = assertion.attributes() else {
            panic!("{:?}", assertion.attributes());
        };
        assert_eq!(mail.name, "mail");
        assert_eq!(mail.values, ["ann@globex.example"]);
    }
}

#[test]
fn notes_every_step_that_passed_and_none_that_failed() {
    let steps_of = |response: &Response| {
        let mut steps = Steps::default();
        let certificates = [certificate(TestKey::IDP)];
        let expected = expected(Origin::Requested(REQUEST), &certificates);
        let outcome = verify(response.to_xml().unwrap().as_bytes(), &expected, &mut steps);
        (outcome, steps)
    };
    let (outcome, steps) = steps_of(&good());
    outcome.unwrap();
    let passed: Vec<_> = steps.all().iter().map(|(check, _)| *check).collect();
    // These three are nothing that a plain response could pass here: the form, a decryption, the claim.
    let elsewhere = [Check::Encoding, Check::Decryption, Check::Replay];
    for check in Check::ALL {
        // Dates of the certificate pass with the signature.
        let expected = !elsewhere.contains(&check) && check != Check::CertificateDates;
        assert_eq!(passed.contains(&check), expected, "{check:?}");
    }
    let mut wrong = good();
    wrong.destination = text("https://elsewhere.example/acs");
    let (outcome, steps) = steps_of(&wrong);
    assert_eq!(outcome.unwrap_err().check, Check::Destination);
    assert!(
        steps
            .all()
            .iter()
            .all(|(check, _)| *check != Check::Destination)
    );
}

#[test]
fn a_replay_is_remembered_as_long_as_it_could_be_taken() {
    let until = |change: &dyn Fn(&mut Response)| {
        let mut response = good();
        change(&mut response);
        let assertion = arrive(&response.to_xml().unwrap()).unwrap();
        Some(assertion.valid_until().to_string())
    };
    let forever = |response: &mut Response| {
        let end = text("9999-12-31T23:59:59Z");
        response
            .assertion
            .conditions
            .as_mut()
            .unwrap()
            .not_on_or_after = end.clone();
        response.assertion.confirmations[0].not_on_or_after = end.clone();
        response.assertion.authn[0].session_ends_at = end;
    };
    // The age of the assertion bounds it, whatever it says of itself.
    assert_eq!(until(&forever), at(300 + 60));
    assert_eq!(
        until(&|response| response.assertion.confirmations[0].not_on_or_after = at(100)),
        at(160)
    );
    let conditions = |response: &mut Response| {
        response
            .assertion
            .conditions
            .as_mut()
            .unwrap()
            .not_on_or_after = at(90);
    };
    assert_eq!(until(&conditions), at(150));
    assert_eq!(
        until(&|response| response.assertion.authn[0].session_ends_at = at(80)),
        at(140)
    );
}
