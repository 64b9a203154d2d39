#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::certificate::{Certificate, key_pair};
use crate::demo::saml::TestKey;
use crate::idp::saml::signature;
use crate::idp::saml::xml::{self, Limits};
use crate::secret::Secret;

fn key(key: TestKey) -> SpKey {
    let certificate = Certificate::from_text(key.certificate_pem()).unwrap();
    let key = key_pair(&certificate, &Secret::new(key.key_pem())).unwrap();
    SpKey::new(certificate, key).unwrap()
}

fn keys() -> SpKeys {
    SpKeys::of(vec![key(TestKey::SP), key(TestKey::SP_NEXT)]).unwrap()
}

fn with<T>(requests_signed: bool, look: impl FnOnce(SpMetadata<'_>) -> T) -> T {
    let of = |end: &str| {
        ["wiki", "chat"].map(|host| format!("https://{host}.example/_usher/saml/globex/{end}"))
    };
    let (acs, slo) = (of("acs"), of("slo"));
    look(SpMetadata {
        entity_id: "https://wiki.example/_usher/saml/globex/metadata",
        acs: &acs,
        slo: &slo,
        requests_signed,
        name_id_formats: &["urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"],
        keys: &keys(),
    })
}

#[test]
fn says_all_in_the_order_of_the_schema() {
    let text = with(true, |metadata| metadata.element("").finish());
    let document = xml::parse(text.as_bytes(), &Limits::METADATA).unwrap();
    let root = document.root_element();
    assert_eq!(
        root.attribute("entityID"),
        Some("https://wiki.example/_usher/saml/globex/metadata")
    );
    assert_eq!(root.attribute("validUntil"), None);
    let role = root.first_element_child().unwrap();
    assert_eq!(role.attribute("AuthnRequestsSigned"), Some("true"));
    assert_eq!(role.attribute("WantAssertionsSigned"), Some("true"));
    let names: Vec<_> = role
        .children()
        .map(|child| child.tag_name().name())
        .collect();
    let expected = [
        &["KeyDescriptor"; 4][..],
        &["SingleLogoutService"; 4],
        &["NameIDFormat"],
        &["AssertionConsumerService"; 2],
    ];
    assert_eq!(names, expected.concat());
    let acs: Vec<_> = role
        .children()
        .filter(|child| child.has_tag_name((METADATA, "AssertionConsumerService")))
        .map(|acs| ["Binding", "Location", "index", "isDefault"].map(|name| acs.attribute(name)))
        .collect();
    let post = Some(HTTP_POST);
    assert_eq!(
        acs,
        [
            [
                post,
                Some("https://wiki.example/_usher/saml/globex/acs"),
                Some("0"),
                Some("true")
            ],
            [
                post,
                Some("https://chat.example/_usher/saml/globex/acs"),
                Some("1"),
                None
            ],
        ]
    );
}

#[test]
fn publishes_every_key_for_both_uses_the_signer_first() {
    let keys = keys();
    let text = with(false, |metadata| metadata.element("").finish());
    assert!(text.contains("AuthnRequestsSigned=\"false\""));
    let document = xml::parse(text.as_bytes(), &Limits::METADATA).unwrap();
    let found: Vec<_> = document
        .descendants()
        .filter(|node| node.has_tag_name((METADATA, "KeyDescriptor")))
        .map(|descriptor| {
            let certificate = descriptor
                .descendants()
                .find(|node| node.has_tag_name((DSIG, "X509Certificate")))
                .and_then(|node| node.text())
                .unwrap();
            let methods = descriptor
                .children()
                .filter(|node| node.has_tag_name((METADATA, "EncryptionMethod")))
                .count();
            let certificate = Certificate::from_text(certificate).unwrap();
            (
                descriptor.attribute("use").unwrap().to_owned(),
                certificate,
                methods,
            )
        })
        .collect();
    let of = |usage: &str, methods| {
        let certificates = keys.all().map(|key| key.certificate().clone());
        certificates
            .map(|certificate| (usage.to_owned(), certificate, methods))
            .collect::<Vec<_>>()
    };
    assert_eq!(found, [of("signing", 0), of("encryption", 4)].concat());
}

#[test]
fn is_signed_as_its_first_child_and_stays_the_same() {
    let (first, second) = with(true, |metadata| {
        (metadata.to_xml().unwrap(), metadata.to_xml().unwrap())
    });
    assert_eq!(first, second);
    let document = xml::parse(first.as_bytes(), &Limits::METADATA).unwrap();
    let root = document.root_element();
    assert!(
        root.first_element_child()
            .unwrap()
            .has_tag_name((DSIG, "Signature"))
    );
    let found = signature::of(root).unwrap().unwrap();
    let certificate = keys().signer().certificate().clone();
    let now = "2027-01-01T00:00:00Z".parse().unwrap();
    let signed = signature::verify_enveloped(root, found, &[certificate], now).unwrap();
    let unsigned = with(true, |metadata| metadata.element("").finish());
    assert_eq!(String::from_utf8_lossy(signed.as_bytes()), unsigned);
}
