//! Metadata that must be signed.

use super::*;
use crate::certificate::key_pair;
use crate::idp::saml::signature::sign_enveloped;
use crate::keys::saml::SpKey;
use crate::secret::Secret;

fn signer(key: TestKey) -> SpKey {
    let certificate = certificate(key);
    let key = key_pair(&certificate, &Secret::new(key.key_pem())).unwrap();
    SpKey::new(certificate, key).unwrap()
}

/// An IdP in canonical form, with a signature as its first child where a key is given.
fn document(sso: &str, key: Option<&SpKey>) -> String {
    let text = |signature: &str| {
        format!(
            "<md:EntityDescriptor xmlns:md=\"{}\" ID=\"_m\" entityID=\"https://a.example\">{signature}<md:IDPSSODescriptor protocolSupportEnumeration=\"{PROTOCOL}\"><md:KeyDescriptor><ds:KeyInfo xmlns:ds=\"{}\"><ds:X509Data><ds:X509Certificate>{}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor><md:SingleSignOnService Binding=\"{REDIRECT}\" Location=\"{sso}\"></md:SingleSignOnService></md:IDPSSODescriptor></md:EntityDescriptor>",
            xml::METADATA,
            xml::DSIG,
            base64(IDP)
        )
    };
    match key {
        Some(key) => text(&sign_enveloped(&text(""), "_m", key).unwrap()),
        None => text(""),
    }
}

fn look_signed(text: &str, by: TestKey) -> Result<IdpMetadata, String> {
    let signed_by = [certificate(by)];
    let wanted = Wanted {
        entity_id: None,
        signed_by: &signed_by,
        now: now(),
    };
    read(text.as_bytes(), &wanted)
}

const GOOD: &str = "https://idp.example/sso";

#[test]
fn takes_what_a_configured_certificate_signed() {
    let text = document(GOOD, Some(&signer(IDP)));
    let metadata = look_signed(&text, IDP).unwrap();
    assert_eq!(metadata.sso[0].location.as_str(), GOOD);
}

#[test]
fn refuses_metadata_without_the_signature_that_it_must_have() {
    let why = look_signed(&document(GOOD, None), IDP).unwrap_err();
    assert!(why.contains("not signed"), "{why}");
}

#[test]
fn refuses_metadata_that_somebody_else_signed() {
    let text = document(GOOD, Some(&signer(OTHER)));
    let why = look_signed(&text, IDP).unwrap_err();
    assert!(why.contains("signing certificates"), "{why}");
}

#[test]
fn refuses_metadata_that_was_changed_after_it_was_signed() {
    let text = document(GOOD, Some(&signer(IDP)));
    let changed = text.replace(GOOD, "https://evil.example/sso");
    let why = look_signed(&changed, IDP).unwrap_err();
    assert!(why.contains("digest"), "{why}");
}

#[test]
fn refuses_a_signed_entity_inside_of_an_unsigned_root() {
    let text = entities("", &document(GOOD, Some(&signer(IDP))));
    let why = look_signed(&text, IDP).unwrap_err();
    assert!(why.contains("not signed"), "{why}");
}

#[test]
fn refuses_a_signed_entity_beside_an_unsigned_one_under_a_foreign_root() {
    let signed = document(GOOD, Some(&signer(IDP)));
    // The signature is moved up to the root, which has the ID of what was signed.
    let start = signed.find("<ds:Signature").unwrap();
    let end = signed.find("</ds:Signature>").unwrap() + "</ds:Signature>".len();
    let signature = &signed[start..end];
    let text = entities(
        "ID=\"_m\"",
        &(signature.to_owned() + &document("https://evil.example/sso", None)),
    );
    look_signed(&text, IDP).unwrap_err();
}

#[test]
fn without_configured_certificates_a_signature_is_not_looked_at() {
    let text = document(GOOD, Some(&signer(OTHER)));
    look(&text).unwrap();
}
