#![allow(clippy::unwrap_used, clippy::panic)]
use proptest::prelude::*;

use super::*;
use crate::config::SamlKeyPair;
use crate::demo::saml::{
    Digest, KeyInfo, Reference, SignatureAlgorithm as By, SignatureOptions, TestKey, insert_first,
};
use crate::idp::saml::xml::{ASSERTION, METADATA, PROTOCOL};
use crate::secret::Secret;

const PLAIN: &str = "<a:A xmlns:a=\"urn:a\" ID=\"_1\"><a:B>c</a:B></a:A>";

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn certificate(key: TestKey) -> Certificate {
    Certificate::from_der(&key.certificate_der()).unwrap()
}

fn idp() -> Vec<Certificate> {
    vec![certificate(TestKey::IDP)]
}

/// Verifies the root's own signature.
fn verify_root(xml: &str, certificates: &[Certificate]) -> Result<String, SignatureError> {
    let document = xml::parse(xml.as_bytes(), &Limits::METADATA).unwrap();
    let root = document.root_element();
    let signature = of(root)?.unwrap();
    let signed = verify_enveloped(root, signature, certificates, now())?;
    Ok(String::from_utf8(signed.as_bytes().to_vec()).unwrap())
}

fn options() -> SignatureOptions {
    SignatureOptions::of(TestKey::IDP)
}

fn signed_by(options: &SignatureOptions) -> String {
    insert_first(PLAIN, &options.sign("_1", PLAIN).unwrap())
}

fn refusal(xml: &str) -> String {
    verify_root(xml, &idp()).unwrap_err().to_string()
}

/// A correctly signed element whose `SignedInfo` was changed before it was signed.
fn with_signed_info(change: impl Fn(&str) -> String) -> String {
    let info = change(&options().signed_info("_1", PLAIN));
    insert_first(PLAIN, &options().over(&info).unwrap())
}

#[test]
fn verifies_what_is_signed_and_hands_on_its_octets_without_the_signature() {
    assert_eq!(verify_root(&signed_by(&options()), &idp()).unwrap(), PLAIN);
    let spaced = signed_by(&options())
        .replace(
            "<a:A xmlns:a=\"urn:a\" ID=\"_1\">",
            "<a:A\n ID='_1' \t xmlns:a='urn:a'\n>",
        )
        .replace("<a:B>", "<a:B\n>");
    assert_eq!(verify_root(&spaced, &idp()).unwrap(), PLAIN);
}

#[test]
fn verifies_every_algorithm_that_it_knows() {
    for (key, by) in [
        (TestKey::IDP, By::RsaSha256),
        (TestKey::IDP, By::RsaSha384),
        (TestKey::IDP, By::RsaSha512),
        (TestKey::P256, By::EcdsaSha256),
        (TestKey::P384, By::EcdsaSha384),
    ] {
        for digest in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
            let xml = signed_by(&SignatureOptions::of(key).by(by, digest));
            let certificates = [certificate(TestKey::OTHER_IDP), certificate(key)];
            assert_eq!(verify_root(&xml, &certificates).unwrap(), PLAIN, "{by:?}");
            assert_eq!(Algorithm::of_uri(by.uri()).unwrap().uri(), by.uri());
        }
    }
}

#[test]
fn refuses_every_algorithm_that_it_does_not_take() {
    for by in [By::RsaSha1, By::RsaPssSha256, By::HmacSha1, By::HmacSha256] {
        let xml = signed_by(&options().by(by, Digest::Sha256));
        let refused = verify_root(&xml, &idp()).err();
        assert_eq!(
            refused,
            Some(SignatureError::Algorithm(by.uri().to_owned()))
        );
        assert_eq!(Algorithm::of_uri(by.uri()), None);
    }
    let xml = signed_by(&options().by(By::RsaSha256, Digest::Sha1));
    assert!(refusal(&xml).contains("xmldsig#sha1"));
    for other in [
        "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
    ] {
        let mut options = options();
        options.canonicalization = other.to_owned();
        assert!(refusal(&signed_by(&options)).contains(other));
        options.canonicalization = EXCLUSIVE_C14N.to_owned();
        for at in 0..2 {
            let mut transforms = [ENVELOPED, EXCLUSIVE_C14N];
            transforms[at] = other;
            options.transforms = Some(transforms.iter().map(|uri| transform(uri)).collect());
            assert!(refusal(&signed_by(&options)).contains(other));
        }
    }
}

fn transform(uri: &str) -> String {
    format!("<ds:Transform Algorithm=\"{uri}\"></ds:Transform>")
}

#[test]
fn an_algorithm_counts_only_with_a_key_of_its_kind() {
    let xml = signed_by(&SignatureOptions::of(TestKey::P256).by(By::EcdsaSha256, Digest::Sha256));
    for key in [TestKey::P384, TestKey::IDP] {
        let refused = verify_root(&xml, &[certificate(key)]).err();
        assert_eq!(refused, Some(SignatureError::Value(1)));
    }
}

#[test]
fn takes_exactly_two_transforms_in_their_order() {
    let usual = || vec![transform(ENVELOPED), transform(EXCLUSIVE_C14N)];
    let mut options = options();
    for wrong in [
        vec![],
        vec![transform(EXCLUSIVE_C14N)],
        vec![transform(ENVELOPED)],
        vec![transform(EXCLUSIVE_C14N), transform(ENVELOPED)],
        [usual(), vec![transform(EXCLUSIVE_C14N)]].concat(),
        vec![transform(ENVELOPED), transform(ENVELOPED)],
    ] {
        options.transforms = Some(wrong.clone());
        assert!(
            verify_root(&signed_by(&options), &idp()).is_err(),
            "{wrong:?}"
        );
    }
    options.transforms = Some(usual());
    assert!(verify_root(&signed_by(&options), &idp()).is_ok());
}

#[test]
fn refers_to_its_parent_by_id_and_to_nothing_else() {
    for wrong in [
        "",
        "#",
        "#_2",
        "_1",
        "#xpointer(id('_1'))",
        "#xpointer(/)",
        "#_1 ",
        "file:///etc/hosts",
        "http://127.0.0.1/#_1",
    ] {
        let mut options = options();
        options.reference = Reference::Uri(wrong.to_owned());
        assert!(
            refusal(&signed_by(&options)).contains("refers to"),
            "{wrong}"
        );
    }
    let mut options = options();
    options.reference = Reference::Absent;
    assert!(refusal(&signed_by(&options)).contains("URI"));
}

#[test]
fn refuses_an_element_that_has_not_exactly_one_id() {
    for wrong in [
        "<a:A xmlns:a=\"urn:a\"></a:A>",
        "<a:A xmlns:a=\"urn:a\" ID=\"\"></a:A>",
        "<a:A xmlns:a=\"urn:a\" Id=\"_1\"></a:A>",
        "<a:A xmlns:a=\"urn:a\" a:ID=\"_1\"></a:A>",
        "<a:A xmlns:a=\"urn:a\" ID=\"_1\" Id=\"_2\"></a:A>",
        "<a:A xmlns:a=\"urn:a\" ID=\"_1\" xml:id=\"_2\"></a:A>",
        "<a:A xmlns:a=\"urn:a\" ID=\"_1\" a:ID=\"_2\"></a:A>",
    ] {
        let signature = options().sign("_1", wrong).unwrap();
        let why = refusal(&insert_first(wrong, &signature));
        assert!(why.contains("ID"), "{wrong}: {why}");
    }
    let signature = options().sign("", "<a ID=\"\"></a>").unwrap();
    assert!(refusal(&insert_first("<a ID=\"\"></a>", &signature)).contains("empty"));
}

#[test]
fn refuses_what_was_changed_after_it_was_signed() {
    let xml = signed_by(&options());
    let changed = xml.replace("<a:B>c<", "<a:B>d<");
    assert_eq!(
        verify_root(&changed, &idp()).err(),
        Some(SignatureError::Digest)
    );
    let value = xml.split_once("<ds:SignatureValue>").unwrap().1;
    let first = &value[..1];
    let other = if first == "A" { "B" } else { "A" };
    let changed = xml.replacen(
        &format!("<ds:SignatureValue>{first}"),
        &format!("<ds:SignatureValue>{other}"),
        1,
    );
    assert_eq!(
        verify_root(&changed, &idp()).err(),
        Some(SignatureError::Value(1))
    );
    // A digest that fits, in a SignedInfo that nobody signed.
    let other = signed_by(&SignatureOptions::of(TestKey::ATTACKER));
    assert_eq!(
        verify_root(&other, &idp()).err(),
        Some(SignatureError::Value(1))
    );
    assert_eq!(verify_root(&xml, &[]).err(), Some(SignatureError::Value(0)));
}

#[test]
fn what_key_info_says_does_not_count() {
    let mut options = SignatureOptions::of(TestKey::ATTACKER);
    for info in [
        KeyInfo::Certificate(TestKey::ATTACKER),
        KeyInfo::Certificate(TestKey::IDP),
        KeyInfo::Absent,
    ] {
        options.key_info = info;
        let refused = verify_root(&signed_by(&options), &idp()).err();
        assert_eq!(refused, Some(SignatureError::Value(1)));
    }
    let mut options = self::options();
    options.key_info = KeyInfo::Certificate(TestKey::ATTACKER);
    assert!(verify_root(&signed_by(&options), &idp()).is_ok());
    options.key_info = KeyInfo::Absent;
    assert!(verify_root(&signed_by(&options), &idp()).is_ok());
}

#[test]
fn a_signature_holds_signed_info_value_and_key_info_and_nothing_else() {
    let xml = signed_by(&options());
    let info = {
        let from = xml.find("<ds:SignedInfo>").unwrap();
        let to = xml.find("<ds:SignatureValue>").unwrap();
        xml[from..to].to_owned()
    };
    let changes = [
        (
            "</ds:Signature>",
            "<ds:Object></ds:Object></ds:Signature>".to_owned(),
        ),
        ("</ds:Signature>", "x</ds:Signature>".to_owned()),
        (
            "</ds:Signature>",
            "<ds:KeyInfo></ds:KeyInfo></ds:Signature>".to_owned(),
        ),
        ("<ds:SignedInfo>", format!("{info}<ds:SignedInfo>")),
        ("<ds:SignatureValue>", format!("{info}<ds:SignatureValue>")),
        ("<ds:KeyInfo>", "<ds:Object>".to_owned()),
        (&info, String::new()),
        ("<ds:Signature ", "<ds:Signature Foo=\"1\" ".to_owned()),
        (
            "<ds:SignatureValue>",
            "<ds:SignatureValue ds:Id=\"x\">".to_owned(),
        ),
        (
            "<ds:SignatureValue>",
            "<ds:SignatureValue><ds:X></ds:X>".to_owned(),
        ),
        (
            "<ds:SignatureValue>",
            "<ds:SignatureValue><!-- x -->".to_owned(),
        ),
        ("<ds:SignatureValue>", "<ds:SignatureValue>*".to_owned()),
    ];
    for (from, to) in changes {
        let mut changed = xml.replacen(from, &to, 1);
        if to == "<ds:Object>" {
            changed = changed.replace("</ds:KeyInfo>", "</ds:Object>");
        }
        assert!(
            matches!(verify_root(&changed, &idp()), Err(SignatureError::Shape(_))),
            "{from} → {to}: {:?}",
            verify_root(&changed, &idp())
        );
    }
    let value = xml.split_once("<ds:SignatureValue>").unwrap().1;
    let value = value.split_once('<').unwrap().0;
    let emptied = xml.replace(value, "");
    assert!(matches!(
        verify_root(&emptied, &idp()),
        Err(SignatureError::Shape(_))
    ));
    let wrapped = xml.replace(
        value,
        &format!("\n {}\r\n\t{} ", &value[..60], &value[60..]),
    );
    assert!(verify_root(&wrapped, &idp()).is_ok());
}

#[test]
fn signed_info_is_refused_in_any_other_shape_even_when_it_is_signed() {
    let reference = options().reference_element("_1", PLAIN);
    let digest = "<ds:DigestValue>";
    let changes = [
        (reference.as_str(), String::new()),
        (&reference, format!("{reference}{reference}")),
        ("<ds:Reference ", "<ds:Reference Type=\"x\" ".to_owned()),
        (digest, "<ds:DigestValue><!-- evil -->".to_owned()),
        (digest, "<ds:DigestValue><ds:X></ds:X>".to_owned()),
        (
            digest,
            "<ds:DigestValue>AAAA</ds:DigestValue><ds:DigestValue>".to_owned(),
        ),
        (
            "</ds:DigestMethod>",
            "<ds:X></ds:X></ds:DigestMethod>".to_owned(),
        ),
        (
            "</ds:SignatureMethod>",
            "<ds:HMACOutputLength>1</ds:HMACOutputLength></ds:SignatureMethod>".to_owned(),
        ),
        ("</ds:Transforms>", "</ds:Transforms>x".to_owned()),
        (
            "</ds:Transform>",
            "<ds:XPath>1</ds:XPath></ds:Transform>".to_owned(),
        ),
        (
            "</ds:CanonicalizationMethod>",
            "<ds:X></ds:X></ds:CanonicalizationMethod>".to_owned(),
        ),
    ];
    assert!(verify_root(&with_signed_info(str::to_owned), &idp()).is_ok());
    for (from, to) in changes {
        let xml = with_signed_info(|info| info.replacen(from, &to, 1));
        assert!(
            matches!(verify_root(&xml, &idp()), Err(SignatureError::Shape(_))),
            "{from} → {to}: {:?}",
            verify_root(&xml, &idp())
        );
    }
}

#[test]
fn a_signature_of_another_element_or_two_of_them_do_not_count() {
    let xml = signed_by(&options());
    let outer = format!("<o ID=\"_1\">{xml}</o>");
    let document = xml::parse(outer.as_bytes(), &Limits::MESSAGE).unwrap();
    let inner = document.root_element().first_child().unwrap();
    let signature = of(inner).unwrap().unwrap();
    assert!(of(document.root_element()).unwrap().is_none());
    let refused = verify_enveloped(document.root_element(), signature, &idp(), now()).err();
    assert!(refused.unwrap().to_string().contains("no child"));
    assert!(verify_enveloped(inner, signature, &idp(), now()).is_ok());
    let twice = insert_first(&xml, &options().sign("_1", PLAIN).unwrap());
    assert!(matches!(
        verify_root(&twice, &idp()),
        Err(SignatureError::Shape(_))
    ));
}

#[test]
fn prefix_lists_are_kept_to_and_bounded() {
    const XS: &str = "http://www.w3.org/2001/XMLSchema";
    let plain = PLAIN.replace(" ID", &format!(" xmlns:xs=\"{XS}\" ID"));
    let mut options = options();
    options.prefixes = Some("xs".to_owned());
    options.signed_info_prefixes = Some("xs".to_owned());
    let xml = insert_first(&plain, &options.sign("_1", &plain).unwrap());
    assert_eq!(verify_root(&xml, &idp()).unwrap(), plain);
    options.signed_info_prefixes = None;
    options.prefixes = Some("xs ".repeat(16));
    let xml = insert_first(&plain, &options.sign("_1", &plain).unwrap());
    assert!(verify_root(&xml, &idp()).is_ok());
    options.prefixes = Some("xs ".repeat(17));
    let xml = insert_first(&plain, &options.sign("_1", &plain).unwrap());
    assert!(refusal(&xml).contains("PrefixList"));
}

#[test]
fn all_certificates_are_tried_and_their_dates_count_by_a_minute() {
    let xml = signed_by(&SignatureOptions::of(TestKey::EXPIRED));
    let expired = certificate(TestKey::EXPIRED);
    let outside = Some(SignatureError::CertificateDates {
        not_before: expired.not_before(),
        not_after: expired.not_after(),
    });
    let several = [
        certificate(TestKey::IDP),
        expired.clone(),
        certificate(TestKey::OTHER_IDP),
    ];
    assert_eq!(verify_root(&xml, &several).err(), outside);
    let future = signed_by(&SignatureOptions::of(TestKey::FUTURE));
    let refused = verify_root(&future, &[certificate(TestKey::FUTURE)]).err();
    assert!(matches!(
        refused,
        Some(SignatureError::CertificateDates { .. })
    ));

    let signature = TestKey::EXPIRED.sign(By::RsaSha256, b"hello").unwrap();
    let at = |seconds: i64| {
        let certificates = std::slice::from_ref(&expired);
        let now = Timestamp::from_second(seconds).unwrap();
        verify_bytes(
            Algorithm::RsaSha256,
            b"hello",
            &signature,
            certificates,
            now,
        )
        .err()
    };
    assert_eq!(at(expired.not_after().as_second() + 60), None);
    assert_eq!(at(expired.not_after().as_second() + 61), outside);
    assert_eq!(at(expired.not_before().as_second() - 60), None);
    assert_eq!(at(expired.not_before().as_second() - 61), outside);
}

#[test]
fn verifies_bytes_by_the_algorithm_that_is_named_alone() {
    let signature = TestKey::IDP.sign(By::RsaSha512, b"hello").unwrap();
    let verify =
        |algorithm, bytes: &[u8]| verify_bytes(algorithm, bytes, &signature, &idp(), now());
    assert_eq!(verify(Algorithm::RsaSha512, b"hello"), Ok(()));
    assert_eq!(
        verify(Algorithm::RsaSha256, b"hello"),
        Err(SignatureError::Value(1))
    );
    assert_eq!(
        verify(Algorithm::EcdsaSha256, b"hello"),
        Err(SignatureError::Value(1))
    );
    assert_eq!(
        verify(Algorithm::RsaSha512, b"hallo"),
        Err(SignatureError::Value(1))
    );
}

#[test]
fn what_it_signs_it_verifies_and_stands_in_canonical_form() {
    let pair = SamlKeyPair {
        certificate: certificate(TestKey::SP),
        key: Secret::new(TestKey::SP.key_pem()),
    };
    let key = crate::certificate::key_pair(&pair.certificate, &pair.key).unwrap();
    let key = SpKey::new(pair.certificate.clone(), key).unwrap();
    let signature = sign_enveloped(PLAIN, "_1", &key).unwrap();
    let xml = insert_first(PLAIN, &signature);
    assert_eq!(verify_root(&xml, &[pair.certificate]).unwrap(), PLAIN);
    let document = xml::parse(xml.as_bytes(), &Limits::MESSAGE).unwrap();
    let canonical = canonical::exclusive(document.root_element(), None, &[]);
    assert_eq!(canonical, xml.as_bytes());
    assert!(signature.contains(&TestKey::SP.certificate_base64()));
}

const ASSERTION_RSA_SHA256: &str = include_str!("../fixtures/assertion-rsa-sha256.xml");
const ASSERTION_ECDSA_SHA256: &str = include_str!("../fixtures/assertion-ecdsa-sha256.xml");
const ASSERTION_ECDSA_SHA384: &str = include_str!("../fixtures/assertion-ecdsa-sha384.xml");
const RESPONSE_RSA_SHA512: &str = include_str!("../fixtures/response-rsa-sha512.xml");
const BOTH_RSA_SHA384: &str = include_str!("../fixtures/both-rsa-sha384.xml");
const METADATA_RSA_SHA256: &str = include_str!("../fixtures/metadata-rsa-sha256.xml");

fn verify_at(
    xml: &str,
    namespace: &str,
    name: &str,
    key: TestKey,
) -> Result<String, SignatureError> {
    let document = xml::parse(xml.as_bytes(), &Limits::METADATA).unwrap();
    let mut all = document.descendants();
    let element = all.find(|node| xml::is(*node, namespace, name)).unwrap();
    let signature = of(element)?.unwrap();
    let signed = verify_enveloped(element, signature, &[certificate(key)], now())?;
    Ok(String::from_utf8(signed.as_bytes().to_vec()).unwrap())
}

#[test]
fn verifies_what_xmlsec1_signed() {
    for (xml, namespace, name, key) in [
        (ASSERTION_RSA_SHA256, ASSERTION, "Assertion", TestKey::IDP),
        (
            ASSERTION_ECDSA_SHA256,
            ASSERTION,
            "Assertion",
            TestKey::P256,
        ),
        (
            ASSERTION_ECDSA_SHA384,
            ASSERTION,
            "Assertion",
            TestKey::P384,
        ),
        (RESPONSE_RSA_SHA512, PROTOCOL, "Response", TestKey::IDP),
        (BOTH_RSA_SHA384, ASSERTION, "Assertion", TestKey::IDP),
        (BOTH_RSA_SHA384, PROTOCOL, "Response", TestKey::IDP),
        (
            METADATA_RSA_SHA256,
            METADATA,
            "EntityDescriptor",
            TestKey::IDP,
        ),
    ] {
        let octets = verify_at(xml, namespace, name, key).unwrap();
        assert!(octets.contains("https://idp.test"), "{octets}");
        // Written in another way that canonicalization evens out.
        let other = xml
            .replace(
                "Version=\"2.0\" ID=\"_a1\"",
                "ID='_a1'\r\n\tVersion = '2.0' ",
            )
            .replace("&gt;", "\u{3e}")
            .replace("<AttributeValue/>", "<AttributeValue ></AttributeValue\n>")
            .replace("\u{20ac}", "&#8364;");
        assert_eq!(
            verify_at(&other, namespace, name, key).as_deref(),
            Ok(&*octets)
        );
        let changed = xml.replace("https://idp.test<", "https://evil.test<");
        let changed = changed.replace("https://idp.test/sso", "https://evil.test/sso");
        let refused = verify_at(&changed, namespace, name, key).err();
        assert_eq!(refused, Some(SignatureError::Digest));
        let refused = verify_at(xml, namespace, name, TestKey::ATTACKER).err();
        assert_eq!(refused, Some(SignatureError::Value(1)));
    }
}

proptest! {
    #[test]
    fn no_change_of_one_byte_verifies_as_anything_else(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let xml = signed_by(&options());
        let mut changed = xml.into_bytes();
        let at = at.index(changed.len());
        changed[at] = byte;
        let Ok(document) = xml::parse(&changed, &Limits::MESSAGE) else { return Ok(()) };
        let root = document.root_element();
        if let Ok(Some(signature)) = of(root)
            && let Ok(signed) = verify_enveloped(root, signature, &idp(), now())
        {
            prop_assert_eq!(signed.as_bytes(), PLAIN.as_bytes());
        }
    }
}

#[test]
fn what_the_canonical_form_says_must_be_what_the_tree_said() {
    let xml = signed_by(&options());
    let document = xml::parse(xml.as_bytes(), &Limits::MESSAGE).unwrap();
    let root = document.root_element();
    let read = shape::read(root, of(root).unwrap().unwrap()).unwrap();
    let canonical = canonical::exclusive(read.signed_info, None, &[]);
    assert!(read_again(&canonical, &read.says).is_ok());
    let text = String::from_utf8(canonical).unwrap();
    let digest = options().reference_element("_1", "other");
    let other = text.replace(&options().reference_element("_1", PLAIN), &digest);
    for wrong in [
        other,
        text.replace("#_1", "#_2"),
        text.replace("rsa-sha256", "rsa-sha512"),
        text.replace("SignedInfo", "Other"),
        String::new(),
    ] {
        assert_ne!(wrong, text);
        assert!(read_again(wrong.as_bytes(), &read.says).is_err(), "{wrong}");
    }
}
