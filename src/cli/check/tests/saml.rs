//! SAML identity providers.

use super::*;
use crate::demo::saml::TestKey;

/// A config with one SAML IdP, and more keys at the top.
fn config_with(top: &str, saml: &str) -> Config {
    let text = format!(
        "listen: 127.0.0.1:4180\npublic_url: http://localhost:4180\n{top}identity_providers:\n  - id: globex\n    saml: {{ {saml} }}\napps:\n  - id: wiki\n    upstream: http://127.0.0.1:9\n"
    );
    parse("usher.yaml", &text, &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A PEM text as YAML of one line.
fn quoted(pem: &str) -> String {
    serde_json::to_string(pem).unwrap()
}

fn key(key: TestKey) -> String {
    format!(
        "<KeyDescriptor use=\"signing\"><KeyInfo xmlns=\"http://www.w3.org/2000/09/xmldsig#\"><X509Data><X509Certificate>{}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>",
        key.certificate_base64()
    )
}

fn service(name: &str, binding: &str) -> String {
    format!(
        "<{name} Binding=\"urn:oasis:names:tc:SAML:2.0:bindings:HTTP-{binding}\" Location=\"https://idp.example/{name}\"/>"
    )
}

fn metadata(attributes: &str, content: &str) -> String {
    format!(
        "<EntityDescriptor xmlns=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"https://idp.example\"><IDPSSODescriptor protocolSupportEnumeration=\"urn:oasis:names:tc:SAML:2.0:protocol\" {attributes}>{content}</IDPSSODescriptor></EntityDescriptor>"
    )
}

fn good() -> String {
    key(TestKey::IDP)
        + &service("SingleLogoutService", "Redirect")
        + &service("SingleSignOnService", "Redirect")
        + &service("SingleSignOnService", "POST")
}

/// Looks at an IdP with this metadata under these settings.
async fn with_date(date: &'static str, document: String, settings: &str) -> Lines {
    let origin = text_server(date, |_| vec![("/metadata", document)]).await;
    let config = config_with("", &format!("metadata_url: '{origin}/metadata'{settings}"));
    look(config.idp("globex").unwrap()).await
}

async fn with(document: String, settings: &str) -> Lines {
    with_date(IN_TIME, document, settings).await
}

#[tokio::test]
async fn an_idp_that_is_right_passes_with_all_that_matters() {
    let lines = with(metadata("", &good()), "").await;
    assert!(!lines.failed(), "{lines:#?}");
    assert!(
        lines.0.iter().all(|line| line.state == State::Fine),
        "{lines:#?}"
    );
    for what in [
        "entity ID https://idp.example",
        "metadata: http://127.0.0.1",
        "the clocks agree",
        "single sign-on by redirect: https://idp.example/SingleSignOnService",
        "single logout by redirect: https://idp.example/SingleLogoutService",
        "requests are signed",
        "certificate \"CN=idp.saml.test",
        "is valid until 2049-12-31",
    ] {
        assert!(says(&lines, State::Fine, what), "{what}: {lines:#?}");
    }
}

#[tokio::test]
async fn an_idp_that_is_wrong_fails_with_the_reason() {
    let cases = [
        (
            metadata("", &good()),
            ", entity_id: https://other.example",
            "is not in it",
        ),
        (
            metadata("", &service("SingleSignOnService", "POST")),
            "",
            "no signing certificate",
        ),
        (
            metadata("", &key(TestKey::IDP)),
            "",
            "no SingleSignOnService",
        ),
        (
            metadata(
                "",
                &(key(TestKey::EXPIRED) + &service("SingleSignOnService", "Redirect")),
            ),
            "",
            "has expired at",
        ),
        (
            metadata(
                "",
                &(key(TestKey::FUTURE) + &service("SingleSignOnService", "Redirect")),
            ),
            "",
            "is valid from 2045",
        ),
        (
            metadata("validUntil=\"2026-11-22T07:59:59Z\"", &good()),
            "",
            "was valid until",
        ),
        ("<html></html>".to_owned(), "", "HTML page"),
    ];
    for (document, settings, what) in cases {
        let lines = with(document, settings).await;
        assert!(says(&lines, State::Failed, what), "{what}: {lines:#?}");
    }
    let signed_by = quoted(TestKey::ATTACKER.certificate_pem());
    let settings = format!(", metadata_certificates: [{signed_by}]");
    let lines = with(metadata("", &good()), &settings).await;
    assert!(says(&lines, State::Failed, "is not signed"), "{lines:#?}");
}

#[tokio::test]
async fn what_somebody_should_look_at_is_a_warning() {
    let old_and_new = key(TestKey::EXPIRED) + &good();
    let weak = key(TestKey::WEAK) + &good();
    let post_only = key(TestKey::IDP) + &service("SingleSignOnService", "POST");
    let email =
        "<NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</NameIDFormat>";
    let email = good().replacen("<SingleSignOn", &format!("{email}<SingleSignOn"), 1);
    let cases = [
        (metadata("", &old_and_new), "", "has expired at"),
        (metadata("", &weak), "", "not used: "),
        (metadata("", &post_only), "", "write `binding: post`"),
        (
            metadata("", &good()),
            ", name_id_format: email",
            "e-mail addresses",
        ),
        (metadata("", &email), "", "e-mail addresses"),
        (
            metadata("", &email),
            ", name_id_format: persistent",
            "does not list the NameID format",
        ),
        (
            metadata("WantAuthnRequestsSigned=\"true\"", &good()),
            ", sign_requests: false",
            "wants signed requests",
        ),
        (
            metadata("validUntil=\"2026-11-22T12:00:00Z\"", &good()),
            "",
            "valid until 2026-11-22",
        ),
    ];
    for (document, settings, what) in cases {
        let lines = with(document, settings).await;
        assert!(!lines.failed(), "{what}: {lines:#?}");
        assert!(says(&lines, State::Warning, what), "{what}: {lines:#?}");
    }
    let lines = with(metadata("", &email), ", subject: employeeNumber").await;
    assert!(!says(&lines, State::Warning, "e-mail"), "{lines:#?}");
    let lines = with(metadata("", &post_only), ", binding: post").await;
    assert!(says(&lines, State::Note, "no single logout"), "{lines:#?}");
}

#[tokio::test]
async fn transient_name_ids_need_an_attribute_that_names_the_subject() {
    let transient =
        "<NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:transient</NameIDFormat>";
    let content = good().replacen("<SingleSignOn", &format!("{transient}<SingleSignOn"), 1);
    let lines = with(metadata("", &content), "").await;
    assert!(says(&lines, State::Failed, "transient"), "{lines:#?}");
    let lines = with(metadata("", &content), ", subject: employeeNumber").await;
    assert!(!lines.failed(), "{lines:#?}");
}

#[tokio::test]
async fn clocks_are_compared_by_the_metadata_or_by_the_sign_on_page() {
    let late = "Sun, 22 Nov 2026 07:58:00 GMT";
    let lines = with_date(late, metadata("", &good()), "").await;
    assert!(says(&lines, State::Failed, "s apart"), "{lines:#?}");
    let origin = text_server(late, |_| Vec::new()).await;
    let certificate = quoted(TestKey::IDP.certificate_pem());
    let given = |origin: &str| {
        format!(
            "sso_url: '{origin}/sso', entity_id: 'https://idp.example', certificates: [{certificate}]"
        )
    };
    let config = config_with("", &given(&origin));
    let lines = look(config.idp("globex").unwrap()).await;
    assert!(says(&lines, State::Failed, "s apart"), "{lines:#?}");
    let config = config_with("", &given("http://127.0.0.1:9"));
    let lines = look(config.idp("globex").unwrap()).await;
    assert!(!lines.failed(), "{lines:#?}");
    assert!(says(&lines, State::Warning, "from here"), "{lines:#?}");
}

#[tokio::test]
async fn a_metadata_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("globex.xml");
    std::fs::write(&path, metadata("", &good())).unwrap();
    let config = config_with("", &format!("metadata_file: '{}'", path.display()));
    let idp = config.idp("globex").unwrap();
    let lines = look(idp).await;
    assert!(says(&lines, State::Fine, "globex.xml"), "{lines:#?}");
    std::fs::write(&path, "<a/>").unwrap();
    let lines = look(idp).await;
    assert!(says(&lines, State::Failed, "globex.xml"), "{lines:#?}");
}

#[test]
fn all_that_the_idp_must_know_is_named() {
    let config = config_with("", "metadata_url: https://idp.example/metadata");
    let mut lines = Lines::default();
    to_register(&config, &mut lines);
    let base = "http://localhost:4180/_usher/saml/globex";
    let said: Vec<_> = lines.0.iter().map(|line| line.what.as_str()).collect();
    assert_eq!(
        said,
        [
            format!("Entity ID (Audience) {base}/metadata"),
            format!("ACS URL (Reply URL) {base}/acs"),
            format!("SLO URL {base}/slo"),
            format!("metadata URL, which has it all: {base}/metadata"),
            "certificate: `usher saml keys list --pem` prints it after the first start".to_owned(),
        ]
    );
}

#[test]
fn the_keys_of_the_service_provider_are_looked_at() {
    let saml = "metadata_url: https://idp.example/metadata";
    let look = |top: &str| {
        let config = config_with(top, saml);
        let mut lines = Lines::default();
        super::super::saml::keys(&config, NOW.parse().unwrap(), &mut lines);
        to_register(&config, &mut lines);
        lines
    };
    let lines = look("store: memory\n");
    assert!(
        says(&lines, State::Warning, "made anew at each start"),
        "{lines:#?}"
    );
    let lines = look("store: sqlite:/var/lib/usher/usher.db\n");
    assert!(says(&lines, State::Fine, "kept in the store"), "{lines:#?}");
    let given = |key: TestKey| {
        let (certificate, key) = (quoted(key.certificate_pem()), quoted(key.key_pem()));
        format!("keys: {{ saml: [{{ certificate: {certificate}, key: {key} }}] }}\n")
    };
    let lines = look(&given(TestKey::SP));
    let certificate = crate::certificate::Certificate::from_text(TestKey::SP.certificate_pem());
    let fingerprint = certificate.unwrap().fingerprint();
    assert!(says(&lines, State::Fine, &fingerprint), "{lines:#?}");
    assert!(says(&lines, State::Note, &fingerprint), "{lines:#?}");
    let lines = look(&given(TestKey::EXPIRED));
    assert!(says(&lines, State::Failed, "has expired"), "{lines:#?}");
    // Without a SAML IdP, there is nothing to say.
    let mut lines = Lines::default();
    super::super::saml::keys(
        &config("https://a.example"),
        NOW.parse().unwrap(),
        &mut lines,
    );
    assert!(lines.0.is_empty());
}
