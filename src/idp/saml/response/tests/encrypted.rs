//! `EncryptedAssertion` and `EncryptedID`.

use super::super::super::check::Check;
use super::*;
use crate::demo::saml::{ContentCipher, Encryption, Place};

fn to(recipient: TestKey, content: ContentCipher) -> Option<Encryption> {
    Some(Encryption {
        content,
        ..Encryption::to(recipient)
    })
}

fn encrypted(which: Signed, content: ContentCipher) -> Response {
    Response {
        encryption: to(TestKey::SP, content),
        ..signed(which)
    }
}

fn outcome(response: &Response) -> Result<VerifiedAssertion, Refused> {
    arrive(&response.to_xml().unwrap())
}

#[test]
fn reads_an_encrypted_assertion_wherever_the_signature_is() {
    for which in [Signed::Assertion, Signed::Response, Signed::Both] {
        for content in [ContentCipher::Aes128Gcm, ContentCipher::Aes256Gcm] {
            let assertion = outcome(&encrypted(which, content)).unwrap();
            assert_eq!(assertion.name_id().value, "ann-0001");
        }
    }
}

#[test]
fn decrypts_cbc_under_a_verified_signature_alone() {
    for content in [ContentCipher::Aes128Cbc, ContentCipher::Aes256Cbc] {
        outcome(&encrypted(Signed::Response, content)).unwrap();
        outcome(&encrypted(Signed::Both, content)).unwrap();
        let refused = outcome(&encrypted(Signed::Assertion, content)).unwrap_err();
        assert_eq!(refused.check, Check::Decryption);
    }
}

#[test]
fn what_is_encrypted_must_be_signed_inside_or_around() {
    let refused = outcome(&encrypted(Signed::Nothing, ContentCipher::Aes256Gcm)).unwrap_err();
    assert_eq!(refused.check, Check::Signature);
}

#[test]
fn checks_what_was_decrypted_like_everything_else() {
    let check = |change: &dyn Fn(&mut Response)| {
        for which in [Signed::Assertion, Signed::Response, Signed::Both] {
            let mut response = encrypted(which, ContentCipher::Aes256Gcm);
            change(&mut response);
            let refused = outcome(&response).unwrap_err();
            assert_eq!(refused.check, Check::Audience, "{refused}");
        }
    };
    check(&|response| {
        response.assertion.conditions.as_mut().unwrap().audiences = vec![vec!["x".to_owned()]];
    });
}

#[test]
fn refuses_what_is_encrypted_for_somebody_else() {
    let mut response = encrypted(Signed::Response, ContentCipher::Aes256Gcm);
    response.encryption = to(TestKey::SP_NEXT, ContentCipher::Aes256Gcm);
    assert_eq!(outcome(&response).unwrap_err().check, Check::Decryption);
}

#[test]
fn says_the_same_of_every_plaintext_that_is_no_assertion() {
    let by = Encryption::to(TestKey::SP);
    let mut told = std::collections::HashSet::new();
    let assertion = good().signed_assertion().unwrap();
    for plaintext in [
        "",
        "no XML",
        "<a></a>",
        "<saml:Assertion></saml:Assertion>",
        "<x:Assertion xmlns:x=\"urn:x\"></x:Assertion>",
        &assertion.repeat(2),
        &format!("<a>{assertion}</a>"),
        &format!("{assertion}<!-- -->"),
    ] {
        let element = by
            .encrypt(plaintext)
            .unwrap()
            .element("EncryptedAssertion", false);
        let xml = signed(Signed::Response).around(&element).unwrap();
        let refused = arrive(&xml).unwrap_err();
        assert_eq!(refused.check, Check::Decryption, "{plaintext}: {refused}");
        told.insert(refused.detail);
    }
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn the_issuer_of_a_response_is_needed_where_its_assertion_is_encrypted() {
    let mut response = encrypted(Signed::Assertion, ContentCipher::Aes256Gcm);
    response.issuer = None;
    assert_eq!(outcome(&response).unwrap_err().check, Check::Issuer);
}

#[test]
fn refuses_two_encrypted_assertions() {
    let mut response = encrypted(Signed::Response, ContentCipher::Aes256Gcm);
    let second = response.sealed_assertion().unwrap();
    response.raw.push((Place::Last, second));
    assert_eq!(outcome(&response).unwrap_err().check, Check::Shape);
}

#[test]
fn reads_an_encrypted_name_id() {
    for content in [ContentCipher::Aes256Gcm, ContentCipher::Aes128Cbc] {
        for which in [Signed::Assertion, Signed::Response, Signed::Both] {
            let mut response = signed(which);
            response.assertion.name_id_encryption = to(TestKey::SP, content);
            let assertion = outcome(&response).unwrap();
            assert_eq!(assertion.name_id().value, "ann-0001");
            assert_eq!(assertion.name_id().format, saml::PERSISTENT);
        }
    }
}

#[test]
fn refuses_an_encrypted_name_id_that_is_none() {
    let by = Encryption::to(TestKey::SP);
    for plaintext in ["", "<saml:Issuer>x</saml:Issuer>", "<NameID>ann</NameID>"] {
        let mut response = good();
        response.assertion.name_ids.clear();
        response.assertion.raw.in_subject =
            by.encrypt(plaintext).unwrap().element("EncryptedID", true);
        assert_eq!(outcome(&response).unwrap_err().check, Check::Decryption);
    }
    let mut response = good();
    response.assertion.name_ids.clear();
    let one = by.encrypt(&format!(
        "<saml:NameID xmlns:saml=\"{}\">x</saml:NameID>",
        saml::SAML
    ));
    let one = one.unwrap().element("EncryptedID", true);
    response.assertion.raw.in_subject = one.repeat(2);
    assert_eq!(outcome(&response).unwrap_err().check, Check::NameId);
}
