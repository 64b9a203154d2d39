#![allow(clippy::unwrap_used, clippy::panic)]

use jiff::Timestamp;

use super::*;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn response() -> Response {
    Response::new(
        "https://idp.test",
        "https://sp.test",
        "https://sp.test/acs",
        "_r",
        now(),
    )
}

#[test]
fn signing_by_numbers_is_what_the_library_signs() {
    for digest in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
        let by = match digest {
            Digest::Sha384 => SignatureAlgorithm::RsaSha384,
            Digest::Sha512 => SignatureAlgorithm::RsaSha512,
            Digest::Sha1 | Digest::Sha256 => SignatureAlgorithm::RsaSha256,
        };
        let numbers = rsa::RsaNumbers::of_private(&TestKey::IDP.key_der()).unwrap();
        let by_library = TestKey::IDP.sign(by, b"message").unwrap();
        assert_eq!(numbers.sign(digest, b"message").unwrap(), by_library);
    }
    let weak = TestKey::WEAK.sign(SignatureAlgorithm::RsaSha256, b"m");
    assert_eq!(weak.unwrap().len(), 128);
}

#[test]
fn every_variant_is_well_formed_xml() {
    for signed in [
        Signed::Nothing,
        Signed::Assertion,
        Signed::Response,
        Signed::Both,
    ] {
        for encryption in [None, Some(Encryption::to(TestKey::SP))] {
            let mut response = response();
            response.signed = signed;
            response.encryption = encryption;
            response.assertion.typed_values = true;
            response.assertion.attribute("mail", &["a&b@<c>"]);
            let xml = response.to_xml().unwrap();
            roxmltree::Document::parse(&xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
        }
    }
    let metadata = TestMetadata::new("https://idp.test", "https://idp.test");
    roxmltree::Document::parse(&metadata.to_xml().unwrap()).unwrap();
}

#[test]
fn reads_back_the_redirect_that_it_wrote() {
    let name = NameId::new("ann", PERSISTENT);
    let request = LogoutRequest::new(
        "https://idp.test",
        "https://sp.test/slo",
        &name,
        Some("_i"),
        now(),
    );
    let signer = Some((TestKey::IDP, SignatureAlgorithm::RsaSha256));
    let query = redirect_query(
        "SAMLRequest",
        &request.to_xml().unwrap(),
        Some("r&s"),
        signer,
    );
    let read = read_request(&format!("https://sp.test/slo?{}", query.unwrap())).unwrap();
    assert_eq!(read.kind, "LogoutRequest");
    assert_eq!(read.relay_state.as_deref(), Some("r&s"));
    assert_eq!(read.name_id.as_deref(), Some("ann"));
    assert_eq!(read.session_indexes, ["_i"]);
    assert!(read.signature.is_some());
}
