//! Signature wrapping: the signed assertion stands where the verifier looks, another where the reader does.

use usher::demo::saml::{
    Assertion, Place, Response, SAML, SignatureOptions, Signed, TestKey, insert_after_issuer,
};
use usher::idp::saml::Check;

use super::surgery::{ADMIN, cut, id_of, signed, swap, swap_all, take, with_id, with_object};
use super::{Case, Setting};

/// A signed response, in its parts: the whole, its signature, and it without.
fn signed_response(s: &Setting) -> (String, String, String) {
    let whole = s.with(|r| r.signed = Signed::Response);
    let (signature, plain) = take(&whole, "ds:Signature");
    (whole, signature, plain)
}

/// What the attacker makes of a response: another person, another ID, no signature.
fn evil_response(plain: &str) -> String {
    with_id(&swap(plain, "ann-0001", ADMIN), "_evil")
}

/// The signed assertion inside something of the attacker's own assertion.
fn inside(s: &Setting, before: &str, open: &str, close: &str) -> Vec<u8> {
    let parts = signed(s);
    let evil = parts.evil("_evil");
    let hidden = format!("{open}{}{close}{before}", parts.assertion);
    parts.around(&swap(&evil, before, &hidden))
}

/// The signed assertion somewhere in the response, the attacker's in its place.
fn aside(s: &Setting, place: Place, open: &str, close: &str) -> Vec<u8> {
    let parts = signed(s);
    let mut response = s.answer();
    response
        .raw
        .push((place, format!("{open}{}{close}", parts.assertion)));
    response.unsigned_around(&parts.evil("_evil")).into_bytes()
}

fn both(s: &Setting, order: impl FnOnce(&str, &str) -> String, id: Option<&str>) -> Vec<u8> {
    let parts = signed(s);
    let same = id_of(&parts.assertion).to_owned();
    let evil = parts.evil(id.unwrap_or(&same));
    parts.around(&order(&evil, &parts.assertion))
}

/// Signed by the IdP, but with an attribute besides `ID` that others read as one.
fn with_attribute(s: &Setting, attribute: &str) -> Vec<u8> {
    let parts = signed(s);
    let evil = parts.evil("_evil");
    let good = id_of(&parts.assertion);
    let evil = swap(&evil, " ID=\"_evil\"", &format!(" {attribute}=\"{good}\""));
    parts.around(&format!("{evil}{}", parts.assertion))
}

/// The attacker's assertion in another namespace beside the signed one.
fn twin(s: &Setting, namespace: &str, before: bool) -> Vec<u8> {
    let parts = signed(s);
    let declared = format!("xmlns:saml=\"{SAML}\"");
    let evil = swap_all(
        &parts.evil("_evil"),
        &declared,
        &format!("xmlns:saml=\"{namespace}\""),
    );
    if before {
        parts.around(&format!("{evil}{}", parts.assertion))
    } else {
        parts.around(&format!("{}{evil}", parts.assertion))
    }
}

/// The root has another name.
fn root(s: &Setting, name: &str) -> Vec<u8> {
    let xml = s.with(|_| {});
    swap_all(&xml, "samlp:Response", name).into_bytes()
}

fn advice(s: &Setting, sign: bool) -> Vec<u8> {
    let mut inner = Assertion::new(&s.idp, &s.sp, &s.acs, &s.request, s.now);
    inner.name_id(ADMIN, usher::demo::saml::PERSISTENT);
    let mut other = s.answer();
    other.assertion = inner;
    let inner = if sign {
        other.signed_assertion().unwrap()
    } else {
        other.assertion.to_xml().unwrap()
    };
    // Within `saml` the prefix is declared already.
    let inner = swap(&inner, &format!(" xmlns:saml=\"{SAML}\""), "");
    s.with(|r| r.assertion.raw.advice = format!("<saml:Advice>{inner}</saml:Advice>"))
        .into_bytes()
}

const fn bad(name: &'static str, make: fn(&Setting) -> Vec<u8>) -> Case {
    Case::refused(name, Check::Shape, make)
}

const fn forged(name: &'static str, make: fn(&Setting) -> Vec<u8>) -> Case {
    Case::refused(name, Check::Signature, make)
}

fn two_signed(s: &Setting) -> Vec<u8> {
    let (first, mut second) = (s.answer(), s.answer());
    second
        .assertion
        .name_id(ADMIN, usher::demo::saml::PERSISTENT);
    let both = first.signed_assertion().unwrap() + &second.signed_assertion().unwrap();
    first.around(&both).unwrap().into_bytes()
}

fn xsw1(s: &Setting) -> Vec<u8> {
    let (_, signature, plain) = signed_response(s);
    let with_original = swap(
        &signature,
        "</ds:Signature>",
        &format!("{plain}</ds:Signature>"),
    );
    insert_after_issuer(&evil_response(&plain), &with_original).into_bytes()
}

fn xsw2(s: &Setting) -> Vec<u8> {
    let (_, signature, plain) = signed_response(s);
    insert_after_issuer(&evil_response(&plain), &format!("{plain}{signature}")).into_bytes()
}

fn xsw4(s: &Setting) -> Vec<u8> {
    inside(s, "</saml:Assertion>", "", "")
}

fn xsw5(s: &Setting) -> Vec<u8> {
    let parts = signed(s);
    let (signature, plain) = parts.apart();
    let evil = insert_after_issuer(&parts.evil("_evil"), &signature);
    parts.around(&format!("{evil}{plain}"))
}

fn xsw6(s: &Setting) -> Vec<u8> {
    let parts = signed(s);
    let (signature, plain) = parts.apart();
    let with_original = swap(
        &signature,
        "</ds:Signature>",
        &format!("{plain}</ds:Signature>"),
    );
    parts.around(&insert_after_issuer(&parts.evil("_evil"), &with_original))
}

fn xsw7(s: &Setting) -> Vec<u8> {
    let parts = signed(s);
    let same = id_of(&parts.assertion).to_owned();
    let evil = parts.evil(&same);
    let mut response = s.answer();
    let extensions = format!("<samlp:Extensions>{evil}</samlp:Extensions>");
    response.raw.push((Place::BeforeStatus, extensions));
    response.unsigned_around(&parts.assertion).into_bytes()
}

fn xsw8(s: &Setting) -> Vec<u8> {
    let parts = signed(s);
    let (signature, plain) = parts.apart();
    let same = id_of(&parts.assertion).to_owned();
    parts.around(&insert_after_issuer(
        &parts.evil(&same),
        &with_object(&signature, &plain),
    ))
}

/// The whole signed response below one of the attacker's own.
fn ancestor_wrap(s: &Setting) -> Vec<u8> {
    let (whole, _, plain) = signed_response(s);
    let evil = evil_response(&plain);
    swap(
        &evil,
        "<samlp:Status>",
        &format!("<samlp:Extensions>{whole}</samlp:Extensions><samlp:Status>"),
    )
    .into_bytes()
}

fn object_wrap(s: &Setting) -> Vec<u8> {
    let (_, signature, plain) = signed_response(s);
    insert_after_issuer(&evil_response(&plain), &with_object(&signature, &plain)).into_bytes()
}

/// The signature is right, but what it is over declares another meaning for its prefix further down.
fn namespace_redefinition(s: &Setting) -> Vec<u8> {
    let parts = signed(s);
    let subject = format!("<saml:Subject xmlns:saml=\"{SAML}2\">");
    parts.around(&swap(&parts.assertion, "<saml:Subject>", &subject))
}

/// The signed assertion and a decoy, told apart by a prefix on the attribute alone.
fn attr_namespace_prefix(s: &Setting) -> Vec<u8> {
    let parts = signed(s);
    let evil = parts.evil("_evil");
    let good = id_of(&parts.assertion);
    let evil = swap(
        &evil,
        " ID=\"_evil\"",
        &format!(" ID=\"_evil\" saml:ID=\"{good}\""),
    );
    let (signature, _) = parts.apart();
    parts.around(&insert_after_issuer(&evil, &signature))
}

/// The prefix is bound to nothing, which Namespaces in XML 1.0 does not have.
fn void_namespace(s: &Setting) -> Vec<u8> {
    let parts = signed(s);
    let subject = "<saml:Subject xmlns:saml=\"\">";
    parts.around(&swap(&parts.assertion, "<saml:Subject>", subject))
}

fn encrypted_beside_plain(s: &Setting) -> Vec<u8> {
    let parts = signed(s);
    let encryption = usher::demo::saml::Encryption::to(TestKey::SP);
    let encrypted = encryption.encrypt(&parts.assertion).unwrap();
    let encrypted = encrypted.element("EncryptedAssertion", false);
    parts.around(&format!("{}{encrypted}", parts.evil("_evil")))
}

/// The IdP signed the response, and an assertion in it that another wrote is signed by another.
fn foreign_assertion_in_signed_response(s: &Setting) -> Vec<u8> {
    s.with(|r: &mut Response| {
        r.signed = Signed::Both;
        r.assertion_signature = SignatureOptions::of(TestKey::OTHER_IDP);
    })
    .into_bytes()
}

pub(super) const CASES: &[Case] = &[
    bad("xsw1", xsw1),
    bad("xsw2", xsw2),
    bad("xsw3", |s| {
        both(s, |evil, good| format!("{evil}{good}"), Some("_evil"))
    }),
    bad("xsw4", xsw4),
    bad("xsw5", xsw5),
    bad("xsw6", xsw6),
    bad("xsw7", xsw7),
    bad("xsw8", xsw8),
    bad("xsw3_evil_after", |s| {
        both(s, |evil, good| format!("{good}{evil}"), Some("_evil"))
    }),
    bad("duplicate_id_evil_first", |s| {
        both(s, |evil, good| format!("{evil}{good}"), None)
    }),
    bad("duplicate_id_evil_after", |s| {
        both(s, |evil, good| format!("{good}{evil}"), None)
    }),
    bad("ancestor_wrap", ancestor_wrap),
    bad("object_wrap", object_wrap),
    bad("signed_assertion_inside_issuer", |s| {
        inside(s, "</saml:Issuer>", "", "")
    }),
    bad("signed_assertion_inside_subject", |s| {
        inside(s, "</saml:Subject>", "", "")
    }),
    bad("signed_assertion_inside_name_id", |s| {
        inside(s, "</saml:NameID>", "", "")
    }),
    bad("signed_assertion_inside_confirmation_data", |s| {
        inside(s, "</saml:SubjectConfirmationData>", "", "")
    }),
    bad("signed_assertion_inside_attribute_value", |s| {
        inside(s, "</saml:AttributeValue>", "", "")
    }),
    bad("signed_assertion_inside_advice", |s| {
        inside(s, "<saml:AuthnStatement", "<saml:Advice>", "</saml:Advice>")
    }),
    bad("signed_assertion_inside_conditions", |s| {
        inside(s, "</saml:Conditions>", "", "")
    }),
    bad("signed_assertion_inside_authn_context", |s| {
        inside(s, "</saml:AuthnContext>", "", "")
    }),
    bad("signed_assertion_in_extensions", |s| {
        aside(
            s,
            Place::BeforeStatus,
            "<samlp:Extensions>",
            "</samlp:Extensions>",
        )
    }),
    bad("signed_assertion_in_status_detail", |s| {
        aside(
            s,
            Place::InStatus,
            "<samlp:StatusDetail>",
            "</samlp:StatusDetail>",
        )
    }),
    bad("signed_assertion_before_the_issuer", |s| {
        aside(s, Place::First, "", "")
    }),
    bad("signed_assertion_in_an_unknown_element", |s| {
        aside(s, Place::Last, "<x:y xmlns:x=\"urn:x\">", "</x:y>")
    }),
    bad("signed_response_in_response", |s| {
        let (whole, _, _) = signed_response(s);
        let (before, evil, after) = {
            let xml = s.with(|r| r.signed = Signed::Nothing);
            let (before, evil, after) = cut(&xml, "saml:Assertion");
            (
                before.to_owned(),
                swap(evil, "ann-0001", ADMIN),
                after.to_owned(),
            )
        };
        format!("{before}{whole}{evil}{after}").into_bytes()
    }),
    bad("two_signed_assertions", two_signed),
    bad("two_assertions_one_signed", |s| {
        both(s, |evil, good| format!("{good}{evil}"), Some("_other"))
    }),
    bad("xml_id", |s| with_attribute(s, "xml:id")),
    bad("lower_case_id", |s| with_attribute(s, "id")),
    bad("mixed_case_id", |s| with_attribute(s, "Id")),
    bad("samlp_id", |s| with_attribute(s, "samlp:ID")),
    bad("saml_id", |s| with_attribute(s, "saml:ID")),
    bad("attr_namespace_prefix", attr_namespace_prefix),
    bad("foreign_twin_before", |s| twin(s, "urn:evil", true)),
    bad("foreign_twin_after", |s| twin(s, "urn:evil", false)),
    bad("foreign_twin_with_a_space", |s| {
        twin(s, "urn:oasis:names:tc:SAML:2.0:assertion ", true)
    }),
    bad("foreign_twin_of_saml_11", |s| {
        twin(s, "urn:oasis:names:tc:SAML:1.0:assertion", true)
    }),
    bad("twin_of_no_namespace", |s| {
        let parts = signed(s);
        let evil = parts
            .evil("_evil")
            .replace("saml:", "")
            .replace("xmlns:saml", "xmlns:x");
        let evil = evil.replace(&format!(" xmlns=\"{SAML}\""), "");
        parts.around(&format!("{evil}{}", parts.assertion))
    }),
    forged("namespace_redefinition", namespace_redefinition),
    Case::refused("void_namespace", Check::Xml, void_namespace),
    bad("same_id_of_response_and_assertion", |s| {
        s.with(|r| r.id.clone_from(&r.assertion.id)).into_bytes()
    }),
    bad("root_assertion", |s| signed(s).assertion.into_bytes()),
    bad("root_encrypted_assertion", |s| {
        let xml = s.with(|r| r.encryption = Some(usher::demo::saml::Encryption::to(TestKey::SP)));
        cut(&xml, "saml:EncryptedAssertion").1.as_bytes().to_vec()
    }),
    bad("root_logout_response", |s| root(s, "samlp:LogoutResponse")),
    bad("root_artifact_response", |s| {
        root(s, "samlp:ArtifactResponse")
    }),
    bad("root_authn_request", |s| root(s, "samlp:AuthnRequest")),
    bad("root_of_another_namespace", |s| {
        let xml = s.with(|_| {});
        swap(
            &xml,
            "xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\"",
            "xmlns:samlp=\"urn:x\"",
        )
        .into_bytes()
    }),
    bad("root_soap", |s| {
        let xml = s.with(|_| {});
        let soap = "http://schemas.xmlsoap.org/soap/envelope/";
        format!("<e:Envelope xmlns:e=\"{soap}\"><e:Body>{xml}</e:Body></e:Envelope>").into_bytes()
    }),
    bad("samlp11_response", |s| {
        let xml = s.with(|_| {});
        let xml = swap_all(
            &xml,
            "urn:oasis:names:tc:SAML:2.0:protocol",
            "urn:oasis:names:tc:SAML:1.0:protocol",
        );
        swap(
            &xml,
            "Version=\"2.0\"",
            "MajorVersion=\"1\" MinorVersion=\"1\"",
        )
        .into_bytes()
    }),
    bad("artifact_unexpected", |s| {
        s.with(|r| {
            r.has_assertion = false;
            let artifact = "<samlp:Artifact>AAQAAA==</samlp:Artifact>".to_owned();
            r.raw.push((Place::Last, artifact));
        })
        .into_bytes()
    }),
    bad("zero_assertions", |s| {
        s.with(|r| r.has_assertion = false).into_bytes()
    }),
    bad("zero_assertions_signed", |s| {
        s.with(|r| {
            r.has_assertion = false;
            r.signed = Signed::Response;
        })
        .into_bytes()
    }),
    bad("advice_assertion", |s| advice(s, false)),
    bad("advice_assertion_signed", |s| advice(s, true)),
    bad("encrypted_beside_plain", encrypted_beside_plain),
    forged(
        "foreign_assertion_in_signed_response",
        foreign_assertion_in_signed_response,
    ),
    bad("text_between_the_parts", |s| {
        let xml = s.with(|_| {});
        swap(&xml, "<samlp:Status>", "text<samlp:Status>").into_bytes()
    }),
    bad("two_statuses", |s| {
        s.with(|r| {
            let status = "<samlp:Status><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"></samlp:StatusCode></samlp:Status>";
            r.raw.push((Place::BeforeAssertion, status.to_owned()));
        })
        .into_bytes()
    }),
    bad("two_issuers", |s| {
        s.with(|r| {
            let issuer = format!("<saml:Issuer xmlns:saml=\"{SAML}\">urn:other</saml:Issuer>");
            r.raw.push((Place::BeforeStatus, issuer));
        })
        .into_bytes()
    }),
    bad("unknown_element_in_response", |s| {
        s.with(|r| {
            r.raw
                .push((Place::Last, "<x:y xmlns:x=\"urn:x\"></x:y>".to_owned()))
        })
        .into_bytes()
    }),
    bad("unknown_statement_in_assertion", |s| {
        s.with(|r| r.assertion.raw.at_end = "<saml:Statement></saml:Statement>".to_owned())
            .into_bytes()
    }),
];
