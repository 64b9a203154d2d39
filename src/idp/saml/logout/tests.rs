#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::LazyLock;

use jiff::{SignedDuration, Timestamp};

use super::{
    Arrived, Expected, LogoutRequest, LogoutResponse, LogoutStatus, VerifiedLogoutRequest,
    verify_request, verify_response,
};
use crate::certificate::{Certificate, key_pair};
use crate::demo::saml::{
    self, Digest, EMAIL, Encryption, PERSISTENT, SignatureAlgorithm, SignatureOptions, TestKey,
    redirect_query,
};
use crate::identity::NameId;
use crate::idp::saml::binding::redirect;
use crate::idp::saml::check::{Check, Refused};
use crate::keys::saml::{SpKey, SpKeys};
use crate::secret::Secret;

const IDP: &str = "https://idp.example/saml";
const SLO: &str = "https://wiki.example/_usher/saml/globex/slo";
const REQUEST: &str = "_4fee3b046395c4e751011e97f8900b52";
const RSA_SHA256: SignatureAlgorithm = SignatureAlgorithm::RsaSha256;

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn certificate(key: TestKey) -> Certificate {
    Certificate::from_text(key.certificate_pem()).unwrap()
}

fn sp_key(key: TestKey) -> SpKey {
    let pair = key_pair(&certificate(key), &Secret::new(key.key_pem())).unwrap();
    SpKey::new(certificate(key), pair).unwrap()
}

static SP_KEYS: LazyLock<SpKeys> = LazyLock::new(|| SpKeys::of(vec![sp_key(TestKey::SP)]).unwrap());

/// Runs `check` with what a message of the test IdP is compared with.
fn with_expected<T>(check: impl FnOnce(&Expected<'_>) -> T) -> T {
    let certificates = [certificate(TestKey::IDP), certificate(TestKey::IDP_NEXT)];
    check(&Expected {
        idp: IDP,
        certificates: &certificates,
        slo: SLO,
        keys: &SP_KEYS,
        now: now(),
    })
}

fn ann() -> saml::NameId {
    saml::NameId::new("ann-7", PERSISTENT)
}

fn good() -> saml::LogoutRequest {
    saml::LogoutRequest::new(IDP, SLO, &ann(), Some("_session"), now())
}

fn signed(mut request: saml::LogoutRequest) -> Arrived {
    request.signature = Some(SignatureOptions::of(TestKey::IDP));
    posted(&request.to_xml().unwrap())
}

fn posted(xml: &str) -> Arrived {
    Arrived::Post(xml.as_bytes().to_vec())
}

fn asked(arrived: &Arrived) -> Result<VerifiedLogoutRequest, Refused> {
    with_expected(|expected| verify_request(arrived, expected))
}

fn refused(arrived: &Arrived) -> Check {
    asked(arrived).unwrap_err().check
}

/// What becomes of a good request that `change` changed before it was signed.
fn changed(change: impl FnOnce(&mut saml::LogoutRequest)) -> Check {
    let mut request = good();
    change(&mut request);
    refused(&signed(request))
}

fn query(xml: &str, signer: Option<(TestKey, SignatureAlgorithm)>) -> Arrived {
    let query = redirect_query("SAMLRequest", xml, Some("state"), signer).unwrap();
    Arrived::Redirect(redirect::decode(&query).unwrap())
}

#[test]
fn takes_a_signed_request_by_either_binding() {
    let xml = good().to_xml().unwrap();
    for arrived in [
        signed(good()),
        query(&xml, Some((TestKey::IDP, RSA_SHA256))),
    ] {
        let request = asked(&arrived).unwrap();
        assert_eq!(request.name_id().value, "ann-7");
        assert_eq!(request.name_id().format, PERSISTENT);
        assert_eq!(request.session_indexes(), ["_session"]);
        assert!(request.valid_until() > now());
    }
}

#[test]
fn takes_the_next_key_of_the_identity_provider_and_an_encrypted_name() {
    let mut request = good();
    request.name_id_encryption = Some(Encryption::to(TestKey::SP));
    request.signature = Some(SignatureOptions::of(TestKey::IDP_NEXT));
    let arrived = posted(&request.to_xml().unwrap());
    assert_eq!(asked(&arrived).unwrap().name_id().value, "ann-7");
}

#[test]
fn a_request_without_an_index_is_about_all_sessions() {
    let request = saml::LogoutRequest::new(IDP, SLO, &ann(), None, now());
    assert!(
        asked(&signed(request))
            .unwrap()
            .session_indexes()
            .is_empty()
    );
}

#[test]
fn refuses_what_is_not_signed_or_by_somebody_else() {
    let plain = good().to_xml().unwrap();
    assert_eq!(refused(&posted(&plain)), Check::Signature);
    assert_eq!(refused(&query(&plain, None)), Check::Signature);
    let attacker = Some((TestKey::ATTACKER, RSA_SHA256));
    assert_eq!(refused(&query(&plain, attacker)), Check::Signature);
    let mut request = good();
    request.signature = Some(SignatureOptions::of(TestKey::ATTACKER));
    let by_another = posted(&request.to_xml().unwrap());
    assert_eq!(refused(&by_another), Check::Signature);
    let weak = SignatureOptions::of(TestKey::IDP).by(SignatureAlgorithm::RsaSha1, Digest::Sha1);
    request.signature = Some(weak);
    assert_eq!(
        refused(&posted(&request.to_xml().unwrap())),
        Check::Signature
    );
}

#[test]
fn refuses_what_was_changed_after_it_was_signed() {
    let mut request = good();
    request.signature = Some(SignatureOptions::of(TestKey::IDP));
    let xml = request.to_xml().unwrap().replace("ann-7", "bob-8");
    assert_eq!(refused(&posted(&xml)), Check::Signature);
    let text = redirect_query(
        "SAMLRequest",
        &good().to_xml().unwrap(),
        Some("state"),
        Some((TestKey::IDP, RSA_SHA256)),
    );
    let text = text
        .unwrap()
        .replace("RelayState=state", "RelayState=other");
    let swapped = Arrived::Redirect(redirect::decode(&text).unwrap());
    assert_eq!(refused(&swapped), Check::Signature);
}

#[test]
fn refuses_a_redirected_message_with_a_signature_inside() {
    let mut request = good();
    request.signature = Some(SignatureOptions::of(TestKey::IDP));
    let both = query(&request.to_xml().unwrap(), Some((TestKey::IDP, RSA_SHA256)));
    assert_eq!(refused(&both), Check::Signature);
    assert_eq!(
        refused(&query(&request.to_xml().unwrap(), None)),
        Check::Signature
    );
}

#[test]
fn refuses_another_issuer_destination_or_version_and_their_absence() {
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        changed(|r| r.issuer = text("https://evil.test")),
        Check::Issuer
    );
    assert_eq!(changed(|r| r.issuer = None), Check::Issuer);
    let elsewhere = "https://other.test/_usher/saml/globex/slo";
    assert_eq!(
        changed(|r| r.destination = text(elsewhere)),
        Check::Destination
    );
    assert_eq!(changed(|r| r.destination = None), Check::Destination);
    assert_eq!(changed(|r| r.version = text("1.1")), Check::Version);
    assert_eq!(changed(|r| r.version = None), Check::Version);
}

#[test]
fn refuses_what_is_old_or_of_the_future_or_holds_for_long() {
    let at = |seconds| Some(saml::at(now(), seconds));
    assert_eq!(changed(|r| r.not_on_or_after = at(-60)), Check::Time);
    assert_eq!(changed(|r| r.not_on_or_after = at(86_401)), Check::Time);
    assert_eq!(changed(|r| r.issue_instant = None), Check::Time);
    assert_eq!(changed(|r| r.issue_instant = at(-361)), Check::Time);
    assert_eq!(changed(|r| r.issue_instant = at(61)), Check::Time);
    let mut late = good();
    late.not_on_or_after = at(-59);
    assert!(asked(&signed(late)).is_ok());
}

#[test]
fn holds_for_five_minutes_where_the_request_does_not_say() {
    let at = |seconds| Some(saml::at(now(), seconds));
    let mut open = good();
    open.not_on_or_after = None;
    open.issue_instant = at(-359);
    let request = asked(&signed(open)).unwrap();
    assert_eq!(request.valid_until(), now() + SignedDuration::from_secs(1));
    let old = |r: &mut saml::LogoutRequest| {
        r.not_on_or_after = None;
        r.issue_instant = at(-360);
    };
    assert_eq!(changed(old), Check::Time);
}

#[test]
fn refuses_no_name_two_names_and_what_has_no_place() {
    assert_eq!(changed(|r| r.name_ids.clear()), Check::NameId);
    assert_eq!(changed(|r| r.name_ids.push(ann())), Check::Shape);
    let extensions = "<samlp:Extensions><x>1</x></samlp:Extensions>".to_owned();
    assert_eq!(changed(|r| r.raw_before = extensions), Check::Shape);
    assert_eq!(
        changed(|r| r.session_indexes.push(String::new())),
        Check::Shape
    );
    assert_eq!(
        changed(|r| r.session_indexes = (0..101).map(|n| n.to_string()).collect()),
        Check::Shape
    );
    assert_eq!(changed(|r| r.id = Some("a b".to_owned())), Check::Shape);
}

#[test]
fn refuses_a_name_that_is_encrypted_for_somebody_else() {
    let to = Encryption::to(TestKey::OTHER_IDP);
    assert_eq!(
        changed(|r| r.name_id_encryption = Some(to)),
        Check::Decryption
    );
}

#[test]
fn a_response_is_no_request_and_a_request_is_no_response() {
    let mut response = saml::LogoutResponse::new(IDP, SLO, REQUEST, now());
    response.signature = Some(SignatureOptions::of(TestKey::IDP));
    let response = posted(&response.to_xml().unwrap());
    assert_eq!(refused(&response), Check::Shape);
    assert_eq!(answered(&signed(good())).unwrap_err().check, Check::Shape);
}

fn answered(arrived: &Arrived) -> Result<LogoutStatus, Refused> {
    with_expected(|expected| verify_response(arrived, expected, REQUEST))
}

fn answer(change: impl FnOnce(&mut saml::LogoutResponse)) -> Result<LogoutStatus, Check> {
    let mut response = saml::LogoutResponse::new(IDP, SLO, REQUEST, now());
    change(&mut response);
    response.signature = Some(SignatureOptions::of(TestKey::IDP));
    answered(&posted(&response.to_xml().unwrap())).map_err(|refused| refused.check)
}

#[test]
fn only_a_success_without_a_but_is_one() {
    let status = |top: &str, sub: Option<&str>| {
        let uri = |code: &str| format!("urn:oasis:names:tc:SAML:2.0:status:{code}");
        let (top, sub) = (uri(top), sub.map(uri));
        answer(|response| {
            response.status = Some(top);
            response.sub_status = sub;
        })
    };
    assert_eq!(status("Success", None), Ok(LogoutStatus::Success));
    assert_eq!(
        status("Success", Some("PartialLogout")),
        Ok(LogoutStatus::Partial)
    );
    assert_eq!(
        status("Responder", Some("PartialLogout")),
        Ok(LogoutStatus::Partial)
    );
    assert_eq!(status("Requester", None), Ok(LogoutStatus::Partial));
    assert_eq!(
        answer(|response| response.status = None),
        Err(Check::Status)
    );
}

#[test]
fn refuses_an_answer_to_another_request_or_by_another() {
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        answer(|response| response.in_response_to = text("_other")),
        Err(Check::InResponseTo)
    );
    assert_eq!(
        answer(|response| response.in_response_to = None),
        Err(Check::InResponseTo)
    );
    assert_eq!(
        answer(|response| response.issuer = text("https://evil.test")),
        Err(Check::Issuer)
    );
    assert_eq!(
        answer(|response| response.destination = text("https://other.test/slo")),
        Err(Check::Destination)
    );
    let unsigned = saml::LogoutResponse::new(IDP, SLO, REQUEST, now());
    let unsigned = posted(&unsigned.to_xml().unwrap());
    assert_eq!(answered(&unsigned).unwrap_err().check, Check::Signature);
}

/// What usher writes passes its own checks, as a message of an IdP with usher's key would.
#[test]
fn what_usher_writes_verifies() {
    let key = sp_key(TestKey::SP);
    let name_id = NameId {
        format: EMAIL.to_owned(),
        value: "ann & bob <x>@globex.example".to_owned(),
        name_qualifier: Some("q\"1".to_owned()),
        sp_name_qualifier: None,
    };
    let request = LogoutRequest {
        id: REQUEST,
        issuer: IDP,
        destination: SLO,
        now: now(),
        name_id: &name_id,
        session_index: Some("<_1>"),
    };
    let response = LogoutResponse {
        id: "_r",
        issuer: IDP,
        destination: SLO,
        now: now(),
        in_response_to: REQUEST,
        status: LogoutStatus::Partial,
    };
    let certificates = [certificate(TestKey::SP)];
    let expected = Expected {
        idp: IDP,
        certificates: &certificates,
        slo: SLO,
        keys: &SP_KEYS,
        now: now(),
    };
    let posted_request = posted(&request.to_xml(Some(&key)).unwrap());
    let read = verify_request(&posted_request, &expected).unwrap();
    assert_eq!(read.name_id(), &name_id);
    assert_eq!(read.session_indexes(), ["<_1>"]);
    let posted_response = posted(&response.to_xml(Some(&key)).unwrap());
    assert_eq!(
        verify_response(&posted_response, &expected, REQUEST),
        Ok(LogoutStatus::Partial)
    );
}
