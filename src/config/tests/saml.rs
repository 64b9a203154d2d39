//! SAML identity providers and the keys of the service provider.

use super::*;

/// The base64 of a self-signed RSA certificate.
const CERTIFICATE: &str = "\
MIIDCTCCAfGgAwIBAgIUPZjr0S74f8dGUi8Vz+cKick8WXQwDQYJKoZIhvcNAQELBQAwEzERMA8G\
A1UEAwwIaWRwLnRlc3QwIBcNMjYxMTIyMTExMjQxWhgPMjEyNjEwMjkxMTEyNDFaMBMxETAPBgNV\
BAMMCGlkcC50ZXN0MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAxfdUvdSLFW3SvbLS\
lHDDFN9n+4dDwTdvn3t3bkjtefsx2MOhaeuh2Fx0kYPuCGyYObT5Dy1iXmDhYnwdg6CO264E4O9h\
NloeP/p67YzdWha6sXirFnfoGxRdtQf4ihJPOh8nQhG26KbtrBgAeqfip5R+V4H4YFjOz6fa1zR6\
G0/p8Z6EIZt1FRAmae42qjOcpDWmkBzKq0R17S8LmSoENlxH47GljyN+Wf/aX/B2lAdMnGyLfN2m\
tmgFN8imj1xSCoJDrc410rDELswLtu987GEs9f9l2zWkticJhWPh0l9SdF+hyYdwYZXfdfaZ8ob3\
WENTl+QIPYUUbWnV4mNZwQIDAQABo1MwUTAdBgNVHQ4EFgQU6OGZhnwmF69K5hkzsHTBFDhYI/sw\
HwYDVR0jBBgwFoAU6OGZhnwmF69K5hkzsHTBFDhYI/swDwYDVR0TAQH/BAUwAwEB/zANBgkqhkiG\
9w0BAQsFAAOCAQEAFF5N9HWKFDqhqfbdfIJ8nJcKJfzB0DbSRdVwIWK500T2KByBkiihi/qLQqtH\
9/M5a/Eb0sYuZv/NayJAEhZ+GSELvG1ZrpkIiXMguxl5pY3aspvIisVoZrLhwWMGX1hiJzhGl2Zu\
cPVn4GkFcy+xf3UT3dWIl/eTutWj5iAm3nsDwo1R7jw/yt1r0uYNgzpSwHVivyMRVporG7ZKQTOU\
lcwQWiLiRrQTz5f98k+7gUZpWYgKKpT1pQwI7bVaMFCH+HX87Im0i+9ry+MJzANaVR4NbgD5VKLl\
Vnw2+3E1MikdM0Ok5eLoYbV4W69GwpxdpYLv835Npk8ULTsWAVuBqw==";

/// A config with one SAML IdP of these lines, six spaces deep, and these lines of the IdP, four deep.
fn config(saml: &str, idp: &str) -> String {
    format!(
        "\
listen: 127.0.0.1:4180
public_url: http://localhost:4180
identity_providers:
  - id: globex
{idp}
    saml:
{saml}
apps:
  - id: wiki
    upstream: http://127.0.0.1:3000
"
    )
}

fn saml(text: &str) -> Arc<SamlConfig> {
    match &good(text).idps[0].protocol {
        IdpProtocol::Saml(saml) => Arc::clone(saml),
        IdpProtocol::Oidc(_) => panic!("not SAML"),
    }
}

const URL: &str = "      metadata_url: https://idp.example/metadata";

fn given(more: &str) -> String {
    format!(
        "      sso_url: https://idp.example/sso?tenant=1
      entity_id: urn:globex
      certificates: [{CERTIFICATE}]
{more}"
    )
}

#[test]
fn a_metadata_url_is_all_that_it_takes() {
    let text = config(URL, "");
    let saml = saml(&text);
    assert!(matches!(
        &saml.source,
        SamlSource::Url {
            entity_id: None,
            ..
        }
    ));
    assert_eq!(saml.binding, SamlBinding::Redirect);
    assert!(saml.sign_requests && !saml.force_authn && !saml.is_passive && !saml.idp_initiated);
    assert_eq!(saml.name_id_format, None);
    assert_eq!(saml.attributes.preset, SamlPreset::Usual);
    assert_eq!(saml.attributes.email, None);
    let config = good(&text);
    assert_eq!(
        config.saml_entity_id(&config.idps[0].id),
        "http://localhost:4180/_usher/saml/globex/metadata"
    );
}

#[test]
fn what_an_admin_page_shows_is_enough_without_metadata() {
    let saml = saml(&config(
        &given("      slo_url: https://idp.example/slo"),
        "",
    ));
    let SamlSource::Given {
        entity_id,
        sso_url,
        slo_url,
        certificates,
    } = &saml.source
    else {
        panic!()
    };
    assert_eq!(entity_id, "urn:globex");
    assert_eq!(sso_url.as_str(), "https://idp.example/sso?tenant=1");
    assert_eq!(
        slo_url.as_ref().unwrap().as_str(),
        "https://idp.example/slo"
    );
    assert_eq!(certificates.len(), 1);
}

#[test]
fn the_metadata_may_be_a_file_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("globex.xml");
    let text = config(&format!("      metadata_file: '{}'", file.display()), "");
    refuses(&text, "metadata_file`: the file");
    std::fs::write(&file, "<x/>").unwrap();
    assert!(matches!(&saml(&text).source, SamlSource::File { .. }));
}

#[test]
fn a_preset_and_names_of_ones_own_stand_together() {
    let names = "    attributes: { preset: adfs, groups: urn:my:groups, groups_separator: ';', email: mail }";
    let saml = saml(&config(
        &format!("{URL}\n      subject: employeeNumber"),
        names,
    ));
    let attributes = &saml.attributes;
    assert_eq!(attributes.preset, SamlPreset::Adfs);
    assert_eq!(attributes.groups.as_deref(), Some("urn:my:groups"));
    assert_eq!(attributes.groups_separator.as_deref(), Some(";"));
    assert_eq!(attributes.email.as_deref(), Some("mail"));
    assert_eq!(attributes.subject.as_deref(), Some("employeeNumber"));
    assert_eq!(attributes.username, None);
}

#[test]
fn refuses_an_idp_of_two_protocols_or_two_places() {
    let oidc = "    oidc: { issuer: 'https://a.example', client_id: usher, client_auth: none }";
    refuses(&config(URL, oidc), "has both `oidc` and `saml`");
    let both = format!("{URL}\n      metadata_file: x.xml");
    refuses(
        &config(&both, ""),
        "both `metadata_url` and `metadata_file`",
    );
    let both = format!("{URL}\n{}", given(""));
    refuses(&config(&both, ""), "both `metadata_url` and `sso_url`");
    refuses(
        &config("      binding: post", ""),
        "does not say where the IdP is",
    );
    for key in [
        "slo_url: https://idp.example/slo".to_owned(),
        format!("certificates: [{CERTIFICATE}]"),
    ] {
        refuses(
            &config(&format!("{URL}\n      {key}"), ""),
            "comes from `metadata_url`",
        );
    }
}

#[test]
fn refuses_an_idp_that_cannot_be_verified() {
    for (from, to, what) in [
        (
            "entity_id: urn:globex",
            "sign_requests: true",
            "`identity_providers[0].saml.entity_id` is missing",
        ),
        (
            "entity_id: urn:globex",
            "entity_id: the globex",
            "is not an entity ID",
        ),
        (CERTIFICATE, "", "certificates` is missing"),
        (
            CERTIFICATE,
            "bm90IG9uZQ==",
            "certificates[0]` cannot be used",
        ),
        (CERTIFICATE, "{ file: /nowhere.crt }", "cannot be read"),
        (
            CERTIFICATE,
            &format!("{{ from: x }}, {CERTIFICATE}"),
            "is not where a certificate can come from",
        ),
        ("https://idp", "http://idp", "must be https"),
        (
            "idp.example/sso?",
            "me:x@idp.example/sso?",
            "fragment or user name",
        ),
        ("https://idp.example/sso?tenant=1", "idp", "is not a URL"),
        (
            "tenant=1",
            "tenant=1\n      slo_url: http://idp.example",
            "must be https",
        ),
        (
            "tenant=1",
            &format!("t=1\n      metadata_certificates: [{CERTIFICATE}]"),
            "never used with `sso_url`",
        ),
    ] {
        refuses(&config(&given("").replacen(from, to, 1), ""), what);
    }
    good(&config(
        &given("").replace("https://idp.example", "http://localhost:1"),
        "",
    ));
}

#[test]
fn refuses_values_that_cannot_work() {
    let with = |line: &str| config(&format!("{URL}\n      {line}"), "");
    for (line, what) in [
        ("name_id_format: transient", "makes everybody new"),
        ("name_id_format: kerberos", "cannot be `kerberos`"),
        ("binding: artifact", "cannot be `artifact`"),
        ("authn_context: [password]", "is not a class"),
        ("idp_initiated: 'yes'", "must be true or false"),
    ] {
        refuses(&with(line), what);
    }
    good(&with("name_id_format: transient\n      subject: uid"));
    refuses(
        &config(URL, "    attributes: { preset: azure }"),
        "cannot be `azure`",
    );
    refuses(
        &config(URL, "    scim: {}"),
        "`identity_providers[0].scim.token` is missing",
    );
}

#[test]
fn refuses_settings_of_saml_where_oidc_is_spoken() {
    let oidc = |line: &str| {
        SMALL.replace(
            "  - id: acme\n",
            &format!("  - id: acme\n    attributes: {{ {line} }}\n"),
        )
    };
    refuses(&oidc("preset: okta"), "`attributes.preset` is for SAML");
    refuses(
        &oidc("groups_separator: ';'"),
        "`attributes.groups_separator` is for SAML",
    );
    let config = good(&oidc("groups: realm_access.roles"));
    let IdpProtocol::Oidc(oidc) = &config.idps[0].protocol else {
        panic!()
    };
    assert_eq!(oidc.attributes.groups, "realm_access.roles");
    assert_eq!(oidc.attributes.email, "email");
}

fn pair() -> (String, String) {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)
        .unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["sp.test".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn keys_of_the_service_provider_belong_to_their_certificates() {
    let (certificate, key) = pair();
    let (other, _) = pair();
    let look_up = |name: &str| match name {
        "CRT" => Some(certificate.clone()),
        "KEY" => Some(key.clone()),
        "OTHER" => Some(other.clone()),
        _ => None,
    };
    let with = |crt: &str, key: &str| {
        format!(
            "{SMALL}keys: {{ saml: [{{ certificate: {{ env: {crt} }}, key: {{ env: {key} }} }}] }}\n"
        )
    };
    let config = parse("u.yaml", &with("CRT", "KEY"), &look_up).unwrap();
    assert_eq!(config.saml_keys.len(), 1);
    let wrong = parse("u.yaml", &with("OTHER", "KEY"), &look_up).unwrap_err();
    assert!(
        wrong.to_string().contains("not that of the certificate"),
        "{wrong}"
    );
    let wrong = parse("u.yaml", &with("CRT", "OTHER"), &look_up).unwrap_err();
    assert!(wrong.to_string().contains("no RSA private key"), "{wrong}");
    assert!(!format!("{config:?}").contains("PRIVATE KEY"));
    let offline = parse_offline("u.yaml", &with("CRT", "GONE"), &look_up).unwrap();
    assert!(offline.config.saml_keys.is_empty());
    assert_eq!(offline.unset.len(), 1);
}
