//! Answers that must be accepted: what real IdPs send, in all its variants.

use usher::demo::saml::{
    Confirmation, ContentCipher, Digest, EMAIL, Encryption, KeyInfo, KeyTransport, NameId,
    Response, SignatureAlgorithm as By, SignatureOptions, Signed, TRANSIENT, TestKey, at,
};

use super::surgery::{swap, swap_all};
use super::{Case, Setting};

fn signed(s: &Setting, signed: Signed) -> Vec<u8> {
    s.with(|r| r.signed = signed).into_bytes()
}

fn by(s: &Setting, key: TestKey, algorithm: By, digest: Digest) -> Vec<u8> {
    let options = SignatureOptions::of(key).by(algorithm, digest);
    s.with(|r| {
        r.signed = Signed::Both;
        r.sign_with(&options);
    })
    .into_bytes()
}

fn encrypted(s: &Setting, signed: Signed, change: impl FnOnce(&mut Encryption)) -> Vec<u8> {
    let mut encryption = Encryption::to(TestKey::SP);
    change(&mut encryption);
    s.with(|r| {
        r.signed = signed;
        r.encryption = Some(encryption);
    })
    .into_bytes()
}

fn transported(s: &Setting, transport: KeyTransport) -> Vec<u8> {
    encrypted(s, Signed::Assertion, |e| e.transport = transport)
}

fn content(s: &Setting, signed: Signed, content: ContentCipher) -> Vec<u8> {
    encrypted(s, signed, |e| e.content = content)
}

fn but(s: &Setting, change: impl FnOnce(&mut Response)) -> Vec<u8> {
    s.with(change).into_bytes()
}

/// Types of values name a prefix that a prefix list carries into the canonical form.
fn prefixed(s: &Setting, signed: Signed, signed_info: bool) -> Vec<u8> {
    but(s, |r| {
        r.signed = signed;
        r.assertion.typed_values = true;
        let mut options = SignatureOptions::of(TestKey::IDP);
        options.prefixes = Some("xs".to_owned());
        options.signed_info_prefixes = signed_info.then(|| "xs".to_owned());
        options.key_info = KeyInfo::Absent;
        r.sign_with(&options);
    })
}

/// Text that is another text, but the same XML.
fn rewritten(s: &Setting, change: impl FnOnce(String) -> String) -> Vec<u8> {
    change(s.with(|r| r.signed = Signed::Both)).into_bytes()
}

const fn case(name: &'static str, make: fn(&Setting) -> Vec<u8>) -> Case {
    Case::good(name, make)
}

pub(super) const CASES: &[Case] = &[
    case("assertion_signed", |s| signed(s, Signed::Assertion)),
    case("response_signed", |s| signed(s, Signed::Response)),
    case("both_signed", |s| signed(s, Signed::Both)),
    case("signed_by_the_next_key", |s| {
        but(s, |r| r.sign_with(&SignatureOptions::of(TestKey::IDP_NEXT)))
    }),
    case("signed_by_two_keys", |s| {
        but(s, |r| {
            r.signed = Signed::Both;
            r.assertion_signature = SignatureOptions::of(TestKey::IDP_NEXT);
        })
    }),
    case("key_info_of_another", |s| {
        but(s, |r| {
            r.assertion_signature.key_info = KeyInfo::Certificate(TestKey::ATTACKER);
        })
    }),
    case("key_info_absent", |s| {
        but(s, |r| r.assertion_signature.key_info = KeyInfo::Absent)
    }),
    case("rsa_sha384", |s| {
        by(s, TestKey::IDP, By::RsaSha384, Digest::Sha384)
    }),
    case("rsa_sha512", |s| {
        by(s, TestKey::IDP, By::RsaSha512, Digest::Sha512)
    }),
    case("rsa_sha512_digest_sha256", |s| {
        by(s, TestKey::IDP, By::RsaSha512, Digest::Sha256)
    }),
    case("rsa_sha256_digest_sha512", |s| {
        by(s, TestKey::IDP, By::RsaSha256, Digest::Sha512)
    }),
    case("p256", |s| {
        by(s, TestKey::P256, By::EcdsaSha256, Digest::Sha256)
    })
    .trusting(&[TestKey::P256]),
    case("p384", |s| {
        by(s, TestKey::P384, By::EcdsaSha384, Digest::Sha384)
    })
    .trusting(&[TestKey::IDP, TestKey::P384]),
    case("beside_an_expired_certificate", |s| signed(s, Signed::Both)).trusting(&[
        TestKey::EXPIRED,
        TestKey::FUTURE,
        TestKey::IDP,
    ]),
    case("prefix_list_on_the_assertion", |s| {
        prefixed(s, Signed::Assertion, false)
    }),
    case("prefix_list_on_the_response", |s| {
        prefixed(s, Signed::Response, false)
    }),
    case("prefix_list_on_signed_info", |s| {
        prefixed(s, Signed::Assertion, true)
    }),
    case("prefix_list_of_nothing", |s| {
        but(s, |r| r.assertion_signature.prefixes = Some(String::new()))
    }),
    case("prefix_list_of_unused_prefixes", |s| {
        but(s, |r| {
            r.assertion_signature.prefixes = Some("p q r".to_owned())
        })
    }),
    case("typed_values", |s| {
        but(s, |r| r.assertion.typed_values = true)
    }),
    case("groups_1500", |s| {
        let groups: Vec<_> = (0..1500).map(|n| format!("group-{n:04}")).collect();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        but(s, |r| r.assertion.attribute("groups", &groups))
    }),
    case("encrypted_gcm_256_oaep_sha256", |s| {
        encrypted(s, Signed::Assertion, |_| {})
    }),
    case("encrypted_gcm_128", |s| {
        content(s, Signed::Assertion, ContentCipher::Aes128Gcm)
    }),
    case("encrypted_oaep_sha1", |s| {
        transported(s, KeyTransport::OaepMgf1p(Digest::Sha1))
    }),
    case("encrypted_oaep_11_sha1", |s| {
        transported(s, KeyTransport::Oaep(Digest::Sha1, Digest::Sha1))
    }),
    case("encrypted_in_a_signed_response", |s| {
        encrypted(s, Signed::Response, |_| {})
    }),
    case("encrypted_both_signed", |s| {
        encrypted(s, Signed::Both, |_| {})
    }),
    case("encrypted_cbc_128_in_a_signed_response", |s| {
        content(s, Signed::Response, ContentCipher::Aes128Cbc)
    }),
    case("encrypted_cbc_256_both_signed", |s| {
        content(s, Signed::Both, ContentCipher::Aes256Cbc)
    }),
    case("encrypted_key_beside", |s| {
        encrypted(s, Signed::Both, |e| e.key_beside = true)
    }),
    case("encrypted_for_the_older_key", |s| {
        encrypted(s, Signed::Assertion, |e| {
            e.recipient = TestKey::SP_NEXT.certificate_der();
        })
    }),
    case("encrypted_name_id", |s| {
        but(s, |r| {
            r.assertion.name_id_encryption = Some(Encryption::to(TestKey::SP))
        })
    }),
    case("encrypted_name_id_in_encrypted_assertion", |s| {
        but(s, |r| {
            r.assertion.name_id_encryption = Some(Encryption::to(TestKey::SP));
            r.encryption = Some(Encryption::to(TestKey::SP));
        })
    }),
    case("encrypted_typed_values", |s| {
        but(s, |r| {
            r.assertion.typed_values = true;
            r.encryption = Some(Encryption::to(TestKey::SP));
        })
    }),
    case("unsolicited", |s| {
        s.unasked().to_xml().unwrap().into_bytes()
    })
    .unasked(),
    case("name_id_email", |s| {
        but(s, |r| r.assertion.name_id("ann@corp.test", EMAIL))
    }),
    case("name_id_transient", |s| {
        but(s, |r| r.assertion.name_id("_abc", TRANSIENT))
    }),
    case("name_id_qualified", |s| {
        but(s, |r| {
            r.assertion.name_ids = vec![NameId {
                value: "Ånn & <Bob> \"x\"".to_owned(),
                format: None,
                name_qualifier: Some(s.idp.clone()),
                sp_name_qualifier: Some(s.sp.clone()),
            }];
        })
    }),
    case("several_audiences", |s| {
        but(s, |r| {
            let conditions = r.assertion.conditions.as_mut().unwrap();
            conditions.audiences = vec![
                vec!["https://other.test".to_owned(), s.sp.clone()],
                vec![s.sp.clone()],
            ];
        })
    }),
    case("one_time_use", |s| {
        but(s, |r| {
            r.assertion.conditions.as_mut().unwrap().one_time_use = true
        })
    }),
    case("conditions_without_instants", |s| {
        but(s, |r| {
            let conditions = r.assertion.conditions.as_mut().unwrap();
            conditions.not_before = None;
            conditions.not_on_or_after = None;
        })
    }),
    case("clocks_apart_by_less_than_the_skew", |s| {
        but(s, |r| {
            r.issue_instant = Some(at(s.now, 50));
            r.assertion.issue_instant = Some(at(s.now, 50));
            r.assertion.authn[0].instant = Some(at(s.now, 50));
            let conditions = r.assertion.conditions.as_mut().unwrap();
            conditions.not_before = Some(at(s.now, 50));
        })
    }),
    case("expired_by_less_than_the_skew", |s| {
        but(s, |r| {
            r.assertion.confirmations[0].not_on_or_after = Some(at(s.now, -50))
        })
    }),
    case("instants_with_fractions", |s| {
        let until = at(s.now, 300).replace('Z', ".123456789Z");
        but(s, |r| {
            r.assertion.confirmations[0].not_on_or_after = Some(until)
        })
    }),
    case("no_destination_unsigned", |s| {
        but(s, |r| r.destination = None)
    }),
    case("no_issuer_of_an_unsigned_response", |s| {
        but(s, |r| r.issuer = None)
    }),
    case("issuer_format_entity", |s| {
        but(s, |r| {
            let format = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity";
            r.assertion.issuer_format = Some(format.to_owned());
        })
    }),
    case("another_confirmation_besides", |s| {
        but(s, |r| {
            r.assertion.confirmations.push(Confirmation {
                method: Some("urn:oasis:names:tc:SAML:2.0:cm:sender-vouches".to_owned()),
                address: None,
                in_response_to: None,
                not_before: None,
                not_on_or_after: None,
                recipient: None,
                has_data: false,
            });
        })
    }),
    case("confirmation_address", |s| {
        but(s, |r| {
            r.assertion.confirmations[0].address = Some("192.0.2.1".to_owned())
        })
    }),
    case("no_attributes", |s| {
        but(s, |r| r.assertion.attributes.clear())
    }),
    case("no_session_index", |s| {
        but(s, |r| {
            r.assertion.authn[0].session_index = None;
            r.assertion.authn[0].session_ends_at = None;
        })
    }),
    case("declaration_and_mark", |s| {
        rewritten(s, |xml| {
            format!("\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{xml}\n")
        })
    }),
    case("single_quotes_in_tags", |s| {
        rewritten(s, |xml| swap(&xml, "Version=\"2.0\"", "Version = '2.0'"))
    }),
    case("empty_elements_closed_at_once", |s| {
        rewritten(s, |xml| swap_all(&xml, "></ds:Transform>", "/>"))
    }),
    case("signature_value_in_lines", |s| {
        rewritten(s, |xml| {
            swap(&xml, "</ds:SignatureValue>", "\n</ds:SignatureValue>")
        })
    }),
    case("unused_namespaces", |s| {
        rewritten(s, |xml| {
            swap(
                &xml,
                "<samlp:Response ",
                "<samlp:Response xmlns:x=\"urn:x\" ",
            )
        })
    }),
    case("spaces_within_tags", |s| {
        rewritten(s, |xml| {
            swap_all(&xml, "<saml:Subject>", "<saml:Subject  >")
        })
    }),
    case("character_references", |s| {
        rewritten(s, |xml| swap(&xml, "ann-0001", "&#x61;nn-0001"))
    }),
];
