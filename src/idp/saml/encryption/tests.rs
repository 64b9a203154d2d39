#![allow(clippy::unwrap_used)]
use super::*;
use crate::certificate::{Certificate, key_pair};
use crate::demo::saml::{ContentCipher, Digest, Encryption, KeyTransport, SAML, TestKey};
use crate::idp::saml::xml::ASSERTION;
use crate::secret::Secret;

const PLAIN: &str = "<saml:Assertion xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_1\">a</saml:Assertion>";

fn sp_key(key: TestKey) -> SpKey {
    let certificate = Certificate::from_der(&key.certificate_der()).unwrap();
    let pair = key_pair(&certificate, &Secret::new(key.key_pem())).unwrap();
    SpKey::new(certificate, pair).unwrap()
}

fn keys() -> SpKeys {
    SpKeys::of(vec![sp_key(TestKey::SP_NEXT), sp_key(TestKey::SP)]).unwrap()
}

fn open_xml(xml: &str, integrity: Integrity) -> Result<String, &'static str> {
    let document = xml::parse(xml.as_bytes(), &Limits::MESSAGE).unwrap();
    let opened = decrypt(document.root_element(), &keys(), integrity);
    let opened = opened.map_err(|error| error.cause)?;
    Ok(String::from_utf8(opened).unwrap())
}

fn element(encryption: &Encryption) -> String {
    encryption
        .encrypt(PLAIN)
        .unwrap()
        .element("EncryptedAssertion", false)
}

fn usual() -> String {
    element(&Encryption::to(TestKey::SP))
}

/// What a plaintext gives that is none.
fn content(plaintext: &[u8]) -> Result<String, &'static str> {
    let encryption = Encryption::to(TestKey::SP);
    let encrypted = encryption.encrypt_with(&[7; 32], plaintext).unwrap();
    open_xml(
        &encrypted.element("EncryptedAssertion", false),
        Integrity::Unsigned,
    )
}

#[test]
fn opens_every_content_and_key_algorithm_that_it_takes_with_any_of_its_keys() {
    use ContentCipher as Content;
    for recipient in [TestKey::SP, TestKey::SP_NEXT] {
        for transport in [
            KeyTransport::OaepMgf1p(Digest::Sha1),
            KeyTransport::Oaep(Digest::Sha1, Digest::Sha1),
            KeyTransport::Oaep(Digest::Sha256, Digest::Sha256),
            KeyTransport::Oaep(Digest::Sha384, Digest::Sha384),
            KeyTransport::Oaep(Digest::Sha512, Digest::Sha512),
        ] {
            for (content, integrity) in [
                (Content::Aes128Gcm, Integrity::Unsigned),
                (Content::Aes256Gcm, Integrity::Unsigned),
                (Content::Aes128Gcm, Integrity::Signed),
                (Content::Aes128Cbc, Integrity::Signed),
                (Content::Aes256Cbc, Integrity::Signed),
            ] {
                for key_beside in [false, true] {
                    let mut encryption = Encryption::to(recipient);
                    encryption.content = content;
                    encryption.transport = transport;
                    encryption.key_beside = key_beside;
                    let opened = open_xml(&element(&encryption), integrity).unwrap();
                    assert!(opened.contains(PLAIN), "{opened}");
                }
            }
        }
    }
}

#[test]
fn the_result_is_a_document_that_carries_the_prefixes_in_scope() {
    let inner = "<saml:Assertion ID=\"_1\"><xs:b></xs:b><d></d></saml:Assertion>";
    let encrypted = Encryption::to(TestKey::SP).encrypt(inner).unwrap();
    let around = format!(
        "<r xmlns=\"urn:d?a&amp;&quot;&lt;\" xmlns:xs=\"urn:xs\" xmlns:saml=\"{SAML}\">{}</r>",
        encrypted.element("EncryptedAssertion", true)
    );
    let document = xml::parse(around.as_bytes(), &Limits::MESSAGE).unwrap();
    let node = document.root_element().first_element_child().unwrap();
    let opened = decrypt(node, &keys(), Integrity::Unsigned).unwrap();
    let document = xml::parse(&opened, &Limits::MESSAGE).unwrap();
    let root = document.root_element();
    assert!(xml::is(root, PLAINTEXT, "plaintext"));
    let assertion = xml::sole(root, ASSERTION, "Assertion").unwrap();
    assert!(xml::sole(assertion, "urn:xs", "b").is_ok());
    assert!(xml::sole(assertion, "urn:d?a&\"<", "d").is_ok());
    let canonical = xml::canonical::exclusive(assertion, None, &[]);
    assert!(!String::from_utf8(canonical).unwrap().contains("usher"));
}

#[test]
fn refuses_a_prefix_around_it_that_would_clash() {
    let xml = usual().replacen(
        "<saml:EncryptedAssertion",
        "<saml:EncryptedAssertion xmlns:usher=\"urn:x\"",
        1,
    );
    assert!(
        open_xml(&xml, Integrity::Unsigned)
            .unwrap_err()
            .contains("usher")
    );
}

#[test]
fn takes_cbc_only_where_the_ciphertext_is_signed() {
    for content in [ContentCipher::Aes128Cbc, ContentCipher::Aes256Cbc] {
        let mut encryption = Encryption::to(TestKey::SP);
        encryption.content = content;
        let why = open_xml(&element(&encryption), Integrity::Unsigned).unwrap_err();
        assert!(why.contains("CBC"), "{why}");
    }
}

#[test]
fn refuses_every_other_algorithm_and_says_which_to_use() {
    let mut encryption = Encryption::to(TestKey::SP);
    encryption.transport = KeyTransport::Rsa15;
    let why = open_xml(&element(&encryption), Integrity::Signed).unwrap_err();
    assert!(why.contains("RSA 1.5"), "{why}");
    for mixed in [
        KeyTransport::OaepMgf1p(Digest::Sha256),
        KeyTransport::Oaep(Digest::Sha256, Digest::Sha1),
        KeyTransport::Oaep(Digest::Sha1, Digest::Sha256),
    ] {
        encryption.transport = mixed;
        let why = open_xml(&element(&encryption), Integrity::Signed).unwrap_err();
        assert!(why.contains("different digests"), "{why}");
    }
    let usual = usual();
    for (from, to) in [
        ("2009/xmlenc11#rsa-oaep", "2001/04/xmlenc#kw-aes128"),
        ("2009/xmlenc11#rsa-oaep", "2001/04/xmlenc#rsa-oaep-mgf1p"),
        ("2009/xmlenc11#aes256-gcm", "2001/04/xmlenc#tripledes-cbc"),
        ("xmlenc#Element", "xmlenc#Content"),
    ] {
        let xml = usual.replacen(from, to, 1);
        assert_ne!(xml, usual);
        let why = open_xml(&xml, Integrity::Signed).unwrap_err();
        assert_ne!(why, UNIFORM.cause, "{to}");
    }
    let with_parameters = usual.replacen(
        "</xenc:EncryptionMethod><xenc:CipherData>",
        "<xenc:OAEPparams>AAAA</xenc:OAEPparams></xenc:EncryptionMethod><xenc:CipherData>",
        1,
    );
    assert_ne!(with_parameters, usual);
    let why = open_xml(&with_parameters, Integrity::Signed).unwrap_err();
    assert!(why.contains("OAEPparams"), "{why}");
}

#[test]
fn an_algorithm_that_is_left_out_is_sha1() {
    let mut encryption = Encryption::to(TestKey::SP);
    encryption.transport = KeyTransport::Oaep(Digest::Sha1, Digest::Sha1);
    let xml = element(&encryption);
    let method = xml.split_once("<ds:DigestMethod").unwrap().1;
    let method = method.split_once("</xenc11:MGF>").unwrap().0;
    let bare = xml.replace(&format!("<ds:DigestMethod{method}</xenc11:MGF>"), "");
    assert!(!bare.contains("DigestMethod"), "{bare}");
    assert!(open_xml(&bare, Integrity::Unsigned).is_ok());
}

#[test]
fn follows_no_reference_and_takes_no_other_shape() {
    let usual = usual();
    let key = usual.split_once("<xenc:EncryptedKey>").unwrap().1;
    let key = key.split_once("</xenc:EncryptedKey>").unwrap().0;
    let key = format!("<xenc:EncryptedKey>{key}</xenc:EncryptedKey>");
    let last = usual.rsplit_once("<xenc:CipherValue>").unwrap().1;
    let value = last.split_once("</xenc:CipherValue>").unwrap().0;
    let value = format!("<xenc:CipherValue>{value}</xenc:CipherValue>");
    let data = usual.split_once("<xenc:EncryptedData").unwrap().1;
    let data = data.split_once("</xenc:EncryptedData>").unwrap().0;
    let data = format!("<xenc:EncryptedData{data}</xenc:EncryptedData>");
    let changes = [
        (
            &key,
            "<ds:RetrievalMethod URI=\"#k\"></ds:RetrievalMethod>".to_owned(),
        ),
        (
            &key,
            "<ds:RetrievalMethod URI=\"http://127.0.0.1:1/\"></ds:RetrievalMethod>".to_owned(),
        ),
        (&key, key.repeat(5)),
        (
            &value,
            "<xenc:CipherReference URI=\"http://127.0.0.1:1/\"></xenc:CipherReference>".to_owned(),
        ),
        (&value, value.repeat(2)),
        (&value, "<xenc:CipherValue>*</xenc:CipherValue>".to_owned()),
        (
            &value,
            "<xenc:CipherValue><b></b></xenc:CipherValue>".to_owned(),
        ),
        (&data, data.repeat(2)),
        (&data, String::new()),
    ];
    for (from, to) in changes {
        let xml = usual.replacen(from.as_str(), &to, 1);
        assert_ne!(xml, usual);
        let why = open_xml(&xml, Integrity::Signed).unwrap_err();
        assert_ne!(why, UNIFORM.cause, "{to}");
    }
    let twice = usual.replacen(&key, &key.repeat(2), 1);
    assert!(open_xml(&twice, Integrity::Unsigned).is_ok());
}

#[test]
fn whatever_depends_on_a_key_or_on_the_plaintext_fails_alike() {
    let mut wrong = Vec::new();
    wrong.push(open_xml(
        &element(&Encryption::to(TestKey::ATTACKER)),
        Integrity::Unsigned,
    ));
    let encryption = Encryption::to(TestKey::SP);
    let mut changed = encryption.encrypt(PLAIN).unwrap();
    let mut open_changed = |change: fn(&mut Vec<u8>, &mut Vec<u8>)| {
        let mut one = changed.clone();
        change(&mut one.wrapped, &mut one.ciphertext);
        wrong.push(open_xml(
            &one.element("EncryptedAssertion", false),
            Integrity::Unsigned,
        ));
    };
    open_changed(|wrapped, _| wrapped[100] ^= 1);
    open_changed(|wrapped, _| wrapped.truncate(255));
    open_changed(|wrapped, _| wrapped.push(0));
    open_changed(|wrapped, _| wrapped.clear());
    open_changed(|_, content| content[0] ^= 1);
    open_changed(|_, content| content[20] ^= 1);
    open_changed(|_, content| *content.last_mut().unwrap() ^= 1);
    open_changed(|_, content| content.truncate(27));
    open_changed(|_, content| content.truncate(11));
    open_changed(|_, content| content.clear());
    // A content key of another length than the algorithm's.
    changed.content_method = ContentCipher::Aes128Gcm.uri().to_owned();
    wrong.push(open_xml(
        &changed.element("EncryptedAssertion", false),
        Integrity::Unsigned,
    ));
    for plaintext in [
        &b""[..],
        b"text",
        b"<a></a>x",
        b"<a></a><b></b>",
        b"<a>",
        b"</usher:plaintext><usher:plaintext xmlns:usher=\"urn:x\"><a></a>",
        b"<a></a></usher:plaintext><b>",
        b"<!DOCTYPE a><a></a>",
        b"<!-- c --><a></a>",
        b"<?xml version=\"1.0\"?><a></a>",
        b"<a>\xff</a>",
        b"<x:a></x:a>",
    ] {
        wrong.push(content(plaintext));
    }
    for one in wrong {
        assert_eq!(one, Err(UNIFORM.cause));
    }
    assert!(content(b" <a></a>\n").is_ok());
}

#[test]
fn a_key_that_does_not_unwrap_is_no_key_that_somebody_could_know() {
    let encryption = Encryption::to(TestKey::ATTACKER);
    for guess in [[0; 32], [255; 32]] {
        let encrypted = encryption.encrypt_with(&guess, PLAIN.as_bytes()).unwrap();
        let xml = encrypted.element("EncryptedAssertion", false);
        assert_eq!(open_xml(&xml, Integrity::Unsigned), Err(UNIFORM.cause));
    }
}

#[test]
fn padding_of_cbc_is_counted_by_its_last_byte_and_bounded() {
    use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
    use aws_lc_rs::iv::FixedLength;
    let cbc = Content::of_uri("http://www.w3.org/2001/04/xmlenc#aes128-cbc").unwrap();
    let sealed = |plain: &[u8]| {
        let mut body = plain.to_vec();
        let key = EncryptingKey::cbc(UnboundCipherKey::new(&AES_128, &[1; 16]).unwrap()).unwrap();
        let iv = EncryptionContext::Iv128(FixedLength::from([2; 16]));
        key.less_safe_encrypt(&mut body, iv).unwrap();
        cbc.decrypt(&[1; 16], &[vec![2; 16], body].concat())
    };
    let block = |last: u8| [&[b'a'; 15][..], &[last]].concat();
    assert_eq!(sealed(&block(1)), Some(vec![b'a'; 15]));
    assert_eq!(sealed(&block(5)), Some(vec![b'a'; 11]));
    assert_eq!(sealed(&block(16)), Some(Vec::new()));
    for wrong in [0, 17, 255] {
        assert_eq!(sealed(&block(wrong)), None);
        assert_eq!(sealed(&[block(1), block(wrong)].concat()), None);
    }
    for length in [0, 15, 16, 17, 31] {
        assert_eq!(cbc.decrypt(&[1; 16], &vec![0; length]), None, "{length}");
    }
}

#[test]
fn opens_what_xmlsec1_encrypted() {
    let gcm = include_str!("../fixtures/encrypted-aes128-gcm.xml");
    let opened = open_xml(gcm, Integrity::Unsigned).unwrap();
    let document = xml::parse(opened.as_bytes(), &Limits::MESSAGE).unwrap();
    let assertion = xml::sole(document.root_element(), ASSERTION, "Assertion").unwrap();
    let issuer = xml::sole(assertion, ASSERTION, "Issuer").unwrap();
    assert_eq!(xml::text(issuer).unwrap(), "https://idp.test/é");
    let cbc = include_str!("../fixtures/encrypted-aes192-cbc.xml");
    assert_eq!(open_xml(cbc, Integrity::Signed).as_deref(), Ok(&*opened));
    assert!(open_xml(cbc, Integrity::Unsigned).is_err());
}
