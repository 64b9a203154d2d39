//! Which keys of the metadata count.

use super::*;

#[test]
fn refuses_an_idp_without_a_signing_certificate() {
    let endpoint = sso("https://idp.example/sso");
    let encryption = key("use=\"encryption\"", &base64(IDP));
    for keys in [
        String::new(),
        encryption,
        "<KeyDescriptor use=\"signing\"/>".to_owned(),
    ] {
        let why = refusal(&entity(
            "https://a.example",
            "",
            &role("", &(keys + &endpoint)),
        ));
        assert!(why.contains("no signing certificate"), "{why}");
    }
}

#[test]
fn a_key_without_a_use_signs_too() {
    let text = key("", &base64(IDP)) + &sso("https://idp.example/sso");
    look(&entity("https://a.example", "", &role("", &text))).unwrap();
}

#[test]
fn a_key_of_another_namespace_does_not_count() {
    let foreign = enough().replace(xml::DSIG, "urn:example:keys");
    let why = refusal(&entity("https://a.example", "", &role("", &foreign)));
    assert!(why.contains("no signing certificate"), "{why}");
}

#[test]
fn an_unusable_certificate_is_named_and_left_out_where_another_is_usable() {
    let weak = key("use=\"signing\"", &base64(TestKey::WEAK));
    let broken = key("use=\"signing\"", "AAAA");
    let unknown = key("use=\"both\"", &base64(OTHER));
    let all = weak.clone() + &broken + &unknown;
    let metadata = look(&entity(
        "https://a.example",
        "",
        &role("", &(all + &enough())),
    ))
    .unwrap();
    assert_eq!(metadata.certificates, [certificate(IDP)]);
    assert_eq!(metadata.skipped.len(), 3, "{:?}", metadata.skipped);
    assert!(
        metadata.skipped[0].contains("1024"),
        "{:?}",
        metadata.skipped
    );
    let endpoint = sso("https://idp.example/sso");
    let why = refusal(&entity(
        "https://a.example",
        "",
        &role("", &(weak + &endpoint)),
    ));
    assert!(
        why.contains("no signing certificate") && why.contains("1024"),
        "{why}"
    );
}

#[test]
fn the_issuers_behind_a_certificate_are_no_keys() {
    let chain = format!(
        "{}</X509Certificate><X509Certificate>{}",
        base64(IDP),
        base64(OTHER)
    );
    let text = key("use=\"signing\"", &chain) + &sso("https://idp.example/sso");
    let metadata = look(&entity("https://a.example", "", &role("", &text))).unwrap();
    assert_eq!(metadata.certificates, [certificate(IDP)]);
    assert!(
        metadata.skipped[0].contains("issuers"),
        "{:?}",
        metadata.skipped
    );
}

#[test]
fn several_certificates_count_each_once() {
    let keys = [IDP, OTHER, IDP]
        .map(|key| self::key("use=\"signing\"", &base64(key)))
        .concat();
    let text = keys + &sso("https://idp.example/sso");
    let metadata = look(&entity("https://a.example", "", &role("", &text))).unwrap();
    assert_eq!(metadata.certificates.len(), 2);
}
