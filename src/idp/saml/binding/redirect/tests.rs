#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Instant;

use jiff::Timestamp;

use super::*;
use crate::certificate::{Certificate, key_pair};
use crate::demo::saml::TestKey;
use crate::idp::saml::signature::{SignatureError, verify_bytes};
use crate::secret::Secret;

const RSA_SHA256: &str = "http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23rsa-sha256";
/// As AD FS spells it: escapes in lower case. Signed by openssl.
const LOWER_CASE: &str = include_str!("../../fixtures/redirect-lower-case.txt");

fn deflated(xml: &[u8]) -> Vec<u8> {
    let mut stream = DeflateEncoder::new(Vec::new(), Compression::best());
    stream.write_all(xml).unwrap();
    stream.finish().unwrap()
}

fn value(bytes: &[u8]) -> String {
    encoded(STANDARD.encode(bytes).as_bytes())
}

/// `SAMLRequest=…` of `<a/>`.
fn request() -> String {
    format!("SAMLRequest={}", value(&deflated(b"<a/>")))
}

fn refusal(query: &str) -> String {
    match decode(query) {
        Ok(received) => panic!("taken: {query}: {received:?}"),
        Err(why) => why,
    }
}

fn verifies(query: &str) -> Result<(), SignatureError> {
    let signed = decode(query).unwrap().signed.unwrap();
    let certificate = Certificate::from_text(TestKey::IDP.certificate_pem()).unwrap();
    let now: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
    verify_bytes(
        signed.algorithm,
        &signed.bytes,
        &signed.signature,
        &[certificate],
        now,
    )
}

#[test]
fn escapes_in_lower_case_verify_as_they_were_sent() {
    let query = LOWER_CASE.trim_end();
    let received = decode(query).unwrap();
    assert_eq!(received.message, Message::Request);
    assert_eq!(
        received.xml,
        include_bytes!("../../fixtures/redirect-lower-case.xml")
    );
    assert_eq!(received.relay_state.as_deref(), Some("ss:mem:1/2=+x"));
    verifies(query).unwrap();
}

#[test]
fn the_order_of_the_parameters_does_not_matter() {
    let mut parts: Vec<_> = LOWER_CASE.trim_end().split('&').collect();
    parts.reverse();
    parts.push("other=1");
    verifies(&parts.join("&")).unwrap();
}

#[test]
fn the_same_message_in_another_spelling_does_not_verify() {
    let query = LOWER_CASE.trim_end();
    for changed in [
        query.replace("%2b", "%2B"),
        query.replace("ss%3amem", "ss:mem"),
        query.replace("RelayState=ss", "RelayState=st"),
        query.replace("&RelayState=ss%3amem%3a1%2f2%3d%2bx", ""),
        query.replace("&RelayState=ss%3amem%3a1%2f2%3d%2bx", "&RelayState="),
    ] {
        assert_ne!(changed, query);
        let error = verifies(&changed).unwrap_err();
        assert!(matches!(error, SignatureError::Value(_)), "{error}");
    }
}

#[test]
fn an_unsigned_message_has_no_signature() {
    let received = decode(&format!("{}&RelayState=a+b%20c", request())).unwrap();
    assert!(received.signed.is_none());
    assert_eq!(received.xml, b"<a/>");
    assert_eq!(received.relay_state.as_deref(), Some("a b c"));
    let response = request().replace("SAMLRequest", "SAMLResponse");
    assert_eq!(decode(&response).unwrap().message, Message::Response);
}

#[test]
fn refuses_a_parameter_that_comes_twice() {
    let query = format!(
        "{}&RelayState=x&SAMLEncoding=urn%3Aoasis%3Anames%3Atc%3ASAML%3A2.0%3Abindings%3AURL-Encoding%3ADEFLATE&SigAlg={RSA_SHA256}&Signature=AAAA",
        request()
    );
    decode(&query).unwrap();
    for part in query.split('&') {
        for again in [format!("{query}&{part}"), format!("{part}&{query}")] {
            assert!(refusal(&again).contains("comes twice"), "{again}");
        }
        let name = part.split('=').next().unwrap();
        let empty = format!("{query}&{name}=");
        assert!(refusal(&empty).contains("comes twice"), "{empty}");
    }
}

#[test]
fn refuses_a_parameter_without_a_value_as_a_signature_has_none_of_that_form() {
    for name in [
        "RelayState",
        "SAMLEncoding",
        "SAMLRequest",
        "SAMLResponse",
        "SigAlg",
        "Signature",
    ] {
        let query = format!("other&{}&{name}", request());
        assert!(refusal(&query).contains("has no value"), "{query}");
    }
    decode(&format!("other&{}", request())).unwrap();
}

#[test]
fn refuses_a_name_with_escapes() {
    let query = request();
    for spelled in ["%53AMLRequest", "SAML%52equest", "SAMLReques%74"] {
        assert!(refusal(&query.replace("SAMLRequest", spelled)).contains("escapes"));
        assert!(refusal(&format!("{query}&{spelled}=x")).contains("escapes"));
    }
    for spelled in [
        "%52elayState",
        "Sig%41lg",
        "Signatur%65",
        "SAML%45ncoding",
        "SAMLRespons%65",
    ] {
        assert!(refusal(&format!("{query}&{spelled}=x")).contains("escapes"));
    }
}

#[test]
fn names_are_compared_as_they_are() {
    for name in [
        "samlrequest",
        "SAMLRequest%20",
        "SAMLRequest[]",
        " SAMLRequest",
    ] {
        let query = request().replace("SAMLRequest", name);
        assert!(refusal(&query).contains("neither"), "{query}");
    }
}

#[test]
fn refuses_both_messages_or_none() {
    let query = request();
    let both = format!("{query}&{}", query.replace("Request", "Response"));
    assert!(refusal(&both).contains("both"));
    for none in ["", "RelayState=x", "SigAlg=x&Signature=y", "&&&"] {
        assert!(refusal(none).contains("neither"), "{none}");
    }
}

#[test]
fn refuses_another_encoding() {
    for encoding in [
        "",
        "x",
        "urn%3Aoasis%3Anames%3Atc%3ASAML%3A2.0%3Abindings%3AURL-Encoding%3AGZIP",
    ] {
        let why = refusal(&format!("{}&SAMLEncoding={encoding}", request()));
        assert_eq!(why, "SAMLEncoding is not DEFLATE");
    }
}

#[test]
fn refuses_half_a_signature_and_algorithms_that_are_not_taken() {
    let query = request();
    let why = refusal(&format!("{query}&SigAlg={RSA_SHA256}"));
    assert_eq!(why, "there is SigAlg without Signature");
    let why = refusal(&format!("{query}&Signature=AAAA"));
    assert_eq!(why, "there is Signature without SigAlg");
    for algorithm in [
        "http%3A%2F%2Fwww.w3.org%2F2000%2F09%2Fxmldsig%23rsa-sha1",
        "http%3A%2F%2Fwww.w3.org%2F2000%2F09%2Fxmldsig%23hmac-sha1",
        "http%3A%2F%2Fwww.w3.org%2F2001%2F04%2Fxmldsig-more%23hmac-sha256",
        "",
        "none",
        "%00",
    ] {
        let why = refusal(&format!("{query}&SigAlg={algorithm}&Signature=AAAA"));
        assert!(why.contains("is not accepted"), "{why}");
    }
    let signed = |signature: &str| format!("{query}&SigAlg={RSA_SHA256}&Signature={signature}");
    for signature in ["AAA", "A%20AA", "AA+A", "%zz", "AAAA%0A", "-_-_"] {
        refusal(&signed(signature));
    }
    // An empty signature is one, and verifies nothing.
    verifies(&signed("")).unwrap_err();
}

#[test]
fn refuses_what_is_no_base64_or_no_url_encoding() {
    for broken in [
        "%",
        "%4",
        "%GG",
        "PGEvPg",
        "PGEvPg%3D",
        "a b",
        "a+b=",
        "%FF%FE",
        "P%0AGEv",
    ] {
        refusal(&format!("SAMLRequest={broken}"));
    }
    let good = request();
    refusal(&format!("{good}%0A"));
    refusal(&good.replace("SAMLRequest=", "SAMLRequest=%20"));
    assert!(refusal(&format!("{good}&RelayState=%FF")).contains("UTF-8"));
    assert!(refusal(&format!("{good}&RelayState=%4")).contains("escape"));
}

#[test]
fn refuses_a_relay_state_that_is_too_long() {
    let query = request();
    decode(&format!("{query}&RelayState={}", "x".repeat(RELAY_STATE))).unwrap();
    let why = refusal(&format!(
        "{query}&RelayState={}",
        "x".repeat(RELAY_STATE + 1)
    ));
    assert!(why.contains("RelayState has more than"), "{why}");
    refusal(&format!("{query}&other={}", "x".repeat(QUERY)));
}

#[test]
fn refuses_a_broken_deflate_stream() {
    let whole = deflated(&b"<a>text text text text</a>".repeat(50));
    for length in 0..whole.len() {
        let why = refusal(&format!("SAMLRequest={}", value(&whole[..length])));
        assert!(why.contains("does not end"), "{length}: {why}");
    }
    for after in [&b"\0"[..], b"<a/>", &whole] {
        let why = refusal(&format!("SAMLRequest={}", value(&[&whole, after].concat())));
        assert!(why.contains("bytes follow"), "{why}");
    }
    for no_stream in [&b"<a/>"[..], b"\xff\xff\xff\xff", b"\x78\x9c\x01\x02"] {
        refusal(&format!("SAMLRequest={}", value(no_stream)));
    }
    // With the header of zlib (RFC 1950) it is another format.
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(b"<a/>").unwrap();
    refusal(&format!("SAMLRequest={}", value(&zlib.finish().unwrap())));
}

#[test]
fn inflates_up_to_the_limit_and_not_beyond() {
    for (bytes, fits) in [
        (INFLATED, true),
        (INFLATED + 1, false),
        (INFLATED * 2, false),
    ] {
        let query = format!("SAMLRequest={}", value(&deflated(&vec![b' '; bytes])));
        assert_eq!(decode(&query).is_ok(), fits, "{bytes}");
    }
    assert_eq!(inflate(&deflated(b"")).unwrap(), b"");
    for bytes in [STEP - 1, STEP, STEP + 1, STEP * 2, STEP * 4] {
        assert_eq!(inflate(&deflated(&vec![b'x'; bytes])).unwrap().len(), bytes);
    }
}

#[test]
fn a_bomb_is_refused_at_once() {
    // What inflates to 1 GiB: a block of 1 MiB, again and again. That is more than fits into a query, so the stream is tried.
    let mut stream = DeflateEncoder::new(Vec::new(), Compression::best());
    stream.write_all(&vec![0; 1024 * 1024]).unwrap();
    stream.flush().unwrap();
    let block = stream.get_ref().clone();
    assert!(inflate(&block).unwrap_err().contains("more than"));
    let bomb = [block.repeat(1024), vec![3, 0]].concat();
    let begun = Instant::now();
    assert!(inflate(&bomb).unwrap_err().contains("more than"));
    assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
    // As much of it as a query holds.
    let part = format!("SAMLRequest={}", value(&bomb[..30 * 1024]));
    assert!(
        refusal(&part).contains("inflates to more"),
        "{}",
        refusal(&part)
    );
}

fn to() -> Url {
    Url::parse("https://idp.example/sso").unwrap()
}

fn sent(to: &Url, relay_state: Option<&str>, key: Option<&SpKey>) -> Url {
    let outgoing = encode(to, Message::Request, "<a>\u{e4}</a>", relay_state, key).unwrap();
    let Outgoing::Redirect(url) = outgoing else {
        panic!("not a redirect");
    };
    url
}

#[test]
fn what_is_encoded_is_decoded_and_verifies() {
    let certificate = Certificate::from_text(TestKey::IDP.certificate_pem()).unwrap();
    let key = Secret::new(TestKey::IDP.key_pem());
    let key = SpKey::new(certificate.clone(), key_pair(&certificate, &key).unwrap()).unwrap();
    let state = "\u{e4} &=+%'\"#*~";
    let url = sent(&to(), Some(state), Some(&key));
    let query = url.query().unwrap();
    let names: Vec<_> = query
        .split('&')
        .map(|part| part.split('=').next().unwrap())
        .collect();
    assert_eq!(names, ["SAMLRequest", "RelayState", "SigAlg", "Signature"]);
    let received = decode(query).unwrap();
    assert_eq!(received.xml, "<a>\u{e4}</a>".as_bytes());
    assert_eq!(received.relay_state.as_deref(), Some(state));
    verifies(query).unwrap();
    // Upper-case escapes alone, and nothing that a URL parser would spell anew.
    let signed = received.signed.unwrap().bytes;
    assert!(query.starts_with(std::str::from_utf8(&signed).unwrap()));
    assert!(!query.contains("%2b") && !query.contains("%3d"));
}

#[test]
fn an_unsigned_message_is_sent_without_an_algorithm() {
    let url = sent(&to(), None, None);
    assert!(!url.as_str().contains("Sig") && !url.as_str().contains("RelayState"));
    assert_eq!(
        decode(url.query().unwrap()).unwrap().xml,
        "<a>\u{e4}</a>".as_bytes()
    );
}

#[test]
fn a_query_of_the_endpoint_stays_in_front() {
    let to = Url::parse("https://accounts.google.example/o/saml2/idp?idpid=C01&x=%2f").unwrap();
    let url = sent(&to, Some("s"), None);
    assert!(
        url.query()
            .unwrap()
            .starts_with("idpid=C01&x=%2f&SAMLRequest=")
    );
    let hinted = super::super::with_login_hint(&to, "ann+1@globex.example&x");
    assert_eq!(
        hinted.as_str(),
        "https://accounts.google.example/o/saml2/idp?idpid=C01&x=%2f&login_hint=ann%2B1%40globex.example%26x"
    );
}
