//! Which signatures count, and that nothing is read from outside of them.

use super::super::super::check::Check;
use super::*;
use crate::demo::saml::SignatureOptions;

#[test]
fn refuses_a_response_that_nobody_signed() {
    let xml = signed(Signed::Nothing).to_xml().unwrap();
    refuses_xml(Check::Signature, &xml);
    assert!(
        arrive(&xml)
            .unwrap_err()
            .sentence()
            .contains("did not sign")
    );
}

#[test]
fn refuses_what_was_changed_after_it_was_signed() {
    for which in [Signed::Assertion, Signed::Response, Signed::Both] {
        let xml = signed(which).to_xml().unwrap();
        refuses_xml(Check::Signature, &xml.replace("ann-0001", "mallory1"));
        refuses_xml(Check::Signature, &xml.replace("ann@", "bob@"));
    }
}

#[test]
fn refuses_other_keys_and_says_whose_message_it_claims_to_be() {
    for key in [TestKey::ATTACKER, TestKey::OTHER_IDP, TestKey::IDP_NEXT] {
        refuses(Check::Signature, |response| {
            response.sign_with(&SignatureOptions::of(key));
        });
    }
    let mut response = good();
    response.sign_with(&SignatureOptions::of(TestKey::OTHER_IDP));
    response.assertion.issuer = text("https://other.example/saml");
    let refused = arrive(&response.to_xml().unwrap()).unwrap_err();
    assert_eq!(refused.check, Check::Signature);
    assert!(
        refused.detail.contains("https://other.example/saml"),
        "{refused}"
    );
}

#[test]
fn takes_every_certificate_of_the_idp_and_refuses_one_that_is_out_of_date() {
    let by = |key: TestKey, trusted: &[TestKey]| {
        let mut response = good();
        response.sign_with(&SignatureOptions::of(key));
        let xml = response.to_xml().unwrap();
        arrive_as(&xml, Origin::Requested(REQUEST), trusted)
    };
    by(TestKey::IDP_NEXT, &[TestKey::IDP, TestKey::IDP_NEXT]).unwrap();
    for key in [TestKey::EXPIRED, TestKey::FUTURE] {
        let refused = by(key, &[TestKey::IDP, key]).unwrap_err();
        assert_eq!(refused.check, Check::CertificateDates);
    }
    assert_eq!(by(TestKey::IDP, &[]).unwrap_err().check, Check::Signature);
}

#[test]
fn every_signature_there_is_must_verify() {
    let attacker = SignatureOptions::of(TestKey::ATTACKER);
    let mut response = signed(Signed::Both);
    response.assertion_signature = attacker.clone();
    refuses_xml(Check::Signature, &response.to_xml().unwrap());
    let mut response = signed(Signed::Both);
    response.response_signature = attacker;
    refuses_xml(Check::Signature, &response.to_xml().unwrap());
}

#[test]
fn an_unsigned_response_around_a_signed_assertion_can_only_refuse() {
    let good = good();
    let assertion = good.signed_assertion().unwrap();
    let around = |change: &dyn Fn(&mut Response)| {
        let mut other = Response::new(IDP, SP, ACS, REQUEST, now());
        other.signed = Signed::Assertion;
        change(&mut other);
        arrive(&other.around(&assertion).unwrap())
    };
    around(&|_| {}).unwrap();
    let check = |change: &dyn Fn(&mut Response)| around(change).unwrap_err().check;
    assert_eq!(
        check(&|other| other.in_response_to = text("_x")),
        Check::InResponseTo
    );
    assert_eq!(
        check(&|other| other.destination = text("https://x")),
        Check::Destination
    );
    assert_eq!(
        check(&|other| other.issuer = text("https://x")),
        Check::Issuer
    );
    assert_eq!(check(&|other| other.status = text("x")), Check::Status);
    assert_eq!(check(&|other| other.issue_instant = at(-3600)), Check::Time);
}

#[test]
fn the_assertion_of_another_request_stays_refused_in_a_new_response() {
    let mut other = good();
    other.assertion.confirmations[0].in_response_to = text("_other");
    let assertion = other.signed_assertion().unwrap();
    let xml = signed(Signed::Assertion).around(&assertion).unwrap();
    refuses_xml(Check::InResponseTo, &xml);
}

#[test]
fn typed_values_and_prefix_lists_verify() {
    takes(|response| response.assertion.typed_values = true);
    takes(|response| {
        response.assertion.typed_values = true;
        let mut options = SignatureOptions::of(TestKey::IDP);
        options.prefixes = text("xs");
        response.assertion_signature = options;
    });
}
