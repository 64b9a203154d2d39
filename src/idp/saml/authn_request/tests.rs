#![allow(clippy::unwrap_used, clippy::panic)]

use url::Url;

use super::*;
use crate::certificate::{Certificate, key_pair};
use crate::config::{SamlAttributes, SamlBinding, SamlPreset, SamlSource};
use crate::demo::saml::TestKey;
use crate::idp::saml::signature;
use crate::idp::saml::xml::{self, Limits, canonical};
use crate::secret::Secret;

fn now() -> Timestamp {
    "2027-01-01T08:00:00.5Z".parse().unwrap()
}

fn config() -> SamlConfig {
    SamlConfig {
        source: SamlSource::Url {
            url: Url::parse("https://idp.example/metadata").unwrap(),
            entity_id: None,
        },
        metadata_certificates: Vec::new(),
        binding: SamlBinding::Redirect,
        sign_requests: true,
        name_id_format: None,
        authn_context: Vec::new(),
        force_authn: false,
        max_age: std::time::Duration::from_secs(86_400),
        is_passive: false,
        idp_initiated: false,
        attributes: SamlAttributes {
            preset: SamlPreset::Usual,
            email: None,
            name: None,
            given_name: None,
            family_name: None,
            groups: None,
            groups_separator: None,
            username: None,
            subject: None,
        },
    }
}

fn request(config: &SamlConfig) -> AuthnRequest<'_> {
    AuthnRequest {
        id: "_0123456789abcdef0123456789abcdef",
        issuer: "https://wiki.example/_usher/saml/globex/metadata",
        destination: "https://idp.example/sso?a=1&b=\"2\"",
        acs: "https://wiki.example/_usher/saml/globex/acs",
        now: now(),
        force_authn: false,
        config,
    }
}

#[test]
fn says_what_an_idp_needs_and_no_more() {
    let config = config();
    assert_eq!(
        request(&config).to_xml(None).unwrap(),
        "<samlp:AuthnRequest xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
         AssertionConsumerServiceURL=\"https://wiki.example/_usher/saml/globex/acs\" \
         Destination=\"https://idp.example/sso?a=1&amp;b=&quot;2&quot;\" \
         ID=\"_0123456789abcdef0123456789abcdef\" IssueInstant=\"2027-01-01T08:00:00Z\" \
         ProtocolBinding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST\" Version=\"2.0\">\
         <saml:Issuer xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">\
         https://wiki.example/_usher/saml/globex/metadata</saml:Issuer></samlp:AuthnRequest>"
    );
}

#[test]
fn says_all_that_is_configured_in_the_order_of_the_schema() {
    let mut config = config();
    config.name_id_format = Some(NameIdFormat::Persistent);
    config.authn_context = vec!["urn:x:1".to_owned(), "urn:x:2".to_owned()];
    config.force_authn = true;
    config.is_passive = true;
    let xml = request(&config).to_xml(None).unwrap();
    for text in [" ForceAuthn=\"true\"", " IsPassive=\"true\""] {
        assert!(xml.contains(text), "{xml}");
    }
    let rest = xml.split_once("</saml:Issuer>").unwrap().1;
    assert_eq!(
        rest,
        "<samlp:NameIDPolicy AllowCreate=\"true\" \
         Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\"></samlp:NameIDPolicy>\
         <samlp:RequestedAuthnContext Comparison=\"exact\">\
         <saml:AuthnContextClassRef xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">urn:x:1</saml:AuthnContextClassRef>\
         <saml:AuthnContextClassRef xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\">urn:x:2</saml:AuthnContextClassRef>\
         </samlp:RequestedAuthnContext></samlp:AuthnRequest>"
    );
}

#[test]
fn a_person_who_asked_for_another_account_signs_in_anew() {
    let config = config();
    let mut request = request(&config);
    assert!(!request.to_xml(None).unwrap().contains("ForceAuthn"));
    request.force_authn = true;
    assert!(
        request
            .to_xml(None)
            .unwrap()
            .contains(" ForceAuthn=\"true\"")
    );
}

#[test]
fn a_transient_name_id_is_never_created() {
    let mut config = config();
    for (format, creates) in [
        (NameIdFormat::Persistent, true),
        (NameIdFormat::Email, true),
        (NameIdFormat::Unspecified, true),
        (NameIdFormat::Transient, false),
    ] {
        config.name_id_format = Some(format);
        let xml = request(&config).to_xml(None).unwrap();
        assert!(
            xml.contains(&format!(" Format=\"{}\"", format.uri())),
            "{xml}"
        );
        assert_eq!(xml.contains("AllowCreate"), creates, "{xml}");
    }
}

#[test]
fn is_written_in_canonical_form() {
    let mut config = config();
    config.name_id_format = Some(NameIdFormat::Email);
    config.authn_context = vec!["<&>\"'\u{e4}\t".to_owned()];
    let text = request(&config).to_xml(None).unwrap();
    let document = xml::parse(text.as_bytes(), &Limits::MESSAGE).unwrap();
    let octets = canonical::exclusive(document.root_element(), None, &[]);
    assert_eq!(String::from_utf8(octets).unwrap(), text);
}

#[test]
fn is_signed_right_after_the_issuer() {
    let certificate = Certificate::from_text(TestKey::SP.certificate_pem()).unwrap();
    let key = Secret::new(TestKey::SP.key_pem());
    let key = SpKey::new(certificate.clone(), key_pair(&certificate, &key).unwrap()).unwrap();
    let mut config = config();
    config.name_id_format = Some(NameIdFormat::Persistent);
    let text = request(&config).to_xml(Some(&key)).unwrap();
    let document = xml::parse(text.as_bytes(), &Limits::MESSAGE).unwrap();
    let root = document.root_element();
    let names: Vec<_> = root
        .children()
        .map(|child| child.tag_name().name())
        .collect();
    assert_eq!(names, ["Issuer", "Signature", "NameIDPolicy"]);
    let found = signature::of(root).unwrap().unwrap();
    let signed =
        signature::verify_enveloped(root, found, std::slice::from_ref(&certificate), now())
            .unwrap();
    assert_eq!(
        signed.as_bytes(),
        request(&config).to_xml(None).unwrap().as_bytes()
    );
    let changed = text.replace("/acs\"", "/evil\"");
    let document = xml::parse(changed.as_bytes(), &Limits::MESSAGE).unwrap();
    let root = document.root_element();
    let found = signature::of(root).unwrap().unwrap();
    assert!(signature::verify_enveloped(root, found, &[certificate], now()).is_err());
}
