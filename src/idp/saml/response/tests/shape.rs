//! Root, places, IDs: what must be refused before a signature is looked at, and whatever it says.

use super::super::super::check::Check;
use super::*;
use crate::demo::saml::{Place, SAML, SAMLP};

/// A good assertion of somebody else, signed by nobody.
fn evil() -> String {
    let mut response = good();
    response.assertion.name_id("mallory", saml::PERSISTENT);
    response.assertion.to_xml().unwrap()
}

#[test]
fn takes_a_response_of_saml_2_alone() {
    let response = good().to_xml().unwrap();
    let renamed = |from: &str, to: &str| response.replace(from, to);
    for xml in [
        good().signed_assertion().unwrap(),
        renamed("samlp:Response", "samlp:LogoutResponse"),
        renamed("samlp:Response", "samlp:ArtifactResponse"),
        renamed(SAMLP, "urn:oasis:names:tc:SAML:1.0:protocol"),
        renamed(SAMLP, "urn:evil"),
    ] {
        refuses_xml(Check::Shape, &xml);
    }
}

#[test]
fn refuses_what_is_no_xml_or_must_not_be_read() {
    let xml = good().to_xml().unwrap();
    let whole = xml.len();
    for bad in [
        String::new(),
        "no".to_owned(),
        xml[..whole - 3].to_owned(),
        format!("{xml}<a/>"),
        format!("<!DOCTYPE a>{xml}"),
        xml.replace("ann-0001", "ann<!-- -->-0001"),
        xml.replace("ann-0001", "<![CDATA[ann-0001]]>"),
        xml.replace("ann-0001", "ann<?x?>-0001"),
        xml.replace("ann-0001", "ann&x;-0001"),
    ] {
        refuses_xml(Check::Xml, &bad);
    }
}

#[test]
fn refuses_a_response_without_an_assertion() {
    refuses(Check::Shape, |response| response.has_assertion = false);
}

#[test]
fn refuses_a_second_assertion_in_every_place() {
    for place in [
        Place::First,
        Place::BeforeStatus,
        Place::InStatus,
        Place::BeforeAssertion,
        Place::Last,
    ] {
        for wrap in ["", "samlp:Extensions", "samlp:StatusDetail", "saml:Advice"] {
            refuses(Check::Shape, |response| {
                let evil = match wrap {
                    "" => evil(),
                    wrap => format!(
                        "<{wrap} xmlns:samlp=\"{SAMLP}\" xmlns:saml=\"{SAML}\">{}</{wrap}>",
                        evil()
                    ),
                };
                response.raw.push((place, evil));
            });
        }
    }
}

#[test]
fn refuses_an_assertion_in_the_open_parts_of_a_status() {
    // A `StatusDetail` may hold anything else.
    let detail = |inner: &str| format!("<samlp:StatusDetail>{inner}</samlp:StatusDetail>");
    let put = |inner: String| {
        move |response: &mut Response| response.raw.push((Place::InStatus, detail(&inner)))
    };
    takes(put("<x:y xmlns:x=\"urn:x\">z</x:y>".to_owned()));
    refuses(Check::Shape, put(evil()));
    refuses(
        Check::Shape,
        put("<x:Assertion xmlns:x=\"urn:x\"></x:Assertion>".to_owned()),
    );
    refuses(
        Check::Shape,
        put("<x:Signature xmlns:x=\"urn:x\"></x:Signature>".to_owned()),
    );
    refuses(
        Check::Shape,
        put("<x:Response xmlns:x=\"urn:x\"></x:Response>".to_owned()),
    );
}

#[test]
fn refuses_an_assertion_inside_the_assertion() {
    refuses(Check::Shape, |response| {
        response.assertion.raw.advice = format!("<saml:Advice>{}</saml:Advice>", evil());
    });
    refuses(Check::Shape, |response| {
        response.assertion.raw.in_attributes = format!(
            "<saml:Attribute Name=\"x\"><saml:AttributeValue>{}</saml:AttributeValue></saml:Attribute>",
            evil()
        );
    });
    refuses(Check::Shape, |response| {
        response.assertion.raw.at_end = evil();
    });
}

#[test]
fn refuses_an_encrypted_assertion_beside_a_plain_one() {
    refuses(Check::Shape, |response| {
        let raw =
            format!("<saml:EncryptedAssertion xmlns:saml=\"{SAML}\"></saml:EncryptedAssertion>");
        response.raw.push((Place::Last, raw));
    });
}

#[test]
fn refuses_an_assertion_of_another_namespace() {
    let xml = signed(Signed::Response).to_xml().unwrap();
    let twin = xml.replace(
        &format!("<saml:Assertion xmlns:saml=\"{SAML}\""),
        "<saml:Assertion xmlns:saml=\"urn:evil\"",
    );
    assert_ne!(xml, twin);
    refuses_xml(Check::Shape, &twin);
}

#[test]
fn refuses_elements_that_have_no_place_in_a_response_or_assertion() {
    refuses(Check::Shape, |response| {
        let raw = format!("<samlp:Extensions xmlns:samlp=\"{SAMLP}\"></samlp:Extensions>");
        response.raw.push((Place::BeforeStatus, raw));
    });
    for raw in [
        "<saml:Statement></saml:Statement>",
        "<saml:AuthzDecisionStatement></saml:AuthzDecisionStatement>",
        "<saml:Subject></saml:Subject>",
        "<x:Subject xmlns:x=\"urn:x\"></x:Subject>",
        "text",
    ] {
        refuses(Check::Shape, |response| {
            response.assertion.raw.at_end = raw.to_owned();
        });
    }
}

#[test]
fn refuses_a_signature_where_none_belongs() {
    let xml = good().to_xml().unwrap();
    let start = xml.find("<ds:Signature ").unwrap();
    let end = xml.find("</ds:Signature>").unwrap() + "</ds:Signature>".len();
    let signature = &xml[start..end];
    refuses_xml(Check::Shape, &xml.replace(signature, &signature.repeat(2)));
    refuses_xml(
        Check::Shape,
        &xml.replace("<samlp:Status>", &format!("<samlp:Status>{signature}")),
    );
    refuses_xml(
        Check::Shape,
        &xml.replace("</saml:Subject>", &format!("{signature}</saml:Subject>")),
    );
    let many = signature.repeat(300);
    let begun = std::time::Instant::now();
    refuses_xml(
        Check::Shape,
        &xml.replace("<samlp:Status>", &format!("{many}<samlp:Status>")),
    );
    assert!(begun.elapsed() < std::time::Duration::from_secs(2));
}

#[test]
fn refuses_an_id_that_comes_twice_in_whatever_spelling() {
    for name in ["ID", "Id", "id", "AssertionID"] {
        for value in ["twice", ""] {
            refuses(Check::Shape, |response| {
                let element = format!("<x:y xmlns:x=\"urn:x\" {name}=\"{value}\"></x:y>");
                let raw = format!("<samlp:StatusDetail>{element}{element}</samlp:StatusDetail>");
                response.raw.push((Place::InStatus, raw));
            });
        }
    }
    refuses(Check::Shape, |response| {
        response.id = response.assertion.id.clone();
    });
}

#[test]
fn refuses_ids_in_a_namespace() {
    for name in ["samlp:ID", "xml:id", "x:Id"] {
        let xml = good().to_xml().unwrap();
        let evil = xml.replacen(
            "<samlp:Status>",
            &format!("<samlp:Status xmlns:x=\"urn:x\" {name}=\"_fresh\">"),
            1,
        );
        refuses_xml(Check::Shape, &evil);
    }
}

#[test]
fn refuses_ids_that_are_no_names() {
    let long = "a".repeat(257);
    for id in ["", "1a", "a'b", "a b", "a\r\nb", "a*", "a:b", "ä", &long] {
        refuses(Check::Shape, |response| response.id = text(id));
        refuses(Check::Shape, |response| {
            response.assertion.id = text(id);
        });
    }
    refuses(Check::Shape, |response| response.id = None);
    let longest = "a".repeat(256);
    for id in ["_", "id-1.2_3", "ID_x", &longest] {
        takes(|response| response.assertion.id = text(id));
    }
}
