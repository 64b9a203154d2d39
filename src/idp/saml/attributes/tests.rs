#![allow(clippy::unwrap_used, clippy::panic)]

use jiff::Timestamp;

use super::*;
use crate::config::SamlPreset;
use crate::idp::saml::assertion::Attribute;

const EMAIL_FORMAT: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
const PERSISTENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent";
const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";

fn names(preset: SamlPreset) -> SamlAttributes {
    SamlAttributes {
        preset,
        email: None,
        name: None,
        given_name: None,
        family_name: None,
        groups: None,
        groups_separator: None,
        username: None,
        subject: None,
    }
}

fn attribute(name: &str, friendly_name: Option<&str>, values: &[&str]) -> Attribute {
    Attribute {
        name: name.to_owned(),
        friendly_name: friendly_name.map(str::to_owned),
        values: values.iter().map(|&value| value.to_owned()).collect(),
    }
}

fn assertion(format: &str, name_id: &str, attributes: Vec<Attribute>) -> VerifiedAssertion {
    VerifiedAssertion {
        id: "_a".to_owned(),
        issuer: "https://idp.example".to_owned(),
        name_id: NameId {
            format: format.to_owned(),
            value: name_id.to_owned(),
            name_qualifier: None,
            sp_name_qualifier: None,
        },
        session_index: None,
        authenticated_at: Timestamp::UNIX_EPOCH,
        authn_context: None,
        session_ends_at: None,
        valid_until: Timestamp::UNIX_EPOCH,
        attributes,
    }
}

fn with(attributes: &[(&str, &[&str])]) -> VerifiedAssertion {
    let attributes = attributes
        .iter()
        .map(|(name, values)| attribute(name, None, values))
        .collect();
    assertion(PERSISTENT, "p-1", attributes)
}

const CLAIMS: &str = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims";

fn of_entra() -> VerifiedAssertion {
    with(&[
        (&format!("{CLAIMS}/emailaddress"), &["ann@acme.example"]),
        (
            "http://schemas.microsoft.com/identity/claims/displayname",
            &["Ann Lee"],
        ),
        (&format!("{CLAIMS}/givenname"), &["Ann"]),
        (&format!("{CLAIMS}/surname"), &["Lee"]),
        (&format!("{CLAIMS}/name"), &["ann@acme.onmicrosoft.example"]),
        (
            "http://schemas.microsoft.com/ws/2008/06/identity/claims/groups",
            &["3f1c", "9a2b"],
        ),
    ])
}

/// What each IdP sends by its own documentation, and what must come of it.
fn samples() -> Vec<(SamlPreset, VerifiedAssertion)> {
    vec![
        (SamlPreset::Entra, of_entra()),
        (
            SamlPreset::Okta,
            with(&[
                ("email", &["ann@acme.example"]),
                ("displayName", &["Ann Lee"]),
                ("firstName", &["Ann"]),
                ("lastName", &["Lee"]),
                ("login", &["ann@acme.onmicrosoft.example"]),
                ("groups", &["3f1c", "9a2b"]),
            ]),
        ),
        (
            SamlPreset::Google,
            with(&[
                ("email", &["ann@acme.example"]),
                ("name", &["Ann Lee"]),
                ("firstName", &["Ann"]),
                ("lastName", &["Lee"]),
                ("username", &["ann@acme.onmicrosoft.example"]),
                ("groups", &["3f1c", "9a2b"]),
            ]),
        ),
        (
            SamlPreset::Keycloak,
            assertion(
                PERSISTENT,
                "p-1",
                vec![
                    attribute(
                        "urn:oid:1.2.840.113549.1.9.1",
                        Some("email"),
                        &["ann@acme.example"],
                    ),
                    attribute("name", None, &["Ann Lee"]),
                    attribute("urn:oid:2.5.4.42", Some("givenName"), &["Ann"]),
                    attribute("urn:oid:2.5.4.4", Some("surname"), &["Lee"]),
                    attribute("username", None, &["ann@acme.onmicrosoft.example"]),
                    attribute("Role", None, &["offline_access"]),
                    attribute("member", None, &["3f1c"]),
                    attribute("member", None, &["9a2b"]),
                ],
            ),
        ),
        (
            SamlPreset::Oracle,
            with(&[
                ("email", &["ann@acme.example"]),
                ("displayName", &["Ann Lee"]),
                ("firstName", &["Ann"]),
                ("lastName", &["Lee"]),
                ("userName", &["ann@acme.onmicrosoft.example"]),
                ("groups", &["3f1c", "9a2b"]),
            ]),
        ),
        (
            SamlPreset::Adfs,
            with(&[
                (&format!("{CLAIMS}/emailaddress"), &["ann@acme.example"]),
                ("http://schemas.xmlsoap.org/claims/CommonName", &["Ann Lee"]),
                (&format!("{CLAIMS}/givenname"), &["Ann"]),
                (&format!("{CLAIMS}/surname"), &["Lee"]),
                (&format!("{CLAIMS}/upn"), &["ann@acme.onmicrosoft.example"]),
                ("http://schemas.xmlsoap.org/claims/Group", &["3f1c", "9a2b"]),
            ]),
        ),
        (
            SamlPreset::Shibboleth,
            with(&[
                ("urn:oid:0.9.2342.19200300.100.1.3", &["ann@acme.example"]),
                ("urn:oid:2.16.840.1.113730.3.1.241", &["Ann Lee"]),
                ("urn:oid:2.5.4.42", &["Ann"]),
                ("urn:oid:2.5.4.4", &["Lee"]),
                (
                    "urn:oid:1.3.6.1.4.1.5923.1.1.1.6",
                    &["ann@acme.onmicrosoft.example"],
                ),
                ("urn:oid:1.3.6.1.4.1.5923.1.5.1.1", &["3f1c", "9a2b"]),
            ]),
        ),
    ]
}

fn ann() -> Attributes {
    Attributes {
        email: Some("ann@acme.example".to_owned()),
        email_verified: None,
        name: Some("Ann Lee".to_owned()),
        given_name: Some("Ann".to_owned()),
        family_name: Some("Lee".to_owned()),
        username: Some("ann@acme.onmicrosoft.example".to_owned()),
        groups: vec!["3f1c".to_owned(), "9a2b".to_owned()],
        directory_key: None,
    }
}

#[test]
fn each_preset_reads_what_its_idp_sends() {
    for (preset, sample) in samples() {
        assert_eq!(map(&sample, &names(preset)).unwrap(), ann(), "{preset:?}");
    }
}

#[test]
fn the_usual_names_cover_every_preset() {
    for (preset, sample) in samples() {
        let read = map(&sample, &names(SamlPreset::Usual)).unwrap();
        assert_eq!(read, ann(), "{preset:?}");
    }
}

#[test]
fn no_preset_knows_a_name_that_the_usual_ones_lack() {
    let usual = Spellings::of(SamlPreset::Usual);
    for (preset, _) in samples() {
        let one = Spellings::of(preset);
        for (some, all) in [
            (one.email, usual.email),
            (one.given_name, usual.given_name),
            (one.family_name, usual.family_name),
            (one.username, usual.username),
            (one.groups, usual.groups),
        ] {
            for name in some {
                assert!(all.contains(name), "{preset:?}: {name}");
            }
        }
    }
}

#[test]
fn a_configured_name_counts_instead_of_the_preset_by_name_or_friendly_name_exactly() {
    let sample = assertion(
        PERSISTENT,
        "p-1",
        vec![
            attribute("email", None, &["preset@acme.example"]),
            attribute("urn:x:work", Some("workMail"), &["ann@acme.example"]),
        ],
    );
    let named = |name: &str| SamlAttributes {
        email: Some(name.to_owned()),
        ..names(SamlPreset::Usual)
    };
    let email = |name| map(&sample, &named(name)).unwrap().email;
    assert_eq!(email("workMail").as_deref(), Some("ann@acme.example"));
    assert_eq!(email("urn:x:work").as_deref(), Some("ann@acme.example"));
    assert_eq!(email("workmail"), None, "names are compared exactly");
}

#[test]
fn refuses_to_choose_among_e_mail_addresses_and_usernames() {
    for name in ["email", "username"] {
        let several = with(&[(name, &["a@acme.example", "b@acme.example"])]);
        let refused = map(&several, &names(SamlPreset::Usual)).unwrap_err();
        assert_eq!(refused.check, Check::Attributes);
        let same = with(&[(name, &["a@acme.example"]), (name, &["a@acme.example"])]);
        assert!(map(&same, &names(SamlPreset::Usual)).is_ok());
    }
}

#[test]
fn takes_the_first_of_several_names_for_display() {
    let several = with(&[("displayName", &["Ann", "Anna"])]);
    let read = map(&several, &names(SamlPreset::Usual)).unwrap();
    assert_eq!(read.name.as_deref(), Some("Ann"));
}

#[test]
fn groups_come_in_many_values_many_attributes_or_one_separated_value() {
    let groups = |sample: &VerifiedAssertion, separator: Option<&str>| {
        let names = SamlAttributes {
            groups_separator: separator.map(str::to_owned),
            ..names(SamlPreset::Usual)
        };
        map(sample, &names).unwrap().groups
    };
    let many = with(&[("groups", &["b", "a"]), ("groups", &["b", "c; d"])]);
    assert_eq!(groups(&many, None), ["b", "a", "c; d"]);
    assert_eq!(groups(&many, Some(";")), ["b", "a", "c", "d"]);
    let one = with(&[("groups", &[" a ;; b;a;"])]);
    assert_eq!(groups(&one, Some(";")), ["a", "b"]);
    assert_eq!(groups(&with(&[]), None), Vec::<String>::new());
}

#[test]
fn groups_that_entra_left_out_are_never_no_groups() {
    let link: &[&str] = &["https://graph.example/users/1/getMemberObjects"];
    for values in [link, &[]] {
        let mut sample = of_entra();
        sample.attributes.pop();
        sample
            .attributes
            .push(attribute(GROUPS_LEFT_OUT, None, values));
        for preset in [SamlPreset::Entra, SamlPreset::Usual, SamlPreset::Okta] {
            let refused = map(&sample, &names(preset)).unwrap_err();
            assert_eq!(refused.check, Check::Attributes);
            assert!(refused.sentence().contains("Groups assigned"));
        }
    }
}

#[test]
fn refuses_groups_beyond_the_limits_and_takes_fifteen_hundred() {
    let read = |count: usize, length: usize| {
        let groups: Vec<_> = (0..count).map(|at| format!("{at:0length$}")).collect();
        let groups: Vec<_> = groups.iter().map(String::as_str).collect();
        map(&with(&[("groups", &groups)]), &names(SamlPreset::Usual))
    };
    assert_eq!(read(1_500, 4).unwrap().groups.len(), 1_500);
    assert!(read(GROUPS, 4).is_ok());
    assert_eq!(read(GROUPS + 1, 4).unwrap_err().check, Check::Attributes);
    assert!(read(1, GROUP).is_ok());
    assert_eq!(read(1, GROUP + 1).unwrap_err().check, Check::Attributes);
}

#[test]
fn refuses_control_characters_and_values_that_are_too_long() {
    for name in [
        "email",
        "username",
        "displayName",
        "firstName",
        "lastName",
        "groups",
    ] {
        let long = "x".repeat(GROUP + 1);
        for value in ["a\nb", "a\u{0}b", "a\u{2028}b", &long] {
            let refused = map(&with(&[(name, &[value])]), &names(SamlPreset::Usual));
            assert_eq!(
                refused.unwrap_err().check,
                Check::Attributes,
                "{name} {value:?}"
            );
        }
    }
}

#[test]
fn an_e_mail_name_id_is_the_address_where_no_attribute_gives_one() {
    let names = names(SamlPreset::Usual);
    let bare = assertion(EMAIL_FORMAT, "ann@acme.example", vec![]);
    let read = map(&bare, &names).unwrap();
    assert_eq!(read.email.as_deref(), Some("ann@acme.example"));
    let other = assertion(
        EMAIL_FORMAT,
        "ann@acme.example",
        vec![attribute("email", None, &["lee@acme.example"])],
    );
    let read = map(&other, &names).unwrap();
    assert_eq!(read.email.as_deref(), Some("lee@acme.example"));
    let persistent = assertion(PERSISTENT, "ann@acme.example", vec![]);
    assert_eq!(map(&persistent, &names).unwrap().email, None);
}

#[test]
fn the_subject_is_the_name_id_with_its_format() {
    let subject = subject(
        &assertion(PERSISTENT, "p-1", vec![]),
        &names(SamlPreset::Usual),
        &IdpId::new("acme"),
    );
    assert_eq!(
        subject.unwrap(),
        Subject {
            idp: IdpId::new("acme"),
            protocol: Protocol::Saml,
            issuer: "https://idp.example".to_owned(),
            format: PERSISTENT.to_owned(),
            value: "p-1".to_owned(),
        }
    );
}

#[test]
fn a_transient_name_id_is_no_subject_unless_an_attribute_is() {
    let idp = IdpId::new("acme");
    let by = |name: Option<&str>, values: &[&str]| {
        let names = SamlAttributes {
            subject: name.map(str::to_owned),
            ..names(SamlPreset::Usual)
        };
        let assertion = assertion(
            TRANSIENT,
            "_t",
            vec![attribute("employeeNumber", None, values)],
        );
        subject(&assertion, &names, &idp)
    };
    let refused = by(None, &["7"]).unwrap_err();
    assert_eq!(refused.check, Check::NameId);
    assert!(refused.sentence().contains("saml.subject"));
    let found = by(Some("employeeNumber"), &["7"]).unwrap();
    assert_eq!(found.format, "attribute:employeeNumber");
    assert_eq!(found.value, "7");
}

#[test]
fn a_subject_attribute_has_exactly_one_value() {
    let idp = IdpId::new("acme");
    let long = "x".repeat(SUBJECT + 1);
    for values in [&[][..], &["7", "8"], &["7", "7"], &["a\u{7}"], &[&long]] {
        let names = SamlAttributes {
            subject: Some("employeeNumber".to_owned()),
            ..names(SamlPreset::Usual)
        };
        let refused = subject(&with(&[("employeeNumber", values)]), &names, &idp).unwrap_err();
        assert_eq!(refused.check, Check::Attributes, "{values:?}");
    }
}

#[test]
fn joins_the_parts_of_a_name_where_no_full_name_is_sent() {
    let name = |attributes: &[(&str, &[&str])]| {
        let attributes = map(&with(attributes), &names(SamlPreset::Usual)).unwrap();
        attributes.name
    };
    let parts: &[(&str, &[&str])] = &[("givenName", &["Ann"]), ("surname", &["Archer"])];
    assert_eq!(name(parts).as_deref(), Some("Ann Archer"));
    assert_eq!(name(&parts[..1]).as_deref(), Some("Ann"));
    assert_eq!(name(&parts[1..]).as_deref(), Some("Archer"));
    assert_eq!(name(&[("mail", &["ann@acme.example"])]), None);
    let full: &[(&str, &[&str])] = &[("displayName", &["Ann L. Archer"]), ("givenName", &["Ann"])];
    assert_eq!(name(full).as_deref(), Some("Ann L. Archer"));
}
