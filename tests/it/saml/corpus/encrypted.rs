//! Encrypted assertions and name IDs that must not open, or must not count.

use usher::demo::saml::{
    ContentCipher, Digest, Encrypted, Encryption, KeyTransport, Response, SAML, SignatureOptions,
    Signed, TestKey,
};
use usher::idp::saml::Check;

use super::surgery::{ADMIN, swap};
use super::{Case, Setting};

fn ours() -> Encryption {
    Encryption::to(TestKey::SP)
}

fn with_content(content: ContentCipher) -> Encryption {
    Encryption { content, ..ours() }
}

fn with_transport(transport: KeyTransport) -> Encryption {
    Encryption {
        transport,
        ..ours()
    }
}

/// A good answer, encrypted so.
fn encrypted(s: &Setting, signed: Signed, by: Encryption) -> Vec<u8> {
    s.with(|r| {
        r.signed = signed;
        r.encryption = Some(by);
    })
    .into_bytes()
}

/// A response around an encrypted assertion that `change` had in its hands; signed above it or not.
fn changed(
    s: &Setting,
    signed: Signed,
    by: &Encryption,
    change: impl FnOnce(&mut Encrypted),
) -> Vec<u8> {
    let response = s.answer();
    let mut encrypted = by.encrypt(&response.signed_assertion().unwrap()).unwrap();
    change(&mut encrypted);
    let element = encrypted.element("EncryptedAssertion", false);
    around(s, signed, &element)
}

fn around(s: &Setting, signed: Signed, element: &str) -> Vec<u8> {
    let mut response = s.answer();
    response.signed = signed;
    response.around(element).unwrap().into_bytes()
}

/// What is in it is this text.
fn plaintext(s: &Setting, signed: Signed, content: &str) -> Vec<u8> {
    let encrypted = ours().encrypt_with(&[7; 32], content.as_bytes()).unwrap();
    around(s, signed, &encrypted.element("EncryptedAssertion", false))
}

fn good_assertion(s: &Setting) -> String {
    s.answer().signed_assertion().unwrap()
}

fn evil_assertion(s: &Setting) -> String {
    let mut response = s.answer();
    response
        .assertion
        .name_id(ADMIN, usher::demo::saml::PERSISTENT);
    response.assertion.to_xml().unwrap()
}

/// The text of the whole message changed after it was made.
fn edited(s: &Setting, by: Encryption, from: &str, to: &str) -> Vec<u8> {
    let xml = String::from_utf8(encrypted(s, Signed::Assertion, by)).unwrap();
    swap(&xml, from, to).into_bytes()
}

/// The name ID is this element instead of an `EncryptedID` of ours.
fn encrypted_id(s: &Setting, change: impl FnOnce(&mut Encrypted)) -> Vec<u8> {
    let name = format!("<saml:NameID xmlns:saml=\"{SAML}\">ann-0001</saml:NameID>");
    let mut encrypted = ours().encrypt(&name).unwrap();
    change(&mut encrypted);
    let element = encrypted.element("EncryptedID", true);
    s.with(|r: &mut Response| {
        r.assertion.name_ids.clear();
        r.assertion.raw.in_subject = element;
    })
    .into_bytes()
}

fn id_of_plaintext(s: &Setting, content: &str) -> Vec<u8> {
    let other = ours().encrypt_with(&[7; 32], content.as_bytes()).unwrap();
    encrypted_id(s, |encrypted| *encrypted = other)
}

const fn bad(name: &'static str, make: fn(&Setting) -> Vec<u8>) -> Case {
    Case::refused(name, Check::Decryption, make)
}

const fn forged(name: &'static str, make: fn(&Setting) -> Vec<u8>) -> Case {
    Case::refused(name, Check::Signature, make)
}

pub(super) const CASES: &[Case] = &[
    forged("encrypted_unsigned", |s| {
        encrypted(s, Signed::Nothing, ours())
    }),
    forged("encrypted_evil_unsigned", |s| {
        plaintext(s, Signed::Nothing, &evil_assertion(s))
    }),
    forged("encrypted_signed_by_other", |s| {
        s.with(|r| {
            r.sign_with(&SignatureOptions::of(TestKey::OTHER_IDP));
            r.encryption = Some(ours());
        })
        .into_bytes()
    }),
    forged("encrypted_in_a_response_signed_by_other", |s| {
        s.with(|r| {
            r.sign_with(&SignatureOptions::of(TestKey::ATTACKER));
            r.signed = Signed::Response;
            r.encryption = Some(ours());
        })
        .into_bytes()
    }),
    forged("encrypted_evil_put_into_a_signed_response", |s| {
        let mut response = s.answer();
        response.signed = Signed::Response;
        response.encryption = Some(ours());
        let xml = response.to_xml().unwrap();
        let (before, _, after) = super::surgery::cut(&xml, "saml:EncryptedAssertion");
        let evil = ours().encrypt(&evil_assertion(s)).unwrap();
        format!(
            "{before}{}{after}",
            evil.element("EncryptedAssertion", false)
        )
        .into_bytes()
    }),
    bad("cbc_unsigned", |s| {
        encrypted(s, Signed::Nothing, with_content(ContentCipher::Aes128Cbc))
    }),
    bad("cbc_signed_only_within", |s| {
        encrypted(s, Signed::Assertion, with_content(ContentCipher::Aes256Cbc))
    }),
    bad("cbc_padding_invalid", |s| {
        changed(
            s,
            Signed::Response,
            &with_content(ContentCipher::Aes256Cbc),
            |e| {
                if let Some(last) = e.ciphertext.last_mut() {
                    *last ^= 0x55;
                }
            },
        )
    }),
    bad("cbc_padding_of_two_blocks", |s| {
        let mut content = good_assertion(s).into_bytes();
        // The last byte counts more than a block; what it is padded to has room for that.
        let count = 32 - content.len() % 16;
        content.resize(content.len() + count, b' ');
        if let Some(last) = content.last_mut() {
            *last = u8::try_from(count).unwrap();
        }
        let by = with_content(ContentCipher::Aes256Cbc);
        let mut encrypted = by.encrypt_with(&[7; 32], &content).unwrap();
        // Without the block of padding that every content gets.
        encrypted
            .ciphertext
            .truncate(encrypted.ciphertext.len() - 16);
        let element = encrypted.element("EncryptedAssertion", false);
        around(s, Signed::Response, &element)
    }),
    bad("cbc_padding_oracle_timing", |s| {
        changed(
            s,
            Signed::Assertion,
            &with_content(ContentCipher::Aes128Cbc),
            |e| {
                let at = e.ciphertext.len() - 17;
                e.ciphertext[at] ^= 1;
            },
        )
    }),
    bad("cbc_cut", |s| {
        changed(
            s,
            Signed::Response,
            &with_content(ContentCipher::Aes128Cbc),
            |e| {
                e.ciphertext.truncate(e.ciphertext.len() - 5);
            },
        )
    }),
    bad("cbc_of_an_iv_alone", |s| {
        changed(
            s,
            Signed::Response,
            &with_content(ContentCipher::Aes128Cbc),
            |e| {
                e.ciphertext.truncate(16);
            },
        )
    }),
    bad("cbc_of_nothing", |s| {
        changed(
            s,
            Signed::Response,
            &with_content(ContentCipher::Aes128Cbc),
            |e| {
                e.ciphertext.clear();
            },
        )
    }),
    bad("rsa1_5_keytransport", |s| {
        encrypted(s, Signed::Both, with_transport(KeyTransport::Rsa15))
    }),
    bad("rsa1_5_unsigned", |s| {
        encrypted(s, Signed::Nothing, with_transport(KeyTransport::Rsa15))
    }),
    bad("oaep_of_two_digests", |s| {
        let mixed = KeyTransport::Oaep(Digest::Sha256, Digest::Sha1);
        encrypted(s, Signed::Assertion, with_transport(mixed))
    }),
    bad("oaep_of_two_digests_reversed", |s| {
        let mixed = KeyTransport::Oaep(Digest::Sha1, Digest::Sha256);
        encrypted(s, Signed::Assertion, with_transport(mixed))
    }),
    bad("oaep_digest_of_another_name", |s| {
        edited(s, ours(), Digest::Sha256.mgf_uri(), Digest::Sha1.mgf_uri())
    }),
    bad("oaep_method_unknown", |s| {
        edited(
            s,
            ours(),
            "2009/xmlenc11#rsa-oaep",
            "2009/xmlenc11#rsa-oaep2",
        )
    }),
    bad("oaep_label", |s| {
        let end = "</xenc:EncryptionMethod><xenc:CipherData>";
        edited(
            s,
            ours(),
            end,
            &format!("<xenc:OAEPparams>AAAA</xenc:OAEPparams>{end}"),
        )
    }),
    bad("cipher_ref_url", |s| {
        let trap = s.trap.clone();
        changed(s, Signed::Both, &ours(), |e| {
            let reference =
                format!("<xenc:CipherReference URI=\"{trap}/cipher\"></xenc:CipherReference>");
            e.cipher_data = Some(reference);
        })
    }),
    bad("cipher_ref_file", |s| {
        changed(s, Signed::Assertion, &ours(), |e| {
            let reference =
                "<xenc:CipherReference URI=\"file:///dev/zero\"></xenc:CipherReference>";
            e.cipher_data = Some(reference.to_owned());
        })
    }),
    bad("cipher_value_and_reference", |s| {
        edited(
            s,
            ours(),
            "</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>",
            "</xenc:CipherValue><xenc:CipherValue></xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>",
        )
    }),
    bad("cipher_value_no_base64", |s| {
        edited(
            s,
            ours(),
            "</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>",
            "*</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>",
        )
    }),
    bad("gcm_tag_missing", |s| {
        changed(s, Signed::Assertion, &ours(), |e| {
            e.ciphertext.truncate(e.ciphertext.len() - 16)
        })
    }),
    bad("gcm_tag_cut", |s| {
        changed(s, Signed::Assertion, &ours(), |e| {
            e.ciphertext.truncate(e.ciphertext.len() - 4)
        })
    }),
    bad("gcm_changed", |s| {
        changed(s, Signed::Assertion, &ours(), |e| e.ciphertext[40] ^= 1)
    }),
    bad("gcm_of_a_nonce_alone", |s| {
        changed(s, Signed::Assertion, &ours(), |e| e.ciphertext.truncate(12))
    }),
    bad("gcm_of_five_bytes", |s| {
        changed(s, Signed::Assertion, &ours(), |e| e.ciphertext.truncate(5))
    }),
    bad("gcm_of_nothing", |s| {
        changed(s, Signed::Assertion, &ours(), |e| e.ciphertext.clear())
    }),
    bad("gcm_as_cbc", |s| {
        changed(s, Signed::Response, &ours(), |e| {
            e.content_method = ContentCipher::Aes256Cbc.uri().to_owned();
        })
    }),
    bad("key_of_another_length", |s| {
        changed(s, Signed::Assertion, &ours(), |e| {
            e.content_method = ContentCipher::Aes128Gcm.uri().to_owned();
        })
    }),
    bad("key_changed", |s| {
        changed(s, Signed::Assertion, &ours(), |e| e.wrapped[100] ^= 1)
    }),
    bad("key_cut", |s| {
        changed(s, Signed::Assertion, &ours(), |e| e.wrapped.truncate(255))
    }),
    bad("key_long", |s| {
        changed(s, Signed::Assertion, &ours(), |e| e.wrapped.push(0))
    }),
    bad("key_huge", |s| {
        changed(s, Signed::Assertion, &ours(), |e| e.wrapped = vec![1; 8192])
    }),
    bad("key_of_nothing", |s| {
        changed(s, Signed::Assertion, &ours(), |e| e.wrapped.clear())
    }),
    bad("key_of_zeros", |s| {
        changed(s, Signed::Assertion, &ours(), |e| e.wrapped = vec![0; 256])
    }),
    bad("key_over_the_modulus", |s| {
        changed(s, Signed::Assertion, &ours(), |e| {
            e.wrapped = vec![0xff; 256]
        })
    }),
    bad("wrong_key", |s| {
        encrypted(s, Signed::Assertion, Encryption::to(TestKey::OTHER_IDP))
    }),
    bad("wrong_key_signed", |s| {
        encrypted(s, Signed::Both, Encryption::to(TestKey::OTHER_IDP))
    }),
    bad("content_3des", |s| {
        changed(s, Signed::Both, &ours(), |e| {
            e.content_method = "http://www.w3.org/2001/04/xmlenc#tripledes-cbc".to_owned();
        })
    }),
    bad("content_unknown", |s| {
        changed(s, Signed::Both, &ours(), |e| {
            e.content_method = "urn:none".to_owned()
        })
    }),
    bad("no_encrypted_key", |s| {
        let xml = String::from_utf8(encrypted(s, Signed::Assertion, ours())).unwrap();
        super::surgery::take(&xml, "ds:KeyInfo").1.into_bytes()
    }),
    bad("encrypted_keys_of_many", |s| {
        let xml = String::from_utf8(encrypted(s, Signed::Assertion, ours())).unwrap();
        let (before, key, after) = super::surgery::cut(&xml, "xenc:EncryptedKey");
        format!("{before}{}{after}", key.repeat(500)).into_bytes()
    }),
    bad("retrieval_method_of_the_key", |s| {
        let trap = s.trap.clone();
        let xml = String::from_utf8(encrypted(s, Signed::Assertion, ours())).unwrap();
        let (before, _, after) = super::surgery::cut(&xml, "xenc:EncryptedKey");
        format!("{before}<ds:RetrievalMethod URI=\"{trap}/key\"></ds:RetrievalMethod>{after}")
            .into_bytes()
    }),
    bad("two_encrypted_data", |s| {
        let xml = String::from_utf8(encrypted(s, Signed::Assertion, ours())).unwrap();
        let (before, data, after) = super::surgery::cut(&xml, "xenc:EncryptedData");
        format!("{before}{data}{data}{after}").into_bytes()
    }),
    Case::refused("two_encrypted_assertions", Check::Shape, |s| {
        let xml = String::from_utf8(encrypted(s, Signed::Assertion, ours())).unwrap();
        let (before, data, after) = super::surgery::cut(&xml, "saml:EncryptedAssertion");
        format!("{before}{data}{data}{after}").into_bytes()
    }),
    bad("encrypted_content_type", |s| {
        edited(s, ours(), "xmlenc#Element\"", "xmlenc#Content\"")
    }),
    bad("plaintext_of_nothing", |s| {
        plaintext(s, Signed::Response, "")
    }),
    bad("plaintext_text", |s| {
        plaintext(s, Signed::Response, "assertion")
    }),
    bad("plaintext_junk", |s| {
        plaintext(s, Signed::Response, "\u{1}\u{2}<<<>>&")
    }),
    bad("plaintext_not_whole", |s| {
        let whole = good_assertion(s);
        plaintext(s, Signed::Response, &whole[..whole.len() / 2])
    }),
    bad("plaintext_of_two_assertions", |s| {
        plaintext(
            s,
            Signed::Response,
            &(good_assertion(s) + &evil_assertion(s)),
        )
    }),
    bad("plaintext_closes_its_root", |s| {
        let evil = evil_assertion(s);
        let good = good_assertion(s);
        plaintext(
            s,
            Signed::Response,
            &format!("{good}</usher:plaintext><usher:plaintext>{evil}"),
        )
    }),
    bad("plaintext_with_text", |s| {
        plaintext(s, Signed::Response, &format!("text{}", good_assertion(s)))
    }),
    bad("plaintext_with_doctype", |s| {
        plaintext(
            s,
            Signed::Response,
            &format!("<!DOCTYPE a>{}", good_assertion(s)),
        )
    }),
    bad("plaintext_with_comment", |s| {
        plaintext(
            s,
            Signed::Response,
            &good_assertion(s).replace("ann-0001", "ann<!---->-0001"),
        )
    }),
    bad("plaintext_with_declaration", |s| {
        let good = good_assertion(s);
        plaintext(
            s,
            Signed::Response,
            &format!("<?xml version=\"1.0\"?>{good}"),
        )
    }),
    bad("plaintext_of_a_response", |s| {
        plaintext(s, Signed::Response, &s.with(|_| {}))
    }),
    bad("plaintext_of_another_element", |s| {
        plaintext(
            s,
            Signed::Response,
            "<x:Other xmlns:x=\"urn:x\" ID=\"_other\"></x:Other>",
        )
    }),
    forged("encrypted_signed_by_other_in_a_signed_response", |s| {
        s.with(|r| {
            r.signed = Signed::Both;
            r.assertion_signature = SignatureOptions::of(TestKey::ATTACKER);
            r.encryption = Some(ours());
        })
        .into_bytes()
    }),
    bad("plaintext_encrypted_again", |s| {
        let inner = ours().encrypt(&good_assertion(s)).unwrap();
        plaintext(
            s,
            Signed::Response,
            &inner.element("EncryptedAssertion", false),
        )
    }),
    bad("plaintext_of_a_name_id", |s| {
        let name = format!("<saml:NameID xmlns:saml=\"{SAML}\">ann-0001</saml:NameID>");
        plaintext(s, Signed::Response, &name)
    }),
    bad("plaintext_with_a_wrapped_assertion", |s| {
        let evil = evil_assertion(s);
        let inside = swap(
            &evil,
            "</saml:Subject>",
            &format!("{}</saml:Subject>", good_assertion(s)),
        );
        plaintext(s, Signed::Nothing, &inside)
    }),
    bad("plaintext_deep", |s| {
        plaintext(
            s,
            Signed::Response,
            &("<a>".repeat(5000) + &"</a>".repeat(5000)),
        )
    }),
    bad("plaintext_of_many_attributes", |s| {
        let many: String = (0..20_000).map(|n| format!(" a{n}=\"\"")).collect();
        plaintext(s, Signed::Response, &format!("<a{many}></a>"))
    }),
    bad("encrypted_id_changed", |s| {
        encrypted_id(s, |e| e.ciphertext[20] ^= 1)
    }),
    bad("encrypted_id_of_nothing", |s| {
        encrypted_id(s, |e| e.ciphertext.clear())
    }),
    bad("encrypted_id_of_text", |s| id_of_plaintext(s, "ann-0001")),
    bad("encrypted_id_of_an_assertion", |s| {
        let assertion = s.answer().assertion.to_xml().unwrap();
        id_of_plaintext(s, &assertion)
    }),
    bad("encrypted_id_of_two", |s| {
        let name = format!("<saml:NameID xmlns:saml=\"{SAML}\">ann-0001</saml:NameID>");
        id_of_plaintext(s, &name.repeat(2))
    }),
    Case::refused("encrypted_id_beside_a_name_id", Check::NameId, |s| {
        let name = format!("<saml:NameID xmlns:saml=\"{SAML}\">{ADMIN}</saml:NameID>");
        let encrypted = ours().encrypt(&name).unwrap().element("EncryptedID", true);
        s.with(|r| r.assertion.raw.in_subject = encrypted)
            .into_bytes()
    }),
    Case::refused("encrypted_attribute", Check::Attributes, |s| {
        let name = format!("<saml:Attribute xmlns:saml=\"{SAML}\" Name=\"mail\"></saml:Attribute>");
        let encrypted = ours()
            .encrypt(&name)
            .unwrap()
            .element("EncryptedAttribute", true);
        s.with(|r| r.assertion.raw.in_attributes = encrypted)
            .into_bytes()
    }),
    Case::refused("encrypted_response_without_issuer", Check::Issuer, |s| {
        s.with(|r| {
            r.issuer = None;
            r.encryption = Some(ours());
        })
        .into_bytes()
    }),
    Case::refused("encrypted_for_another_audience", Check::Audience, |s| {
        s.with(|r| {
            let conditions = r.assertion.conditions.as_mut().unwrap();
            conditions.audiences = vec![vec!["https://other.test".to_owned()]];
            r.encryption = Some(ours());
        })
        .into_bytes()
    }),
];
