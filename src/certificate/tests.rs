#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;
use crate::demo::saml::TestKey;

fn certificate_pem() -> &'static str {
    TestKey::IDP.certificate_pem()
}

fn made(algorithm: &'static rcgen::SignatureAlgorithm) -> (Vec<u8>, String) {
    let mut params = rcgen::CertificateParams::new(vec!["wiki.example".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2024, 2, 29);
    params.not_after = rcgen::date_time_ymd(2051, 1, 2);
    let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.der().to_vec(), certificate.pem())
}

/// A certificate whose key, of the same length, is replaced.
fn with_key(der: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let at = der.windows(old.len()).position(|part| part == old).unwrap();
    let mut changed = der.to_vec();
    changed[at..at + new.len()].copy_from_slice(new);
    changed
}

fn key_error(der: &[u8]) -> String {
    match Certificate::from_der(der) {
        Err(CertificateError::Key(what)) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_pem_and_bare_base64_and_says_what_it_is() {
    let certificate = Certificate::from_text(certificate_pem()).unwrap();
    assert!(matches!(certificate.key(), PublicKey::Rsa(_)));
    assert_eq!(
        certificate.fingerprint(),
        "E1:7B:43:50:B7:B9:1C:D0:0B:E9:C6:7F:F9:C5:43:E4:3A:F0:F1:FC:6A:89:F0:EF:E8:C2:2A:33:99:06:3F:DB"
    );
    assert!(certificate.not_before() < certificate.not_after());
    assert_eq!(
        Certificate::from_text(&certificate.pem()).unwrap(),
        certificate
    );
    let bare: String = certificate_pem()
        .lines()
        .filter(|line| !line.starts_with('-'))
        .map(|line| format!("\t {line}\r\n"))
        .collect();
    assert_eq!(Certificate::from_text(&bare).unwrap(), certificate);
    let one_line = bare.split_whitespace().collect::<String>();
    assert_eq!(Certificate::from_text(&one_line).unwrap(), certificate);
    let with_words = format!(
        "Subject: CN=idp.example\n{}\n# the end\n",
        certificate_pem()
    );
    assert_eq!(Certificate::from_text(&with_words).unwrap(), certificate);
    assert_eq!(
        Certificate::from_der(certificate.der()).unwrap(),
        certificate
    );
}

#[test]
fn refuses_all_that_is_not_exactly_one_certificate() {
    let der = Certificate::from_text(certificate_pem())
        .unwrap()
        .der()
        .to_vec();
    let mut longer = der.clone();
    longer.push(0);
    let shorter = &der[..der.len() - 1];
    for wrong in [
        &longer[..],
        shorter,
        b"",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x03\x30\x01\x02",
    ] {
        assert_eq!(
            Certificate::from_der(wrong),
            Err(CertificateError::NotACertificate)
        );
        assert!(validity(wrong).is_none());
    }
    let texts = [
        String::new(),
        "hello".to_owned(),
        format!("{0}{0}", certificate_pem()),
        format!("{}{}", TestKey::IDP.key_pem(), certificate_pem()),
        certificate_pem().replace("END CERTIFICATE", "END"),
        TestKey::IDP.key_pem().to_owned(),
        STANDARD.encode(&longer),
    ];
    for text in texts {
        assert_eq!(
            Certificate::from_text(&text),
            Err(CertificateError::NotACertificate),
            "{text}"
        );
    }
}

#[test]
fn reads_dates_of_both_kinds_with_a_key_of_any_kind() {
    let (der, _) = made(&rcgen::PKCS_ED25519);
    let (from, until) = validity(&der).unwrap();
    assert_eq!(from.to_string(), "2024-02-29T00:00:00Z");
    assert_eq!(until.to_string(), "2051-01-02T00:00:00Z");
}

#[test]
fn takes_p256_and_p384_and_no_other_kind_of_key() {
    let (der, pem) = made(&rcgen::PKCS_ECDSA_P256_SHA256);
    let certificate = Certificate::from_text(&pem).unwrap();
    assert!(matches!(certificate.key(), PublicKey::P256(point) if point.len() == 65));
    assert_eq!(certificate.der(), der);
    let (der, _) = made(&rcgen::PKCS_ECDSA_P384_SHA384);
    let certificate = Certificate::from_der(&der).unwrap();
    assert!(matches!(certificate.key(), PublicKey::P384(point) if point.len() == 97));
    let (der, _) = made(&rcgen::PKCS_ED25519);
    assert!(key_error(&der).contains("1.3.101.112"));
    let (der, _) = made(&rcgen::PKCS_ECDSA_P521_SHA512);
    assert!(key_error(&der).contains("curve"));
}

#[test]
fn refuses_a_point_that_is_not_on_its_curve() {
    let (der, _) = made(&rcgen::PKCS_ECDSA_P256_SHA256);
    let PublicKey::P256(point) = Certificate::from_der(&der).unwrap().key().clone() else {
        panic!("P-256");
    };
    let mut moved = point.clone();
    moved[64] ^= 1;
    assert!(key_error(&with_key(&der, &point, &moved)).contains("point"));
    let mut hybrid = point.clone();
    hybrid[0] = 6;
    assert!(key_error(&with_key(&der, &point, &hybrid)).contains("point"));
}

#[test]
fn refuses_rsa_keys_that_are_short_or_odd() {
    let der = Certificate::from_text(certificate_pem())
        .unwrap()
        .der()
        .to_vec();
    let PublicKey::Rsa(key) = Certificate::from_der(&der).unwrap().key().clone() else {
        panic!("RSA");
    };
    // 30 82 01 0a 02 82 01 01 00 modulus 02 03 01 00 01
    let changed = |at: usize, byte: u8| {
        let mut changed = key.clone();
        changed[at] = byte;
        key_error(&with_key(&der, &key, &changed))
    };
    let last = key.len() - 1;
    assert!(changed(last, 2).contains("cannot be"), "even exponent");
    assert!(
        changed(last - 5, key[last - 5] & 0xfe).contains("cannot be"),
        "even modulus"
    );
    assert!(changed(8, 0x80).contains("malformed"), "negative modulus");
    assert!(
        changed(9, 0x7f).contains("malformed"),
        "not the shortest form"
    );
    let small = include_str!("../idp/saml/fixtures/rsa1024.crt");
    assert_eq!(
        Certificate::from_text(small),
        Err(CertificateError::Key("RSA of 1024 bits".to_owned()))
    );
    // 2047 bits in the room of 2048.
    let mut shorter = key.clone();
    shorter[3] -= 1;
    shorter[7] -= 1;
    shorter.remove(8);
    shorter[8] = 0x7f;
    assert_eq!(
        rsa(&shorter),
        Err(CertificateError::Key("RSA of 2047 bits".to_owned()))
    );
    let mut trailing = key.clone();
    trailing.push(0);
    assert!(rsa(&trailing).is_err());
    let one = [&key[..key.len() - 5], b"\x02\x01\x01"].concat();
    let mut one = one;
    one[3] -= 2;
    assert!(rsa(&one).is_err(), "exponent 1");
}

#[test]
fn a_private_key_must_be_that_of_the_certificate() {
    let certificate = Certificate::from_text(certificate_pem()).unwrap();
    let pair = |key: &str| key_pair(&certificate, &Secret::new(key)).err();
    assert_eq!(pair(TestKey::IDP.key_pem()), None);
    assert_eq!(
        pair(TestKey::SP.key_pem()),
        Some(KeyPairError::OtherCertificate)
    );
    assert_eq!(pair("hello"), Some(KeyPairError::NotAKey));
    assert_eq!(pair(certificate_pem()), Some(KeyPairError::NotAKey));
    let p256 = rcgen::KeyPair::generate().unwrap().serialize_pem();
    assert_eq!(pair(&p256), Some(KeyPairError::NotAKey));
    // PKCS#8 of an RSA-2048 key is 26 bytes, then PKCS#1.
    let pkcs1 = STANDARD.encode(&TestKey::IDP.key_der()[26..]);
    let pkcs1 =
        format!("-----BEGIN RSA PRIVATE KEY-----\n{pkcs1}\n-----END RSA PRIVATE KEY-----\n");
    assert_eq!(pair(&pkcs1), None);
}
