#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::demo::saml::TestKey;

const REDIRECT: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect";
const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const IDP: TestKey = TestKey::IDP;
const OTHER: TestKey = TestKey::OTHER_IDP;

fn now() -> Timestamp {
    "2027-01-01T00:00:00Z".parse().unwrap()
}

fn base64(key: TestKey) -> String {
    key.certificate_base64()
}

fn certificate(key: TestKey) -> Certificate {
    Certificate::from_text(key.certificate_pem()).unwrap()
}

fn filled(text: &str) -> String {
    text.replace("@CERTIFICATE@", &base64(IDP))
        .replace("@OTHER@", &base64(OTHER))
}

fn look_for(text: &str, entity_id: Option<&str>) -> Result<IdpMetadata, String> {
    let wanted = Wanted {
        entity_id,
        signed_by: &[],
        now: now(),
    };
    read(text.as_bytes(), &wanted)
}

fn look(text: &str) -> Result<IdpMetadata, String> {
    look_for(text, None)
}

fn refusal(text: &str) -> String {
    match look(text) {
        Ok(metadata) => panic!("taken: {metadata:?}"),
        Err(why) => why,
    }
}

fn key(usage: &str, certificate: &str) -> String {
    format!(
        "<KeyDescriptor {usage}><KeyInfo xmlns=\"{}\"><X509Data><X509Certificate>{certificate}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>",
        xml::DSIG
    )
}

fn service(name: &str, binding: &str, location: &str) -> String {
    format!("<{name} Binding=\"{binding}\" Location=\"{location}\"/>")
}

fn sso(location: &str) -> String {
    service("SingleSignOnService", REDIRECT, location)
}

fn role(attributes: &str, content: &str) -> String {
    format!(
        "<IDPSSODescriptor protocolSupportEnumeration=\"{PROTOCOL}\" {attributes}>{content}</IDPSSODescriptor>"
    )
}

fn entity(id: &str, attributes: &str, content: &str) -> String {
    format!(
        "<EntityDescriptor xmlns=\"{}\" entityID=\"{id}\" {attributes}>{content}</EntityDescriptor>",
        xml::METADATA
    )
}

fn entities(attributes: &str, content: &str) -> String {
    format!(
        "<EntitiesDescriptor xmlns=\"{}\" {attributes}>{content}</EntitiesDescriptor>",
        xml::METADATA
    )
}

/// All that an IdP needs, inside of its role.
fn enough() -> String {
    key("use=\"signing\"", &base64(IDP)) + &sso("https://idp.example/sso")
}

fn idp(id: &str) -> String {
    entity(id, "", &role("", &enough()))
}

#[test]
fn reads_what_well_known_idps_publish() {
    let cases = [
        (
            include_str!("../../fixtures/metadata/entra.xml"),
            "https://sts.windows.net/11111111-2222-3333-4444-555555555555/",
            2,
            1,
            1,
        ),
        (
            include_str!("../../fixtures/metadata/okta.xml"),
            "http://www.okta.com/exk1a2b3c4d5e6f7g8h9",
            2,
            0,
            1,
        ),
        (
            include_str!("../../fixtures/metadata/keycloak.xml"),
            "https://keycloak.globex.example/realms/globex",
            2,
            2,
            1,
        ),
        (
            include_str!("../../fixtures/metadata/adfs.xml"),
            "http://adfs.globex.example/adfs/services/trust",
            2,
            2,
            1,
        ),
        (
            include_str!("../../fixtures/metadata/simplesamlphp.xml"),
            "https://idp.globex.example/simplesaml/saml2/idp/metadata.php",
            1,
            1,
            1,
        ),
        (
            include_str!("../../fixtures/metadata/google.xml"),
            "https://accounts.google.com/o/saml2?idpid=C0000abcd",
            2,
            0,
            1,
        ),
        (
            include_str!("../../fixtures/metadata/shibboleth.xml"),
            "https://idp.globex.example/idp/shibboleth",
            2,
            2,
            2,
        ),
        (
            include_str!("../../fixtures/metadata/oracle.xml"),
            "https://idcs-0123456789abcdef.identity.oraclecloud.com/fed",
            1,
            1,
            1,
        ),
    ];
    let expected = certificate(IDP);
    for (text, entity_id, sso, slo, certificates) in cases {
        let metadata = look(&filled(text)).unwrap();
        assert_eq!(metadata.entity_id, entity_id);
        assert_eq!(metadata.sso.len(), sso, "{entity_id}");
        assert_eq!(metadata.slo.len(), slo, "{entity_id}");
        assert_eq!(metadata.certificates.len(), certificates, "{entity_id}");
        assert!(metadata.certificates.contains(&expected), "{entity_id}");
        assert_eq!(metadata.skipped, Vec::<String>::new(), "{entity_id}");
    }
}

#[test]
fn reads_flags_formats_times_and_response_locations() {
    let keycloak = look(&filled(include_str!(
        "../../fixtures/metadata/keycloak.xml"
    )))
    .unwrap();
    assert!(keycloak.wants_signed_requests);
    assert_eq!(keycloak.name_id_formats.len(), 4);
    let okta = look(&filled(include_str!("../../fixtures/metadata/okta.xml"))).unwrap();
    assert!(!okta.wants_signed_requests);
    let shibboleth = look(&filled(include_str!(
        "../../fixtures/metadata/shibboleth.xml"
    )))
    .unwrap();
    assert_eq!(shibboleth.cache_for, Some(Duration::from_secs(6 * 3600)));
    assert_eq!(
        shibboleth.valid_until.unwrap().to_string(),
        "2027-06-30T12:00:00.123Z"
    );
    let simple = look(&filled(include_str!(
        "../../fixtures/metadata/simplesamlphp.xml"
    )))
    .unwrap();
    let slo = simple.slo(Binding::Post).unwrap();
    assert_eq!(slo.binding, Binding::Redirect);
    assert!(slo.location.path().ends_with("SingleLogoutService.php"));
    assert!(
        slo.response_location
            .path()
            .ends_with("SingleLogoutServiceResponse.php")
    );
}

#[test]
fn the_wanted_binding_is_preferred() {
    let metadata = look(&filled(include_str!("../../fixtures/metadata/adfs.xml"))).unwrap();
    for binding in [Binding::Redirect, Binding::Post] {
        assert_eq!(metadata.sso(binding).unwrap().binding, binding);
        assert_eq!(metadata.slo(binding).unwrap().binding, binding);
    }
}

#[test]
fn finds_an_entity_in_nested_entities() {
    let text = entities(
        "",
        &(idp("https://a.example")
            + &entities("", &(idp("https://b.example") + &idp("https://c.example")))),
    );
    let found = look_for(&text, Some("https://c.example")).unwrap();
    assert_eq!(found.entity_id, "https://c.example");
    let why = look_for(&text, None).unwrap_err();
    assert!(
        why.contains("it has 3 IdPs") && why.contains("https://b.example"),
        "{why}"
    );
    let why = look_for(&text, Some("https://d.example")).unwrap_err();
    assert!(
        why.contains("is not in it") && why.contains("https://a.example"),
        "{why}"
    );
}

#[test]
fn the_only_idp_among_service_providers_needs_no_name() {
    let sp = entity(
        "https://sp.example",
        "",
        &format!("<SPSSODescriptor protocolSupportEnumeration=\"{PROTOCOL}\"/>"),
    );
    let text = entities("", &(sp.clone() + &idp("https://a.example")));
    assert_eq!(look(&text).unwrap().entity_id, "https://a.example");
    let why = refusal(&sp);
    assert!(why.contains("is a service provider"), "{why}");
    let why = look_for(&text, Some("https://sp.example")).unwrap_err();
    assert!(why.contains("is a service provider"), "{why}");
}

#[test]
fn the_entity_id_is_compared_whole() {
    let text = idp("https://a.example");
    for id in ["https://a.example/", "https://A.example", "https://a", ""] {
        look_for(&text, Some(id)).unwrap_err();
    }
}

#[test]
fn refuses_an_entity_that_is_there_twice() {
    let text = entities("", &(idp("https://a.example") + &idp("https://a.example")));
    let why = look_for(&text, Some("https://a.example")).unwrap_err();
    assert!(why.contains("twice"), "{why}");
}

#[test]
fn an_entity_inside_of_extensions_does_not_count() {
    let inner = idp("https://evil.example");
    let text = entities(
        "",
        &(format!("<Extensions>{inner}</Extensions>") + &idp("https://a.example")),
    );
    assert_eq!(look(&text).unwrap().entity_id, "https://a.example");
    look_for(&text, Some("https://evil.example")).unwrap_err();
}

#[test]
fn an_endpoint_that_no_browser_may_be_sent_to_is_left_out() {
    let key = key("use=\"signing\"", &base64(IDP));
    for location in [
        "javascript:alert(1)",
        "http://idp.example/sso",
        "http://127.0.0.1.evil.example/sso",
        "//idp.example/sso",
        "/sso",
        "",
        "data:text/html,x",
        "https://user@idp.example/sso",
        "https://idp.example/sso#x",
        "ftp://idp.example/",
    ] {
        let text = key.clone() + &sso(location);
        let why = refusal(&entity("https://a.example", "", &role("", &text)));
        assert!(why.contains("no SingleSignOnService"), "{location}: {why}");
        let text = key.clone() + &sso(location) + &sso("https://idp.example/good");
        let metadata = look(&entity("https://a.example", "", &role("", &text))).unwrap();
        assert_eq!(metadata.sso.len(), 1, "{location}");
        assert_eq!(metadata.sso[0].location.path(), "/good");
        assert_eq!(metadata.skipped.len(), 1, "{location}");
    }
    for location in [
        "http://127.0.0.1:8080/sso",
        "http://localhost/sso",
        "http://[::1]:1/sso",
    ] {
        let text = key.clone() + &sso(location);
        look(&entity("https://a.example", "", &role("", &text))).unwrap();
    }
}

#[test]
fn a_logout_endpoint_with_an_unsafe_response_location_is_left_out() {
    let slo = format!(
        "<SingleLogoutService Binding=\"{POST}\" Location=\"https://idp.example/slo\" ResponseLocation=\"javascript:x\"/>"
    );
    let metadata = look(&entity(
        "https://a.example",
        "",
        &role("", &(enough() + &slo)),
    ))
    .unwrap();
    assert!(metadata.slo.is_empty());
    assert!(
        metadata.skipped[0].contains("ResponseLocation"),
        "{:?}",
        metadata.skipped
    );
}

#[test]
fn refuses_an_idp_that_speaks_neither_binding() {
    let soap = service(
        "SingleSignOnService",
        "urn:oasis:names:tc:SAML:2.0:bindings:SOAP",
        "https://idp.example/sso",
    );
    let text = key("use=\"signing\"", &base64(IDP)) + &soap;
    let why = refusal(&entity("https://a.example", "", &role("", &text)));
    assert!(why.contains("no SingleSignOnService"), "{why}");
}

#[test]
fn refuses_a_role_of_another_protocol_or_two_of_this() {
    let saml1 = idp("https://a.example").replace(PROTOCOL, "urn:oasis:names:tc:SAML:1.1:protocol");
    assert!(refusal(&saml1).contains("no IdP of SAML 2.0"));
    let longer =
        idp("https://a.example").replace(PROTOCOL, "urn:oasis:names:tc:SAML:2.0:protocol2");
    assert!(refusal(&longer).contains("no IdP of SAML 2.0"));
    let twice = role("", &enough()).repeat(2);
    let why = refusal(&entity("https://a.example", "", &twice));
    assert!(why.contains("several IDPSSODescriptor"), "{why}");
}

#[test]
fn what_is_over_at_any_level_is_refused() {
    let over = "validUntil=\"2026-12-31T23:59:59Z\"";
    let just = "validUntil=\"2027-01-01T00:00:00Z\"";
    let later = "validUntil=\"2027-01-01T00:00:01Z\"";
    let good = role("", &enough());
    for end in [over, just] {
        for text in [
            entity("https://a.example", end, &good),
            entity("https://a.example", "", &role(end, &enough())),
            entities(end, &idp("https://a.example")),
            entities("", &entities(end, &idp("https://a.example"))),
        ] {
            assert!(refusal(&text).contains("it was valid until"), "{text}");
        }
    }
    look(&entities(later, &idp("https://a.example"))).unwrap();
    // Another entity's end is its own.
    let text = entities(
        "",
        &(entity("https://b.example", over, &good) + &idp("https://a.example")),
    );
    look_for(&text, Some("https://a.example")).unwrap();
    look_for(&text, Some("https://b.example")).unwrap_err();
}

#[test]
fn the_earliest_end_and_the_shortest_time_count() {
    let text = entities(
        "validUntil=\"2027-03-01T00:00:00Z\" cacheDuration=\"PT12H\"",
        &entity(
            "https://a.example",
            "validUntil=\"2027-02-01T00:00:00Z\" cacheDuration=\"P1D\"",
            &role("validUntil=\"2027-04-01T00:00:00Z\"", &enough()),
        ),
    );
    let metadata = look(&text).unwrap();
    assert_eq!(
        metadata.valid_until.unwrap().to_string(),
        "2027-02-01T00:00:00Z"
    );
    assert_eq!(metadata.cache_for, Some(Duration::from_secs(12 * 3600)));
}

#[test]
fn refuses_an_end_that_is_no_date_and_passes_over_a_duration_that_is_none() {
    let good = role("", &enough());
    for end in ["2027-02-01", "2027-02-01T00:00:00", "tomorrow", ""] {
        let text = entity("https://a.example", &format!("validUntil=\"{end}\""), &good);
        assert!(refusal(&text).contains("validUntil is no date"), "{end}");
    }
    for (text, seconds) in [
        ("PT1H", Some(3600)),
        ("P1D", Some(86_400)),
        ("PT604800S", Some(604_800)),
        ("P1Y2M", Some(425 * 86_400)),
        (" PT5M ", Some(300)),
        ("-PT1H", None),
        ("1h", None),
        ("3600", None),
        ("", None),
        ("P", None),
        ("P99999999999999999999D", None),
    ] {
        let attribute = format!("cacheDuration=\"{text}\"");
        let metadata = look(&entity("https://a.example", &attribute, &good)).unwrap();
        assert_eq!(
            metadata.cache_for,
            seconds.map(Duration::from_secs),
            "{text}"
        );
        assert_eq!(metadata.skipped.is_empty(), seconds.is_some(), "{text}");
    }
}

#[test]
fn a_flag_is_true_or_false() {
    let with = |value: &str| {
        let attribute = format!("WantAuthnRequestsSigned=\"{value}\"");
        look(&entity(
            "https://a.example",
            "",
            &role(&attribute, &enough()),
        ))
    };
    assert!(with("true").unwrap().wants_signed_requests);
    assert!(with("1").unwrap().wants_signed_requests);
    assert!(!with("false").unwrap().wants_signed_requests);
    assert!(!with("0").unwrap().wants_signed_requests);
    with("yes").unwrap_err();
}

#[test]
fn refuses_what_is_no_metadata() {
    for text in [
        "",
        "{}",
        "<EntityDescriptor entityID=\"x\"/>",
        "<a xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\"/>",
        "<EntitiesDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\"/>",
    ] {
        look(text).unwrap_err();
    }
    let page = "<!DOCTYPE html><html><body>Sign in</body></html>";
    assert_eq!(refusal(page), "it is an HTML page, not SAML metadata");
    let unnamed = idp("https://a.example").replace("entityID=\"https://a.example\"", "");
    refusal(&unnamed);
    refusal(&idp(""));
    refusal(&idp(&"x".repeat(1025)));
}

#[test]
fn refuses_a_doctype_with_its_entities() {
    for doctype in [
        "<!DOCTYPE EntityDescriptor>",
        "<!DOCTYPE x [<!ENTITY file SYSTEM \"file:///etc/passwd\">]>",
        "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>",
    ] {
        let why = refusal(&(doctype.to_owned() + &idp("https://a.example")));
        assert!(why.contains("no SAML metadata"), "{why}");
    }
}

#[test]
fn refuses_a_document_that_is_too_large() {
    let mut text = idp("https://a.example");
    text.push_str(&" ".repeat(Limits::METADATA.bytes));
    assert!(refusal(&text).contains("16777216"), "{}", refusal(&text));
}

#[test]
fn a_large_federation_is_read_in_good_time() {
    let members: String = (0..4000)
        .map(|n| idp(&format!("https://idp{n}.example")))
        .collect();
    let text = entities("", &members);
    assert!(text.len() > 5 * 1024 * 1024);
    let begun = std::time::Instant::now();
    let found = look_for(&text, Some("https://idp3999.example")).unwrap();
    assert_eq!(found.entity_id, "https://idp3999.example");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

mod keys;
mod signed;
